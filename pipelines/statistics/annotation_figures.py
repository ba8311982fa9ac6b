"""Figures over rows of annotations tables: classes, sources and confidences, flags, where boxes lie."""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

from pipelines.statistics.batches import ABSENT, BOX, LABEL, AnnotationBatch
from pipelines.statistics.figure import Figure
from pipelines.statistics.keyed_counts import KeyedCounts, as_dict, count_keys, merge_counts, no_counts
from pipelines.statistics.sketches import (
    KeyedSketches,
    hopeful,
    keyed_sketches,
    no_sketches,
    side_by_side,
    sketch_bytes,
)
from schemas.features import FLAGS

WHAT = ("box", "label", "absent")
CONFIDENCE_BINS = 20
GRID = 32
SHARE_BINS = 20
DETAIL_NAMES = ("mask", "segmentation", "keypoints", "parts")
WAITING = 1 << 16
_MAX_CLASS = 1 << 31

Counts = NDArray[np.int64]


class SourceRow(msgspec.Struct, frozen=True):
    """What one source says.

    Attributes:
        source: its name, "" where none is stated.
        what: "box", "label" or "absent".
        verified: 1 by a person, 0 not, -1 not stated.
        count: how many statements.
        bins: by confidence, twenty equal bins of [0, 1], then those outside.
    """

    source: str
    what: str
    verified: int
    count: int
    bins: tuple[int, ...]


class ClassCounts(Figure[AnnotationBatch, KeyedCounts, dict[int, tuple[int, ...]]]):
    """By class id: boxes, labels that say it is present, labels that say it is absent."""

    def zero(self) -> KeyedCounts:
        return no_counts(3)

    def add(self, state: KeyedCounts, batch: AnnotationBatch) -> KeyedCounts:
        return merge_counts(state, count_keys(np.maximum(batch.class_id, 0), 3, batch.what))

    def merge(self, left: KeyedCounts, right: KeyedCounts) -> KeyedCounts:
        return merge_counts(left, right)

    def result(self, state: KeyedCounts) -> dict[int, tuple[int, ...]]:
        return as_dict(state)


