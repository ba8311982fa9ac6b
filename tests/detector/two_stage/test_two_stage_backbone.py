"""Networks cut in two: dilation keeps the published maps, the rest is all that lies beyond, names are kept."""

from __future__ import annotations

from dataclasses import replace

import keras
import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

from detector.config import ModelConfig, TwoStageConfig  # noqa: E402
from detector.networks.applications import tap_backbone  # noqa: E402
from detector.networks.build import build_features  # noqa: E402
from detector.two_stage.backbone import cut_backbone  # noqa: E402
from detector.two_stage.dilation import dilated, published_strides  # noqa: E402
from schemas.errors import ConfigError  # noqa: E402


def cut(model, settings):
    images = keras.Input((None, None, 3))
    return images, cut_backbone(images, model, settings)


def randomise(model, rng):
    for weight in model.weights:
        scale = 1 / np.sqrt(np.prod(weight.shape[:-1])) if len(weight.shape) > 1 else 0.1
        weight.assign(
            rng.normal(size=weight.shape) * scale
            + (1.0 if "variance" in weight.path or "gamma" in weight.path else 0.0)
        )


def check_dilation(name, offset, **options):
    """The map of stride 8 at every second place is that of stride 16, on the same weights."""
    model = ModelConfig(network=name, output_stride=16, **options)
    images, published = cut(model, TwoStageConfig(second_stage="dense"))
    _, fine = cut(replace(model, output_stride=8), TwoStageConfig(second_stage="dense"))
    coarse_model = keras.Model(images, published.features)
    fine_model = fine.features._keras_history.operation.inner
    randomise(coarse_model, np.random.default_rng(0))
    assert [w.path for w in coarse_model.weights] == [w.path for w in fine_model.weights]
    fine_model.set_weights(coarse_model.get_weights())
    pixels = np.random.default_rng(1).random((1, 64, 96, 3)).astype(np.float32)
    scaled = coarse_model.get_layer("image_scaling")(pixels)
    coarse, finer = coarse_model(pixels).numpy(), np.asarray(fine_model(scaled))
    assert coarse.shape[1:3] == (4, 6)
    assert finer.shape[1:3] == (8, 12)
    np.testing.assert_allclose(finer[:, offset::2, offset::2], coarse, rtol=1e-3, atol=1e-4 * np.abs(coarse).max())
    assert published.stride == 16
    assert fine.stride == 8


def test_a_dilated_network_has_the_published_maps():
    check_dilation("MobileNet", 1, width=0.25)


@pytest.mark.slow
def test_a_dilated_resnet_has_the_published_maps():
    check_dilation("ResNet50", 0)


def test_dilation_trains():
    images = keras.Input((None, None, 3))
    x = keras.layers.Conv2D(4, 3, 2, padding="same")(images)
    x = keras.layers.MaxPooling2D(2)(x)
    model = keras.Model(images, keras.layers.DepthwiseConv2D(3, padding="same")(keras.layers.Conv2D(4, 3)(x)))
    assert [after for _, after in published_strides(model).values()] == [1, 2, 4, 4, 4]
    small = dilated(model, 2)
    assert small(np.zeros((1, 16, 16, 3), np.float32)).shape == (1, 8, 8, 4)
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(small(np.ones((1, 16, 16, 3), np.float32)) ** 2)
    gradients = tape.gradient(total, [weight.value for weight in small.trainable_weights])
    assert all(np.isfinite(gradient).all() for gradient in gradients)


@pytest.mark.parametrize(
    ("name", "options"), [("darknet19", {"width": 0.125}), ("tiny", {"width": 0.125}), ("MobileNet", {"width": 0.25})]
)
def test_both_parts_together_are_the_network(name, options):
    model = ModelConfig(network=name, output_stride=16, **options)
    images, parts = cut(model, TwoStageConfig(tail_stride=2))
    first = keras.Model(images, parts.features)
    whole = keras.Model(images, build_features(images, replace(model, output_stride=32)))
    paths = [weight.path for weight in (*first.weights, *parts.rest.weights)]
    assert sorted(paths) == sorted(weight.path for weight in whole.weights)
    randomise(whole, np.random.default_rng(2))
    values = {weight.path: weight.numpy() for weight in whole.weights}
    for weight in (*first.weights, *parts.rest.weights):
        weight.assign(values[weight.path])
    pixels = np.random.default_rng(3).random((1, 64, 96, 3)).astype(np.float32)
    np.testing.assert_allclose(parts.rest(first(pixels)), whole(pixels), rtol=1e-4, atol=1e-5)
    _, one = cut(model, TwoStageConfig(tail_stride=1))
    assert one.rest(np.zeros((2, 7, 7, parts.features.shape[-1]), np.float32)).shape[1:3] == (7, 7)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ResNet50", "ResNet50V2", "Xception", "InceptionV3", "EfficientNetB0", "DenseNet121"])
def test_the_rest_of_every_family_is_all_that_lies_beyond(name):
    model = ModelConfig(network=name, output_stride=8)
    images, parts = cut(model, TwoStageConfig())
    first = keras.Model(images, parts.features)
    assert first.compute_output_spec(keras.KerasTensor((1, 96, 160, 3))).shape[1:3] == (12, 20)
    whole = tap_backbone(images, replace(model, output_stride=32), (32,))[32]
    names = {weight.path for weight in keras.Model(images, whole).weights}
    assert {weight.path for weight in (*first.weights, *parts.rest.weights)} == names
    keras.utils.clear_session()


def test_frozen_layers_and_statistics():
    images, parts = cut(ModelConfig(width=0.125, output_stride=16), TwoStageConfig(frozen_stride=4, frozen_norm=True))
    model = keras.Model(images, parts.features)
    assert [w.path for w in model.trainable_weights] == [f"conv{k:02d}/kernel" for k in range(6, 14)]  # stride 8 on
    assert [w.path for w in parts.rest.trainable_weights] == [f"conv{k:02d}/kernel" for k in range(14, 19)]
    before = [w.numpy() for w in model.non_trainable_weights]
    model(np.random.default_rng(0).random((2, 32, 32, 3)), training=True)
    for old, new in zip(before, model.non_trainable_weights, strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize(
    ("model", "settings", "words"),
    [
        ({"output_stride": 32}, {}, "beyond two_stage.cut, 16"),
        ({"output_stride": 16, "head_convs": 2}, {}, "model.head_convs"),
        ({"output_stride": 16, "stages": 5}, {}, "expected 'dense'"),
        ({"output_stride": 16, "network": "VGG16"}, {}, "expected 'dense'"),
        ({"output_stride": 16, "network": "MobileNet"}, {"cut": 32}, "expected 'dense'"),
        ({"output_stride": 8, "network": "nonsense"}, {}, "model.network is 'nonsense'"),
    ],
)
def test_what_cannot_be_cut_is_refused(model, settings, words):
    with pytest.raises(ConfigError, match=words):
        cut(ModelConfig(**model), TwoStageConfig(**settings))
