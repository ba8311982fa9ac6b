"""Suppression against a loop."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

tf = pytest.importorskip("tensorflow")

from detector.nms import suppress_any_class, suppress_per_class  # noqa: E402
from schemas.boxes import pairwise_iou  # noqa: E402


def random_boxes(seed, count=20):
    rng = np.random.default_rng(seed)
    low = rng.random((count, 2)) * 0.6
    return np.concatenate([low, low + 0.1 + 0.3 * rng.random((count, 2))], axis=1).astype(np.float32), rng


def slow(boxes, scores, threshold, iou):
    """Greedy: take the best that overlaps no one taken."""
    kept = []
    for k in sorted(range(len(boxes)), key=lambda k: -scores[k]):
        if scores[k] > threshold and all(pairwise_iou(boxes[[k]], boxes[[j]])[0, 0] <= iou for j in kept):
            kept.append(k)
    return kept


@given(st.integers(0, 2**31))
def test_any_class_equals_a_loop(seed):
    boxes, rng = random_boxes(seed)
    scores, nodes = rng.random(20).astype(np.float32), rng.integers(9, size=20).astype(np.int32)
    found = suppress_any_class(
        tf.constant(boxes[None]),
        tf.constant(nodes[None]),
        tf.constant(scores[None]),
        threshold=0.3,
        iou_threshold=0.4,
        limit=10,
    )
    expected = slow(boxes, scores, 0.3, 0.4)[:10]
    count = int(tf.reduce_sum(tf.cast(found.mask, tf.int32)))
    np.testing.assert_allclose(found.boxes[0, :count], boxes[expected], atol=1e-6)
    np.testing.assert_array_equal(found.nodes[0, :count], nodes[expected])
    np.testing.assert_allclose(found.scores[0, :count], scores[expected], atol=1e-6)
    assert np.all(np.asarray(found.scores[0, count:]) == 0)


@given(st.integers(0, 2**31))
def test_per_class_equals_a_loop_for_each_class(seed):
    boxes, rng = random_boxes(seed)
    scores = rng.random((20, 3)).astype(np.float32)
    _, classes, values = suppress_per_class(boxes, scores, threshold=0.5, iou_threshold=0.4, limit=100)
    assert np.all(np.diff(values) <= 0)
    for column in range(3):
        expected = slow(boxes, scores[:, column], 0.5, 0.4)
        np.testing.assert_allclose(values[classes == column], scores[expected, column])


def test_boxes_that_become_one_when_clipped_to_the_image_are_one():
    boxes = np.array([[[0.5, 0.5, 1.0, 1.0], [0.5, 0.5, 3.0, 3.0]]], np.float32)  # IoU 0.04 before, 1 after clipping
    found = suppress_any_class(
        tf.constant(boxes),
        tf.zeros([1, 2], tf.int32),
        tf.constant([[0.9, 0.8]]),
        threshold=0.1,
        iou_threshold=0.5,
        limit=2,
    )
    np.testing.assert_array_equal(found.mask, [[True, False]])


def test_nothing_above_the_threshold_gives_nothing():
    boxes, _ = random_boxes(0)
    kept, classes, values = suppress_per_class(boxes, np.zeros((20, 2)), threshold=0.1, iou_threshold=0.5, limit=5)
    assert (kept.shape, classes.shape, values.shape) == ((0, 4), (0,), (0,))
