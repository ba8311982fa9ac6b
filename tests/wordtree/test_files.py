"""Tree files and tree directories."""

from __future__ import annotations

import hashlib
import json

import pytest

from schemas.errors import ConfigError, FormatError, InputError, OutputError, TreeError
from wordtree import tree_formats as formats
from wordtree.build import build_tree
from wordtree.files import read_tree, read_tree_directory, write_text_file, write_tree_directory
from wordtree.label_files import load_label_map


@pytest.fixture
def coco():
    return load_label_map("coco")


@pytest.fixture
def built(nouns, coco):
    return build_tree(nouns, [row.wnid for row in coco.rows])


def content(place) -> dict[str, bytes]:
    return {file.relative_to(place).as_posix(): file.read_bytes() for file in place.rglob("*") if file.is_file()}


def test_the_published_9k_tree_is_read_and_written_with_the_same_bytes(shared):
    facts = shared / "facts"
    tree = read_tree(facts / "9k.tree")
    assert (len(tree), tree.num_groups, len(tree.roots()), int(tree.is_leaf.sum())) == (9418, 1846, 4, 7573)
    assert int(tree.group_size.max()) == 149
    assert formats.tree_text(tree).encode() == (facts / "9k.tree").read_bytes()
    assert formats.names_text(tree).encode() == (facts / "9k.names").read_bytes()
    assert formats.labels_text(tree).encode() == (facts / "9k.labels").read_bytes()
    assert tree.digest() == hashlib.sha256((facts / "9k.tree").read_bytes()).hexdigest()
    nodes = formats.parse_map((facts / "coco9k.map").read_text(), where="coco9k.map", num_nodes=len(tree))
    assert len(nodes) == 80
    assert tree.display_names[nodes[52]] == "hotdog"
    assert formats.map_text(nodes).encode() == (facts / "coco9k.map").read_bytes()


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("n1 -1\nn2\n", FormatError, "x.tree line 2: found 'n2'; expected `name parent` such as 'n02084071 7'"),
        ("n1 -1\nn2 zero\n", FormatError, "x.tree line 2: found 'n2 zero'"),
        ("n1 -1\n\nn2 0\n", FormatError, "x.tree line 2: found ''"),
        ("n1 -1\nn2 5\n", TreeError, "x.tree line 2: node 'n2' has parent 5, but parents must come before"),
        ("n1 -1\nn2 0\nn3 1\nn4 0\n", TreeError, "x.tree line 4: node 'n4' stands apart from its siblings"),
        ("", InputError, "x.tree: the file is empty"),
    ],
)
def test_a_bad_tree_file_is_told_with_its_line(tmp_path, text, error, message):
    file = tmp_path / "x.tree"
    file.write_text(text)
    with pytest.raises(error) as caught:
        read_tree(file)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("data", "parents"),
    [
        (b"n1 -1\r\nn2 0\r\n", (-1, 0)),
        (b"\xef\xbb\xbfn1\t-1\nn2\t0", (-1, 0)),
        (b" plane  -1 \nbird -1\njet 0\nowl 1\n", (-1, -1, 0, 1)),
        (b"n000 -1\nn001 -1\nn002 0\nn003 0\nn004 1\n", (-1, -1, 0, 0, 1)),
        (b"n1 -1\nn2 0 7\n", "line 2: found 'n2 0 7'"),
        (b"sail boat -1\n", "line 1: found 'sail boat -1'"),
        (b"n1 -1\nn2 +0\n", "line 2"),
        (b"n1 -1\nn2 0_0\n", "line 2"),
        (b"n1 -1\nn2 0\n\n", "line 3: found ''"),
        (b"n1 2\nn2 -1\n", "line 1: node 'n1' has parent 2; the first node must be a root"),
        (b"n1 -1\nn2 1\n", "line 2: node 'n2' has parent 1, but parents must come before"),
        (b"n1 -1\nn1 0\n", "line 2: node 'n1' stands on line 1 already"),
        (b"n1 -1\nn2 0\nn3 -1\n", "line 3: node 'n3' stands apart from its siblings"),
    ],
)
def test_own_trees_are_read_as_darknet_reads_them_or_refused_with_the_line(tmp_path, data, parents):
    (tmp_path / "x.tree").write_bytes(data)
    if isinstance(parents, tuple):
        assert tuple(read_tree(tmp_path / "x.tree").parent.tolist()) == parents
        return
    with pytest.raises((FormatError, TreeError)) as caught:
        read_tree(tmp_path / "x.tree")
    assert parents in str(caught.value)


