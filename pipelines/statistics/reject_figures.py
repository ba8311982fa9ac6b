"""Figures over rejects.jsonl: how many for each reason, and a few of them, the same few in any order of reading.

A file is read in pieces of bytes: a piece holds the lines that begin in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import blake2b
from typing import BinaryIO

import msgspec

from pipelines.files import storage
from pipelines.statistics.figure import Figure

PIECE = 8 << 20
EXAMPLES = 6
UNREADABLE = "line:unreadable"


class RejectLine(msgspec.Struct, frozen=True, order=True):
    """One line of rejects.jsonl."""

    reason: str = ""
    record: str = ""
    kind: str = ""
    found: str = ""
    where: str = ""
    image_id: str = ""
    source: str = ""


class RejectReason(msgspec.Struct, frozen=True):
    """A reason, how many records it cost, and a few of them."""

    reason: str
    count: int
    examples: tuple[RejectLine, ...]


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes first..last-1 of the rejects of a dataset."""

    dataset: int
    path: str
    first: int
    last: int


def pieces(dataset: int, path: str, size: int = PIECE) -> list[Piece]:
    """The pieces of a file; none if it is not there."""
    total = storage.size_of(path)
    return [Piece(dataset, path, first, min(first + size, total)) for first in range(0, total, size)]


def read_lines(piece: Piece) -> Iterator[bytes]:
    """The lines that begin in the piece, without empty ones."""
    with storage.opened(piece.path) as stream:
        yield from lines_between(stream, piece.first, piece.last)


def lines_between(stream: BinaryIO, first: int, last: int) -> Iterator[bytes]:
    """The lines that begin at bytes first..last-1; over adjoining pieces, every line once."""
    at = max(first - 1, 0)
    stream.seek(at)
    if first:
        at += len(stream.readline())
    while at < last:
        line = stream.readline()
        if not line:
            return
        at += len(line)
        if line.strip():
            yield line.strip()


_decoder = msgspec.json.Decoder(RejectLine)


def parse_line(line: bytes) -> RejectLine:
    """A line; one that cannot be read has the reason `line:unreadable`."""
    try:
        return _decoder.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return RejectLine(reason=UNREADABLE, found=line[:200].decode("utf-8", "replace"))


State = dict[str, tuple[int, tuple[tuple[bytes, RejectLine], ...]]]


class Rejects(Figure[Iterable[bytes], State, tuple[RejectReason, ...]]):
    """By reason, the number of lines and those with the smallest hashes."""

    def zero(self) -> State:
        return {}

    def add(self, state: State, batch: Iterable[bytes]) -> State:
        counts: dict[str, int] = {}
        shown: dict[str, list[tuple[bytes, RejectLine]]] = {}
        for line in batch:
            row = parse_line(line)
            counts[row.reason] = counts.get(row.reason, 0) + 1
            key, few = blake2b(line, digest_size=8).digest(), shown.setdefault(row.reason, [])
            if len(few) < EXAMPLES or key < few[-1][0]:
                few.append((key, row))
                few.sort()
                del few[EXAMPLES:]
        return self.merge(state, {reason: (number, tuple(shown[reason])) for reason, number in counts.items()})

    def merge(self, left: State, right: State) -> State:
        both = dict(left)
        for reason, (number, few) in right.items():
            old, old_few = both.get(reason, (0, ()))
            both[reason] = (old + number, tuple(sorted((*old_few, *few))[:EXAMPLES]))
        return both

    def result(self, state: State) -> tuple[RejectReason, ...]:
        return tuple(
            RejectReason(reason, number, tuple(row for _, row in few))
            for reason, (number, few) in sorted(state.items(), key=lambda item: (-item[1][0], item[0]))
        )
