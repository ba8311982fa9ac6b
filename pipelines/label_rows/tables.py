"""Files of label rows in pieces, and each piece as batches: Parquet by row groups, text by stretches of bytes.

    parquet   columns by name; lists in a row (labels, confidences) are spread to a row each
    csv, tsv  a header; RFC 4180 quoting, a stray quote costs its own line (`wordtree.csv_lines`)
    tencent   `PATH-OR-URL<TAB>INDEX:CONFIDENCE<TAB>...`, as tencent-ml-images; spaces in place of tabs are taken too

Rows count from 1 in Parquet files. In text files they count as lines, the header being the first.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet as pq

from pipelines.files import storage
from pipelines.files.csv_ranges import Range, first_line, parse_range, ranges, read_range
from pipelines.files.csv_table import read_columns
from pipelines.files.faults import StorageError
from pipelines.label_rows.judging import bad_rows, judge
from pipelines.label_rows.layout import NOT_UTF8, Columns, Layout, find_columns, format_of
from schemas.errors import FormatError, InputError
from wordtree.csv_lines import is_record

pc: Any = pyarrow.compute
ROWS_AT_ONCE = 1 << 17
GROUPS_A_PIECE = 1 << 20  # rows: small row groups are read together
_DELIMITER = {"csv": b",", "tsv": b"\t"}


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
        is_cut = partial(is_record, cells=len(_header(path, kind)), delimiter=_DELIMITER[kind])
        return [found.text() for found in ranges(path, "label rows", is_cut=is_cut)]
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


def check_bytes_column(path: str, name: str) -> None:
    """See that a Parquet file has the column of images, or the field of one (`image.bytes`).

    Raises:
        FormatError: if there is none, with those that are there; or if it holds no bytes.
    """
    with _parquet(path) as file:
        schema = file.schema_arrow
    there = [f"{field.name}.{inner}" for field in schema if pa.types.is_struct(field.type) for inner in _fields(field)]
    there = [*schema.names, *there]
    if name not in there:
        raise FormatError(f"{path}: no column {name!r} (--bytes-column); found {', '.join(there)[:200]}")
    head, _, inner = name.partition(".")
    kind = schema.field(name).type if name in schema.names else schema.field(head).type.field(inner).type
    if not (pa.types.is_binary(kind) or pa.types.is_large_binary(kind)):
        found = ", ".join(there)[:200]
        raise FormatError(f"{path}: --bytes-column {name!r} holds {kind}; expected bytes. Found {found}")


def _fields(field: pa.Field) -> list[str]:
    return [field.type.field(number).name for number in range(field.type.num_fields)]


def table_batches(path: str, piece: str, layout: Layout, only: Sequence[str] = ()) -> Iterator[pa.RecordBatch]:
    """The rows of a piece as batches of `BATCH_SCHEMA`.

    Args:
        only: roles of the columns that are looked at, of "id", "label" and, with its source and not without the label,
            "confidence"; the others are as if they were not there.
    """
    columns = file_columns(path, layout)
    if only:
        label = columns.label if "label" in only else columns.id
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
            found = {name: _listed(column) for name, column in zip(batch.schema.names, batch.columns, strict=True)}
            spoiled: dict[int, str] = {}
            if _is_list(found[columns.label].type):
                found, lines, spoiled = _spread(found, lines, columns)
            yield judge(columns, layout, found, lines, name, spoiled)


def _is_list(kind: pa.DataType) -> bool:
    return pa.types.is_list(kind) or pa.types.is_large_list(kind)


def _listed(column: pa.Array) -> pa.Array:
    """Lists of a fixed size as lists."""
    if not pa.types.is_fixed_size_list(column.type):
        return column
    return column.cast(pa.list_(column.type.value_type))


def _spread(
    found: dict[str, pa.Array], lines: pa.Array, columns: Columns
) -> tuple[dict[str, pa.Array], pa.Array, dict[int, str]]:
    """Lists in the cells to rows of their own; an empty list is one row without label.

    Returns:
        The columns, the number of each row in its file, and the rows whose lists differ in length, one each.
    """
    counts = _lengths(found[columns.label])
    differ: dict[int, str] = {}
    for name, column in found.items():
        if _is_list(column.type):
            lengths = _lengths(column)
            for i in np.flatnonzero(lengths != counts).tolist():
                differ.setdefault(i, f"{counts[i]} of {columns.label!r} and {lengths[i]} of {name!r}")
    if differ:
        good = np.ones(len(lines), bool)
        good[list(differ)] = False
        found = {name: _nulled(column, good) if _is_list(column.type) else column for name, column in found.items()}
        counts = np.where(good, counts, 0)
    at = np.repeat(np.arange(len(lines)), np.maximum(counts, 1))
    spread: dict[str, pa.Array] = {}
    no_label = np.flatnonzero((counts == 0)[at])
    for name, column in found.items():
        if not _is_list(column.type):
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


def _header(path: str, kind: str) -> list[str]:
    import csv

    line = first_line(path, "label rows").decode("utf-8", "replace")
    try:
        return next(csv.reader([line], delimiter=_DELIMITER[kind].decode()), [])
    except csv.Error as error:
        told = "lines that end in CR alone" if "\r" in line else str(error)
        raise FormatError(f"{path} line 1: {told}; expected lines that end in LF or CRLF; write it again") from error


def _csv_batches(path: str, found: Range, columns: Columns, layout: Layout, kind: str) -> Iterator[pa.RecordBatch]:
    names = _header(path, kind)
    data = read_range(path, found)
    line = found.line
    if not found.start:
        data, line = data.partition(b"\n")[2], line + 1
    wanted = columns.names()
    cells, lines, bad = read_columns(data, len(names), [names.index(name) for name in wanted], _DELIMITER[kind])
    if len(lines):
        yield judge(columns, layout, dict(zip(wanted, cells, strict=True)), pa.array(lines + line))
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
        confidence = pc.if_else(pa.array(bare), labels, confidence) if bare.any() else confidence
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
