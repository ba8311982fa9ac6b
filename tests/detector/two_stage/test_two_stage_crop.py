"""Crops against a slow bilinear loop and TensorFlow's operation; proposals against loops and TensorFlow's operation."""

from __future__ import annotations

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

from detector.two_stage.box_coder import decode  # noqa: E402
from detector.two_stage.crop import CropLayer, crop_and_resize  # noqa: E402
from detector.two_stage.grid_anchors import grid_anchors  # noqa: E402
from detector.two_stage.proposals import ProposalLayer, filled, propose  # noqa: E402
from schemas.boxes import pairwise_iou  # noqa: E402


def crop_by_loop(features, box, size):
    """One box of one map f[H, W, C]; cell i has its middle at i + 1/2."""
    height, width, channels = features.shape
    result = np.zeros((size, size, channels))
    for i in range(size):
        for j in range(size):
            y = (box[0] + (i + 0.5) / size * (box[2] - box[0])) * height - 0.5
            x = (box[1] + (j + 0.5) / size * (box[3] - box[1])) * width - 0.5
            y, x = min(max(y, 0), height - 1), min(max(x, 0), width - 1)
            top, left = int(np.floor(y)), int(np.floor(x))
            for row, column in ((top, left), (top, left + 1), (top + 1, left), (top + 1, left + 1)):
                weight = max(0, 1 - abs(y - row)) * max(0, 1 - abs(x - column))
                if weight:
                    result[i, j] += weight * features[row, column]
    return result


def random_boxes(rng, *shape):
    low = rng.random((*shape, 2)) * 0.9
    return np.concatenate([low, low + rng.random((*shape, 2)) * (1 - low)], axis=-1).astype(np.float32)


@pytest.mark.parametrize("method", ["op", "matmul"])
@pytest.mark.parametrize(("height", "width"), [(5, 9), (1, 1), (2, 16)])
def test_crops_against_a_loop(method, height, width):
    rng = np.random.default_rng(0)
    features = rng.normal(size=(2, height, width, 3)).astype(np.float32)
    boxes = random_boxes(rng, 2, 6)
    boxes[0, 0], boxes[0, 1], boxes[1, 0] = (0, 0, 1, 1), (0.99, 0.99, 1, 1), (0, 0, 0.02, 0.01)
    boxes[1, 1] = 0  # an empty row
    found = crop_and_resize(tf.constant(features), tf.constant(boxes), 7, method).numpy()
    assert found.shape == (2, 6, 7, 7, 3)
    for b in range(2):
        for r in range(6):
            np.testing.assert_allclose(found[b, r], crop_by_loop(features[b], boxes[b, r], 7), atol=2e-5)


def test_the_whole_picture_at_its_own_size_is_the_map():
    features = np.random.default_rng(1).normal(size=(1, 6, 6, 2)).astype(np.float32)
    for method in ("op", "matmul"):
        found = crop_and_resize(tf.constant(features), tf.constant([[[0.0, 0, 1, 1]]]), 6, method)
        np.testing.assert_allclose(found[0, 0], features[0], atol=1e-5)


def test_crops_against_tensorflows_operation():
    # Inside the outermost middles both read the same points, once the corners are named alike.
    rng = np.random.default_rng(2)
    features, size = rng.normal(size=(1, 12, 20, 4)).astype(np.float32), 5
    low = 0.1 + rng.random((8, 2)) * 0.3
    boxes = np.concatenate([low, low + 0.2 + rng.random((8, 2)) * 0.3], axis=1).astype(np.float32)
    half = (boxes[:, 2:] - boxes[:, :2]) / (2 * size)
    cells = np.array([12, 20, 12, 20])
    corners = ((boxes + np.concatenate([half, -half], axis=1)) * cells - 0.5) / (cells - 1)
    wanted = tf.image.crop_and_resize(features, corners.astype(np.float32), [0] * 8, [size, size])
    np.testing.assert_allclose(crop_and_resize(features, boxes[None], size)[0], wanted, atol=1e-5)


@pytest.mark.parametrize("method", ["op", "matmul"])
def test_gradients_reach_the_features_and_not_the_boxes(method):
    rng = np.random.default_rng(3)
    features, boxes = tf.constant(rng.normal(size=(1, 4, 5, 2)), tf.float32), tf.constant(random_boxes(rng, 1, 3))
    weights = rng.normal(size=(1, 3, 3, 3, 2)).astype(np.float32)
    with tf.GradientTape() as tape:
        tape.watch([features, boxes])
        total = tf.reduce_sum(crop_and_resize(features, boxes, 3, method) * weights)
    gradient, to_boxes = tape.gradient(total, [features, boxes])
    assert to_boxes is None
    wanted = np.zeros((4, 5, 2))  # the operation is linear: its gradient is its value on unit maps
    for j in range(4):
        for i in range(5):
            unit = np.zeros((4, 5, 1))
            unit[j, i] = 1
            crops = np.stack([crop_by_loop(unit, box, 3) for box in boxes[0].numpy()])
            wanted[j, i] = np.sum(crops * weights[0], axis=(0, 1, 2))
    np.testing.assert_allclose(gradient[0], wanted, atol=1e-5)


