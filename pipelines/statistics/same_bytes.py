"""Images whose files are equal byte by byte: inside a dataset (duplicates), and in two datasets (leaks between splits).

Rows go to partitions by their content's sha256, so all images of one content meet; a partition is counted whole.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import combinations

import msgspec
import numpy as np
from numpy.typing import NDArray

from pipelines.statistics.batches import IndexBatch
from pipelines.statistics.figure import Figure

CONTENT = np.dtype([("high", "<u8"), ("low", "<u8"), ("dataset", "<i4"), ("row", "<i8")])
EXAMPLES = 12
PLACES = 6


class Place(msgspec.Struct, frozen=True, order=True):
    """An image by dataset and row of its index."""

    dataset: int
    row: int


class Inside(msgspec.Struct, frozen=True):
    """One dataset's contents that occur more than once: how many, and how many images beyond the first of each."""

    contents: int = 0
    more: int = 0


class Between(msgspec.Struct, frozen=True):
    """Contents that two datasets share, and the images of the first and of the second that have them."""

    first: int
    second: int
    contents: int
    images_first: int
    images_second: int


class SameBytes(msgspec.Struct, frozen=True):
    """By dataset what is inside; pairs of datasets that share something; examples: (images of it, a few places)."""

    inside: tuple[Inside, ...]
    between: tuple[Between, ...]
    examples: tuple[tuple[int, tuple[Place, ...]], ...]


Example = tuple[int, int, int, tuple[Place, ...]]  # high, low, images, places
State = tuple[NDArray[np.int64], tuple[Example, ...]]


def content_records(batch: IndexBatch, dataset: int) -> NDArray[np.void]:
    """The compact rows of the images whose sha256 is known."""
    rows = np.empty(int(batch.has_content.sum()), CONTENT)
    rows["high"], rows["low"] = batch.content[batch.has_content].T
    rows["dataset"], rows["row"] = dataset, batch.row[batch.has_content]
    return rows


def join_contents(rows: Iterable[bytes]) -> NDArray[np.void]:
    """The rows of a partition in a fixed order, whatever order they come in."""
    found = np.frombuffer(b"".join(rows), CONTENT)
    return found[np.lexsort((found["row"], found["dataset"], found["low"], found["high"]))]


class Equals(Figure[NDArray[np.void], State, SameBytes]):
    """See `SameBytes`; a batch holds all rows of its contents, ordered by `join_contents`."""

    def __init__(self, datasets: int) -> None:
        self._datasets = datasets
        self._pairs = tuple(combinations(range(datasets), 2))

    def zero(self) -> State:
        return np.zeros(2 * self._datasets + 3 * len(self._pairs), np.int64), ()

    def add(self, state: State, batch: NDArray[np.void]) -> State:
        if not len(batch):
            return state
        new = np.append(True, (batch["high"][1:] != batch["high"][:-1]) | (batch["low"][1:] != batch["low"][:-1]))
        starts = np.flatnonzero(new)
        sizes = np.diff(np.append(starts, len(batch)))
        number = (np.cumsum(new) - 1)[np.repeat(sizes > 1, sizes)]
        repeated = batch[np.repeat(sizes > 1, sizes)]
        _, content = np.unique(number, return_inverse=True)
        table = np.zeros((int((sizes > 1).sum()), self._datasets), np.int64)
        np.add.at(table, (content, repeated["dataset"]), 1)
        counts = []
        for column in table.T:
            counts += [int((column > 1).sum()), int(np.maximum(column - 1, 0).sum())]
        for first, second in self._pairs:
            both = table[(table[:, first] > 0) & (table[:, second] > 0)]
            counts += [len(both), int(both[:, first].sum()), int(both[:, second].sum())]
        firsts = starts[sizes > 1][:EXAMPLES]  # rows are ordered by content: these are the smallest
        shown = tuple(_example(batch[start : start + size]) for start, size in zip(firsts, sizes[sizes > 1]))  # noqa: B905
        return self.merge(state, (np.array(counts, np.int64), shown))

    def merge(self, left: State, right: State) -> State:
        return left[0] + right[0], tuple(sorted({*left[1], *right[1]})[:EXAMPLES])

    def result(self, state: State) -> SameBytes:
        numbers = state[0].tolist()
        inside = tuple(Inside(*numbers[2 * n : 2 * n + 2]) for n in range(self._datasets))
        rest = numbers[2 * self._datasets :]
        between = tuple(Between(*pair, *rest[3 * n : 3 * n + 3]) for n, pair in enumerate(self._pairs))
        shown = tuple((images, places) for _, _, images, places in state[1])
        return SameBytes(inside, tuple(pair for pair in between if pair.contents), shown)


def _example(rows: NDArray[np.void]) -> Example:
    places = tuple(Place(int(r["dataset"]), int(r["row"])) for r in rows[:PLACES])
    return int(rows["high"][0]), int(rows["low"][0]), len(rows), places
