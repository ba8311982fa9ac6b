"""Spreading labels and boxes through a hierarchy: the rules by hand, against an obvious closure, and the command."""

from __future__ import annotations

import argparse
import csv
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import ConfigError, FormatError, InputError, LabelError, OutputError, TreeError
from wordtree.build import CutEdge
from wordtree.cli_expand import add_expand
from wordtree.expansion import (
    Ancestry,
    Conflict,
    expand_boxes,
    expand_labels,
    hierarchy_ancestry,
    tree_ancestry,
)
from wordtree.open_images_hierarchy import hierarchy_text, parse_hierarchy, to_tree, tree_hierarchy_text

# duck has two parents, and bird is reached from duck by one way only; animal by both.
DAG = {"animal": [], "bird": ["animal"], "toy": [], "duck": ["bird", "toy"], "mallard": ["duck"]}


def run(*words: object) -> int:
    parser = argparse.ArgumentParser()
    add_expand(parser.add_subparsers())
    args = parser.parse_args(["expand", *map(str, words)])
    return args.run(args)


@pytest.fixture
def official(shared):
    place = shared / "data" / "openimages" / "official_meta" / "bbox_labels_600_hierarchy.json"
    return place, parse_hierarchy(place.read_bytes().decode(), where=place.name)


def slow_closure(entry: dict, over: tuple[str, ...] = ()) -> set[tuple[str, str]]:
    """(class, class above it), walking down every place of the file; Part is not is-a, and the root is no class."""
    found = {(entry["LabelName"], above) for above in over}
    here = (*over, entry["LabelName"])
    for child in entry.get("Subcategory", []):
        found |= slow_closure(child, here)
    return found


def test_positives_go_up_and_negatives_go_down_as_sets():
    found = expand_labels(["mallard"], ["toy"], Ancestry(DAG))
    assert found.positives == {"mallard", "duck", "bird", "toy", "animal"}
    assert found.negatives == {"toy", "duck", "mallard"}
    assert found.conflicts == (Conflict("mallard", "toy"),)
    assert found.without_conflicts().positives == {"bird", "animal"}
    assert found.without_conflicts().negatives == frozenset()


def test_a_negative_below_a_positive_is_no_conflict():
    found = expand_labels(["bird"], ["mallard"], Ancestry(DAG))
    assert (found.positives, found.negatives, found.conflicts) == ({"bird", "animal"}, {"mallard"}, ())
    assert expand_labels(["bird"], ["bird"], Ancestry(DAG)).conflicts == (Conflict("bird", "bird"),)


def test_a_box_reaches_a_class_with_two_ways_up_once():
    diamond = Ancestry({"top": [], "left": ["top"], "right": ["top"], "low": ["left", "right"]})
    assert expand_boxes([("low", 1)], diamond) == [("low", 1), ("left", 1), ("right", 1), ("top", 1)]
    # The same box as left and as low: top gets it once.
    assert expand_boxes([("left", 1), ("low", 1)], diamond) == [("left", 1), ("top", 1), ("low", 1), ("right", 1)]


def test_a_tree_works_too_and_its_cut_edges_count(pets):
    assert expand_labels(["n6"], [], tree_ancestry(pets)).positives == {"n6", "n3", "n1"}
    assert tree_ancestry(pets, [CutEdge("n6", "n2")]).ancestors("n6") == {"n3", "n1", "n2"}
    with pytest.raises(LabelError, match=r"'n9' is no class of the hierarchy \(8 classes\)"):
        expand_labels(["n9"], [], tree_ancestry(pets))
    with pytest.raises(TreeError, match="stands above itself"):
        tree_ancestry(pets, [CutEdge("n1", "n6")])


