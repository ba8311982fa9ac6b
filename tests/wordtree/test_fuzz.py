"""Readers of tree files against any text and any mutation of a valid file.

A reader may refuse a file with a WordTreeError, or accept it; then the tree holds all invariants, and what is written
reads back as the same. Nothing else may happen.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.errors import FormatError, TreeError, WordTreeError
from wordtree import tree_formats as formats
from wordtree.files import read_tree, read_tree_directory
from wordtree.open_images_hierarchy import (
    hierarchy_text,
    parse_hierarchy,
    to_tree,
    tree_hierarchy_text,
)
from wordtree.tree import WordTree

PETS = WordTree(
    ["n1", "n2", "n3", "n4", "n5", "n6", "n7", "n8"],
    [-1, -1, 0, 0, 0, 2, 2, 1],
    ["animal", "thing", "dog", "cat", "bird", "térrier", 'ho"und', "chair"],
)
VALID = {
    ".tree": formats.tree_text(PETS),
    ".json": formats.tree_json(PETS),
    ".pbtxt": formats.tree_pbtxt(PETS),
    "hierarchy.json": tree_hierarchy_text(PETS),
}
# What stands in such files, so that mutations hit what matters.
PIECES = st.one_of(
    st.sampled_from(
        [
            *("n1", "n3 0\n", "-1", "0", "7", "99999999999999999999", "²", "٣"),
            *(" ", "\t", "\n", "\r\n", "\0", "\ufeff"),
            *('"', "'", "\\", "\\377", "{", "}", "[", "]", "<", ">", ":", ",", "#", "item {", "id: 3", "id: -1"),
            *(
                "ancestor_ids: 8\n",
                "descendant_ids: 1\n",
                "true",
                "1e999",
                "NaN",
                "null",
                '"\\ud800"',
                '"LabelName"',
                '"Part"',
            ),
            *("9" * 5000, "[" * 5000, "{" * 5000, "item { a {" + "a {" * 3000, '{"a":' * 3000, "\u2028", "\x1c"),
        ]
    ),
    st.text(max_size=6),
)


@st.composite
def mutations(draw: st.DrawFn, valid: str) -> str:
    """A valid text with pieces inserted, deleted, replaced, doubled or moved, by characters or by lines."""
    text = valid
    for _ in range(draw(st.integers(1, 4))):
        parts = text.splitlines(keepends=True) if draw(st.booleans()) else list(text)
        if not parts:
            return text
        at = draw(st.integers(0, len(parts) - 1))
        to = draw(st.integers(at, min(at + 3, len(parts))))
        kind = draw(st.sampled_from(["insert", "delete", "replace", "double", "swap"]))
        if kind == "insert":
            parts[at:at] = [draw(PIECES)]
        elif kind == "delete":
            del parts[at:to]
        elif kind == "replace":
            parts[at:to] = [draw(PIECES)]
        elif kind == "double":
            parts[at:at] = parts[at:to]
        else:
            other = draw(st.integers(0, len(parts) - 1))
            parts[at], parts[other] = parts[other], parts[at]
        text = "".join(parts)
    return text


def check_invariants(tree: WordTree) -> None:
    parent = tree.parent.tolist()
    assert len(set(tree.names)) == len(tree) >= 1
    assert all(-1 <= above < node for node, above in enumerate(parent))
    seen: set[int] = set()
    for node, above in enumerate(parent):
        assert node == 0 or above == parent[node - 1] or above not in seen
        seen.add(above)
    assert int(tree.group_size.sum()) == len(tree)
    assert (tree.depth == [len(tree.path(node)) - 1 for node in range(len(tree))]).all()
    assert (tree.is_leaf == ~np.isin(np.arange(len(tree)), tree.parent)).all()


def check_round_trip(tree: WordTree) -> None:
    names = formats.parse_names(formats.names_text(tree), where="x", num_nodes=len(tree))
    formats.check_labels(formats.labels_text(tree), tree, where="x")
    for again in (
        formats.parse_tree(formats.tree_text(tree), where="x", names=names),
        formats.parse_tree_json(formats.tree_json(tree), where="x"),
        formats.parse_tree_pbtxt(formats.tree_pbtxt(tree), where="x"),
    ):
        assert (again, again.display_names) == (tree, tree.display_names)


def check_file(kind: str, data: bytes, folder) -> None:
    file = folder / f"x{kind}" if kind.startswith(".") else folder / kind
    file.write_bytes(data)
    try:
        tree = read_tree(file)
    except WordTreeError as error:
        tree, told = None, str(error)
    if tree is None:
        assert str(file) in told
        return
    check_invariants(tree)
    check_round_trip(tree)


@pytest.mark.parametrize("kind", VALID)
def test_the_valid_files_are_accepted(kind, tmp_path):
    file = tmp_path / (f"x{kind}" if kind.startswith(".") else kind)
    file.write_text(VALID[kind], encoding="utf-8")
    assert read_tree(file) == PETS


@pytest.mark.parametrize("kind", VALID)
def test_a_mutated_file_is_refused_or_makes_a_whole_tree(kind, tmp_path):
    @given(mutations(VALID[kind]))
    @settings(max_examples=250)
    def check(text):
        check_file(kind, text.encode("utf-8", "surrogatepass"), tmp_path)

    check()


@pytest.mark.parametrize("kind", VALID)
def test_any_bytes_are_refused_or_make_a_whole_tree(kind, tmp_path):
    valid = VALID[kind].encode()

    @given(
        st.one_of(
            st.binary(max_size=40),
            st.text(max_size=40).map(str.encode),
            st.tuples(st.integers(0, len(valid)), st.binary(max_size=3), st.integers(0, 9)).map(
                lambda cut: valid[: cut[0]] + cut[1] + valid[cut[0] + cut[2] :]
            ),
        )
    )
    @settings(max_examples=150)
    def check(data):
        check_file(kind, data, tmp_path)

    check()


@given(mutations("0\n5\n7\n") | st.text(max_size=20))
def test_a_map_is_refused_or_holds_nodes_of_the_tree(text):
    try:
        nodes = formats.parse_map(text, where="x", num_nodes=8)
    except WordTreeError:
        return
    assert all(0 <= node < 8 for node in nodes)
    assert formats.parse_map(formats.map_text(nodes), where="x", num_nodes=8) == nodes


@given(mutations(formats.names_text(PETS)) | st.text(max_size=20))
def test_names_and_labels_are_refused_or_are_one_line_each(text):
    try:
        names = formats.parse_names(text, where="x", num_nodes=8)
    except WordTreeError:
        names = ()
    assert len(names) in (0, 8)
    try:
        formats.check_labels(text, PETS, where="x")
    except WordTreeError:
        return
    assert text.split() == list(PETS.names)


@given(mutations(VALID["hierarchy.json"]) | st.text(max_size=20))
def test_a_hierarchy_is_refused_or_is_written_again_as_it_means(text):
    try:
        found = parse_hierarchy(text, where="x")
    except WordTreeError:
        return
    again = parse_hierarchy(hierarchy_text(found), where="x")
    assert (again.root, again.parents, again.parts) == (found.root, found.parents, found.parts)
    assert hierarchy_text(again) == hierarchy_text(found)
    try:
        check_invariants(to_tree(found, where="x"))
    except TreeError:
        return


@pytest.mark.parametrize("name", ["labels/pets.tsv", "cut_edges.tsv"])
def test_a_mutated_table_in_a_tree_directory_is_refused_or_fits_the_tree(name, tmp_path, nouns):
    from wordtree.build import build_tree
    from wordtree.files import write_tree_directory
    from wordtree.label_space import LabelMap, LabelRow

    # dog is a canine and a domestic animal; the tree cuts one of the two.
    words = {"dog": "n02084071", "canine": "n02083346", "domestic animal": "n01317541", "cat": "n02121808"}
    rows = [LabelRow(word, wnid) for word, wnid in words.items()]
    built = build_tree(nouns, [row.wnid for row in rows])
    out = tmp_path / "tree"
    write_tree_directory(built, [LabelMap("pets", rows)], out)
    valid = (out / name).read_text()

    @given(mutations(valid + valid.splitlines()[-1] + "\n"))
    @settings(max_examples=100)
    def check(text):
        (out / name).write_bytes(text.encode("utf-8", "surrogatepass"))
        try:
            found = read_tree_directory(out)
        except WordTreeError:
            return
        for labels in found.spaces.values():
            assert all(0 <= label.node < len(found.tree) for label in labels)
        assert all(edge.child in found.tree and edge.hypernym in found.tree for edge in found.cut_edges)

    check()


def test_a_very_deep_tree_is_read_at_once():
    deep = 50_000
    text = "n0 -1\n" + "".join(f"n{node} {node - 1}\n" for node in range(1, deep))
    assert formats.parse_tree(text, where="x").max_depth == deep - 1
    shallow = WordTree([f"n{node}" for node in range(3000)], range(-1, 2999))
    with pytest.raises(TreeError, match="depth 2999, which is too deep for nested JSON"):
        tree_hierarchy_text(shallow)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('item { name: "n1" id: 1 } item { name: "n2" id: 2 ancestor_ids: 3 }', "has relative id 3, which is no class"),
        (
            'item { name: "n1" id: 1 } item { name: "n2" id: 2 } item { name: "n3" id: 3 ancestor_ids: [1, 2] }',
            r"class 'n3' has ancestors \[1, 2\], but its parent leads to \[1\]",
        ),
        (
            'item { name: "n1" id: 1 } item { name: "n2" id: 2 ancestor_ids: 1 descendant_ids: 1 }',
            "the descendants of class 'n1' are not the classes",
        ),
        ('item { name: "n1" id: 1 display_name: 7 }', "x line 1: display_name is 7; expected text in quotes"),
        ("item { name: 'n1' id: " + "9" * 30 + " }", "x line 1: found number 99999"),
        ("item " + "{ a " * 50, "x line 1: messages are nested more than 20 levels deep"),
    ],
)
def test_a_label_map_that_contradicts_itself_is_refused(text, message):
    with pytest.raises(FormatError, match=message):
        formats.parse_tree_pbtxt(text, where="x")
