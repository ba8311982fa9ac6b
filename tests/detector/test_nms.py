"""Suppression against loops."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

tf = pytest.importorskip("tensorflow")

from detector import nms  # noqa: E402
from detector.decode.tables import walk_tables  # noqa: E402
from detector.nms import greedy, related_nodes, suppress, suppress_per_class  # noqa: E402
from detector.tree_softmax import tree_tables  # noqa: E402
from schemas.boxes import pairwise_iou  # noqa: E402
from wordtree.tree import WordTree  # noqa: E402

# 0 > (2, 3), 2 > (4, 5), 1 > (6, 7, 8)
TREE = WordTree([f"n{k:08d}" for k in range(9)], [-1, -1, 0, 0, 2, 2, 1, 1, 1])
TABLES = walk_tables(tree_tables(TREE))
RELATIONS = {
    "any": lambda a, b: True,
    "class": lambda a, b: a == b,
    "subtree": lambda a, b: a in TREE.path(b) or b in TREE.path(a),
}


def random_boxes(seed, count=20):
    rng = np.random.default_rng(seed)
    low = rng.random((count, 2)) * 0.6
    return np.concatenate([low, low + 0.1 + 0.3 * rng.random((count, 2))], axis=1).astype(np.float32), rng


def slow(boxes, scores, threshold, iou, related=lambda a, b: True, nodes=None):
    """Greedy: take the best that overlaps no related one that was taken."""
    nodes = [0] * len(boxes) if nodes is None else [int(node) for node in nodes]
    kept = []
    for k in sorted(range(len(boxes)), key=lambda k: -scores[k]):
        if scores[k] > threshold and all(
            not related(nodes[k], nodes[j]) or pairwise_iou(boxes[[k]], boxes[[j]])[0, 0] <= iou for j in kept
        ):
            kept.append(k)
    return kept


@pytest.mark.parametrize("block", [4, 256])  # boxes settle in several blocks, and in one
@pytest.mark.parametrize("suppression", sorted(RELATIONS))
@given(seed=st.integers(0, 2**31))
def test_suppression_equals_a_loop(suppression, block, seed):
    pairs = [random_boxes(seed + k) for k in range(2)]
    boxes, rng = np.stack([boxes for boxes, _ in pairs]), pairs[0][1]
    scores, nodes = rng.random((2, 20)).astype(np.float32), rng.integers(9, size=(2, 20)).astype(np.int32)
    options = {"threshold": 0.3, "iou_threshold": 0.25, "limit": 10, "suppression": suppression, "tables": TABLES}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nms, "BLOCK", block)
        found = suppress(tf.constant(boxes), tf.constant(nodes), tf.constant(scores), **options)
    for image in range(2):
        expected = slow(boxes[image], scores[image], 0.3, 0.25, RELATIONS[suppression], nodes[image])[:10]
        np.testing.assert_array_equal(found.mask[image], np.arange(10) < len(expected))
        count = len(expected)
        np.testing.assert_array_equal(found.boxes[image, :count], boxes[image][expected])
        np.testing.assert_array_equal(found.nodes[image, :count], nodes[image][expected])
        np.testing.assert_array_equal(found.scores[image, :count], scores[image][expected])
        assert not np.asarray(found.boxes[image, count:]).any()
        assert not np.asarray(found.scores[image, count:]).any()


@pytest.mark.parametrize("suppression", sorted(RELATIONS))
@given(seed=st.integers(0, 2**31))
def test_numpy_twin_equals_a_loop(suppression, seed):
    boxes, rng = random_boxes(seed)
    scores, nodes = rng.random(20), rng.integers(9, size=20)
    related = related_nodes(nodes, suppression, TABLES)
    np.testing.assert_array_equal(related, [[RELATIONS[suppression](a, b) for b in nodes] for a in nodes])
    expected = slow(boxes, scores, -1, 0.25, RELATIONS[suppression], nodes)
    np.testing.assert_array_equal(greedy(boxes, scores, 0.25, related), expected)


def test_long_chains_of_boxes_settle_as_the_loop_does():
    """Each box overlaps only its neighbours: every second one stays, and one round after the other is needed."""
    left = np.arange(60, dtype=np.float32) * 0.01
    boxes = np.stack([0 * left, left, 0 * left + 0.1, left + 0.018], axis=1)
    scores = np.linspace(0.9, 0.1, 60, dtype=np.float32)
    found = suppress(
        tf.constant(boxes[None]), tf.zeros([1, 60], tf.int32), tf.constant(scores[None]),
        threshold=0.0, iou_threshold=0.2, limit=60,
    )  # fmt: skip
    np.testing.assert_array_equal(found.scores[0, :30], scores[::2])
    assert int(tf.reduce_sum(tf.cast(found.mask, tf.int32))) == 30


def test_of_equal_scores_the_first_box_stays():
    boxes = tf.constant([[[0.1, 0.1, 0.5, 0.5], [0.1, 0.1, 0.5, 0.52], [0.1, 0.1, 0.5, 0.51]]])
    found = suppress(
        boxes, tf.constant([[7, 8, 6]]), tf.constant([[0.5, 0.5, 0.5]]), threshold=0.1, iou_threshold=0.5, limit=2
    )
    np.testing.assert_array_equal(found.nodes, [[7, 0]])


@pytest.mark.parametrize(("clip", "mask"), [(True, [[True, False]]), (False, [[True, True]])])
def test_boxes_that_become_one_when_clipped_to_the_image_are_one(clip, mask):
    boxes = np.array([[[0.5, 0.5, 1.0, 1.0], [0.5, 0.5, 3.0, 3.0]]], np.float32)  # IoU 0.04 before, 1 after clipping
    found = suppress(
        tf.constant(boxes),
        tf.zeros([1, 2], tf.int32),
        tf.constant([[0.9, 0.8]]),
        threshold=0.1,
        iou_threshold=0.5,
        limit=2,
        clip=clip,
    )
    np.testing.assert_array_equal(found.mask, mask)


def test_no_boxes_at_all_give_empty_rows():
    found = suppress(
        tf.zeros([2, 0, 4]), tf.zeros([2, 0], tf.int32), tf.zeros([2, 0]), threshold=0.1, iou_threshold=0.5, limit=3
    )
    assert found.boxes.shape == (2, 3, 4)
    assert not found.mask.numpy().any()


def test_subtree_without_a_tree_is_an_error():
    with pytest.raises(ValueError, match="needs the tables of the tree"):
        related_nodes(np.zeros(2, int), "subtree")


@given(seed=st.integers(0, 2**31), limit=st.sampled_from([1, 4, 100]))
def test_per_class_equals_a_loop_for_each_class(seed, limit):
    boxes, rng = random_boxes(seed)
    scores = rng.random((20, 5)).astype(np.float32)
    scores[:, 4] = 0.1  # a class without a box
    kept, classes, values = suppress_per_class(boxes, scores, threshold=0.5, iou_threshold=0.3, limit=limit)
    rows = [(float(scores[k, c]), k, c) for c in range(5) for k in slow(boxes, scores[:, c], 0.5, 0.3)]
    rows = sorted(rows, key=lambda row: (-row[0], row[1], row[2]))[:limit]
    np.testing.assert_array_equal(classes, [row[2] for row in rows])
    np.testing.assert_array_equal(values, np.array([row[0] for row in rows], np.float32))
    np.testing.assert_array_equal(kept, boxes[[row[1] for row in rows]])


def test_per_class_ends_where_boxes_are_empty():
    boxes = np.array([[0.5, 0.5, 0.5, 0.5], [0.1, 0.1, 0.2, 0.2]], np.float32)
    _, classes, values = suppress_per_class(
        boxes, np.array([[0.9], [0.8]], np.float32), threshold=0.1, iou_threshold=0.5, limit=5
    )
    np.testing.assert_array_equal(classes, [0, 0])
    np.testing.assert_allclose(values, [0.9, 0.8])


def test_nothing_above_the_threshold_gives_nothing():
    boxes, _ = random_boxes(0)
    kept, classes, values = suppress_per_class(boxes, np.zeros((20, 2)), threshold=0.1, iou_threshold=0.5, limit=5)
    assert (kept.shape, classes.shape, values.shape) == ((0, 4), (0,), (0,))
