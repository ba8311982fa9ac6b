"""Pixels and boxes against what the original darknet programs gave."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from PIL import Image

tf = pytest.importorskip("tensorflow")

from detector import augment  # noqa: E402
from detector.augment import HashDraws, Placement  # noqa: E402
from detector.config import AugmentConfig  # noqa: E402
from tests.reference_data import oracle_cases  # noqa: E402

EXACT = 5e-7
FAST = 1e-5  # the stream's own sampling, in one TensorFlow operation


@pytest.fixture(scope="module")
def cases(shared):
    """Every array of the image cases by (folder, name), as [h, w, 3], and each folder's picture in [0, 1]."""
    folders = [shared("oracle", name) for name in oracle_cases("pictures")]
    arrays = {(f.name, p.stem): np.load(p).transpose(1, 2, 0) for f in folders for p in sorted(f.glob("*.npy"))}
    pictures = {f.name: np.asarray(Image.open(f / "img.png").convert("RGB"), np.float32) / 255 for f in folders}
    return arrays, pictures


def of_kind(cases, pattern):
    """(picture, numbers of the file's name, expected) of the files that match."""
    arrays, pictures = cases
    found = [(f, re.fullmatch(pattern, name), value) for (f, name), value in arrays.items()]
    out = [(pictures[f], match.groups(), value) for f, match, value in found if match]
    assert out
    return out


def test_every_file_belongs_to_a_test(cases):
    kinds = r"orig|flip|resize_.*|letterbox_.*|place_.*|distort_.*"
    assert all(re.fullmatch(kinds, name) for _, name in cases[0])


def test_original_and_mirrored_picture(cases):
    for picture, _, expected in of_kind(cases, "orig"):
        np.testing.assert_allclose(picture, expected, atol=EXACT)
    for picture, _, expected in of_kind(cases, "flip"):
        np.testing.assert_allclose(picture[:, ::-1], expected, atol=EXACT)


def test_resize(cases):
    for picture, (width, height), expected in of_kind(cases, r"resize_(\d+)x(\d+)"):
        np.testing.assert_allclose(augment.resize_darknet(picture, int(height), int(width)), expected, atol=EXACT)


def test_letterbox(cases):
    for picture, (width, height), expected in of_kind(cases, r"letterbox_(\d+)x(\d+)"):
        np.testing.assert_allclose(augment.darknet_letterbox(picture, (int(height), int(width))), expected, atol=EXACT)


PLACE = r"place_w(\d+)_h(\d+)_dx(m?\d+)_dy(m?\d+)_on_(\d+)x(\d+)"


def numbers(words):
    return [int(word.replace("m", "-")) for word in words]


def test_place(cases):
    for picture, words, expected in of_kind(cases, PLACE):
        width, height, left, top, columns, rows = numbers(words)
        found = augment.place_darknet(picture, height, width, top, left, (rows, columns))
        np.testing.assert_allclose(found, expected, atol=EXACT)


@pytest.mark.parametrize("kind", ["float", "bytes"])
@pytest.mark.parametrize("flip", [False, True])
def test_the_streams_sampling_places_as_darknet(cases, kind, flip):
    for picture, words, expected in of_kind(cases, PLACE):
        width, height, left, top, columns, rows = numbers(words)
        image = picture if kind == "float" else np.round(picture * 255).astype(np.uint8)
        place = np.array([height / rows, width / columns, top / rows, left / columns, flip], np.float32)
        found = augment.place_image(tf.constant(image), tf.constant(place), (rows, columns), "darknet").numpy()
        np.testing.assert_allclose(found[:, ::-1] if flip else found, expected, atol=FAST)


def test_distortion(cases):
    pattern = r"distort_h(-?[\d.]+)_s([\d.]+)_e([\d.]+)"
    for picture, words, expected in of_kind(cases, pattern):
        hue, saturation, exposure = map(float, words)
        colour = tf.constant([hue, saturation, exposure, 0.0])
        off = np.abs(augment.distort(tf.constant(picture), colour).numpy() - expected).max(axis=-1)
        hsv = tf.image.rgb_to_hsv(tf.constant(picture)).numpy()
        quirk = np.abs(hsv[..., 0] + hue - 1) < 1e-6  # darknet paints magenta where hue + shift is exactly 1
        assert quirk.sum() <= 2
        assert off[~quirk].max() < 2e-6


