"""Open Images as others write it: paths for ids and masks, blank classes, flags in words, columns that are left."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from schemas.errors import FormatError
from tests.pipelines.open_images_files import CAT, DOG, HEADS, LABELS, MASKS, A, B, Maker, told

Convert = Callable[..., Any]


@pytest.fixture
def oi(tmp_path: Path) -> Maker:
    return Maker(tmp_path)


def test_an_id_may_be_the_name_or_the_path_of_its_file(oi: Maker) -> None:
    ids = (A, f"{A}.jpg", f"train/{A}.JPG", rf"C:\oi\{A}.png", f"/data/{B}")
    rows = "".join(f"{name},{DOG},0.1,0.2,0.3,0.{number},0\n" for number, name in enumerate(ids, start=4))
    oi.file("--boxes", f"{HEADS[7]}\n{rows}x/{A[:-1]}.jpg,{DOG},0.1,0.2,0.3,0.4,0\n")
    images, rejected, _ = oi.rows()
    assert {name: [box.ymax for box in row.boxes] for name, row in images.items()} == {
        A: [0.4, 0.5, 0.6, 0.7],
        B: [0.8],
    }
    assert told(rejected) == [("box:bad_image_id", "boxes.csv line 7")]


def test_ids_of_one_s_own_may_have_the_ending_of_their_file(oi: Maker, jpeg: Callable[..., bytes]) -> None:
    oi.photo("photo 1", jpeg())
    oi.file("--boxes", f"{HEADS[7]}\nphoto 1.jpg,{DOG},0.1,0.2,0.3,0.4,0\nphoto 1,{CAT},0.1,0.2,0.3,0.4,0\n")
    images, rejected, _ = oi.rows("--any-id")
    assert [(row.uri, len(row.boxes)) for row in images.values()] == [("photo 1.jpg", 2)]
    assert not rejected


def test_a_blank_class_is_no_class(oi: Maker, convert: Convert, jpeg: Callable[..., bytes]) -> None:
    oi.photo(A, jpeg())
    oi.file("--boxes", f"{HEADS[7]}\n{A},{DOG},0.1,0.2,0.3,0.4,0\n{A},,0.1,0.2,0.3,0.4,0\n{A},  ,0.1,0.2,0.3,0.4,0\n")
    done = convert("openimages", "--images", oi.images, *oi.words)
    assert [(r["reason"], r["where"], r["found"]) for r in done.rejects] == [
        ("box:no_class", "boxes.csv line 3", "LabelName is empty"),
        ("box:no_class", "boxes.csv line 4", "LabelName is empty"),
    ]


def test_a_flag_that_cannot_be_read_is_told_with_its_name_and_words(
    oi: Maker, convert: Convert, jpeg: Callable[..., bytes]
) -> None:
    oi.photo(A, jpeg())
    oi.file("--boxes", f"{HEADS[13]}\n{A},xclick,{DOG},1,0.1,0.2,0.3,0.4,0,yes,2,1,0\n")
    done = convert("openimages", "--images", oi.images, *oi.words)
    [note] = [json.loads(line) for line in (done.out / "repairs.jsonl").read_text().splitlines()]
    assert (note["reason"], note["found"]) == (
        "box:flag_unread",
        "IsTruncated is 'yes', IsGroupOf is '2'; expected 0 or 1",
    )


def test_a_confidence_is_told_as_it_stands(oi: Maker) -> None:
    oi.file("--image-labels", f"{LABELS}\n{A},machine,{DOG},1e1\n")
    _, [rejected], _ = oi.rows()
    assert rejected.found == "Confidence 1e1; expected 0 to 1"


def test_columns_of_labels_that_are_not_used_are_named(oi: Maker, convert: Convert, jpeg: Callable[..., bytes]) -> None:
    oi.photo(A, jpeg())
    oi.file("--image-labels", f"{LABELS},Rater,Note\n{A},machine,{DOG},0.5,3,x\n")
    done = convert("openimages", "--images", oi.images, *oi.words, "--json")
    assert "image-labels.csv: columns 'Rater', 'Note' not used" in done.stderr
    assert json.loads(done.stdout)["unused_columns"] == {"image-labels.csv": ["Rater", "Note"]}


def test_masks_are_found_by_the_paths_of_others(oi: Maker, convert: Convert, jpeg: Callable[..., bytes]) -> None:
    masks = oi.folder / "masks"
    (masks / "part").mkdir(parents=True)
    oi.photo(A, jpeg())
    for number, name in enumerate(("part/a.png", "b c.png"), start=1):
        buffer = io.BytesIO()
        Image.fromarray(np.full((6, 8), number, np.uint8)).save(buffer, "PNG")
        (masks / name).write_bytes(buffer.getvalue())
    names = ("part\\a.png", "D:\\set\\masks\\b%20c.png", "no/such.png", "..\\..\\x.png")
    rows = "".join(f"{name},{A},{DOG},1,0.{n},0.9,0.1,0.9,0,\n" for n, name in enumerate(names, start=1))
    oi.file("--mask-list", f"{MASKS}\n{rows}")
    done = convert("openimages", "--images", oi.images, *oi.words, "--mask-dir", masks)
    boxes = done.records[A].boxes
    assert [np.asarray(Image.open(io.BytesIO(box.mask))).max() if box.mask else 0 for box in boxes] == [1, 2, 0]
    assert [(r["reason"], r["where"]) for r in done.rejects] == [("box:bad_mask_path", "mask-list.csv line 5")]
    assert done.counts["kept_by_reason"] == {"box:mask_missing": 1}


def test_class_folders_of_a_toolkit_are_one_set(oi: Maker, convert: Convert, jpeg: Callable[..., bytes]) -> None:
    """OIDv4_ToolKit: an image in the folder of each of its classes, label files between, the boxes of the whole set."""
    for place in (f"Dog/{A}", f"Dog/{B}", f"Cat/{B}"):
        oi.photo(place, jpeg())
        (oi.images / place).parent.joinpath("Label").mkdir(exist_ok=True)
        (oi.images / place).parent.joinpath("Label", f"{place[-16:]}.txt").write_text("Dog 1.0 1.0 2.0 2.0\n")
    rows = (
        f"{A},{DOG},0,0.5,0,0.5,0",
        f"{B},{DOG},0,0.5,0,0.5,0",
        f"{B},{CAT},0,1,0,1,0",
        f"{'f' * 16},{DOG},0,1,0,1,0",
    )
    oi.file("--boxes", "\n".join([HEADS[7], *rows, ""]))
    done = convert("openimages", "--images", oi.images, *oi.words, "--only-found")
    assert {name: [box.label for box in r.boxes] for name, r in done.records.items()} == {A: [DOG], B: [DOG, CAT]}
    assert [(r["record"], r["reason"]) for r in done.rejects] == [(B, "image:duplicate_id")]
    label = oi.images / "Dog" / "Label" / f"{A}.txt"
    with pytest.raises(FormatError, match="column ImageID is missing; found Dog 1"):
        convert("openimages", "--images", oi.images, "--boxes", label, out="other")
