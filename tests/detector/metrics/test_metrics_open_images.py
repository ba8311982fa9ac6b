"""The Open Images Challenge's metric: numbers of the published metric code, a slow loop, and the law of expansion."""

from __future__ import annotations

import numpy as np
import pytest

from detector.metrics.open_images import class_curves, expand_labels, expand_truths
from tests.detector.metrics.columns_of import found_of, truths_of
from wordtree.tree import WordTree

# Seven images by hand, classes 1 to 3: single boxes, groups (last flag), taken and shifted truths.
TRUTHS = [
    (0, 1, (0, 0, 20, 20), False, False),
    (0, 1, (30, 0, 50, 20), False, False),
    (0, 1, (0, 40, 60, 100), False, True),
    (1, 1, (0, 0, 40, 40), False, True),
    (1, 2, (50, 50, 90, 90), False, False),
    (2, 2, (10, 10, 30, 30), False, False),
    (2, 2, (12, 10, 32, 30), False, False),
    (3, 2, (0, 0, 80, 80), False, True),
    (3, 2, (5, 5, 25, 25), False, False),
    (4, 3, (0, 0, 10, 10), False, True),
    (5, 3, (0, 0, 50, 50), False, True),
    (5, 3, (40, 0, 90, 50), False, True),
]
FOUND = [
    (0, 1, (0, 0, 20, 19), 0.95),
    (0, 1, (1, 0, 21, 20), 0.90),  # a second one on a taken truth, in no group
    (0, 1, (5, 45, 15, 55), 0.85),  # inside of the group
    (0, 1, (25, 60, 45, 80), 0.40),  # again: they collapse to one
    (0, 1, (30, 90, 50, 120), 0.80),  # a third of it inside: false
    (0, 2, (0, 0, 20, 20), 0.99),  # nobody looked for class 2 here: dropped
    (1, 1, (100, 100, 120, 120), 0.70),
    (1, 2, (52, 50, 92, 90), 0.60),
    (2, 2, (10, 10, 30, 30), 0.65),
    (2, 2, (11, 10, 31, 30), 0.64),  # as near to either; the first is taken
    (2, 1, (0, 0, 9, 9), 0.30),  # verified absent: false
    (3, 2, (5, 5, 25, 25), 0.55),
    (3, 2, (6, 5, 26, 25), 0.75),  # better, so it takes the truth, and the one above goes to the group
    (4, 3, (0, 0, 12, 12), 0.20),
    (5, 3, (38, 0, 60, 20), 0.33),  # in both groups: the one that holds more of it
    (5, 3, (0, 30, 20, 50), 0.31),
    (6, 1, (0, 0, 20, 20), 0.97),  # an image without any entry: dropped
]
VERIFIED = {(0, 1), (0, 3), (1, 1), (2, 1), (2, 2), (4, 3)}
# By OpenImagesChallengeEvaluator of object_detection/utils/object_detection_evaluation.py (tf-models, 2020-07) with
# these inputs and group_of_weight 1 (the Challenge) and 0 (Open Images V2); nan stands where nothing could be found.
PUBLISHED = {1.0: [0.41666666666666663, 0.72, 1.0], 0.0: [0.5, 0.6875, None]}


@pytest.mark.parametrize("weight", [1.0, 0.0])
def test_fixed_inputs_equal_the_published_metric_code(weight):
    curves = class_curves(truths_of(TRUTHS), found_of(FOUND), VERIFIED, [1, 2, 3], group_weight=weight)
    found = [None if curve is None else curve.area() for curve in curves.values()]
    assert found == pytest.approx(PUBLISHED[weight], abs=1e-12)


def overlap(a, b, first):
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    inter = max(width, 0) * max(height, 0)
    size_a, size_b = (a[2] - a[0]) * (a[3] - a[1]), (b[2] - b[0]) * (b[3] - b[1])
    return inter / (size_a if first else size_a + size_b - inter)


