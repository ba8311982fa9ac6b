"""Ids in little memory against Python's own sets."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pipelines.coco.entries import is_usual_id
from pipelines.coco.ids import IdSet, SeenIds
from schemas.coco import id_text, usual_id

ids = st.one_of(
    st.integers(-5, 20),
    st.integers(-(2**70), 2**70),
    st.sampled_from([1.0, 2.5, 900100184613.0, "1", "01", "-0", "", "a", "9223372036854775808", "é", -(2**63), 2**63]),
)


@given(st.lists(st.lists(st.none() | ids, max_size=30), max_size=12))
def test_repeated_ids_are_those_whose_text_went_by(calls: list[list[int | float | str | None]]) -> None:
    seen, texts = SeenIds(), set[str]()
    for call in calls:
        expected = set()
        for place, number in enumerate(call):
            if number is not None:
                if id_text(number) in texts:
                    expected.add(place)
                texts.add(id_text(number))
        assert seen.repeated(call) == expected


def test_many_ids_take_eight_bytes_each() -> None:
    seen = SeenIds()
    for start in range(0, 200_000, 1000):
        assert seen.repeated(range(start, start + 1000)) == set()
    assert seen.repeated([199_999, 200_000]) == {0}
    assert len(seen._runs) < 12
    assert sum(run.nbytes for run in seen._runs) == 8 * 200_001


@given(st.lists(ids, max_size=40), st.lists(ids, max_size=10))
def test_a_set_of_ids_holds_their_texts(numbers: list[int | float | str], others: list[int | float | str]) -> None:
    found, more = IdSet(), IdSet()
    for number in numbers:
        found.add(number)
    for number in others:
        more.add(number)
    texts = {id_text(number) for number in numbers}
    assert len(found) == len(texts)
    assert sorted(found) == sorted(texts)
    assert all((id_text(number) in found) == (id_text(number) in texts) for number in others)
    assert found.missing_from(more) == len(texts - {id_text(number) for number in others})


@given(ids)
def test_the_text_of_an_id_gives_the_id_back_unless_it_is_told(number: int | float | str) -> None:
    text = id_text(number)
    assert id_text(usual_id(text)) == text
    if is_usual_id(number, text):
        assert usual_id(text) == number
        assert type(usual_id(text)) is type(number)