def truths(path):
    """A darknet label file: boxes f64[N, 4] `rel_yxyx` and classes, each class once."""
    rows = np.loadtxt(path, ndmin=2)
    centre, size = rows[:, [2, 1]], rows[:, [4, 3]]
    return np.concatenate([centre - size / 2, centre + size / 2], axis=1), rows[:, 0]


@pytest.mark.parametrize("case", oracle_cases("boxes"))
def test_boxes_under_jitter_and_flip(shared, case):
    folder = shared("oracle", case)
    boxes, classes = truths(folder / "labels" / "a.txt")
    for name, (flip, dx, dy, sx, sy) in json.loads((folder / "case.json").read_text())["cases"].items():
        expected = np.load(folder / f"{name}.npy").reshape(-1, 5)
        expected = expected[expected[:, 0] != 0]
        if name == "cls":  # a labels-only image: its label is no box, in the record already
            assert expected.tolist() == [[999999, 999999, 999999, 999999, 12]]
            continue
        placement = Placement(sy, sx, -dy, -dx, bool(flip))
        placed, keep = augment.place_boxes(boxes, placement, min_visible=0, min_side=augment.DARKNET_LEAST_SIDE)
        low, high = placed[keep, :2], placed[keep, 2:]
        centre, size = (low + high) / 2, high - low
        found = np.column_stack([centre[:, 1], centre[:, 0], size[:, 1], size[:, 0], classes[keep]])
        found, expected = (rows[np.argsort(rows[:, 4])] for rows in (found, expected))  # darknet shuffles them
        assert len(set(expected[:, 4])) == len(expected)
        np.testing.assert_allclose(found, expected, atol=1e-6, err_msg=name)


PICTURE = np.random.default_rng(0).random((37, 61, 3)).astype(np.float32)
CANVAS = (48, 80)


def test_darknet_mode_draws_what_place_image_draws():
    config = AugmentConfig(mode="darknet", jitter=0.4)
    for seed in range(12):
        place = augment.sample_placement(37, 61, config, HashDraws(seed), CANVAS)
        height, width = int(place.scale_y * 48 + 1e-3), int(place.scale_x * 80 + 1e-3)
        expected = augment.place_darknet(
            PICTURE, height, width, int(place.shift_y * 48 + 1e-3), int(place.shift_x * 80 + 1e-3), CANVAS
        )
        if place.flip:
            expected = expected[:, ::-1]
        found = augment.place_image(
            tf.constant(PICTURE), tf.constant(np.array(place, np.float32)), CANVAS, "darknet"
        ).numpy()
        np.testing.assert_allclose(found, expected, atol=5e-5)


def test_release_mode_draws_what_crop_and_resize_draw():
    config = AugmentConfig(mode="release2017", jitter=0.4)
    inside = outside = 0
    for seed in range(12):
        place = augment.sample_placement(37, 61, config, HashDraws(seed), CANVAS)
        height, width = round(37 / place.scale_y), round(61 / place.scale_x)
        top, left = round(-place.shift_y * height), round(-place.shift_x * width)
        inside += top > 0
        outside += top < 0
        expected = augment.resize_darknet(augment.crop_darknet(PICTURE, top, left, height, width), *CANVAS)
        if place.flip:
            expected = expected[:, ::-1]
        found = augment.place_image(
            tf.constant(PICTURE), tf.constant(np.array(place, np.float32)), CANVAS, "release2017"
        ).numpy()
        np.testing.assert_allclose(found[:-1], expected[:-1], atol=5e-5)  # of the last row see resize_darknet
    assert inside > 2
    assert outside > 2


def test_resize_keeps_the_corners_and_a_single_pixel():
    found = augment.resize_darknet(PICTURE, 9, 13)
    np.testing.assert_array_equal(found[0, [0, -1]], PICTURE[0, [0, -1]])
    np.testing.assert_array_equal(augment.resize_darknet(PICTURE[:1, :1], 3, 2), np.tile(PICTURE[:1, :1], (3, 2, 1)))
    np.testing.assert_array_equal(augment.resize_darknet(PICTURE, 37, 61), PICTURE)


def test_place_outside_the_canvas_is_grey():
    assert (augment.place_darknet(PICTURE, 10, 10, 50, 0, CANVAS) == 0.5).all()
