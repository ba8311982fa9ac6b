"""Matching and sampling against slow loops."""

from __future__ import annotations

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

from detector.two_stage.matching import match  # noqa: E402
from detector.two_stage.sampling import balanced_sample, draws, image_numbers  # noqa: E402
from schemas.boxes import pairwise_iou  # noqa: E402


def random_boxes(rng, *shape):
    low = rng.random((*shape, 2)) * 0.7
    return np.concatenate([low, low + 0.05 + rng.random((*shape, 2)) * 0.25], axis=-1).astype(np.float32)


def match_by_loop(anchors, boxes, mask, allowed, ignored, low, high, force):
    """One image."""
    count = len(anchors)
    truth, positive, negative = np.zeros(count, int), np.zeros(count, bool), np.zeros(count, bool)
    overlap = pairwise_iou(anchors, boxes)
    rows = [m for m in range(len(boxes)) if mask[m]]
    for s in range(count):
        if not allowed[s]:
            continue
        best, truth[s] = 0.0, rows[0] if rows else 0
        for m in rows:
            if overlap[s, m] > best:
                best, truth[s] = overlap[s, m], m
        positive[s] = bool(rows) and best >= high
        negative[s] = best < low
        height, width = anchors[s][2:] - anchors[s][:2]
        for m in range(len(boxes)):
            down = min(anchors[s][2], boxes[m][2]) - max(anchors[s][0], boxes[m][0])
            across = min(anchors[s][3], boxes[m][3]) - max(anchors[s][1], boxes[m][1])
            if ignored[m] and max(down, 0) * max(across, 0) >= 0.5 * height * width:
                negative[s] = False
    if force:
        owner = {}
        for m in rows:
            values = [overlap[s, m] if allowed[s] else -1 for s in range(count)]
            s = int(np.argmax(values))
            if values[s] > 0 and (s not in owner or overlap[s, m] > overlap[s, owner[s]]):
                owner[s] = m
        for s, m in owner.items():
            truth[s], positive[s], negative[s] = m, True, False
    return truth, positive, negative


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("own_anchors", [False, True])
def test_matching_against_a_loop(force, own_anchors):
    rng = np.random.default_rng(3)
    batch, count, truths = 6, 80, 7
    anchors = random_boxes(rng, batch, count) if own_anchors else random_boxes(rng, count)
    boxes = random_boxes(rng, batch, truths)
    boxes[0, 0] = (anchors[0] if own_anchors else anchors)[5]  # a perfect one
    boxes[1, :3] = boxes[1, 3]  # one box four times: the first has the anchor
    kind = rng.integers(0, 4, (batch, truths))
    mask, ignored = kind < 2, kind == 2
    mask[2] = False  # an image without truths
    allowed = rng.random((batch, count) if own_anchors else count) < 0.8
    found = match(
        tf.constant(anchors),
        tf.constant(boxes),
        tf.constant(mask),
        low=0.1,
        high=0.4,
        force=force,
        allowed=tf.constant(allowed),
        ignored=tf.constant(ignored),
    )
    seen = 0
    for b in range(batch):
        mine, ok = (anchors[b], allowed[b]) if own_anchors else (anchors, allowed)
        truth, positive, negative = match_by_loop(mine, boxes[b], mask[b], ok, ignored[b], 0.1, 0.4, force)
        np.testing.assert_array_equal(found.positive[b], positive)
        np.testing.assert_array_equal(found.negative[b], negative)
        np.testing.assert_array_equal(found.truth.numpy()[b][positive], truth[positive])
        seen += positive.sum()
        assert not (found.positive[b].numpy() & found.negative[b].numpy()).any()
    assert seen >= 6


def test_no_truth_is_without_an_anchor():
    anchors = tf.constant([[0.0, 0.0, 0.5, 0.5], [0.5, 0.5, 1.0, 1.0]])
    small = tf.constant([[[0.1, 0.1, 0.12, 0.12], [0.2, 0.2, 0.4, 0.4]]])
    found = match(anchors, small, tf.constant([[True, True]]), low=0.3, high=0.7, force=True)
    assert found.positive.numpy().tolist() == [[True, False]]
    assert found.truth[0, 0] == 1  # overlaps it more than the smaller one
    alone = match(anchors, small, tf.constant([[True, False]]), low=0.3, high=0.7, force=True)
    assert alone.positive.numpy().tolist() == [[True, False]]


def sample_by_loop(positive, negative, drawn, size, share):
    """One image."""

    def best(rows, count):
        return sorted(rows, key=lambda s: (-drawn[s], s))[:count]

    yes = best(np.flatnonzero(positive), int(size * share))
    return yes, best(np.flatnonzero(negative), size - len(yes))


@pytest.mark.parametrize(("size", "share"), [(16, 0.5), (16, 0.25), (5, 1.0), (200, 0.5)])
def test_sampling_against_a_loop(size, share):
    rng = np.random.default_rng(1)
    kind = rng.integers(0, 3, (5, 60))
    kind[0], kind[1] = 1, np.where(np.arange(60) < 2, 0, 1)
    positive, negative, drawn = kind == 0, kind == 1, rng.random((5, 60)).astype(np.float32)
    yes, no = balanced_sample(tf.constant(positive), tf.constant(negative), tf.constant(drawn), size=size, share=share)
    for b in range(5):
        wanted = sample_by_loop(positive[b], negative[b], drawn[b], size, share)
        assert set(np.flatnonzero(yes[b])) == set(wanted[0])
        assert set(np.flatnonzero(no[b])) == set(wanted[1])


def test_draws_belong_to_the_image_whatever_the_batch():
    whole = draws(7, "rois", image_numbers(tf.constant(40), tf.constant(8)), 30).numpy()
    parts = [
        draws(7, "rois", image_numbers(tf.constant(seen), tf.constant(2)), 30).numpy() for seen in (34, 36, 38, 40)
    ]
    np.testing.assert_array_equal(whole, np.concatenate(parts))
    assert len(np.unique(whole)) == whole.size
    assert whole.min() >= 0
    assert whole.max() < 1
    other = draws(7, "anchors", image_numbers(tf.constant(40), tf.constant(8)), 30).numpy()
    again = draws(2**32 - 1, "rois", image_numbers(tf.constant(40), tf.constant(8)), 30).numpy()
    assert not np.any(whole == other)
    assert not np.any(whole == again)
