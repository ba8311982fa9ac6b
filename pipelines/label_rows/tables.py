"""Files of label rows in pieces, and each piece as batches: Parquet by row groups, text by stretches of bytes.

    parquet   columns by name; lists in a row (labels, confidences) are spread to a row each; what Hugging Face writes
              (`pipelines.label_rows.embedded`)
    csv, tsv  RFC 4180 quoting, a stray quote costs its own line (`wordtree.csv_lines`); header and separator are found
              (`pipelines.label_rows.dialect`)
    tencent   `PATH-OR-URL<TAB>INDEX:CONFIDENCE<TAB>...`, as tencent-ml-images; spaces in place of tabs are taken too

Rows count from 1 in Parquet files. In text files they count as lines, the header being the first.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute

from pipelines.files import storage
from pipelines.files.csv_ranges import Range, parse_range, ranges, read_range
from pipelines.files.csv_table import read_columns
from pipelines.files.faults import StorageError
from pipelines.label_rows.dialect import read_dialect
from pipelines.label_rows.embedded import label_names, named
from pipelines.label_rows.headers import file_columns, is_list, opened_parquet
from pipelines.label_rows.judging import as_text, bad_rows, judge
from pipelines.label_rows.layout import NOT_UTF8, Columns, Layout, format_of
from schemas.errors import FormatError
from wordtree.csv_lines import is_record

pc: Any = pyarrow.compute
ROWS_AT_ONCE = 1 << 17
GROUPS_A_PIECE = 1 << 20  # rows: small row groups are read together


def table_pieces(path: str, layout: Layout) -> list[str]:
    """Names of the pieces of a file: `FIRST-LAST` row groups, or a `Range`.

    Raises:
        InputError: if it cannot be read.
        FormatError: if it does not follow its format.
    """
    kind = format_of(path, layout)
    if kind == "tencent":
        return [found.text() for found in ranges(path, "label rows")]
    if kind != "parquet":
        dialect = read_dialect(path, kind, layout)
        is_cut = partial(is_record, cells=len(dialect.names), delimiter=dialect.separator.encode())
        return [found.text() for found in ranges(path, "label rows", is_cut=is_cut)]
    with opened_parquet(path) as file:
        sizes = [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
    pieces: list[str] = []
    first = held = 0
    for group, size in enumerate(sizes):
        if held and held + size > GROUPS_A_PIECE:
            pieces.append(f"{first}-{group - 1}")
            first, held = group, 0
        held += size
    return [*pieces, f"{first}-{len(sizes) - 1}"] if sizes else []


def table_batches(path: str, piece: str, layout: Layout, only: Sequence[str] = ()) -> Iterator[pa.RecordBatch]:
    """The rows of a piece as batches of `BATCH_SCHEMA`.

    Args:
        only: roles of the columns that are looked at, of "id", "label" and, with its source and not without the label,
            "confidence"; the others are as if they were not there.
    """
    columns = file_columns(path, layout)
    if only:
        label = columns.label if "label" in only or not columns.id else columns.id
        confidence, source = (columns.confidence, columns.source) if "confidence" in only else ("", "")
        columns = Columns(image=columns.id, id=columns.id, label=label, confidence=confidence, source=source)
    kind = format_of(path, layout)
    if kind == "parquet":
        try:
            yield from _parquet_batches(path, piece, columns, layout)
        except (pa.ArrowException, OSError) as error:
            if isinstance(error, StorageError) or (isinstance(error, OSError) and error.errno is not None):
                raise  # trouble of the file system; damaged pages have no number
            told = " ".join(str(error).split())[:200]
            raise FormatError(f"{path}, row groups {piece}: {told}; damaged, or a column of another type") from error
    elif kind == "tencent":
        yield from _tencent_batches(path, parse_range(piece), columns, layout)
    else:
        yield from _csv_batches(path, parse_range(piece), columns, layout, kind)


def _parquet_batches(path: str, piece: str, columns: Columns, layout: Layout) -> Iterator[pa.RecordBatch]:
    first, last = map(int, piece.split("-"))
    name = storage.name_of(path)
    with opened_parquet(path) as file:
        line = 1 + sum(file.metadata.row_group(group).num_rows for group in range(first))
        groups = list(range(first, last + 1))
        names = () if layout.numbers else label_names(file.schema_arrow, columns.label)
        for batch in file.iter_batches(ROWS_AT_ONCE, row_groups=groups, columns=columns.names(), use_threads=False):
            lines: pa.Array = pa.array(np.arange(line, line + len(batch)))
            line += len(batch)
            found = {column: _listed(_column(batch, column)) for column in columns.names()}
            found, lines, spoiled = _one_label_a_row(found, lines, columns, layout)
            if names:
                found[columns.label], odd = named(found[columns.label], names)
                spoiled = {**odd, **spoiled}
            yield judge(columns, layout, found, lines, name, spoiled)


def _column(batch: pa.RecordBatch, name: str) -> pa.Array:
    """A column, or a field of one."""
    if name in batch.schema.names:
        return batch.column(name)
    head, _, inner = name.partition(".")
    return pc.struct_field(batch.column(head), inner)


def _one_label_a_row(
    found: dict[str, pa.Array], lines: pa.Array, columns: Columns, layout: Layout
) -> tuple[dict[str, pa.Array], pa.Array, dict[int, str]]:
    """The columns with a label in each row, the rows' numbers, and the rows that cannot be taken apart."""
    odd: dict[int, str] = {}
    if layout.separator and columns.label != columns.id and not is_list(found[columns.label].type):
        parts = pc.split_pattern(as_text(found[columns.label], odd), layout.separator)
        values = pc.utf8_trim_whitespace(parts.values)
        found = {**found, columns.label: pa.ListArray.from_arrays(parts.offsets, values)}
    if not is_list(found[columns.label].type):
        return found, lines, {}
    return _spread(found, lines, columns, {at: f"{text} is no UTF-8" for at, text in odd.items()})


