"""The joint stream's arithmetic: exact shares on every prefix, no gap, no repeat."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import ConfigError
from schemas.mixture import Mixture

WEIGHTS = st.lists(st.integers(1, 30), min_size=1, max_size=5)


def test_four_to_one_by_hand():
    order = [Mixture((4, 1)).source_at(i)[0] for i in range(10)]
    assert order == [0, 0, 1, 0, 0, 0, 0, 1, 0, 0]


@given(WEIGHTS)
def test_each_share_is_off_by_less_than_one_image_on_every_prefix(weights):
    mixture, total = Mixture(tuple(weights)), sum(weights)
    counts = [0] * len(weights)
    for position in range(2 * mixture.period + 1):
        counts[mixture.source_at(position)[0]] += 1
        for weight, count in zip(weights, counts, strict=True):
            assert abs(count - weight / total * (position + 1)) < 1


@given(WEIGHTS)
def test_each_source_is_read_in_order_without_a_gap(weights):
    mixture = Mixture(tuple(weights))
    indices = [[] for _ in weights]
    for position in range(3 * mixture.period):
        source, index = mixture.source_at(position)
        indices[source].append(index)
    assert all(found == list(range(len(found))) for found in indices)


@given(WEIGHTS, st.integers(0, 10**12))
def test_any_position_is_reached_at_once(weights, position):
    mixture = Mixture(tuple(weights))
    source, index = mixture.source_at(position)
    later, next_index = mixture.source_at(position + mixture.period)
    assert later == source
    assert next_index == index + weights[source] * mixture.period // sum(weights)


@pytest.mark.parametrize("weights", [(), (1, 0), (1, -2), (float("nan"),), (1, 1e9)])
def test_weights_that_are_no_shares_are_refused(weights):
    with pytest.raises(ConfigError, match="mixture weights"):
        Mixture(weights)