def test_the_600_classes_expand_by_the_rules_of_the_open_images_challenge(official):
    place, hierarchy = official
    ancestry = hierarchy_ancestry(hierarchy)
    assert len(ancestry) == 601
    assert hierarchy.root == "/m/0bl9f"
    assert "/m/0bl9f" not in ancestry
    pairs = {(low, high) for low, high in slow_closure(json.loads(place.read_text())) if high != "/m/0bl9f"}
    assert {(name, above) for name in hierarchy.parents for above in ancestry.ancestors(name)} == pairs
    assert {(below, name) for name in hierarchy.parents for below in ancestry.descendants(name)} == pairs
    # Classes under two parents, such as the duck: bird and toy in this file too.
    assert len(hierarchy.several_parents()) == 45


def test_the_official_file_is_written_again_with_the_same_bytes_and_is_no_tree(official):
    place, hierarchy = official
    assert hierarchy_text(hierarchy).encode() == place.read_bytes()
    assert len(hierarchy.parts) == 38
    with pytest.raises(TreeError, match="45 classes have several parents, which a tree cannot hold; the first is '/m/"):
        to_tree(hierarchy, where=place.name)


def test_a_tree_becomes_a_hierarchy_and_back(pets):
    text = tree_hierarchy_text(pets)
    again = to_tree(parse_hierarchy(text, where="x"), where="x")
    assert again == pets
    assert tree_hierarchy_text(again) == text
    assert hierarchy_text(parse_hierarchy(text, where="x")) == text


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("[]", FormatError, "x: expected"),
        ('{"LabelName": "a", "Subcategory": {}}', FormatError, r"x \$.Subcategory: expected a list"),
        (
            '{"LabelName": "a", "Subcategory": [{"Part": []}]}',
            FormatError,
            r"x \$.Subcategory\[0\]: found LabelName None",
        ),
        (
            '{"LabelName": "a", "Kind": []}',
            FormatError,
            r"x \$: found key 'Kind'; expected LabelName, Subcategory, Part",
        ),
        ('{"LabelName": "a", "Subcategory": [{"LabelName": "a"}]}', TreeError, "x: the root 'a' stands below another"),
        (
            '{"LabelName": "a", "Subcategory": [{"LabelName": "b", "Subcategory": [{"LabelName": "b"}]}]}',
            TreeError,
            "x: class 'b' stands above itself",
        ),
    ],
)
def test_a_bad_hierarchy_is_told_with_its_place(text, error, message):
    with pytest.raises(error, match=message):
        parse_hierarchy(text, where="x")


@st.composite
def graphs(draw: st.DrawFn) -> dict[str, list[str]]:
    count = draw(st.integers(1, 10))
    above = [draw(st.lists(st.integers(0, node - 1), max_size=3)) if node else [] for node in range(count)]
    return {f"c{node}": [f"c{parent}" for parent in parents] for node, parents in enumerate(above)}


@given(graphs(), st.data())
def test_expansion_is_a_closure(graph, data):
    ancestry = Ancestry(graph)

    def climb(name: str) -> set[str]:
        return {name}.union(*(climb(parent) for parent in graph[name]))

    names = st.lists(st.sampled_from(sorted(graph)), max_size=4)
    positives, negatives = data.draw(names), data.draw(names)
    found = expand_labels(positives, negatives, ancestry)
    assert found.positives == set().union(*map(climb, positives))
    assert found.negatives == {name for name in graph if climb(name) & set(negatives)}
    again = expand_labels(found.positives, found.negatives, ancestry)
    assert (again.positives, again.negatives) == (found.positives, found.negatives)
    assert bool(found.conflicts) == bool(found.positives & found.negatives)
    boxes = [(name, at % 2) for at, name in enumerate(positives)]
    expanded = expand_boxes(boxes, ancestry)
    assert len(expanded) == len(set(expanded))
    assert set(expanded) == {(above, box) for name, box in boxes for above in climb(name)}
    assert expand_boxes(expanded, ancestry) == list(dict.fromkeys(expanded)) or set(
        expand_boxes(expanded, ancestry)
    ) == set(expanded)


