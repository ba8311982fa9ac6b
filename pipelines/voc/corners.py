"""What the numbers of a box mean, which no file says.

1-inclusive     pixels are counted from 1 and both corners lie inside: [xmin - 1, xmax]     Pascal VOC
0-inclusive     pixels are counted from 0 and both corners lie inside: [xmin, xmax + 1]     ImageNet, Tiny ImageNet
0-continuous    edges between pixels, as COCO counts: [xmin, xmax]                          tools that wrote COCO's
                                                                                           numbers into this XML
"""

from __future__ import annotations

from typing import NamedTuple

CORNERS = ("1-inclusive", "0-inclusive", "0-continuous")
STATED = {
    "1-inclusive": (1, 0),
    "0-inclusive": (0, -1),
    "0-continuous": (0, 0),
}  # less continuous, of low and high sides


class Sides(NamedTuple):
    """A box in continuous pixels: pixel i covers [i, i + 1]."""

    ymin: float
    xmin: float
    ymax: float
    xmax: float


def continuous(corners: str, *, xmin: float, ymin: float, xmax: float, ymax: float) -> Sides:
    """The box that four stated numbers mean.

    Example:
        >>> continuous("1-inclusive", xmin=1, ymin=2, xmax=8, ymax=6)
        Sides(ymin=1, xmin=0, ymax=6, xmax=8)
    """
    low, high = STATED[corners]
    return Sides(ymin - low, xmin - low, ymax - high, xmax - high)
