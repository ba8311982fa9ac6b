"""Pixels and boxes move together, and come back."""

from __future__ import annotations

import colorsys
from io import BytesIO

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

tf = pytest.importorskip("tensorflow")

from detector import augment  # noqa: E402
from detector.augment import Colour, HashDraws, Placement  # noqa: E402
from detector.config import AugmentConfig  # noqa: E402

STRONG = AugmentConfig(scale=1.6, aspect=1.4, shift=1.0, flip=0.5, hue=0.2, saturation=1.5, exposure=1.5, grey=0.3)


def test_letterbox_of_a_wide_image_leaves_bands_above_and_below():
    # 100 x 50 on a square: full width, half height, a quarter of the canvas above and below
    assert augment.letterbox(50, 100) == Placement(0.5, 1.0, 0.25, 0.0, False)


def test_plain_placement_of_an_image_of_the_canvas_size_copies_the_pixels():
    image = np.random.default_rng(0).random((8, 8, 3)).astype(np.float32)
    place = tf.constant(np.array(augment.letterbox(8, 8), np.float32))
    np.testing.assert_allclose(augment.place_image(tf.constant(image), place, 8), image, atol=1e-6)


def test_enlarged_image_has_no_grey_rim():
    place = tf.constant(np.array(augment.letterbox(4, 4), np.float32))
    drawn = augment.place_image(tf.ones([4, 4, 3]), place, 16)
    np.testing.assert_allclose(drawn, 1.0)


def test_uncovered_canvas_is_grey():
    place = tf.constant(np.array(augment.letterbox(4, 8), np.float32))
    drawn = augment.place_image(tf.ones([4, 8, 3]), place, 8).numpy()
    np.testing.assert_allclose(drawn[:2], 0.5)
    np.testing.assert_allclose(drawn[2:6], 1.0)
    np.testing.assert_allclose(drawn[6:], 0.5)


