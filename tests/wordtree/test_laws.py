"""Laws that hold for every tree: probabilities, paths, file round trips."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wordtree import tree_formats as formats
from wordtree.probability import (
    group_log_softmax,
    path_log_probs,
    tree_cross_entropy,
    tree_cross_entropy_grad,
    walk,
)
from wordtree.tree import WordTree, from_parents

WORDS = st.text(st.characters(blacklist_categories=["Cs", "Cc"]), min_size=1, max_size=8).filter(str.strip)


@st.composite
def trees(draw: st.DrawFn) -> WordTree:
    count = draw(st.integers(1, 25))
    parents = [None, *(draw(st.one_of(st.none(), st.integers(0, node - 1))) for node in range(1, count))]
    names = [f"n{node:08d}" for node in range(count)]
    parent_of = {name: None if p is None else names[p] for name, p in zip(names, parents, strict=True)}
    order = draw(st.permutations(names))
    return from_parents(parent_of, {name: draw(WORDS) for name in names}, order=order)


@st.composite
def trees_and_logits(draw: st.DrawFn) -> tuple[WordTree, np.ndarray]:
    tree = draw(trees())
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return tree, rng.normal(scale=draw(st.sampled_from([0.1, 1.0, 10.0])), size=(2, 3, len(tree)))


@given(trees())
def test_paths_round_trip(tree):
    for node in range(len(tree)):
        path = tree.path(node)
        assert path[-1] == node
        assert len(path) == tree.depth[node] + 1
        assert tree.parent[path[0]] == -1
        assert all(tree.parent[below] == above for above, below in itertools.pairwise(path))
        assert tuple(reversed(tree.ancestors(node))) == path[:-1]
        assert all(node in tree.descendants(above) for above in path[:-1])
        assert all(tree.parent[child] == node for child in tree.children(node))
        assert tree.lca(node, path[0]) == path[0]
        assert tree.ancestor_mask(node).sum() == len(path)


@given(trees())
def test_groups_cover_every_node_once(tree):
    assert tree.group_size.sum() == len(tree)
    spans = zip(tree.group_start, tree.group_size, strict=True)
    assert [node for start, size in spans for node in range(start, start + size)] == list(range(len(tree)))
    assert (tree.parent[tree.group_start[tree.group]] == tree.parent).all()
    assert ((tree.child_group >= 0) == np.isin(np.arange(len(tree)), tree.parent)).all()


@given(trees())
def test_reading_what_was_written_gives_the_same_tree_and_writing_again_the_same_bytes(tree):
    names = formats.names_text(tree).removesuffix("\n").split("\n")
    for again, text, write in (
        (
            formats.parse_tree(formats.tree_text(tree), where="t", names=names),
            formats.tree_text(tree),
            formats.tree_text,
        ),
        (formats.parse_tree_json(formats.tree_json(tree), where="t"), formats.tree_json(tree), formats.tree_json),
        (formats.parse_tree_pbtxt(formats.tree_pbtxt(tree), where="t"), formats.tree_pbtxt(tree), formats.tree_pbtxt),
    ):
        assert again == tree
        assert again.display_names == tree.display_names
        assert write(again) == text


@given(trees_and_logits())
def test_leaf_probabilities_sum_to_one_and_no_child_is_above_its_parent(case):
    tree, logits = case
    absolute = np.exp(path_log_probs(group_log_softmax(logits, tree), tree))
    np.testing.assert_allclose(absolute[..., tree.is_leaf].sum(-1), 1, rtol=1e-12)
    inner = tree.parent >= 0
    assert (absolute[..., inner] <= absolute[..., tree.parent[inner]]).all()
    for node in np.flatnonzero(~tree.is_leaf):
        np.testing.assert_allclose(absolute[..., list(tree.children(node))].sum(-1), absolute[..., node], rtol=1e-12)


@given(trees_and_logits())
def test_probabilities_equal_a_slow_loop(case):
    tree, logits = case
    row = logits[1, 2]
    conditional = [0.0] * len(tree)
    for start, size in zip(tree.group_start.tolist(), tree.group_size.tolist(), strict=True):
        exps = [math.exp(row[node]) for node in range(start, start + size)]
        for node in range(start, start + size):
            conditional[node] = exps[node - start] / sum(exps)
    log_probs = group_log_softmax(logits, tree)
    np.testing.assert_allclose(np.exp(log_probs[1, 2]), conditional, rtol=1e-9)
    slow = [math.prod(conditional[step] for step in tree.path(node)) for node in range(len(tree))]
    np.testing.assert_allclose(np.exp(path_log_probs(log_probs, tree)[1, 2]), slow, rtol=1e-9)


@given(trees_and_logits(), st.floats(0, 1), st.sampled_from(["thesis", "darknet"]))
def test_walk_equals_a_slow_loop_and_returns_a_node_with_its_probability(case, threshold, rule):
    tree, logits = case
    absolute = np.exp(path_log_probs(group_log_softmax(logits, tree), tree))
    nodes, probs = walk(absolute, tree, threshold, rule=rule)
    assert nodes.shape == (2, 3)
    for place in np.ndindex(2, 3):
        row = absolute[place]
        at, product, choices = None, 1.0, tree.roots()
        while choices:
            best = max(choices, key=lambda node: row[node])
            criterion = row[best] * product if rule == "darknet" else row[best]
            if at is None or criterion > threshold:
                stop = at is None and criterion <= threshold
                at, product, choices = best, criterion, tree.children(best)
                if stop:
                    break
            else:
                break
        assert nodes[place] == at
        assert probs[place] == row[at]


@given(trees_and_logits(), st.data())
@settings(max_examples=40)
def test_gradient_is_that_of_finite_differences(case, data):
    tree, logits = case
    nodes = np.array(data.draw(st.lists(st.integers(0, len(tree) - 1), min_size=6, max_size=6))).reshape(2, 3)
    grad = tree_cross_entropy_grad(logits, nodes, tree)
    assert (tree_cross_entropy(logits, nodes, tree) >= 0).all()
    np.testing.assert_allclose(np.add.reduceat(grad, tree.group_start, axis=-1), 0, atol=1e-12)
    for node in range(len(tree)):
        step = np.zeros(len(tree))
        step[node] = 1e-5
        up, down = (tree_cross_entropy(logits + sign * step, nodes, tree) for sign in (1, -1))
        np.testing.assert_allclose(grad[..., node], (up - down) / 2e-5, atol=1e-6)


@given(st.integers(1, 9), st.integers(0, 2**32 - 1))
def test_a_tree_of_one_group_is_ordinary_cross_entropy(count, seed):
    tree = WordTree([f"n{node}" for node in range(count)], [-1] * count)
    logits = np.random.default_rng(seed).normal(size=count)
    expected = -logits[0] + np.log(np.exp(logits).sum())
    assert float(tree_cross_entropy(logits, np.int64(0), tree)) == pytest.approx(expected)
