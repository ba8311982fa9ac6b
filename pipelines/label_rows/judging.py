"""Columns of a file as a batch: every row judged, none left out. All rows at once, in Arrow.

no image, no label                       `label:no_image`, `label:no_label`
confidence NaN, outside 0 to 1, no number; of people neither 0 nor 1     `label:bad_confidence`
confidence below --min-confidence        `label:low_confidence`; never of rows of people
image, label or source that is no UTF-8  `label:not_utf8`; the cell is emptied, so that it is taken for no other
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute

from pipelines.label_rows.layout import (
    BAD_CONFIDENCE,
    BAD_ROW,
    BATCH_SCHEMA,
    LOW_CONFIDENCE,
    NO_IMAGE,
    NO_LABEL,
    NOT_UTF8,
    Columns,
    Layout,
)
from schemas.numbers import PATTERN

pc: Any = pyarrow.compute
NONE_SPOILED: Mapping[int, str] = MappingProxyType({})
_DECIMAL_COMMA = r"^\s*(\d*),(\d+)\s*$"


def judge(
    columns: Columns,
    layout: Layout,
    found: dict[str, pa.Array],
    lines: pa.Array,
    unnamed: str = "",
    spoiled: Mapping[int, str] = NONE_SPOILED,
) -> pa.RecordBatch:
    """The batch of rows given as columns by name.

    Args:
        columns: which is which.
        layout: what the user chose.
        found: the columns, of any type.
        lines: number of each row in its file.
        unnamed: begins the ids of images that have no column: the file's name.
        spoiled: rows that could not be taken apart, and why, by their positions.
    """
    rows = len(lines)
    odd: dict[int, str] = {}
    label = as_text(found[columns.label], odd)
    image_id = as_text(found[columns.id], odd) if columns.id else _numbered(unnamed, lines)
    uri: pa.Array = pa.nulls(rows, pa.string())
    if columns.uri_pattern:
        before, _, after = columns.uri_pattern.partition("{id}")
        uri = pc.binary_join_element_wise(before, image_id, after, "")
    elif columns.image and columns.image != columns.id:
        uri = as_text(found[columns.image], odd)
    source = as_text(found[columns.source], odd) if columns.source else _constant(layout.source, rows)
    confidence, unread = _confidence(found.get(columns.confidence), rows)
    fault = np.zeros(rows, np.uint8)
    low = confidence < layout.min_confidence
    bad = ~((confidence >= 0) & (confidence <= 1))
    if columns.people:
        people = pc.is_in(source, value_set=pa.array(columns.people)).to_numpy(zero_copy_only=False)
        bad |= people & (confidence != 0) & (confidence != 1)
        low &= ~people
    fault[low] = LOW_CONFIDENCE
    fault[bad] = BAD_CONFIDENCE
    fault[_empty(label)] = NO_LABEL
    fault[_empty(image_id)] = NO_IMAGE
    if not uri.null_count and not layout.bytes:
        fault[_empty(uri)] = NO_IMAGE
    for code, positions in ((NOT_UTF8, odd), (BAD_ROW, spoiled)):
        if positions:
            fault[list(positions)] = code
    odd = {**odd, **spoiled}
    texts: pa.Array = pa.nulls(rows, pa.string())
    if fault.any():
        at = np.flatnonzero((fault == BAD_CONFIDENCE) | (fault == LOW_CONFIDENCE))
        told: list[str | None] = [None] * rows
        for i in at.tolist():
            told[i] = unread.get(i) or f"{confidence[i]:g}"
        for i, text in odd.items():
            told[i] = text
        texts = pa.array(told, pa.string())
    return pa.RecordBatch.from_arrays(
        [image_id, uri, label, pa.array(confidence), source, lines, pa.array(fault), texts], schema=BATCH_SCHEMA
    )


def bad_rows(lines: list[int], texts: list[str], fault: int = BAD_ROW) -> pa.RecordBatch:
    """A batch of rows that could not be taken apart; the texts say why."""
    rows = len(lines)
    empty = _constant("", rows)
    columns = [
        empty,
        pa.nulls(rows, pa.string()),
        empty,
        pa.array([1.0] * rows),
        empty,
        pa.array(lines, pa.int64()),
        pa.array([fault] * rows, pa.uint8()),
        pa.array(texts, pa.string()),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=BATCH_SCHEMA)


def as_text(column: pa.Array, odd: dict[int, str]) -> pa.Array:
    """A column as strings without nulls; numbers as people write them.

    Args:
        column: of any type that has a text.
        odd: takes up what is no UTF-8, by row; those cells are empty.
    """
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    if isinstance(column, pa.DictionaryArray):
        column = column.dictionary_decode()
    kind = column.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):  # a Parquet file may hold any bytes in them
        try:
            column.validate(full=True)
        except pa.ArrowInvalid:
            column = column.view(pa.binary() if pa.types.is_string(kind) else pa.large_binary())
    if _is_bytes(column.type):
        try:
            column = column.cast(pa.string())
        except pa.ArrowInvalid:
            texts = [_text(value) for value in column.to_pylist()]
            odd.update((i, repr(column[i].as_py()[:40])) for i, text in enumerate(texts) if text is None)
            column = pa.array(texts, pa.string())
    elif not pa.types.is_string(column.type):
        column = column.cast(pa.string())
    return column.fill_null("") if column.null_count else column


def _is_bytes(kind: pa.DataType) -> bool:
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind)


def _text(value: bytes | None) -> str | None:
    """None for what is no UTF-8."""
    try:
        return "" if value is None else value.decode()
    except UnicodeDecodeError:
        return None


def _constant(text: str, rows: int) -> pa.Array:
    return pa.repeat(pa.scalar(text, pa.string()), rows)


def _numbered(before: str, lines: pa.Array) -> pa.Array:
    return pc.binary_join_element_wise(before, lines.cast(pa.string()), "#")


def _empty(column: pa.Array) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Which texts hold no sign but blanks."""
    blank = pc.or_(pc.equal(pc.binary_length(column), 0), pc.utf8_is_space(column))
    return blank.to_numpy(zero_copy_only=False)


