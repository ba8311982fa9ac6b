"""Pascal VOC whole: what the XML says beside boxes, corners, lists, maps, test sets."""

from __future__ import annotations

import argparse
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from pipelines.cli import load_source
from pipelines.joining import join
from pipelines.rows import ImageRow, Rejected, Row
from pipelines.sources.voc import Source, parse_annotation
from pipelines.voc.corners import CORNERS
from schemas.errors import ConfigError, InputError, RecordError

BOX = "<bndbox><xmin>1</xmin><ymin>2</ymin><xmax>8</xmax><ymax>6</ymax></bndbox>"
DOG = f"<object><name>dog</name>{BOX}</object>"


def xml(*objects: str, rest: str = "") -> bytes:
    return f"<annotation>{rest}<size><width>8</width><height>6</height></size>{''.join(objects)}</annotation>".encode()


def parsed(*objects: str, rest: str = "", corners: str = CORNERS[0]) -> ImageRow:
    row, rejected = parse_annotation(xml(*objects, rest=rest), "a", corners=corners)
    assert not rejected
    return row


def source_of(*words: object) -> Source:
    parser = argparse.ArgumentParser()
    Source.add_arguments(parser)
    return Source.from_args(parser.parse_args([str(word) for word in words]))


def all_rows(source: Source) -> list[ImageRow | Rejected]:
    """The rows of all pieces as a shard would see them."""
    found: dict[str, list[Row]] = {}
    for piece in source.pieces():
        for row in source.read(piece):
            found.setdefault(row.image_id, []).append(row)
    return list(join(row for _, rows in sorted(found.items()) for row in rows))


@pytest.fixture
def kit(tmp_path: Path, jpeg: Callable[..., bytes]) -> Path:
    """A devkit with three images; c has no XML."""
    for folder in ("Annotations", "JPEGImages", "ImageSets/Main", "SegmentationClass", "SegmentationObject"):
        (tmp_path / folder).mkdir(parents=True)
    for number, name in enumerate("abc"):
        (tmp_path / "JPEGImages" / f"{name}.jpg").write_bytes(jpeg(seed=number))
    for name in "ab":
        (tmp_path / "Annotations" / f"{name}.xml").write_bytes(xml(DOG))
    (tmp_path / "ImageSets" / "Main" / "train.txt").write_text("a\nb\n")
    return tmp_path


@pytest.mark.parametrize(
    ("corners", "sides"),
    [("1-inclusive", (1, 0, 6, 8)), ("0-inclusive", (2, 1, 7, 9)), ("0-continuous", (2, 1, 6, 8))],
)
def test_corners_mean_what_is_said(corners: str, sides: tuple[float, ...]) -> None:
    part = f"<part><name>head</name>{BOX}</part>"
    box = parsed(f"<object><name>dog</name>{part}{BOX}</object>", corners=corners).boxes[0]
    assert (box.ymin, box.xmin, box.ymax, box.xmax) == sides
    assert box.parts == (("head", *sides),)


def test_everything_without_a_place_of_its_own_is_kept() -> None:
    about = (
        "<folder>VOC2012</folder><filename>x.jpg</filename><source><database>The VOC2007 Database</database>"
        "<flickrid>1</flickrid></source><owner><flickrid>a &amp; b</flickrid><name>?</name></owner>"
        "<segmented>1</segmented>"
    )
    actions = "<actions><jumping>0</jumping><other>1</other></actions><point><x>3</x><y>4.5</y></point>"
    odd = f"<object id='7'><name>person</name>{BOX}<difficult>maybe</difficult>{actions}<pose>Left</pose></object>"
    row = parsed(odd, rest=about)
    assert json.loads(row.extra) == {
        "folder": "VOC2012",
        "filename": "x.jpg",
        "source": {"database": "The VOC2007 Database", "flickrid": "1"},
        "owner": {"flickrid": "a & b", "name": "?"},
        "segmented": "1",
        "size": {"width": "8", "height": "6"},
    }
    assert json.loads(row.boxes[0].extra) == {
        "difficult": "maybe",
        "actions": {"jumping": "0", "other": "1"},
        "point": {"x": "3", "y": "4.5"},
        "@id": "7",
    }
    assert (row.boxes[0].view, row.boxes[0].where) == ("Left", "a.xml object 1")
    assert parsed(DOG).boxes[0].extra == ""


def test_parts_without_a_proper_box_are_kept_as_text() -> None:
    parts = f"<part><name>head</name>{BOX}</part><part><name>hand</name></part><part><name>x</name>{BOX}<left/></part>"
    box = parsed(f"<object><name>person</name>{BOX}{parts}</object>").boxes[0]
    assert [part[0] for part in box.parts] == ["head"]
    kept = json.loads(box.extra)["part"]
    assert kept[0] == {"name": "hand"}
    assert kept[1]["bndbox"]["xmin"] == "1"


