"""Pascal VOC XML: official devkits, labelImg folders, and what goes wrong in them."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipelines.rows import BoxRow, ImageRow, Rejected
from pipelines.sources.voc import Source, parse_annotation
from schemas.errors import ConfigError, InputError, LabelError, RecordError

BOX = "<bndbox><xmin>1</xmin><ymin>2</ymin><xmax>8</xmax><ymax>6</ymax></bndbox>"
DOG = f"<object><name>dog</name><difficult>0</difficult>{BOX}</object>"


def xml(*objects: str, size: str = "<size><width>8</width><height>6</height><depth>3</depth></size>") -> bytes:
    body = "".join(objects)
    return f"<annotation><filename>wrong.png</filename>{size}{body}</annotation>".encode()


def boxes(*objects: str) -> tuple[BoxRow, ...]:
    return parse_annotation(xml(*objects), "a")[0].boxes


@pytest.fixture
def folders(tmp_path: Path, jpeg: Callable[..., bytes]) -> Path:
    """labelImg folders with two images, a.jpg and b.JPG."""
    for name in ("xml", "images"):
        (tmp_path / name).mkdir()
    for name in ("a.jpg", "b.JPG"):
        (tmp_path / "images" / name).write_bytes(jpeg())
        (tmp_path / "xml" / f"{name[0]}.xml").write_bytes(xml(DOG))
    return tmp_path


def source(folders: Path) -> Source:
    return Source(str(folders / "xml"), str(folders / "images"))


def test_corners_are_one_based_and_inclusive() -> None:
    box = boxes(DOG)[0]
    assert (box.xmin, box.ymin, box.xmax, box.ymax) == (0, 1, 8, 6)


def test_a_box_of_one_pixel_has_an_area_of_one_pixel() -> None:
    box = boxes(DOG.replace(">8<", ">1<").replace(">6<", ">2<"))[0]
    assert (box.xmax - box.xmin, box.ymax - box.ymin) == (1, 1)


def test_numbers_may_be_written_as_floats_in_any_order() -> None:
    corners = "<bndbox><ymax>6.5</ymax><xmax> 45.70000076293945 </xmax><ymin>2</ymin><xmin>1</xmin></bndbox>"
    box = boxes(DOG.replace(BOX, corners))[0]
    assert (box.xmax, box.ymax) == (45.70000076293945, 6.5)


def test_flags_are_read_and_their_absence_is_unknown() -> None:
    full = DOG.replace("<difficult>0", "<pose>Left</pose><truncated>1</truncated><occluded>0</occluded><difficult>1")
    box = boxes(full)[0]
    assert (box.is_difficult, box.is_truncated, box.is_occluded, box.view) == (True, True, False, "Left")
    bare = boxes(f"<object><name>dog</name>{BOX}</object>")[0]
    assert (bare.is_difficult, bare.is_truncated, bare.is_occluded, bare.view) == (None, None, None, "")


def test_boxes_of_parts_are_not_boxes_of_the_object() -> None:
    part = "<part><name>head</name><bndbox><xmin>3</xmin><ymin>3</ymin><xmax>4</xmax><ymax>4</ymax></bndbox></part>"
    person = f"<object><name>person</name>{part}{BOX}</object>"
    assert [box.class_key for box in boxes(person)] == ["person"]
    assert boxes(person)[0].xmax == 8
    _, rejected = parse_annotation(xml(f"<object><name>person</name>{part}</object>"), "a")
    assert "no <bndbox>" in rejected[0].found


@pytest.mark.parametrize(
    "bad",
    [
        f"<object>{BOX}</object>",
        "<object><name>dog</name></object>",
        DOG.replace("<xmin>1</xmin>", ""),
        DOG.replace(">8<", ">wide<"),
    ],
)
def test_a_malformed_object_costs_only_itself(bad: str) -> None:
    row, rejected = parse_annotation(xml(DOG, bad), "a")
    assert len(row.boxes) == 1
    assert [(r.reason, r.record, r.where) for r in rejected] == [("box:malformed", "a#2", "a.xml object 2")]


@pytest.mark.parametrize(
    "size",
    [
        "",
        "<size/>",
        "<size><width>0</width><height>?</height></size>",
        "<size><width>1e300</width><height>1e400</height></size>",
        "<size><width>nan</width><height>-3</height></size>",
    ],
)
def test_a_missing_size_is_zero(size: str) -> None:
    row, _ = parse_annotation(xml(DOG, size=size), "a")
    assert (row.width, row.height) == (0, 0)


def test_byte_order_marks_and_windows_code_pages_are_read() -> None:
    assert parse_annotation(b"\xef\xbb\xbf" + xml(DOG), "a")[0].boxes
    named = xml(DOG.replace("dog", "h\u00fchnchen")).decode().encode("cp1252")
    assert parse_annotation(named, "a")[0].boxes[0].class_key == "h\u00fchnchen"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_entities_are_refused(encoding: str) -> None:
    bomb = f'<?xml version="1.0" encoding="{encoding}"?><!DOCTYPE a [<!ENTITY x "ha">]><annotation>&x;</annotation>'
    with pytest.raises(RecordError) as caught:
        parse_annotation(bomb.encode(encoding), "a")
    assert caught.value.reason == "image:xml_entities"


def test_the_xml_s_own_name_finds_the_image_whatever_its_ending(folders: Path) -> None:
    rows = list(source(folders).read())
    assert [row.uri for row in rows if isinstance(row, ImageRow)] == ["a.jpg", "b.JPG"]


def test_an_ending_in_capitals_is_read(folders: Path, convert: Callable[..., Any]) -> None:
    (folders / "xml" / "a.xml").rename(folders / "xml" / "a.XML")
    (folders / "xml" / "b.XML").write_bytes(b"<broken")
    (note,) = source(folders).survey().notes
    assert note.startswith("b.XML: left out")
    words = ["--annotations", folders / "xml", "--images", folders / "images"]
    done = convert("voc", *words)
    assert not done.rejects
    assert [len(done.records[name].boxes) for name in "ab"] == [1, 1]
    (folders / "xml" / "a.XML").write_text("<broken")
    assert [row.where for row in source(folders).read() if isinstance(row, Rejected)] == ["a.XML"]


def test_broken_xml_rejects_that_image(folders: Path, convert: Callable[..., Any]) -> None:
    (folders / "xml" / "a.xml").write_text("<annotation><object>")
    words = ["--annotations", folders / "xml", "--images", folders / "images"]
    done = convert("voc", *words)
    assert done.counts["images_in"] == 2
    assert [(r["record"], r["reason"], r["where"]) for r in done.rejects] == [("a", "image:broken_xml", "a.xml")]
    assert "not well-formed" in done.rejects[0]["found"]


def test_an_image_without_annotation_or_file_is_rejected(folders: Path, convert: Callable[..., Any]) -> None:
    main = folders / "ImageSets" / "Main"
    main.mkdir(parents=True)
    (main / "val.txt").write_text("a\nb\nc\n\n")
    (folders / "xml").rename(folders / "Annotations")
    (folders / "images").rename(folders / "JPEGImages")
    (folders / "JPEGImages" / "b.JPG").unlink()
    done = convert("voc", "--devkit", folders, "--set", "val")
    assert sorted((r["record"], r["reason"]) for r in done.rejects) == [
        ("b", "image:missing"),
        ("b#1", "box:image_rejected"),
        ("c", "image:no_annotation"),
    ]
    assert list(done.records) == ["a"]


def test_voc_s_classes_keep_their_ids_and_others_are_numbered(folders: Path) -> None:
    assert [(c.label, c.id) for c in source(folders).survey().classes] == [("dog", 12)]
    (folders / "xml" / "b.xml").write_bytes(xml(DOG, DOG.replace("dog", "raccoon")))
    assert [(c.label, c.id) for c in source(folders).survey().classes] == [("dog", 1), ("raccoon", 2)]


def test_a_missing_list_tells_which_lists_there_are(folders: Path) -> None:
    main = folders / "ImageSets" / "Main"
    main.mkdir(parents=True)
    for name in ("train.txt", "val.txt", "dog_train.txt"):
        (main / name).write_text("a\n")
    wanted = Source(str(folders / "xml"), str(folders / "images"), str(main / "test.txt"))
    with pytest.raises(InputError, match=r"test\.txt.*there are train, val$"):
        wanted.survey()


def test_empty_folders_are_input_errors(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no XML file"):
        Source(str(tmp_path), str(tmp_path)).survey()


@pytest.mark.parametrize("given", [{}, {"devkit": "a", "images": "b"}, {"annotations": "a"}, {"image_set": "val"}])
def test_options_that_contradict_each_other_are_refused(given: dict[str, str]) -> None:
    none: dict[str, str | None] = {"devkit": None, "image_set": None, "annotations": None, "images": None}
    with pytest.raises(ConfigError, match="either --devkit"):
        Source.from_args(argparse.Namespace(**{**none, **given}))


def test_rejected_objects_belong_to_their_image(folders: Path) -> None:
    (folders / "xml" / "a.xml").write_bytes(xml("<object/>"))
    rejected = [row for row in source(folders).read() if isinstance(row, Rejected)]
    assert [row.image_id for row in rejected] == ["a"]


@pytest.mark.parametrize("root", ["<annotations/>", "<html/>", '<annotation xmlns="http://x.org"/>'])
def test_xml_of_another_kind_is_no_annotation(root: str) -> None:
    with pytest.raises(RecordError, match="expected <annotation>") as caught:
        parse_annotation(root.encode(), "a")
    assert caught.value.reason == "image:not_voc"


@pytest.mark.parametrize("twice", [BOX, "<name>dog</name>", "<xmin>1</xmin>"])
def test_what_stands_twice_is_malformed(twice: str) -> None:
    row, rejected = parse_annotation(xml(DOG.replace(twice, twice + twice)), "a")
    assert not row.boxes
    assert [r.reason for r in rejected] == ["box:malformed"]
    assert "several <" in rejected[0].found


@pytest.mark.parametrize(
    ("text", "value", "unread"),
    [
        ("1", True, False),
        (" 0.0", False, False),
        ("1.0", True, False),
        ("Unspecified", None, False),
        ("", None, False),
        ("2", None, True),
        ("yes", None, True),
    ],
)
def test_flags_in_other_words_are_unknown(text: str, value: bool | None, unread: bool) -> None:
    box = boxes(DOG.replace("<difficult>0", f"<difficult>{text}"))[0]
    assert (box.is_difficult, box.flag_unread) == (value, f"difficult is {text!r}" if unread else "")


def test_flags_that_cannot_be_read_are_counted(folders: Path, convert: Callable[..., Any]) -> None:
    (folders / "xml" / "a.xml").write_bytes(xml(DOG.replace("<difficult>0", "<difficult>maybe")))
    done = convert("voc", "--annotations", folders / "xml", "--images", folders / "images")
    assert done.counts["fixed_by_reason"] == {"box:flag_unread": 1}
    assert "difficult is 'maybe'; expected 0 or 1" in (done.out / "repairs.jsonl").read_text()
    assert len(done.records["a"].boxes) == 1


def test_a_list_of_classes_fixes_their_ids(folders: Path, tmp_path: Path) -> None:
    names = tmp_path / "names.txt"
    names.write_text("zebra\ndog\ncat\n")
    listed = Source(str(folders / "xml"), str(folders / "images"), classes=str(names))
    assert [(c.key, c.id) for c in listed.survey().classes] == [("zebra", 1), ("dog", 2), ("cat", 3)]
    for text, found in (
        ("zebra\n", "lacks 'dog'"),
        ("", "no line"),
        ("dog\ndog\n", "more than once"),
        ("\ndog\n", "empty"),
    ):
        names.write_text(text)
        with pytest.raises(LabelError, match=found):
            listed.survey()


def test_classes_of_ones_own_are_told_to_be_numbered_by_what_occurs(folders: Path) -> None:
    assert source(folders).survey().notes == ()
    (folders / "xml" / "a.xml").write_bytes(xml(DOG.replace("dog", "raccoon")))
    assert "--classes FILE" in source(folders).survey().notes[0]


ELSEWHERE = {
    "Labelbox's polygon": ("<object><name>dog</name><polygon><x1>5</x1><y1>6</y1></polygon></object>", "no <bndbox>"),
    "HollywoodHeads' empty object": ("<object/>", "no <name>"),
    "a rotated box": ("<object><name>dog</name><robndbox><cx>5</cx><cy>6</cy></robndbox></object>", "no <bndbox>"),
    "points": ("<object><name>dog</name><points><x>5</x></points></object>", "no <bndbox>"),
}


@pytest.mark.parametrize("case", ELSEWHERE)
def test_an_object_of_another_kind_costs_itself_alone(case: str) -> None:
    bad, told = ELSEWHERE[case]
    with_attributes = DOG.replace(
        "<difficult>", "<attributes><attribute><name>x</name></attribute></attributes><difficult>"
    )
    row, rejected = parse_annotation(xml(bad, with_attributes), "a")
    assert [(box.class_key, box.xmin, box.ymin, box.xmax, box.ymax) for box in row.boxes] == [("dog", 0, 1, 8, 6)]
    assert [(r.reason, r.record) for r in rejected] == [("box:malformed", "a#1")]
    assert told in rejected[0].found


def test_xml_of_cvat_for_images_is_told_what_to_do() -> None:
    with pytest.raises(RecordError, match=r"root is <annotations>; expected <annotation>; is it of CVAT for images\?"):
        parse_annotation(b"<annotations><image id='0' name='a.jpg'/></annotations>", "annotations")


@pytest.mark.parametrize("text", ["1_0", "٣", "0x3", "3,5", ""])
def test_what_only_python_reads_as_a_number_is_none(text: str) -> None:
    row, rejected = parse_annotation(xml(DOG, DOG.replace("<xmin>1<", f"<xmin>{text}<")), "a")
    assert len(row.boxes) == 1
    assert [(r.reason, r.where) for r in rejected] == [("box:malformed", "a.xml object 2")]
    assert repr(text) in rejected[0].found


@pytest.mark.parametrize("corners", ["1-inclusive", "0-inclusive", "0-continuous"])
def test_rejects_and_repairs_quote_the_corners_of_the_file(
    folders: Path, convert: Callable[..., Any], corners: str
) -> None:
    outside = DOG.replace("<xmin>1<", "<xmin>9<").replace("<xmax>8<", "<xmax>12<")
    past = DOG.replace("<xmin>1<", "<xmin>3<").replace("<xmax>8<", "<xmax>9<")
    (folders / "xml" / "a.xml").write_bytes(xml(outside, past))
    words = ["--annotations", folders / "xml", "--images", folders / "images", "--corners", corners]
    done = convert("voc", *words, "--labels", "none")
    (reject,) = done.rejects
    assert reject["found"].startswith("(x 9 to 12, y 2 to 6) in ")
    repairs = [json.loads(line) for line in (done.out / "repairs.jsonl").read_text().splitlines()]
    assert [row["found"][:20] for row in repairs if row["image_id"] == "a"] == ["x 3 to 9, y 2 to 6 i"]


def test_a_line_that_stands_twice_in_a_list_is_a_reject(folders: Path, convert: Callable[..., Any]) -> None:
    kit = folders / "kit"
    (kit / "ImageSets" / "Main").mkdir(parents=True)
    (kit / "Annotations").symlink_to(folders / "xml")
    (kit / "JPEGImages").symlink_to(folders / "images")
    (kit / "ImageSets" / "Main" / "trainval.txt").write_text("a\nb\n\na \n")
    done = convert("voc", "--devkit", kit, "--labels", "none")
    assert set(done.records) == {"a", "b"}
    (reject,) = done.rejects
    assert (reject["reason"], reject["where"], reject["record"]) == ("image:duplicate_id", "trainval.txt:4", "a")
    assert reject["found"] == "the line 'a' names 'a' a second time"
    assert (done.counts["images_in"], done.counts["images_written"], done.counts["images_rejected"]) == (3, 2, 1)
