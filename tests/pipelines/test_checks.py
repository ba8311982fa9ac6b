"""`examine`: the policy for boxes and sizes, as a pure function."""

from __future__ import annotations

import io
import math
from collections.abc import Callable

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from pipelines.box_checks import check_box
from pipelines.checks import Examined, examine
from pipelines.labelling import LabelSpace
from pipelines.policy import Policy, policy_of
from pipelines.rows import BoxRow, ImageRow, LabelRow
from schemas.boxes import Box
from schemas.errors import RecordError
from schemas.example_message import decode_features
from schemas.manifest import ClassEntry
from schemas.tfexample import decode_record, encode_record

Jpeg = Callable[..., bytes]
SPACE = LabelSpace("test", {"18": ClassEntry(id=18, label="dog", wnid="n02084071")})


def row(*corners: tuple[float, float, float, float], height: int = 6, width: int = 8, key: str = "18") -> ImageRow:
    """An image with boxes (ymin, xmin, ymax, xmax) in pixels."""
    boxes = tuple(BoxRow(ymin=a, xmin=b, ymax=c, xmax=d, class_key=key) for a, b, c, d in corners)
    return ImageRow(image_id="7", uri="a/7.jpg", height=height, width=width, has_boxes=True, boxes=boxes)


def look(image: ImageRow, data: bytes, on: dict[str, str] | None = None) -> Examined:
    return examine(image, data, SPACE, policy_of(on or {}))


def told(seen: Examined) -> list[tuple[str, str]]:
    """What was noted, as (reason, action)."""
    return [(note.reason, note.action) for note in seen.notes]


REJECT_PAST_EDGE = policy_of({"box:past_edge": "reject"})


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
@pytest.mark.parametrize("past_edge", ["fix", "keep", "reject"])
def test_an_impossible_box_is_rejected_and_the_image_stays_as_background(
    jpeg: Jpeg, corners: tuple[float, float, float, float], reason: str, past_edge: str
) -> None:
    seen = look(row(corners), jpeg(), {"box:past_edge": past_edge})
    assert seen.record is not None
    assert seen.record.boxes == ()
    assert seen.record.has_boxes
    assert [(r.kind, r.reason, r.record) for r in seen.rejected] == [("box", reason, "7#1")]
    assert not seen.notes


def test_a_box_past_the_edge_is_clipped_and_counted(jpeg: Jpeg) -> None:
    seen = look(row((-3, 4, 3, 12)), jpeg())
    assert seen.record is not None
    assert seen.record.boxes[0].box == Box(0, 0.5, 0.5, 1)
    assert told(seen) == [("box:clipped", "fixed")]
    assert seen.notes[0].found == "x 4 to 12, y -3 to 3 in 8 x 6"


def test_a_box_past_the_edge_is_rejected_if_so_wished(jpeg: Jpeg) -> None:
    seen = look(row((-3, 4, 3, 12)), jpeg(), {"box:past_edge": "reject"})
    assert [r.reason for r in seen.rejected] == ["box:past_edge"]
    assert "x 4 to 12, y -3 to 3" in seen.rejected[0].found
    assert "image of 8 x 6" in seen.rejected[0].found


def test_rounding_past_the_edge_is_no_defect() -> None:
    assert check_box(Box(0, 0, 1 + 1e-9, 1), REJECT_PAST_EDGE) == (Box(0, 0, 1, 1), "")


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
    assert check_box(box, REJECT_PAST_EDGE) == (box, "")


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
    assert not seen.notes


def test_a_wrong_size_in_the_annotation_is_overruled_by_the_file_and_counted(jpeg: Jpeg) -> None:
    seen = look(row((3, 4, 6, 8), height=600, width=800), jpeg())
    assert seen.record is not None
    assert seen.record.boxes[0].box == Box(0.5, 0.5, 1, 1)
    assert told(seen) == [("image:size_mismatch", "fixed")]


def test_boxes_of_an_image_that_was_resized_later_can_be_scaled(jpeg: Jpeg) -> None:
    box = BoxRow(ymin=300, xmin=400, ymax=600, xmax=800, class_key="18", area=100_000.0)
    image = ImageRow(image_id="7", uri="7.jpg", has_boxes=True, boxes=(box,), height=600, width=800)
    seen = look(image, jpeg(), {"image:size_mismatch": "scale"})
    assert seen.record is not None
    assert seen.record.boxes[0].box == Box(0.5, 0.5, 1, 1)
    assert seen.record.boxes[0].area == pytest.approx(10)
    assert (seen.record.height, seen.record.width) == (6, 8)


