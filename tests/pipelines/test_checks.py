"""`examine`: the policy for boxes and sizes, as a pure function."""

from __future__ import annotations

import io
import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from pipelines.checks import Examined, Policy, check_box, examine, turn_to_stored
from pipelines.labelling import LabelSpace
from pipelines.rows import BoxRow, ImageRow, LabelRow
from schemas.boxes import Box
from schemas.errors import RecordError
from schemas.manifest import ClassEntry

Jpeg = Callable[..., bytes]
SPACE = LabelSpace("test", {"18": ClassEntry(id=18, label="dog", wnid="n02084071")})


def row(*corners: tuple[float, float, float, float], height: int = 6, width: int = 8, key: str = "18") -> ImageRow:
    """An image with boxes (ymin, xmin, ymax, xmax) in pixels."""
    boxes = tuple(BoxRow(ymin=a, xmin=b, ymax=c, xmax=d, class_key=key) for a, b, c, d in corners)
    return ImageRow(image_id="7", uri="a/7.jpg", height=height, width=width, has_boxes=True, boxes=boxes)


def look(image: ImageRow, data: bytes, **policy: str) -> Examined:
    return examine(image, data, SPACE, Policy(**policy))  # type: ignore[arg-type]


def test_a_good_box_becomes_relative_and_carries_its_class(jpeg: Jpeg) -> None:
    record = look(row((1.5, 2, 3, 6)), jpeg()).record
    assert record is not None
    assert record.boxes[0].box == Box(0.25, 0.25, 0.5, 0.75)
    assert (record.boxes[0].label, record.boxes[0].class_id, record.boxes[0].wnid) == ("dog", 18, "n02084071")
    assert (record.height, record.width, record.format, record.filename) == (6, 8, "jpeg", "7.jpg")
    assert record.encoded == jpeg()


@pytest.mark.parametrize(
    ("corners", "reason"),
    [
        ((math.nan, 0, 3, 3), "box:not_finite"),
        ((0, 0, math.inf, 3), "box:not_finite"),
        ((3, 0, 1, 3), "box:reversed"),
        ((0, 3, 3, 1), "box:reversed"),
        ((2, 2, 2, 5), "box:zero_area"),
        ((0, 9, 3, 12), "box:outside"),
        ((-5, 0, -1, 3), "box:outside"),
        ((0, 8, 3, 12), "box:outside"),
    ],
)
@pytest.mark.parametrize("on_bad_box", ["clip", "reject"])
def test_an_impossible_box_is_rejected_and_the_image_stays_as_background(
    jpeg: Jpeg, corners: tuple[float, float, float, float], reason: str, on_bad_box: str
) -> None:
    seen = look(row(corners), jpeg(), on_bad_box=on_bad_box)
    assert seen.record is not None
    assert seen.record.boxes == ()
    assert seen.record.has_boxes
    assert [(r.kind, r.reason, r.record) for r in seen.rejected] == [("box", reason, "7#1")]
    assert not seen.fixed


def test_a_box_past_the_edge_is_clipped_and_counted(jpeg: Jpeg) -> None:
    seen = look(row((-3, 4, 3, 12)), jpeg())
    assert seen.record is not None
    assert seen.record.boxes[0].box == Box(0, 0.5, 0.5, 1)
    assert seen.fixed == {"box:clipped": 1}


def test_a_box_past_the_edge_is_rejected_if_so_wished(jpeg: Jpeg) -> None:
    seen = look(row((-3, 4, 3, 12)), jpeg(), on_bad_box="reject")
    assert [r.reason for r in seen.rejected] == ["box:past_edge"]
    assert "x 4 to 12, y -3 to 3" in seen.rejected[0].found
    assert "image of 8 x 6" in seen.rejected[0].found


def test_rounding_past_the_edge_is_no_defect() -> None:
    box, clipped = check_box(Box(0, 0, 1 + 1e-9, 1), Policy(on_bad_box="reject"))
    assert (box, clipped) == (Box(0, 0, 1, 1), False)


@given(st.tuples(*[st.floats(-2, 3)] * 4))
def test_what_check_box_accepts_lies_inside_and_has_area_and_is_accepted_again(corners: tuple[float, ...]) -> None:
    try:
        box, _ = check_box(Box(*corners), Policy())
    except RecordError:
        return
    assert min(box) >= 0
    assert max(box) <= 1
    assert np.float32(box.ymin) < np.float32(box.ymax)
    assert np.float32(box.xmin) < np.float32(box.xmax)
    assert check_box(box, Policy(on_bad_box="reject")) == (box, False)


