"""Suppression against loops."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

tf = pytest.importorskip("tensorflow")

from detector import nms  # noqa: E402
from detector.decode.tables import walk_tables  # noqa: E402
from detector.nms import suppress  # noqa: E402
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


def test_boxes_that_become_one_when_they_are_cut_to_the_image_are_two():
    boxes = np.array([[[0.5, 0.5, 1.0, 1.0], [0.5, 0.5, 3.0, 3.0]]], np.float32)  # IoU 0.04, and 1 when cut
    found = suppress(
        tf.constant(boxes),
        tf.zeros([1, 2], tf.int32),
        tf.constant([[0.9, 0.8]]),
        threshold=0.1,
        iou_threshold=0.5,
        limit=2,
    )
    np.testing.assert_array_equal(found.boxes, boxes)


def test_no_boxes_at_all_give_empty_rows():
    found = suppress(
        tf.zeros([2, 0, 4]), tf.zeros([2, 0], tf.int32), tf.zeros([2, 0]), threshold=0.1, iou_threshold=0.5, limit=3
    )
    assert found.boxes.shape == (2, 3, 4)
    assert not found.mask.numpy().any()


def test_subtree_without_a_tree_is_an_error():
    with pytest.raises(ValueError, match="needs the tables of the tree"):
        suppress(
            tf.zeros([1, 2, 4]),
            tf.zeros([1, 2], tf.int32),
            tf.zeros([1, 2]),
            threshold=0.1,
            iou_threshold=0.5,
            limit=3,
            suppression="subtree",
        )
