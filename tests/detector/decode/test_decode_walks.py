"""Walks over many boxes at a time against slow loops, the NumPy reference and numbers from the original program."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

tf = pytest.importorskip("tensorflow")

from detector.decode.tables import walk_tables  # noqa: E402
from detector.decode.walks import absolute_of, best_of, descend  # noqa: E402
from detector.tree_softmax import tree_tables  # noqa: E402
from tests.detector.darknet.test_darknet_trees import Case  # noqa: E402
from tests.reference_data import oracle_cases  # noqa: E402
from wordtree import probability  # noqa: E402
from wordtree.tree import WordTree  # noqa: E402

#            0        1        2 under 0   4 5 under 2     6 7 8 under 1
PARENTS = [-1, -1, 0, 0, 2, 2, 1, 1, 1]


@st.composite
def random_trees(draw):
    """Parents before children, siblings side by side; a flat list now and then."""
    sizes = draw(st.lists(st.integers(0, 4), min_size=0, max_size=14))
    parents = [-1] * draw(st.integers(1, 4))
    for node, children in enumerate(sizes):
        if node < len(parents):
            parents += [node] * children
    return WordTree([f"n{k:08d}" for k in range(len(parents))], parents)


def random_conditional(tree, rows, seed, scale=3):
    logits = np.random.default_rng(seed).normal(scale=scale, size=(rows, len(tree)))
    return probability.group_log_softmax(logits.astype(np.float32), tree)


def slow_walk(conditional, parents, threshold, rule):
    """One box, one step at a time, in float64."""

    def path(node):
        return [] if node < 0 else [*path(parents[node]), node]

    absolute = [float(np.exp(sum(np.float64(conditional[k]) for k in path(node)))) for node in range(len(parents))]
    at, product = -1, 1.0
    while True:
        children = [k for k, parent in enumerate(parents) if parent == at]
        if not children:
            return at
        best = max(children, key=lambda k: (absolute[k], -k))
        measure = absolute[best] * (product if rule == "darknet" else 1)
        if measure <= threshold:
            return best if at < 0 else at
        at, product = best, measure


@pytest.mark.parametrize("rule", ["thesis", "darknet"])
@given(tree=random_trees(), seed=st.integers(0, 2**31), threshold=st.sampled_from([0.0, 0.05, 0.3, 0.7]))
def test_walk_equals_a_loop_and_the_reference(rule, tree, seed, threshold):
    conditional = random_conditional(tree, 6, seed)
    tables = walk_tables(tree_tables(tree))
    nodes, log_probs = descend(tf.constant(conditional), tables, threshold, rule=rule)
    absolute = probability.path_log_probs(conditional, tree)
    expected, probs = probability.walk(np.exp(absolute), tree, threshold, rule=rule)
    np.testing.assert_array_equal(nodes, expected)
    np.testing.assert_allclose(tf.exp(log_probs), probs, rtol=1e-5)
    assert [slow_walk(row, list(tree.parent), threshold, rule) for row in conditional] == list(nodes.numpy())


@given(tree=random_trees(), seed=st.integers(0, 2**31))
def test_best_leaves_and_best_of_a_list_equal_a_sort(tree, seed):
    conditional = random_conditional(tree, 5, seed)
    absolute = probability.path_log_probs(conditional.astype(np.float64), tree)
    tables = walk_tables(tree_tables(tree))
    rng = np.random.default_rng(seed)
    listed = rng.permutation(len(tree))[: rng.integers(1, len(tree) + 1)].astype(np.int32)
    np.testing.assert_array_equal(tables.leaves, np.flatnonzero(tree.is_leaf))
    for nodes in (tables.leaves, listed):
        np.testing.assert_allclose(absolute_of(tf.constant(conditional), tables, nodes), absolute[:, nodes], atol=1e-5)
        found, log_probs = best_of(tf.constant(conditional), tables, nodes, 3)
        order = np.argsort(-absolute[:, nodes], axis=1, kind="stable")[:, :3]
        np.testing.assert_array_equal(found, nodes[order])
        np.testing.assert_allclose(log_probs, np.take_along_axis(absolute, nodes[order], 1), atol=1e-5)


@given(tree=random_trees())
def test_tables_equal_the_trees_own(tree):
    tables = walk_tables(tree_tables(tree))
    np.testing.assert_array_equal(tables.parent, tree.parent)
    np.testing.assert_array_equal(tables.child_group, tree.child_group)
    np.testing.assert_array_equal(tables.group_start, tree.group_start)
    for node in range(len(tree)):
        below = (tables.enter[node] <= tables.enter) & (tables.enter < tables.leave[node])
        np.testing.assert_array_equal(np.flatnonzero(below), sorted([node, *map(int, tree.descendants(node))]))


def test_of_equal_children_the_first_is_taken():
    tree = WordTree([f"n{k:08d}" for k in range(9)], PARENTS)
    conditional = probability.group_log_softmax(np.zeros((1, 9), np.float32), tree)
    node, log_prob = descend(tf.constant(conditional), walk_tables(tree_tables(tree)), 0.0)
    assert node.numpy().tolist() == [4]  # 0, 2, 4: each the first of its group
    np.testing.assert_allclose(np.exp(log_prob), 1 / 8, rtol=1e-6)


def test_walk_in_a_graph_takes_any_number_of_boxes_and_none():
    tree = WordTree([f"n{k:08d}" for k in range(9)], PARENTS)
    tables = walk_tables(tree_tables(tree))
    walk = tf.function(lambda rows: descend(rows, tables, 0.2)[0], input_signature=[tf.TensorSpec([None, 9])])
    for rows in (0, 1, 7):
        conditional = random_conditional(tree, rows, rows)
        expected, _ = probability.walk(np.exp(probability.path_log_probs(conditional, tree)), tree, 0.2)
        np.testing.assert_array_equal(walk(tf.constant(conditional)), expected)


@pytest.fixture(params=oracle_cases("tree"))
def case(request, shared):
    return Case(shared("oracle", request.param), lambda: shared("facts", "9k.tree"))


def test_walk_equals_darknets_top_predictions(case):
    """From absolute probabilities it is the darknet rule; with conditional ones at its door it is the thesis's."""
    tables = walk_tables(tree_tables(case.tree))
    conditional = np.log(np.maximum((case.of("conditional") or [np.exp(case.log_probs)])[0], 1e-30))
    for (start, threshold), expected in case.arrays["top"]:
        rule = "thesis" if start == "conditional" else "darknet"
        nodes, _ = descend(tf.constant(conditional, tf.float32), tables, float(threshold), rule=rule)
        roots = np.flatnonzero(expected < 0)  # the program of 2017 has no answer where no root is likely enough
        np.testing.assert_array_equal(np.delete(nodes.numpy(), roots), np.delete(expected, roots))
        assert all(case.tree.parent[nodes.numpy()[k]] < 0 for k in roots)


def test_absolute_probabilities_equal_darknets(case):
    tables = walk_tables(tree_tables(case.tree))
    conditional = tf.constant(case.log_probs, tf.float32)
    found = np.exp(absolute_of(conditional, tables, np.arange(len(case.tree), dtype=np.int32)))
    for expected in case.of("absolute"):
        np.testing.assert_allclose(found, expected, atol=1e-6)
    best, _ = best_of(conditional, tables, tables.leaves)
    for leaves in case.of("leaves"):
        np.testing.assert_array_equal(best[:, 0], leaves.argmax(axis=1))
