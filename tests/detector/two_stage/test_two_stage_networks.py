"""Every network of Faster R-CNN: where it is cut, how it is dilated, where its cells look, what is frozen."""

from __future__ import annotations

import keras
import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

from detector.architectures import build_detector  # noqa: E402
from detector.config import Experiment, LossConfig, ModelConfig, TrainConfig, TwoStageConfig  # noqa: E402
from detector.networks.applications import ImageScaling  # noqa: E402
from detector.training.step import Trainer  # noqa: E402
from detector.two_stage.backbone import cut_backbone  # noqa: E402
from detector.two_stage.crop import crop_and_resize  # noqa: E402
from detector.two_stage.grid_anchors import grid_anchors  # noqa: E402
from detector.two_stage.stage import StageLayer  # noqa: E402
from tests.detector.architectures.test_faster_rcnn import make_batch  # noqa: E402
from tests.detector.conftest import TREE  # noqa: E402

# Where the first stage ends, its channels, layers with a kernel in the rest, and pixel of the first cell's middle at
# stride 16 and 8. Huang et al. 2017, section 3.1: conv5 of VGG-16, the last layer of conv4 of ResNet-101, Mixed_6e of
# Inception v3 (Keras: mixed7), the layer before the last halving of the others. Inception-ResNet v2 ends the paper's
# way behind all of its 20 blocks of 17 x 17.
NETWORKS = {
    "VGG16": ("block5_conv3", 512, 0, (8.0, 8.0)),
    "ResNet50": ("conv4_block6_out", 1024, 10, (0.5, 0.5)),
    "ResNet101": ("conv4_block23_out", 1024, 10, (0.5, 0.5)),
    "ResNet152": ("conv4_block36_out", 1024, 10, (0.5, 0.5)),
    "InceptionV3": ("mixed7", 768, 24, (15.5, 7.5)),
    "InceptionResNetV2": ("block17_20_ac", 1088, 58, (15.5, 7.5)),
    "MobileNet": ("conv_pw_11_relu", 128, 4, (15.5, 7.5)),
    "MobileNetV2": ("block_12_add", 32, 13, (15.5, 7.5)),
    "MobileNetV3Small": ("expanded_conv_7_add", 48, 16, (15.5, 7.5)),
    "MobileNetV3Large": ("expanded_conv_11_add", 112, 16, (15.5, 7.5)),
    "EfficientNetB0": ("block5c_add", 112, 26, (15.5, 7.5)),
    "Xception": ("add_at_115", 728, 5, (8.5, 4.5)),
}
WIDTHS = {"MobileNet": 0.25, "MobileNetV2": 0.35}
QUICK = ["MobileNet", "MobileNetV2", "VGG16"]
SLOW = sorted(set(NETWORKS) - set(QUICK))
KINDS = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D, keras.layers.SeparableConv2D, keras.layers.Dense)


def parts(name, stride, **settings):
    images = keras.Input((None, None, 3))
    model = ModelConfig(network=name, output_stride=stride, width=WIDTHS.get(name, 1.0))
    kind = "dense" if name.startswith("VGG") else "rest"
    return images, cut_backbone(images, model, TwoStageConfig(second_stage=kind, **settings))


def inner(found):
    return found.features._keras_history.operation.inner


def linear(model):
    """The same network without what bends its numbers: what a cell sees is then a sum of windows."""
    bends = (ImageScaling, keras.layers.Activation, keras.layers.ReLU)

    def copy(layer):
        if isinstance(layer, StageLayer):
            return StageLayer(linear(layer.inner), name=layer.name)
        if isinstance(layer, bends) and "sigmoid" not in str(layer.get_config().get("activation")):
            return keras.layers.Identity(name=layer.name)
        if isinstance(layer, keras.layers.MaxPooling2D):
            return keras.layers.AveragePooling2D.from_config(layer.get_config())
        return type(layer).from_config(layer.get_config())

    return keras.models.clone_model(model, clone_function=copy)


