"""Near hashes and clusters against slow loops over all pairs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.duplicates.clusters import Clusters
from pipelines.duplicates.near import NearestOf, bands, near_pairs


def hashes_with_copies(seed: int, number: int = 150, most: int = 6) -> np.ndarray:
    """Random hashes and changed copies of them; few top bits, so that bands are shared."""
    rng = np.random.default_rng(seed)
    base = rng.integers(0, 2**64, number, np.uint64) & np.uint64(0x00FF_FFFF_0FFF_00FF)
    found = [base]
    for _ in range(3):
        changed = base.copy()
        for k in range(len(changed)):
            for bit in rng.choice(64, rng.integers(0, most + 1), replace=False):
                changed[k] ^= np.uint64(1) << np.uint64(bit)
        found.append(changed)
    return np.unique(np.concatenate(found))


def slow_pairs(hashes: np.ndarray, most: int) -> dict[tuple[int, int], int]:
    values = [int(value) for value in hashes]
    return {
        (i, j): (values[i] ^ values[j]).bit_count()
        for j in range(len(values))
        for i in range(j)
        if (values[i] ^ values[j]).bit_count() <= most
    }


@pytest.mark.parametrize("most", [0, 1, 4, 7])
@pytest.mark.parametrize("cap", [10_000, 30, 12])
def test_all_near_pairs_are_found(most: int, cap: int) -> None:
    hashes = hashes_with_copies(most)
    found: dict[tuple[int, int], int] = {}

    def take(i: np.ndarray, j: np.ndarray, distance: np.ndarray) -> None:
        found.update(zip(zip(i.tolist(), j.tolist(), strict=True), distance.tolist(), strict=True))

    skipped = near_pairs(hashes, most, take, cap=cap)
    want = slow_pairs(hashes, most)
    assert want or most == 0
    if not skipped.comparisons:
        assert found == want
    assert found.items() <= want.items()
    if cap == 10_000:
        assert not skipped.buckets


def test_what_the_cap_leaves_out_is_told() -> None:
    """Hashes that differ only in eight bits share every other bit, however a bucket is divided."""
    hashes = np.arange(256, dtype=np.uint64)
    found: set[tuple[int, int]] = set()
    take = lambda i, j, _: found.update(zip(i.tolist(), j.tolist(), strict=True))  # noqa: E731
    skipped = near_pairs(hashes, 2, take, cap=20)
    assert skipped.buckets > 0
    assert skipped.comparisons > 0
    assert max(skipped.sizes) <= 256
    missed = slow_pairs(hashes, 2).keys() - found
    assert len(missed) <= skipped.comparisons
    assert not near_pairs(hashes, 2, take).buckets
    assert found == slow_pairs(hashes, 2).keys()


def test_bands_share_out_all_bits() -> None:
    for number in range(1, 18):
        shared = bands(range(64), number)
        assert sorted(bit for band in shared for bit in band) == list(range(64))
        assert max(map(len, shared)) - min(map(len, shared)) <= 1


@pytest.mark.parametrize("most", [0, 2, 4])
def test_the_nearest_of_other_hashes(most: int) -> None:
    ours, theirs = hashes_with_copies(1), hashes_with_copies(1, number=80)
    theirs = np.concatenate([theirs, theirs[:20]])  # equal ones: the first is told
    place, distance = NearestOf(theirs, most).look_up(ours)
    for k, value in enumerate(ours):
        far = [(int(value) ^ int(other)).bit_count() for other in theirs]
        if min(far) > most:
            assert (place[k], distance[k]) == (-1, 65)
        else:
            assert (place[k], distance[k]) == (far.index(min(far)), min(far))


def test_no_hashes_are_near_nothing() -> None:
    none = np.zeros(0, np.uint64)
    assert not near_pairs(none, 4, lambda *_: pytest.fail("there are no pairs")).buckets
    place, _ = NearestOf(none, 4).look_up(np.arange(3, dtype=np.uint64))
    assert place.tolist() == [-1, -1, -1]
    assert NearestOf(np.arange(3, dtype=np.uint64), 4).look_up(none)[0].tolist() == []


@given(
    st.integers(1, 30).flatmap(
        lambda n: st.tuples(st.just(n), st.lists(st.tuples(st.integers(0, n - 1), st.integers(0, n - 1)), max_size=60))
    ),
    st.integers(1, 7),
)
def test_clusters_are_what_hangs_together(graph: tuple[int, list[tuple[int, int]]], portion: int) -> None:
    number, pairs = graph
    clusters = Clusters(number)
    for start in range(0, len(pairs), portion):
        some = np.array(pairs[start : start + portion])
        clusters.link(some[:, 0], some[:, 1])
        if start % 2:
            clusters.roots()
    reached = {k: {k} for k in range(number)}
    for _ in range(number):
        for a, b in pairs:
            both = reached[a] | reached[b]
            for k in both:
                reached[k] = both
    assert clusters.roots().tolist() == [min(reached[k]) for k in range(number)]


def test_pairs_are_worked_in_portions(monkeypatch: pytest.MonkeyPatch) -> None:
    import pipelines.duplicates.clusters as module

    monkeypatch.setattr(module, "_HELD", 3)
    clusters = Clusters(100)
    for k in range(99, 0, -1):
        clusters.link(np.array([k]), np.array([k - 1]))
    assert clusters.roots().tolist() == [0] * 100
