"""What a step of Faster R-CNN computes: operations against hand counts, no work for frozen layers; published rates."""

from __future__ import annotations

from dataclasses import replace

import keras
import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

from benchmarks.peers.step_clock import _live, operations  # noqa: E402
from detector.config import ModelConfig, TwoStageConfig, load_config  # noqa: E402
from detector.training.schedule import learning_rate  # noqa: E402
from detector.two_stage.backbone import cut_backbone  # noqa: E402

BILLION = 1e9


def test_operations_against_hand_counts():
    images = tf.zeros([2, 320, 320, 16])
    first, depth = tf.ones([3, 3, 16, 32]), tf.ones([3, 3, 32, 1])
    dense, other = tf.ones([32, 4000]), tf.ones([2, 500, 4000])

    def step(whole_pass):
        with tf.GradientTape() as tape:
            tape.watch([first, depth, dense])
            x = tf.nn.conv2d(images, first, 2, "SAME")
            x = tf.nn.depthwise_conv2d(x, depth, [1, 1, 1, 1], "SAME")
            x = tf.matmul(tf.reshape(x, [-1, 32]), dense)
            y = tf.einsum("bkn,pn->bkp", other, x[:100])
        found = tape.gradient([x, y], [first, depth, dense])
        return x, y, found if whole_pass else found[2]

    places = 2 * 160 * 160
    conv, deep, matmul, einsum = places * 9 * 16 * 32, places * 9 * 32, places * 32 * 4000, 2 * 500 * 100 * 4000
    whole = operations(tf.function(lambda: step(True)).get_concrete_function())
    # The convolution's gradient to the images is not asked for; the product's to both sides is, the einsum's to x.
    np.testing.assert_allclose(whole["convolutions"], 2 * (2 * conv + 3 * deep) / BILLION, atol=0.02)
    np.testing.assert_allclose(whole["products"], 2 * (3 * matmul + 2 * einsum) / BILLION, atol=0.02)
    part = operations(tf.function(lambda: step(False)).get_concrete_function())
    np.testing.assert_allclose(part["convolutions"], 2 * (conv + deep) / BILLION, atol=0.02)
    np.testing.assert_allclose(part["products"], 2 * (2 * matmul + 2 * einsum) / BILLION, atol=0.02)


def test_operations_want_known_shapes():
    compiled = tf.function(lambda x: tf.nn.conv2d(x, tf.ones([1, 1, 3, 2]), 1, "SAME"))
    with pytest.raises(ValueError, match="expected a known one"):
        operations(compiled.get_concrete_function(tf.TensorSpec([None, 8, 8, 3])))


@pytest.mark.parametrize(("stride", "trained"), [(0, 13), (2, 11), (4, 8), (16, 0)])
def test_frozen_layers_have_no_backward_pass(stride, trained):
    images = keras.Input((32, 32, 3))
    model = ModelConfig(width=0.125, output_stride=16)
    parts = cut_backbone(images, model, replace(TwoStageConfig(), frozen_stride=stride, frozen_norm=True))
    first = keras.Model(images, parts.features)
    variables = [variable.value for variable in first.trainable_variables]

    def step():
        with tf.GradientTape() as tape:
            total = tf.reduce_sum(first(tf.ones([1, 32, 32, 3]), training=True))
        return tape.gradient(total, variables)

    kinds = [operation.type for operation in _live(tf.function(step).get_concrete_function().graph)]
    assert kinds.count("Conv2DBackpropFilter") == trained
    assert kinds.count("Conv2DBackpropInput") == max(trained - 1, 0)  # none to what feeds the first trained layer


@pytest.mark.parametrize(
    ("name", "rate"), [("faster_rcnn_resnet50", 3e-4), ("faster_rcnn_resnet101", 3e-4), ("faster_rcnn_vgg16", 5e-4)]
)
@pytest.mark.parametrize("batch", [1, 8])
def test_the_published_rates_by_images(name, rate, batch):
    config = load_config(name, [f"train.batch_size={batch}"]).train
    assert learning_rate(config, config.warmup_steps) == pytest.approx(rate * batch)
    if batch == 8:
        for images, scale in ((899_000, 1), (901_000, 0.1), (1_199_000, 0.1), (1_201_000, 0.01)):
            assert learning_rate(config, images // batch) == pytest.approx(scale * rate * batch)
    assert (config.momentum, config.weight_decay, config.clip_norm) == (0.9, 0.0, 10.0)
