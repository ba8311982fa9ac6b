"""A stretch of a CSV file as columns. Arrow parses it, but for the lines in which a quote stands at an odd place.

What is a record: `wordtree.csv_lines`. A stretch is read as one block, so no cell is too long for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.csv as pa_csv
from numpy.typing import NDArray

from wordtree.csv_lines import Record, odd_records
from wordtree.text_files import is_utf8

pc: Any = pyarrow.compute
SHOWN = 80  # characters of a bad line


class Columns(NamedTuple):
    """What stands in a stretch.

    Attributes:
        cells: the columns that were asked for, as bytes, one value a record.
        lines: the first line of each record, from 0, ascending.
        bad: (line from 0, what is wrong with it) of every other line that has a character.
    """

    cells: list[pa.Array]
    lines: NDArray[np.int64]
    bad: list[tuple[int, str]]


def read_columns(data: bytes, cells: int, wanted: Sequence[int], delimiter: bytes = b",") -> Columns:
    """The columns of a stretch without header; lines without a character are passed over.

    Args:
        data: lines, the first of which begins a record.
        cells: how many a record has.
        wanted: positions of the columns.
        delimiter: between cells.
    """
    odd = odd_records(data, cells, delimiter)
    texts: list[bytes] = []
    if odd:
        lines = data.splitlines(keepends=True)
        for record in odd:
            texts.append(lines[record.first])
            lines[record.first : record.first + record.lines] = [b"\n"] * record.lines
        data = b"".join(lines)
    columns, numbers, bad = _plain_columns(data, cells, wanted, delimiter)
    if odd:
        bad += [(r.first, f"{r.wrong}: {_shown(text)}") for r, text in zip(odd, texts, strict=True) if r.wrong]
        columns, numbers = _with_records(columns, numbers, wanted, [record for record in odd if not record.wrong])
    return Columns(columns, numbers, sorted(bad))


def _plain_columns(
    data: bytes, cells: int, wanted: Sequence[int], delimiter: bytes
) -> tuple[list[pa.Array], NDArray[np.int64], list[tuple[int, str]]]:
    """Of lines that are a record each, if they have as many cells."""
    bad: list[tuple[int, str]] = []

    def skip(row: pa_csv.InvalidRow) -> str:
        bad.append((row.number - 1, row.text))
        return "skip"

    if not data:
        return [pa.array([], pa.binary()) for _ in wanted], np.empty(0, np.int64), []
    names = [f"c{number}" for number in range(cells)]
    kept = [names[number] for number in wanted]
    read = pa_csv.ReadOptions(use_threads=False, column_names=names, block_size=len(data))
    parse = pa_csv.ParseOptions(
        delimiter=delimiter.decode(),
        quote_char='"' if b'"' in data else False,
        invalid_row_handler=skip,
        ignore_empty_lines=False,
    )
    convert = pa_csv.ConvertOptions(
        include_columns=list(dict.fromkeys(kept)),
        column_types=dict.fromkeys(kept, pa.binary()),
        strings_can_be_null=False,
    )
    if data.isascii() or is_utf8(data):
        table = pa_csv.read_csv(pa.BufferReader(data), read, parse, convert)
    else:  # Arrow cannot hand over a bad row that is no UTF-8: each byte as a character
        data = data.decode("latin-1").encode()
        read.block_size = len(data)
        table = _as_bytes(pa_csv.read_csv(pa.BufferReader(data), read, parse, convert))
        bad = [(number, text.encode("latin-1").decode("utf-8", "backslashreplace")) for number, text in bad]
    numbers = np.delete(np.arange(len(table) + len(bad)), [number for number, _ in bad])
    if pc.any(pc.equal(pc.binary_length(table[kept[0]]), 0), min_count=0).as_py():
        blank = [number for number, line in enumerate(data.splitlines()) if not line]  # Arrow makes empty cells of it
        there = ~np.isin(numbers, blank)
        table, numbers = table.filter(pa.array(there)), numbers[there]
    told = [(number, f"cells do not fit the header: {text[:SHOWN]}") for number, text in bad if text.strip()]
    return [table[name].combine_chunks() for name in kept], numbers, told


def _with_records(
    columns: list[pa.Array], numbers: NDArray[np.int64], wanted: Sequence[int], records: list[Record]
) -> tuple[list[pa.Array], NDArray[np.int64]]:
    """The columns with a few more records, in the order of their lines."""
    if not records:
        return columns, numbers
    numbers = np.append(numbers, [record.first for record in records])
    order = np.argsort(numbers, kind="stable")
    more = [pa.array([record.cells[number] for record in records], pa.binary()) for number in wanted]
    both = [pa.concat_arrays([column, added]) for column, added in zip(columns, more, strict=True)]
    return [column.take(pa.array(order)) for column in both], numbers[order]


def _as_bytes(table: pa.Table) -> pa.Table:
    """Cells whose bytes were taken for characters, as the bytes they were."""
    cells = ([value.decode().encode("latin-1") for value in column.to_pylist()] for column in table.columns)
    return pa.table([pa.array(values, pa.binary()) for values in cells], names=table.column_names)


def _shown(line: bytes) -> str:
    return line.decode("utf-8", "backslashreplace").strip()[:SHOWN]