class Sources(Figure[AnnotationBatch, dict[tuple[str, int, int], Counts], tuple[SourceRow, ...]]):
    """By source, kind of statement and verification: a histogram of confidences."""

    def zero(self) -> dict[tuple[str, int, int], Counts]:
        return {}

    def add(self, state: dict[tuple[str, int, int], Counts], batch: AnnotationBatch) -> dict:
        inside = (batch.confidence >= 0) & (batch.confidence <= 1)
        scaled = np.where(inside, batch.confidence, np.float32(0)) * np.float32(CONFIDENCE_BINS)
        bins = np.where(inside, np.minimum(scaled.astype(np.int64), CONFIDENCE_BINS - 1), CONFIDENCE_BINS)
        width = CONFIDENCE_BINS + 1
        key = (batch.source.codes.astype(np.int64) * 3 + batch.what) * 3 + batch.verified + 1
        found = count_keys(key, width, bins)
        fresh: dict[tuple[str, int, int], Counts] = {}
        for number, row in zip(found.keys.tolist(), found.counts, strict=True):
            name = (batch.source.names[number // 9], number // 3 % 3, number % 3 - 1)
            fresh[name] = fresh[name] + row if name in fresh else row
        return self.merge(state, fresh)

    def merge(self, left: dict[tuple[str, int, int], Counts], right: dict[tuple[str, int, int], Counts]) -> dict:
        both = dict(left)
        for key, row in right.items():
            both[key] = both[key] + row if key in both else row
        return both

    def result(self, state: dict[tuple[str, int, int], Counts]) -> tuple[SourceRow, ...]:
        return tuple(
            SourceRow(source, WHAT[what], verified, int(row.sum()), tuple(row.tolist()))
            for (source, what, verified), row in sorted(state.items())
        )


class Tally(Figure[AnnotationBatch, Counts, tuple[int, ...]]):
    """A table of numbers of fixed size; subclasses say how a batch counts."""

    size: int

    def zero(self) -> Counts:
        return np.zeros(self.size, np.int64)

    def merge(self, left: Counts, right: Counts) -> Counts:
        return left + right

    def result(self, state: Counts) -> tuple[int, ...]:
        return tuple(state.tolist())


class Flags(Tally):
    """Of all boxes, for each flag: how many are not said, no, yes; then how many have each of DETAIL_NAMES."""

    size = 3 * len(FLAGS) + len(DETAIL_NAMES)

    def add(self, state: Counts, batch: AnnotationBatch) -> Counts:
        boxes = batch.what == BOX
        flags = batch.flags[boxes]
        said = [(flags == value).sum(axis=0) for value in (-1, 0, 1)]
        return state + np.concatenate([np.stack(said, axis=1).ravel(), batch.details[boxes].sum(axis=0)])


class Centres(Tally):
    """Where box centres lie: GRID x GRID cells of the image, row by row from the top."""

    size = GRID * GRID

    def add(self, state: Counts, batch: AnnotationBatch) -> Counts:
        box = _boxes(batch)
        row, column = (
            np.clip(((box[:, side] + box[:, side + 2]) * np.float32(GRID / 2)).astype(np.int64), 0, GRID - 1)
            for side in (0, 1)
        )
        return state + np.bincount(row * GRID + column, minlength=self.size)


class Shares(Tally):
    """The square root of the share of the image that a box covers, in SHARE_BINS equal bins."""

    size = SHARE_BINS

    def add(self, state: Counts, batch: AnnotationBatch) -> Counts:
        box = _boxes(batch).astype(np.float64)
        share = np.sqrt(np.maximum(box[:, 2] - box[:, 0], 0) * np.maximum(box[:, 3] - box[:, 1], 0))
        return state + np.bincount(
            np.clip((share * SHARE_BINS).astype(np.int64), 0, SHARE_BINS - 1), minlength=self.size
        )


def _boxes(batch: AnnotationBatch) -> NDArray[np.float32]:
    """f[B, 4], the boxes of a batch that are numbers."""
    box = batch.box[batch.what == BOX]
    return box[np.isfinite(box).all(axis=1)]


class ImageSketches(Figure[AnnotationBatch, tuple[KeyedSketches, KeyedSketches], dict[int, bytes]]):
    """By class id, a sketch of the images that have it: united along a tree, they tell the images below each node.

    A state is the sketches and rows that wait to be sorted into them, in any order: sorting all at each batch is slow.
    """

    def zero(self) -> tuple[KeyedSketches, KeyedSketches]:
        return no_sketches(), no_sketches()

    def add(
        self, state: tuple[KeyedSketches, KeyedSketches], batch: AnnotationBatch
    ) -> tuple[KeyedSketches, KeyedSketches]:
        said = (batch.what != ABSENT) & (batch.class_id >= 0) & (batch.class_id < _MAX_CLASS)
        fresh = hopeful(state[0], KeyedSketches(batch.class_id[said].astype(np.uint64), batch.image[said]))
        waiting = side_by_side(state[1], fresh)
        if len(waiting.keys) <= max(WAITING, len(state[0].keys) // 2):
            return state[0], waiting
        return keyed_sketches(*side_by_side(state[0], waiting)), no_sketches()

    def merge(
        self, left: tuple[KeyedSketches, KeyedSketches], right: tuple[KeyedSketches, KeyedSketches]
    ) -> tuple[KeyedSketches, KeyedSketches]:
        return keyed_sketches(*side_by_side(*left, *right)), no_sketches()

    def result(self, state: tuple[KeyedSketches, KeyedSketches]) -> dict[int, bytes]:
        whole = keyed_sketches(*side_by_side(*state))
        return {int(key): sketch_bytes(whole.sketch(int(key))) for key in np.unique(whole.keys)}


def annotation_figures() -> dict[str, Figure]:
    """All figures over annotation rows, by name."""
    return {
        "classes": ClassCounts(),
        "sources": Sources(),
        "flags": Flags(),
        "centres": Centres(),
        "shares": Shares(),
        "class_images": ImageSketches(),
    }


assert (BOX, LABEL, ABSENT) == (0, 1, 2)  # columns of ClassCounts
