"""Backbones of keras.applications: where they are cut, what they are fed, and that their variables keep their names."""

from __future__ import annotations

import keras
import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

from detector.config import ModelConfig  # noqa: E402
from detector.networks.applications import BACKBONES, DEVIATION, MEAN, ImageScaling, tap_backbone  # noqa: E402
from detector.networks.build import build_features, grid_of, output_stride  # noqa: E402
from schemas.errors import ConfigError  # noqa: E402
from tests.detector.network_summary import billion_operations, parameters, summarise  # noqa: E402

QUICK = ["MobileNet", "MobileNetV3Small", "ResNet50V2", "VGG16", "Xception"]


def check_taps(name):
    images = keras.Input((96, 160, 3))
    taps = tap_backbone(images, ModelConfig(network=name), (8, 16, 32))
    for stride, tensor in taps.items():
        assert tensor.shape[1:3] == (96 // stride, 160 // stride), (name, stride)
    model = keras.Model(images, list(taps.values()))
    inner = model.get_layer("backbone").layers
    for stride, tap in BACKBONES[name].taps.items():
        ending = tap.rpartition("_")[2]
        if ending in ("add", "out", "identity"):  # the last block of its stride, not some block
            blocks = [one.name for one in inner if one.name.endswith(ending) and one.output.shape[1] == 96 // stride]
            assert blocks[-1] == tap
    return model


@pytest.mark.parametrize("name", QUICK)
def test_taps_have_their_strides_and_gradients_reach_the_pixels(name):
    model = check_taps(name)
    pixels = tf.constant(np.random.default_rng(0).random((1, 96, 160, 3)), tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(pixels)
        total = tf.add_n([tf.reduce_mean(output) for output in model(pixels, training=True)])
    gradient = tape.gradient(total, pixels).numpy()
    assert np.isfinite(gradient).all()
    assert np.any(gradient)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(BACKBONES) - set(QUICK)))
def test_the_taps_of_every_backbone_have_their_strides(name):
    published = getattr(keras.applications, name)(weights=None, include_top=False, input_shape=(None, None, 3))
    constants = 7 if name.startswith("EfficientNetB") else 0  # statistics of the input
    assert check_taps(name).count_params() == published.count_params() - constants
    keras.utils.clear_session()


def test_the_table_holds_every_published_backbone_but_nasnet():
    built = {name for name in dir(keras.applications) if name[0].isupper()}
    assert built - set(BACKBONES) == {"NASNetLarge", "NASNetMobile"}


@pytest.mark.parametrize(("name", "mode"), [("VGG16", "bgr"), ("Xception", "symmetric"), ("DenseNet121", "statistics")])
def test_images_are_scaled_as_keras_scales_them(name, mode):
    pixels = np.random.default_rng(0).integers(0, 256, (1, 4, 5, 3)).astype(np.float32)
    module = {"VGG16": keras.applications.vgg16, "Xception": keras.applications.xception}.get(
        name, keras.applications.densenet
    )
    assert BACKBONES[name].scaling == mode
    found = np.asarray(ImageScaling(mode)(pixels / 255))
    np.testing.assert_allclose(found, module.preprocess_input(pixels.copy()), atol=2e-4 if mode == "bgr" else 1e-5)


def test_efficientnet_is_fed_the_statistics_of_imagenet_without_variables_for_them():
    images = keras.Input((None, None, 3))
    model = keras.Model(images, build_features(images, ModelConfig(network="EfficientNetB0", output_stride=8)))
    inner = model.get_layer("backbone")
    norm = next(layer for layer in inner.layers if isinstance(layer, keras.layers.Normalization))
    pixels = np.random.default_rng(0).random((1, 8, 8, 3)).astype(np.float32)
    np.testing.assert_allclose(np.asarray(norm(pixels)), (pixels - MEAN) / DEVIATION, atol=1e-5)
    assert not norm.weights
    assert {weight.dtype for weight in model.weights} == {"float32"}


@pytest.mark.parametrize("name", ["MobileNetV3Small", "Xception"])
def test_variables_have_the_same_names_in_every_model_of_a_process(name):
    def paths():
        images = keras.Input((None, None, 3))
        features = build_features(images, ModelConfig(network=name, batch_norm_momentum=0.9, output_stride=16))
        model = keras.Model(images, features)
        inner = model.get_layer("backbone").layers
        momenta = {layer.momentum for layer in inner if isinstance(layer, keras.layers.BatchNormalization)}
        assert momenta == {0.9}
        return [weight.path for weight in model.weights]

    first = paths()
    assert first == paths()
    assert len(set(first)) == len(first)


def test_necks_stand_on_backbones():
    config = ModelConfig(
        network="MobileNetV2", width=0.35, input_size=96, input_height=64, head_convs=2, head_width=64, passthrough=16
    )
    images = keras.Input((None, None, 3))
    model = keras.Model(images, build_features(images, config))
    assert model(np.zeros((1, 64, 96, 3), np.float32)).shape == (1, 2, 3, 24)
    assert (output_stride(config), grid_of(config)) == (32, (2, 3))
    finer = model.get_layer("conv02").input
    assert model.get_layer("conv02").output.shape[-1] == 8  # 16 at 0.35
    assert model.get_layer("reorg_05").output.shape[-1] == 32
    assert finer.shape[-1] == 32  # 96 channels at 0.35
    rows = summarise(config, 5)
    assert parameters(rows[:-1]) == model.count_params()
    assert [row.name for row in rows][-1] == "region"


def test_summaries_agree_with_published_operations():
    # VGG-16: 15.3 billion multiply-adds at 224 pixels, of them 0.12 in its dense layers
    rows = summarise(ModelConfig(network="VGG16", input_size=224, num_anchors=1), 1)
    assert billion_operations(rows[:-1]) / 2 == pytest.approx(15.35, abs=0.01)
    assert parameters(rows[:-1]) == 14_714_688


def test_stages_and_depth_are_of_darknet_and_not_read():
    def shapes(**options):
        images = keras.Input((None, None, 3))
        config = ModelConfig(network="MobileNet", width=0.25, output_stride=16, **options)
        model = keras.Model(images, build_features(images, config))
        return {weight.path: weight.shape for weight in model.weights}

    assert shapes(stages=5, depth=2.0) == shapes()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"network": "ResNet5"},
            r"model.network is 'ResNet5'; expected one of darknet19, tiny, .*did you mean 'ResNet50",
        ),
        ({"network": "NASNetMobile"}, r"model.network is 'NASNetMobile'"),
        ({"network": "resnet50"}, r"did you mean 'ResNet50'"),
        ({"network": "ResNet50", "output_stride": 4}, r"a map of stride 4; ResNet50 has 8, 16, 32"),
        (
            {"network": "VGG16", "output_stride": 8, "passthrough": 64, "head_convs": 1},
            r"model.passthrough is 64, which needs a map of stride 4",
        ),
        (
            {"network": "ResNet50", "width": 0.5},
            r"model.width is 0.5; ResNet50 has no width to choose: expected 1 \(--set",
        ),
    ],
)
def test_what_a_backbone_does_not_have_is_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        build_features(keras.Input((None, None, 3)), ModelConfig(**options))