def test_the_layer_pools_and_keeps_its_settings():
    rng = np.random.default_rng(4)
    features, boxes = rng.normal(size=(2, 6, 6, 3)).astype(np.float32), random_boxes(rng, 2, 4)
    layer = CropLayer(6, 2)
    found = CropLayer.from_config(layer.get_config())(features, boxes).numpy()
    assert found.shape == layer.compute_output_shape(features.shape, boxes.shape) == (8, 3, 3, 3)
    crop = crop_by_loop(features[1], boxes[1, 2], 6)
    wanted = crop.reshape(3, 2, 3, 2, 3).max(axis=(1, 3))
    np.testing.assert_allclose(found[6], wanted, atol=1e-5)
    half = crop_and_resize(tf.cast(features, tf.bfloat16), boxes, 6, "matmul")
    assert half.dtype == tf.bfloat16


def clustered(rng, batch, count):
    centers, sides = rng.random((batch, count, 2)), 0.05 + rng.random((batch, count, 2)) * 0.4
    boxes = np.concatenate([centers - sides / 2, centers + sides / 2], axis=-1)
    return boxes.astype(np.float32), rng.normal(size=(batch, count)).astype(np.float32) * 3


def greedy(boxes, scores, threshold):
    """Rows that stay, by falling score: none overlaps a better one that stays."""
    order, kept = np.argsort(-scores, kind="stable"), []
    while len(order):
        kept.append(order[0])
        order = order[1:][pairwise_iou(boxes[order[:1]], boxes[order[1:]])[0] <= threshold]
    return kept


@pytest.mark.parametrize("threshold", [0.7, 0.3])
def test_proposals_against_a_loop_and_tensorflows_operation(threshold):
    boxes, logits = clustered(np.random.default_rng(5), 3, 700)
    found = propose(tf.constant(boxes), tf.constant(logits), count=40, iou_threshold=threshold)
    for b in range(3):
        clipped = boxes[b].clip(0, 1)
        rows = greedy(clipped, logits[b], threshold)[:40]
        there = found.mask[b].numpy()
        assert there.sum() == len(rows)
        np.testing.assert_array_equal(found.boxes[b].numpy()[there], clipped[rows])
        np.testing.assert_allclose(found.scores[b].numpy()[there], 1 / (1 + np.exp(-logits[b][rows])), rtol=1e-5)
        published = tf.image.non_max_suppression(clipped, logits[b], 40, threshold)
        np.testing.assert_array_equal(rows, published)


def test_few_proposals_are_filled_up_with_empty_rows():
    boxes = tf.constant([[[0.1, 0.1, 0.5, 0.5], [0.1, 0.1, 0.5, 0.51], [0.6, 0.6, 0.6, 0.9], [1.2, 0.1, 1.5, 0.5]]])
    found = propose(boxes, tf.constant([[0.0, 1.0, 9.0, 9.0]]), count=3)
    assert found.mask.numpy().tolist() == [[True, False, False]]  # one is a double, one has no area, one is outside
    np.testing.assert_allclose(found.boxes[0], [[0.1, 0.1, 0.5, 0.51], [0] * 4, [0] * 4], atol=1e-6)
    assert filled(found.boxes).numpy().tolist() == [[True, False, False]]
    assert found.scores[0, 1] == 0


def test_only_the_likeliest_candidates_are_looked_at():
    boxes, logits = clustered(np.random.default_rng(6), 1, 50)
    found = propose(tf.constant(boxes), tf.constant(logits), count=50, iou_threshold=1.0, candidates=7)
    assert found.mask.numpy().sum() <= 7
    best = boxes[0].clip(0, 1)[np.argsort(-logits[0])[:7]]
    np.testing.assert_array_equal(found.boxes[0, :7], best)


def test_the_proposal_layer_decodes_entries():
    rng = np.random.default_rng(7)
    entries = rng.normal(size=(2, 3, 4, 2, 5)).astype(np.float32)
    shapes = ((1.5, 1.0), (2.0, 2.5))
    layer = ProposalLayer.from_config(ProposalLayer(shapes, 6, name="p").get_config())
    flat = entries.reshape(2, -1, 5)
    wanted = propose(decode(flat[..., :4], grid_anchors(tf.constant(shapes), (3, 4))), flat[..., 4], count=6)
    np.testing.assert_array_equal(layer(entries), wanted.boxes)


def test_proposals_compile_with_unknown_sizes():
    spec = [tf.TensorSpec([None, None, 4]), tf.TensorSpec([None, None])]
    compiled = tf.function(lambda b, s: propose(b, s, count=5, iou_threshold=0.5).boxes, input_signature=spec)
    boxes, logits = clustered(np.random.default_rng(8), 2, 30)
    np.testing.assert_array_equal(compiled(boxes, logits), propose(boxes, logits, count=5, iou_threshold=0.5).boxes)
