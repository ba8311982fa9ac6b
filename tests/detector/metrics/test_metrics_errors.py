"""Kinds of errors: by hand, against a slow loop, and which classes are similar."""

from __future__ import annotations

import numpy as np
import pytest

from detector.metrics.errors import KINDS, counts_by_class, kinds, similar_nodes
from tests.detector.metrics.columns_of import found_of, truths_of
from wordtree.tree import WordTree

# entity > (animal > (dog > (terrier, hound), cat), chair)
TREE = WordTree([f"n{k}" for k in range(7)], [-1, 0, 0, 1, 1, 3, 3])
ENTITY, ANIMAL, CHAIR, DOG, CAT, TERRIER, HOUND = range(7)


def told(truths, found, nodes=(TERRIER, HOUND, CAT, CHAIR)):
    """The kind of each detection that is looked at, by its row; classes are 1 to 4."""
    classes = list(range(1, len(nodes) + 1))
    rows, kind = kinds(truths_of(truths), found_of(found), similar_nodes(list(nodes), TREE), classes)
    return {int(row): KINDS[k] for row, k in zip(rows, kind, strict=True)}


def test_similar_classes_share_a_node_below_the_roots_or_are_above_each_other():
    near = similar_nodes([TERRIER, HOUND, CAT, CHAIR, DOG, ENTITY], TREE)
    assert near[0].tolist() == [False, True, True, False, True, True]
    assert near[3].tolist() == [False, False, False, False, False, True]
    assert (near == near.T).all()
    by_distance = similar_nodes([TERRIER, HOUND, CAT, CHAIR], TREE, distance=2)
    assert by_distance[0].tolist() == [False, True, False, False]


def test_each_kind_by_hand():
    box, far = (0, 0, 10, 10), (50, 50, 60, 60)
    one = [(0, 1, box, False, False)]
    shifted = (0, 0, 10, 30)  # overlaps it by a third
    assert told(one, [(0, 1, box, 0.5)]) == {0: "correct"}
    assert told(one, [(0, 1, shifted, 0.5)]) == {0: "localisation"}
    assert told(one, [(0, 1, far, 0.5)]) == {0: "background"}
    assert told(one, [(1, 1, box, 0.5)]) == {0: "background"}
    both = [(0, 1, far, False, False), (0, 2, box, False, False), (0, 4, box, False, False)]
    assert told(both, [(0, 2, far, 0.5)]) == {0: "similar"}
    assert told(both, [(0, 4, far, 0.5)]) == {0: "other"}
    assert told(both, [(0, 1, box, 0.5)]) == {0: "similar"}  # two truths there: the similar one tells


def test_as_many_detections_as_truths_are_looked_at_the_best_ones():
    box = (0, 0, 10, 10)
    truths = [(0, 1, box, False, False), (1, 1, box, False, False)]
    found = [(0, 1, box, 0.5), (0, 1, box, 0.9), (2, 1, box, 0.8), (1, 1, box, 0.1)]
    assert told(truths, found) == {1: "correct", 2: "background"}


def test_second_detection_of_a_truth_is_a_matter_of_localisation_and_ignored_ones_are_left_out():
    box = (0, 0, 10, 10)
    truths = [(0, 1, box, False, False), (1, 1, box, False, False), (2, 1, box, True, False)]
    found = [(2, 1, box, 0.99), (0, 1, box, 0.9), (0, 1, (0, 0, 10, 9), 0.8)]
    assert told(truths, found) == {1: "correct", 2: "localisation"}


@pytest.mark.parametrize("seed", range(8))
def test_random_sets_equal_a_slow_loop(seed):
    rng = np.random.default_rng(seed)
    nodes = (TERRIER, HOUND, CAT, CHAIR)

    def rows(count, score):
        made = []
        for _ in range(count):
            x, y, w, h = (int(v) for v in (*rng.integers(0, 20, 2), *rng.integers(5, 20, 2)))
            last = (float(rng.random()),) if score else (bool(rng.random() < 0.2), False)
            made.append((int(rng.integers(3)), int(rng.integers(1, 5)), (x, y, x + w, y + h), *last))
        return made

    truths, found = rows(20, False), rows(60, True)

    def iou(a, b):
        w, h = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
        inter = max(w, 0) * max(h, 0)
        return inter / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - inter)

    expected = {}
    for klass in (1, 2, 3, 4):
        left = sum(t[1] == klass and not t[3] for t in truths)
        taken = set()
        for row in sorted((k for k in range(60) if found[k][1] == klass), key=lambda k: -found[k][3]):
            image, _, box, _ = found[row]
            here = [(iou(box, t[2]), k, t) for k, t in enumerate(truths) if t[0] == image]
            own = [entry for entry in here if entry[2][1] == klass]
            best = max(own, key=lambda entry: (entry[0], -entry[1]), default=(0, 0, None))
            hit = best[0] >= 0.5
            if hit and best[2][3]:
                continue
            first = hit and best[1] not in taken
            taken.update({best[1]} if hit else ())
            if not left:
                continue
            left -= 1
            near = [t[1] for value, _, t in here if value >= 0.1 and not t[3]]
            common = {1: {2, 3}, 2: {1, 3}, 3: {1, 2}, 4: set()}[klass]
            if first:
                expected[row] = "correct"
            elif klass in near:
                expected[row] = "localisation"
            elif common & set(near):
                expected[row] = "similar"
            else:
                expected[row] = "other" if near else "background"
    assert told(truths, found, nodes) == expected


def test_counts_by_class():
    found = found_of([(0, 1, (0, 0, 1, 1), 0.5), (0, 2, (0, 0, 1, 1), 0.5)])
    counts = counts_by_class(np.array([0, 1]), np.array([0, 4]), found, [1, 2, 3])
    assert counts[1] == {"correct": 1, "localisation": 0, "similar": 0, "other": 0, "background": 0}
    assert counts[2]["background"] == 1
    assert sum(counts[3].values()) == 0
