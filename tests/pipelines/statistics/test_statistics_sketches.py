"""Sketches are exact while they are small, keep their stated error beyond, and merge in any order."""

from __future__ import annotations

import math
import random

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.statistics.sketches import (
    ACCURACY,
    DISTINCT_ERROR,
    EXACT,
    K,
    KeyedSketches,
    add_values,
    distinct,
    hopeful,
    keyed_sketches,
    merge_values,
    no_sketches,
    no_values,
    quantile,
    side_by_side,
    smallest,
)
from pipelines.statistics.string_hash import hash_strings


def hashes(count, prefix=""):
    return hash_strings(pa.array([f"{prefix}{n}" for n in range(count)], pa.string()))


@pytest.mark.parametrize("count", [0, 1, 500, K - 1])
def test_few_different_values_are_counted_exactly(count):
    assert distinct(smallest(np.concatenate([hashes(count)] * 3))) == (count, True)


def test_many_are_estimated_with_the_stated_error():
    """40 sets of different sizes: the mean square of the relative errors is that of the standard error."""
    errors = []
    for number in range(40):
        count = 2000 + 997 * number
        found, exact = distinct(smallest(hashes(count, f"{number}/")))
        assert not exact
        errors.append(found / count - 1)
    assert max(map(abs, errors)) < 4 * DISTINCT_ERROR
    assert 0.6 < math.sqrt(sum(e * e for e in errors) / len(errors)) / DISTINCT_ERROR < 1.4
    assert abs(sum(errors) / len(errors)) < 3 * DISTINCT_ERROR / math.sqrt(len(errors))


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 30))), st.integers(0, 40), st.integers(1, 6))
def test_sketches_by_key_are_sketches_of_the_rows_of_the_key(rows, place, k):
    def arrays(part):
        return np.array([key for key, _ in part], np.uint64), np.array([value for _, value in part], np.uint64)

    expected = {key: sorted({v for other, v in rows if other == key})[:k] for key, _ in rows}
    state = keyed_sketches(*arrays(rows[:place]), k)
    rest = hopeful(state, KeyedSketches(*arrays(rows[place:])), k)
    assert len(rest.keys) <= len(rows[place:])
    for found in (keyed_sketches(*side_by_side(state, rest, no_sketches()), k), keyed_sketches(*arrays(rows), k)):
        assert {key: found.sketch(key).tolist() for key in expected} == expected
        assert len(found.keys) == sum(map(len, expected.values()))


@given(st.lists(st.floats(0, 1e6), max_size=60), st.floats(0, 1))
def test_quantiles_of_few_values_are_exact(values, share):
    found = quantile(add_values(no_values(), np.array(values)), share)
    assert math.isnan(found) if not values else found == sorted(values)[max(math.ceil(share * len(values)) - 1, 0)]


@pytest.mark.parametrize("shape", ["uniform", "log-normal", "two heaps"])
def test_quantiles_of_many_values_are_off_by_the_stated_share_at_most(shape):
    rng = np.random.default_rng(7)
    values = {
        "uniform": rng.uniform(0, 3000, 50_000),
        "log-normal": np.exp(rng.normal(3, 2, 50_000)),
        "two heaps": np.concatenate([rng.normal(5, 0.1, 25_000), rng.normal(4e5, 10, 25_000), np.zeros(10)]),
    }[shape]
    state = no_values()
    for part in np.array_split(values, 7):
        state = add_values(state, part)
    ordered = np.sort(values)
    for share in (0, 1e-4, 0.05, 0.25, 0.5, 0.75, 0.95, 1):
        true = ordered[max(math.ceil(share * len(values)) - 1, 0)]
        assert abs(quantile(state, share) - true) <= ACCURACY * true + 1e-12


@given(st.integers(0, 4), st.randoms(use_true_random=False))
def test_quantile_states_do_not_depend_on_the_order(extra, order):
    rng = random.Random(3)
    values = [rng.paretovariate(1) for _ in range(EXACT - 2 + extra)]
    order.shuffle(values)
    places = sorted(order.randrange(len(values)) for _ in range(3))
    parts = [values[a:b] for a, b in zip([0, *places], [*places, len(values)], strict=True)]
    states = [add_values(no_values(), np.array(part)) for part in parts]
    while len(states) > 1:
        states.append(merge_values(states.pop(order.randrange(len(states))), states.pop()))
    expected = add_values(no_values(), np.sort(np.array(values)))
    assert (states[0].values is None) == (len(values) > EXACT) == (expected.values is None)
    assert [quantile(states[0], n / 50) for n in range(51)] == [quantile(expected, n / 50) for n in range(51)]
