"""Every figure obeys the laws of combiners: merging in any order, cut anywhere, gives the same."""

from __future__ import annotations

import random
from io import BytesIO

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pytest
from apache_beam.testing.util import assert_that, equal_to
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.statistics.annotation_figures import annotation_figures
from pipelines.statistics.batches import annotation_batch, index_batch
from pipelines.statistics.image_figures import Together, image_figures
from pipelines.statistics.index_figures import index_figures
from pipelines.statistics.job import Combine
from pipelines.statistics.joined import annotation_records, image_records, in_parts, join_images
from pipelines.statistics.keyed_counts import as_dict, count_keys, key_pair, merge_counts, pair_key
from pipelines.statistics.reject_figures import UNREADABLE, Piece, Rejects, lines_between, pieces
from pipelines.statistics.same_bytes import Equals, content_records, join_contents
from pipelines.statistics.string_hash import hash_strings, hash_text
from schemas.arrow import ANNOTATIONS_SCHEMA, INDEX_SCHEMA
from tests.pipelines.statistics.test_statistics_oracle import random_rows


def columns(rows, schema):
    table = pa.Table.from_pylist(rows, schema)
    return {name: table[name].combine_chunks() for name in schema.names}


def cut(rows, rng):
    """The rows in random order, in some pieces; one of them may be empty."""
    rows = rng.sample(rows, len(rows))
    places = sorted(rng.randrange(len(rows) + 1) for _ in range(4))
    return [rows[a:b] for a, b in zip([0, *places], [*places, len(rows)], strict=True)]


def batches_of(kind, rng, seed):
    """Batches for the figures of a kind, cut at random; the same rows for the same seed."""
    index, annotations = random_rows(seed, 60, contents=40)
    if kind == "annotations":
        return [annotation_batch(columns(rows, ANNOTATIONS_SCHEMA), 0) for rows in cut(annotations, rng) if rows]
    if kind == "index":
        return [index_batch(columns(rows, INDEX_SCHEMA), 0) for rows in cut(index, rng) if rows]
    if kind == "contents":
        batch = index_batch(columns(index, INDEX_SCHEMA), 0)
        rows = content_records(batch, 0)
        rows["dataset"] = rows["low"] % 2
        rows = rows[rng.sample(range(len(rows)), len(rows))]
        return [join_contents([part]) for _, part in in_parts(rows["high"], rows, rng.randrange(4))]
    if kind == "rejects":
        lines = [b'{"reason": "r%d", "record": "%d"}' % (n % 3, n) for n in range(40)] + [b"{", b"\xff"]
        return cut(lines, rng)
    pieces_of = cut(index, rng)
    groups = []
    for part in pieces_of:
        ids = {row["image_id"] for row in part}
        mine = [row for row in annotations if row["image_id"] in ids]
        if part and mine:
            a = annotation_records(annotation_batch(columns(mine, ANNOTATIONS_SCHEMA), 0)).tobytes()
            groups.append(join_images([image_records(index_batch(columns(part, INDEX_SCHEMA), 0)).tobytes()], [a]))
        elif part:
            groups.append(join_images([image_records(index_batch(columns(part, INDEX_SCHEMA), 0)).tobytes()], []))
    return groups


FIGURES = [
    *(("annotations", name, figure) for name, figure in annotation_figures().items()),
    *(("index", name, figure) for name, figure in index_figures().items()),
    *(("images", name, figure) for name, figure in image_figures(60).items()),
    ("images", "together of a sample", Together(60, most=25)),
    ("contents", "same bytes", Equals(2)),
    ("rejects", "rejects", Rejects()),
]


def folded(figure, states, rng):
    """The states merged as a random binary tree."""
    states = rng.sample(states, len(states))
    while len(states) > 1:
        a = states.pop(rng.randrange(len(states)))
        b = states.pop(rng.randrange(len(states)))
        states.append(figure.merge(a, b))
    return states[0]


@pytest.mark.parametrize(("kind", "name", "figure"), FIGURES, ids=[f"{kind}: {name}" for kind, name, _ in FIGURES])
@settings(max_examples=20)
@given(seed=st.integers(0, 3), order=st.randoms(use_true_random=False))
def test_any_cut_and_any_order_of_merging_gives_the_same(kind, name, figure, seed, order):
    one_by_one = figure.zero()
    for batch in batches_of(kind, random.Random(0), seed):
        one_by_one = figure.add(one_by_one, batch)
    expected = figure.result(one_by_one)
    states = [figure.add(figure.zero(), batch) for batch in batches_of(kind, order, seed)]
    states += [figure.zero()] * order.randrange(3)
    before = repr(states)
    assert figure.result(folded(figure, states, order)) == expected
    assert repr(states) == before  # states are values
    assert figure.result(figure.merge(one_by_one, figure.zero())) == expected
    half = len(states) // 2
    rest = figure.zero()
    for batch in batches_of(kind, random.Random(0), seed)[half:]:
        rest = figure.add(rest, batch)
    first = figure.zero()
    for batch in batches_of(kind, random.Random(0), seed)[:half]:
        first = figure.add(first, batch)
    assert figure.result(figure.merge(rest, first)) == expected


