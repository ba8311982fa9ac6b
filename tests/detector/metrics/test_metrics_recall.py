"""Class-agnostic recall, CorLoc, matching one to one: by hand and against loops."""

from __future__ import annotations

import numpy as np
import pytest

from detector.metrics.matching import match_any_class, match_batch
from detector.metrics.recall import best_boxes, correct_localisation, first_hit_rank, recall_per_class
from schemas.boxes import pairwise_iou
from tests.detector.metrics.columns_of import found_of, truths_of

A, B, C, D = (0, 0, 10, 10), (20, 0, 30, 10), (50, 50, 60, 60), (0, 0, 10, 6)


def test_recall_by_hand():
    truths = truths_of(
        [(0, 1, A, False, False), (0, 2, B, False, False), (1, 1, C, False, False), (1, 1, A, True, False)]
    )
    found = found_of([(0, 7, C, 0.9), (0, 1, B, 0.8), (0, 1, D, 0.7), (1, 2, C, 0.1)])
    ranks = first_hit_rank(truths, found)
    assert ranks[:3].tolist() == [2, 1, 0]  # D overlaps A by 0.6, whatever it is called
    table = recall_per_class(truths, ranks, [1, 2, 3], (1, 2, 3))
    assert table == {1: {1: 0.5, 2: 0.5, 3: 1.0}, 2: {1: 0.0, 2: 1.0, 3: 1.0}, 3: {1: None, 2: None, 3: None}}


@pytest.mark.parametrize("seed", range(6))
def test_ranks_equal_a_slow_loop(seed):
    rng = np.random.default_rng(seed)

    def boxes(count):
        low = rng.integers(0, 30, (count, 2))
        return np.concatenate([low, low + rng.integers(5, 30, (count, 2))], axis=1).astype(float)

    truths = truths_of([(int(rng.integers(4)), 1, tuple(box), False, False) for box in boxes(20)])
    found = found_of([(int(rng.integers(5)), 1, tuple(box), float(rng.random())) for box in boxes(60)])
    ranks = first_hit_rank(truths, found)
    for row in range(len(truths)):
        mine = sorted(
            (k for k in range(len(found)) if found.image[k] == truths.image[row]), key=lambda k: -found.score[k]
        )
        hits = [
            place
            for place, k in enumerate(mine)
            if pairwise_iou(found.box[k][None], truths.box[row][None])[0, 0] >= 0.5
        ]
        assert ranks[row] == (hits[0] if hits else np.iinfo(np.int64).max)


def test_corloc_looks_at_the_best_box_of_a_class_in_images_that_hold_it():
    truths = truths_of(
        [(0, 1, A, False, False), (0, 1, B, False, False), (1, 1, A, False, False), (2, 1, A, True, False),
         (3, 2, A, False, False), (4, 1, A, False, False)]
    )  # fmt: skip
    found = found_of([(0, 1, C, 0.1), (0, 1, B, 0.9), (1, 1, A, 0.5), (1, 1, C, 0.6), (3, 1, A, 0.9), (3, 2, D, 0.2)])
    table = correct_localisation(truths, best_boxes(found), [1, 2, 3])
    assert table == {1: (1, 3), 2: (1, 1), 3: (0, 0)}  # image 1 is wrong first, 4 has nothing; 2 holds an ignored one


def test_best_boxes_keep_the_first_of_equals():
    best = best_boxes(found_of([(0, 1, A, 0.5), (0, 1, B, 0.5), (0, 2, C, 0.4), (1, 1, C, 0.3)]))
    assert sorted(map(tuple, best.box.tolist())) == sorted([A, C, C])


def test_matching_is_one_to_one_best_proposal_first():
    truths = np.array([A, (0, 0, 10, 8)], float)
    proposals = np.array([(0, 0, 10, 9), A, C], float)  # the first overlaps A by 0.9 and the second truth by 0.889
    assert match_any_class(truths, proposals).tolist() == [0, 1]
    assert match_any_class(truths[:1], proposals[1:]).tolist() == [0]
    assert match_any_class(truths, proposals[2:]).tolist() == [-1, -1]
    assert match_any_class(truths[:0], proposals).tolist() == []


def test_a_padded_batch_is_matched_image_by_image():
    truths = np.array([[A, B], [C, A]], np.float32)
    proposals = np.array([[B, A], [C, A]], np.float32)
    taken = match_batch(truths, np.array([2, 1]), proposals, np.array([1, 2]))
    assert taken.tolist() == [[-1, 0], [0, -1]]