@pytest.mark.parametrize("number", ["nan", "inf", "-inf", "1e400", "1e300"])
def test_parts_with_numbers_of_no_picture_are_kept_as_text(number: str) -> None:
    part = f"<part><name>head</name>{BOX.replace('>1<', f'>{number}<')}</part>"
    box = parsed(f"<object><name>person</name>{BOX}{part}</object>").boxes[0]
    assert box.parts == ()
    assert json.loads(box.extra)["part"]["bndbox"]["xmin"] == number


def test_what_repeats_beside_the_box_is_kept() -> None:
    twice = "<pose>Left</pose><pose>Right</pose><tag/><tag>1</tag><tag>2</tag>"
    box = parsed(f"<object><name>dog</name>{twice}{BOX}</object>").boxes[0]
    assert (box.view, json.loads(box.extra)) == ("Left", {"pose": "Right", "tag": ["", "1", "2"]})


def test_xml_nested_beyond_measure_is_broken() -> None:
    with pytest.raises(RecordError, match="nested") as caught:
        parse_annotation(xml(rest="<a>" * 5000 + "</a>" * 5000), "a")
    assert caught.value.reason == "image:broken_xml"


def test_class_lists_are_image_labels(kit: Path) -> None:
    main = kit / "ImageSets" / "Main"
    (main / "dog_train.txt").write_text("a  1\nb -1\n\n")
    (main / "cat_train.txt").write_text("a  0\nb ?\nz 1\n")
    (main / "cat_val.txt").write_text("a -1\n")
    source = source_of("--devkit", kit, "--set", "train", "--class-lists")
    assert [c.label for c in source.survey().classes] == ["cat", "dog"]
    assert source.pieces() == ("0:1000", "labels of cat", "labels of dog")
    a, bad, b, lost = all_rows(source)
    assert isinstance(a, ImageRow)
    assert isinstance(b, ImageRow)
    assert [(x.class_key, x.present, x.verified, x.source) for x in a.labels] == [
        ("cat", True, True, "class_list_difficult"),
        ("dog", True, True, "class_list"),
    ]
    assert [(x.class_key, x.present, x.where) for x in b.labels] == [("dog", False, "dog_train.txt:2")]
    assert isinstance(bad, Rejected)
    assert (bad.kind, bad.reason, bad.where, bad.image_id) == ("label", "label:malformed", "cat_train.txt:2", "b")
    assert isinstance(lost, Rejected)
    assert (lost.reason, lost.where) == ("label:unknown_image", "cat_train.txt:3")
    (main / "test.txt").write_text("a\n")
    with pytest.raises(InputError, match="no class list"):
        source_of("--devkit", kit, "--set", "test", "--class-lists").survey()


def test_maps_are_named_where_they_are(kit: Path) -> None:
    for path in ("SegmentationClass/a.png", "SegmentationObject/a.png", "SegmentationClass/b.png"):
        (kit / path).write_bytes(b"png")
    source = source_of("--devkit", kit, "--set", "train", "--maps")
    assert source.asset_root == str(kit)
    assert {row.image_id: row.map_uris for row in source.read() if isinstance(row, ImageRow)} == {
        "a": (("class", "SegmentationClass/a.png"), ("object", "SegmentationObject/a.png")),
        "b": (("class", "SegmentationClass/b.png"),),
    }
    plain = source_of("--devkit", kit, "--set", "train")
    assert all(row.map_uris == () for row in plain.read() if isinstance(row, ImageRow))


def test_lists_of_other_folders_can_be_named(kit: Path) -> None:
    (kit / "ImageSets" / "Layout").mkdir()
    (kit / "ImageSets" / "Layout" / "val.txt").write_text("b 1\nb 2\n")
    assert [row.image_id for row in source_of("--devkit", kit, "--set", "Layout/val").read()] == ["b"]


def test_a_test_set_without_annotations_is_taken_when_asked(kit: Path) -> None:
    (kit / "ImageSets" / "Main" / "test.txt").write_text("c\n")
    with pytest.raises(InputError, match="--unlabelled"):
        source_of("--devkit", kit, "--set", "test").survey()
    source = source_of("--devkit", kit, "--set", "test", "--unlabelled")
    assert source.survey().notes == ("1 of them without annotations",)
    assert list(source.read()) == [ImageRow(image_id="c", uri="c.jpg", has_boxes=False)]
    folders = source_of("--annotations", kit / "Annotations", "--images", kit / "JPEGImages", "--unlabelled")
    assert [(row.image_id, row.has_boxes) for row in folders.read() if isinstance(row, ImageRow)] == [
        *(("a", True), ("b", True), ("c", False))
    ]


