"""Files of label rows in pieces, and each piece as batches: Parquet by row groups, text by stretches of bytes.

    parquet   columns by name; lists in a row (labels, confidences) are spread to a row each
    csv, tsv  a header; RFC 4180 quoting
    tencent   `PATH-OR-URL<TAB>INDEX:CONFIDENCE<TAB>...`, as tencent-ml-images; spaces in place of tabs are taken too

Rows count from 1 in Parquet files. In text files they count as lines, the header being the first.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from pipelines.files import storage
from pipelines.files.csv_ranges import Range, first_line, parse_range, ranges, read_range
from pipelines.files.faults import StorageError
from pipelines.label_rows.judging import bad_rows, judge
from pipelines.label_rows.layout import Columns, Layout, find_columns, format_of
from schemas.errors import FormatError, InputError

pc: Any = pyarrow.compute
ROWS_AT_ONCE = 1 << 17
GROUPS_A_PIECE = 1 << 20  # rows: small row groups are read together


def table_pieces(path: str, layout: Layout) -> list[str]:
    """Names of the pieces of a file: `FIRST-LAST` row groups, or a `Range`.

    Raises:
        InputError: if it cannot be read.
        FormatError: if it does not follow its format.
    """
    if format_of(path, layout) != "parquet":
        return [found.text() for found in ranges(path, "label rows")]
    with _parquet(path) as file:
        sizes = [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
    pieces: list[str] = []
    first = held = 0
    for group, size in enumerate(sizes):
        if held and held + size > GROUPS_A_PIECE:
            pieces.append(f"{first}-{group - 1}")
            first, held = group, 0
        held += size
    return [*pieces, f"{first}-{len(sizes) - 1}"] if sizes else []


def file_columns(path: str, layout: Layout) -> Columns:
    """The columns of a file by what they mean.

    Raises:
        InputError: if it cannot be read.
        FormatError: if a column is missing.
    """
    kind = format_of(path, layout)
    if kind == "tencent":
        return Columns(image="image", id="image", label="label", confidence="confidence", people=layout.people)
    if kind == "parquet":
        with _parquet(path) as file:
            return find_columns(path, file.schema_arrow.names, layout)
    return find_columns(path, _header(path, kind), layout)


def table_batches(path: str, piece: str, layout: Layout, only: Sequence[str] = ()) -> Iterator[pa.RecordBatch]:
    """The rows of a piece as batches of `BATCH_SCHEMA`.

    Args:
        only: roles of the columns that are looked at, of "id" and "label"; the others are as if they were not there.
    """
    columns = file_columns(path, layout)
    if only:
        label = columns.label if "label" in only else columns.id
        columns = Columns(image=columns.id, id=columns.id, label=label)
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


@contextlib.contextmanager
def _parquet(path: str) -> Iterator[pq.ParquetFile]:
    try:
        with storage.opened(path) as stream, pq.ParquetFile(stream) as file:
            yield file
    except FileNotFoundError:
        raise InputError(f"label rows {path!r} do not exist") from None
    except pa.ArrowInvalid as error:
        raise FormatError(f"{path}: {' '.join(str(error).split())}; expected a Parquet file") from error


def _parquet_batches(path: str, piece: str, columns: Columns, layout: Layout) -> Iterator[pa.RecordBatch]:
    first, last = map(int, piece.split("-"))
    name = storage.name_of(path)
    with _parquet(path) as file:
        line = 1 + sum(file.metadata.row_group(group).num_rows for group in range(first))
        groups = list(range(first, last + 1))
        for batch in file.iter_batches(ROWS_AT_ONCE, row_groups=groups, columns=columns.names(), use_threads=False):
            lines: pa.Array = pa.array(np.arange(line, line + len(batch)))
            line += len(batch)
            found = dict(zip(batch.schema.names, batch.columns, strict=True))
            if pa.types.is_list(found[columns.label].type) or pa.types.is_large_list(found[columns.label].type):
                found, lines = _spread(path, found, lines, columns)
            yield judge(columns, layout, found, lines, name)


def _spread(
    path: str, found: dict[str, pa.Array], lines: pa.Array, columns: Columns
) -> tuple[dict[str, pa.Array], pa.Array]:
    """Lists in the cells to rows of their own; an empty list is one row without label."""
    labels = found[columns.label]
    empty = pc.equal(pc.fill_null(pc.list_value_length(labels), 0), 0)
    counts = pc.fill_null(pc.list_value_length(labels), 0).to_numpy(zero_copy_only=False)
    at = np.repeat(np.arange(len(lines)), np.maximum(counts, 1))
    spread: dict[str, pa.Array] = {}
    no_label = np.flatnonzero(empty.to_numpy(zero_copy_only=False)[at])
    for name, column in found.items():
        if not (pa.types.is_list(column.type) or pa.types.is_large_list(column.type)):
            spread[name] = column.take(pa.array(at))
            continue
        if not pc.all(pc.equal(pc.fill_null(pc.list_value_length(column), 0), pa.array(counts))).as_py():
            raise FormatError(f"{path}: lists of {name!r} and {columns.label!r} differ in length in a row")
        flat = pc.list_flatten(column)
        positions = np.arange(len(at)) - np.searchsorted(no_label, np.arange(len(at)))
        valid = np.ones(len(at), bool)
        valid[no_label] = False
        spread[name] = flat.take(pa.array(positions, pa.int64(), mask=~valid))
    return spread, lines.take(pa.array(at))


def _header(path: str, kind: str) -> list[str]:
    import csv

    line = first_line(path, "label rows").decode("utf-8", "replace")
    return next(csv.reader([line], delimiter="\t" if kind == "tsv" else ","), [])


def _csv_batches(path: str, found: Range, columns: Columns, layout: Layout, kind: str) -> Iterator[pa.RecordBatch]:
    names = _header(path, kind)
    data = read_range(path, found)
    line = found.line
    if not found.start:
        data, line = data.partition(b"\n")[2], line + 1
    if not data.strip():
        return
    bad: list[tuple[int, str]] = []

    def skip(row: pa_csv.InvalidRow) -> str:
        bad.append((row.number, row.text))
        return "skip"

    read = pa_csv.ReadOptions(use_threads=False, column_names=[f"c{i}" for i in range(len(names))])
    parse = pa_csv.ParseOptions(
        delimiter="\t" if kind == "tsv" else ",",
        invalid_row_handler=skip,
        newlines_in_values=True,
        ignore_empty_lines=False,
    )
    at = {name: f"c{names.index(name)}" for name in columns.names()}
    convert = pa_csv.ConvertOptions(
        include_columns=list(dict.fromkeys(at.values())),
        column_types=dict.fromkeys(at.values(), pa.string()),
        strings_can_be_null=False,
    )
    try:
        table = pa_csv.read_csv(pa.BufferReader(data), read, parse, convert)
    except pa.ArrowInvalid:  # bytes that are no UTF-8
        bad.clear()
        table = pa_csv.read_csv(pa.BufferReader(data.decode("utf-8", "replace").encode()), read, parse, convert)
    numbers = np.arange(1, len(table) + len(bad) + 1)
    numbers = np.delete(numbers, [number - 1 for number, _ in bad])
    lines = pa.array(numbers + (line - 1))
    blank = _blank_lines(data)
    if len(blank):
        kept = pa.array(~np.isin(numbers, blank))
        table, lines = table.filter(kept), lines.filter(kept)
    texts = {name: table[column].combine_chunks() for name, column in at.items()}
    yield judge(columns, layout, texts, lines)
    told = [(number, text) for number, text in bad if text.strip()]
    if told:
        yield bad_rows([line - 1 + number for number, _ in told], [text[:80] for _, text in told])


def _blank_lines(data: bytes) -> list[int]:
    """Numbers of the lines without a character, from 1; most files have none."""
    if not (data.startswith((b"\n", b"\r\n")) or b"\n\n" in data or b"\n\r\n" in data):
        return []
    return [number for number, line in enumerate(data.split(b"\n"), start=1) if line in (b"", b"\r")]


def _tencent_batches(path: str, found: Range, columns: Columns, layout: Layout) -> Iterator[pa.RecordBatch]:
    text = read_range(path, found).decode("utf-8", "replace").replace("\r\n", "\n").removesuffix("\n")
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
        confidence = pc.if_else(pa.array(bare), labels, confidence) if bare.any() else confidence
        images = flat.take(pa.array(first))
        texts = {"image": images.take(pa.array(parent)), "label": index, "confidence": confidence}
        yield judge(columns, layout, texts, pa.array(lines[parent]))
        alone = np.flatnonzero(there & (counts == 1))
        if len(alone):
            empty = {"image": images.take(pa.array(alone)), "label": pa.array([""] * len(alone))}
            empty["confidence"] = pa.array(["1"] * len(alone))
            yield judge(columns, layout, empty, pa.array(lines[alone]))


def _pair() -> pa.Scalar:
    return pa.scalar(["", "nan"], pa.list_(pa.string()))
