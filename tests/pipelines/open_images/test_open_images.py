"""Rows of Open Images: every width of its files, every odd row, masks, hierarchy; each with a result or a reason."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipelines.rows import BoxRow, LabelRow
from schemas.errors import FormatError
from tests.pipelines.open_images_files import (
    ANIMAL,
    CAT,
    CLICKS,
    DOG,
    HEADS,
    HIERARCHY,
    HUMAN,
    LABELS,
    MASKS,
    A,
    B,
    C,
    Maker,
    told,
)


@pytest.fixture
def oi(tmp_path: Path) -> Maker:
    return Maker(tmp_path)


def test_boxes_of_thirteen_columns(oi: Maker) -> None:
    oi.file("--boxes", f"{HEADS[13]}\n{A},xclick,{DOG},1,0.1,0.2,0.3,0.4,0,1,-1,1,0\n")
    images, rejected, _ = oi.rows()
    assert images[A].boxes == (
        BoxRow(
            ymin=0.3,
            xmin=0.1,
            ymax=0.4,
            xmax=0.2,
            class_key=DOG,
            is_occluded=False,
            is_truncated=True,
            is_group_of=None,
            is_depiction=True,
            is_inside=False,
            source="xclick",
            where="boxes.csv line 2",
        ),
    )
    row = images[A]
    assert (row.uri, row.height, row.width, row.has_boxes, row.provenance) == (f"{A}.jpg", 1, 1, True, "boxes.csv")
    assert row.rotation is None
    assert not rejected


@pytest.mark.parametrize(
    ("width", "row"), [(8, f"{A},activemil,{DOG},1,0.1,0.2,0.3,0.4"), (7, f"{A},{DOG},0.1,0.2,0.3,0.4,1")]
)
def test_flags_that_a_file_does_not_have_are_unknown(width: int, row: str, oi: Maker) -> None:
    oi.file("--boxes", f"{HEADS[width]}\n{row}\n")
    [box] = oi.rows()[0][A].boxes
    assert (box.ymin, box.xmin, box.ymax, box.xmax) == (0.3, 0.1, 0.4, 0.2)
    assert (box.is_occluded, box.is_truncated, box.is_depiction, box.is_inside) == (None,) * 4
    assert box.is_group_of is (True if width == 7 else None)


def test_clicks_are_kept(oi: Maker) -> None:
    clicks = "0.1,0.15,0.2,0.12,0.3,0.35,0.4,0.37"
    none = ",".join(["-1.000000"] * 8)
    oi.file(
        "--boxes",
        f"{HEADS[21]}\n{A},xclick,{DOG},1,0.1,0.2,0.3,0.4,0,0,0,0,0,{clicks}\n{A},activemil,{DOG},1,0,1,0,1,-1,-1,-1,-1,-1,{none}\n",
    )
    first, second = oi.rows()[0][A].boxes
    assert json.loads(first.extra) == dict(zip(CLICKS.split(","), clicks.split(","), strict=True))
    assert second.extra == ""


def test_columns_go_by_name_in_any_order_and_spelling(oi: Maker) -> None:
    oi.file("--boxes", f"\ufeffYMax,YMin,XMax,XMin,Condidence,LabelName,ImageId\r\n0.4,0.3,0.2,0.1,0.5,{DOG},{A}\r\n")
    [box] = oi.rows()[0][A].boxes
    assert (box.ymin, box.xmin, box.ymax, box.xmax, box.confidence) == (0.3, 0.1, 0.4, 0.2, 0.5)


def test_labels_have_three_values(oi: Maker) -> None:
    oi.file(
        "--image-labels",
        f"{LABELS}\n{A},verification,{DOG},1\n{A},crowdsource-verification,{CAT},0\n{A},machine,{CAT},0.7\n"
        f"{A},somebody,{CAT},0.6\n",
    )
    oi.file("--image-labels", f"ImageID,LabelName,Confidence\n{A},{HUMAN},0\n", "challenge.csv")
    oi.words = ["--image-labels", *oi.words[1::2]]
    images, rejected, _ = oi.rows()
    where = "image-labels.csv line"
    assert images[A].labels == (
        LabelRow(class_key=DOG, verified=True, source="verification", where=f"{where} 2"),
        LabelRow(class_key=CAT, present=False, verified=True, source="crowdsource-verification", where=f"{where} 3"),
        LabelRow(class_key=CAT, verified=False, confidence=0.7, source="machine", where=f"{where} 4"),
        LabelRow(class_key=CAT, confidence=0.6, source="somebody", where=f"{where} 5"),
        LabelRow(class_key=HUMAN, present=False, verified=True, where="challenge.csv line 2"),
    )
    assert not images[A].has_boxes
    assert not rejected


def test_odd_rows_are_rejected_with_file_and_line(oi: Maker) -> None:
    good = f"{A},xclick,{DOG},1,0.1,0.2,0.3,0.4,0,0,0,0,0"
    oi.file(
        "--boxes",
        "\n".join(
            (
                HEADS[13],
                good,
                good,
                f"{A.upper()},xclick,{DOG},1,0.1,0.2,0.3,0.4,0,0,0,0,0",
                f"2b66c9c498e,xclick,{DOG},1,0.1,0.2,0.3,0.4,0,0,0,0,0",
                f"{B},xclick,{DOG},1,O.1,0.2,0.3,0.4,0,0,0,0,0",
                f"{A},xclick,{DOG},1,64,128,0,32,0,0,0,0,0",
                f"{A},xclick,,1,0.1,0.2,0.3,0.4,0,0,0,0,0",
                f"{A},xclick,{DOG},7,0.1,0.2,0.3,0.4,0,0,0,0,0",
                f"{A},xclick,{DOG},1,0.1",
                f"{A},xclick,{CAT},1,0.2,0.1,nan,0.4,2,1.0,yes,,0",
            )
        )
        + "\n",
    )
    oi.file(
        "--image-labels",
        f"{LABELS}\n{A},verification,{DOG},0.5\n{A},machine,{DOG},0.3\n{A},machine,{DOG},0.4\n{A},machine,{DOG},nan\n"
        f"{C},machine,{DOG},x\nnot-an-id,machine,{DOG},1\n",
    )
    images, rejected, _ = oi.rows()
    assert told(rejected) == sorted(
        [
            ("box:duplicate", "boxes.csv line 3"),
            ("box:bad_image_id", "boxes.csv line 4"),
            ("box:bad_image_id", "boxes.csv line 5"),
            ("box:bad_number", "boxes.csv line 6"),
            ("box:not_relative", "boxes.csv line 7"),
            ("box:no_class", "boxes.csv line 8"),
            ("box:bad_confidence", "boxes.csv line 9"),
            ("box:bad_row", "boxes.csv line 10"),
            ("label:bad_confidence", "image-labels.csv line 2"),
            ("label:duplicate", "image-labels.csv line 3"),
            ("label:bad_confidence", "image-labels.csv line 5"),
            ("label:bad_number", "image-labels.csv line 6"),
            ("label:bad_image_id", "image-labels.csv line 7"),
        ],
        key=lambda found: (found[1], found[0]),
    )
    first, last = images[A].boxes  # reversed corners and NaN are for the checks, which see them
    assert (first.where, last.where) == ("boxes.csv line 2", "boxes.csv line 11")
    assert (last.xmin, last.xmax, last.ymin != last.ymin) == (0.2, 0.1, True)
    assert (last.is_occluded, last.is_truncated, last.is_group_of, last.is_depiction) == (None, True, None, None)
    assert last.flag_unread
    assert not first.flag_unread
    assert [label.confidence for label in images[A].labels] == [0.4]
    assert (images[B].has_boxes, images[B].boxes) == (True, ())  # all its boxes are bad: background
    assert C not in images  # nothing that can be read names it


def test_any_id_takes_ids_as_they_are(oi: Maker) -> None:
    oi.file("--boxes", f"{HEADS[7]}\nHoliday 7,{DOG},0,1,0,1,0\n")
    images, rejected, _ = oi.rows("--any-id")
    assert images["Holiday 7"].uri == "Holiday 7.jpg"
    assert not rejected


def test_images_are_those_of_files_and_folder(oi: Maker) -> None:
    oi.file("--boxes", f"{HEADS[7]}\n{A},{DOG},0,1,0,1,0\n{B},{DOG},0,1,0,1,0\n")
    for image_id in (A, C, "readme", f"train_0/{A}"):
        oi.photo(image_id)
    images, rejected, _ = oi.rows()
    assert {name: (row.uri, row.has_boxes, len(row.boxes)) for name, row in images.items()} == {
        A: (f"{A}.jpg", True, 1),
        B: (f"{B}.jpg", True, 1),  # missing, as the writer will find
        C: (f"{C}.jpg", False, 0),
    }
    assert told(rejected) == [("image:duplicate_id", f"train_0/{A}.jpg")]
    assert set(oi.rows("--only-found")[0]) == {A, C}
    assert oi.rows("--background")[0][C].has_boxes


def test_a_list_of_images_decides_and_tells_rotation(oi: Maker) -> None:
    head = "ImageID,Subset,OriginalURL,License,Author,Title,Rotation"
    oi.file(
        "--image-list",
        f'{head}\n{A},train,https://f/1,cc-by,"Dee, Ann","A ""dog""\non two lines",270.0\n{B},train,,,,,nan\n'
        f"{C},train,,,,,45\n{A},train,,,,,0\n",
    )
    oi.file("--boxes", f"{HEADS[7]}\n{A},{DOG},0,1,0,1,0\n{'f' * 16},{DOG},0,1,0,1,0\n")
    oi.photo("train_0/" + A)
    images, rejected, unknown = oi.rows()
    assert set(images) == {A, B}
    assert (images[A].rotation, images[B].rotation) == (270, None)
    assert json.loads(images[A].extra) == {
        "Subset": "train",
        "OriginalURL": "https://f/1",
        "License": "cc-by",
        "Author": "Dee, Ann",
        "Title": 'A "dog"\non two lines',
    }
    assert (images[A].uri, images[A].provenance) == (f"train_0/{A}.jpg", "image-list.csv")
    assert told(rejected) == [
        ("image:bad_rotation", "image-list.csv line 5"),
        ("image:duplicate_id", "image-list.csv line 6"),
    ]
    assert [row.image_id for row in unknown] == ["f" * 16]  # the join rejects its boxes


def test_masks_go_to_their_boxes(oi: Maker) -> None:
    oi.file(
        "--boxes",
        f"{HEADS[7]}\n{A},{DOG},0.100000,0.5,0.2,0.6,0\n{A},{CAT},0.1,0.5,0.2,0.6,0\n{A},{DOG},0.1,0.5,0.2,0.9,0\n",
    )
    mask = f"{A}_m0bt9lr"
    oi.file(
        "--mask-list",
        f"{MASKS}\n{mask}_1.png,{A},{DOG},1,0.0999999,0.5,0.2,0.6,0.9,0.1 0.2 0;0.3 0.4 1\n"
        f"{mask}_2.png,{A},{DOG},2,0.7,0.8,0.7,0.8,0,\n{mask}_3.png,{A},{DOG},3,0.1,0.5,0.2,0.6,0,\n"
        f"../x.png,{A},{DOG},4,0.1,0.5,0.2,0.6,0,\n{mask}_1.png,{A},{DOG},1,0.1,0.5,0.2,0.6,0,\n",
    )
    (oi.folder / "masks" / "train-masks-0").mkdir(parents=True)
    images, rejected, _ = oi.rows("--mask-dir", str(oi.folder / "masks"))
    first, cat, tall, alone = images[A].boxes
    assert (first.mask_uri, cat.mask_uri, tall.mask_uri) == (f"train-masks-0/{mask}_1.png", "", "")
    assert json.loads(first.extra) == {"BoxID": "1", "PredictedIoU": "0.9", "Clicks": "0.1 0.2 0;0.3 0.4 1"}
    assert (alone.xmin, alone.ymax, alone.mask_uri) == (0.7, 0.8, f"train-masks-0/{mask}_2.png")
    assert told(rejected) == [
        ("box:duplicate_mask", "mask-list.csv line 4"),
        ("box:bad_mask_path", "mask-list.csv line 5"),
        ("box:duplicate", "mask-list.csv line 6"),
    ]


def test_masks_lie_in_folders_by_digit_or_side_by_side(oi: Maker) -> None:
    oi.file("--mask-list", f"{MASKS}\n{A}_1.png,{A},{DOG},1,0,1,0,1,0,\n")
    masks = oi.folder / "masks"
    (masks / "train-masks-f").mkdir(parents=True)
    assert oi.rows("--mask-dir", str(masks))[0][A].boxes[0].mask_uri == f"{A}_1.png"
    (masks / "train-masks-0").mkdir()
    assert oi.rows("--mask-dir", str(masks))[0][A].boxes[0].mask_uri == f"train-masks-0/{A}_1.png"


def test_labels_spread_through_the_hierarchy(oi: Maker) -> None:
    oi.file("--boxes", f"{HEADS[7]}\n{A},{DOG},0,1,0,1,1\n{A},{CAT},0,1,0,1,1\n{A},{HUMAN},0,1,0,1,0\n")
    oi.file(
        "--image-labels",
        f"{LABELS}\n{A},machine,{DOG},0.4\n{A},machine,{CAT},0.6\n{B},verification,{ANIMAL},0\n{B},verification,/m/x,1\n",
    )
    path = oi.file("", json.dumps(HIERARCHY), "hierarchy.json")
    images, rejected, _ = oi.rows("--hierarchy", str(path), "--expand")
    assert [(box.class_key, box.is_group_of, box.extra) for box in images[A].boxes] == [
        (DOG, True, ""),
        (ANIMAL, True, '{"expanded_from":"' + DOG + '"}'),
        (CAT, True, ""),
        (HUMAN, False, ""),  # a part is no subcategory
    ]
    labels = [(label.class_key, label.present, label.confidence, label.verified) for label in images[A].labels]
    assert labels == [(DOG, True, 0.4, False), (CAT, True, 0.6, False), (ANIMAL, True, 0.6, False)]
    labels = [(label.class_key, label.present, label.verified) for label in images[B].labels]
    assert labels == [(ANIMAL, False, True), ("/m/x", True, True), (CAT, False, True), (DOG, False, True)]
    assert not rejected
    head = json.loads(oi.source("--hierarchy", str(path)).survey().head)
    assert head == {"hierarchy": HIERARCHY}
    assert len(oi.rows("--hierarchy", str(path))[0][A].boxes) == 3


def test_names_that_are_no_utf8_are_told_apart(oi: Maker) -> None:
    oi.photo(A)
    path = oi.file("--image-labels", "")
    path.write_bytes(
        f"{LABELS}\n{A},verification,".encode() + b"/m/\xe9,1\n" + f"{A},verification,".encode() + b"/m/\xe8,1\n"
        + f"{A},verification,{DOG},1\n".encode() + b"\xe9,verification,/m/x,1\n"
    )  # fmt: skip
    images, rejected, _ = oi.rows()
    assert [label.class_key for label in images[A].labels] == [DOG]
    assert told(rejected) == [("label:bad_row", f"image-labels.csv line {line}") for line in (2, 3, 5)]
    assert "xe9" in rejected[0].found
    assert "xe8" in rejected[1].found
    assert {entry.key for entry in oi.source().survey().classes} >= {DOG}
    assert not any("\ufffd" in entry.key for entry in oi.source().survey().classes)


def test_lines_that_end_in_cr_alone_are_told(oi: Maker) -> None:
    oi.photo(A)
    oi.file("--image-labels", "").write_bytes(f"{LABELS}\r{A},verification,{DOG},1\r".encode())
    with pytest.raises(FormatError, match=r"image-labels.csv line 1: .*CR alone"):
        oi.source().survey()


@pytest.mark.parametrize("text", ["0.1_5", "٠.٥", "0x1", "0,5", ""])
def test_what_only_python_reads_as_a_number_is_a_reject(oi: Maker, text: str) -> None:
    quoted = f'"{text}"'
    oi.file("--boxes", f"{HEADS[8]}\n{A},xclick,{DOG},1,{quoted},0.9,0,1\n{A},xclick,{DOG},{quoted},0.1,0.9,0,1\n")
    oi.file("--image-labels", f"{LABELS}\n{A},machine,{DOG},{quoted}\n")
    images, rejected, _ = oi.rows()
    assert images[A].boxes == images[A].labels == ()
    assert told(rejected) == [
        ("box:bad_number", "boxes.csv line 2"),
        ("box:bad_number", "boxes.csv line 3"),
        ("label:bad_number", "image-labels.csv line 2"),
    ]
    assert all(repr(text) in row.found for row in rejected)
