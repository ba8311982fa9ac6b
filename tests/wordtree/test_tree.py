"""WordTree: derived arrays, questions, invariants."""

from __future__ import annotations

import hashlib
import pickle
import time

import numpy as np
import pytest

from schemas.errors import LabelError, TreeError
from wordtree.tree import WordTree, from_parents


def test_derived_arrays_of_a_small_tree_are_those_worked_out_by_hand(pets):
    assert pets.parent.tolist() == [-1, -1, 0, 0, 0, 2, 2, 1]
    assert pets.group.tolist() == [0, 0, 1, 1, 1, 2, 2, 3]
    assert pets.group_start.tolist() == [0, 2, 5, 7]
    assert pets.group_size.tolist() == [2, 3, 2, 1]
    assert pets.child_group.tolist() == [1, 3, 2, -1, -1, -1, -1, -1]
    assert pets.depth.tolist() == [0, 0, 1, 1, 1, 2, 2, 1]
    assert pets.is_leaf.tolist() == [False, False, False, True, True, True, True, True]
    assert (len(pets), pets.num_groups, pets.max_depth) == (8, 4, 2)


def test_paths_and_relatives_of_a_small_tree(pets):
    assert pets.path(6) == (0, 2, 6)
    assert pets.ancestors(6) == (2, 0)
    assert pets.ancestors(0) == ()
    assert list(pets.children(0)) == [2, 3, 4]
    assert list(pets.children(3)) == []
    assert list(pets.roots()) == [0, 1]
    assert pets.descendants(0).tolist() == [2, 3, 4, 5, 6]
    assert pets.descendants(7).tolist() == []
    assert pets.lca(5, 6) == 2
    assert pets.lca(5, 2) == 2
    assert pets.lca(5, 4) == 0
    assert pets.lca(5, 7) == -1
    assert pets.path_table()[[1, 5]].tolist() == [[1, -1, -1], [0, 2, 5]]
    assert np.flatnonzero(pets.ancestor_mask(5)).tolist() == [0, 2, 5]
    assert pets.describe_path(6) == "animal > dog > hound"


def test_siblings_side_by_side_may_follow_one_another_in_any_order_of_parents():
    # The children of node 1 come before those of node 0: groups are numbered as they stand.
    tree = WordTree(["a", "b", "c", "d"], [-1, -1, 1, 0])
    assert tree.child_group.tolist() == [2, 1, -1, -1]
    assert list(tree.children(0)) == [3]


def test_digest_is_the_sha256_of_the_tree_file_and_display_names_do_not_count(pets):
    text = "n1 -1\nn2 -1\nn3 0\nn4 0\nn5 0\nn6 2\nn7 2\nn8 1\n"
    assert pets.digest() == hashlib.sha256(text.encode()).hexdigest()
    bare = WordTree(pets.names, pets.parent)
    assert bare == pets
    assert hash(bare) == hash(pets)
    assert bare != WordTree(["n1"], [-1])
    assert bare.display_names == pets.names


def test_a_tree_survives_pickling(pets):
    again = pickle.loads(pickle.dumps(pets))
    assert again == pets
    assert again.display_names == pets.display_names


def test_a_tree_cannot_be_changed(pets):
    with pytest.raises(AttributeError, match="cannot be changed"):
        pets.names = ()
    for name in ("parent", "group", "group_start", "group_size", "child_group", "depth", "is_leaf"):
        with pytest.raises(ValueError, match="read-only"):
            getattr(pets, name)[0] = 1
    with pytest.raises(ValueError, match="read-only"):
        pets.path_table()[0, 0] = 1


def test_the_callers_array_stays_writable():
    parent = np.array([-1, 0], dtype=np.int32)
    tree = WordTree(["a", "b"], parent)
    parent[1] = -1
    assert tree.parent.tolist() == [-1, 0]  # and the tree holds a copy


@pytest.mark.parametrize(
    ("names", "parent", "message"),
    [
        ([], [], "the tree has no nodes; expected at least one root"),
        (["a"], [0], "line 1: node 'a' has parent 0; the first node must be a root (parent -1)"),
        (["a", "b"], [-1, 1], "line 2: node 'b' has parent 1, but parents must come before their children (expected"),
        (["a", "b"], [-1, -2], "line 2: node 'b' has parent -2; expected -1 or more"),
        (["a", "a"], [-1, 0], "line 2: node 'a' stands on line 1 already; names must be unique"),
        (["a", ""], [-1, 0], "line 2: node '': a name must not be empty or hold white space"),
        (["a", "b c"], [-1, 0], "line 2: node 'b c': a name must not be empty or hold white space"),
        (["a"], [-1, 0], "found parents of shape (2,) for 1 nodes"),
        (["a"], [-1.0], "parents have type float64; expected integers"),
        (["a", "b", "c"], [-1, 0, -1], "line 3: node 'c' stands apart from its siblings: the roots must stand side"),
        (
            ["a", "b", "c", "d", "e"],
            [-1, 0, 0, 1, 0],
            "line 5: node 'e' stands apart from its siblings: the children of 'a' must stand side by side (they begin "
            "on line 2)",
        ),
    ],
)
def test_a_broken_invariant_is_told_with_its_line(names, parent, message):
    with pytest.raises(TreeError) as caught:
        WordTree(names, parent)
    assert message in str(caught.value)


def test_bad_display_names_are_told():
    with pytest.raises(TreeError, match="found 1 display names for 2 nodes"):
        WordTree(["a", "b"], [-1, 0], ["x"])
    with pytest.raises(TreeError, match=r"line 2: node 'b': display name 'x.ny' must be one line"):
        WordTree(["a", "b"], [-1, 0], ["x", "x\ny"])


def test_an_unknown_name_suggests_what_is_near(pets):
    with pytest.raises(LabelError, match=r"'dog' is no node of the tree \(8 nodes\); did you mean 'n3' \(dog\)"):
        pets.index("dog")
    with pytest.raises(LabelError, match="did you mean 'terrier'"):
        pets.index("terier")
    assert pets.index("n3") == 2
    assert "n3" in pets
    assert "dog" not in pets


def test_a_node_outside_the_tree_is_refused(pets):
    with pytest.raises(IndexError, match=r"node 8 is outside the tree; expected 0\.\.7"):
        pets.path(8)
    with pytest.raises(IndexError):
        pets.children(-1)


def test_layout_is_depth_first_over_groups():
    # Roots a, b; then a's children as one block, what is below each of them in turn, and only then b's child.
    tree = from_parents({"b": None, "a": None, "d": "a", "c": "a", "e": "c", "f": "d", "g": "b"})
    assert tree.names == ("a", "b", "c", "d", "e", "f", "g")
    assert tree.parent.tolist() == [-1, -1, 0, 0, 2, 3, 1]


def test_layout_refuses_cycles_and_unknown_parents():
    with pytest.raises(TreeError, match="node 'b' does not lead up to a root"):
        from_parents({"a": None, "b": "c", "c": "b"})
    with pytest.raises(TreeError, match="node 'b' has parent 'x', which is not in the tree"):
        from_parents({"a": None, "b": "x"})


def test_a_tree_of_82000_nodes_is_made_in_seconds():
    # Every node has three children: one group per inner node, and one for the root.
    count = 82_000
    names = [f"n{node:08d}" for node in range(count)]
    begin = time.process_time()
    tree = WordTree(names, [-1] + [(node - 1) // 3 for node in range(1, count)])
    assert len(tree.path(count - 1)) == int(tree.depth[-1]) + 1
    assert time.process_time() - begin < 5
    assert tree.num_groups == (count - 1 + 2) // 3 + 1
