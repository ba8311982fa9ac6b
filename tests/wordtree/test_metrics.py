"""Metrics on a tree: by hand, against slow loops, and their laws."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wordtree.metrics import (
    accuracy_by_depth,
    accuracy_specificity_curve,
    hierarchical_precision_recall,
    hierarchical_precision_recall_of_sets,
    information,
    is_correct,
    lca_height,
    lowest_common_ancestor,
    predict,
    tree_distance,
    with_ancestors,
)
from wordtree.probability import group_log_softmax, path_log_probs, walk
from wordtree.tree import WordTree, from_parents

# pets: animal(0) thing(1) | dog(2) cat(3) bird(4) | terrier(5) hound(6) | chair(7)
ANIMAL, THING, DOG, CAT, BIRD, TERRIER, HOUND, CHAIR = range(8)
NOTHING = -1


@st.composite
def trees(draw: st.DrawFn) -> WordTree:
    count = draw(st.integers(1, 20))
    parents = [None, *(draw(st.one_of(st.none(), st.integers(0, node - 1))) for node in range(1, count))]
    names = [f"n{node:08d}" for node in range(count)]
    return from_parents({name: None if p is None else names[p] for name, p in zip(names, parents, strict=True)})


@st.composite
def rows(draw: st.DrawFn) -> tuple[WordTree, np.ndarray, np.ndarray]:
    tree = draw(trees())
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    count = draw(st.integers(1, 12))
    return tree, rng.integers(0, len(tree), count), rng.integers(-1, len(tree), count)


def above(tree: WordTree, node: int) -> set[int]:
    """The node and its ancestors, by climbing."""
    found: set[int] = set()
    while node >= 0:
        found.add(node)
        node = int(tree.parent[node])
    return found


def test_distances_and_common_ancestors_by_hand(pets):
    a = np.array([TERRIER, TERRIER, TERRIER, TERRIER, DOG, TERRIER, NOTHING])
    b = np.array([TERRIER, HOUND, CAT, CHAIR, TERRIER, NOTHING, NOTHING])
    assert lowest_common_ancestor(a, b, pets).tolist() == [TERRIER, DOG, ANIMAL, -1, DOG, -1, -1]
    # terrier-chair: three edges up to the root above all roots, two down.
    assert tree_distance(a, b, pets).tolist() == [0, 2, 3, 5, 1, 3, 0]
    # dog is one edge above its leaves, animal two, the root above all three.
    assert lca_height(a, b, pets).tolist() == [0, 1, 2, 3, 1, 3, 3]
    assert is_correct(a, b, pets).tolist() == [True, False, False, False, False, True, True]


def test_hierarchical_precision_and_recall_by_hand(pets):
    # terrier {animal, dog, terrier} against dog {animal, dog}: 2 shared; against cat {animal, cat}: 1 shared.
    found = hierarchical_precision_recall(np.array([TERRIER, TERRIER]), np.array([DOG, CAT]), pets)
    assert (found.precision, found.recall, found.f) == (3 / 4, 3 / 6, pytest.approx(0.6))
    nothing = hierarchical_precision_recall(np.array([TERRIER]), np.array([NOTHING]), pets)
    assert math.isnan(nothing.precision)
    assert (nothing.recall, nothing.f) == (0, 0)
    marks = np.zeros((1, 8), bool)
    marks[0, [TERRIER, CAT]] = True
    guess = np.zeros((1, 8), bool)
    guess[0, [HOUND]] = True
    # truth {animal, dog, terrier, cat}, prediction {animal, dog, hound}: two shared
    found = hierarchical_precision_recall_of_sets(marks, guess, pets)
    assert (found.precision, found.recall) == (2 / 3, 2 / 4)


def test_information_by_hand(pets):
    # leaves: cat bird terrier hound chair: five. animal has four, dog two.
    expected = [1 - math.log(4) / math.log(5), 1, 1 - math.log(2) / math.log(5), 1, 1, 1, 1, 1, 0]
    np.testing.assert_allclose(information([*range(8), NOTHING], pets), expected)
    assert information([0, -1], WordTree(["n1"], [-1])).tolist() == [1, 0]


def test_the_curve_by_hand(pets):
    # One picture of a terrier: animal .9, dog .8, hound .5, terrier .3.
    probs = np.array([[0.9, 0.1, 0.8, 0.05, 0.05, 0.3, 0.5, 0.1]])
    curve = accuracy_specificity_curve(probs, np.array([TERRIER]), pets, thresholds=[0, 0.6, 0.85, 0.95])
    dog, animal = 1 - math.log(2) / math.log(5), 1 - math.log(4) / math.log(5)
    np.testing.assert_allclose(curve.information, [1, dog, animal, 0])
    np.testing.assert_allclose(curve.correct, [0, 1, 1, 1])
    assert curve.information_at(0.95) == pytest.approx(dog)
    assert curve.area == pytest.approx(dog + (1 - dog) / 2)


def test_accuracy_by_depth_by_hand(pets):
    shares, counted = accuracy_by_depth(np.array([TERRIER, TERRIER, CAT, THING]), np.array([HOUND, DOG, DOG, -1]), pets)
    assert counted.tolist() == [4, 3, 2]
    np.testing.assert_allclose(shares, [3 / 4, 2 / 3, 0])


def test_a_perfect_classifier_has_area_one_and_a_useless_one_little(pets):
    leaves = np.flatnonzero(pets.is_leaf)
    perfect = np.stack([pets.ancestor_mask(int(leaf)).astype(float) for leaf in leaves])
    assert accuracy_specificity_curve(perfect, leaves, pets).area == 1
    assert accuracy_specificity_curve(perfect, leaves, pets).information_at() == 1
    wrong = accuracy_specificity_curve(perfect[::-1], np.where(leaves == CHAIR, TERRIER, CHAIR), pets)
    assert wrong.area < 0.7


def test_wrong_nodes_and_shapes_are_refused(pets):
    with pytest.raises(ValueError, match=r"found nodes 0..8; expected -1..7"):
        tree_distance([0, 8], [0, 0], pets)
    with pytest.raises(ValueError, match="expected integers"):
        lca_height([0.5], [0], pets)
    with pytest.raises(ValueError, match=r"found nodes -1..-1; expected 0..7"):
        hierarchical_precision_recall([-1], [0], pets)
    with pytest.raises(ValueError, match="found no rows"):
        hierarchical_precision_recall(np.zeros(0, int), np.zeros(0, int), pets)
    with pytest.raises(ValueError, match="expected \\[R, N\\] and \\[R\\]"):
        accuracy_specificity_curve(np.zeros(8), [0], pets)
    with pytest.raises(ValueError, match="the last axis"):
        with_ancestors(np.zeros(3, bool), pets)


@given(rows())
def test_metrics_equal_slow_loops(case):
    tree, truth, predicted = case
    pairs = list(zip(truth.tolist(), predicted.tolist(), strict=True))
    shared = [above(tree, a) & above(tree, b) for a, b in pairs]
    lca = [max(found, key=lambda node: int(tree.depth[node]), default=-1) for found in shared]
    assert lowest_common_ancestor(truth, predicted, tree).tolist() == lca
    distance = [len(above(tree, a) ^ above(tree, b)) for a, b in pairs]
    assert tree_distance(truth, predicted, tree).tolist() == distance
    levels = [len(above(tree, node)) for node in range(len(tree))]
    below = [max(levels[leaf] for leaf in range(len(tree)) if node in {*above(tree, leaf), -1}) for node in lca]
    height = [deep - (0 if node < 0 else len(above(tree, node))) for deep, node in zip(below, lca, strict=True)]
    assert lca_height(truth, predicted, tree).tolist() == height
    assert is_correct(truth, predicted, tree).tolist() == [above(tree, b) <= above(tree, a) for a, b in pairs]
    both, true, guessed = (
        sum(map(len, sets)) for sets in (shared, [above(tree, a) for a, _ in pairs], [above(tree, b) for _, b in pairs])
    )
    found = hierarchical_precision_recall(truth, predicted, tree)
    assert found.recall == both / true
    assert found.precision == both / guessed if guessed else math.isnan(found.precision)
    for depth, (share, count) in enumerate(zip(*accuracy_by_depth(truth, predicted, tree), strict=True)):
        deep = [(a, b) for a, b in pairs if len(above(tree, a)) > depth]
        assert count == len(deep)
        if deep:
            assert share == sum(tree.path(a)[depth] in above(tree, b) for a, b in deep) / len(deep)


@given(rows(), st.data())
@settings(max_examples=40)
def test_distance_is_a_metric_and_precision_and_recall_change_places(case, data):
    tree, a, b = case
    c = np.array(data.draw(st.lists(st.integers(-1, len(tree) - 1), min_size=len(a), max_size=len(a))))
    ab, bc, ac = tree_distance(a, b, tree), tree_distance(b, c, tree), tree_distance(a, c, tree)
    assert (ab == tree_distance(b, a, tree)).all()
    assert ((ab == 0) == (a == b)).all()
    assert (ac <= ab + bc).all()
    inside = np.maximum(b, 0)
    one, other = hierarchical_precision_recall(a, inside, tree), hierarchical_precision_recall(inside, a, tree)
    assert (one.precision, one.recall) == (other.recall, other.precision)
    assert one.f == pytest.approx(2 * one.precision * one.recall / max(one.precision + one.recall, 1e-12))
    assert hierarchical_precision_recall(a, a, tree).f == 1
    marks, guess = (np.eye(len(tree), dtype=bool)[nodes] for nodes in (a, inside))
    assert hierarchical_precision_recall_of_sets(marks, guess, tree).f == pytest.approx(one.f)
    assert (with_ancestors(marks, tree) == np.stack([tree.ancestor_mask(int(node)) for node in a])).all()
    up = np.where(a >= 0, tree.parent[a], -1)
    assert (information(up, tree) <= information(a, tree)).all()
    assert ((information(a, tree) >= 0) & (information(a, tree) <= 1)).all()


@given(rows(), st.integers(0, 2**32 - 1), st.lists(st.floats(0, 1), min_size=1, max_size=6))
@settings(max_examples=40)
def test_the_curve_equals_a_walk_at_every_threshold(case, seed, thresholds):
    tree, truth, _ = case
    logits = np.random.default_rng(seed).normal(size=(len(truth), len(tree)), scale=3)
    probs = np.exp(path_log_probs(group_log_softmax(logits, tree), tree))
    curve = accuracy_specificity_curve(probs, truth, tree, thresholds)
    assert (np.diff(curve.information) <= 1e-12).all()
    assert (np.diff(curve.correct) >= -1e-12).all()
    assert -1e-12 <= curve.area <= 1 + 1e-12
    for threshold, special, correct in zip(sorted(thresholds), curve.information, curve.correct, strict=True):
        nodes = predict(probs, tree, threshold)
        assert special == pytest.approx(information(nodes, tree).mean())
        assert correct == pytest.approx(is_correct(truth, nodes, tree).mean())
        walked = walk(probs, tree, threshold)[0]
        assert ((nodes == walked) | (nodes == -1)).all()


def test_thousands_of_rows_on_the_published_tree_take_less_than_a_second(shared):
    import time

    from wordtree.files import read_tree

    tree = read_tree(shared / "facts" / "9k.tree")
    rng = np.random.default_rng(0)
    truth, predicted = rng.integers(0, len(tree), (2, 10_000))
    begin = time.process_time()
    lca_height(truth, predicted, tree)
    tree_distance(truth, predicted, tree)
    hierarchical_precision_recall(truth, predicted, tree)
    accuracy_by_depth(truth, predicted, tree)
    assert time.process_time() - begin < 1
