"""Chains, names in the tree, calibration and AP at nodes, against `wordtree.metrics` and slow loops."""

from __future__ import annotations

import numpy as np
import pytest

from detector.metrics.calibration import calibration, calibration_by_depth
from detector.metrics.chains import Chains, chains_of, cut_at_truth, join_chains, stop
from detector.metrics.node_precision import expand_found, node_precision
from detector.metrics.tree_scores import chain_scores, name_scores, specificity_curve
from tests.detector.metrics.columns_of import found_of, truths_of
from wordtree.metrics import accuracy_by_depth, accuracy_specificity_curve, hierarchical_precision_recall, predict
from wordtree.probability import group_log_softmax, path_log_probs
from wordtree.tree import WordTree, from_parents

# animal(0) thing(1) | dog(2) cat(3) bird(4) | terrier(5) hound(6) | chair(7)
TREE = WordTree([f"n{k}" for k in range(8)], [-1, -1, 0, 0, 0, 2, 2, 1])
ANIMAL, THING, DOG, CAT, BIRD, TERRIER, HOUND, CHAIR = range(8)


def random_tree(rng, count=30):
    parents = {f"n{k:02d}": None if k == 0 or rng.random() < 0.1 else f"n{rng.integers(k):02d}" for k in range(count)}
    return from_parents(parents)


def random_chains(seed, rows=40):
    """A tree, absolute probabilities, true leaves and the chains."""
    rng = np.random.default_rng(seed)
    tree = random_tree(rng)
    logs = group_log_softmax(rng.normal(size=(rows, len(tree))) * 2, tree)
    truth = rng.choice(np.flatnonzero(tree.is_leaf), rows).astype(np.int64)
    return tree, np.exp(path_log_probs(logs, tree)), truth, chains_of(logs, truth, tree)


@pytest.mark.parametrize("seed", range(6))
def test_a_chain_stops_where_the_walk_does_at_every_threshold(seed):
    tree, probs, truth, chains = random_chains(seed)
    for threshold in (-1.0, 0.0, 0.02, 0.1, 0.3, 0.5, 0.9, 1.0):
        np.testing.assert_array_equal(stop(chains, threshold), predict(probs, tree, threshold))
    again = chains_of(np.log(probs), truth, tree, absolute=True)
    np.testing.assert_array_equal(again.nodes, chains.nodes)
    np.testing.assert_allclose(again.probs, chains.probs, atol=1e-12)


@pytest.mark.parametrize("seed", range(4))
def test_curve_and_scores_equal_those_on_all_probabilities(seed):
    tree, probs, truth, chains = random_chains(seed)
    expected = accuracy_specificity_curve(probs, truth, tree)
    curve = specificity_curve(chains, tree)
    np.testing.assert_allclose(curve["information"], expected.information, atol=1e-12)
    np.testing.assert_allclose(curve["correct"], expected.correct, atol=1e-12)
    assert curve["area"] == pytest.approx(expected.area)
    assert curve["information_at_95"] == pytest.approx(expected.information_at(0.95))
    said = predict(probs, tree, 0.5)
    scores = chain_scores(chains, tree)
    assert scores["walk"]["hF"] == pytest.approx(hierarchical_precision_recall(truth, said, tree).f)
    shares, rows = accuracy_by_depth(truth, said, tree)
    assert [(row["rows"], row["correct"]) for row in scores["walk"]["by_depth"]] == [
        (int(n), pytest.approx(float(s))) for s, n in zip(shares, rows, strict=True) if n
    ]


def test_scores_by_hand():
    truth = np.array([TERRIER, TERRIER, DOG, DOG, CHAIR])
    said = np.array([DOG, HOUND, TERRIER, CAT, -1])
    scores = name_scores(truth, said, TREE)
    assert scores["exact"] == pytest.approx(1 / 5)  # a terrier where a dog was said to be counts as that dog
    assert scores["correct"] == pytest.approx(3 / 5)  # "dog", the dog itself, and nothing
    assert scores["hP"] == pytest.approx((2 + 2 + 2 + 1 + 0) / (2 + 3 + 2 + 2 + 0))
    assert scores["hR"] == pytest.approx((2 + 2 + 2 + 1 + 0) / (3 + 3 + 2 + 2 + 2))
    assert scores["distance"] == pytest.approx((1 + 2 + 0 + 2 + 2) / 5)
    assert scores["severity"] == pytest.approx((1 + 2) / 2)  # below "dog" 1 edge, below "animal" 2
    assert name_scores(np.array([CAT]), np.array([CAT]), TREE)["severity"] is None
    assert name_scores(np.array([CAT]), np.array([-1]), TREE)["hP"] is None