def _listed(column: pa.Array) -> pa.Array:
    """Lists of a fixed size as lists."""
    if not pa.types.is_fixed_size_list(column.type):
        return column
    return column.cast(pa.list_(column.type.value_type))


def _spread(
    found: dict[str, pa.Array], lines: pa.Array, columns: Columns, odd: dict[int, str]
) -> tuple[dict[str, pa.Array], pa.Array, dict[int, str]]:
    """Lists in the cells to rows of their own; an empty list is one row without label.

    Args:
        found: the columns.
        lines: number of each row in its file.
        columns: which is which.
        odd: rows that cannot be read, and why.

    Returns:
        The columns, the number of each row in its file, and the rows that are odd or whose lists differ in length, one
        each.
    """
    counts = _lengths(found[columns.label])
    differ = dict(odd)
    for name, column in found.items():
        if is_list(column.type):
            lengths = _lengths(column)
            for i in np.flatnonzero(lengths != counts).tolist():
                differ.setdefault(i, f"{counts[i]} of {columns.label!r} and {lengths[i]} of {name!r}")
    if differ:
        good = np.ones(len(lines), bool)
        good[list(differ)] = False
        found = {name: _nulled(column, good) if is_list(column.type) else column for name, column in found.items()}
        counts = np.where(good, counts, 0)
    at = np.repeat(np.arange(len(lines)), np.maximum(counts, 1))
    spread: dict[str, pa.Array] = {}
    no_label = np.flatnonzero((counts == 0)[at])
    for name, column in found.items():
        if not is_list(column.type):
            spread[name] = column.take(pa.array(at))
            continue
        flat = pc.list_flatten(column)
        positions = np.arange(len(at)) - np.searchsorted(no_label, np.arange(len(at)))
        valid = np.ones(len(at), bool)
        valid[no_label] = False
        spread[name] = flat.take(pa.array(positions, pa.int64(), mask=~valid))
    first = np.searchsorted(at, list(differ)).tolist()
    return spread, lines.take(pa.array(at)), dict(zip(first, differ.values(), strict=True))