def test_pieces_together_are_the_whole(kit: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.sources.voc.PIECE_IMAGES", 2)
    for number in range(5):
        (kit / "Annotations" / f"x{number}.xml").write_bytes(xml(DOG))
    source = source_of("--annotations", kit / "Annotations", "--images", kit / "JPEGImages")
    assert len(source.pieces()) == 4
    assert [row for piece in source.pieces() for row in source.read(piece)] == list(source.read())
    assert pickle.loads(pickle.dumps(source)) == source


def test_parts_of_a_devkit_need_a_devkit(kit: Path) -> None:
    for word in ("--maps", "--class-lists"):
        with pytest.raises(ConfigError, match="parts of a devkit"):
            source_of("--annotations", kit, "--images", kit, word)


def test_the_format_is_found_by_its_name() -> None:
    assert load_source("voc") is Source


@pytest.mark.parametrize(
    "folder",
    [
        "VOCdevkit_official10/VOC2007",
        "VOCdevkit_official10/VOC2012",
        "voc2012_100/VOCdevkit/VOC2012",
        "raccoon",
        "BCCD",
    ],
)
def test_real_files_lose_nothing(shared: Callable[..., Path], folder: str) -> None:
    """Every word of every file is in its row, read back by another way."""
    root = shared("data", "voc", *folder.split("/"))
    annotations = next(path for path in (root / "Annotations", root / "annotations") if path.exists())
    seen = 0
    for path in sorted(annotations.glob("*.xml")):
        row, rejected = parse_annotation(path.read_bytes(), path.stem)
        tree = ElementTree.parse(path).getroot()
        assert not rejected
        about = json.loads(row.extra)
        for leaf in ("folder", "filename", "path", "segmented", "source/database", "source/flickrid", "owner/name"):
            value: Any = about
            for part in leaf.split("/"):
                value = value.get(part) if isinstance(value, dict) else None
            assert value == (tree.findtext(leaf).strip() if tree.find(leaf) is not None else None)  # type: ignore[union-attr]
        for box, item in zip(row.boxes, tree.findall("object"), strict=True):
            text = {child.tag: (child.text or "").strip() for child in item}
            assert (box.class_key, box.view) == (text["name"], text.get("pose", ""))
            stated = [float(item.findtext(f"bndbox/{side}") or "") for side in ("xmin", "ymin", "xmax", "ymax")]
            assert [box.xmin + 1, box.ymin + 1, box.xmax, box.ymax] == stated
            for name in ("difficult", "truncated", "occluded"):
                flag = getattr(box, f"is_{name}")
                assert flag == ({"1": True, "0": False}.get(text[name]) if name in text else None)
            parts = [
                (
                    part.findtext("name"),
                    *(float(part.findtext(f"bndbox/{s}") or "") for s in ("ymin", "xmin", "ymax", "xmax")),
                )
                for part in item.findall("part")
            ]
            assert [(n, y0 + 1, x0 + 1, y1, x1) for n, y0, x0, y1, x1 in box.parts] == parts
            known = {"name", "pose", "truncated", "difficult", "occluded", "bndbox", "part"}
            assert set(json.loads(box.extra or "{}")) == set(text) - known
            seen += 1
    assert seen


def test_a_conversion_carries_labels_maps_and_parts(
    kit: Path, jpeg: Callable[..., bytes], convert: Callable[..., Any]
) -> None:
    png = jpeg(kind="PNG")
    (kit / "SegmentationClass" / "a.png").write_bytes(png)
    (kit / "ImageSets" / "Main" / "dog_train.txt").write_text("a  1\nb -1\n")
    part = "<part><name>head</name><bndbox><xmin>3</xmin><ymin>3</ymin><xmax>4</xmax><ymax>4</ymax></bndbox></part>"
    person = f"<object><name>person</name>{part}<actions><running>1</running></actions>{BOX}</object>"
    (kit / "Annotations" / "a.xml").write_bytes(xml(person, rest="<owner><name>?</name></owner>"))
    done = convert("voc", "--devkit", kit, "--set", "train", "--maps", "--class-lists")
    a, b = done.records["a"], done.records["b"]
    assert [(m.kind, m.encoded) for m in a.maps] == [("class", png)]
    assert [(x.label, x.present) for x in (*a.labels, *b.labels)] == [("dog", True), ("dog", False)]
    assert [(p.name, tuple(p.box)) for p in a.boxes[0].parts] == [("head", pytest.approx((2 / 6, 2 / 8, 4 / 6, 4 / 8)))]
    assert json.loads(a.boxes[0].extra) == {"actions": {"running": "1"}}
    assert json.loads(a.extra)["owner"] == {"name": "?"}
    assert done.counts["annotations_in"] == done.counts["annotations_written"] == 4
