"""Boxes: one form inside, named conversions at the edges.

Inside the project a box is `rel_yxyx`: (ymin, xmin, ymax, xmax) relative to the image, in [0, 1], continuous
coordinates, so that pixel i covers [i, i + 1] and width = xmax - xmin (rule R9). The other forms live at named edges:

    COCO        `xywh`           pixels, 0-based left top corner, float width and height
    VOC         `voc_xyxy`       pixels, 1-based, both corners inside the box
    YOLO        `center_xywh`    relative (or in cells), centre and size

Shape shorthand: N, M boxes.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]


class Box(NamedTuple):
    """One box in `rel_yxyx`."""

    ymin: float
    xmin: float
    ymax: float
    xmax: float

    @property
    def height(self) -> float:
        """Share of the image's height."""
        return self.ymax - self.ymin

    @property
    def width(self) -> float:
        """Share of the image's width."""
        return self.xmax - self.xmin

    @property
    def area(self) -> float:
        """Share of the image's area, 0 for a reversed box."""
        return max(self.height, 0.0) * max(self.width, 0.0)

    def is_finite(self) -> bool:
        """Whether all four numbers are numbers."""
        return all(math.isfinite(value) for value in self)

    def clip(self) -> Box:
        """The part of the box that lies inside the image."""
        return Box(*(min(max(value, 0.0), 1.0) for value in self))


def box_from_coco_xywh(x: float, y: float, w: float, h: float, *, height: int, width: int) -> Box:
    """COCO's pixels (x, y, w, h) to `rel_yxyx`.

    Example:
        >>> box_from_coco_xywh(16, 9, 40, 27, height=64, width=64)
        Box(ymin=0.140625, xmin=0.25, ymax=0.5625, xmax=0.875)
    """
    return Box(y / height, x / width, (y + h) / height, (x + w) / width)


def box_from_voc_xyxy(xmin: float, ymin: float, xmax: float, ymax: float, *, height: int, width: int) -> Box:
    """VOC's 1-based inclusive corners to `rel_yxyx`: 1 is taken from the minima only.

    Example:
        >>> box_from_voc_xyxy(1, 1, 100, 50, height=50, width=100)  # the whole image
        Box(ymin=0.0, xmin=0.0, ymax=1.0, xmax=1.0)
    """
    return Box((ymin - 1) / height, (xmin - 1) / width, ymax / height, xmax / width)


def box_to_coco_xywh(box: Box, *, height: int, width: int) -> tuple[float, float, float, float]:
    """`rel_yxyx` to COCO's pixels; the inverse of `box_from_coco_xywh`."""
    return box.xmin * width, box.ymin * height, box.width * width, box.height * height


def rotate_box(box: Box, quarter_turns: int) -> Box:
    """The box after the image was turned counter-clockwise by `quarter_turns` times 90 degrees.

    Law: four turns give the box back.
    """
    for _ in range(quarter_turns % 4):
        box = Box(1 - box.xmax, box.ymin, 1 - box.xmin, box.ymax)
    return box


def flip_box(box: Box) -> Box:
    """The box after the image was mirrored left to right."""
    return Box(box.ymin, 1 - box.xmax, box.ymax, 1 - box.xmin)


def yxyx_to_center_xywh(boxes: Floats) -> Floats:
    """f[..., 4] (ymin, xmin, ymax, xmax) to (x, y, w, h) with the centre first."""
    ymin, xmin, ymax, xmax = np.moveaxis(np.asarray(boxes), -1, 0)
    return np.stack([(xmin + xmax) / 2, (ymin + ymax) / 2, xmax - xmin, ymax - ymin], axis=-1)


def center_xywh_to_yxyx(boxes: Floats) -> Floats:
    """f[..., 4] (x, y, w, h) with the centre first to (ymin, xmin, ymax, xmax); inverse of the function above."""
    x, y, w, h = np.moveaxis(np.asarray(boxes), -1, 0)
    return np.stack([y - h / 2, x - w / 2, y + h / 2, x + w / 2], axis=-1)


def area(boxes: Floats) -> Floats:
    """f[..., 4] to f[...]; a reversed box has area 0."""
    boxes = np.asarray(boxes)
    return np.maximum(boxes[..., 2] - boxes[..., 0], 0) * np.maximum(boxes[..., 3] - boxes[..., 1], 0)


def pairwise_iou(a: Floats, b: Floats) -> Floats:
    """Intersection over union of every box of `a` with every box of `b`.

    Args:
        a: f[N, 4] in any corner form with y first.
        b: f[M, 4] in the same form.

    Returns:
        f[N, M] in [0, 1]; 0 where both boxes are empty. Symmetric; 1 for a box of positive area with itself.
    """
    a, b = np.asarray(a), np.asarray(b)
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    inter = np.prod(np.maximum(high - low, 0), axis=-1)
    union = area(a)[:, None] + area(b)[None, :] - inter
    return np.divide(inter, union, out=np.zeros_like(inter), where=union > 0)
