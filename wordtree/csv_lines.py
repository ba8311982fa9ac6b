"""Records of CSV text, so that a stray quote costs its own line and no other.

A quoted cell may hold line breaks (RFC 4180), so a quote that somebody forgot to close, or never meant, swallows all
that follows, up to the next quote or to the end. The law here: a line that follows the RFC by itself, with as many
cells as the header, is a record, whatever stands before it. A line break inside quotes is read where no line inside is
such a record and the cell closes as it should. Every other line with an open quote is no record, and alone.

So where a file is cut behind such a line, no record is cut, and each piece says the same as the whole.

Cells are bytes. Quotes in the middle of a cell that does not begin with one are text, as other readers take them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from schemas.errors import FormatError

QUOTE, LF, CR = b'"\n\r'
OPEN, JUNK = "a quote without its end", "text behind a closing quote"


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


def csv_rows(text: str, where: str, delimiter: str = ",") -> Iterator[tuple[int, list[str]]]:
    """(line, cells) of a small table, the header too; blank lines are passed over.

    Raises:
        FormatError: a quote has no end, or text stands behind it; with the line of the quote.
    """
    data = text.encode("utf-8", "surrogatepass")
    mark = delimiter.encode()
    lines = data.splitlines(keepends=True)
    header = next((line for line in lines if line.strip()), b"")
    wide = len(_cells(header.rstrip(b"\r\n"), mark)[0])
    odd = odd_records(data, wide, mark)
    wrong = next((record for record in odd if record.wrong), None)
    if wrong is not None:
        shown = lines[wrong.first].decode("utf-8", "replace").strip()[:60]
        raise FormatError(f"{where} line {wrong.first + 1}: {wrong.wrong} in {shown!r}")
    long = {record.first: record.lines for record in odd}
    number = 0
    while number < len(lines):
        taken = long.get(number, 1)
        body = b"".join(lines[number : number + taken])
        if body.strip(b"\r\n"):
            yield number + 1, [cell.decode("utf-8", "surrogatepass") for cell in _cells(body.rstrip(b"\r\n"), mark)[0]]
        number += taken


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
