"""Networks: published sizes, any width and stride, mixed precision."""

from __future__ import annotations

from dataclasses import replace

import keras
import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

from detector.architectures import build_detector  # noqa: E402
from detector.architectures.yolov2 import build_network  # noqa: E402
from detector.config import Experiment, ModelConfig  # noqa: E402
from schemas.errors import ConfigError  # noqa: E402

ANCHORS = ((0.1, 0.1), (0.3, 0.4), (0.7, 0.7))


def test_yolo9000_at_full_width_has_the_published_number_of_parameters():
    # yolo9000.cfg: 48,807,501, which is also the size of the published weights file less its header, over 4
    assert build_network(ModelConfig(anchors=ANCHORS), 9418).count_params() == 48_807_501


@pytest.mark.parametrize(
    ("options", "cells"),
    [
        ({"stages": 6, "output_stride": 32, "input_size": 64}, 2),
        ({"stages": 6, "output_stride": 8, "input_size": 64}, 8),
        ({"stages": 4, "output_stride": 32, "input_size": 96}, 12),
        ({"stages": 5, "output_stride": 16, "input_size": 64, "head_convs": 2, "head_width": 64}, 4),
    ],
)
def test_depth_stride_and_head_are_configuration(options, cells):
    model = build_network(ModelConfig(width=0.125, anchors=ANCHORS, **options), 10)
    assert model.output_shape == (None, cells, cells, 3 * 15)


def test_an_input_size_that_does_not_fit_the_stride_is_refused():
    with pytest.raises(ConfigError, match=r"model.input_size is 100; expected a multiple of the output stride 32"):
        build_network(ModelConfig(input_size=100, anchors=ANCHORS), 10)


def test_an_unknown_architecture_names_the_known_ones(tree):
    experiment = Experiment(name="x", model=ModelConfig(architecture="yolo", anchors=ANCHORS))
    with pytest.raises(ConfigError, match=r"no architecture 'yolo'; there are yolo9000$"):
        build_detector(experiment, tree)


def test_mixed_precision_keeps_the_last_layer_and_the_losses_in_float32(tree):
    config = ModelConfig(input_size=32, width=0.125, stages=4, output_stride=8, anchors=ANCHORS)
    before = keras.mixed_precision.global_policy()
    try:
        keras.mixed_precision.set_global_policy("mixed_bfloat16")
        detector = build_detector(Experiment(name="x", model=config), tree)
        images = tf.constant(np.random.default_rng(0).random((2, 32, 32, 3)), tf.float32)
        predictions = detector.predict(images, training=False)
        assert detector.model.get_layer("stage1_1_conv").compute_dtype == "bfloat16"
        assert {tensor.dtype for tensor in predictions} == {tf.float32}
        assert all(np.isfinite(tensor).all() for tensor in predictions)
    finally:
        keras.mixed_precision.set_global_policy(before)


def test_the_same_seed_gives_the_same_weights(tree):
    config = Experiment(
        name="x", model=ModelConfig(input_size=32, width=0.125, stages=3, output_stride=8, anchors=ANCHORS)
    )
    from detector.train import Trainer

    one, two = Trainer(config, tree), Trainer(config, tree)
    other = Trainer(replace(config, train=replace(config.train, seed=1)), tree)
    for a, b in zip(one.model.weights, two.model.weights, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())
    assert any(np.any(a.numpy() != c.numpy()) for a, c in zip(one.model.weights, other.model.weights, strict=True))
