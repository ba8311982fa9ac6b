"""Losses against NumPy, several labels of one box, and what the second stage is trained on."""

from __future__ import annotations

import math

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

from detector.api import Batch  # noqa: E402
from detector.region.classes import FullClasses  # noqa: E402
from detector.tree_softmax import tree_tables  # noqa: E402
from detector.two_stage.box_coder import encode  # noqa: E402
from detector.two_stage.losses import box_loss, class_loss, object_loss, smooth_l1  # noqa: E402
from detector.two_stage.multi_label import SigmoidClasses, box_labels, sigmoid_costs  # noqa: E402
from detector.two_stage.proposals import Proposals  # noqa: E402
from detector.two_stage.rois import NEVER, choose_rois, roi_slots  # noqa: E402
from wordtree.tree import WordTree  # noqa: E402

# figure > (disc, square), thing, square > (small, big)
TREE = WordTree([f"n0000000{k}" for k in range(1, 7)], [-1, -1, 0, 0, 3, 3])
CHILDREN = [[0, 1], [2, 3], [4, 5]]


def make_batch(boxes, nodes, has_boxes, **more):
    boxes, nodes = np.asarray(boxes, np.float32), np.asarray(nodes, np.int32)
    mask = more.get("mask", np.ones(nodes.shape, bool))
    size = len(boxes)
    return Batch(
        images=tf.zeros([size, 8, 8, 3]),
        boxes=tf.constant(boxes),
        nodes=tf.constant(nodes),
        box_mask=tf.constant(mask),
        has_boxes=tf.constant(has_boxes),
        image_nodes=tf.zeros([size, 1], tf.int32),
        image_node_sign=tf.zeros([size, 1], tf.int8),
        image_node_weight=tf.zeros([size, 1]),
        source=tf.zeros([size], tf.int32),
    )


def sigmoid(x):
    return 1 / (1 + np.exp(-np.asarray(x, np.float64)))


def test_smooth_l1_by_hand():
    np.testing.assert_allclose(smooth_l1(tf.constant([0.0, 0.5, -0.5, 1, -3])), [0, 0.125, 0.125, 0.5, 2.5])
    np.testing.assert_allclose(smooth_l1(tf.constant([0.1, 1.0]), 0.5), [0.01, 0.75], rtol=1e-6)


def test_objectness_is_the_mean_cross_entropy_of_the_sample():
    rng = np.random.default_rng(0)
    logits, kind = rng.normal(size=(3, 20)) * 3, rng.integers(0, 3, (3, 20))
    kind[2] = 2  # nothing sampled
    weight = rng.random((3, 20))
    args = (tf.constant(logits, tf.float32), tf.constant(kind == 0), tf.constant(kind == 1))
    for empty in (None, weight):
        found = object_loss(*args, None if empty is None else tf.constant(empty, tf.float32)).numpy()
        for b in range(3):
            costs = [
                -math.log(sigmoid(logits[b, s])) if kind[b, s] == 0
                else -math.log(1 - sigmoid(logits[b, s])) * (1 if empty is None else empty[b, s])
                for s in range(20)
                if kind[b, s] < 2
            ]  # fmt: skip
            np.testing.assert_allclose(found[b], np.mean(costs) if costs else 0, rtol=1e-4)


def test_boxes_cost_smooth_l1_of_their_codes():
    rng = np.random.default_rng(1)
    low = rng.random((2, 9, 2)) * 0.5
    anchors = np.concatenate([low, low + 0.1 + rng.random((2, 9, 2)) * 0.3], -1).astype(np.float32)
    targets = anchors + rng.normal(size=anchors.shape).astype(np.float32) * 0.02
    codes, kind = rng.normal(size=(2, 9, 4)).astype(np.float32), rng.integers(0, 3, (2, 9))
    targets[kind > 0] = 0  # not valid: must not make a NaN, nor in the gradient
    codes_ = tf.constant(codes)
    with tf.GradientTape() as tape:
        tape.watch(codes_)
        found = box_loss(codes_, anchors, tf.constant(targets), kind == 0, kind == 1, knee=0.5)
    assert np.isfinite(tape.gradient(found, codes_)).all()
    for b in range(2):
        total = 0.0
        for s in np.flatnonzero(kind[b] == 0):
            error = np.abs(codes[b, s] - encode(targets[b, s], anchors[b, s]).numpy())
            total += np.where(error < 0.5, error**2, error - 0.25).sum()
        np.testing.assert_allclose(found[b], total / (kind[b] < 2).sum(), rtol=1e-4)