def test_a_wrong_size_can_reject_the_image(jpeg: Jpeg) -> None:
    seen = look(row((0, 0, 1, 1), height=600, width=800), jpeg(), {"image:size_mismatch": "reject"})
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
    assert told(seen) == [("image:exif_turned", "kept"), ("box:turned", "fixed")]


def test_boxes_stay_where_the_annotation_s_size_is_that_of_the_stored_pixels(jpeg: Jpeg) -> None:
    seen = look(row((3, 4, 6, 8)), jpeg(orientation=6))
    assert seen.record is not None
    assert seen.record.boxes[0].box == Box(0.5, 0.5, 1, 1)
    assert seen.record.orientation == 6
    assert told(seen) == [("image:exif_turned", "kept")]


def test_swapped_corners_are_put_in_order_if_so_wished(jpeg: Jpeg) -> None:
    seen = look(row((6, 8, 3, 4)), jpeg(), {"box:reversed": "fix"})
    assert seen.record is not None
    assert seen.record.boxes[0].box == Box(0.5, 0.5, 1, 1)
    assert told(seen) == [("box:reversed", "fixed")]


def test_a_box_may_stay_past_the_edge_or_without_area(jpeg: Jpeg) -> None:
    seen = look(row((-3, 4, 3, 12), (3, 4, 3, 8)), jpeg(), {"box:past_edge": "keep", "box:zero_area": "keep"})
    assert seen.record is not None
    assert [box.box for box in seen.record.boxes] == [Box(-0.5, 0.5, 0.5, 1.5), Box(0.5, 0.5, 0.5, 1)]
    assert told(seen) == [("box:past_edge", "kept"), ("box:zero_area", "kept")]


def test_a_label_s_confidence_lies_in_0_to_1(jpeg: Jpeg) -> None:
    labels = tuple(LabelRow(class_key="18", confidence=value) for value in (0.0, 1.0, 1.5, -0.1, math.nan))
    seen = look(ImageRow(image_id="7", uri="7.jpg", has_boxes=False, labels=labels), jpeg())
    assert seen.record is not None
    assert [label.confidence for label in seen.record.labels] == [0, 1]
    assert [r.record for r in seen.rejected] == ["7#label3", "7#label4", "7#label5"]
    assert {r.reason for r in seen.rejected} == {"label:bad_confidence"}


def test_keypoints_parts_and_captions_go_with_the_box(jpeg: Jpeg) -> None:
    box = BoxRow(
        ymin=0,
        xmin=0,
        ymax=6,
        xmax=8,
        class_key="18",
        keypoints=((3, 2, 2), (0, 0, 0)),
        parts=(("head", 0, 4, 3, 8),),
        extra='{"a": 1}',
    )
    image = ImageRow(image_id="7", uri="7.jpg", has_boxes=True, boxes=(box,), captions=(("a dog", "5"),))
    record = look(image, jpeg()).record
    assert record is not None
    assert record.boxes[0].keypoints == ((0.5, 0.25, 2), (0, 0, 0))
    assert record.boxes[0].parts == (("head", Box(0, 0.5, 0.5, 1)),)
    assert record.boxes[0].extra == '{"a": 1}'
    assert record.captions == (("a dog", "5"),)


def test_a_relative_box_needs_no_size(jpeg: Jpeg) -> None:
    image = row((0.25, 0.5, 0.75, 1), height=0, width=0)
    record = examine(image, jpeg(), SPACE, Policy(), relative=True).record
    assert record is not None
    assert record.boxes[0].box == Box(0.25, 0.5, 0.75, 1)


def test_masks_and_maps_come_along_or_are_told(jpeg: Jpeg) -> None:
    boxes = tuple(BoxRow(ymin=0, xmin=0, ymax=6, xmax=8, class_key="18", mask_uri=uri) for uri in ("a.png", "b.png"))
    image = ImageRow(
        image_id="7",
        uri="7.jpg",
        has_boxes=True,
        boxes=boxes,
        map_uris=(("panoptic", "p.png"), ("class", "c.png")),
    )
    missing = RecordError("image:missing", "there is no such file")
    assets = {"a.png": b"A", "b.png": missing, "p.png": b"P", "c.png": missing}
    seen = examine(image, jpeg(), SPACE, Policy(), assets=assets)
    assert seen.record is not None
    assert [box.mask for box in seen.record.boxes] == [b"A", b""]
    assert seen.record.maps == (("panoptic", b"P"),)
    assert told(seen) == [("box:mask_missing", "kept"), ("image:map_missing", "kept")]