def test_names_must_be_as_many_as_nodes(tmp_path):
    (tmp_path / "x.tree").write_text("n1 -1\nn2 0\n")
    (tmp_path / "x.names").write_text("one\n")
    with pytest.raises(FormatError, match=r"the tree has 2 nodes, but its .names file has 1 lines"):
        read_tree(tmp_path / "x.tree")
    (tmp_path / "x.names").write_bytes("one\r\nzwei \u2028 drei\r\n".encode())
    assert read_tree(tmp_path / "x.tree").display_names == ("one", "zwei \u2028 drei")


def test_a_map_outside_the_tree_is_told_with_its_line():
    with pytest.raises(FormatError, match="m line 2: found '7'; expected a node from 0 to 6"):
        formats.parse_map("6\n7\n", where="m", num_nodes=7)


def test_json_is_checked(pets, tmp_path):
    text = formats.tree_json(pets)
    assert json.loads(text)["nodes"][2] == ["n3", 0, "dog"]
    for bad, error, message in (
        (text[:40], FormatError, "x.json line 1: .*expected JSON"),
        ("[]", FormatError, "x.json: expected"),
        (text.replace('"n3", 0', '"n3", "0"'), FormatError, r"x.json nodes\[2\]: found .*expected \[name, parent"),
        (text.replace('"n3", 0', '"n3", 6'), TreeError, r"x.json nodes\[2\]: node 'n3' has parent 6"),
        (text.replace('"n8", 1', '"n8", 3'), TreeError, "x.json: digest .* is not that of its nodes .*; was it edited"),
    ):
        file = tmp_path / "x.json"
        file.write_text(bad)
        with pytest.raises(error, match=message):
            read_tree(file)


def test_pbtxt_has_ids_from_one_and_all_relatives(pets):
    text = formats.tree_pbtxt(pets)
    start = text.index('name: "n3"')
    dog = " ".join(text[start : text.index("}", start)].split())
    assert dog == 'name: "n3" id: 3 display_name: "dog" ancestor_ids: 1 descendant_ids: 6 descendant_ids: 7'
    with pytest.raises(FormatError, match="ids must be 1 to 7 without gaps"):
        formats.parse_tree_pbtxt(text[text.index("}") + 2 :], where="x")


def test_a_missing_file_and_an_unknown_kind_are_told(tmp_path):
    with pytest.raises(InputError, match=r"nowhere: no such file or directory; expected a tree directory or a .tree"):
        read_tree(tmp_path / "nowhere")
    (tmp_path / "x.txt").write_text("x")
    with pytest.raises(InputError, match=r"x.txt: kind '.txt' is unknown"):
        read_tree(tmp_path / "x.txt")
    with pytest.raises(InputError, match=r"no wordtree.tree in this directory"):
        read_tree(tmp_path)


def test_a_tree_directory_is_read_back(tmp_path, built, coco):
    out = tmp_path / "tree"
    assert write_tree_directory(built, [coco], out)
    assert sorted(content(out)) == [
        "build.json",
        "cut_edges.tsv",
        "labels/coco.map",
        "labels/coco.tsv",
        "left_out.tsv",
        "lint.tsv",
        "wordtree.json",
        "wordtree.labels",
        "wordtree.names",
        "wordtree.pbtxt",
        "wordtree.tree",
    ]
    again = read_tree_directory(out)
    assert again.tree == built.tree
    assert again.cut_edges == built.cut_edges
    assert [label.label for label in again.spaces["coco"]] == list(coco.labels)
    assert all(again.tree.names[label.node] == label.wnid for label in again.spaces["coco"])
    assert again.aliases["coco"]["sofa"] == "couch"
    for kind in (".tree", ".json", ".pbtxt"):
        tree = read_tree(out / f"wordtree{kind}")
        assert (tree, tree.display_names) == (built.tree, built.tree.display_names)
    assert hashlib.sha256((out / "wordtree.tree").read_bytes()).hexdigest() == built.tree.digest()


def test_the_same_labels_give_the_same_bytes_and_are_not_written_twice(tmp_path, built, coco, nouns):
    out = tmp_path / "tree"
    assert write_tree_directory(built, [coco], out)
    before = content(out)
    other = build_tree(nouns, reversed([row.wnid for row in coco.rows]))
    assert write_tree_directory(other, [coco], out) is False
    assert write_tree_directory(other, [coco], tmp_path / "again")
    assert content(out) == before == content(tmp_path / "again")