HIERARCHY = """{"LabelName": "Entity", "Subcategory": [
  {"LabelName": "animal", "Subcategory": [{"LabelName": "bird", "Subcategory": [{"LabelName": "duck"}]}]},
  {"LabelName": "toy", "Subcategory": [{"LabelName": "duck"}], "Part": [{"LabelName": "wheel"}]},
  {"LabelName": "wheel"}]}
"""
BOXES = """ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsGroupOf,Note
a,xclick,duck,1,0.1,0.5,0.2,0.6,0,"say ""quack"" loud"
a,xclick,bird,1,0.10,0.50,0.2,0.6,0,x
b,xclick,wheel,1,0,1,0,1,1,x
b,xclick,moon,1,0,1,0,1,0,x
"""
LABELS = """ImageID,Source,LabelName,Confidence
a,verification,duck,1
b,verification,animal,0
c,machine,duck,0.5
c,machine,bird,0.7
a,verification,animal,0
"""


@pytest.fixture
def files(tmp_path):
    for name, text in (("h.json", HIERARCHY), ("boxes.csv", BOXES), ("labels.csv", LABELS)):
        (tmp_path / name).write_text(text)
    return tmp_path / "h.json", "--boxes", tmp_path / "boxes.csv", "--labels", tmp_path / "labels.csv"


def table(path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_the_command_expands_rows_by_column_name_and_keeps_all_columns(files, tmp_path, capsys):
    out = tmp_path / "out"
    assert run(*files, "--out", out) == 0
    told = capsys.readouterr().out
    rows = table(out / "boxes-expanded.csv")
    # The bird has the duck's box: animal gets it once; IsGroupOf goes along.
    assert [(row["ImageID"], row["LabelName"], row["IsGroupOf"]) for row in rows] == [
        ("a", "duck", "0"),
        ("a", "animal", "0"),
        ("a", "bird", "0"),
        ("a", "toy", "0"),
        ("b", "wheel", "1"),
        ("b", "moon", "0"),
    ]
    assert [row["Note"] for row in rows] == ['say "quack" loud', 'say "quack" loud', "x", 'say "quack" loud', "x", "x"]
    assert "1 boxes of 1 classes that are not in the hierarchy, copied as they are: moon" in told
    labels = {(row["ImageID"], row["LabelName"], row["Confidence"]) for row in table(out / "labels-expanded.csv")}
    assert {label for label in labels if label[0] == "c"} == {
        ("c", "duck", "0.5"),
        ("c", "toy", "0.5"),
        ("c", "bird", "0.7"),
        ("c", "animal", "0.7"),
    }
    assert {label[1:] for label in labels if label[0] == "b"} == {("animal", "0"), ("bird", "0"), ("duck", "0")}
    assert [tuple(row.values()) for row in table(out / "conflicts.csv")] == [
        ("a", "duck", "label", "animal"),
        ("a", "bird", "box", "animal"),
        ("a", "duck", "box", "animal"),
    ]
    summary = json.loads((out / "summary.json").read_text())
    for kind in ("boxes", "labels"):
        counts = summary[kind]
        assert counts["read"] == counts["written"] - counts["copies"] + counts["merged"] + counts["dropped"]
    with pytest.raises(OutputError, match="out: exists; choose another --out or replace it with --force"):
        run(*files, "--out", out)
    assert run(*files, "--out", out, "--force", "--drop-conflicts", "--json") == 0
    assert json.loads(capsys.readouterr().out)["labels"]["dropped"] == 2
    kept = [row for row in table(out / "labels-expanded.csv") if row["ImageID"] == "a"]
    assert [(row["LabelName"], row["Confidence"]) for row in kept] == [("toy", "1")]


def test_the_command_takes_a_tree_and_files_from_several_years(tmp_path, pets, capsys):
    from wordtree.tree_formats import tree_text

    (tmp_path / "x.tree").write_text(tree_text(pets))
    (tmp_path / "val.csv").write_text("ImageID,LabelName,XMin,XMax,YMin,YMax,IsGroupOf\ni,n6,0,1,0,1,0\n")
    assert run(tmp_path / "x.tree", "--boxes", tmp_path / "val.csv", "--out", tmp_path / "out") == 0
    assert [row["LabelName"] for row in table(tmp_path / "out" / "val-expanded.csv")] == ["n6", "n1", "n3"]
    assert "1 read, 2 copies" in capsys.readouterr().out


def test_bad_files_are_told_with_their_line_and_leave_nothing_behind(files, tmp_path):
    out, boxes, labels = tmp_path / "out", files[2], files[4]
    boxes.write_text(BOXES.replace("0.10", "ten"))
    with pytest.raises(FormatError, match=r"boxes.csv line 3: found XMin 'ten'; expected a number from 0 to 1"):
        run(*files, "--out", out)
    boxes.write_text(BOXES.replace("XMin", "X"))
    with pytest.raises(FormatError, match=r"boxes.csv line 1: column XMin is missing; found ImageID, Source"):
        run(*files, "--out", out)
    boxes.write_text(BOXES)
    labels.write_text(LABELS + "d,verification\n")
    with pytest.raises(FormatError, match=r"labels.csv line 7: found 2 cells; expected 4"):
        run(*files, "--out", out)
    labels.write_bytes(LABELS.encode() + b"\xff,verification,duck,1\n")
    with pytest.raises(FormatError, match=r"labels.csv line 7: found bytes that are no UTF-8"):
        run(*files, "--out", out)
    labels.write_text(LABELS)
    with pytest.raises(InputError, match=r"nowhere.csv: no such file"):
        run(files[0], "--boxes", tmp_path / "nowhere.csv", "--out", out)
    with pytest.raises(ConfigError, match="nothing to expand"):
        run(files[0], "--out", out)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["boxes.csv", "h.json", "labels.csv"]
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "photo.jpg").write_bytes(b"x")
    with pytest.raises(OutputError, match="was not written by this command"):
        run(*files, "--out", tmp_path / "photos", "--force")


