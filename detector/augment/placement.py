"""Where the source image lies on the canvas: the random choice, and boxes there and back. Pure NumPy.

A placement is one linear map for pixels and boxes alike, in shares of the source and of the canvas:

    y' = y * scale_y + shift_y      x' = x * scale_x + shift_x      (then mirrored if flipped)

Three laws of choice (`AugmentConfig.mode`):

- "zoom": the image fitted in, drawn at 1/scale to scale times that size, its aspect ratio changed by a factor, moved.
- "darknet" (pjreddie/darknet, last revision, load_data_detection): the aspect ratio (w + U(-jw, jw)) / (h + U(-jh, jh))
  is fitted in the canvas and lies anywhere in what is free. Where the canvas is not square darknet compares that ratio
  with 1; here it is compared with the canvas's, so that the image always fits.
- "release2017" (the same of 2017-01): each side is moved by U(-j, j) of the image's, in whole pixels, outwards or
  inwards, and what is between is stretched over the canvas.

In the last two a box is kept unless a side of what is visible is below `DARKNET_LEAST_SIDE`.

"Fitted" is as large as the canvas allows, or, with `shorter`, no larger than that its shorter side has so many pixels:
the rule of keep-aspect-ratio resizing, "shorter side 600 pixels, longer side at most 1024" (Huang et al. 2017), where
the canvas is the limit of the longer one. The rest of the canvas is padding.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from detector.augment.draws import Uniform
from detector.config import AugmentConfig

DARKNET_LEAST_SIDE = 0.001  # of the canvas; fill_truth_detection


class Placement(NamedTuple):
    """Where the source image lies on the canvas, in shares of the canvas."""

    scale_y: float
    scale_x: float
    shift_y: float
    shift_x: float
    flip: bool


def letterbox(height: int, width: int, canvas: tuple[int, int] = (1, 1), shorter: float = 0) -> Placement:
    """The image whole and centred on the canvas, its aspect ratio kept.

    Args:
        height, width: of the image in pixels.
        canvas: (height, width) of the canvas; without `shorter` only their ratio counts.
        shorter: most pixels of the canvas that the image's shorter side gets; 0: as many as there are.
    """
    scale_y, scale_x = _fitted(height, width, canvas, shorter)
    return Placement(scale_y, scale_x, (1 - scale_y) / 2, (1 - scale_x) / 2, False)


def sample_placement(
    height: int,
    width: int,
    config: AugmentConfig,
    rng: Uniform,
    canvas: tuple[int, int] = (1, 1),
    shorter: float = 0,
) -> Placement:
    """A random placement by the law of `config.mode`. Takes five numbers, whatever the image.

    Args:
        height, width: of the image in pixels.
        config: the law and its strength.
        rng: gives the numbers.
        canvas: (height, width) of the canvas; without `shorter` only their ratio counts.
        shorter: see `letterbox`: of the image before it is zoomed; "release2017" knows no such limit.
    """
    first, second, third, fourth, coin = (float(number) for number in rng.random(5))
    flip = coin < config.flip
    if config.mode == "darknet":
        jitter_x, jitter_y = config.jitter * width * (2 * first - 1), config.jitter * height * (2 * second - 1)
        scale_y, scale_x = _fitted(height + jitter_y, width + jitter_x, canvas, shorter)
        return Placement(scale_y, scale_x, (1 - scale_y) * third, (1 - scale_x) * fourth, flip)
    if config.mode == "release2017":
        top, bottom = (int(int(height * config.jitter) * (2 * number - 1)) for number in (third, fourth))
        left, right = (int(int(width * config.jitter) * (2 * number - 1)) for number in (first, second))
        kept_y, kept_x = max(height - top - bottom, 1), max(width - left - right, 1)
        return Placement(height / kept_y, width / kept_x, -top / kept_y, -left / kept_x, flip)
    zoom, stretch, at_y, at_x = first, second, third, fourth
    scale = config.scale ** (2 * zoom - 1)
    aspect = config.aspect ** (stretch - 0.5)
    scale_y, scale_x = _fitted(height, width, canvas, shorter)
    scale_y, scale_x = scale_y * scale / aspect, scale_x * scale * aspect
    # With slack (a small image) or overhang (a large one), anywhere between the two ends.
    shift_y = (1 - scale_y) * (0.5 + config.shift * (at_y - 0.5))
    shift_x = (1 - scale_x) * (0.5 + config.shift * (at_x - 0.5))
    return Placement(scale_y, scale_x, shift_y, shift_x, flip)


def _fitted(height: float, width: float, canvas: tuple[int, int], shorter: float) -> tuple[float, float]:
    """(height, width) in shares of the canvas of the largest picture of these proportions in it, see `letterbox`."""
    high, wide = height * canvas[1], width * canvas[0]
    side = max(high, wide)
    scale_y, scale_x = high / side, wide / side
    drawn = min(scale_y * canvas[0], scale_x * canvas[1])
    smaller = shorter / drawn if 0 < shorter < drawn else 1.0
    return scale_y * smaller, scale_x * smaller


def content_box(placement: Placement) -> np.ndarray:
    """Where the picture lies on its canvas, as far as it is on it: f32[4] `rel_yxyx`; the rest is padding."""
    top, left = placement.shift_y, placement.shift_x
    bottom, right = top + placement.scale_y, left + placement.scale_x
    if placement.flip:
        left, right = 1 - right, 1 - left
    return np.array([min(max(edge, 0.0), 1.0) for edge in (top, left, bottom, right)], np.float32)


def place_boxes(
    boxes: np.ndarray, placement: Placement, *, min_visible: float, min_side: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """Boxes on the canvas, clipped to it.

    Args:
        boxes: f[N, 4] `rel_yxyx` of the source image.
        placement: of that image.
        min_visible: least share of a box's area that must stay visible.
        min_side: least height and width of what is visible, in shares of the canvas; `DARKNET_LEAST_SIDE` with
            min_visible 0 is darknet's rule.

    Returns:
        boxes f32[N, 4] on the canvas, and bool[N] which of them are still visible enough.
    """
    scale = np.array([placement.scale_y, placement.scale_x] * 2)
    moved = boxes * scale + np.array([placement.shift_y, placement.shift_x] * 2)
    if placement.flip:
        moved = moved[:, [0, 3, 2, 1]] * [1, -1, 1, -1] + [0, 1, 0, 1]
    clipped = np.minimum(np.maximum(moved, 0), 1)
    sides, whole_sides = clipped[:, 2:] - clipped[:, :2], moved[:, 2:] - moved[:, :2]
    visible = sides[:, 0] * sides[:, 1]
    keep = (visible > 0) & (visible >= min_visible * (whole_sides[:, 0] * whole_sides[:, 1]))
    if min_side:
        keep &= (sides[:, 0] >= min_side) & (sides[:, 1] >= min_side)
    return clipped.astype(np.float32), keep


def unplace_boxes(boxes: np.ndarray, placement: Placement) -> np.ndarray:
    """Boxes f32[..., 4] on the canvas back to the source image; the inverse of `place_boxes` before its clipping."""
    if placement.flip:
        boxes = boxes[..., [0, 3, 2, 1]] * [1, -1, 1, -1] + [0, 1, 0, 1]
    shift = np.array([placement.shift_y, placement.shift_x] * 2)
    return (boxes - shift) / np.array([placement.scale_y, placement.scale_x] * 2)
