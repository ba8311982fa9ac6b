"""Boxes of ImageNet: XML of CLS-LOC and DET, tables, Tiny ImageNet's lists."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from pipelines.rows import ImageRow, Rejected
from tests.pipelines.imagenet_sets import (
    CAT,
    DOG,
    FISH,
    FORMS,
    STEMS,
    TRUE,
    TRUTHS,
    all_rows,
    corners,
    images,
    make_pictures,
    make_val,
    source_of,
    write_class_folders,
    write_tar_of_tars,
    xml,
)


@pytest.fixture(name="pictures")
def pictures_fixture(jpeg: Callable[..., bytes]) -> dict[str, dict[str, bytes]]:
    return make_pictures(jpeg)


@pytest.fixture
def val(tmp_path: Path, jpeg: Callable[..., bytes]) -> Path:
    return make_val(tmp_path, jpeg)


@pytest.mark.parametrize("write", FORMS)
def test_xml_boxes_lie_beside_the_images_of_every_form(
    write: Callable[..., Path], tmp_path: Path, pictures: dict[str, dict[str, bytes]]
) -> None:
    (tmp_path / "boxes" / DOG).mkdir(parents=True)
    for stem in (f"{DOG}_3", f"{DOG}_99"):
        (tmp_path / "boxes" / DOG / f"{stem}.xml").write_text(xml((DOG, 0, 0, 7, 5), (DOG, 1, 1, 1, 1)))
    (tmp_path / "boxes" / DOG / f"{DOG}_18.xml").write_text("<annotation>")
    source = source_of("--images", write(tmp_path, pictures), "--boxes", tmp_path / "boxes")
    rows = all_rows(source)
    found = {row.image_id: row for row in rows if isinstance(row, ImageRow)}
    assert len(found) == 6
    boxed = found[f"{DOG}/{DOG}_3"]
    assert corners(boxed) == [(DOG, 0, 0, 7, 5), (DOG, 1, 1, 1, 1)]
    assert (boxed.has_boxes, boxed.width, boxed.height, json.loads(boxed.extra)["folder"]) == (True, 8, 6, DOG)
    assert [x.class_key for x in boxed.labels] == [DOG]
    assert not any(row.has_boxes for image_id, row in found.items() if image_id != boxed.image_id)
    assert [(row.reason, row.image_id) for row in rows if isinstance(row, Rejected)] == [
        ("box:broken_xml", f"{DOG}/{DOG}_18"),
        ("box:unknown_image", f"{DOG}/{DOG}_99"),
        ("box:unknown_image", f"{DOG}/{DOG}_99"),
    ]


def test_a_validation_set_takes_its_xml_from_a_flat_folder(val: Path) -> None:
    (val / "xml").mkdir()
    (val / "truth").write_text(TRUTHS["wnids"])
    for stem, wnid in TRUE.items():
        (val / "xml" / f"{stem}.xml").write_text(xml((wnid, 0, 0, 7, 5)))
    words = ["--ground-truth", val / "truth", "--boxes", val / "xml"]
    for place in ("val", "val.tar"):
        found = images(source_of("--images", val / place, *words))
        assert {stem: corners(row) for stem, row in found.items()} == {s: [(TRUE[s], 0, 0, 7, 5)] for s in STEMS}
    for stem, wnid in TRUE.items():
        (val / "sorted" / wnid).mkdir(parents=True, exist_ok=True)
        (val / "val" / f"{stem}.JPEG").rename(val / "sorted" / wnid / f"{stem}.JPEG")
    found = images(source_of("--images", val / "sorted", "--boxes", val / "xml"))
    assert {i: corners(row) for i, row in found.items()} == {f"{TRUE[s]}/{s}": [(TRUE[s], 0, 0, 7, 5)] for s in STEMS}


def test_the_detection_set_has_boxes_of_all_classes_and_no_labels(val: Path, convert: Callable[..., Any]) -> None:
    (val / "xml").mkdir()
    (val / "xml" / f"{STEMS[0]}.xml").write_text(xml((DOG, 0, 0, 7, 5), (CAT, 1, 1, 2, 2)))
    (val / "xml" / f"{STEMS[1]}.xml").write_text(xml())
    (val / "val.txt").write_text(f"{STEMS[0]} 1\n{STEMS[1]} 2\n{STEMS[3]} 4\n")
    done = convert("imagenet", "--images", val / "val", "--boxes", val / "xml", "--list", val / "val.txt")
    assert {i: ([b.label for b in r.boxes], r.has_boxes, r.labels) for i, r in done.records.items()} == {
        STEMS[0]: ([DOG, CAT], True, ()),
        STEMS[1]: ([], True, ()),
    }
    assert [(r["reason"], r["record"]) for r in done.rejects] == [("image:no_label", STEMS[3])]
    assert done.manifest["has_boxes"]
    assert tuple(done.records[STEMS[0]].boxes[1].box) == pytest.approx((1 / 6, 1 / 8, 3 / 6, 3 / 8))


def test_lists_name_images_in_deeper_folders(tmp_path: Path, jpeg: Callable[..., bytes]) -> None:
    names = [f"ILSVRC2013_train/{DOG}/{DOG}_1", "ILSVRC2014_train_0000/ILSVRC2014_train_00000001"]
    for name in names:
        for root, ending in (("images", "JPEG"), ("xml", "xml")):
            (tmp_path / root / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / root / f"{name}.{ending}").write_bytes(
                jpeg() if root == "images" else xml((DOG, 0, 0, 1, 1)).encode()
            )
    (tmp_path / "train.txt").write_text("".join(f"{name} 1\n" for name in names) + "gone/away 3\n")
    rows = all_rows(
        source_of("--images", tmp_path / "images", "--list", tmp_path / "train.txt", "--boxes", tmp_path / "xml")
    )
    assert [
        (row.image_id, [x.class_key for x in row.labels], len(row.boxes)) for row in rows if isinstance(row, ImageRow)
    ] == [
        (names[1], [], 1),
        (f"{DOG}/{DOG}_1", [DOG], 1),
    ]
    assert [row.reason for row in rows if isinstance(row, Rejected)] == ["image:no_label"]


def test_kaggle_s_boxes_of_the_training_set_join_their_class_folders(
    tmp_path: Path, pictures: dict[str, dict[str, bytes]]
) -> None:
    lines = f"{DOG}_3,{DOG} 0 0 7 5 {DOG} 1 1 2 2 \n{CAT}_3,{CAT} 0 0 1 1\n{DOG}_77,{DOG} 1 1 2 2\n{DOG}_18,{DOG} 1 1\n"
    (tmp_path / "LOC_train_solution.csv").write_text(f"ImageId,PredictionString\n{lines}")
    for write in (write_class_folders, write_tar_of_tars):
        words = ["--ground-truth", tmp_path / "LOC_train_solution.csv"]
        source = source_of("--images", write(tmp_path, pictures), *words)
        rows = all_rows(source)
        found = {row.image_id: (corners(row), row.has_boxes) for row in rows if isinstance(row, ImageRow)}
        assert found[f"{DOG}/{DOG}_3"] == ([(DOG, 0, 0, 7, 5), (DOG, 1, 1, 2, 2)], True)
        assert found[f"{FISH}/{FISH}_3"] == ([], False)
        assert {len(row.labels) for row in rows if isinstance(row, ImageRow)} == {1}
        assert sorted((row.reason, row.where) for row in rows if isinstance(row, Rejected)) == [
            ("box:unknown_image", "LOC_train_solution.csv:4 box 1"),
            ("label:malformed", "LOC_train_solution.csv:5"),
        ]


def test_boxes_of_tiny_imagenet_lie_in_lists(tmp_path: Path, pictures: dict[str, dict[str, bytes]]) -> None:
    root = write_class_folders(tmp_path, pictures)
    (root / DOG / f"{DOG}_boxes.txt").write_text(f"{DOG}_3.JPEG\t0\t0\t7\t5\nbad line\n{DOG}_9.JPEG 1 1 2 2\n")
    rows = all_rows(source_of("--images", root, "--boxes", root))
    found = {row.image_id: corners(row) for row in rows if isinstance(row, ImageRow) and row.has_boxes}
    assert found == {f"{DOG}/{DOG}_3": [(DOG, 0, 0, 7, 5)]}
    assert sorted((row.reason, row.where) for row in rows if isinstance(row, Rejected)) == [
        ("box:malformed", f"{DOG}_boxes.txt:2"),
        ("box:unknown_image", f"{DOG}_boxes.txt:3"),
    ]


def test_the_same_boxes_as_xml_are_the_same(shared: Callable[..., Path]) -> None:
    folder = shared("data", "imagenet", "val_loc")
    table = images(source_of("--images", folder / "images", "--ground-truth", folder / "LOC_val_solution.csv"))
    found = images(source_of("--images", folder / "images", "--boxes", folder / "Annotations_CLS-LOC_converted"))
    assert {stem: corners(row) for stem, row in found.items()} == {stem: corners(row) for stem, row in table.items()}
    for stem, row in found.items():
        stated = ElementTree.parse(folder / "Annotations_CLS-LOC_converted" / f"{stem}.xml").findtext("filename")
        assert json.loads(row.extra)["filename"] == stated == stem


def test_real_tiny_imagenet_equals_its_lists(shared: Callable[..., Path]) -> None:
    folder = shared("data", "imagenet", "tiny-imagenet-subset")
    train = images(source_of("--images", folder / "train", "--boxes", folder / "train"))
    expected = {}
    for path in (folder / "train").glob("*/*_boxes.txt"):
        for line in path.read_text().splitlines():
            name, *numbers = line.split("\t")
            expected[f"{path.parent.name}/{name[:-5]}"] = [(path.parent.name, *map(float, numbers))]
    assert {image_id: corners(row) for image_id, row in train.items()} == expected
    assert len(expected) == 300
    val = images(source_of("--images", folder / "val", "--ground-truth", folder / "val" / "val_annotations.txt"))
    rows = [line.split("\t") for line in (folder / "val" / "val_annotations.txt").read_text().splitlines()]
    assert {image_id: corners(row) for image_id, row in val.items()} == {
        name[:-5]: [(wnid, *map(float, numbers))] for name, wnid, *numbers in rows
    }


def test_rejects_quote_the_corners_of_tiny_imagenet_s_lists(
    tmp_path: Path, jpeg: Callable[..., bytes], convert: Callable[..., Any]
) -> None:
    folder = tmp_path / "train" / DOG
    (folder / "images").mkdir(parents=True)
    (folder / "images" / f"{DOG}_0.JPEG").write_bytes(jpeg())
    lines = [f"{DOG}_0.JPEG\t{corners}" for corners in ("0\t0\t3\t4", "20\t1\t200\t4", "0\t0\t1_0\t4")]
    (folder / f"{DOG}_boxes.txt").write_text("\n".join(lines) + "\n")
    done = convert("imagenet", "--images", tmp_path / "train", "--boxes", tmp_path / "train", "--labels", "none")
    told = {reject["where"]: (reject["reason"], reject["found"]) for reject in done.rejects}
    outside = told[f"{DOG}_boxes.txt:2"]
    assert (outside[0], outside[1][:27]) == ("box:outside", "(x 20 to 200, y 1 to 4) in ")
    assert told[f"{DOG}_boxes.txt:3"][0] == "box:malformed"
    assert [len(record.boxes) for record in done.records.values()] == [1]