def test_predictions_below_a_truth_are_cut_there():
    truth = np.array([DOG, DOG, DOG, TERRIER, CAT])
    said = np.array([TERRIER, CAT, -1, TERRIER, TERRIER])
    assert cut_at_truth(said, truth, TREE).tolist() == [DOG, CAT, -1, TERRIER, TERRIER]


def test_no_rows_have_no_scores():
    empty = join_chains([], TREE)
    assert chain_scores(empty, TREE) is None
    assert len(join_chains([empty, empty], TREE)) == 0


@pytest.mark.parametrize("seed", range(4))
def test_calibration_equals_a_slow_loop(seed):
    rng = np.random.default_rng(seed)
    confidence = np.round(rng.random(200), 2)
    right = rng.random(200) < confidence**2
    error = 0.0
    for low in range(10):
        rows = [
            k for k in range(200) if low / 10 < confidence[k] <= (low + 1) / 10 or (low == 0 and confidence[k] == 0)
        ]
        if rows:
            gap = np.mean([right[k] for k in rows]) - np.mean([confidence[k] for k in rows])
            error += len(rows) / 200 * abs(gap)
    found = calibration(confidence, right, bins=10)
    assert found.error == pytest.approx(error, abs=1e-9)
    assert (found.rows, found.correct) == (200, pytest.approx(right.mean()))


def test_calibration_tells_each_softmax_from_the_product():
    nodes = np.array([[ANIMAL, DOG, TERRIER], [ANIMAL, CAT, -1]])
    probs = np.array([[0.8, 0.4, 0.3], [0.5, 0.3, 0.0]])
    rows = calibration_by_depth(Chains(np.array([TERRIER, BIRD]), nodes, probs), TREE)
    assert [row["depth"] for row in rows] == [0, 1, 2]
    assert (rows[0]["product"]["confidence"], rows[0]["product"]["correct"]) == (pytest.approx(0.65), 1.0)
    assert rows[1]["product"]["confidence"] == pytest.approx(0.35)
    assert rows[1]["conditional"]["confidence"] == pytest.approx((0.4 / 0.8 + 0.3 / 0.5) / 2)
    assert rows[1]["conditional"]["correct"] == 0.5
    assert rows[2]["conditional"]["rows"] == 1
    assert rows[2]["conditional"]["confidence"] == pytest.approx(0.75)


def test_detection_of_a_parent_scores_at_the_parent_and_above_only():
    box, other = (0, 0, 10, 10), (30, 30, 40, 40)
    truths = truths_of([(0, TERRIER, box, False, False), (0, CAT, other, False, False)])
    found = expand_found(found_of([(0, DOG, box, 0.9), (0, CAT, other, 0.8)]), TREE)
    precision = node_precision(truths, found, TREE)
    assert precision["nodes"] == {ANIMAL: 1.0, DOG: 1.0, CAT: 1.0, TERRIER: 0.0}
    assert precision["AP50"] == 0.75
    assert [(row["depth"], row["nodes"], row["AP50"]) for row in precision["by_depth"]] == [
        (0, 1, 1.0), (1, 2, 1.0), (2, 1, 0.0),
    ]  # fmt: skip


def test_spread_detections_of_one_object_meet_above_and_the_best_stays():
    box, near = (0.0, 0.0, 10.0, 10.0), (0.0, 0.0, 10.0, 9.0)
    found = expand_found(found_of([(0, TERRIER, box, 0.6), (0, HOUND, near, 0.7), (1, HOUND, near, 0.1)]), TREE)
    rows = sorted(zip(found.image.tolist(), found.klass.tolist(), found.score.tolist(), strict=True))
    assert rows == [
        (0, ANIMAL, 0.7), (0, DOG, 0.7), (0, TERRIER, 0.6), (0, HOUND, 0.7),
        (1, ANIMAL, 0.1), (1, DOG, 0.1), (1, HOUND, 0.1),
    ]  # fmt: skip
    assert len(expand_found(found_of([]), TREE)) == 0
