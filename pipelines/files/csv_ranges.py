"""Stretches of a large text file that can be read apart from each other, each with the number of its first line.

A stretch ends behind a line's end that stands outside of quotes (RFC 4180: a quoted cell may hold line breaks), so no
record is cut. To know line numbers the file is run through once; small files are one stretch and are not looked at.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from pipelines.files import storage
from schemas.errors import InputError
from wordtree.text_files import what_it_is

RANGE_BYTES = 16 << 20
_CHUNK = 4 << 20
BOM = b"\xef\xbb\xbf"


class Range(NamedTuple):
    """Bytes start to end of a file; `line` is the number of its first line, from 1."""

    start: int
    end: int
    line: int

    def text(self) -> str:
        """As part of the name of a piece."""
        return f"{self.start}-{self.end}-{self.line}"


def parse_range(text: str) -> Range:
    """The range that `Range.text` wrote."""
    return Range(*map(int, text.split("-")))


def ranges(path: str, what: str, length: int = RANGE_BYTES) -> list[Range]:
    """The stretches of a file, about `length` bytes each; none for an empty file.

    Raises:
        InputError: if there is no such file.
    """
    size = storage.size_of(path)
    if size < 0:
        raise InputError(f"{what} {path!r} does not exist")
    if size <= length:
        return [Range(0, size, 1)] if size else []
    return list(_cut(path, length))


def _cut(path: str, length: int) -> Iterator[Range]:
    start = position = 0
    line = first_line = 1
    quotes = 0
    with storage.opened(path) as stream:
        while chunk := stream.read(_CHUNK):
            begin = 0
            while position + len(chunk) - begin >= start + length:
                # the first line's end at or behind the target where all quotes are closed
                at = max(begin, start + length - position - 1)
                counted = chunk.count(b'"', begin, at)
                lines = chunk.count(b"\n", begin, at)
                end = chunk.find(b"\n", at)
                while end >= 0 and (quotes + counted + chunk.count(b'"', at, end)) % 2:
                    counted += chunk.count(b'"', at, end)
                    lines += 1
                    at = end + 1
                    end = chunk.find(b"\n", at)
                if end < 0:
                    break
                quotes += counted + chunk.count(b'"', at, end)
                line += lines + 1
                yield Range(start, position + end + 1, first_line)
                begin = end + 1
                start, first_line = position + begin, line
                position += begin
                chunk, begin = chunk[begin:], 0
            quotes += chunk.count(b'"')
            line += chunk.count(b"\n")
            position += len(chunk)
    if position > start:
        yield Range(start, position, first_line)


def read_range(path: str, found: Range) -> bytes:
    """The bytes of a stretch, without a byte order mark."""
    with storage.opened(path) as stream:
        stream.seek(found.start)
        data = stream.read(found.end - found.start)
    return data.removeprefix(BOM) if not found.start else data


def first_line(path: str, what: str) -> bytes:
    """The first line of a file, without its end and without a byte order mark; b"" of an empty file.

    Raises:
        InputError: if it cannot be read.
    """
    try:
        with storage.opened(path) as stream:
            line = stream.read(1 << 16).removeprefix(BOM).split(b"\n", 1)[0].rstrip(b"\r")
    except (OSError, ValueError) as error:
        reason = "does not exist" if isinstance(error, FileNotFoundError) else f"cannot be read ({error})"
        raise InputError(f"{what} {path!r} {reason}") from error
    if told := what_it_is(line):
        raise InputError(f"{what} {path!r} is {told}")
    return line
