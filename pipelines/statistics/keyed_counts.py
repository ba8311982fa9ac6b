"""Counts by key as two arrays: keys ascending, and a row of counts for each. Adding them is exact in any order."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

DENSE = 1 << 20  # keys below this are counted without sorting

Keys = NDArray[np.uint64]


class KeyedCounts(NamedTuple):
    """uint64[N] keys, unique and ascending, and int64[N, M] counts."""

    keys: Keys
    counts: NDArray[np.int64]


def no_counts(columns: int) -> KeyedCounts:
    """Nothing counted yet."""
    return KeyedCounts(np.empty(0, np.uint64), np.empty((0, columns), np.int64))


def count_keys(keys: NDArray[np.integer], columns: int = 1, column: NDArray[np.integer] | None = None) -> KeyedCounts:
    """How often each key occurs, apart by column.

    Args:
        keys: int[R], not negative.
        columns: M.
        column: int[R] in 0..M-1; all 0 if left out.
    """
    if not len(keys):
        return no_counts(columns)
    if int(keys.max()) < DENSE:
        found, place = None, keys.astype(np.int64)
        size = int(keys.max()) + 1
    else:
        found, place = np.unique(keys.astype(np.uint64), return_inverse=True)
        size = len(found)
    if columns > 1 and column is not None:
        place = place * columns + column
    totals = np.bincount(place, minlength=size * columns if column is not None else size)
    if column is None:
        table = np.zeros((size, columns), np.int64)
        table[:, 0] = totals
    else:
        table = totals.astype(np.int64).reshape(size, columns)
    if found is None:
        found = np.flatnonzero(table.any(axis=1)).astype(np.uint64)
        table = table[found.astype(np.int64)]
    return KeyedCounts(found, table)


def merge_counts(left: KeyedCounts, right: KeyedCounts) -> KeyedCounts:
    """The counts of both, key by key."""
    if not len(left.keys):
        return right
    if not len(right.keys):
        return left
    keys, place = np.unique(np.concatenate([left.keys, right.keys]), return_inverse=True)
    counts = np.zeros((len(keys), left.counts.shape[1]), np.int64)
    counts[place[: len(left.keys)]] += left.counts
    counts[place[len(left.keys) :]] += right.counts
    return KeyedCounts(keys, counts)


def distinct_sorted(values: Keys) -> Keys:
    """The different values, ascending. Sorting is faster here than NumPy's hashing of many different numbers."""
    values = np.sort(values)
    return values[np.append(True, values[1:] != values[:-1])] if len(values) else values


def as_dict(counts: KeyedCounts) -> dict[int, tuple[int, ...]]:
    """Key to its counts, by rising key."""
    return {key: tuple(row) for key, row in zip(counts.keys.tolist(), counts.counts.tolist(), strict=True)}


def pair_key(high: NDArray[np.integer], low: NDArray[np.integer]) -> Keys:
    """Two numbers in 0..2**32-1 as one key."""
    return high.astype(np.uint64) << np.uint64(32) | low.astype(np.uint64)


def key_pair(key: int) -> tuple[int, int]:
    """The two numbers of a `pair_key`."""
    return key >> 32, key & 0xFFFFFFFF