def seen_from(model, stride, side):
    """Middle in pixels (y, x) of what the middle cell sees, from that cell's edge: by the gradient at the pixels."""
    for weight in model.weights:
        squeezed = "squeeze" in weight.path or "_se_" in weight.path  # the same for all places
        if len(weight.shape) == 4:
            deep = weight.shape[-1] == 1 or "depthwise" in weight.path
            window = weight.shape[:2] if deep else weight.shape[:3]
            weight.assign(np.full(weight.shape, 0.0 if squeezed else 1 / np.prod(window)))
        else:
            weight.assign(np.full(weight.shape, float(weight.path.endswith(("gamma", "variance")))))
    pixels, cell = tf.ones([1, side, side, 3]), side // stride // 2
    with tf.GradientTape() as tape:
        tape.watch(pixels)
        total = tf.reduce_sum(model(pixels, training=False)[0, cell, cell])
    gradient = tape.gradient(total, pixels).numpy()[0].sum(axis=-1)
    middles = np.arange(side) + 0.5
    return [(gradient.sum(axis) * middles).sum() / gradient.sum() - cell * stride for axis in (1, 0)]


def check_cut(name):
    layer, channels, kernels, fields = NETWORKS[name]
    for stride, field in zip((16, 8), fields, strict=True):
        images, found = parts(name, stride)
        first = keras.Model(images, found.features)
        assert first.compute_output_spec(keras.KerasTensor((1, 96, 160, 3))).shape == (
            1, 96 // stride, 160 // stride, channels,
        )  # fmt: skip
        assert (found.stride, found.features.shape[-1]) == (stride, channels)
        assert inner(found).outputs[0]._keras_history.operation.name == layer
        assert found.middle * stride == field
        if found.rest is not None:
            assert sum(isinstance(one, KINDS) for one in found.rest.layers) == kernels
            assert found.rest.compute_output_spec(keras.KerasTensor((2, 7, 7, channels))).shape[1:3] == (7, 7)
    keras.utils.clear_session()


@pytest.mark.parametrize("name", QUICK)
def test_where_it_is_cut(name):
    check_cut(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", SLOW)
def test_where_every_network_is_cut(name):
    check_cut(name)


def check_fields(name, side):
    for stride, field in zip((16, 8), NETWORKS[name][3], strict=True):
        images, found = parts(name, stride)
        seen = seen_from(linear(keras.Model(images, found.features)), stride, side)
        np.testing.assert_allclose(seen, [field, field], atol=0.1)
        anchor = grid_anchors(tf.constant([[2.0, 3.0]]), (5, 7), found.middle).numpy().reshape(5, 7, 4)[2, 3]
        middle = (anchor[:2] + anchor[2:]) / 2 * [5 * stride, 7 * stride]
        np.testing.assert_allclose(middle - [2 * stride, 3 * stride], seen, atol=0.1)
    keras.utils.clear_session()


def test_anchors_stand_where_cells_look():
    check_fields("MobileNet", 384)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(NETWORKS) - {"MobileNet"}))
def test_anchors_stand_where_the_cells_of_every_network_look(name):
    check_fields(name, 512)


@pytest.mark.parametrize("stages", [5, 4])
def test_the_cells_of_our_own_look_at_their_own_middle(stages):
    images = keras.Input((None, None, 3))
    model = ModelConfig(width=0.125, output_stride=2 ** (stages - 1), stages=stages)
    found = cut_backbone(images, model, TwoStageConfig(cut=2 ** (stages - 1), second_stage="dense"))
    assert found.middle == 0.5
    seen = seen_from(
        keras.models.clone_model(keras.Model(images, found.features), clone_function=_own), found.stride, 256
    )
    np.testing.assert_allclose(seen, [found.stride / 2] * 2, atol=0.1)


