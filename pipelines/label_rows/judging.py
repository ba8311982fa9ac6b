"""Columns of a file as a batch: every row judged, none left out. All rows at once, in Arrow.

no image, no label                       `label:no_image`, `label:no_label`
confidence NaN, outside 0 to 1, no number; of people neither 0 nor 1     `label:bad_confidence`
confidence below --min-confidence        `label:low_confidence`; never of rows of people
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute

from pipelines.label_rows.layout import (
    BAD_CONFIDENCE,
    BAD_ROW,
    BATCH_SCHEMA,
    GOOD,
    LOW_CONFIDENCE,
    NO_IMAGE,
    NO_LABEL,
    Columns,
    Layout,
)

pc: Any = pyarrow.compute
_NUMBER = r"^\s*[-+]?(\d+\.?\d*([eE][-+]?\d+)?|\.\d+([eE][-+]?\d+)?|nan|NaN|inf)\s*$"


def judge(
    columns: Columns, layout: Layout, found: dict[str, pa.Array], lines: pa.Array, unnamed: str = ""
) -> pa.RecordBatch:
    """The batch of rows given as columns by name.

    Args:
        columns: which is which.
        layout: what the user chose.
        found: the columns, of any type.
        lines: number of each row in its file.
        unnamed: begins the ids of images that have no column: the file's name.
    """
    rows = len(lines)
    label = as_text(found[columns.label])
    image_id = as_text(found[columns.id]) if columns.id else _numbered(unnamed, lines)
    uri: pa.Array = pa.nulls(rows, pa.string())
    if columns.uri_pattern:
        before, _, after = columns.uri_pattern.partition("{id}")
        uri = pc.binary_join_element_wise(before, image_id, after, "")
    elif columns.image and columns.image != columns.id:
        uri = as_text(found[columns.image])
    source = as_text(found[columns.source]) if columns.source else _constant(layout.source, rows)
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
    texts: pa.Array = pa.nulls(rows, pa.string())
    if fault.any():
        at = np.flatnonzero((fault == BAD_CONFIDENCE) | (fault == LOW_CONFIDENCE))
        told: list[str | None] = [None] * rows
        for i in at.tolist():
            told[i] = unread.get(i) or f"{confidence[i]:g}"
        texts = pa.array(told, pa.string())
    return pa.RecordBatch.from_arrays(
        [image_id, uri, label, pa.array(confidence), source, lines, pa.array(fault), texts], schema=BATCH_SCHEMA
    )


def bad_rows(lines: list[int], texts: list[str]) -> pa.RecordBatch:
    """A batch of rows that could not be taken apart."""
    rows = len(lines)
    empty = _constant("", rows)
    columns = [
        empty,
        pa.nulls(rows, pa.string()),
        empty,
        pa.array([1.0] * rows),
        empty,
        pa.array(lines, pa.int64()),
        pa.array([BAD_ROW] * rows, pa.uint8()),
        pa.array(texts, pa.string()),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=BATCH_SCHEMA)


def is_good(batch: pa.RecordBatch) -> pa.Array:
    """Which rows have no fault."""
    return pc.equal(batch["fault"], GOOD)


def as_text(column: pa.Array) -> pa.Array:
    """A column as strings without nulls; numbers as people write them."""
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    if isinstance(column, pa.DictionaryArray):
        column = column.dictionary_decode()
    if pa.types.is_binary(column.type) or pa.types.is_large_binary(column.type):
        try:
            column = column.cast(pa.string())
        except pa.ArrowInvalid:  # bytes that are no UTF-8
            texts = [value if value is None else value.decode("utf-8", "replace") for value in column.to_pylist()]
            column = pa.array(texts, pa.string())
    elif not pa.types.is_string(column.type):
        column = column.cast(pa.string())
    return column.fill_null("") if column.null_count else column


def _constant(text: str, rows: int) -> pa.Array:
    return pa.repeat(pa.scalar(text, pa.string()), rows)


def _numbered(before: str, lines: pa.Array) -> pa.Array:
    return pc.binary_join_element_wise(before, lines.cast(pa.string()), "#")


def _empty(column: pa.Array) -> np.ndarray[Any, np.dtype[np.bool_]]:
    return pc.equal(pc.binary_length(column), 0).to_numpy(zero_copy_only=False)


def _confidence(given: pa.Array | None, rows: int) -> tuple[np.ndarray[Any, np.dtype[np.float64]], dict[int, str]]:
    """float64, NaN for nulls and for what is no number; and the texts of those by row."""
    if given is None:
        return np.ones(rows), {}
    column: Any = given
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    if isinstance(column, pa.DictionaryArray):
        column = column.dictionary_decode()
    unread: dict[int, str] = {}
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        try:
            column = column.cast(pa.float64())
        except pa.ArrowInvalid:
            texts = column.fill_null("")
            number = pc.match_substring_regex(texts, _NUMBER)
            for i in np.flatnonzero(~number.to_numpy(zero_copy_only=False)).tolist():
                unread[i] = repr(texts[i].as_py()[:40])
            column = pc.utf8_trim_whitespace(pc.if_else(number, texts, "nan")).cast(pa.float64())
    else:
        column = column.cast(pa.float64())
    return column.fill_null(np.nan).to_numpy(zero_copy_only=False), unread
