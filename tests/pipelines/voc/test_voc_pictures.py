"""Which picture an XML file is about: the one that it names, or the one of its own name; never a guess between two."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipelines.rows import ImageRow, Rejected
from pipelines.sources.voc import Source
from pipelines.voc.pictures import Pictures
from schemas.errors import LabelError, RecordError

BOX = "<bndbox><xmin>1</xmin><ymin>2</ymin><xmax>4</xmax><ymax>5</ymax></bndbox>"


def make(root: Path, xml: dict[str, str], pictures: str) -> Source:
    """XML files of these children of the root element, by their paths without ending; and empty pictures."""
    for name, inner in xml.items():
        path = root / "xml" / f"{name}.xml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"<annotation>{inner}<object><name>dog</name>{BOX}</object></annotation>")
    (root / "pictures").mkdir()
    for name in pictures.split():
        path = root / "pictures" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    return Source(str(root / "xml"), str(root / "pictures"))


def taken(source: Source) -> dict[str, str]:
    """The picture of each image, or why there is none."""
    return {
        row.image_id: row.uri if isinstance(row, ImageRow) else row.reason
        for row in source.read()
        if isinstance(row, ImageRow) or (isinstance(row, Rejected) and row.kind == "image")
    }


def named(filename: str, folder: str = "") -> str:
    return f"<folder>{folder}</folder><filename>{filename}</filename>"


@pytest.mark.parametrize(
    ("name", "inner", "pictures", "picture"),
    [
        ("fish2", named("fish2.png"), "fish2.jpg fish2.png", "fish2.png"),
        ("fish2", named("pike.png"), "fish2.jpg pike.png", "pike.png"),
        ("fish2", named("pike.png"), "fish2.jpg", "fish2.jpg"),  # renamed since
        ("fish2", named("fish2.png"), "fish2.jpg", "fish2.jpg"),  # converted since
        ("fish2", named("fish2.jpg"), "fish2.JPG", "fish2.JPG"),
        ("fish2", named("pike"), "fish2.png pike.jpg", "pike.jpg"),
        ("fish2", named("b2_png.rf.1"), "fish2.png b2_png.rf.1.jpg", "b2_png.rf.1.jpg"),
        ("fish2", "", "fish2.webp", "fish2.webp"),
        ("fish2", named("  fish2.png "), "fish2.jpg fish2.png", "fish2.png"),
        ("fish2", named(r"C:\my set\fish2.png"), "fish2.jpg fish2.png", "fish2.png"),
        ("fish2", named("/mnt/sets/pictures/deep/fish2.png"), "fish2.png deep/fish2.png", "deep/fish2.png"),
        ("fish2", named("a%20fish.png"), "fish2.png", "fish2.png"),
        ("fish2", named("fish2.tif"), "fish2.tif", "fish2.tif"),  # no kind of picture: told by its bytes
        ("fish2", named("fish2.png"), "deep/er/fish2.png", "deep/er/fish2.png"),
        ("fish2", named("fish2.png", "a"), "a/fish2.png b/fish2.png", "a/fish2.png"),
        ("fish2", named("fish2.png"), "fish2.png b/fish2.png", "fish2.png"),
        ("b/fish2", named("fish2.png", "a"), "a/fish2.png b/fish2.png", "b/fish2.png"),
        ("b/fish2", "", "a/fish2.png b/fish2.jpg", "b/fish2.jpg"),
        ("b/fish2", "", "fish2.png", "fish2.png"),
        ("fish2", "<filename>a.png</filename><filename>b.png</filename>", "fish2.png a.png", "fish2.png"),
        ("fish2", named("none.png"), "", "fish2.jpg"),  # which is missing
    ],
)
def test_a_picture_is_found(tmp_path: Path, name: str, inner: str, pictures: str, picture: str) -> None:
    assert taken(make(tmp_path, {name: inner}, pictures)) == {name: picture}


@pytest.mark.parametrize(
    ("inner", "pictures"),
    [
        (named("pike.png"), "fish2.jpg fish2.png"),
        ("", "fish2.jpg fish2.JPG"),
        (named("fish2"), "fish2.jpg fish2.png"),
        (named("fish2.png"), "a/fish2.png b/fish2.png"),
        (named("fish2.png", "c"), "a/fish2.png b/fish2.png"),
        (named("x/pictures/pictures/fish2.png"), "fish2.png pictures/fish2.png"),
    ],
)
def test_between_two_pictures_nothing_is_guessed(tmp_path: Path, inner: str, pictures: str) -> None:
    source = make(tmp_path, {"fish2": inner}, pictures)
    assert taken(source) == {"fish2": "image:ambiguous"}
    rows = [(row.kind, row.reason) for row in source.read() if isinstance(row, Rejected)]
    assert rows == [("image", "image:ambiguous"), ("box", "box:image_rejected")]


def test_copies_of_an_xml_file_do_not_take_the_picture_of_the_first(tmp_path: Path) -> None:
    inner = named("fish.png")
    source = make(tmp_path, {"fish": inner, "fish_flipped": inner, "fish_grey": inner}, "fish.png fish_flipped.png")
    assert taken(source) == {"fish": "fish.png", "fish_flipped": "image:ambiguous", "fish_grey": "image:ambiguous"}
    by_name = Source(source.annotations, source.images, picture_by="xml-name")
    assert taken(by_name) == {
        "fish": "fish.png",
        "fish_flipped": "fish_flipped.png",
        "fish_grey": "fish_grey.jpg",
    }


def test_pictures_whose_names_were_exchanged_are_those_that_the_xml_names(tmp_path: Path) -> None:
    assert taken(make(tmp_path, {"a": named("b.png"), "b": named("a.png")}, "a.png b.png")) == {
        "a": "b.png",
        "b": "a.png",
    }


def test_a_picture_that_another_xml_has_by_its_own_name_is_not_taken(tmp_path: Path) -> None:
    assert taken(make(tmp_path, {"a": "", "b": named("a.png")}, "a.png b.png")) == {
        "a": "a.png",
        "b": "image:ambiguous",
    }


def test_folders_of_a_system_and_circles_of_links_are_no_sets(tmp_path: Path) -> None:
    source = make(tmp_path, {"deep/a": "", ".hidden/b": "", "__MACOSX/c": ""}, "deep/a.png")
    (tmp_path / "xml" / "deep" / "round").symlink_to(tmp_path / "xml", target_is_directory=True)
    outside = tmp_path / "elsewhere"
    outside.mkdir()
    (outside / "d.xml").write_text("<annotation/>")
    (tmp_path / "xml" / "linked").symlink_to(outside, target_is_directory=True)
    assert taken(source) == {"deep/a": "deep/a.png", "linked/d": "linked/d.jpg"}


def test_the_picture_that_is_named_is_written(
    tmp_path: Path, jpeg: Callable[..., bytes], convert: Callable[..., Any]
) -> None:
    source = make(tmp_path, {"x/fish2": named("fish2.png"), "x/eel": named("eel.png")}, "x/eel.jpg x/eel.gif")
    pictures = tmp_path / "pictures"
    for number, name in enumerate(("fish2.jpg", "fish2.png"), start=1):
        (pictures / "x" / name).write_bytes(jpeg(seed=number, kind={"jpg": "JPEG", "png": "PNG"}[name[-3:]]))
    done = convert("voc", "--annotations", source.annotations, "--images", source.images)
    (record,) = done.records.values()
    assert (record.image_id, record.uri, record.format) == ("x/fish2", "x/fish2.png", "png")
    assert record.encoded == (pictures / "x" / "fish2.png").read_bytes()
    assert [(r["record"], r["reason"]) for r in done.rejects] == [
        ("x/eel#1", "box:image_rejected"),
        ("x/eel", "image:ambiguous"),
    ]
    assert done.manifest["options"]["picture_by"] == "filename"


def test_the_reason_says_what_to_do() -> None:
    pictures = Pictures("", ["a.jpg", "a.png"])
    with pytest.raises(RecordError, match=r"'a\.jpg' or 'a\.png'; name the right one in <filename>"):
        pictures.of_xml("", "a")


def test_a_folder_of_roboflow_is_read_by_its_dotted_names(
    tmp_path: Path, jpeg: Callable[..., bytes], convert: Callable[..., Any]
) -> None:
    """XML and pictures side by side, the same picture augmented under several hashes, sides in another order."""
    names = ("hen_jpg.rf.0a1", "hen_jpg.rf.0b2", "hen_png.rf.0a1")
    for seed, name in enumerate(names):
        (tmp_path / f"{name}.jpg").write_bytes(jpeg(seed=seed))
        sides = f"<xmin>1</xmin><xmax>{3 + seed}</xmax><ymin>2</ymin><ymax>4</ymax>"
        (tmp_path / f"{name}.xml").write_text(
            f"<annotation><filename>{name}.jpg</filename><path>{name}.jpg</path><object><name>Hen</name>"
            f"<bndbox>{sides}</bndbox></object></annotation>"
        )
    (tmp_path / "README.roboflow.txt").write_text("hens")
    words = ["--annotations", tmp_path, "--images", tmp_path]
    done = convert("voc", *words, "--labels", "none")
    assert {name: (r.uri, round(r.boxes[0].box.xmax * 8), r.boxes[0].label) for name, r in done.records.items()} == {
        name: (f"{name}.jpg", 3 + seed, "Hen") for seed, name in enumerate(names)
    }
    assert not done.rejects
    with pytest.raises(LabelError, match="does not know 'Hen'"):
        convert("voc", *words, out="mapped")
