"""The maps that ship, and what the documentation says of the published ones."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import pytest

from schemas.errors import FormatError, InputError, LabelError
from wordtree.build import build_tree
from wordtree.label_files import SHIPPED, load_label_map
from wordtree.label_space import LabelMap, LabelRow
from wordtree.mapping import place_labels

PAGE = Path(__file__).resolve().parents[2] / "docs" / "label-maps.md"


@pytest.mark.parametrize(
    ("name", "size", "unmapped"),
    [("coco", 80, 0), ("coco91", 91, 0), ("voc", 20, 0), ("openimages", 595, 6), ("det200", 200, 0),
     ("ilsvrc1000", 1000, 0), ("imagenet21k", 21842, 0)],
)  # fmt: skip
def test_shipped_maps_have_their_classes_on_synsets_of_wordnet(nouns, name, size, unmapped):
    space = load_label_map(name)
    assert (len(space), len(space.unmapped)) == (size, unmapped)
    assert all(row.wnid in nouns and row.display_name for row in space.rows)
    assert name in PAGE.read_text()


def test_the_page_lists_every_shipped_map_with_its_relations():
    page = PAGE.read_text()
    for name in ("coco", "coco91", "voc", "openimages"):
        space = load_label_map(name)
        counts = {
            relation: sum(row.relation == relation for row in space.rows)
            for relation in ("exact", "broader", "narrower", "close")
        }
        counts["none"] = len(space.unmapped)
        told = ", ".join(f"{count} {relation}" for relation, count in counts.items() if count)
        assert re.search(rf"\| `{name}` \| .* \| {told} \|", page), told
    assert all(f"| `{name}` |" in page for name in SHIPPED)


def test_coco91_is_coco_and_eleven_more_by_the_ids_of_the_paper():
    coco, paper = load_label_map("coco"), load_label_map("coco91")
    extra = [row for row in paper.rows if row.label not in coco.labels]
    assert [row.label for row in extra] == [
        "street sign", "hat", "shoe", "eye glasses", "plate", "mirror", "window", "desk", "door", "blender",
        "hair brush",
    ]  # fmt: skip
    assert [row.aliases[0] for row in paper.rows] == [str(number) for number in range(1, 92)]
    assert paper.wnid("18") == coco.wnid("dog")
    for row in coco.rows:
        assert paper.wnid(row.label) == row.wnid
        assert paper.row(row.label).relation == row.relation


def test_coco91_has_the_ids_of_coco_files(shared):
    file = shared / "data/coco/tiny_coco/annotations/instances_val2017.json"
    paper = load_label_map("coco91")
    for category in json.loads(file.read_text())["categories"]:
        assert paper.row(str(category["id"])).label == category["name"]


@pytest.mark.parametrize(
    ("name", "wnid", "relation"),
    [
        ("Mouse", "n02330245", "exact"),
        ("Computer mouse", "n03793489", "exact"),
        ("Cat", "n02121808", "exact"),
        ("Bat", "n02139199", "exact"),
        ("Kite", "n03621473", "exact"),
        ("Dairy", "n07843775", "exact"),
        ("Fruit", "n07705931", "exact"),
        ("Jet ski", "n04562122", "exact"),
        ("Stop sign", "n06794110", "broader"),
        ("Land vehicle", "n04524313", "broader"),
        ("Tennis racket", "n04409806", "exact"),
        ("TennisBall", "n04409515", "exact"),
        ("Tennis ball", "n04409515", "exact"),
    ],
)
def test_open_images_names_mean_what_its_hierarchy_says(name, wnid, relation):
    row = load_label_map("openimages").row(name)
    assert (row.wnid, row.relation) == (wnid, relation)


def test_rows_of_open_images_that_are_not_exact_have_a_note():
    space = load_label_map("openimages")
    assert all(row.note for row in space.rows if row.relation != "exact")
    assert all(space.unmapped.values())
    assert space.get("/m/02d9qx") is None
    with pytest.raises(LabelError, match=r"openimages.tsv: '/m/02d9qx' has no synset \(WordNet 3.0 has no whiteboard"):
        space.wnid("/m/02d9qx")


def test_open_images_has_the_classes_of_its_own_file(shared):
    file = shared / "data/openimages/official_meta/class-descriptions-boxable.csv"
    space = load_label_map("openimages")
    with file.open(newline="") as stream:
        classes = list(csv.reader(stream))
    mapped = {row.label: row.display_name for row in space.rows}
    assert [(mid, name) for mid, name in classes if mid not in space.unmapped] == list(mapped.items())
    assert len(classes) == len(mapped) + len(space.unmapped)


def test_wnid_lists_are_those_of_the_published_files(shared):
    facts = shared / "facts"
    published = (facts / "9k.labels").read_text().split()
    nodes = [int(line) for line in (facts / "inet9k.map").read_text().split()]
    assert list(load_label_map("det200").labels) == [published[node] for node in nodes]
    assert list(load_label_map("ilsvrc1000").labels) == (facts / "ilsvrc1000.wnids").read_text().split()
    assert list(load_label_map("imagenet21k").labels) == sorted((facts / "imagenet.labels.list").read_text().split())


def test_the_page_lists_exactly_where_the_published_coco_map_differs(shared, nouns):
    facts = shared / "facts"
    published = (facts / "9k.labels").read_text().split()
    coco = load_label_map("coco")
    names = (facts / "coco.names").read_text().split("\n")
    differing = {}
    for name, node in zip(names, (facts / "coco9k.map").read_text().split(), strict=False):
        row = coco.row(name)
        if published[int(node)] != row.wnid:
            differing[row.label] = (published[int(node)], row.wnid, "*" if row.wnid not in published else "")
    rows = re.findall(
        r"^\| ([^|]+) \| (n\d{8}) [^|]+ \| ([^|]+) \| (n\d{8}) [^|]+ \| (\*?) *\|$", PAGE.read_text(), re.M
    )
    told = {label: (theirs, ours, star) for label, theirs, _, ours, star in rows}
    assert told == differing
    assert len(told) == 14
    assert sum(star == "*" for _, _, star in told.values()) == 6
    for label, theirs, why, ours, _ in rows:
        if why.startswith("more general"):
            assert theirs in nouns.closure(ours), label
        elif why == "more special":
            assert ours in nouns.closure(theirs), label
        else:
            assert theirs not in nouns.closure(ours), label
            assert ours not in nouns.closure(theirs), label


def test_data_sets_merge_into_one_tree_with_a_map_each(nouns):
    spaces = [load_label_map(name) for name in ("coco", "voc", "openimages", "det200")]
    built = build_tree(nouns, [row.wnid for space in spaces for row in space.rows])
    left_out = {label.wnid for label in built.left_out}
    assert left_out == {"n10084295", "n10285313", "n10287213", "n10787470"}  # below person: girl, boy, man, woman
    for space in spaces:
        placed = place_labels(space, built.tree, nouns)
        assert [label.label for label in placed] == list(space.labels)
        assert all(built.tree.names[label.node] == label.wnid or label.wnid in left_out for label in placed)


def test_a_label_without_synset_is_known_but_has_no_row(tmp_path):
    file = tmp_path / "x.csv"
    file.write_text("label,wnid,note\ndog,n02084071,\nstuff,none,too many things\n")
    space = load_label_map(str(file))
    assert (space.labels, space.unmapped) == (("dog",), {"stuff": "too many things"})
    assert "stuff" not in space
    with pytest.raises(LabelError, match=r"'stuff' has no synset \(too many things\)"):
        space.row("stuff")
    file.write_text("label,wnid\nstuff,none\n")
    with pytest.raises(InputError, match=r"x.csv: the table has a header and 1 rows, all without synset"):
        load_label_map(str(file))
    file.write_text("label,wnid\ndog,n02084071\ndog,none\n")
    with pytest.raises(FormatError, match=r"x.csv line 3: label 'dog' stands on line 2 already"):
        load_label_map(str(file))
    with pytest.raises(FormatError, match="label 'a' stands there twice"):
        LabelMap("x", [LabelRow("a", "n02084071")], unmapped={"a": ""})
