"""Batch normalisation by the kernel against Keras's own layer and against NumPy."""

from __future__ import annotations

import keras
import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

from detector.config import ModelConfig, TwoStageConfig  # noqa: E402
from detector.two_stage.backbone import cut_backbone  # noqa: E402
from detector.two_stage.normalisation import FusedNormalization  # noqa: E402


def pair(shape, **options):
    """Keras's layer and ours with the same random weights."""
    rng = np.random.default_rng(0)
    layers = [kind(momentum=0.9, **options) for kind in (keras.layers.BatchNormalization, FusedNormalization)]
    for layer in layers:
        layer.build(shape)
    for theirs, own in zip(layers[0].weights, layers[1].weights, strict=True):
        theirs.assign(0.5 + rng.random(theirs.shape))
        own.assign(theirs.value)
    return layers


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(
    ("shape", "options"),
    [
        ((3, 4, 5, 6), {"epsilon": 1.001e-5}),
        ((3, 4, 5, 6), {"scale": False}),
        ((3, 4, 5, 6), {"center": False}),
        ((1, 1, 1, 3), {}),
        ((3, 4, 5, 6), {"epsilon": 1e-6}),  # below what the kernel takes
        ((3, 4, 5, 6), {"axis": 1}),
        ((7, 6), {}),
    ],
)
def test_the_numbers_are_those_of_keras(shape, options, training):
    theirs, own = pair(shape, **options)
    rng = np.random.default_rng(1)
    inputs, weights = tf.constant(2 + 3 * rng.normal(size=shape), tf.float32), rng.normal(size=shape)
    found = []
    for layer in (theirs, own):
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            outputs = layer(inputs, training=training)
            total = tf.reduce_sum(outputs * weights)
        variables = [weight.value for weight in layer.trainable_weights]
        found.append([outputs, *tape.gradient(total, [inputs, *variables]), *(w.numpy() for w in layer.weights)])
    for wanted, got in zip(*found, strict=True):
        np.testing.assert_allclose(got, wanted, rtol=2e-4, atol=1e-3 if shape[0] == 1 else 2e-4)


def test_against_numpy():
    _, layer = pair((2, 3, 4, 5), epsilon=1e-3)
    gamma, beta, mean, variance = (weight.numpy() for weight in layer.weights)
    x = np.random.default_rng(2).normal(size=(2, 3, 4, 5)).astype(np.float32)
    plain = x.reshape(-1, 5)
    wanted = (x - plain.mean(0)) / np.sqrt(plain.var(0) + 1e-3) * gamma + beta
    np.testing.assert_allclose(layer(x, training=True), wanted, atol=1e-5)
    np.testing.assert_allclose(layer.moving_mean, 0.9 * mean + 0.1 * plain.mean(0), atol=1e-6)
    np.testing.assert_allclose(layer.moving_variance, 0.9 * variance + 0.1 * plain.var(0), atol=1e-6)


def test_frozen_statistics_stay():
    theirs, own = pair((2, 3, 3, 4))
    theirs.trainable = own.trainable = False
    x = np.random.default_rng(3).normal(size=(2, 3, 3, 4)).astype(np.float32)
    before = [weight.numpy() for weight in own.weights]
    np.testing.assert_allclose(own(x, training=True), theirs(x, training=True), atol=1e-6)
    for old, weight in zip(before, own.weights, strict=True):
        np.testing.assert_array_equal(old, weight)


def test_both_parts_of_a_network_have_it_and_reload():
    images = keras.Input((None, None, 3))
    parts = cut_backbone(images, ModelConfig(network="MobileNet", width=0.25, output_stride=16), TwoStageConfig())
    inner = parts.features._keras_history.operation.inner
    for model in (inner, parts.rest):
        kinds = {type(layer) for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)}
        assert kinds == {FusedNormalization}
    again = type(parts.rest).from_config(parts.rest.get_config())
    again.set_weights(parts.rest.get_weights())
    crops = np.random.default_rng(4).random((2, 7, 7, parts.features.shape[-1])).astype(np.float32)
    np.testing.assert_allclose(again(crops), parts.rest(crops), atol=1e-6)
