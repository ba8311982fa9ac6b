"""Tree probabilities: golden values by hand; the original program's: tests/detector/darknet/test_darknet_trees."""

from __future__ import annotations

import numpy as np
import pytest

from wordtree.probability import (
    group_log_softmax,
    path_log_probs,
    tree_cross_entropy,
    tree_cross_entropy_grad,
    walk,
)
from wordtree.tree import WordTree

# a(0) b(1) | c(2) d(3), children of a. Logits log 3, log 1 | log 1, log 4:
# P(a) = 3/4, P(b) = 1/4, P(c|a) = 1/5, P(d|a) = 4/5; so P(c) = 3/20 and P(d) = 12/20.
TREE = WordTree(["a", "b", "c", "d"], [-1, -1, 0, 0])
LOGITS = np.log([3.0, 1.0, 1.0, 4.0])


def test_probabilities_are_those_worked_out_by_hand():
    log_probs = group_log_softmax(LOGITS, TREE)
    np.testing.assert_allclose(np.exp(log_probs), [0.75, 0.25, 0.2, 0.8])
    np.testing.assert_allclose(np.exp(path_log_probs(log_probs, TREE)), [0.75, 0.25, 0.15, 0.6])


def test_cross_entropy_at_a_leaf_sums_its_path_and_at_an_inner_node_leaves_the_groups_below_alone():
    loss = tree_cross_entropy(np.stack([LOGITS, LOGITS]), np.array([3, 0]), TREE)
    np.testing.assert_allclose(loss, [-np.log(0.6), -np.log(0.75)])
    grad = tree_cross_entropy_grad(np.stack([LOGITS, LOGITS]), np.array([3, 0]), TREE)
    np.testing.assert_allclose(grad, [[-0.25, 0.25, 0.2, -0.2], [-0.25, 0.25, 0, 0]])


def test_the_walk_stops_where_the_threshold_says_and_darknets_rule_stops_earlier():
    probs = np.array([0.75, 0.25, 0.15, 0.6])
    assert [int(walk(probs, TREE, t)[0]) for t in (0.0, 0.5, 0.6, 0.9)] == [3, 3, 0, 0]
    # darknet: 0.75 * 0.6 = 0.45 does not exceed 0.5
    assert [int(walk(probs, TREE, t, rule="darknet")[0]) for t in (0.0, 0.44, 0.5, 0.9)] == [3, 3, 0, 0]
    assert float(walk(probs, TREE, 0.44, rule="darknet")[1]) == 0.6


def test_large_logits_do_not_overflow_and_the_float_type_is_kept():
    log_probs = group_log_softmax(np.float32([1000, -1000, 3e38, 0]), TREE)
    assert log_probs.dtype == np.float32
    assert np.isfinite(log_probs[[0, 1, 2]]).all()
    assert group_log_softmax([1, 2, 3, 4], TREE).dtype == np.float64


def test_wrong_shapes_nodes_and_rules_are_refused():
    with pytest.raises(ValueError, match=r"found shape \(3,\); expected the last axis to be the tree's 4 nodes"):
        group_log_softmax(np.zeros(3), TREE)
    with pytest.raises(ValueError, match=r"found nodes 4\.\.4; expected 0\.\.3"):
        tree_cross_entropy(LOGITS, np.int64(4), TREE)
    with pytest.raises(ValueError, match="expected integers of shape"):
        tree_cross_entropy(LOGITS, np.zeros(2, int), TREE)
    with pytest.raises(ValueError, match="rule is 'best'"):
        walk(LOGITS, TREE, 0.5, rule="best")  # type: ignore[arg-type]
