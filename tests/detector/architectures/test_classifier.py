"""The tree classifier: its loss against the slow reference, its probabilities, and that it learns a few images."""

from __future__ import annotations

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

from detector.api import Batch  # noqa: E402
from detector.architectures import build_detector  # noqa: E402
from detector.architectures.classifier import label_losses  # noqa: E402
from detector.config import DecodeConfig, Experiment, LossConfig, ModelConfig, TrainConfig  # noqa: E402
from detector.training.step import Trainer  # noqa: E402
from detector.tree_softmax import tree_tables  # noqa: E402
from schemas.errors import ConfigError  # noqa: E402
from wordtree.probability import (  # noqa: E402
    group_log_softmax,
    path_log_probs,
    tree_cross_entropy,
    tree_cross_entropy_grad,
)
from wordtree.tree import WordTree  # noqa: E402

TREE = WordTree([f"n{k}" for k in range(9)], [-1, -1, 0, 0, 0, 2, 2, 1, 1])
FLAT = WordTree([f"n{k}" for k in range(9)], [-1] * 9)
LOGITS = np.random.default_rng(3).normal(0, 3, (5, 9)).astype(np.float32)
EXPERIMENT = Experiment(
    name="test",
    model=ModelConfig(architecture="classifier", width=0.25, stages=3, input_size=32, output_stride=4),
    train=TrainConfig(batch_size=4, optimizer="adamw", learning_rate=0.01, warmup_steps=0, schedule="constant"),
)


def labels(nodes, sign=1, weight=1.0, images=None):
    """A batch with these image labels, [B, L]."""
    nodes = np.array(nodes, np.int32)
    count = len(nodes)
    return Batch(
        images=images,
        boxes=tf.zeros([count, 1, 4]),
        nodes=tf.zeros([count, 1], tf.int32),
        box_mask=tf.zeros([count, 1], tf.bool),
        has_boxes=tf.zeros([count], tf.bool),
        image_nodes=tf.constant(nodes),
        image_node_sign=tf.constant(np.broadcast_to(sign, nodes.shape).astype(np.int8)),
        image_node_weight=tf.constant(np.broadcast_to(weight, nodes.shape).astype(np.float32)),
        source=tf.zeros([count], tf.int32),
    )


def terms(batch, tree=TREE, config=LossConfig()):  # noqa: B008
    logits = tf.constant(LOGITS[: len(batch.image_nodes)])
    with tf.GradientTape() as tape:
        tape.watch(logits)
        found = label_losses(logits, batch, tree_tables(tree), config)
        loss = tf.add_n(list(found.values()))
    return {name: value.numpy() for name, value in found.items()}, tape.gradient(loss, logits).numpy()


