"""Figures over rows of an index: formats, sizes and turns of images, different contents."""

from __future__ import annotations

import msgspec
import numpy as np

from pipelines.statistics.batches import IndexBatch
from pipelines.statistics.figure import Figure
from pipelines.statistics.keyed_counts import (
    KeyedCounts,
    as_dict,
    count_keys,
    key_pair,
    merge_counts,
    no_counts,
    pair_key,
)
from pipelines.statistics.sketches import distinct, sketch_bytes, smallest
from pipelines.statistics.string_hash import Hashes


class ImageCounts(msgspec.Struct, frozen=True):
    """How many images: all, with boxes sought, with captions, without a known sha256."""

    images: int
    boxes_sought: int
    captioned: int
    without_content: int


class Contents(msgspec.Struct, frozen=True):
    """Different contents by sha256: how many, whether that is exact, and the sketch itself."""

    distinct: int
    exact: bool
    sketch: bytes


class Images(Figure[IndexBatch, tuple[int, ...], ImageCounts]):
    """See `ImageCounts`."""

    def zero(self) -> tuple[int, ...]:
        return (0, 0, 0, 0)

    def add(self, state: tuple[int, ...], batch: IndexBatch) -> tuple[int, ...]:
        sought, captioned = int((batch.has_boxes == 1).sum()), int(batch.captions.sum())
        return self.merge(state, (len(batch.image), sought, captioned, int((~batch.has_content).sum())))

    def merge(self, left: tuple[int, ...], right: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(a + b for a, b in zip(left, right, strict=True))

    def result(self, state: tuple[int, ...]) -> ImageCounts:
        return ImageCounts(*state)


class Formats(Figure[IndexBatch, dict[str, int], dict[str, int]]):
    """How many images have each format."""

    def zero(self) -> dict[str, int]:
        return {}

    def add(self, state: dict[str, int], batch: IndexBatch) -> dict[str, int]:
        numbers = np.bincount(batch.format.codes, minlength=len(batch.format.names)).tolist()
        fresh: dict[str, int] = {}
        for name, number in zip(batch.format.names, numbers, strict=True):
            if number:
                fresh[name] = fresh.get(name, 0) + number
        return self.merge(state, fresh)

    def merge(self, left: dict[str, int], right: dict[str, int]) -> dict[str, int]:
        return {name: left.get(name, 0) + right.get(name, 0) for name in {**left, **right}}

    def result(self, state: dict[str, int]) -> dict[str, int]:
        return dict(sorted(state.items()))


class Pairs(Figure[IndexBatch, KeyedCounts, tuple[tuple[int, int, int], ...]]):
    """How many images have each pair of numbers: (first, second, images)."""

    def __init__(self, first: str, second: str) -> None:
        self._first, self._second = first, second

    def zero(self) -> KeyedCounts:
        return no_counts(1)

    def add(self, state: KeyedCounts, batch: IndexBatch) -> KeyedCounts:
        first, second = (np.maximum(getattr(batch, name) + 1, 0) for name in (self._first, self._second))
        return merge_counts(state, count_keys(pair_key(first, second)))

    def merge(self, left: KeyedCounts, right: KeyedCounts) -> KeyedCounts:
        return merge_counts(left, right)

    def result(self, state: KeyedCounts) -> tuple[tuple[int, int, int], ...]:
        pairs = ((key_pair(key), counts[0]) for key, counts in as_dict(state).items())
        return tuple((first - 1, second - 1, count) for (first, second), count in pairs)


class DistinctContents(Figure[IndexBatch, Hashes, Contents]):
    """See `Contents`; two datasets' sketches together tell how much they share."""

    def zero(self) -> Hashes:
        return np.empty(0, np.uint64)

    def add(self, state: Hashes, batch: IndexBatch) -> Hashes:
        return self.merge(state, batch.content[batch.has_content, 0])

    def merge(self, left: Hashes, right: Hashes) -> Hashes:
        return smallest(np.concatenate([left, right]))

    def result(self, state: Hashes) -> Contents:
        return Contents(*distinct(state), sketch_bytes(state))


def index_figures() -> dict[str, Figure]:
    """All figures over index rows, by name."""
    return {
        "images": Images(),
        "formats": Formats(),
        "sizes": Pairs("width", "height"),
        "turns": Pairs("orientation", "rotation"),
        "contents": DistinctContents(),
    }
