"""Anchors and the box coder against values by hand and loops."""

from __future__ import annotations

import math

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

from detector.two_stage.anchor_shapes import anchor_shapes  # noqa: E402
from detector.two_stage.box_coder import MOST_GROWTH, decode, encode  # noqa: E402
from detector.two_stage.grid_anchors import grid_anchors  # noqa: E402


def random_boxes(rng, *shape):
    low = rng.random((*shape, 2)) * 0.8
    return np.concatenate([low, low + 0.01 + rng.random((*shape, 2)) * (1 - low) * 0.9], axis=-1).astype(np.float32)


def test_shapes_of_the_paper_in_pixels():
    shapes = np.array(anchor_shapes((600, 1024))) * [1024, 600]
    assert len(shapes) == 12
    areas = [64**2] * 3 + [128**2] * 3 + [256**2] * 3 + [512**2] * 3
    np.testing.assert_allclose(shapes[:, 0] * shapes[:, 1], areas)
    np.testing.assert_allclose(shapes[:, 0] / shapes[:, 1], [0.5, 1, 2] * 4)
    np.testing.assert_allclose(shapes[2], [64 * math.sqrt(2), 64 / math.sqrt(2)])


def test_anchors_by_hand():
    # A canvas of 2 x 4 cells, one shape of a cell and one of 2 cells by 1.
    found = grid_anchors(tf.constant([[1.0, 1.0], [2.0, 1.0]]), (tf.constant(2), tf.constant(4))).numpy()
    assert found.shape == (16, 4)
    np.testing.assert_allclose(found[0], [0, 0, 0.5, 0.25])
    np.testing.assert_allclose(found[1], [0, -0.125, 0.5, 0.375])  # reaches beyond the picture
    np.testing.assert_allclose(found[(1 * 4 + 2) * 2], [0.5, 0.5, 1, 0.75])
    np.testing.assert_allclose(found[(1 * 4 + 2) * 2 + 1], [0.5, 0.375, 1, 0.875])


def test_anchors_against_a_loop():
    shapes, height, width = [(0.7, 3.2), (5.0, 1.5), (2.0, 2.0)], 3, 5
    wanted = [
        [(j + 0.5 - h / 2) / height, (i + 0.5 - w / 2) / width, (j + 0.5 + h / 2) / height, (i + 0.5 + w / 2) / width]
        for j in range(height)
        for i in range(width)
        for w, h in shapes
    ]
    np.testing.assert_allclose(grid_anchors(tf.constant(shapes), (height, width)), wanted, atol=1e-6)


def test_codes_by_hand():
    anchor = tf.constant([[0.2, 0.1, 0.4, 0.5]])  # centre (.3, .3), width .4, height .2
    box = tf.constant([[0.25, 0.2, 0.65, 0.6]])  # centre (.4, .45), width .4, height .4
    wanted = [[10 * 0.1 / 0.4, 10 * 0.15 / 0.2, 0.0, 5 * math.log(2)]]
    np.testing.assert_allclose(encode(box, anchor), wanted, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(encode(anchor, anchor), [[0, 0, 0, 0]], atol=1e-6)


def test_decoding_undoes_encoding():
    rng = np.random.default_rng(0)
    boxes, anchors = random_boxes(rng, 3, 50), random_boxes(rng, 3, 50)
    np.testing.assert_allclose(decode(encode(boxes, anchors), anchors), boxes, atol=1e-5)
    np.testing.assert_allclose(decode(encode(boxes, anchors[0]), anchors[0]), boxes, atol=1e-5)


def test_wild_codes_and_empty_boxes_stay_finite():
    anchor = tf.constant([[0.4, 0.4, 0.6, 0.6]])
    big = decode(tf.constant([[0.0, 0.0, 1e9, 1e9]]), anchor).numpy()[0]
    np.testing.assert_allclose(big[2] - big[0], 0.2 * math.exp(MOST_GROWTH), rtol=1e-5)
    assert np.isfinite(encode(tf.zeros([1, 4]), anchor)).all()
    assert np.isfinite(encode(anchor, tf.zeros([1, 4]))).all()
