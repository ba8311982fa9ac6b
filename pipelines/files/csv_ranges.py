"""Stretches of a large text file that can be read apart from each other, each with the number of its first line.

A stretch ends behind a line that is a record whatever stands around it (`wordtree.csv_lines`), so no record is cut. To
know line numbers the file is run through once; small files are one stretch and are not looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from pipelines.files import storage
from schemas.errors import InputError
from wordtree.csv_lines import blocks
from wordtree.text_files import what_it_is

RANGE_BYTES = 16 << 20
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


def ranges(
    path: str, what: str, length: int = RANGE_BYTES, *, is_cut: Callable[[bytes], bool] = lambda line: True
) -> list[Range]:
    """The stretches of a file, about `length` bytes each; none for an empty file.

    Args:
        path: of the file.
        what: its role, for people.
        length: of a stretch.
        is_cut: whether a stretch may end behind this line.

    Raises:
        InputError: if there is no such file.
    """
    size = storage.size_of(path)
    if size < 0:
        raise InputError(f"{what} {path!r} does not exist")
    if size <= length:
        return [Range(0, size, 1)] if size else []
    return list(_cut(path, is_cut, length))


def _cut(path: str, is_cut: Callable[[bytes], bool], length: int) -> Iterator[Range]:
    start = 0
    with storage.opened(path) as stream:
        for line, data in blocks(stream, length, is_cut):
            yield Range(start, start + len(data), line)
            start += len(data)


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