def _lengths(column: pa.Array) -> Any:
    return pc.fill_null(pc.list_value_length(column), 0).to_numpy(zero_copy_only=False)


def _nulled(column: pa.Array, kept: Any) -> pa.Array:
    """Lists, those that are not kept as nulls."""
    return column.take(pa.array(np.arange(len(column)), pa.int64(), mask=~kept))


def _csv_batches(path: str, found: Range, columns: Columns, layout: Layout, kind: str) -> Iterator[pa.RecordBatch]:
    dialect = read_dialect(path, kind, layout)
    data, line = read_range(path, found), found.line
    if not found.start and dialect.header:
        data, line = data.partition(b"\n")[2], line + 1
    wanted = columns.names()
    at = [dialect.names.index(name) for name in wanted]
    cells, numbers, bad = read_columns(data, len(dialect.names), at, dialect.separator.encode())
    if len(numbers):
        texts = dict(zip(wanted, cells, strict=True))
        texts, lines, spoiled = _one_label_a_row(texts, pa.array(numbers + line), columns, layout)
        yield judge(columns, layout, texts, lines, spoiled=spoiled)
    if bad:
        yield bad_rows([line + number for number, _ in bad], [text for _, text in bad])


def _tencent_batches(path: str, found: Range, columns: Columns, layout: Layout) -> Iterator[pa.RecordBatch]:
    data = read_range(path, found)
    try:
        text = data.decode()
    except UnicodeDecodeError:
        text, lines, texts = _without_odd_lines(data)
        yield bad_rows([found.line + at for at in lines], texts, NOT_UTF8)
    text = text.replace("\r\n", "\n").removesuffix("\n")
    if not text:
        return
    whole = pc.split_pattern(pa.array([text]), "\n").values
    line = found.line
    for start in range(0, len(whole), ROWS_AT_ONCE // 8):
        rows = whole.slice(start, ROWS_AT_ONCE // 8)
        words = pc.split_pattern_regex(pc.utf8_trim_whitespace(rows), r"[\t ]+")
        counts = pc.list_value_length(words).to_numpy(zero_copy_only=False)
        first = np.cumsum(counts) - counts
        flat = pc.list_flatten(words)
        lines = np.arange(line + start, line + start + len(rows))
        there = pc.not_equal(rows, "").to_numpy(zero_copy_only=False)
        is_image = np.zeros(len(flat), bool)
        is_image[first] = True
        labels = flat.filter(pa.array(~is_image))
        parent = np.repeat(np.arange(len(rows)), counts - 1)
        parts = pc.split_pattern(labels, ":", max_splits=1)
        paired = pc.equal(pc.list_value_length(parts), 2)
        index = pc.list_element(parts, 0)
        bare = ~paired.to_numpy(zero_copy_only=False)
        confidence = pc.list_element(pc.if_else(paired, parts, _pair()), 1)
        confidence = pc.if_else(pa.array(bare), "none", confidence) if bare.any() else confidence
        images = flat.take(pa.array(first))
        texts = {"image": images.take(pa.array(parent)), "label": index, "confidence": confidence}
        yield judge(columns, layout, texts, pa.array(lines[parent]))
        alone = np.flatnonzero(there & (counts == 1))
        if len(alone):
            empty = {"image": images.take(pa.array(alone)), "label": pa.array([""] * len(alone))}
            empty["confidence"] = pa.array(["1"] * len(alone))
            yield judge(columns, layout, empty, pa.array(lines[alone]))


def _without_odd_lines(data: bytes) -> tuple[str, list[int], list[str]]:
    """A text whose lines that are no UTF-8 are empty; their numbers from 0, and what stands there."""
    parts = data.split(b"\n")
    odd: list[int] = []
    for number, part in enumerate(parts):
        try:
            part.decode()
        except UnicodeDecodeError:
            odd.append(number)
    told = [repr(parts[number][:80]) for number in odd]
    for number in odd:
        parts[number] = b""
    return b"\n".join(parts).decode(), odd, told


def _pair() -> pa.Scalar:
    return pa.scalar(["", "nan"], pa.list_(pa.string()))