def test_the_public_open_images_rows_expand_as_the_slow_closure_says(official, shared, tmp_path):
    place, _ = official
    source = shared / "data" / "openimages" / "converted_from_coco" / "annotations"
    boxes = source / "validation-annotations-bbox.csv"
    labels = source / "validation-annotations-human-imagelabels-boxable.csv"
    run(place, "--boxes", boxes, "--labels", labels, "--out", tmp_path / "out")
    pairs = {(low, high) for low, high in slow_closure(json.loads(place.read_text())) if high != "/m/0bl9f"}
    pairs |= {(name, name) for pair in pairs for name in pair} | {(row["LabelName"],) * 2 for row in table(boxes)}
    pairs |= {(row["LabelName"],) * 2 for row in table(labels)}
    up: dict[str, set[str]] = {}
    down: dict[str, set[str]] = {}
    for low, high in pairs:
        up.setdefault(low, set()).add(high)
        down.setdefault(high, set()).add(low)

    def box(row: dict[str, str], name: str) -> tuple[str, ...]:
        return row["ImageID"], name, row["XMin"], row["XMax"], row["YMin"], row["YMax"]

    rows = table(tmp_path / "out" / "validation-annotations-bbox-expanded.csv")
    found = [box(row, row["LabelName"]) for row in rows]
    assert len(found) == len(set(found)) == 436
    assert set(found) == {box(row, name) for row in table(boxes) for name in up[row["LabelName"]]}
    rows = table(tmp_path / "out" / f"{labels.stem}-expanded.csv")
    marks = [(row["ImageID"], row["LabelName"], row["Confidence"]) for row in rows]
    expected = {
        (row["ImageID"], name, row["Confidence"])
        for row in table(labels)
        for name in (up if row["Confidence"] == "1" else down)[row["LabelName"]]
    }
    assert len(marks) == len(set(marks))
    assert set(marks) == expected
