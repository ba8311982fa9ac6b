"""Truths and detections of a whole evaluation as columns, and how much two boxes overlap.

Image numbers and class numbers are those of the caller; rows stand in any order unless a function says so. Boxes are
in pixels of the image, continuous: columns hold COCO's (x, y, width, height), whose exact numbers decide at the edge of
an overlap, and give (x0, y0, x1, y1).

Shape shorthand: T truths, D detections.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Pairs = set[tuple[int, int]]  # (image, class)


class Columns:
    """Arrays of one length, side by side."""

    xywh: Floats

    @cached_property
    def box(self) -> Floats:
        """f64[N, 4] corners (x0, y0, x1, y1)."""
        return np.concatenate([self.xywh[:, :2], self.xywh[:, :2] + self.xywh[:, 2:]], axis=1)

    @property
    def columns(self) -> tuple[Any, ...]:
        """The arrays, in the order of the fields."""
        return tuple(getattr(self, column.name) for column in fields(self))  # type: ignore[arg-type]

    def __len__(self) -> int:
        return len(self.columns[0])

    def take(self, rows: Any) -> Self:
        """The rows of a mask, of numbers or of a slice."""
        return type(self)(*(column[rows] for column in self.columns))

    @classmethod
    def join(cls, parts: Sequence[Self]) -> Self:
        """Rows one below the other; at least one part."""
        return cls(*(np.concatenate(columns) for columns in zip(*(part.columns for part in parts), strict=True)))


@dataclass(frozen=True)
class Truths(Columns):
    """Boxes that people drew.

    Attributes:
        image, klass: i64[T].
        xywh: f64[T, 4].
        area: f64[T] pixels squared of the image: of the mask where the dataset states it, else of the box.
        ignored: bool[T] crowds, groups and difficult boxes: neither hits nor misses.
        group: bool[T] a box around several objects (Open Images' group-of).
    """

    image: Ints
    klass: Ints
    xywh: Floats
    area: Floats
    ignored: Bools
    group: Bools


@dataclass(frozen=True)
class Found(Columns):
    """Detections: image, klass i64[D], xywh f64[D, 4], score f64[D]."""

    image: Ints
    klass: Ints
    xywh: Floats
    score: Floats

    def best_first(self) -> Found:
        """By falling score; equal scores keep their order."""
        return self.take(np.argsort(-self.score, kind="stable"))


def xywh_of(corners: Any) -> Floats:
    """Corners f[N, 4] (x0, y0, x1, y1) as (x, y, width, height)."""
    corners = np.array(corners, np.float64).reshape(-1, 4)
    return np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], axis=1)


def pairwise_overlap(a: Floats, b: Floats, *, edge: float = 0.0, over: str = "union") -> Floats:
    """f64[N, M] overlaps of boxes f64[N, 4] and f64[M, 4]; 0 where the denominator is 0.

    Args:
        a, b: (x0, y0, x1, y1).
        edge: 1 for VOC's devkit, whose corners are pixels that both belong to the box: a side is x1 - x0 + 1.
        over: "union" for the intersection over the union; "first" for that over the area of `a` (Open Images' IoA).
    """
    low, high = np.maximum(a[:, None, :2], b[None, :, :2]), np.minimum(a[:, None, 2:], b[None, :, 2:])
    inter = np.prod(np.maximum(high - low + edge, 0), axis=-1)
    whole = _area(a, edge)[:, None]
    if over == "union":
        whole = whole + _area(b, edge)[None] - inter
    return np.divide(inter, whole, out=np.zeros_like(inter), where=np.broadcast_to(whole > 0, inter.shape))


def _area(boxes: Floats, edge: float) -> Floats:
    return np.prod(np.maximum(boxes[:, 2:] - boxes[:, :2] + edge, 0), axis=-1)


def was_looked_for(truths: Truths, found: Found, verified: Pairs) -> Bools:
    """bool[D] whether somebody looked for a detection's class in its image: it has a box there, or is `verified`."""
    known = verified | set(zip(truths.image.tolist(), truths.klass.tolist(), strict=True))
    pairs = zip(found.image.tolist(), found.klass.tolist(), strict=True)
    return np.fromiter((pair in known for pair in pairs), bool, len(found))


def by_image(found: Ints, truth: Ints) -> Iterator[tuple[Ints, Ints]]:
    """Row numbers (of detections, of truths) of every image that has detections, each in their given order.

    Args:
        found, truth: image numbers, or any other key by which both are cut.
    """
    order, truth_order = np.argsort(found, kind="stable"), np.argsort(truth, kind="stable")
    keys, starts = np.unique(found[order], return_index=True)
    low = np.searchsorted(truth[truth_order], keys, "left")
    high = np.searchsorted(truth[truth_order], keys, "right")
    for number, end in enumerate([*starts[1:].tolist(), len(order)][: len(keys)]):
        yield order[starts[number] : end], truth_order[low[number] : high[number]]
