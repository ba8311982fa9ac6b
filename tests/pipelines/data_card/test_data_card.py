"""The card tells what was counted, to people and to programs, and stands alone."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from io import BytesIO

import msgspec
import pyarrow.parquet as pq
import pytest
from PIL import Image

from pipelines.data_card.card import card_json, find_tree, make_card, read_report, short_names
from pipelines.data_card.image_sections import group_names, grouped, widths
from pipelines.data_card.page import page
from pipelines.data_card.pictures import candidate_paths, small_picture
from pipelines.data_card.plots import bar_chart
from pipelines.data_card.text import text_lines
from pipelines.statistics.job import count
from schemas.arrow import annotations_table, index_row, index_table
from schemas.boxes import Box
from schemas.dataset_files import open_dataset_files
from schemas.errors import InputError
from schemas.manifest import ClassEntry, Counts, Manifest, ShardEntry
from schemas.record import BoxAnnotation, ImageLabel, ImageRecord
from schemas.tfexample import encode_record
from schemas.tfrecord import frame
from tests.pipelines.statistics.test_statistics_oracle import random_rows, write_rows
from wordtree.files import write_text_file
from wordtree.tree import WordTree
from wordtree.tree_formats import tree_json

TREE = WordTree(
    ["n1", "n2", "n3", "n4", "n5"], [-1, 0, 0, 1, 1], ["thing", "animal", "tool <b>", "dog", "cat & <script>"]
)
CLASSES = (
    ClassEntry(id=1, label="dog", wnid="n4", display_name="dog"),
    ClassEntry(id=2, label="cat & <script>alert(1)</script>", wnid="n5"),
    ClassEntry(id=3, label="tool", wnid="n3"),
    ClassEntry(id=4, label="ghost", wnid="n404"),
)


def png(seed):
    buffer = BytesIO()
    Image.new("RGB", (64, 48), (seed % 256, 90, 40)).save(buffer, "PNG")
    return buffer.getvalue()


def record(number, class_ids, *, seed=None, labels=()):
    data = png(number if seed is None else seed)
    return ImageRecord(
        image_id=f"i{number}",
        source="test",
        uri=f"i{number}.png",
        filename=f"i{number}.png",
        has_boxes=True,
        format="png",
        height=48,
        width=64,
        boxes=tuple(
            BoxAnnotation(box=Box(0.1, 0.1, 0.6, 0.5), label=CLASSES[k - 1].label, class_id=k) for k in class_ids
        ),
        labels=tuple(labels),
        encoded=data,
        sha256=hashlib.sha256(data).hexdigest(),
    )


def write_dataset(folder, records, *, rejects=(), options=None, counts=None):
    """A dataset with a shard of pixels."""
    folder.mkdir(parents=True)
    data, rows, name = b"", [], "train-00000-of-00001.tfrecord"
    for one in records:
        framed = frame(encode_record(one))
        rows.append(index_row(one, name, len(data), len(framed)))
        data += framed
    (folder / name).write_bytes(data)
    pq.write_table(index_table(rows), folder / "train.index.parquet")
    pq.write_table(annotations_table(records), folder / "train.annotations.parquet")
    (folder / "rejects.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rejects))
    manifest = Manifest(
        source="coco",
        split="train",
        has_boxes=True,
        options=options or {},
        versions={"wordtree": "0"},
        source_files=(),
        counts=counts or Counts(images_in=len(records), images_written=len(records)),
        shards=(ShardEntry(name=name, records=len(records), bytes=len(data), sha256=""),),
        classes=CLASSES,
    )
    (folder / "manifest.json").write_text(manifest.to_json())
    return folder


@pytest.fixture(scope="module")
def datasets(tmp_path_factory):
    folder = tmp_path_factory.mktemp("card")
    images = folder / "images"
    images.mkdir()
    (images / "cut.png").write_bytes(png(3)[:-30])
    (images / "web.png").write_bytes(b"<html>")
    said = [ImageLabel(label="dog", class_id=1, present=False, confidence=0.0, source="people", verified=True)]
    records = [record(k, [1, 2] if k % 2 else [3], labels=said if k == 1 else ()) for k in range(20)]
    records += [record(20, [], seed=0), record(21, [4], seed=0)]
    rejects = [
        {"kind": "image", "record": "cut", "reason": "image:truncated", "where": "cut.png", "found": "30 bytes short"},
        {"kind": "image", "record": "web", "reason": "image:html", "where": "web.png", "found": "<html>"},
        {"kind": "image", "record": "gone", "reason": "image:missing", "where": "gone.png", "found": ""},
        {"kind": "box", "record": "b1", "reason": "box:zero_area", "where": "", "found": "0 x 0", "image_id": "i3"},
    ]
    reasons = {row["reason"]: 1 for row in rejects}
    counts = Counts(images_in=25, images_written=22, images_rejected=3, rejected_by_reason=reasons)
    first = write_dataset(
        folder / "a" / "train", records, rejects=rejects, options={"images": str(images)}, counts=counts
    )
    second = write_dataset(folder / "b" / "train", [record(7, [1]), record(99, [2])])
    write_text_file(folder / "tree.json", tree_json(TREE))
    return [str(first), str(second)], str(folder / "tree.json")


@pytest.fixture(scope="module")
def card(datasets):
    files = [open_dataset_files(path) for path in datasets[0]]
    return make_card(files, count(files), tree_path=datasets[1])


class Checker(HTMLParser):
    """Every element is closed; nothing points outside the page."""

    VOID = ("meta", "input", "br", "line", "rect", "circle", "path", "image")

    def __init__(self):
        super().__init__()
        self.open, self.text, self.ids, self.links = [], "", [], []

    def handle_starttag(self, tag, attrs):
        named = dict(attrs)
        assert not [key for key in named if key.startswith("on")]
        assert all(value.startswith(("#", "data:image/jpeg;base64,")) for key, value in attrs if key in ("href", "src"))
        self.ids += [named["id"]] if "id" in named else []
        self.links += [named["href"][1:]] if tag == "a" else []
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def test_the_page_is_sound_and_needs_nothing_else(card):
    text = page(card)
    checker = Checker()
    checker.feed(text)
    assert checker.open == []
    assert len(checker.ids) == len(set(checker.ids))
    assert set(checker.links) <= set(checker.ids)
    assert "http" not in re.sub(r"http-equiv", "", text)
    assert text.count("<script>") == 1  # names of classes are text
    assert "cat & <script>alert(1)</script>" in checker.text
    assert len(text) < 1_000_000
    for picture in re.findall(r'<svg class="plot".*?</svg>', text):
        assert "<title>" in picture
    assert "nan" not in re.sub(r"base64,[^\"]*", "", text).lower().replace("finance", "")


def test_the_same_data_gives_the_same_page(card, datasets):
    files = [open_dataset_files(path) for path in datasets[0]]
    assert page(make_card(files, count(files), tree_path=datasets[1])) == page(card)


def test_classes_are_one_row_for_each_concept(card):
    rows = {row.wnid: row for row in card.classes}
    assert [row.wnid for row in card.classes] == ["n5", "n4", "n3", "n404"]
    assert rows["n4"].name == "dog"
    assert list(msgspec.to_builtins(rows["n4"].counts)) == [
        {"boxes": 10, "labels": 0, "absent": 1, "images": 10},
        {"boxes": 1, "labels": 0, "absent": 0, "images": 1},
    ]
    assert rows["n3"].total("images") == 10


def test_nodes_have_their_own_counts_and_those_below(card):
    nodes = {TREE.names[node]: count for node, count in card.tree_counts.nodes.items()}
    assert set(nodes) == {"n1", "n2", "n3", "n4", "n5"}
    assert (nodes["n2"].boxes, nodes["n2"].all_boxes, nodes["n2"].images) == (0, 22, 12)  # dogs and cats on one image
    assert (nodes["n1"].all_boxes, nodes["n1"].all_absent, nodes["n1"].images) == (32, 1, 22)
    assert card.tree_counts.without_node == 1
    assert all(count.exact for count in nodes.values())


def test_pictures_of_rejects_are_read_where_they_still_lie(card):
    shown = {line.record: picture for line, picture in card.pictures.rejects[0].items()}
    assert shown["cut"].src.startswith("data:image/jpeg;base64,")
    assert shown["web"].note.startswith("cannot be shown")
    assert shown["gone"].note == "the file is not there"
    assert [box[4] for box in shown["b1"].boxes] == ["dog", CLASSES[1].label]
    assert len(card.pictures.samples[0]) == 12
    assert len(card.pictures.samples[1]) == 2


def test_equal_files_are_told_inside_and_between(card):
    same = card.statistics.same_bytes
    assert [(one.contents, one.more) for one in same.inside] == [(1, 2), (0, 0)]
    assert [(p.contents, p.images_first, p.images_second) for p in same.between] == [(1, 1, 1)]
    captions = {one.caption for shown in card.pictures.equal for one in shown}
    assert captions == {"a/train: i0", "a/train: i20", "a/train: i21", "a/train: i7", "b/train: i7"}
    told = page(card)
    assert "a/train and b/train" in told


def test_the_text_tells_the_main_numbers(card):
    text = "\n".join(text_lines(card))
    assert "a/train  (coco," in text
    assert "22 with 31 boxes, 1 label of absence" in text
    assert "4 of 4 occur: 0 frequent, 0 common, 4 rare" in text
    assert "1 image:html" in text
    assert "leaks     a/train and b/train share 1 file: 1 image of the first" in text


def test_json_holds_everything_but_sketches(card):
    data = json.loads(json.dumps(card_json(card)))
    assert [one["name"] for one in data["datasets"]] == ["a/train", "b/train"]
    assert data["datasets"][0]["annotations"]["classes"]["1"] == [10, 0, 1]
    assert data["datasets"][0]["images"]["load"]["boxes"] == {"0": 1, "1": 11, "2": 10}
    assert {node["wnid"]: node["images"] for node in data["tree"]["nodes"]}["n2"] == 12
    assert "class_images" not in json.dumps(data)


@pytest.mark.parametrize("images", [0, 1])
def test_empty_and_labels_only_datasets_have_cards(tmp_path, images):
    labels = [ImageLabel(label="dog", class_id=1, confidence=0.3, source="model")]
    one = record(1, [])._replace(has_boxes=False, labels=tuple(labels))
    files = [open_dataset_files(str(write_dataset(tmp_path / "few", [one] * images)))]
    card = make_card(files, count(files))
    Checker().feed(page(card))
    assert "No tree is known" in page(card)
    assert text_lines(card)


def test_groups_of_numbers_are_no_peaks():
    counts = {n: 6 for n in range(1, 41)}
    found = grouped(counts)
    assert found == {"0": 0, **{str(n): 6 for n in range(1, 11)}, "11+": 30, "16+": 30, "21+": 60, "31+": 60}
    across = widths(list(found), counts)
    assert across == [1] * 11 + [5, 5, 10, 10]
    assert widths(list(found), {**counts, 45: 1})[-1] == 15
    plot = bar_chart(found, about="", x_name="", widths=across)
    bars = re.findall(r'<rect [^>]*height="([\d.]+)"', plot)
    assert len(bars) == 14
    assert len(set(bars)) == 1, "equally many of each number are equally high"
    assert "21+: 60" in plot
    assert group_names(["3", "21+", "101+"]) == ["3", "21 to 30", "101 and more"]


def test_the_table_of_many_datasets_can_be_scrolled(card):
    assert '<div class="scroll wide"' in page(card)
    assert re.search(r"\.wide \.name[^}]*sticky", page(card))


def test_equally_frequent_classes_are_told_by_name(tmp_path):
    records = [record(n, [1 + (n + 2) % 4]) for n in range(4)]
    files = [open_dataset_files(str(write_dataset(tmp_path / "even", records)))]
    (line,) = [line for line in text_lines(make_card(files, count(files))) if line.startswith("  most")]
    told = line.removeprefix("  most").removesuffix(" images").strip()
    names = [name.removesuffix(" 1") for name in told.split(", ")]
    assert len(names) == 4
    assert names == sorted(names)


def test_many_classes_and_images_have_a_page_of_bounded_size(tmp_path):
    index, annotations = random_rows(11, 600, classes=3000)
    space = [ClassEntry(id=k, label=f"class {k}") for k in range(1, 6001)]
    files = [open_dataset_files(str(write_rows(tmp_path / "many", index, annotations, classes=space)))]
    text = page(make_card(files, count(files)))
    Checker().feed(text)
    assert "The 1,500 most frequent are shown" in text
    assert len(text) < 2_000_000


def test_names_are_as_long_as_they_must_be():
    assert short_names(["x/train", "x/val"]) == ("train", "val")
    assert short_names(["a/train", "b/train"]) == ("a/train", "b/train")
    assert short_names(["gs://b/a/train", "train"]) == ("a/train", "train")


def test_the_tree_is_asked_for_or_that_of_the_datasets(datasets, tmp_path):
    files = [open_dataset_files(path) for path in datasets[0]]
    assert find_tree(files, "")[0] is None
    assert find_tree(files, datasets[1])[0] == TREE
    with pytest.raises(InputError, match="no such file"):
        find_tree(files, str(tmp_path / "nowhere.json"))
    manifest = replace(files[0].manifest, options={"tree": datasets[1]}, tree_digest=TREE.digest())
    assert find_tree([replace(files[0], manifest=manifest)], "")[0] == TREE
    other = replace(manifest, tree_digest="0" * 64)
    assert find_tree([replace(files[0], manifest=other)], "")[0] is None


def test_reports_of_duplicates_are_counted(tmp_path):
    assert read_report(str(tmp_path)) is None
    lines = [{"kind": "exact", "images": [{}, {}]}, {"kind": "near", "images": [{}, {}, {}]}, {"kind": "near"}]
    (tmp_path / "duplicates.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines) + "{\n[]\n")
    (tmp_path / "leaks.jsonl").write_text('{"kind": "near", "evaluation": "val"}\n' * 2)
    report = read_report(str(tmp_path))
    assert (dict(report.clusters), dict(report.images)) == ({"exact": 1, "near": 2}, {"exact": 2, "near": 3})
    assert dict(report.leaks) == {("val", "near"): 2}


def test_files_of_rejects_are_sought_below_the_folders_of_the_conversion(tmp_path):
    options = {"images": str(tmp_path), "annotations": str(tmp_path / "x.json"), "seed": 0, "web": "https://host/a"}
    assert candidate_paths("a/b.jpg", options) == [f"{tmp_path}/a/b.jpg"]
    assert candidate_paths("/else/b.jpg", options) == ["/else/b.jpg"]
    for where in ("", "../b.jpg", "https://host/b.jpg", "a\0"):
        assert candidate_paths(where, options) == []


def test_small_pictures_of_any_kind():
    for mode in ("RGB", "RGBA", "L", "P", "1", "CMYK", "I;16", "LA"):
        buffer = BytesIO()
        Image.new(mode, (600, 300)).save(buffer, "TIFF" if mode in ("CMYK",) else "PNG")
        shown = small_picture(buffer.getvalue())
        assert (shown.note, shown.width, shown.height) == ("", 240, 120), mode
    assert small_picture(b"").note
    bomb = BytesIO()
    Image.new("1", (9000, 9000)).save(bomb, "PNG")
    assert "too large" in small_picture(bomb.getvalue()).note