def _own(layer):
    if isinstance(layer, keras.layers.LeakyReLU):
        return keras.layers.Identity(name=layer.name)
    if isinstance(layer, keras.layers.MaxPooling2D):
        return keras.layers.AveragePooling2D.from_config(layer.get_config())
    return type(layer).from_config(layer.get_config())


@pytest.mark.parametrize("method", ["op", "matmul"])
@pytest.mark.parametrize("middle", [0.5 / 16, 0.5, 15.5 / 16])
def test_crops_are_read_where_cells_look(method, middle):
    """A map that holds the place that each cell looks at: crops give the places of their points."""
    rows, columns = np.meshgrid(np.arange(12) + middle, np.arange(10) + middle, indexing="ij")
    features = tf.constant(np.stack([rows / 12, columns / 10], axis=-1)[None], tf.float32)
    box = np.array([0.2, 0.3, 0.7, 0.8], np.float32)
    crops = crop_and_resize(features, tf.constant(box[None, None]), 4, method, middle)[0, 0].numpy()
    points = (np.arange(4) + 0.5) / 8
    np.testing.assert_allclose(crops[..., 0], np.repeat(0.2 + points[:, None], 4, 1), atol=1e-5)
    np.testing.assert_allclose(crops[..., 1], np.repeat(0.3 + points[None], 4, 0), atol=1e-5)


def frozen_step(stride, norm):
    """A training step of Faster R-CNN on MobileNet: which variables it changed."""
    model = ModelConfig(
        architecture="faster_rcnn", network="MobileNet", width=0.25, input_size=32, output_stride=16,
        anchors=((0.5, 0.5),), num_anchors=1,
    )  # fmt: skip
    settings = TwoStageConfig(
        frozen_stride=stride, frozen_norm=norm, rpn_width=8, proposals=6, roi_batch=6, crop=4, cross_boundary=True
    )
    train = TrainConfig(batch_size=4, steps=9, learning_rate=0.01, warmup_steps=0, weight_decay=0.1, optimizer="sgd")
    config = Experiment(name="t", model=model, loss=LossConfig(weak="marginal"), train=train, two_stage=settings)
    trainer = Trainer(config, TREE)
    before = {weight.path: weight.numpy() for weight in trainer.detector.model.weights}
    trainer.train_step(make_batch(), 0)
    return {w.path for w in trainer.detector.model.weights if np.any(w.numpy() != before[w.path])}, set(before)


def test_what_is_frozen_does_not_change():
    """Neither by gradients, nor by decay, nor in its statistics."""
    early = {"conv1", "conv_dw_1", "conv_pw_1", "conv_dw_2", "conv_pw_2", "conv_dw_3", "conv_pw_3"}  # up to stride 4
    early |= {f"{name}_bn" for name in early}
    changed, all_ = frozen_step(4, norm=True)
    kernels = {path for path in all_ if "_bn/" not in path and path.split("/")[0] not in early}
    assert changed <= kernels
    assert {"conv_dw_5/kernel", "conv_pw_13/kernel", "rpn/kernel", "region/box_kernel"} <= changed
    changed, _ = frozen_step(4, norm=False)
    assert {path.split("/")[0] for path in changed}.isdisjoint(early)
    assert {"conv_pw_5_bn/moving_mean", "conv_pw_13_bn/moving_variance", "conv_pw_13_bn/gamma"} <= changed


def test_the_detector_passes_the_middle_on():
    model = ModelConfig(
        architecture="faster_rcnn",
        network="MobileNet",
        width=0.25,
        input_size=64,
        output_stride=16,
        anchors=((0.5, 0.5),),
    )
    detector = build_detector(Experiment(name="t", model=model, two_stage=TwoStageConfig(rpn_width=8)), TREE)
    assert detector.propose.middle == detector.crop.middle == detector.middle == 15.5 / 16
    anchors = detector.first_stage(tf.zeros([1, 64, 64, 3]), training=False)[1].numpy()
    np.testing.assert_allclose((anchors[:, :2] + anchors[:, 2:]) / 2 * 64 % 16, 15.5, atol=1e-4)