def _confidence(given: pa.Array | None, rows: int) -> tuple[np.ndarray[Any, np.dtype[np.float64]], dict[int, str]]:
    """float64, NaN for nulls and for what is no number; and the texts of those by row."""
    if given is None:
        return np.ones(rows), {}
    column: Any = given
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    if isinstance(column, pa.DictionaryArray):
        column = column.dictionary_decode()
    unread: dict[int, str] = (
        dict.fromkeys(np.flatnonzero(column.is_null()).tolist(), "null") if column.null_count else {}
    )
    if _is_bytes(column.type):
        try:
            column = column.cast(pa.string())
        except pa.ArrowInvalid:  # no number either
            texts = [value if value is None else value.decode("utf-8", "replace") for value in column.to_pylist()]
            column = pa.array(texts, pa.string())
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        try:
            column = column.cast(pa.float64())
        except pa.ArrowInvalid:
            texts = pc.replace_substring_regex(column.fill_null(""), _DECIMAL_COMMA, r"\1.\2")
            number = pc.match_substring_regex(texts, PATTERN)
            for i in np.flatnonzero(~number.to_numpy(zero_copy_only=False)).tolist():
                unread.setdefault(i, repr(texts[i].as_py()[:40]))
            column = pc.utf8_trim_whitespace(pc.if_else(number, texts, "nan")).cast(pa.float64())
    else:
        column = column.cast(pa.float64(), safe=False)  # integers beyond 2^53 are no confidences, however rounded
    return column.fill_null(np.nan).to_numpy(zero_copy_only=False) + 0.0, unread  # -0.0 is 0.0
