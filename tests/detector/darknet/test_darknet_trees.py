"""Tree utilities against the original program: every case of the oracle that holds a tree, and every file in it."""

from __future__ import annotations

import re

import numpy as np
import pytest

from tests.reference_data import oracle_cases
from wordtree.files import read_tree
from wordtree.probability import group_log_softmax, path_log_probs, walk

CASES = oracle_cases("tree")
MASKED = -1234
KINDS = {  # what a file holds, by its name; the first that fits
    "top": r"top_.*(conditional|absolute).*thresh([0-9.]+)",
    "logits": r"logits",
    "conditional": r"conditional.*",
    "leaves": r"abs.*leaves",
    "absolute": r"abs.*",
    "nodes": r"nodes_parent_group_child_leaf",
    "groups": r"groups_offset_size",
    "truths": r"fill_hierarchy.*",
}


class Case:
    """A folder's tree (its own, or the published one) and its arrays by kind, as (what the name says, array)."""

    def __init__(self, folder, published):
        trees = sorted(folder.glob("*.tree"))
        self.tree = read_tree(trees[0] if trees else published())
        self.unknown, self.arrays = [], {kind: [] for kind in KINDS}
        for path in sorted(folder.glob("*.npy")):
            found = [(kind, match) for kind, p in KINDS.items() if (match := re.fullmatch(p, path.stem))]
            if found:
                self.arrays[found[0][0]].append((found[0][1].groups(), np.load(path)))
            else:
                self.unknown.append(path.name)
        self.logits = self.arrays["logits"][0][1].astype(np.float64)
        self.log_probs = group_log_softmax(self.logits, self.tree)
        self.absolute = np.exp(path_log_probs(self.log_probs, self.tree))

    def of(self, kind):
        return [array for _, array in self.arrays[kind]]


@pytest.fixture(params=CASES)
def case(request, shared):
    return Case(shared("oracle", request.param), lambda: shared("facts", "9k.tree"))


def test_every_file_is_compared(case):
    assert not case.unknown, f"no test knows {case.unknown}"


def test_tables_equal_the_programs(case):
    tree = case.tree
    for expected in case.of("nodes"):
        found = np.stack([tree.parent, tree.group, tree.child_group, tree.is_leaf], axis=1)
        np.testing.assert_array_equal(found, expected)
    for expected in case.of("groups"):
        np.testing.assert_array_equal(np.stack([tree.group_start, tree.group_size], axis=1), expected)


def test_the_truth_of_a_label_equals_the_programs(case):
    """1 on its path, 0 beside it, and -1234 in groups that it says nothing about."""
    tree = case.tree
    for rows in case.of("truths"):
        labels = [max(np.flatnonzero(row == 1), key=lambda node: tree.depth[node]) for row in rows]
        if len(rows) == len(tree):
            assert labels == list(range(len(tree)))
        for label, row in zip(labels, rows, strict=True):
            on_path = tree.ancestor_mask(label)
            supervised = np.isin(tree.group, tree.group[on_path])
            np.testing.assert_array_equal(row, np.where(supervised, on_path, MASKED))


def test_probabilities_equal_the_programs(case):
    for kind, found in (
        ("conditional", np.exp(case.log_probs)),
        ("absolute", case.absolute),
        ("leaves", np.where(case.tree.is_leaf, case.absolute, 0)),
    ):
        for expected in case.of(kind):
            np.testing.assert_allclose(found, expected, atol=1e-6, err_msg=kind)


def test_the_walk_from_conditional_and_from_absolute_probabilities(case):
    absolute = (case.of("absolute") or [case.absolute])[0]
    for (start, threshold), expected in case.arrays["top"]:
        rule = "thesis" if start == "conditional" else "darknet"
        found, _ = walk(absolute, case.tree, float(threshold), rule=rule)
        np.testing.assert_array_equal(found, expected, err_msg=f"{start} {threshold}")


def test_tensorflows_probabilities_are_those_of_the_reference(case):
    tf = pytest.importorskip("tensorflow")
    from detector.tree_softmax import all_log_probs, tree_tables
    from detector.tree_softmax import group_log_softmax as fast

    tables = tree_tables(case.tree)
    log_probs = fast(tf.constant(case.logits, tf.float32), tables)
    for kind, found in (("conditional", log_probs), ("absolute", all_log_probs(log_probs, tables))):
        for expected in case.of(kind):
            np.testing.assert_allclose(tf.exp(found), expected, atol=2e-6, err_msg=kind)
