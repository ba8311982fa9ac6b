"""Sketches: small states that estimate distinct counts and quantiles of any number of values, with a stated error.

*Distinct*: the K smallest of the different hashes ("bottom-k", "k minimum values": Bar-Yossef and others 2002, Beyer
and others 2007). Up to K - 1 different values the count is exact; beyond, (K - 1) / h, where h is the Kth smallest hash
as a share of all hashes. Its relative standard error is 1 / sqrt(K - 2): 3.1 % for K = 1024.

*Quantiles*: up to `EXACT` values are kept and the quantiles are exact. Beyond, values are counted in buckets whose
edges grow by the same factor, so that a quantile is off by at most `ACCURACY` of its value, whatever the distribution
(Masson, Rim and Lee 2019). Whether a state is exact depends on the number of values alone, so merging in any order
gives the same.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipelines.statistics.keyed_counts import KeyedCounts, count_keys, distinct_sorted, merge_counts, no_counts
from pipelines.statistics.string_hash import Hashes

K = 1024
DISTINCT_ERROR = 1 / math.sqrt(K - 2)
EXACT = 1024
ACCURACY = 0.01
_GROWTH = (1 + ACCURACY) / (1 - ACCURACY)
_LEAST, _MOST = 1e-6, 1e12
_EDGES = np.array([_LEAST * _GROWTH**n for n in range(math.ceil(math.log(_MOST / _LEAST) / math.log(_GROWTH)) + 1)])


def smallest(hashes: Hashes, k: int = K) -> Hashes:
    """The k smallest different hashes, ascending: a sketch. Of two sketches together: the sketch of both."""
    return distinct_sorted(hashes)[:k]


def distinct(sketch: Hashes, k: int = K) -> tuple[int, bool]:
    """How many different hashes there were, and whether that is exact."""
    if len(sketch) < k:
        return len(sketch), True
    return round((k - 1) / (int(sketch[k - 1]) / 2.0**64)), False


def sketch_bytes(sketch: Hashes) -> bytes:
    """A sketch as it stands in results: eight bytes a hash, the lowest first; `sketch_of` gives it back."""
    return sketch.astype("<u8").tobytes()


def sketch_of(data: bytes) -> Hashes:
    """The sketch of `sketch_bytes`."""
    return np.frombuffer(data, "<u8").astype(np.uint64)


class KeyedSketches(NamedTuple):
    """A sketch for every key: uint64[N] keys ascending, uint64[N] hashes ascending for each key, at most k of them."""

    keys: NDArray[np.uint64]
    hashes: Hashes

    def sketch(self, key: int) -> Hashes:
        """The sketch of one key."""
        first, last = np.searchsorted(self.keys, [np.uint64(key), np.uint64(key + 1)])
        return self.hashes[first:last]


def no_sketches() -> KeyedSketches:
    """Nothing seen yet."""
    return KeyedSketches(np.empty(0, np.uint64), np.empty(0, np.uint64))


def keyed_sketches(keys: NDArray[np.uint64], hashes: Hashes, k: int = K) -> KeyedSketches:
    """The sketch of every key, of (key, hash) rows in any order."""
    order = np.lexsort((hashes, keys))
    keys, hashes = keys[order], hashes[order]
    if len(keys):
        new = np.append(True, (keys[1:] != keys[:-1]) | (hashes[1:] != hashes[:-1]))
        keys, hashes = keys[new], hashes[new]
    rank = np.arange(len(keys)) - np.searchsorted(keys, keys)
    return KeyedSketches(keys[rank < k], hashes[rank < k])


def hopeful(state: KeyedSketches, rows: KeyedSketches, k: int = K) -> KeyedSketches:
    """Those of some rows, in any order, that may be among the k smallest of their key."""
    if not len(state.keys):
        return rows
    ends = np.searchsorted(state.keys, rows.keys, side="right")
    full = ends - np.searchsorted(state.keys, rows.keys) >= k
    kept = ~full | (rows.hashes < state.hashes[np.maximum(ends - 1, 0)])
    return KeyedSketches(rows.keys[kept], rows.hashes[kept])


def side_by_side(*parts: KeyedSketches) -> KeyedSketches:
    """The rows of all, not in order: for `keyed_sketches`."""
    return KeyedSketches(np.concatenate([part.keys for part in parts]), np.concatenate([part.hashes for part in parts]))


class QuantileState(NamedTuple):
    """Values while they are few, ascending, else None; and counts by bucket of what is bucketed."""

    values: NDArray[np.float64] | None
    buckets: KeyedCounts

    @property
    def count(self) -> int:
        """How many values."""
        return int(self.buckets.counts.sum()) if self.values is None else len(self.values)


def no_values() -> QuantileState:
    """Nothing seen yet."""
    return QuantileState(np.empty(0, np.float64), no_counts(1))


def add_values(state: QuantileState, values: NDArray[np.floating]) -> QuantileState:
    """The state after more values; they must be finite and not negative."""
    return merge_values(state, _few(values.astype(np.float64)))


def merge_values(left: QuantileState, right: QuantileState) -> QuantileState:
    """The state of both."""
    if left.values is not None and right.values is not None:
        return _few(np.concatenate([left.values, right.values]))
    return QuantileState(None, merge_counts(_bucketed(left), _bucketed(right)))


def quantile(state: QuantileState, share: float) -> float:
    """The value below which `share` of the values lie (the lower one of two); NaN if there are none."""
    count = state.count
    if not count:
        return math.nan
    rank = min(max(math.ceil(share * count) - 1, 0), count - 1)
    if state.values is not None:
        return float(state.values[rank])
    place = int(np.searchsorted(np.cumsum(state.buckets.counts[:, 0]), rank, side="right"))
    bucket = int(state.buckets.keys[place])
    if bucket == 0:
        return 0.0
    return float(_EDGES[bucket - 1]) * 2 * _GROWTH / (1 + _GROWTH)


def _few(values: NDArray[np.float64]) -> QuantileState:
    if len(values) <= EXACT:
        return QuantileState(np.sort(values), no_counts(1))
    return QuantileState(None, _counted(values))


def _bucketed(state: QuantileState) -> KeyedCounts:
    return state.buckets if state.values is None else _counted(state.values)


def _counted(values: NDArray[np.float64]) -> KeyedCounts:
    return count_keys(np.minimum(np.searchsorted(_EDGES, values, side="right"), len(_EDGES) - 1))