def test_beam_combines_a_figure():
    batches = batches_of("annotations", random.Random(1), 1)
    figure = annotation_figures()["classes"]
    state = figure.zero()
    for batch in batches:
        state = figure.add(state, batch)
    with beam.Pipeline(runner="FnApiRunner") as pipeline:
        rows = pipeline | beam.Create([(0, batch) for batch in batches]) | beam.CombinePerKey(Combine(figure))
        assert_that(rows, equal_to([(0, figure.result(state))]))


def test_a_sample_of_the_images_is_chosen_by_hash_alone_and_is_about_as_large_as_told():
    batch = batches_of("images", random.Random(0), 2)
    state = Together(60, most=25)
    counted = state.result(state.merge(state.zero(), state.add(state.zero(), batch[0])))
    assert counted.share == 25 / 60
    hashes = hash_strings(pa.array([f"image {n}" for n in range(100_000)]))
    kept = hashes <= np.uint64(Together(100_000, most=20_000)._bound)
    assert abs(int(kept.sum()) - 20_000) < 600


@given(st.lists(st.tuples(st.sampled_from([0, 1, 5, 2**20, 2**63]), st.integers(0, 2))), st.integers(0, 20))
def test_keyed_counts_count(rows, place):
    def counted(part):
        keys = np.array([key for key, _ in part], np.uint64)
        return count_keys(keys, 3, np.array([column for _, column in part], np.int64))

    both = merge_counts(counted(rows[:place]), counted(rows[place:]))
    expected = {key: tuple(sum(row == (key, c) for row in rows) for c in range(3)) for key, _ in rows}
    assert as_dict(both) == dict(sorted(expected.items()))


def test_pairs_are_keys():
    keys = pair_key(np.array([0, 7, 2**32 - 1]), np.array([3, 0, 2**32 - 1]))
    assert [key_pair(key) for key in keys.tolist()] == [(0, 3), (7, 0), (2**32 - 1, 2**32 - 1)]


@given(st.lists(st.text(max_size=40) | st.none(), max_size=20), st.integers(0, 5))
def test_hashes_of_columns_are_those_of_their_strings(texts, start):
    expected = [hash_text(text or "") for text in texts][start:]
    column = pa.array(texts, pa.string())[start:]
    assert hash_strings(column).tolist() == expected
    assert hash_strings(column.dictionary_encode()).tolist() == expected
    assert hash_strings(column.cast(pa.large_string())).tolist() == expected


def test_hashes_look_uniform_and_do_not_meet():
    hashes = hash_strings(pa.array([f"{n:012}" for n in range(200_000)]))
    assert len(np.unique(hashes)) == 200_000
    for shift in (0, 20, 56):
        cells = np.bincount((hashes >> np.uint64(shift)).astype(np.int64) & 255, minlength=256)
        chi2 = ((cells - 200_000 / 256) ** 2 / (200_000 / 256)).sum()
        assert 150 < chi2 < 390  # 255 degrees of freedom
    assert hash_strings(pa.array(["a", "a\0", "a" * 8, "a" * 9, ""])).tolist() == [
        hash_text(text) for text in ("a", "a\0", "a" * 8, "a" * 9, "")
    ]


@given(st.lists(st.binary(max_size=6).filter(lambda b: b"\n" not in b)), st.booleans(), st.integers(1, 9))
def test_pieces_of_a_file_hold_every_line_once(lines, last, size):
    data = b"\n".join(lines) + b"\n" * last
    found = [
        line
        for first in range(0, len(data), size)
        for line in lines_between(BytesIO(data), first, min(first + size, len(data)))
    ]
    assert found == [line.strip() for line in data.split(b"\n") if line.strip()]


def test_pieces_cover_a_file(tmp_path):
    path = tmp_path / "rejects.jsonl"
    assert pieces(3, str(path)) == []
    path.write_bytes(b"x" * 25)
    assert pieces(3, str(path), 10) == [Piece(3, str(path), n, min(n + 10, 25)) for n in (0, 10, 20)]


def test_lines_that_cannot_be_read_have_a_reason_of_their_own():
    figure = Rejects()
    found = figure.result(figure.add(figure.zero(), [b"{", b"[]", b'{"reason": "box:flat", "more": 1}']))
    assert [(row.reason, row.count) for row in found] == [(UNREADABLE, 2), ("box:flat", 1)]
