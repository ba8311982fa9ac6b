"""What the numbers of a box mean, which no file says.

1-inclusive     pixels are counted from 1 and both corners lie inside: [xmin - 1, xmax]     Pascal VOC
0-inclusive     pixels are counted from 0 and both corners lie inside: [xmin, xmax + 1]     ImageNet, Tiny ImageNet
0-continuous    edges between pixels, as COCO counts: [xmin, xmax]                          tools that wrote COCO's
                                                                                           numbers into this XML
"""

from __future__ import annotations

from typing import NamedTuple

CORNERS = ("1-inclusive", "0-inclusive", "0-continuous")


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
    if corners == "1-inclusive":
        return Sides(ymin - 1, xmin - 1, ymax, xmax)
    if corners == "0-inclusive":
        return Sides(ymin, xmin, ymax + 1, xmax + 1)
    return Sides(ymin, xmin, ymax, xmax)