def test_classes_cost_the_groups_on_their_path():
    rng = np.random.default_rng(2)
    logits = rng.normal(size=(2, 5, 6)).astype(np.float32)
    batch = make_batch(np.zeros((2, 3, 4)), [[2, 5, 1], [0, 3, 4]], [True, True])
    truth = np.array([[1, 2], [0, 2]])
    positive = np.array([[True, True, False, False, False], [True, False, False, False, False]])
    negative = np.array([[False, False, True, True, False], [False, True, False, False, False]])
    found = class_loss(
        FullClasses(tf.constant(logits), tree_tables(TREE)), batch, tf.constant(truth), positive, negative, 0.0
    )

    def cost(row, path):
        groups = [next(group for group in CHILDREN if node in group) for node in path]
        return sum(np.log(np.exp(row[group]).sum()) - row[node] for node, group in zip(path, groups, strict=True))

    wanted = [(cost(logits[0, 0], [0, 3, 5]) + cost(logits[0, 1], [1])) / 4, cost(logits[1, 0], [0]) / 2]
    np.testing.assert_allclose(found, wanted, rtol=1e-5)


def test_one_box_with_two_labels():
    box, other = [0.1, 0.1, 0.5, 0.5], [0.1, 0.1, 0.5, 0.6]
    tables = tree_tables(TREE)
    boxes = tf.constant([[box, other, box, box]])
    nodes, mask = tf.constant([[2, 1, 4, 5]]), tf.constant([[True, True, True, False]])
    present, known = box_labels(boxes, nodes, mask, tf.constant([[0, 1]]), tables)
    # The first box is a disc and a small square, so a square and a figure; "thing" and "big" it is not.
    assert present.numpy().tolist() == [[[1, 0, 1, 1, 1, 0], [0, 1, 0, 0, 0, 0]]]
    assert known.numpy().tolist() == [[[1, 1, 1, 1, 1, 1], [1, 1, 0, 0, 0, 0]]]  # nothing is known below "thing"

    logits = np.random.default_rng(3).normal(size=(1, 2, 6)).astype(np.float32)
    classes = SigmoidClasses(tf.constant(logits), tables)
    found = sigmoid_costs(classes, tf.constant([[0, 1]]), present, known)
    right = np.where(present[0], sigmoid(logits[0]), 1 - sigmoid(logits[0]))
    np.testing.assert_allclose(found[0], [-np.log(right[0]).sum(), -np.log(right[1][:2]).sum()], rtol=1e-5)
    batch = make_batch(boxes, nodes, [True], mask=mask.numpy())
    positive, negative = np.array([[True, True]]), np.array([[False, False]])
    loss = class_loss(classes, batch, tf.constant([[0, 1]]), positive, negative, 0.0)
    np.testing.assert_allclose(loss, [found.numpy().sum() / 2], rtol=1e-5)


def test_sigmoid_probabilities_multiply_along_the_path():
    logits = np.random.default_rng(4).normal(size=(2, 3, 6)).astype(np.float32)
    classes = SigmoidClasses(tf.constant(logits), tree_tables(TREE))
    paths = [[0], [1], [0, 2], [0, 3], [0, 3, 4], [0, 3, 5]]
    wanted = np.stack([np.log(sigmoid(logits[..., path])).sum(-1) for path in paths], -1)
    np.testing.assert_allclose(classes.fixed(np.arange(6)), wanted, rtol=1e-5)
    nodes = np.array([[5, 0], [2, 4]])
    asked = classes.path_log_probs(tf.constant(nodes), tf.constant([[True, False], [True, True]])).numpy()
    np.testing.assert_allclose(asked[0, :, 0], wanted[0, :, 5], rtol=1e-5)
    np.testing.assert_allclose(asked[1, :, 1], wanted[1, :, 4], rtol=1e-5)
    assert not asked[0, :, 1].any()
    levels = classes.levels(tf.constant([[1], [2]]), tf.constant([[5], [2]]), tf.constant([[True], [False]])).numpy()
    np.testing.assert_allclose(levels[0, 0], np.log(sigmoid(logits[0, 1, [0, 3, 5]])), rtol=1e-5)
    assert not levels[1].any()
    np.testing.assert_allclose(
        classes.conditional(tf.constant([[2], [0]]))[1, 0], np.log(sigmoid(logits[1, 0])), rtol=1e-5
    )


