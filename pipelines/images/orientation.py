"""Turning boxes with pixels: EXIF orientations as maps between the stored picture and the one that viewers show.

    1  as stored                      5  transposed
    2  mirrored left to right         6  turned clockwise by a quarter
    3  turned by a half               7  transposed along the other diagonal
    4  mirrored top to bottom         8  turned counter-clockwise by a quarter

Coordinates are relative to the picture, so a point's map needs no size.
"""

from __future__ import annotations

from schemas.boxes import Box

QUARTER_TURNED = (5, 6, 7, 8)
_INVERSE = {6: 8, 8: 6}
_OF_ROTATION = {0: 1, 90: 8, 180: 3, 270: 6}


def inverse(orientation: int) -> int:
    """The orientation that undoes another."""
    return _INVERSE.get(orientation, orientation)


def orientation_of_rotation(degrees: int) -> int:
    """The orientation that turns counter-clockwise by 0, 90, 180 or 270 degrees (Open Images' Rotation)."""
    return _OF_ROTATION[degrees % 360]


def turn_point(y: float, x: float, orientation: int) -> tuple[float, float]:
    """Where a point of the stored picture lies in the shown one, as (y, x)."""
    if orientation in (5, 6, 7, 8):
        y, x = x, y
    down = orientation in (3, 4, 7, 8)
    right = orientation in (2, 3, 6, 7)
    return (1 - y if down else y), (1 - x if right else x)


def turn_box(box: Box, orientation: int) -> Box:
    """A box of the stored picture in the shown one.

    Law: `turn_box(turn_box(b, o), inverse(o))` is b.
    """
    if orientation == 1:
        return box
    ya, xa = turn_point(box.ymin, box.xmin, orientation)
    yb, xb = turn_point(box.ymax, box.xmax, orientation)
    # Corners that were in order are in order again; reversed ones stay reversed.
    swap_y = orientation in (3, 4, 7, 8)
    swap_x = orientation in (2, 3, 6, 7)
    return Box(yb if swap_y else ya, xb if swap_x else xa, ya if swap_y else yb, xa if swap_x else xb)