def test_a_class_that_is_not_kept_costs_the_box_only(jpeg: Jpeg) -> None:
    seen = look(row((0, 0, 3, 3), key="99"), jpeg())
    assert seen.record is not None
    assert [r.reason for r in seen.rejected] == ["box:unknown_class"]


def test_a_rejected_image_takes_its_annotations_along() -> None:
    image = ImageRow(
        image_id="7", uri="7.jpg", has_boxes=True, boxes=row((0, 0, 1, 1)).boxes * 2, labels=(LabelRow(class_key="18"),)
    )
    seen = examine(image, b"", SPACE, Policy())
    assert seen.record is None
    assert [r.reason for r in seen.rejected] == [
        "image:empty",
        "box:image_rejected",
        "box:image_rejected",
        "label:image_rejected",
    ]


def test_an_image_that_is_only_labelled_goes_when_all_its_labels_go(jpeg: Jpeg) -> None:
    image = ImageRow(image_id="7", uri="7.jpg", has_boxes=False, labels=(LabelRow(class_key="99"),))
    seen = examine(image, jpeg(), SPACE, Policy())
    assert seen.record is None
    assert [r.reason for r in seen.rejected] == ["image:no_label", "label:unknown_class"]


def test_with_no_size_stated_the_file_s_is_taken(jpeg: Jpeg) -> None:
    seen = look(row((3, 4, 6, 8), height=0, width=0), jpeg())
    assert seen.record is not None
    assert seen.record.boxes[0].box == Box(0.5, 0.5, 1, 1)
    assert not seen.fixed


def test_a_wrong_size_in_the_annotation_is_overruled_by_the_file_and_counted(jpeg: Jpeg) -> None:
    seen = look(row((3, 4, 6, 8), height=600, width=800), jpeg())
    assert seen.record is not None
    assert seen.record.boxes[0].box == Box(0.5, 0.5, 1, 1)
    assert seen.fixed == {"image:size_mismatch": 1}


def test_boxes_of_an_image_that_was_resized_later_can_be_scaled(jpeg: Jpeg) -> None:
    seen = look(row((300, 400, 600, 800), height=600, width=800), jpeg(), on_size_mismatch="scale")
    assert seen.record is not None
    assert seen.record.boxes[0].box == Box(0.5, 0.5, 1, 1)
    assert (seen.record.height, seen.record.width) == (6, 8)


def test_a_wrong_size_can_reject_the_image(jpeg: Jpeg) -> None:
    seen = look(row((0, 0, 1, 1), height=600, width=800), jpeg(), on_size_mismatch="reject")
    assert seen.rejected[0].reason == "image:size_mismatch"
    assert "says 800 x 600, the file 8 x 6" in seen.rejected[0].found


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_boxes_drawn_on_the_turned_picture_are_turned_to_the_stored_pixels(orientation: int) -> None:
    # A white rectangle in the stored pixels; Pillow shows the picture as viewers do; a box is drawn around it there.
    stored = np.zeros((40, 80), np.uint8)
    stored[8:16, 48:72] = 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    buffer = io.BytesIO()
    Image.fromarray(stored).save(buffer, "JPEG", quality=100, exif=exif)
    shown = np.asarray(ImageOps.exif_transpose(Image.open(buffer)))
    ys, xs = np.nonzero(shown > 128)
    drawn = (float(ys.min()), float(xs.min()), float(ys.max() + 1), float(xs.max() + 1))
    seen = look(row(drawn, height=shown.shape[0], width=shown.shape[1]), buffer.getvalue())
    assert seen.record is not None
    assert (seen.record.height, seen.record.width) == (40, 80)
    assert seen.record.boxes[0].box == pytest.approx((8 / 40, 48 / 80, 16 / 40, 72 / 80))
    assert seen.fixed == {"box:turned": 1}


def test_boxes_stay_where_the_annotation_s_size_is_that_of_the_stored_pixels(jpeg: Jpeg) -> None:
    seen = look(row((3, 4, 6, 8)), jpeg(orientation=6))
    assert seen.record is not None
    assert seen.record.boxes[0].box == Box(0.5, 0.5, 1, 1)
    assert not seen.fixed


@given(st.sampled_from([5, 6, 7, 8]), st.tuples(*[st.floats(0, 1)] * 4))
def test_turning_keeps_area(orientation: int, corners: tuple[float, ...]) -> None:
    a, b, c, d = corners
    box = Box(min(a, b), min(c, d), max(a, b), max(c, d))
    assert turn_to_stored(box, orientation).area == pytest.approx(box.area, abs=1e-9)