def slow_entries(truths, found, verified, klass, weight):
    """(score, credit) of one class, image by image, and what could be found."""
    entries, positives = [], 0.0
    for image in {row[0] for row in (*truths, *found)}:
        boxes = [t[2] for t in truths if t[:2] == (image, klass) and not t[4]]
        groups = [t[2] for t in truths if t[:2] == (image, klass) and t[4]]
        positives += len(boxes) + weight * len(groups)
        if not boxes and not groups and (image, klass) not in verified:
            continue
        taken, in_group = set(), {}
        for _, _, box, score in sorted((d for d in found if d[:2] == (image, klass)), key=lambda d: -d[3]):
            single = [overlap(box, other, False) for other in boxes]
            inside = [overlap(box, other, True) for other in groups]
            if single and max(single) >= 0.5 and single.index(max(single)) not in taken:
                taken.add(single.index(max(single)))
                entries.append((score, 1.0))
            elif inside and max(inside) >= 0.5:
                in_group.setdefault(inside.index(max(inside)), score)
            else:
                entries.append((score, 0.0))
        if weight:
            entries += [(score, weight) for score in in_group.values()]
    return entries, positives


@pytest.mark.parametrize("weight", [1.0, 0.0, 0.5])
@pytest.mark.parametrize("seed", range(8))
def test_random_sets_equal_the_slow_loop(seed, weight):
    rng = np.random.default_rng(seed)
    truths, found, verified = [], [], set()
    for image in range(6):
        for _ in range(rng.integers(0, 5)):
            x, y, w, h = (int(v) for v in (*rng.integers(0, 60, 2), *rng.integers(8, 40, 2)))
            klass = int(rng.integers(1, 4))
            truths.append((image, klass, (x, y, x + w, y + h), False, bool(rng.random() < 0.4)))
            for _ in range(rng.integers(0, 4)):
                moved = [int(v) for v in np.array([x, y, x + w, y + h]) + rng.integers(-3, 4, 4)]
                found.append((image, klass, moved, float(rng.random())))
        for klass in (1, 2, 3):
            if rng.random() < 0.5:
                verified.add((image, klass))
            found.append((image, klass, (1, 2, 9, 11), float(rng.random())))
    curves = class_curves(truths_of(truths), found_of(found), verified, [1, 2, 3], group_weight=weight)
    for klass, curve in curves.items():
        entries, positives = slow_entries(truths, found, verified, klass, weight)
        if not positives:
            assert curve is None
            continue
        hits = misses = area = 0.0
        points = []
        for _, credit in sorted(entries, key=lambda entry: -entry[0]):
            hits, misses = hits + credit, misses + (credit <= 0)
            points.append((hits / (hits + misses) if hits + misses else 0.0, hits / positives))
        before = 0.0
        for rank, (_, recall) in enumerate(points):
            area += (recall - before) * max(p for p, _ in points[rank:])
            before = recall
        assert curve.area() == pytest.approx(area, abs=1e-12)


# entity > (animal > (dog, cat), thing)
TREE = WordTree(["n1", "n2", "n3", "n4", "n5"], [-1, 0, 0, 1, 1])


def test_boxes_go_up_present_labels_go_up_absent_labels_go_down():
    spread = expand_truths(truths_of([(0, 3, (0, 0, 1, 1), False, True), (1, 2, (0, 0, 2, 2), False, False)]), TREE)
    assert sorted(zip(spread.image.tolist(), spread.klass.tolist(), spread.group.tolist(), strict=True)) == [
        (0, 0, True), (0, 1, True), (0, 3, True), (1, 0, False), (1, 2, False),
    ]  # fmt: skip
    assert expand_labels([(0, 3, True)], TREE) == {(0, 3), (0, 1), (0, 0)}
    assert expand_labels([(0, 1, False)], TREE) == {(0, 1), (0, 3), (0, 4)}


def test_boxes_without_area_are_dropped():
    truths = truths_of([(0, 1, (0, 0, 10, 10), False, False)])
    good, bad = (0, 1, (0, 0, 10, 10), 0.5), (0, 1, (5, 5, 5, 9), 0.9)
    assert class_curves(truths, found_of([bad, good]), set(), [1])[1].area() == 1.0
