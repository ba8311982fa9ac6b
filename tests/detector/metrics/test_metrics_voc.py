"""Precision and VOC's rules against loops written from the devkit's text, and by hand."""

from __future__ import annotations

import numpy as np
import pytest

from detector.metrics.columns import pairwise_overlap
from detector.metrics.precision import ranked_curve
from detector.metrics.voc import class_curves, verdicts
from tests.detector.metrics.columns_of import found_of, truths_of

A, B, C = (0, 0, 10, 10), (20, 0, 30, 10), (50, 50, 60, 60)


def random_set(seed, *, classes=4, images=8):
    """Truths that overlap each other, difficult ones among them, and detections near to and far from them."""
    rng = np.random.default_rng(seed)
    truths, found = [], []
    for image in range(images):
        for _ in range(rng.integers(0, 5)):
            x, y, w, h = *rng.integers(0, 40, 2), *rng.integers(8, 40, 2)
            klass = int(rng.integers(1, classes + 1))
            box = (float(x), float(y), float(x + w), float(y + h))
            truths.append((image, klass, box, bool(rng.random() < 0.25), False))
            for _ in range(rng.integers(0, 4)):
                moved = tuple(float(v) for v in np.array(box) + rng.integers(-5, 6, 4))
                said = klass if rng.random() < 0.8 else int(rng.integers(1, classes + 1))
                found.append((image, said, moved, float(rng.random())))
        x, y, w, h = *rng.integers(0, 40, 2), *rng.integers(4, 30, 2)
        found.append((image, int(rng.integers(1, classes + 1)), (x, y, x + w, y + h), float(rng.random())))
    return truths, found


def slow_iou(a, b, edge):
    width = min(a[2], b[2]) - max(a[0], b[0]) + edge
    height = min(a[3], b[3]) - max(a[1], b[1]) + edge
    if width <= 0 or height <= 0:
        return 0.0
    inter = width * height

    def area(box):
        return (box[2] - box[0] + edge) * (box[3] - box[1] + edge)

    return inter / (area(a) + area(b) - inter)


def slow_points(truths, found, klass, edge):
    """(precision, recall) by rank, as the devkit's loop; None without truths."""
    positives = sum(t[1] == klass and not t[3] for t in truths)
    taken, hits, misses, points = set(), 0, 0, []
    for image, _, box, _ in sorted((d for d in found if d[1] == klass), key=lambda d: -d[3]):
        best, which = -1.0, None
        for number, truth in enumerate(truths):
            if truth[0] == image and truth[1] == klass and slow_iou(box, truth[2], edge) > best:
                best, which = slow_iou(box, truth[2], edge), number
        if best >= 0.5:
            if truths[which][3]:
                continue
            if which in taken:
                misses += 1
            else:
                hits += 1
                taken.add(which)
        else:
            misses += 1
        points.append((hits / (hits + misses), hits / positives if positives else 0.0))
    return points if positives else None


def slow_area(points):
    total, before = 0.0, 0.0
    for rank, (_, recall) in enumerate(points):
        total += (recall - before) * max(p for p, _ in points[rank:])
        before = recall
    return total


def slow_eleven(points):
    return sum(max([p for p, r in points if r >= at], default=0.0) for at in np.arange(0, 1.1, 0.1)) / 11


@pytest.mark.parametrize("edge", [0.0, 1.0])
@pytest.mark.parametrize("seed", range(12))
def test_every_class_equals_the_slow_loop(seed, edge):
    truths, found = random_set(seed)
    curves = class_curves(truths_of(truths), found_of(found), [1, 2, 3, 4, 5], edge=edge)
    assert curves[5] is None
    for klass in (1, 2, 3, 4):
        points = slow_points(truths, found, klass, edge)
        if points is None:
            assert curves[klass] is None
            continue
        assert curves[klass].area() == pytest.approx(slow_area(points), abs=1e-12)
        assert curves[klass].eleven_points() == pytest.approx(slow_eleven(points), abs=1e-12)
        np.testing.assert_allclose(np.stack(curves[klass][:2], axis=1), np.array(points).reshape(-1, 2), atol=1e-12)


def test_eleven_points_and_area_by_hand():
    curve = ranked_curve(np.array([0.9, 0.8, 0.7]), np.array([1.0, 0.0, 1.0]), 4)  # P 1, 1/2, 2/3; R 1/4, 1/4, 1/2
    assert curve.area() == pytest.approx(0.25 * 1 + 0.25 * 2 / 3)
    assert curve.eleven_points() == pytest.approx((3 * 1 + 3 * 2 / 3) / 11)  # recall 0 to 0.2, and 0.3 to 0.5


def test_detection_of_a_taken_truth_is_false_though_a_second_truth_would_do():
    close = [(0, 1, (0, 0, 10, 10), False, False), (0, 1, (0, 0, 10, 11), False, False)]
    found = [(0, 1, (0, 0, 10, 10), 0.9), (0, 1, (0, 0, 10, 10), 0.8)]
    assert verdicts(truths_of(close), found_of(found)).tolist() == [1, 0]


def test_difficult_truths_are_neither_hits_nor_misses_and_are_never_taken():
    truths = [(0, 1, A, True, False), (0, 1, B, False, False)]
    found = [(0, 1, A, 0.9), (0, 1, A, 0.8), (0, 1, B, 0.7), (0, 1, C, 0.6), (0, 2, B, 0.5), (1, 1, B, 0.4)]
    assert verdicts(truths_of(truths), found_of(found)).tolist() == [-1, -1, 1, 0, 0, 0]
    assert class_curves(truths_of(truths), found_of(found), [1])[1].area() == 1.0


def test_order_of_the_rows_does_not_matter():
    truths, found = random_set(3)
    order = np.random.default_rng(0).permutation(len(found))
    first = class_curves(truths_of(truths), found_of(found), [1, 2])
    second = class_curves(truths_of(truths[::-1]), found_of([found[k] for k in order]), [1, 2])
    assert first[1].area() == second[1].area()


def test_overlap_in_whole_pixels_counts_both_ends():
    a, b = np.array([[0.0, 0, 9, 9]]), np.array([[0.0, 0, 9, 4]])  # 10 x 10 and 10 x 5 pixels
    assert pairwise_overlap(a, b, edge=1).tolist() == [[0.5]]
    assert pairwise_overlap(a, b)[0, 0] == pytest.approx(4 / 9)
    assert pairwise_overlap(b, a, over="first").tolist() == [[1.0]]
    assert pairwise_overlap(np.zeros((1, 4)), np.zeros((1, 4))).tolist() == [[0.0]]


def test_nothing_found_and_nothing_true():
    empty = found_of([])
    curves = class_curves(truths_of([(0, 1, A, False, False)]), empty, [1, 2])
    assert (curves[1].area(), curves[1].eleven_points(), curves[2]) == (0.0, 0.0, None)
    assert class_curves(truths_of([]), found_of([(0, 1, A, 0.5)]), [1]) == {1: None}


def test_continuous_boxes_overlap_as_the_devkits_whole_pixels_do():
    rng = np.random.default_rng(0)
    low = rng.integers(1, 40, (30, 2))
    pixels = np.concatenate([low, low + rng.integers(0, 40, (30, 2))], axis=1).astype(float)  # 1-based, inclusive
    continuous = pixels - [1, 1, 0, 0]
    np.testing.assert_array_equal(
        pairwise_overlap(pixels[:15], pixels[15:], edge=1), pairwise_overlap(continuous[:15], continuous[15:])
    )