POLYGON = "[[4,3,8,3,8,6,4,6]]"


def masked(segmentation: str) -> ImageRow:
    box = BoxRow(ymin=0, xmin=0, ymax=6, xmax=8, class_key="18", segmentation=segmentation)
    return ImageRow(image_id="7", uri="7.jpg", has_boxes=True, boxes=(box,), height=6, width=8)


def test_a_polygon_stays_text_and_is_drawn_if_so_wished(jpeg: Jpeg) -> None:
    record = look(masked(POLYGON), jpeg()).record
    assert record is not None
    assert (record.boxes[0].segmentation, record.boxes[0].mask) == (POLYGON, b"")
    record = examine(masked(POLYGON), jpeg(), SPACE, policy_of({}, masks="png")).record
    assert record is not None
    with Image.open(io.BytesIO(record.boxes[0].mask)) as image:
        drawn = np.asarray(image)
    expected = np.zeros((6, 8), bool)
    expected[3:, 4:] = True
    assert np.array_equal(drawn > 0, expected)


def test_a_text_that_is_no_mask_costs_the_mask_alone(jpeg: Jpeg) -> None:
    seen = examine(masked('{"size": 5}'), jpeg(), SPACE, policy_of({}, masks="png"))
    assert seen.record is not None
    assert (seen.record.boxes[0].segmentation, seen.record.boxes[0].mask) == ('{"size": 5}', b"")
    assert told(seen) == [("box:mask_unreadable", "kept")]


@pytest.mark.parametrize(
    ("segmentation", "note"),
    [
        ("", ["box:no_mask"]),
        ("[]", ["box:no_mask"]),
        ("[[]]", ["box:no_mask"]),
        ("[[1,1,5,1]]", ["box:no_mask"]),
        ("[[1,1,5,1],[2,2]]", ["box:no_mask"]),
        ("[[1.1,1.1,1.2,1.1,1.2,1.2]]", ["box:no_mask"]),  # less than a pixel, as COCO's own library draws it
        ('{"size":[6,8],"counts":[48]}', ["box:no_mask"]),
        ("[1,1,5,1,5,4]", ["box:mask_unreadable"]),
        ("[[1,1,5,1,5]]", ["box:mask_unreadable"]),
        ('{"size":[6,8],"counts":[3]}', ["box:mask_unreadable"]),
        ("[[1,1,5,1],[4,3,8,3,8,6,4,6]]", ["box:mask_part"]),
        (POLYGON, []),
    ],
)
def test_a_box_without_a_pixel_of_mask_beside_one_with_is_told_and_has_a_picture(
    jpeg: Jpeg, segmentation: str, note: list[str]
) -> None:
    row = masked(POLYGON)
    second = msgspec.structs.replace(row.boxes[0], segmentation=segmentation)
    row = msgspec.structs.replace(row, boxes=(*row.boxes, second))
    seen = examine(row, jpeg(), SPACE, policy_of({}, masks="png"))
    assert told(seen) == [(reason, "kept") for reason in note]
    assert seen.record is not None
    drawn = bool(seen.record.boxes[1].mask)
    assert drawn == (note in ([], ["box:mask_part"]))
    data = encode_record(seen.record)
    assert [b.mask for b in decode_record(data).boxes] == [b.mask for b in seen.record.boxes]
    pictures = [np.asarray(Image.open(io.BytesIO(png))) for png in decode_features(data)["image/object/mask"]]
    assert [picture.shape for picture in pictures] == [(6, 8), (6, 8)]
    assert [int(picture.sum()) for picture in pictures] == [12, 12 if drawn else 0]


def test_an_image_without_masks_has_no_pictures_of_any(jpeg: Jpeg) -> None:
    seen = examine(masked("[]"), jpeg(), SPACE, policy_of({}, masks="png"))
    assert seen.record is not None
    assert "image/object/mask" not in decode_features(encode_record(seen.record))


def test_masks_turn_with_the_pixels(jpeg: Jpeg) -> None:
    policy = policy_of({"image:exif_turned": "fix"}, masks="png")
    record = examine(masked(POLYGON), jpeg(orientation=6), SPACE, policy).record
    assert record is not None
    with Image.open(io.BytesIO(record.boxes[0].mask)) as image:
        drawn = np.asarray(image) > 0
    expected = np.zeros((6, 8), bool)
    expected[3:, 4:] = True
    assert np.array_equal(drawn, np.rot90(expected, -1))
