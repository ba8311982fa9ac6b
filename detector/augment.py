"""Random changes of an image and its boxes together.

The choice is pure NumPy and comes from a generator that the caller seeds with the position in the stream, so that a
resumed run makes the same choices (rules R5, R10). A placement is one linear map for pixels and boxes alike:

    y' = y * scale_y + shift_y      x' = x * scale_x + shift_x      (relative coordinates; then mirrored if flipped)

Uncovered canvas is grey, 0.5, as in darknet's letterbox.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from detector.config import AugmentConfig


class Placement(NamedTuple):
    """Where the source image lies on the canvas, in shares of the canvas."""

    scale_y: float
    scale_x: float
    shift_y: float
    shift_x: float
    flip: bool


class Colour(NamedTuple):
    """darknet's distortion in HSV: hue shift in turns, factors for saturation and value; and whether to drop colour."""

    hue: float
    saturation: float
    exposure: float
    grey: bool


PLAIN_COLOUR = Colour(0.0, 1.0, 1.0, False)


def letterbox(height: int, width: int) -> Placement:
    """The image whole and centred on a square canvas, its aspect ratio kept."""
    side = max(height, width)
    scale_y, scale_x = height / side, width / side
    return Placement(scale_y, scale_x, (1 - scale_y) / 2, (1 - scale_x) / 2, False)


def sample_placement(height: int, width: int, config: AugmentConfig, rng: np.random.Generator) -> Placement:
    """A random placement; log-uniform in scale and aspect. Takes the same number of draws whatever the image."""
    zoom, stretch, at_y, at_x, coin = rng.random(5)
    scale = float(config.scale ** (2 * zoom - 1))
    aspect = float(config.aspect ** (stretch - 0.5))
    base = letterbox(height, width)
    scale_y, scale_x = base.scale_y * scale / aspect, base.scale_x * scale * aspect
    # With slack (a small image) or overhang (a large one), anywhere between the two ends.
    shift_y = (1 - scale_y) * (0.5 + config.shift * (at_y - 0.5))
    shift_x = (1 - scale_x) * (0.5 + config.shift * (at_x - 0.5))
    return Placement(scale_y, scale_x, float(shift_y), float(shift_x), bool(coin < config.flip))


def sample_colour(config: AugmentConfig, rng: np.random.Generator) -> Colour:
    """A random distortion; factors are s or 1/s with s log-uniform up to the configured one."""
    hue, saturation, exposure, coin = rng.random(4)
    return Colour(
        float(config.hue * (2 * hue - 1)),
        float(config.saturation ** (2 * saturation - 1)),
        float(config.exposure ** (2 * exposure - 1)),
        bool(coin < config.grey),
    )


def place_boxes(boxes: np.ndarray, placement: Placement, *, min_visible: float) -> tuple[np.ndarray, np.ndarray]:
    """Boxes on the canvas, clipped to it.

    Args:
        boxes: f32[N, 4] `rel_yxyx` of the source image.
        placement: of that image.
        min_visible: least share of a box's area that must stay visible.

    Returns:
        boxes f32[N, 4] on the canvas, and bool[N] which of them are still visible enough.
    """
    scale = np.array([placement.scale_y, placement.scale_x] * 2)
    moved = boxes * scale + np.array([placement.shift_y, placement.shift_x] * 2)
    if placement.flip:
        moved = moved[:, [0, 3, 2, 1]] * [1, -1, 1, -1] + [0, 1, 0, 1]
    clipped = np.clip(moved, 0, 1)
    whole = np.prod(moved[:, 2:] - moved[:, :2], axis=1)
    visible = np.prod(clipped[:, 2:] - clipped[:, :2], axis=1)
    keep = (visible > 0) & (visible >= min_visible * whole)
    return clipped.astype(np.float32), keep


def unplace_boxes(boxes: np.ndarray, placement: Placement) -> np.ndarray:
    """Boxes f32[..., 4] on the canvas back to the source image; the inverse of `place_boxes` before its clipping."""
    if placement.flip:
        boxes = boxes[..., [0, 3, 2, 1]] * [1, -1, 1, -1] + [0, 1, 0, 1]
    shift = np.array([placement.shift_y, placement.shift_x] * 2)
    return (boxes - shift) / np.array([placement.scale_y, placement.scale_x] * 2)


def place_image(image: tf.Tensor, placement: tf.Tensor, size: int) -> tf.Tensor:
    """Draw an image on a grey square canvas, bilinear, pixel centres at i + 0.5.

    Args:
        image: f32[h, w, 3] in [0, 1].
        placement: f32[5], the numbers of a `Placement`.
        size: of the canvas in pixels.

    Returns:
        f32[size, size, 3].
    """
    source = tf.cast(tf.shape(image)[:2], tf.float32)
    scale, shift = placement[0:2], placement[2:4]
    centers = (tf.range(size, dtype=tf.float32)[:, None] + 0.5) / size
    relative = (centers - shift) / scale  # [size, 2]: where each row and column of the canvas lies in the source
    edged = tf.pad(image, [[1, 1], [1, 1], [0, 0]], mode="SYMMETRIC")  # the outer half of a border pixel is image too
    at = tf.gather(relative, [0, size - 1]) * source + 0.5  # first and last, in pixels of the edged source
    box = tf.reshape(at / (source + 1), [1, 4])
    drawn = tf.image.crop_and_resize(edged[None], box, [0], [size, size])[0]
    inside = (relative >= 0) & (relative <= 1)
    drawn = tf.where((inside[:, None, 0] & inside[None, :, 1])[..., None], drawn, 0.5)
    return tf.cond(placement[4] > 0.5, lambda: tf.reverse(drawn, [1]), lambda: drawn)


def distort(image: tf.Tensor, colour: tf.Tensor) -> tf.Tensor:
    """Apply a `Colour` f32[4] to an image f32[h, w, 3] in [0, 1]."""
    hsv = tf.image.rgb_to_hsv(tf.clip_by_value(image, 0.0, 1.0))
    hue = tf.math.floormod(hsv[..., 0] + colour[0], 1.0)
    saturation = tf.minimum(hsv[..., 1] * colour[1] * (1 - colour[3]), 1.0)
    value = tf.minimum(hsv[..., 2] * colour[2], 1.0)
    return tf.image.hsv_to_rgb(tf.stack([hue, saturation, value], axis=-1))
