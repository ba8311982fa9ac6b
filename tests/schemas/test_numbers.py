"""One grammar of numbers, whoever reads them: Python row by row, or Arrow column by column."""

from __future__ import annotations

import math

import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipelines.label_rows.judging import judge
from pipelines.label_rows.layout import BAD_CONFIDENCE, Columns, Layout
from schemas.numbers import is_whole, parse_number

NUMBERS = ["0.5", "+0.5", ".5", "1.", "1e-3", "1E+2", " 0.25 ", "\t1", "nan", "NaN", "inf", "-Infinity", "INF", "-0"]
NONE = ["", " ", "1_0", "0.1_5", "٥", "１", "0x1", "1e", "e1", ".", "1,5", "50%", "1 0", "infinite", "--1", "1d", "é"]


@pytest.mark.parametrize("text", NUMBERS)
def test_a_number(text):
    assert parse_number(text) == pytest.approx(float(text), nan_ok=True)


@pytest.mark.parametrize("text", NONE)
def test_no_number(text):
    with pytest.raises(ValueError, match=r"number|convert"):
        parse_number(text)


@given(
    st.lists(st.one_of(st.sampled_from(NUMBERS + NONE), st.text(alphabet="0159.eE+-_ naif%٥", max_size=5)), min_size=1)
)
@example(["+0.5", "x"])
@example(["Infinity", "1_0"])
def test_columns_of_label_rows_read_the_same(texts):
    columns = Columns(image="i", id="i", label="l", confidence="c")
    rows = {"i": pa.array(["a"] * len(texts)), "l": pa.array(["b"] * len(texts)), "c": pa.array(texts, pa.string())}
    batch = judge(columns, Layout(), rows, pa.array(range(len(texts))))
    for text, found, fault in zip(texts, batch["confidence"].to_pylist(), batch["fault"].to_pylist(), strict=True):
        try:
            number = parse_number(text)
        except ValueError:
            number = math.nan
        assert (fault == BAD_CONFIDENCE) == (not 0 <= number <= 1), text
        assert fault or found == number


def test_whole_numbers_have_ascii_digits():
    assert is_whole("0012")
    assert not any(map(is_whole, ["", "-1", "1.0", "１", "²", "1_0"]))
