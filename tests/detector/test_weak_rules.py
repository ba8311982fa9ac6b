"""The rules of labels-only images against slow loops over slots."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

from detector.api import Batch  # noqa: E402
from detector.architectures.yolov2 import Predictions  # noqa: E402
from detector.config import LossConfig  # noqa: E402
from detector.tree_softmax import tree_tables  # noqa: E402
from detector.weak_loss import weak_losses  # noqa: E402
from wordtree.tree import WordTree  # noqa: E402

PARENTS = [-1, -1, 0, 0, 1, 1, 2, 2]
TREE = WordTree([f"n{k:08d}" for k in range(len(PARENTS))], PARENTS)
IMAGES, SLOTS, LABELS = 3, 7, 2
RULES = ["paper", "release2017", "head", "marginal"]


def case(seed=0):
    rng = np.random.default_rng(seed)
    object_logits = rng.normal(size=(IMAGES, SLOTS)).astype(np.float32) - 1
    class_logits = rng.normal(scale=2, size=(IMAGES, SLOTS, len(TREE))).astype(np.float32)
    sign = np.array([[1, 0], [1, 1], [1, 0]], np.int8)
    nodes = np.array([[6, 0], [4, 3], [5, 0]], np.int32)
    weight = np.array([[1, 0], [0.5, 1], [1, 0]], np.float32)
    has_boxes = np.array([False, False, True])  # the third image is boxed: its label teaches nothing here
    return object_logits, class_logits, nodes, sign, weight, has_boxes


def run(rule, arrays):
    object_logits, class_logits, nodes, sign, weight, has_boxes = arrays
    zeros = tf.zeros([IMAGES, SLOTS, 2])
    logits = tf.Variable(object_logits), tf.Variable(class_logits)
    batch = Batch(None, None, None, None, *map(tf.constant, (has_boxes, nodes, sign, weight)))
    with tf.GradientTape() as tape:
        predictions = Predictions(zeros, zeros, logits[0].value(), logits[1].value(), tf.zeros([IMAGES, SLOTS, 4]))
        terms = weak_losses(predictions, batch, config=LossConfig(weak=rule), tables=tree_tables(TREE))
        total = tf.reduce_sum(tf.add_n(list(terms.values())))
    gradients = tape.gradient(total, logits)
    return {name: value.numpy() for name, value in terms.items()}, [tf.convert_to_tensor(g).numpy() for g in gradients]


def sigmoid(x):
    return 1 / (1 + np.exp(-np.float64(x)))


def label_prob(logits, node):
    """P(node) of one slot: the product of softmaxes along the path."""
    prob = 1.0
    while node >= 0:
        siblings = [k for k, parent in enumerate(PARENTS) if parent == PARENTS[node]]
        values = np.exp(np.float64(logits[siblings]))
        prob *= values[siblings.index(node)] / values.sum()
        node = PARENTS[node]
    return prob


def slow(rule, arrays):
    """Loss of each image, in words: for each label choose a slot, then sum its terms."""
    object_logits, class_logits, nodes, sign, weight, has_boxes = arrays
    losses = np.zeros(IMAGES)
    for b in range(IMAGES):
        if has_boxes[b]:
            continue
        objectness = sigmoid(object_logits[b])
        chosen = set()
        for k in range(LABELS):
            if sign[b, k] <= 0:
                continue
            probs = np.array([label_prob(class_logits[b, s], nodes[b, k]) for s in range(SLOTS)])
            if rule == "marginal":
                mixture = np.exp(np.float64(object_logits[b]))
                losses[b] -= weight[b, k] * np.log((mixture / mixture.sum() * probs).sum())
                continue
            slot = int(np.argmax(probs if rule == "paper" else objectness * probs))
            chosen.add(slot)
            losses[b] -= weight[b, k] * np.log(probs[slot])
            if rule in ("paper", "release2017") and objectness[slot] < 0.3:
                losses[b] += weight[b, k] * 0.5 * 5 * (0.3 - objectness[slot]) ** 2
        if rule in ("release2017", "head"):
            losses[b] += sum(0.5 * objectness[s] ** 2 for s in range(SLOTS) if s not in chosen)
    return losses


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("seed", range(4))
def test_each_rule_equals_a_loop_over_slots(rule, seed):
    arrays = case(seed)
    terms, _ = run(rule, arrays)
    np.testing.assert_allclose(sum(terms.values()), slow(rule, arrays), atol=1e-5)


@pytest.mark.parametrize("rule", RULES)
def test_gradient_equals_finite_differences_of_the_loop(rule):
    arrays = case(1)
    _, (object_gradient, class_gradient) = run(rule, arrays)
    step = 1e-4
    for place, gradient in ((0, object_gradient), (1, class_gradient)):
        for index in [(0, 2), (1, 4), (2, 0), (0, 5)]:
            index = index if place == 0 else (*index, 6 if index[0] == 0 else 4)
            high, low = (list(arrays) for _ in "ab")
            for arrays_moved, sign in ((high, 1), (low, -1)):
                moved = arrays[place].astype(np.float64)
                moved[index] += sign * step
                arrays_moved[place] = moved
            expected = (slow(rule, high).sum() - slow(rule, low).sum()) / (2 * step)
            assert gradient[index] == pytest.approx(expected, abs=2e-4)


@pytest.mark.parametrize("rule", RULES)
def test_boxed_images_and_verified_absent_labels_teach_nothing_here(rule):
    arrays = list(case())
    arrays[3] = np.full((IMAGES, LABELS), -1, np.int8)
    terms, gradients = run(rule, arrays)
    assert all(np.all(value == 0) for value in terms.values())
    assert all(np.all(gradient == 0) for gradient in gradients)


def test_groups_below_the_label_and_off_its_path_are_not_taught():
    arrays = list(case())
    arrays[2] = np.array([[2, 0], [2, 2], [0, 0]], np.int32)  # an inner node: children 6 and 7
    _, (_, gradient) = run("marginal", arrays)
    assert np.all(gradient[..., [4, 5, 6, 7]] == 0)
    assert np.any(gradient[..., [0, 1, 2, 3]] != 0)


def test_scales_switch_the_parts():
    arrays = case()
    object_logits, class_logits, nodes, sign, weight, has_boxes = arrays
    zeros = tf.zeros([IMAGES, SLOTS, 2])
    predictions = Predictions(zeros, zeros, tf.constant(object_logits), tf.constant(class_logits), None)
    batch = Batch(None, None, None, None, *map(tf.constant, (has_boxes, nodes, sign, weight)))
    config = LossConfig(weak="release2017")
    full = weak_losses(predictions, batch, config=config, tables=tree_tables(TREE))
    off = dataclasses.replace(config, weak_object_scale=0.0, weak_scale=2.0)
    part = weak_losses(predictions, batch, config=off, tables=tree_tables(TREE))
    np.testing.assert_allclose(part["weak_class"], 2 * full["weak_class"])
    assert np.all(part["weak_object"] == 0)
    assert np.all(part["weak_no_object"] == 0)
    assert np.any(full["weak_no_object"] > 0)