def test_proposals_that_change_ranks_are_drawn_alike():
    """Equal but for rounding: the same RoIs, whichever of two comes first."""
    rng = np.random.default_rng(3)
    corner = rng.uniform(0, 0.7, (1, 12, 2))
    boxes = np.concatenate([corner, corner + 0.25], axis=-1).astype(np.float32)
    scores = np.linspace(0.9, 0.1, 12, dtype=np.float32)[None]
    batch = make_batch([[boxes[0, 3], boxes[0, 7]]], [[3, 4]], [True])
    drawn = tf.constant(rng.random((1, 14)), tf.float32)
    found = []
    for order in (np.arange(12), np.array([1, 0, 2, 4, 3, 5, 6, 8, 7, 9, 11, 10])):
        proposals = Proposals(
            boxes=tf.constant(boxes[:, order]),
            scores=tf.constant(scores),
            mask=tf.ones([1, 12], tf.bool),
            anchors=tf.constant(order[None].astype(np.int32)),
        )
        rois = choose_rois(proposals, batch, drawn, size=6, share=0.5, threshold=0.5, add_truths=True)
        found.append([part.numpy() for part in rois])
    for first, second in zip(*found, strict=True):
        np.testing.assert_array_equal(first, second)


def test_rois_of_boxed_and_of_labelled_images():
    truth, crowd = [0.0, 0.0, 0.4, 0.4], [0.5, 0.5, 1.0, 1.0]
    near, far, inside = [0.0, 0.0, 0.4, 0.3], [0.6, 0.0, 0.9, 0.3], [0.6, 0.6, 0.8, 0.8]
    row = [near, far, inside, [0.0, 0.6, 0.3, 0.9], [0.0] * 4]
    proposals = Proposals(
        boxes=tf.constant([row, row]),
        scores=tf.zeros([2, 5]),
        mask=tf.constant([[True] * 4 + [False]] * 2),
        anchors=tf.constant([[2, 0, 3, 1, 4]] * 2),
    )
    batch = make_batch([[truth, crowd]] * 2, [[3, -1]] * 2, [True, False])
    drawn = tf.constant([[0.2, 0.8, 0.1, 0.9, 0.7, 0.3, 0.6]] * 2)  # of anchors, so .1, .2, .9, .8; and of truths
    rois = choose_rois(proposals, batch, drawn, size=8, share=0.5, threshold=0.5, add_truths=True)
    # Boxed: the truth itself (draw .3), what is near (.1), then background by its draws; not what lies in the crowd.
    np.testing.assert_allclose(rois.boxes[0, :4], [truth, near, row[3], far], atol=1e-6)
    assert rois.positive[0].numpy().tolist() == [True, True] + [False] * 6
    assert rois.negative[0].numpy().tolist() == [False, False, True, True] + [False] * 4
    assert rois.truth[0, :2].numpy().tolist() == [0, 0]
    assert not rois.boxes[0, 4:].numpy().any()
    # Labelled: the proposals in their order; nothing is said of them.
    np.testing.assert_allclose(rois.boxes[1, :4], row[:4], atol=1e-6)
    assert not rois.boxes[1, 4:].numpy().any()
    assert not (rois.positive[1].numpy() | rois.negative[1].numpy()).any()
    few = choose_rois(proposals, batch, drawn[:, :5], size=2, share=0.5, threshold=0.5, add_truths=False)
    np.testing.assert_allclose(few.boxes[0], [near, row[3]], atol=1e-6)
    np.testing.assert_allclose(few.boxes[1], row[:2], atol=1e-6)

    entries = tf.ones([2, 8, 5])
    slots = roi_slots(rois.boxes, rois.boxes, entries, FullClasses(tf.zeros([2, 8, 6]), tree_tables(TREE)))
    assert slots.object_logits.numpy().tolist() == [[1.0] * 4 + [NEVER] * 4] * 2
