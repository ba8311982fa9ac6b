"""Lists of images as people write them: every line is an image, or a reject that quotes it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipelines.rows import ImageRow, Rejected
from pipelines.sources.voc import Source
from pipelines.voc.lists import Known

NAMES = ("street", "street (2)", "street 1", "roof.top", "dogs/rex", "cats/rex", "dogs/ben")
CORNERS = "<xmin>1</xmin><ymin>2</ymin><xmax>4</xmax><ymax>5</ymax>"
XML = f"<annotation><object><name>dog</name><bndbox>{CORNERS}</bndbox></object></annotation>"


@pytest.fixture
def kit(tmp_path: Path, jpeg: Callable[..., bytes]) -> Path:
    for name in NAMES:
        for folder, ending, data in (("Annotations", "xml", XML.encode()), ("JPEGImages", "jpg", jpeg())):
            path = tmp_path / folder / f"{name}.{ending}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
    return tmp_path


def listed(kit: Path, lines: str, folder: str = "Main", **options: Any) -> tuple[list[str], list[tuple[str, ...]]]:
    """Ids of the images of a list, and (record, reason, place) of what is rejected; the survey names the same."""
    path = kit / "ImageSets" / folder / "mine.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(lines, encoding="utf-8")
    source = Source(str(kit / "Annotations"), str(kit / "JPEGImages"), str(path), **options)
    rows = [row for piece in source.pieces() for row in source.read(piece)]
    assert rows == sorted(source.read(), key=rows.index)
    assert {row.image_id for row in rows} == set(source.survey().image_ids or ())
    rejected = [(row.record, row.reason, row.where) for row in rows if isinstance(row, Rejected)]
    return [row.image_id for row in rows if isinstance(row, ImageRow)], rejected


@pytest.mark.parametrize(
    ("line", "image"),
    [
        ("street", "street"),
        ("  street (2)\t", "street (2)"),
        ("street 1", "street 1"),  # the whole line first: not `street` with a flag
        ("street -1", "street"),
        ("street (2)  -1", "street (2)"),
        ("street (2) 0", "street (2)"),
        ("street 3 -1", "street"),  # ImageSets/Action
        ("roof.top", "roof.top"),
        ("roof.top.jpg", "roof.top"),
        ("street (2).XML", "street (2)"),
        ("JPEGImages/street (2).jpg", "street (2)"),
        (r"C:\me\my set\JPEGImages\street (2).jpg", "street (2)"),
        ("/mnt/sets/dogs/rex.png", "dogs/rex"),
        (r"dogs\rex", "dogs/rex"),
        ("ben", "dogs/ben"),
        ('"street (2)"', "street (2)"),
        ('"street (2)"  1', "street (2)"),
        ("street.jpg street.xml", "street"),
        ("street (2).jpg\tstreet (2).xml", "street (2)"),
        ("JPEGImages/street (2).jpg Annotations/street (2).xml", "street (2)"),
    ],
)
def test_a_line_finds_its_image(kit: Path, line: str, image: str) -> None:
    assert listed(kit, f"\ufeff{line}\r\n\r\n") == ([image], [])


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("street (3)", "image:no_annotation"),
        ("street 18", "image:no_annotation"),  # no flag: perhaps a copy of `street` that is gone
        ("street two", "image:no_annotation"),
        ("roof -1", "image:no_annotation"),
        ("JPEGImages/roof.jpg", "image:no_annotation"),
        ("../../roof", "image:no_annotation"),
        ("rex", "image:ambiguous"),
        ("street.jpg roof.top.xml", "image:no_annotation"),
    ],
)
def test_a_line_that_names_no_image_is_rejected_and_quoted(kit: Path, line: str, reason: str) -> None:
    path = kit / "ImageSets" / "Main" / "mine.txt"
    path.parent.mkdir(parents=True)
    path.write_text(f"street\n{line}\n")
    source = Source(str(kit / "Annotations"), str(kit / "JPEGImages"), str(path))
    rows = list(source.read())
    assert [row.image_id for row in rows if isinstance(row, ImageRow)] == ["street"]
    (lost,) = [row for row in rows if isinstance(row, Rejected)]
    assert (lost.kind, lost.reason) == ("image", reason)
    assert line.removesuffix(".xml") in lost.found


def test_an_image_that_stands_twice_is_told(kit: Path) -> None:
    images, rejected = listed(kit, "street\nroof.top\nJPEGImages/street.jpg\n")
    assert images == ["roof.top", "street"]
    assert rejected == [("street", "image:duplicate_id", "mine.txt:3")]


def test_objects_of_an_image_are_no_second_image(kit: Path) -> None:
    assert listed(kit, "street 1\nstreet 2\nroof.top 1\n", "Layout") == (["roof.top", "street", "street 1"], [])
    assert listed(kit, "roof.top 1 1\nroof.top 2 -1\n", "Action") == (["roof.top"], [])
    assert listed(kit, "roof.top 1 1\nroof.top 1 -1\n", "Action")[1] == [
        ("roof.top", "image:duplicate_id", "mine.txt:2")
    ]


def test_pictures_without_xml_are_named_where_they_are_wanted(kit: Path) -> None:
    (kit / "JPEGImages" / "bare one.jpg").write_bytes(b"")
    assert listed(kit, "bare one.jpg\n", unlabelled=True) == (["bare one"], [])
    assert listed(kit, "street\nbare one.jpg\n")[1] == [("bare one", "image:no_annotation", "bare one.xml")]


def test_class_lists_name_images_in_the_same_ways(kit: Path) -> None:
    main = kit / "ImageSets" / "Main"
    main.mkdir(parents=True)
    (main / "train.txt").write_text("street (2)\nroof.top\n")
    (main / "dog_train.txt").write_text("street (2)  1\nroof.top.jpg -1\nroof.top\nrex 1\n")
    folders = str(kit / "Annotations"), str(kit / "JPEGImages"), str(main / "train.txt")
    source = Source(*folders, class_lists=True)
    said = {
        row.image_id: row.labels[0].present for row in source.read("labels of dog") if not isinstance(row, Rejected)
    }  # type: ignore[union-attr]
    assert said == {"street (2)": True, "roof.top": False}
    lost = [(row.where, row.reason) for row in source.read("labels of dog") if isinstance(row, Rejected)]
    assert lost == [("dog_train.txt:3", "label:malformed"), ("dog_train.txt:4", "label:malformed")]


def test_a_list_in_a_dataset_is_written_or_rejected_line_by_line(kit: Path, convert: Callable[..., Any]) -> None:
    main = kit / "ImageSets" / "Main"
    main.mkdir(parents=True)
    (main / "mine.txt").write_text("street (2).jpg\nstreet 18\ndogs/rex\nstreet (2)\n")
    done = convert("voc", "--devkit", kit, "--set", "mine")
    assert {name: record.uri for name, record in done.records.items()} == {
        "street (2)": "street (2).jpg",
        "dogs/rex": "dogs/rex.jpg",
    }
    assert sorted((r["record"], r["reason"]) for r in done.rejects) == [
        ("street (2)", "image:duplicate_id"),
        ("street 18", "image:no_annotation"),
    ]
    assert (done.counts["images_in"], done.counts["images_written"]) == (4, 2)


def test_an_image_called_like_two_others_side_by_side_is_itself() -> None:
    assert Known(["a.jpg a", "a"]).find("a.jpg a") == ["a.jpg a"]
