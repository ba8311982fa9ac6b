"""Pixels and boxes move together, and come back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

tf = pytest.importorskip("tensorflow")

from detector import augment  # noqa: E402
from detector.augment import Colour, Placement  # noqa: E402
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