def test_another_content_is_not_overwritten_unless_forced(tmp_path, built, coco):
    out = tmp_path / "tree"
    write_tree_directory(built, [coco], out)
    with pytest.raises(OutputError, match="tree: exists with another content; choose another --out or replace it with"):
        write_tree_directory(built, [], out)
    assert "labels/coco.map" in content(out)
    assert write_tree_directory(built, [], out, force=True)
    assert "labels/coco.map" not in content(out)
    assert [file.name for file in tmp_path.iterdir()] == ["tree"]


def test_what_is_no_tree_directory_is_never_replaced(tmp_path, built):
    out = tmp_path / "photos"
    out.mkdir()
    (out / "photo.jpg").write_bytes(b"x")
    with pytest.raises(OutputError, match="photos: exists and is no tree directory"):
        write_tree_directory(built, [], out, force=True)
    with pytest.raises(OutputError, match="does not exist; create it first"):
        write_tree_directory(built, [], tmp_path / "no" / "such")
    (tmp_path / "empty").mkdir()
    assert write_tree_directory(built, [], tmp_path / "empty")


def test_a_failure_while_writing_leaves_the_old_directory_as_it_was(tmp_path, built, coco, monkeypatch):
    out = tmp_path / "tree"
    write_tree_directory(built, [coco], out)
    before = content(out)
    from pathlib import Path

    real = Path.write_bytes

    def fail(self, data):
        if self.name == "build.json":
            raise OSError(28, "No space left on device")
        return real(self, data)

    monkeypatch.setattr(Path, "write_bytes", fail)
    with pytest.raises(OutputError, match=r"tree: cannot write it .No space left on device"):
        write_tree_directory(built, [], out, force=True)
    assert content(out) == before
    assert [file.name for file in tmp_path.iterdir()] == ["tree"]


def test_two_spaces_of_one_name_are_refused(tmp_path, built, coco):
    with pytest.raises(ConfigError, match="two label spaces are called 'coco'; give one another name with NAME=FILE"):
        write_tree_directory(built, [coco, coco], tmp_path / "tree")


def test_mixed_up_files_in_a_directory_are_noticed(tmp_path, built, coco, pets):
    out = tmp_path / "tree"
    write_tree_directory(built, [coco], out)
    (out / "wordtree.json").write_text(formats.tree_json(pets))
    with pytest.raises(TreeError, match="hold different trees"):
        read_tree(out)
    write_tree_directory(built, [coco], out, force=True)
    table = out / "labels" / "coco.tsv"
    table.write_text(table.read_text().replace("n02958343\texact", "n02084071\texact"))
    with pytest.raises(TreeError, match=r"coco.tsv line 4: node \d+ is not 'n02084071' in wordtree.tree"):
        read_tree_directory(out)


def test_cut_edges_tell_names_and_are_read_without_them_too(tmp_path, nouns):
    labels = ["n02084071", "n01317541", "n02121808"]  # dog, domestic animal, domestic cat; canine below
    built = build_tree(nouns, [*labels, "n02083346"])
    out = tmp_path / "tree"
    write_tree_directory(built, [], out)
    file = out / "cut_edges.tsv"
    header, first, *_ = [line.split("\t") for line in file.read_text().splitlines()]
    assert header == ["child", "hypernym", "child_node", "hypernym_node", "child_name", "hypernym_name"]
    assert [built.tree.display_names[built.tree.index(name)] for name in first[:2]] == first[4:]
    read = read_tree_directory(out).cut_edges
    assert read == built.cut_edges
    file.write_text("".join("\t".join(line.split("\t")[:4]) + "\n" for line in file.read_text().splitlines()))
    assert read_tree_directory(out).cut_edges == read
    file.write_text("child\thypernym\n")
    with pytest.raises(FormatError, match=r"cut_edges.tsv line 1: found columns child, hypernym; expected child, "):
        read_tree_directory(out)


def test_a_single_file_is_not_overwritten_unless_forced(tmp_path):
    file = tmp_path / "x"
    assert write_text_file(file, "a")
    assert write_text_file(file, "a") is False
    with pytest.raises(OutputError, match="exists with another content"):
        write_text_file(file, "b")
    assert write_text_file(file, "b", force=True)
    assert file.read_text() == "b"
