"""Box forms: conversions invert, IoU keeps its laws."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import boxes
from schemas.boxes import Box

UNIT = st.floats(0, 1, width=32)


@st.composite
def box_arrays(draw, count=4):
    corners = np.array(draw(st.lists(st.tuples(UNIT, UNIT, UNIT, UNIT), min_size=count, max_size=count)))
    return np.stack(
        [
            corners[:, [0, 2]].min(1),
            corners[:, [1, 3]].min(1),
            corners[:, [0, 2]].max(1),
            corners[:, [1, 3]].max(1),
        ],
        axis=1,
    )


def test_coco_box_by_hand():
    # x 16 of 64 = 1/4, y 9 of 48 = 3/16, x + w = 56 of 64 = 7/8, y + h = 36 of 48 = 3/4
    assert boxes.box_from_coco_xywh(16, 9, 40, 27, height=48, width=64) == Box(0.1875, 0.25, 0.75, 0.875)


def test_voc_box_covering_the_whole_image_becomes_the_unit_box():
    assert boxes.box_from_voc_xyxy(1, 1, 500, 375, height=375, width=500) == Box(0, 0, 1, 1)


def test_voc_box_of_one_pixel_has_the_area_of_one_pixel():
    box = boxes.box_from_voc_xyxy(3, 2, 3, 2, height=10, width=10)
    assert box.area == pytest.approx(0.01)
    assert box == pytest.approx(Box(0.1, 0.2, 0.2, 0.3))


@given(st.floats(0, 400), st.floats(0, 400), st.floats(1, 400), st.floats(1, 400))
def test_coco_conversion_inverts(x, y, w, h):
    box = boxes.box_from_coco_xywh(x, y, w, h, height=480, width=640)
    assert boxes.box_to_coco_xywh(box, height=480, width=640) == pytest.approx((x, y, w, h), abs=1e-9)


@given(UNIT, UNIT, UNIT, UNIT, st.integers(-8, 8))
def test_four_quarter_turns_and_two_flips_give_the_box_back(ymin, xmin, ymax, xmax, turns):
    box = Box(ymin, xmin, ymax, xmax)
    there = boxes.rotate_box(box, turns)
    assert boxes.rotate_box(there, -turns) == pytest.approx(box, abs=1e-12)
    assert boxes.flip_box(boxes.flip_box(box)) == pytest.approx(box, abs=1e-12)


def test_a_quarter_turn_takes_the_right_edge_to_the_top():
    # counter-clockwise: what touched the right edge now touches the top
    assert boxes.rotate_box(Box(0.2, 0.5, 0.4, 1.0), 1) == pytest.approx(Box(0.0, 0.2, 0.5, 0.4))


@given(box_arrays())
def test_center_form_inverts(array):
    np.testing.assert_allclose(boxes.center_xywh_to_yxyx(boxes.yxyx_to_center_xywh(array)), array, atol=1e-6)


@given(box_arrays(), box_arrays(3))
def test_iou_is_symmetric_in_the_unit_range_and_one_on_itself(a, b):
    iou = boxes.pairwise_iou(a, b)
    np.testing.assert_allclose(iou, boxes.pairwise_iou(b, a).T)
    assert np.all((iou >= 0) & (iou <= 1 + 1e-9))
    own = np.diag(boxes.pairwise_iou(a, a))
    np.testing.assert_allclose(own, boxes.area(a) > 0, atol=1e-6)


def test_iou_equals_pycocotools():
    mask = pytest.importorskip("pycocotools.mask")
    rng = np.random.default_rng(0)
    low, size = rng.random((20, 2)), rng.random((20, 2))
    array = np.concatenate([low, low + size], axis=1)
    xywh = np.stack([array[:, 1], array[:, 0], size[:, 1], size[:, 0]], axis=1)
    np.testing.assert_allclose(boxes.pairwise_iou(array, array), mask.iou(xywh, xywh, [0] * 20), atol=1e-12)


def test_clip_keeps_what_lies_inside():
    assert Box(-0.5, 0.2, 0.5, 1.5).clip() == Box(0, 0.2, 0.5, 1)
    assert not Box(float("nan"), 0, 1, 1).is_finite()
