"""A JSON file byte by byte: what is held of it, and what is wrong with it, by line, column and byte."""

from __future__ import annotations

import json
import re
from typing import BinaryIO, NoReturn, Protocol

from pipelines.files import storage
from schemas.errors import FormatError
from wordtree.text_files import GLANCE, what_it_is

WINDOW = 1 << 20
EXPLAINED = 64 << 20  # files up to this size are read whole to explain a syntax error
_KINDS = {
    b"[": "a list",
    b"{": "an object",
    b'"': "a string",
    b"n": "null",
    b"t": "a truth value",
    b"f": "a truth value",
}
_SPACE = re.compile(rb"[ \t\n\r]*")


def json_kind(text: bytes) -> str:
    """What kind of value a JSON text is, for messages."""
    return _KINDS.get(text[:1], "a number")


class Digest(Protocol):
    """What hashlib gives."""

    def update(self, data: bytes, /) -> None:
        """Take in more bytes."""
        ...


class Window:
    """The bytes of a file that were read and not used, and where they stand in it.

    Args:
        stream: the file, open at its start.
        path: of the file, to read it again for an explanation.
        where, what: what messages call the file, and what it should be.
        digest: takes in every byte.
        size: of the bytes that are usually held.
    """

    def __init__(
        self, stream: BinaryIO, path: str, where: str, what: str, digest: Digest | None = None, size: int = WINDOW
    ) -> None:
        self._stream, self._path, self._digest = stream, path, digest
        self.where, self.what, self.size = where, what, size
        self.held = b""
        self.ended = False
        self._base = self._lines = self._line_start = 0  # of `held` in the file: byte, lines before, its line's byte

    def fill(self, size: int) -> bytes:
        """At least so many unused bytes, fewer only at the end of the file."""
        while len(self.held) < size and not self.ended:
            data = self._stream.read(size - len(self.held))
            if self._digest is not None:
                self._digest.update(data)
            self.ended = not data
            self.held = self.held + data if self.held else data
        return self.held

    def use(self, size: int) -> None:
        """Be done with so many bytes."""
        newlines = self.held.count(b"\n", 0, size)
        if newlines:
            self._lines += newlines
            self._line_start = self._base + self.held.rfind(b"\n", 0, size) + 1
        self._base += size
        self.held = self.held[size:]

    def peek(self) -> bytes:
        """The next byte that is no space, b"" at the end."""
        while True:
            held = self.fill(4096) if len(self.held) < 1024 else self.held
            match = _SPACE.match(held)
            spaces = match.end() if match else 0
            if spaces:
                self.use(spaces)
            if self.held or self.ended:
                return self.held[:1]

    def begin(self) -> None:
        """Pass over a byte order mark; what is not UTF-8 is read whole and brought into it."""
        start = self.fill(self.size)[:4]
        if start.startswith(b"\xef\xbb\xbf"):
            self.use(3)
        elif start and json.detect_encoding(start) not in ("utf-8", "utf-8-sig"):
            while not self.ended:
                self.fill(2 * len(self.held))
            try:
                self.held = self.held.decode(json.detect_encoding(start)).encode()
            except UnicodeError as error:
                raise FormatError(f"{self.where}: {error}; expected JSON in UTF-8") from error

    def check_utf8(self, data: bytes, offset: int = 0) -> None:
        """msgspec does not look into what it skips."""
        if not data.isascii():
            try:
                data.decode()
            except UnicodeDecodeError as error:
                self.explain(error, offset + error.start)

    def fail(self, offset: int, message: str) -> NoReturn:
        """Raise a syntax error at a byte of `held`; small files are read again, for the standard library's words."""
        size = storage.size_of(self._path)
        if 0 <= size <= EXPLAINED:
            try:
                json.loads(storage.read_bytes(self._path))
            except json.JSONDecodeError as error:
                raise self._syntax_error(error.lineno, error.colno, error.pos, error.msg) from error
            except (ValueError, RecursionError) as error:
                self.explain(error, getattr(error, "start", 0) - self._base)
        part = self.held[:offset]
        lines = part.count(b"\n")
        byte = self._base + offset
        start = self._base + part.rfind(b"\n") + 1 if lines else self._line_start
        raise self._syntax_error(self._lines + lines + 1, byte - start + 1, byte, message)

    def _syntax_error(self, line: int, column: int, byte: int, message: str) -> FormatError:
        size = storage.size_of(self._path)
        with storage.opened(self._path) as stream:
            head = stream.read(GLANCE)
            stream.seek(max(0, size - GLANCE))
            tail = stream.read(GLANCE)
        place = f"{self.where} line {line} column {column} (byte {byte}): {message}; expected"
        if told := what_it_is(head):
            return FormatError(f"{self.where}: {told}; expected JSON")
        if message.startswith("Extra data"):
            return FormatError(f"{place} one object and nothing behind it. Are these JSON Lines, or two files in one?")
        ends = tail.rstrip()
        at_end = byte >= size - len(tail) + len(ends) or message.startswith("Unterminated")
        cut = at_end or not ends.endswith((b"}", b"]"))
        return FormatError(f"{place} JSON{'. Was the download cut short?' * cut}")

    def explain(self, error: Exception, offset: int) -> NoReturn:
        """Raise what a reader of JSON found, at a byte of `held`."""
        if isinstance(error, UnicodeDecodeError):
            raise FormatError(f"{self.where} byte {self._base + offset}: not UTF-8 text; expected JSON") from error
        if isinstance(error, RecursionError):
            raise FormatError(f"{self.where}: lists or objects are nested too deeply for a {self.what}") from error
        reason = str(error).partition(";")[0]
        raise FormatError(f"{self.where}: a number cannot be read ({reason}); expected COCO's ids and sizes") from error