@pytest.mark.parametrize("tree", [TREE, FLAT])
def test_one_label_costs_what_the_reference_says(tree):
    nodes = np.array([0, 5, 8, 2, 4])
    found, gradient = terms(labels(nodes[:, None]), tree)
    logits = LOGITS.astype(np.float64)
    np.testing.assert_allclose(found["class"], tree_cross_entropy(logits, nodes, tree), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(gradient, tree_cross_entropy_grad(logits, nodes, tree), atol=1e-5)
    np.testing.assert_array_equal(found["absent"], 0)


def test_weights_several_labels_and_images_without_any():
    batch = labels(
        [[5, 8], [5, 0], [4, 4], [0, 0]], [[1, 1], [1, 0], [1, 1], [0, 0]], [[1, 0.5], [0.25, 1], [1, 1], [1, 1]]
    )
    found, gradient = terms(batch)
    cost = tree_cross_entropy(np.repeat(LOGITS[:3].astype(np.float64), 2, 0), np.array([5, 8, 5, 0, 4, 4]), TREE)
    expected = [(cost[0] + 0.5 * cost[1]) / 2, 0.25 * cost[2], cost[4], 0]
    np.testing.assert_allclose(found["class"], expected, rtol=1e-5)
    np.testing.assert_array_equal(gradient[3], 0)


def test_a_verified_absent_label_pushes_its_node_down():
    config = LossConfig(weak_negative_scale=2.0)
    found, gradient = terms(labels([[5], [7]], -1), config=config)
    absolute = np.exp(path_log_probs(group_log_softmax(LOGITS[:2].astype(np.float64), TREE), TREE))
    np.testing.assert_allclose(found["absent"], -2 * np.log(1 - absolute[[0, 1], [5, 7]]), rtol=1e-4)
    assert gradient[0, 5] > 0
    assert gradient[1, 7] > 0
    np.testing.assert_array_equal(found["class"], 0)


def test_an_absent_label_that_the_network_is_sure_of_gives_finite_gradients():
    logits = tf.constant(np.where(np.arange(9) == 0, 200.0, 0.0)[None].astype(np.float32))
    with tf.GradientTape() as tape:
        tape.watch(logits)
        found = label_losses(logits, labels([[0]], -1), tree_tables(TREE), LossConfig())
    assert np.isfinite(found["absent"]).all()
    assert np.isfinite(tape.gradient(found["absent"], logits)).all()


def test_smoothing_spreads_over_each_group_of_the_path_and_robust_bounds_the_cost():
    nodes = np.array([5, 8, 0, 4, 2])
    log_probs = group_log_softmax(LOGITS.astype(np.float64), TREE)
    smooth, expected = 0.1, []
    for row, node in zip(log_probs, nodes, strict=True):
        cost = 0.0
        for step in TREE.path(node):
            group = [n for n in range(len(TREE)) if TREE.group[n] == TREE.group[step]]
            cost -= (1 - smooth) * row[step] + smooth * row[group].mean()
        expected.append(cost)
    found, _ = terms(labels(nodes[:, None]), config=LossConfig(label_smoothing=smooth))
    np.testing.assert_allclose(found["class"], expected, rtol=1e-5)
    robust, _ = terms(labels(nodes[:, None]), config=LossConfig(weak_robust=0.7))
    prob = np.exp(-tree_cross_entropy(LOGITS.astype(np.float64), nodes, TREE))
    np.testing.assert_allclose(robust["class"], (1 - prob**0.7) / 0.7, rtol=1e-4)


def test_a_deep_label_of_an_unlikely_path_has_a_finite_robust_gradient():
    logits = tf.constant(np.where(np.arange(9) % 2 == 0, -300.0, 300.0)[None].astype(np.float32))
    with tf.GradientTape() as tape:
        tape.watch(logits)
        found = label_losses(logits, labels([[2]]), tree_tables(TREE), LossConfig(weak_robust=0.7))
    assert np.isfinite(tape.gradient(found["class"], logits)).all()


def test_probabilities_of_the_leaves_sum_to_one():
    classifier = build_detector(EXPERIMENT, TREE)
    probs = classifier.classify(tf.random.uniform([2, 32, 32, 3], seed=1)).numpy()
    np.testing.assert_allclose(probs[:, TREE.is_leaf].sum(axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(probs[:, 2], probs[:, [5, 6]].sum(axis=1), rtol=1e-5)


def test_the_mean_before_the_convolution_is_darknets_mean_behind_it():
    classifier = build_detector(EXPERIMENT, TREE)
    images = tf.random.uniform([2, 32, 48, 3], seed=1)
    mean = classifier.model.get_layer("mean")
    import keras

    features = keras.Model(classifier.model.inputs, mean.input)(images, training=False)
    layer = classifier.model.get_layer("classes")
    np.testing.assert_allclose(classifier.model(images), tf.reduce_mean(layer(features), axis=[1, 2]), atol=1e-5)


def test_it_learns_a_few_images():
    trainer = Trainer(EXPERIMENT, TREE)
    images = tf.constant(np.random.default_rng(0).random((4, 32, 32, 3), np.float32))
    batch = labels([[5], [6], [7], [3]], images=images)
    losses = [trainer.train_step(batch, step)["loss"] for step in range(25)]
    assert losses[-1] < 0.1 * losses[0]


def test_it_finds_no_boxes_and_says_so():
    classifier = build_detector(EXPERIMENT, TREE)
    with pytest.raises(ConfigError, match=r"is a classifier .* finds no boxes; train a detector"):
        classifier.detect(None, DecodeConfig())
    with pytest.raises(ConfigError, match=r"finds no boxes; evaluate it by the classes"):
        classifier.score_nodes(None, [1])