@given(st.integers(0, 2**31), st.integers(20, 60), st.integers(20, 60))
def test_a_bright_box_stays_under_its_box(seed, height, width):
    """Draw a white box on black, place both: the white pixels are where the placed box says."""
    rng = np.random.default_rng(seed)
    y0, x0 = rng.integers(2, height // 2), rng.integers(2, width // 2)
    y1, x1 = rng.integers(y0 + 6, height), rng.integers(x0 + 6, width)
    image = np.zeros((height, width, 3), np.float32)
    image[y0:y1, x0:x1] = 1
    box = np.array([[y0 / height, x0 / width, y1 / height, x1 / width]])
    place = augment.sample_placement(height, width, STRONG, rng)
    boxes, keep = augment.place_boxes(box, place, min_visible=0.5)
    if not keep[0]:
        return
    size = 64
    drawn = augment.place_image(tf.constant(image), tf.constant(np.array(place, np.float32)), size).numpy()[..., 0]
    rows, columns = np.where(drawn > 0.75)
    found = np.array([rows.min(), columns.min(), rows.max() + 1, columns.max() + 1]) / size
    np.testing.assert_allclose(found, boxes[0], atol=2.5 / size)


@given(st.integers(0, 2**31))
def test_boxes_inside_the_canvas_come_back(seed):
    rng = np.random.default_rng(seed)
    place = augment.sample_placement(48, 64, AugmentConfig(scale=1.0, shift=1.0, flip=0.5), rng)
    low = rng.random((5, 2)) * 0.5
    boxes = np.concatenate([low, low + 0.1 + 0.4 * rng.random((5, 2))], axis=1)
    placed, keep = augment.place_boxes(boxes, place, min_visible=0.0)
    assert keep.all()
    np.testing.assert_allclose(augment.unplace_boxes(placed, place), boxes, atol=1e-5)


def test_a_box_that_left_the_picture_is_no_target():
    place = Placement(2.0, 2.0, 0.0, 0.0, False)  # the upper left quarter fills the canvas
    boxes = np.array([[0.6, 0.6, 0.9, 0.9], [0.1, 0.1, 0.3, 0.3], [0.4, 0.4, 0.8, 0.8]])
    placed, keep = augment.place_boxes(boxes, place, min_visible=0.3)
    np.testing.assert_array_equal(keep, [False, True, False])  # the third keeps 1/16 of its area
    np.testing.assert_allclose(placed[1], [0.2, 0.2, 0.6, 0.6], atol=1e-6)


def test_the_same_generator_makes_the_same_choices():
    first = augment.sample_placement(40, 50, STRONG, np.random.default_rng(7))
    assert first == augment.sample_placement(40, 50, STRONG, np.random.default_rng(7))
    assert first != augment.sample_placement(40, 50, STRONG, np.random.default_rng(8))


def test_colour_by_hand():
    red = tf.constant([[[0.5, 0.0, 0.0]]])
    third = augment.distort(red, tf.constant([1 / 3, 1.0, 1.0, 0.0]))
    np.testing.assert_allclose(third[0, 0], [0, 0.5, 0], atol=1e-6)  # a third of a turn: red to green
    brighter = augment.distort(red, tf.constant([0.0, 1.0, 1.5, 0.0]))
    np.testing.assert_allclose(brighter[0, 0], [0.75, 0, 0], atol=1e-6)
    grey = augment.distort(red, tf.constant([0.0, 1.0, 1.0, 1.0]))
    np.testing.assert_allclose(grey[0, 0], [0.5, 0.5, 0.5], atol=1e-6)


def test_no_distortion_changes_nothing():
    image = np.random.default_rng(0).random((4, 4, 3)).astype(np.float32)
    same = augment.distort(tf.constant(image), tf.constant(np.array(augment.PLAIN_COLOUR, np.float32)))
    np.testing.assert_allclose(same, image, atol=1e-5)
    assert augment.sample_colour(AugmentConfig(), np.random.default_rng(0)) == Colour(0.0, 1.0, 1.0, False)


def test_distortion_is_that_of_hsv():
    """Against the standard library's conversion, with saturation and value not limited before the end."""
    rng = np.random.default_rng(3)
    image = rng.random((5, 6, 3)).astype(np.float32)
    image[0, 0] = image[0, 0, 0]  # grey: no hue
    image[0, 1] = 0
    found = augment.distort(tf.constant(image), tf.constant([0.3, 1.4, 1.3, 0.0])).numpy()
    for y in range(5):
        for x in range(6):
            hue, saturation, value = colorsys.rgb_to_hsv(*map(float, image[y, x]))
            pure = np.array(colorsys.hsv_to_rgb((hue + 0.3) % 1, 1, 1))
            expected = np.clip(1.3 * value * (1 - 1.4 * saturation * (1 - pure)), 0, 1)
            np.testing.assert_allclose(found[y, x], expected, atol=2e-6)


def test_last_stretch_compiled_and_not_agree():
    rng = np.random.default_rng(4)
    drawn = tf.constant(rng.random((8, 10, 3)).astype(np.float32) * 255)
    index = tf.range(10)
    colour = tf.constant([0.2, 1.5, 0.7, 0.0])
    from detector.augment.pixels import finish_fused

    for first, last in ((0, 10), (2, 5), (3, 10), (4, 4)):
        covered = (index >= first) & (index < last)
        for chosen in (colour, None):
            plain = augment.finish(drawn, covered[:8], covered, chosen, 1 / 255)
            fused = finish_fused(drawn, covered[:8], covered, chosen, 1 / 255)
            np.testing.assert_allclose(fused, plain, atol=2e-6)


def test_letterbox_on_a_canvas_that_is_no_square():
    assert augment.letterbox(50, 100, (100, 100)) == augment.letterbox(50, 100)
    # 100 x 50 on 160 x 96 (wide x high): full width would be 160 x 80
    place = augment.letterbox(50, 100, (96, 160))
    np.testing.assert_allclose(place[:4], [80 / 96, 1, 8 / 96, 0], atol=1e-12)
    tall = augment.letterbox(100, 50, (96, 160))  # full height: 48 x 96
    np.testing.assert_allclose(tall[:4], [1, 48 / 160, 0, 56 / 160], atol=1e-12)
    image = np.random.default_rng(0).random((5, 10, 3)).astype(np.float32)
    drawn = augment.place_image(
        tf.constant(image), tf.constant(np.array(augment.letterbox(5, 10, (8, 10)), np.float32)), (8, 10)
    )
    assert drawn.shape == (8, 10, 3)
    relative = (np.arange(8) + 0.5) / 8
    inside = (relative >= 1.5 / 8) & (relative <= 6.5 / 8)
    np.testing.assert_allclose(drawn.numpy()[~inside], 0.5)
    np.testing.assert_allclose(drawn.numpy()[2], (image[0] + image[1]) / 2, atol=1e-6)


@pytest.mark.parametrize("mode", ["zoom", "darknet", "release2017"])
def test_size_as_number_pair_and_tensor_and_bytes_or_floats(mode):
    image = np.random.default_rng(1).integers(0, 255, (20, 30, 3), np.uint8)
    place = tf.constant(np.array(augment.sample_placement(20, 30, AugmentConfig(mode=mode), HashDraws(1)), np.float32))
    first = augment.place_image(tf.constant(image), place, 16, mode)
    for size in ((16, 16), tf.constant([16, 16])):
        np.testing.assert_array_equal(augment.place_image(tf.constant(image), place, size, mode), first)
    floats = augment.place_image(tf.constant(image.astype(np.float32) / 255), place, 16, mode)
    np.testing.assert_allclose(floats, first, atol=1e-6 if mode != "zoom" else 3e-3)


def bilinear(image, rows, columns, place, height, width):
    """The law "zoom" pixel by pixel: centres at i + 0.5, the border goes on for half a pixel, grey beyond."""
    out = np.full((height, width, 3), 0.5)
    for i in range(height):
        for j in range(width):
            column = width - 1 - j if place.flip else j
            y = ((i + 0.5) / height - place.shift_y) / place.scale_y
            x = ((column + 0.5) / width - place.shift_x) / place.scale_x
            if not (0 <= y <= 1 and 0 <= x <= 1):
                continue
            y, x = np.clip(y * rows - 0.5, 0, rows - 1), np.clip(x * columns - 0.5, 0, columns - 1)
            y0, x0 = int(y), int(x)
            y1, x1, dy, dx = min(y0 + 1, rows - 1), min(x0 + 1, columns - 1), y - y0, x - x0
            top, bottom = (image[k, x0] * (1 - dx) + image[k, x1] * dx for k in (y0, y1))
            out[i, j] = top * (1 - dy) + bottom * dy
    return out


def test_zoom_pixel_by_pixel():
    image = np.random.default_rng(2).random((14, 19, 3)).astype(np.float32)
    for seed in range(8):
        place = augment.sample_placement(14, 19, STRONG, HashDraws(seed), (12, 16))
        found = augment.place_image(tf.constant(image), tf.constant(np.array(place, np.float32)), (12, 16)).numpy()
        np.testing.assert_allclose(found, bilinear(image, 14, 19, place, 12, 16), atol=2e-5)


@pytest.mark.parametrize(("side", "ratio"), [(15, 1), (16, 2), (32, 4), (64, 8), (200, 8)])
def test_a_picture_that_shrinks_to_half_is_averaged_first(side, ratio):
    image = np.random.default_rng(side).random((side, side, 3)).astype(np.float32)
    place = augment.letterbox(side, side)
    found = augment.place_image(tf.constant(image), tf.constant(np.array(place, np.float32)), 8).numpy()
    blocks = image[: side // ratio * ratio, : side // ratio * ratio].reshape(
        side // ratio, ratio, side // ratio, ratio, 3
    )
    small = blocks.mean(axis=(1, 3))
    np.testing.assert_allclose(found, bilinear(small, side // ratio, side // ratio, place, 8, 8), atol=2e-5)


def test_a_jpeg_decoded_small_looks_like_one_decoded_whole():
    from PIL import Image

    rng = np.random.default_rng(0)
    photo = Image.fromarray(rng.integers(0, 255, (9, 11, 3), np.uint8)).resize((203, 149), Image.Resampling.BICUBIC)
    buffer = BytesIO()
    photo.save(buffer, "JPEG", quality=95, subsampling=0)
    place = tf.constant(np.array(augment.sample_placement(149, 203, STRONG, HashDraws(5)), np.float32))
    whole = augment.place_image(tf.io.decode_jpeg(buffer.getvalue()), place, 32)
    for ratio in (2, 4):
        small = tf.io.decode_jpeg(buffer.getvalue(), ratio=ratio)
        extent = tf.constant([149 / ratio, 203 / ratio])
        found = augment.finish(*augment.sample_source(small, place, 32, "zoom", extent), None, 1 / 255)
        assert float(tf.reduce_mean(tf.abs(found - whole))) < 3e-3
        assert float(tf.reduce_max(tf.abs(found - whole))) < 4e-2


def test_darknets_placement_by_hand():
    class Fixed:
        def __init__(self, *numbers):
            self.numbers = numbers

        def random(self, count):
            return self.numbers[:count]

    config = AugmentConfig(mode="darknet", jitter=0.2, flip=0.5)
    # 100 wide, 50 high, both jitters at their middle: aspect 2, so half of the height is free, a quarter of that above
    assert augment.sample_placement(50, 100, config, Fixed(0.5, 0.5, 0.25, 0.9, 0.7)) == Placement(
        0.5, 1, 0.125, 0, False
    )
    # the width at its least, the height at its most: 80 / 60
    place = augment.sample_placement(50, 100, config, Fixed(0.0, 1.0, 0.0, 0.0, 0.1))
    np.testing.assert_allclose(place, [0.75, 1, 0, 0, True])
    config = AugmentConfig(mode="release2017", jitter=0.2, flip=0)
    # all at their least: each side moves outwards by 20 % of the image: a window of 140 x 70 pixels
    place = augment.sample_placement(50, 100, config, Fixed(0.0, 0.0, 0.0, 0.0, 0.1))
    np.testing.assert_allclose(place, [50 / 70, 100 / 140, 10 / 70, 20 / 140, False])
    # all at their most: inwards, a window of 60 x 30
    place = augment.sample_placement(50, 100, config, Fixed(1.0, 1.0, 1.0, 1.0, 0.1))
    np.testing.assert_allclose(place, [50 / 30, 100 / 60, -10 / 30, -20 / 60, False])


def test_darknets_factors_are_as_often_above_one_as_below():
    config = AugmentConfig(mode="darknet", saturation=1.5, exposure=1.5, hue=0.1)
    drawn = np.array([augment.sample_colour(config, HashDraws("colour", k)) for k in range(4000)])
    for column in (1, 2):
        above = drawn[drawn[:, column] >= 1, column]
        assert abs(len(above) / 4000 - 0.5) < 0.03
        assert abs(above.mean() - 1.25) < 0.02  # uniform between 1 and 1.5, not log-uniform (1.233)
        assert abs((1 / drawn[drawn[:, column] < 1, column]).mean() - 1.25) < 0.02
    assert abs(drawn[:, 0].mean()) < 0.005
    assert np.abs(drawn[:, 0]).max() <= 0.1


def test_a_box_is_dropped_by_its_side_in_darknets_modes():
    boxes = np.array([[0, 0, 0.5, 0.0009], [0, 0, 0.5, 0.0011], [0.9, 0.9, 1, 1], [0, 0, 0.5, 0.5]])
    place = Placement(2, 1, 0, 0, False)  # the lower half of the image is outside
    _, keep = augment.place_boxes(boxes, place, min_visible=0, min_side=augment.DARKNET_LEAST_SIDE)
    assert keep.tolist() == [False, True, False, True]


def test_hash_draws_are_uniform_independent_and_a_function_of_their_name():
    one = HashDraws(0, "augment", 7)
    first = [*one.random(3), *one.random(13)]
    assert first == list(HashDraws(0, "augment", 7).random(16))
    assert not set(first) & set(HashDraws(0, "augment", 8).random(16))
    many = np.array([HashDraws(0, "augment", k).random(9) for k in range(3000)])
    assert many.min() >= 0
    assert many.max() < 1
    np.testing.assert_allclose(many.mean(axis=0), 0.5, atol=0.025)
    np.testing.assert_allclose(np.corrcoef(many.T), np.eye(9), atol=0.08)
    np.testing.assert_allclose(np.histogram(many, 10, (0, 1))[0] / many.size, 0.1, atol=0.006)
