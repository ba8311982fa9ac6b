"""Records of CSV text, so that a stray quote costs its own line and no other.

A quoted cell may hold line breaks (RFC 4180), so a quote that somebody forgot to close, or never meant, swallows all
that follows, up to the next quote or to the end. The law here: a line that follows the RFC by itself, with as many
cells as the header, is a record, whatever stands before it. A line break inside quotes is read where no line inside is
such a record and the cell closes as it should. Every other line with an open quote is no record, and alone.

So where a file is cut behind such a line, no record is cut, and each piece says the same as the whole.

Cells are bytes. Quotes in the middle of a cell that does not begin with one are text, as other readers take them.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator
from functools import cache
from typing import BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from schemas.errors import FormatError

QUOTE, LF, CR = b'"\n\r'
OPEN, JUNK = "a quote without its end", "text behind a closing quote"
LONGEST_CELL = 1 << 17  # characters, of a small table: more is another kind of file
LONGEST_SEARCH = 4 << 20  # bytes in which some line is a record, or none will be

csv.field_size_limit(1 << 30)  # a cell may be as long as it likes: it is held already


class Record(NamedTuple):
    """A record that takes more than a glance.

    Attributes:
        first: its first line, from 0.
        lines: how many it takes.
        cells: what stands in them; empty if it is none.
        wrong: why it is none; "" if it is one.
    """

    first: int
    lines: int
    cells: tuple[bytes, ...]
    wrong: str


def odd_records(data: bytes, cells: int, delimiter: bytes = b",") -> list[Record]:
    """The records with a quote at an odd place, in order. Every other line is a record of its own, right or wrong.

    Args:
        data: lines that end in LF, CRLF or CR; the first begins a record.
        cells: how many a record has.
        delimiter: between them.
    """
    if b'"' not in data:
        return []
    bytes_ = np.frombuffer(data, np.uint8)
    quotes = np.flatnonzero(bytes_ == QUOTE)
    ends = np.flatnonzero((bytes_ == LF) | (bytes_ == CR)) if b"\r" in data else np.flatnonzero(bytes_ == LF)
    outside = not (np.searchsorted(quotes, ends) % 2).any() and not len(quotes) % 2
    if outside and not _odd_quotes(bytes_, quotes, np.arange(len(quotes)), delimiter).any():
        return []
    lines = data.splitlines(keepends=True)
    starts = np.cumsum([0, *map(len, lines)])
    line = np.searchsorted(starts, quotes, side="right") - 1
    rank = np.arange(len(quotes)) - np.searchsorted(quotes, starts)[line]  # of a quote in its line, from 0
    odd = _odd_quotes(bytes_, quotes, rank, delimiter)
    last = np.append(line[1:] != line[:-1], True)
    doubtful = np.unique(line[odd | (last & (rank % 2 == 0))]).tolist()
    found: list[Record] = []
    behind = 0
    for number in doubtful:
        if number >= behind:
            found.append(_record(lines, number, cells, delimiter))
            behind = number + found[-1].lines
    return found


def _odd_quotes(
    bytes_: NDArray[np.uint8], quotes: NDArray[np.int64], rank: NDArray[np.int64], delimiter: bytes
) -> NDArray[np.bool_]:
    """Which quotes stand where RFC 4180 has none, if they open and close by turns: every first one begins a cell or
    doubles the one before it, every second one ends a cell or is doubled by the next."""
    edge = np.zeros(256, bool)
    edge[[QUOTE, LF, CR, delimiter[0]]] = True
    before, behind = edge[bytes_[quotes - 1]], edge[bytes_[np.minimum(quotes + 1, len(bytes_) - 1)]]
    before[quotes == 0] = behind[quotes == len(bytes_) - 1] = True
    return np.where(rank % 2 == 0, ~before, ~behind)


def is_record(line: bytes, cells: int, delimiter: bytes = b",") -> bool:
    """Whether a line follows RFC 4180 by itself and has so many cells: a place where a file may be cut."""
    rest = _well_quoted(delimiter).sub(b"", line.rstrip(b"\r\n"))
    return b'"' not in rest and rest.count(delimiter) + 1 == cells


def blocks(stream: BinaryIO, length: int, is_cut: Callable[[bytes], bool]) -> Iterator[tuple[int, bytes]]:
    """(number of its first line from 1, about `length` bytes) of a file, each ending behind a line that may be cut at.

    Args:
        stream: the file, at its beginning.
        length: of a block.
        is_cut: whether a block may end behind this line; if no line of LONGEST_SEARCH bytes may, it ends anyway.
    """
    first = 1
    while data := stream.read(length):
        parts, more, whole = [data], 0, False  # whether the line begins behind the data
        while line := stream.readline():
            parts.append(line)
            more += len(line)
            if (whole and is_cut(line)) or more > LONGEST_SEARCH:
                break
            whole = True
        data = b"".join(parts)
        yield first, data
        first += data.count(b"\n")


def csv_records(data: bytes, cells: int, delimiter: bytes = b",") -> Iterator[tuple[int, list[str], str]]:
    """(first line from 0, cells, what is wrong) of every record; lines without a character are passed over.

    The number of cells is looked at where a quote stands at an odd place, and left to the caller elsewhere. Bytes that
    are no UTF-8 are surrogates in the cells. Where something is wrong the one cell is the line.
    """
    lines = data.splitlines(keepends=True)
    behind = 0
    for record in (*odd_records(data, cells, delimiter), Record(len(lines), 0, (), "")):
        plain = csv.reader(map(_text, lines[behind : record.first]), delimiter=delimiter.decode())
        for number, found in enumerate(plain, start=behind):
            if found:
                yield number, found, ""
        behind = record.first + record.lines
        if record.wrong:
            yield record.first, [_text(lines[record.first].rstrip(b"\r\n"))], record.wrong
        elif record.lines:
            yield record.first, [*map(_text, record.cells)], ""


def csv_rows(
    text: str, where: str, delimiter: str = ",", *, first: int = 1, quoted: bool = True
) -> Iterator[tuple[int, list[str]]]:
    """(line, cells) of a small table, its header too; blank lines are passed over.

    Args:
        text: of the table.
        where: its name, for messages.
        delimiter: between cells.
        first: number of its first line.
        quoted: whether quotes are read as such, and not as part of cells.

    Raises:
        FormatError: a quote has no end, text stands behind one, or a cell is larger than LONGEST_CELL; with the line.
    """
    data, mark = text.encode("utf-8", "surrogateescape"), delimiter.encode()
    if not quoted:
        yield from ((n, _text(line).split(delimiter)) for n, line in enumerate(data.splitlines(), start=first) if line)
        return
    header = next((line for line in data.splitlines() if line), b"")
    for number, cells, wrong in csv_records(data, len(_cells(header, mark)[0]), mark):
        if max(map(len, cells)) > LONGEST_CELL:
            raise FormatError(f"{where} line {first + number}: field larger than field limit ({LONGEST_CELL})")
        if wrong in (OPEN, JUNK):
            raise FormatError(f"{where} line {first + number}: {wrong}: {cells[0].strip()[:60]!r}")
        yield first + number, next(csv.reader(cells, delimiter=delimiter)) if wrong else cells


def _record(lines: list[bytes], first: int, cells: int, delimiter: bytes) -> Record:
    """The record that begins with a line in which a quote stands at an odd place."""
    found, wrong = _cells(lines[first].rstrip(b"\r\n"), delimiter)
    if wrong != OPEN:
        return _judged(first, 1, found, cells, wrong)
    for number in range(first + 1, len(lines)):
        if is_record(lines[number], cells, delimiter):
            break  # no quote may swallow it
        if _closing(lines[number], 0) < 0:
            continue
        found, wrong = _cells(b"".join(lines[first : number + 1]).rstrip(b"\r\n"), delimiter)
        if wrong != OPEN:
            whole = _judged(first, number + 1 - first, found, cells, wrong)
            if not whole.wrong:
                return whole
            break
    return Record(first, 1, (), OPEN)


def _judged(first: int, lines: int, found: list[bytes], cells: int, wrong: str) -> Record:
    if not wrong and len(found) != cells:
        wrong = f"{len(found)} cells; expected {cells}"
    return Record(first, lines, () if wrong else tuple(found), wrong)


def _cells(text: bytes, delimiter: bytes) -> tuple[list[bytes], str]:
    """The cells of one record, as far as they can be told apart, and what is wrong with it."""
    found: list[bytes] = []
    at = 0
    while True:
        if text[at : at + 1] == b'"':
            end = _closing(text, at + 1)
            if end < 0:
                return found, OPEN
            found.append(text[at + 1 : end].replace(b'""', b'"'))
            end += 1
            if end < len(text) and text[end : end + 1] != delimiter:
                return found, JUNK
        else:
            end = text.find(delimiter, at)
            end = len(text) if end < 0 else end
            found.append(text[at:end])
        if end == len(text):
            return found, ""
        at = end + 1


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _closing(text: bytes, at: int) -> int:
    """The place of the quote that ends a quoted cell, which is not doubled; -1 for none."""
    while (at := text.find(b'"', at)) >= 0 and text[at + 1 : at + 2] == b'"':
        at += 2
    return at


@cache
def _well_quoted(delimiter: bytes) -> re.Pattern[bytes]:
    """A quoted cell on one line: it begins where a cell begins and closes where one ends."""
    mark = re.escape(delimiter)
    return re.compile(rb'(?<![^%b\r\n])"[^"\r\n]*(?:""[^"\r\n]*)*"(?=[%b\r\n]|\Z)' % (mark, mark))
