"""Masks against COCO's own library, and laws of moving them."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from schemas import masks
from schemas.errors import RecordError

pycoco = pytest.importorskip("pycocotools.mask")
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools' own


def official(segmentation: object, height: int, width: int) -> np.ndarray:
    """The mask as COCO's API makes it of an annotation."""
    runs = pycoco.frPyObjects(segmentation, height, width)
    return pycoco.decode(pycoco.merge(runs) if isinstance(segmentation, list) else runs)


numbers = st.one_of(
    st.floats(-30, 60, allow_nan=False), st.integers(-20, 50).map(float), st.integers(-99, 300).map(lambda n: n / 5)
)
polygon = st.lists(numbers, min_size=6, max_size=24).map(lambda p: p[: len(p) // 2 * 2])
small = st.integers(1, 40)


@given(st.lists(polygon, min_size=1, max_size=3), small, small)
def test_polygons_are_drawn_as_cocos_library_draws_them(polygons: list[list[float]], height: int, width: int) -> None:
    found = masks.segmentation_mask(json.dumps(polygons), height, width)
    np.testing.assert_array_equal(found, official(polygons, height, width))


def test_many_round_outlines_are_drawn_the_same() -> None:
    rng = np.random.default_rng(3)
    for _ in range(300):
        height, width = rng.integers(20, 300, 2).tolist()
        angles = np.sort(rng.uniform(0, 2 * np.pi, rng.integers(3, 60)))
        radius = rng.uniform(1, 150) * rng.uniform(0.5, 1.5, len(angles))
        x = (rng.uniform(0, width) + radius * np.cos(angles)).round(2)
        y = (rng.uniform(0, height) + radius * np.sin(angles)).round(2)
        outline = [np.stack([x, y], axis=1).ravel().tolist()]
        found = masks.segmentation_mask(json.dumps(outline), height, width)
        np.testing.assert_array_equal(found, official(outline, height, width))


@pytest.mark.parametrize(
    "outline",
    [
        [5, 5, 5, 5, 20, 5, 20, 20],  # a corner twice
        [3, 3, 3, 3, 3, 3],  # one point
        [2, 2, 30, 2, 30, 30, 2, 30, 2, 2],  # closed by hand
        [0, 0, 10, 10, 0, 10, 10, 0],  # crosses itself
        [-50, -50, 90, -50, 90, 90, -50, 90],  # around the image
        [0.1, 0.1, 39.9, 0.1, 39.9, 29.9, 0.1, 29.9],
    ],
)
def test_odd_outlines_are_drawn_the_same(outline: list[float]) -> None:
    found = masks.segmentation_mask(json.dumps([outline]), 30, 40)
    np.testing.assert_array_equal(found, official([[float(n) for n in outline]], 30, 40))


def test_real_segmentations_are_drawn_the_same(shared) -> None:
    data = json.loads(shared("data", "coco", "tiny_coco", "annotations", "instances_val2017.json").read_text())
    sizes = {image["id"]: (image["height"], image["width"]) for image in data["images"]}
    kinds = set()
    for entry in data["annotations"]:
        size, value = sizes[entry["image_id"]], entry["segmentation"]
        kinds.add(type(value))
        np.testing.assert_array_equal(masks.segmentation_mask(json.dumps(value), *size), official(value, *size))
    assert kinds == {list, dict}


bitmaps = st.tuples(st.integers(1, 12), st.integers(1, 12), st.integers(0, 2**30)).map(
    lambda t: (np.random.default_rng(t[2]).random(t[:2]) < 0.5).astype(np.uint8)
)


@given(bitmaps)
def test_run_lengths_are_those_of_cocos_library(bitmap: np.ndarray) -> None:
    runs = pycoco.encode(np.asfortranarray(bitmap))
    text = runs["counts"].decode()
    counts = masks.encode_runs(bitmap)
    assert masks.decode_counts(text) == counts
    assert masks.encode_counts(counts) == text
    np.testing.assert_array_equal(masks.decode_runs(counts, *bitmap.shape), bitmap)
    for value in (text, counts):
        found = masks.segmentation_mask(json.dumps({"size": list(bitmap.shape), "counts": value}), *bitmap.shape)
        np.testing.assert_array_equal(found, bitmap)


@given(st.lists(st.integers(0, 2**22), max_size=40))
def test_compressed_counts_come_back(counts: list[int]) -> None:
    assert masks.decode_counts(masks.encode_counts(counts)) == counts


def test_a_png_holds_the_mask_as_zeros_and_ones() -> None:
    text = json.dumps([[1, 1, 6, 1, 6, 4, 1, 4]])
    image = Image.open(io.BytesIO(masks.mask_png(masks.segmentation_mask(text, 7, 9))))
    assert (image.mode, image.size) == ("L", (9, 7))
    np.testing.assert_array_equal(np.array(image), official([[1.0, 1, 6, 1, 6, 4, 1, 4]], 7, 9))


@given(st.lists(bitmaps.map(masks.mask_png) | st.just(b""), max_size=4))
def test_masks_come_back_from_the_list_that_readers_decode(pngs: list[bytes]) -> None:
    written = masks.with_blanks(pngs)
    assert masks.without_blanks(written) == (pngs if any(pngs) else [])
    assert all(written)
    for png, made in zip(pngs, written, strict=bool(any(pngs))):
        if not png:
            assert not np.asarray(Image.open(io.BytesIO(made))).any()


def test_a_mask_of_no_pixel_is_not_taken_for_none() -> None:
    empty = masks.mask_png(np.zeros((3, 4), np.uint8))
    assert masks.without_blanks(masks.with_blanks([empty, b""])) == [empty, b""]
    assert Image.open(io.BytesIO(masks.with_blanks([empty, b""])[1])).size == (4, 3)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_run_lengths_turn_as_viewers_turn_the_image(orientation: int) -> None:
    bitmap = (np.random.default_rng(orientation).random((5, 7)) < 0.4).astype(np.uint8)
    stored = Image.fromarray(bitmap)
    stored.getexif()[0x0112] = orientation
    buffer = io.BytesIO()
    stored.save(buffer, "PNG", exif=stored.getexif())
    shown = np.array(ImageOps.exif_transpose(Image.open(buffer)))
    text = json.dumps({"size": [5, 7], "counts": masks.encode_counts(masks.encode_runs(bitmap)), "note": "kept"})
    moved = masks.transform_segmentation(text, (5, 7), shown.shape[:2], orientation)
    np.testing.assert_array_equal(masks.segmentation_mask(moved, *shown.shape[:2]), shown)
    assert json.loads(moved)["note"] == "kept"
    back = masks.transform_segmentation(moved, shown.shape[:2], (5, 7), {6: 8, 8: 6}.get(orientation, orientation))
    assert json.loads(back) == json.loads(text)


@pytest.mark.parametrize("orientation", range(2, 9))
def test_polygons_turn_with_the_picture(orientation: int) -> None:
    """Corners on the edges of pixels: the drawn mask turns exactly."""
    text = json.dumps([[2, 3, 12, 3, 12, 9, 7, 9, 7, 6, 2, 6]])
    drawn = masks.turn_mask(masks.segmentation_mask(text, 20, 30), orientation)
    moved = masks.transform_segmentation(text, (20, 30), drawn.shape, orientation)
    np.testing.assert_array_equal(masks.segmentation_mask(moved, *drawn.shape), drawn)


def test_polygons_and_run_lengths_scale() -> None:
    moved = masks.transform_segmentation("[[1,2,3.5,4,5,6]]", (10, 20), (5, 60))
    assert json.loads(moved) == [[3, 1, 10.5, 2, 15, 3]]
    bitmap = np.array([[1, 0], [0, 1]], np.uint8)
    text = json.dumps({"size": [2, 2], "counts": masks.encode_runs(bitmap)})
    moved = masks.transform_segmentation(text, (2, 2), (4, 6))
    np.testing.assert_array_equal(masks.segmentation_mask(moved, 4, 6), np.kron(bitmap, np.ones((2, 3), np.uint8)))


def test_what_does_not_move_keeps_its_text() -> None:
    text = "[ [1.50, 2, 3, 4, 5, 6] ]"
    assert masks.transform_segmentation(text, (10, 20), (10, 20), 1) == text
    assert masks.transform_segmentation("", (10, 20), (5, 5), 6) == ""


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "3",
        '["a"]',
        "[[1, 2, 3]]",
        "[[1, 2, null, 4, 5, 6]]",
        "[[1e300, 2, 3, 4, 5, 6]]",
        "[[NaN, 2, 3, 4, 5, 6]]",
        "{}",
        '{"size": [2, 3], "counts": [5]}',
        '{"size": [2, 3], "counts": [7, -1]}',
        '{"size": [2, 3], "counts": "\\n"}',
        '{"size": [2, 3], "counts": "o"}',
        '{"size": [2], "counts": [6]}',
        '{"size": [3, 2], "counts": [6]}',
        f'{{"size": [2, 3], "counts": "{"P" * 50}"}}',
        f"[[{'9' * 400}, 2, 3, 4, 5, 6]]",
    ],
)
def test_what_is_no_segmentation_is_a_record_error(text: str) -> None:
    with pytest.raises(RecordError) as caught:
        masks.segmentation_mask(text, 2, 3)
    assert caught.value.reason == "box:bad_segmentation"


@pytest.mark.parametrize("size", [[0, 0], [0, 5], [2**24, 2**24]])
def test_run_lengths_of_no_picture_are_not_moved(size: list[int]) -> None:
    text = json.dumps({"size": size, "counts": [size[0] * size[1]] if size[0] else []})
    with pytest.raises(RecordError) as caught:
        masks.transform_segmentation(text, (6, 8), (3, 4))
    assert caught.value.reason == "box:bad_segmentation"
