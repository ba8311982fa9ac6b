"""Tree utilities against the original program: every case T* of the oracle, on whatever tree it has."""

from __future__ import annotations

import re

import numpy as np
import pytest

from tests.detector.darknet_cases import case_names
from wordtree.files import read_tree
from wordtree.probability import group_log_softmax, path_log_probs, walk

CASES = case_names("T", "T1_tree_utils")
MASKED = -1234


def read_case(shared, name):
    """The folder's arrays by name, and its tree: its own, or the published one."""
    folder = shared("oracle", name)
    trees = sorted(folder.glob("*.tree"))
    tree = read_tree(trees[0] if trees else shared("facts", "9k.tree"))
    return tree, {path.stem: np.load(path) for path in folder.glob("*.npy")}


@pytest.mark.parametrize("name", CASES)
def test_tables_equal_the_programs(shared, name):
    tree, arrays = read_case(shared, name)
    if "nodes_parent_group_child_leaf" in arrays:
        found = np.stack([tree.parent, tree.group, tree.child_group, tree.is_leaf], axis=1)
        np.testing.assert_array_equal(found, arrays["nodes_parent_group_child_leaf"])
    if "groups_offset_size" in arrays:
        np.testing.assert_array_equal(
            np.stack([tree.group_start, tree.group_size], axis=1), arrays["groups_offset_size"]
        )
    for label, row in enumerate(arrays.get("fill_hierarchy_for_each_label", [])):
        on_path = tree.ancestor_mask(label)
        supervised = np.isin(tree.group, tree.group[on_path])
        np.testing.assert_array_equal(row, np.where(supervised, on_path, MASKED))


@pytest.mark.parametrize("name", CASES)
def test_probabilities_equal_the_programs(shared, name):
    tree, arrays = read_case(shared, name)
    conditional = group_log_softmax(arrays["logits"].astype(np.float64), tree)
    absolute = np.exp(path_log_probs(conditional, tree))
    expected = {
        "conditional_probs": np.exp(conditional),
        "abs_probs": absolute,
        "abs_probs_only_leaves": np.where(tree.is_leaf, absolute, 0),
    }
    compared = [key for key in expected if key in arrays]
    assert compared
    for key in compared:
        np.testing.assert_allclose(expected[key], arrays[key], atol=1e-6, err_msg=key)


@pytest.mark.parametrize("name", CASES)
def test_the_walk_from_conditional_and_from_absolute_probabilities(shared, name):
    tree, arrays = read_case(shared, name)
    if "abs_probs" not in arrays:
        pytest.skip("the case has no absolute probabilities")
    for key, expected in arrays.items():
        if match := re.fullmatch(r"top_from_(conditional|absolute_as_darknet)_thresh([0-9.]+)", key):
            rule = "thesis" if match[1] == "conditional" else "darknet"
            found, _ = walk(arrays["abs_probs"], tree, float(match[2]), rule=rule)
            np.testing.assert_array_equal(found, expected, err_msg=key)


@pytest.mark.parametrize("name", CASES)
def test_tensorflows_probabilities_are_those_of_the_reference(shared, name):
    tf = pytest.importorskip("tensorflow")
    from detector.tree_softmax import all_log_probs, tree_tables
    from detector.tree_softmax import group_log_softmax as fast

    tree, arrays = read_case(shared, name)
    tables = tree_tables(tree)
    log_probs = fast(tf.constant(arrays["logits"], tf.float32), tables)
    for key, found in (("conditional_probs", log_probs), ("abs_probs", all_log_probs(log_probs, tables))):
        if key in arrays:
            np.testing.assert_allclose(tf.exp(found), arrays[key], atol=2e-6, err_msg=key)
