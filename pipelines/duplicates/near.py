"""Which hashes are near each other: candidates by bands, all of them compared.

Two hashes of at most h different bits agree in at least one of h + 1 bands (pigeonhole), so pairs are looked for only
among hashes that share a band: nothing is missed. A bucket of more than `MOST_IN_BUCKET` hashes is divided again, by
bands of the bits that do not make it a bucket, which misses nothing either. One that is too large even then is compared
with its first members alone, and how many comparisons that left out is told: recall is exact where that is 0.

Equal hashes are collapsed by the caller, so a thousand copies of a picture are one hash here, not half a million pairs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from pipelines.duplicates.hashing import BITS, popcount

MOST_IN_BUCKET = 10_000
MOST_DISTANCE = 16  # bands of three bits find nothing fast
DEEPEST = 2
_BLOCK = 1 << 22  # comparisons at once

Found = Callable[[np.ndarray, np.ndarray, np.ndarray], None]


@dataclass
class Skipped:
    """What the cap on buckets left out."""

    buckets: int = 0
    comparisons: int = 0
    sizes: list[int] = field(default_factory=list)


def bands(positions: Sequence[int], number: int) -> list[list[int]]:
    """The bit positions in `number` bands of nearly equal size."""
    return [list(band) for band in np.array_split(np.array(positions, np.int64), number)]


def band_keys(hashes: np.ndarray, band: Sequence[int]) -> np.ndarray:
    """The bits of a band of each hash; equal keys, equal bits."""
    mask = np.uint64(sum(1 << int(position) for position in band))
    return hashes & mask


def near_pairs(hashes: np.ndarray, most: int, found: Found, *, cap: int = MOST_IN_BUCKET) -> Skipped:
    """Tell `found(i, j, distance)` of all pairs i < j with at most `most` different bits; some more than once.

    Args:
        hashes: distinct uint64.
        cap: a larger bucket is divided.
    """
    skipped = Skipped()
    if len(hashes) > 1:
        _in_bucket(hashes, np.arange(len(hashes)), list(range(BITS)), most, found, cap, 0, skipped)
    return skipped


def _in_bucket(
    hashes: np.ndarray,
    members: np.ndarray,
    free: list[int],
    most: int,
    found: Found,
    cap: int,
    depth: int,
    skipped: Skipped,
) -> None:
    """All near pairs among hashes that agree in all bits but the free ones."""
    for band in bands(free, most + 1):
        for bucket in _buckets(band_keys(hashes[members], band)):
            inside = members[bucket]
            if len(inside) <= cap:
                _compare(hashes, inside, inside, most, found)
                continue
            rest = [position for position in free if position not in band]
            if depth < DEEPEST and len(rest) > most:
                _in_bucket(hashes, inside, rest, most, found, cap, depth + 1, skipped)
                continue
            _compare(hashes, inside[:cap], inside, most, found)
            over = len(inside) - cap
            skipped.buckets += 1
            skipped.comparisons += over * (over - 1) // 2
            skipped.sizes.append(len(inside))


def _buckets(keys: np.ndarray) -> Iterator[np.ndarray]:
    """Positions of the keys that stand there more than once, key by key, each in ascending order."""
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    sizes = np.diff(np.r_[starts, len(keys)])
    for start, size in zip(starts[sizes > 1].tolist(), sizes[sizes > 1].tolist(), strict=True):
        yield order[start : start + size]


def _compare(hashes: np.ndarray, first: np.ndarray, second: np.ndarray, most: int, found: Found) -> None:
    """All pairs i of `first`, j of `second` with i < j, in blocks."""
    step = max(1, _BLOCK // len(second))
    theirs = hashes[second]
    for start in range(0, len(first), step):
        ours = first[start : start + step]
        distances = popcount(hashes[ours][:, None] ^ theirs[None, :])
        rows, columns = np.nonzero(distances <= most)
        i, j = ours[rows], second[columns]
        once = i < j
        if once.any():
            found(i[once], j[once], distances[rows, columns][once])


class NearestOf:
    """Hashes, mostly of evaluation images, that others are looked up in: small enough for every worker.

    Args:
        hashes: uint64, in the order that decides between equally near ones: the first is given.
        most: the largest distance.
    """

    def __init__(self, hashes: np.ndarray, most: int) -> None:
        self._hashes, self._most = hashes, most
        self._bands = bands(range(BITS), most + 1)
        self._orders: list[np.ndarray] = []
        self._keys: list[np.ndarray] = []
        for band in self._bands:
            keys = band_keys(hashes, band)
            order = np.argsort(keys, kind="stable")
            self._orders.append(order)
            self._keys.append(keys[order])

    def look_up(self, hashes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """For each hash, the place of the nearest and its distance; -1 and 65 where none is near enough."""
        place = np.full(len(hashes), -1, np.int64)
        distance = np.full(len(hashes), BITS + 1, np.int64)
        for band, order, keys in zip(self._bands, self._orders, self._keys, strict=True):
            wanted = band_keys(hashes, band)
            left = np.searchsorted(keys, wanted, "left")
            sizes = np.searchsorted(keys, wanted, "right") - left
            for some in _in_portions(np.flatnonzero(sizes), sizes):
                counts = sizes[some]
                asked = np.repeat(some, counts)
                offsets = np.arange(len(asked)) - np.repeat(np.cumsum(counts) - counts, counts)
                candidates = order[np.repeat(left[some], counts) + offsets]
                apart = popcount(hashes[asked] ^ self._hashes[candidates]).astype(np.int64)
                close = apart <= self._most
                asked, candidates, apart = asked[close], candidates[close], apart[close]
                best = np.lexsort((candidates, apart, asked))
                asked, candidates, apart = asked[best], candidates[best], apart[best]
                first = np.flatnonzero(np.r_[True, asked[1:] != asked[:-1]]) if len(asked) else np.zeros(0, np.int64)
                rows, theirs, near = asked[first], candidates[first], apart[first]
                better = (near < distance[rows]) | ((near == distance[rows]) & (theirs < place[rows]))
                place[rows[better]], distance[rows[better]] = theirs[better], near[better]
        return place, distance


def _in_portions(rows: np.ndarray, sizes: np.ndarray) -> Iterator[np.ndarray]:
    """The rows in portions of about `_BLOCK` candidates, at least one row each."""
    if not len(rows):
        return
    portion = np.cumsum(sizes[rows]) // _BLOCK
    for number in np.unique(portion):
        yield rows[portion == number]
