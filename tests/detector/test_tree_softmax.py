"""The tree softmax on tensors against slow loops in NumPy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

tf = pytest.importorskip("tensorflow")

from detector.region.classes import FullClasses  # noqa: E402
from detector.tree_softmax import all_log_probs, group_log_softmax, path_log_prob, tree_tables  # noqa: E402
from wordtree.tree import WordTree  # noqa: E402

#            0        1        2 under 0   4 5 under 2     6 7 8 under 1
PARENTS = [-1, -1, 0, 0, 2, 2, 1, 1, 1]


def small_tree():
    return WordTree([f"n{k:08d}" for k in range(len(PARENTS))], PARENTS)


@st.composite
def random_trees(draw):
    """Breadth-first: parents before children, siblings together."""
    sizes = draw(st.lists(st.integers(0, 4), min_size=1, max_size=12))
    parents = [-1] * max(1, draw(st.integers(1, 3)))
    for node, children in enumerate(sizes):
        if node < len(parents):
            parents += [node] * children
    return WordTree([f"n{k:08d}" for k in range(len(parents))], parents)


def slow_log_softmax(logits, parents):
    """One row: a loop over nodes and their siblings in float64."""
    out = np.zeros(len(parents))
    for node, parent in enumerate(parents):
        siblings = [k for k, other in enumerate(parents) if other == parent]
        values = np.array([logits[k] for k in siblings], np.float64)
        top = values.max()
        out[node] = logits[node] - top - np.log(np.exp(values - top).sum())
    return out


def slow_path(node, parents):
    path = []
    while node >= 0:
        path.append(node)
        node = parents[node]
    return path[::-1]


@given(random_trees(), st.integers(0, 2**31))
def test_group_log_softmax_equals_a_loop(tree, seed):
    logits = np.random.default_rng(seed).normal(scale=4, size=(3, len(tree))).astype(np.float32)
    found = group_log_softmax(tf.constant(logits), tree_tables(tree)).numpy()
    expected = [slow_log_softmax(row, list(tree.parent)) for row in logits]
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_group_log_softmax_is_exact_for_groups_of_very_different_height():
    logits = np.array([[1e4, 1e4 - 1, -1e4, -1e4 + 1, 0, 1, 2, 3, 4]], np.float32)
    found = group_log_softmax(tf.constant(logits), tree_tables(small_tree())).numpy()
    np.testing.assert_allclose(found[0], slow_log_softmax(logits[0].astype(np.float64), PARENTS), atol=1e-5)


@given(random_trees(), st.integers(0, 2**31))
def test_loss_and_gradient_equal_a_loop(tree, seed):
    """-dL/dlogits = onehot - softmax on every group of the path, 0 elsewhere (the specification's delta)."""
    rng = np.random.default_rng(seed)
    parents = list(tree.parent)
    logits = rng.normal(scale=3, size=(4, len(tree))).astype(np.float32)
    nodes = rng.integers(len(tree), size=4)
    tables = tree_tables(tree)
    variable = tf.Variable(logits)
    with tf.GradientTape() as tape:
        scores = FullClasses(variable.value()[:, None], tables)  # four images of one slot
        picked = tf.constant(nodes[:, None], tf.int32)
        levels = scores.levels(tf.zeros_like(picked), picked, tf.ones_like(picked, tf.bool))
        loss = -tf.reduce_sum(levels, axis=[1, 2])
        total = tf.reduce_sum(loss)
    gradient = tf.convert_to_tensor(tape.gradient(total, variable)).numpy()
    for row, node in enumerate(nodes):
        log_probs = slow_log_softmax(logits[row], parents)
        path = slow_path(node, parents)
        assert loss[row].numpy() == pytest.approx(-sum(log_probs[k] for k in path), abs=1e-5)
        expected = np.zeros(len(tree))
        for step in path:
            for sibling in (k for k, parent in enumerate(parents) if parent == parents[step]):
                expected[sibling] = np.exp(log_probs[sibling]) - (sibling == step)
        np.testing.assert_allclose(gradient[row], expected, atol=1e-5)


@given(random_trees(), st.integers(0, 2**31))
def test_absolute_probabilities_of_the_leaves_sum_to_one(tree, seed):
    logits = np.random.default_rng(seed).normal(scale=3, size=(2, len(tree))).astype(np.float32)
    tables = tree_tables(tree)
    absolute = np.exp(all_log_probs(group_log_softmax(tf.constant(logits), tables), tables).numpy())
    np.testing.assert_allclose(absolute[:, np.asarray(tree.is_leaf)].sum(axis=1), 1, atol=1e-5)
    inner = np.flatnonzero(tree.parent >= 0)
    assert np.all(absolute[:, inner] <= absolute[:, tree.parent[inner]] + 1e-6)


def test_path_log_prob_equals_the_entry_of_all_log_probs():
    tables = tree_tables(small_tree())
    logits = np.random.default_rng(0).normal(size=(2, 5, 9)).astype(np.float32)
    log_probs = group_log_softmax(tf.constant(logits), tables)
    nodes = tf.constant([[4, 8], [0, 3]])
    found = path_log_prob(log_probs, nodes, tables).numpy()
    expected = all_log_probs(log_probs, tables).numpy()
    for image in range(2):
        np.testing.assert_allclose(found[image], expected[image][:, nodes[image].numpy()], atol=1e-6)
