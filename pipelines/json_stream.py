"""A large JSON object of lists, read part by part: memory does not grow with the file, on any fsspec file system.

The file is an object. Lists that the caller names come in batches of a few megabytes, decoded as typed structs; all
other values come whole. Keys stand in any order.

A batch is a window that begins at an element and is cut at the last place that looks like the end of one: `}`, a comma,
and the key that elements of this list begin with. That may be wrong, for strings may hold anything; but if "[" + part +
"]" parses, the cut lies between two elements of the list for certain. If it does not parse, the brackets are counted
(`pipelines.json_structure`); and if it still does not, the standard library reads the part: it accepts NaN, finds the
position of an error, and entries that are malformed cost only themselves.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, BinaryIO, NamedTuple, NoReturn, Protocol

import msgspec

from pipelines import storage
from pipelines.json_structure import element_ends
from schemas.errors import FormatError, InputError

WINDOW = 4 << 20
EXPLAINED = 64 << 20  # files up to this size are read whole to explain a syntax error
_KEY = re.compile(rb'[ \t\n\r]*("(?:[^"\\]|\\.)*")[ \t\n\r]*:[ \t\n\r]*', re.DOTALL)
_SPACE = re.compile(rb"[ \t\n\r]*")
_JOINT = re.compile(rb'[ \t\n\r]*,[ \t\n\r]*\{[ \t\n\r]*"[^"\\]{0,80}"')
_JSON_NAMES = {b"n": "null", b"{": "an object", b'"': "a string", b"t": "a truth value", b"f": "a truth value"}
_loose = json.JSONDecoder()


class Digest(Protocol):
    """What hashlib gives."""

    def update(self, data: bytes, /) -> None:
        """Take in more bytes."""
        ...


class Value(NamedTuple):
    """A top-level value that is none of the lists asked for: its key and its JSON text."""

    name: str
    text: bytes


class Bad(NamedTuple):
    """An entry that is not of the type asked for, and why."""

    error: str


class Batch(NamedTuple):
    """Some entries of a list, side by side.

    Attributes:
        name: key of the list.
        first: number of the first entry in it, from 0.
        entries: typed, or `Bad`.
        text: the same entries as the text of a list.
        form: number of the type that all entries were decoded as; -1 if they had to be read loosely.
        loose: the entries as the standard library reads them, where form is -1.
    """

    name: str
    first: int
    entries: Sequence[Any]
    text: bytes
    form: int
    loose: Sequence[Any] = ()


def read_object(
    path: str,
    lists: Mapping[str, Sequence[type[msgspec.Struct]]],
    *,
    where: str = "",
    what: str = "COCO file",
    role: str = "annotation file",
    digest: Digest | None = None,
    window: int = WINDOW,
) -> Iterator[Value | Batch]:
    """Everything in the file, in its order; an empty list gives one empty batch.

    Args:
        path: of the file.
        lists: types of the entries of each list: a strict one that knows every usual field, then others that take more.
        where: what messages call the file; its path by default.
        what, role: what it should be, and what it is to the user.
        digest: takes in every byte of the file.
        window: bytes decoded at once.

    Raises:
        InputError: if the file cannot be read.
        FormatError: if it is not JSON, with line, column and byte, or not an object of such lists.
    """
    try:
        with storage.opened(path) as stream:
            yield from _Reader(stream, lists, path, where or path, what, digest, window).members()
    except (OSError, ValueError) as error:
        reason = "does not exist" if isinstance(error, FileNotFoundError) else f"cannot be read ({error})"
        raise InputError(f"{role} {path!r} {reason}") from error


class _Forms:
    """Decoders of one list; the last one that worked is tried first."""

    def __init__(self, types: Sequence[type[msgspec.Struct]]) -> None:
        self._decoders = [msgspec.json.Decoder(list[kind]) for kind in types]
        self._type = types[-1]
        self._raw = {f.name for f in msgspec.structs.fields(types[-1]) if "Raw" in str(f.type)}
        self.form = 0

    def decode(self, text: bytes) -> Sequence[Any] | None:
        """Typed entries; None if they are not of these types, or no JSON."""
        for form in range(self.form, len(self._decoders)):
            try:
                entries = self._decoders[form].decode(text)
            except msgspec.ValidationError:
                continue
            except (ValueError, RecursionError):
                return None
            self.form = form
            return entries
        return None

    def convert(self, value: Any) -> Any:
        """One entry from the standard library's reading."""
        try:
            if isinstance(value, dict):
                names = {*self._type.__struct_fields__} - self._raw
                wrong = [name for name in names if not _is_unicode(value.get(name))]
                if wrong:
                    return Bad(f"{wrong[0]} is no Unicode text: {value[wrong[0]]!a}")
                raw = {name: msgspec.Raw(json.dumps(value[name]).encode()) for name in self._raw & value.keys()}
                value = {**value, **raw}
            return msgspec.convert(value, self._type)
        except (msgspec.ValidationError, RecursionError) as error:
            return Bad(str(error))


def _is_unicode(value: object) -> bool:
    """False for a string with half a surrogate pair, which JSON can state and UTF-8 cannot."""
    return not isinstance(value, str) or storage.plain_text(value) == value


class _Reader:
    def __init__(
        self,
        stream: BinaryIO,
        lists: Mapping[str, Sequence[type[msgspec.Struct]]],
        path: str,
        where: str,
        what: str,
        digest: Digest | None,
        window: int,
    ) -> None:
        self._stream, self._lists, self._path, self._where, self._what = stream, lists, path, where, what
        self._digest, self._window = digest, window
        self._held = b""  # what was read and not used
        self._ended = False
        self._base = self._lines = self._line_start = 0  # of `_held` in the file: byte, lines before, its line's byte

    def members(self) -> Iterator[Value | Batch]:
        self._begin()
        if self._peek() != b"{":
            self._whole_value()  # a syntax error is told before anything else
            raise FormatError(f"{self._where} is no {self._what}: expected an object with a list `images`")
        self._use(1)
        while self._peek() != b"}":
            name = self._key()
            types = self._lists.get(name)
            if types is None:
                yield Value(name, self._whole_value())
            elif self._peek() == b"[":
                self._use(1)
                yield from self._elements(name, _Forms(types))
            else:
                found = _JSON_NAMES.get(self._peek(), "a number")
                self._whole_value()
                raise FormatError(f"{self._where} is no {self._what}: `{name}` is {found}; expected a list")
            if self._peek() == b",":
                self._use(1)
                if self._peek() != b'"':
                    self._fail(0, "Expecting property name enclosed in double quotes")
            elif self._peek() != b"}":
                self._fail(0, "Expecting ',' delimiter")
        self._use(1)
        if self._peek():
            self._fail(0, "Extra data")

    # --- bytes

    def _fill(self, size: int) -> bytes:
        """At least so many unused bytes, fewer only at the end of the file."""
        while len(self._held) < size and not self._ended:
            data = self._stream.read(size - len(self._held))
            if self._digest is not None:
                self._digest.update(data)
            self._ended = not data
            self._held = self._held + data if self._held else data
        return self._held

    def _use(self, size: int) -> None:
        newlines = self._held.count(b"\n", 0, size)
        if newlines:
            self._lines += newlines
            self._line_start = self._base + self._held.rfind(b"\n", 0, size) + 1
        self._base += size
        self._held = self._held[size:]

    def _peek(self) -> bytes:
        """The next byte that is no space, b"" at the end."""
        while True:
            held = self._fill(4096) if len(self._held) < 1024 else self._held
            match = _SPACE.match(held)
            spaces = match.end() if match else 0
            if spaces:
                self._use(spaces)
            if self._held or self._ended:
                return self._held[:1]

    def _begin(self) -> None:
        """Pass over a byte order mark; what is not UTF-8 is read whole and brought into it."""
        start = self._fill(self._window)[:4]
        if start.startswith(b"\xef\xbb\xbf"):
            self._use(3)
        elif start and json.detect_encoding(start) not in ("utf-8", "utf-8-sig"):
            while not self._ended:
                self._fill(2 * len(self._held))
            try:
                self._held = self._held.decode(json.detect_encoding(start)).encode()
            except UnicodeError as error:
                raise FormatError(f"{self._where}: {error}; expected JSON in UTF-8") from error

    # --- values

    def _key(self) -> str:
        for size in (4096, self._window):
            match = _KEY.match(self._fill(size))
            if match is not None and (match.end() < len(self._held) or self._ended):
                try:
                    name = json.loads(match[1])
                except ValueError as error:
                    self._fail(0, str(error))
                self._use(match.end())
                return name
        self._fail(0, "Expecting property name enclosed in double quotes")

    def _whole_value(self) -> bytes:
        """The value that begins here, as text."""
        size = self._window
        while True:
            text = self._fill(size).decode("utf-8", "surrogateescape")
            try:
                end = _loose.raw_decode(text)[1]
                if end < len(text) or self._ended:  # else a number may go on
                    found = text[:end].encode("utf-8", "surrogateescape")
                    self._check_utf8(found)
                    self._use(len(found))
                    return found
            except json.JSONDecodeError as error:
                if self._ended:
                    self._fail(len(text[: error.pos].encode("utf-8", "surrogateescape")), error.msg)
            except (ValueError, RecursionError) as error:
                self._explain(error, 0)
            size *= 2

    def _elements(self, name: str, forms: _Forms) -> Iterator[Batch]:
        """The elements of a list whose bracket was used up, in batches; uses up the bracket that ends it."""
        first, size, joint = 0, self._window, b""
        if self._peek() == b"]":
            self._use(1)
            yield Batch(name, 0, (), b"[]", 0)
            return
        while True:
            held = self._fill(size)
            end = held.rfind(joint, 0, size) + 1 if joint else 0
            text = b"[" + held[:end] + b"]" if end else b""
            entries = forms.decode(text) if end else None
            stop = -1
            if entries is None:
                ends, stop = element_ends(held)
                end = stop if stop >= 0 else self._last_joint(held, ends.tolist())
                if not end:
                    if self._ended:
                        self._fail(len(held), "Expecting ',' delimiter")
                    size *= 2
                    continue
                text = b"[" + held[:end] + b"]"
                entries = forms.decode(text)
                joint = self._joint(held, ends.tolist()) or joint
            self._check_utf8(text, -1)
            if entries is None:
                loose = self._read_loosely(text)
                batch = Batch(name, first, [forms.convert(value) for value in loose], text, -1, loose)
            else:
                batch = Batch(name, first, entries, text, forms.form)
            if stop >= 0 and held[stop : stop + 1] != b"]":
                self._fail(stop, "Expecting ',' delimiter")
            first += len(batch.entries)
            yield batch
            self._use(end)
            if stop >= 0:
                self._use(1)
                return
            if self._peek() != b",":
                self._fail(0, "Expecting ',' delimiter")
            self._use(1)
            if self._peek() == b"]":
                self._fail(0, "Expecting value")
            size = self._window

    @staticmethod
    def _last_joint(held: bytes, ends: list[int]) -> int:
        """The last end that a comma follows, 0 if there is none."""
        for end in reversed(ends):
            match = _SPACE.match(held, end)
            if match and held[match.end() : match.end() + 1] == b",":
                return end
        return 0

    @staticmethod
    def _joint(held: bytes, ends: list[int]) -> bytes:
        """What stands between two elements, from the end of one to the first key of the next; b"" if none is seen."""
        for end in ends[:1]:
            match = _JOINT.match(held, end)
            if match and held[end - 1 : end] == b"}":
                return held[end - 1 : match.end()]
        return b""

    # --- what is wrong

    def _read_loosely(self, text: bytes) -> list[Any]:
        try:
            return json.loads(text)
        except json.JSONDecodeError as error:
            self._fail(len(text.decode()[: error.pos].encode()) - 1, error.msg)
        except (ValueError, RecursionError) as error:
            self._explain(error, 0)

    def _check_utf8(self, data: bytes, offset: int = 0) -> None:
        """msgspec does not look into what it skips."""
        if not data.isascii():
            try:
                data.decode()
            except UnicodeDecodeError as error:
                self._explain(error, offset + error.start)

    def _fail(self, offset: int, message: str) -> NoReturn:
        """Raise a syntax error at a byte of `_held`; small files are read again, for the standard library's words."""
        size = storage.size_of(self._path)
        if 0 <= size <= EXPLAINED:
            try:
                json.loads(storage.read_bytes(self._path))
            except json.JSONDecodeError as error:
                raise _syntax_error(self._where, error.lineno, error.colno, error.pos, error.msg) from error
            except (ValueError, RecursionError) as error:
                self._explain(error, getattr(error, "start", 0) - self._base)
        part = self._held[:offset]
        lines = part.count(b"\n")
        byte = self._base + offset
        start = self._base + part.rfind(b"\n") + 1 if lines else self._line_start
        raise _syntax_error(self._where, self._lines + lines + 1, byte - start + 1, byte, message)

    def _explain(self, error: Exception, offset: int) -> NoReturn:
        if isinstance(error, UnicodeDecodeError):
            raise FormatError(f"{self._where} byte {self._base + offset}: not UTF-8 text; expected JSON") from error
        if isinstance(error, RecursionError):
            raise FormatError(f"{self._where}: lists or objects are nested too deeply for a {self._what}") from error
        reason = str(error).partition(";")[0]
        raise FormatError(
            f"{self._where}: a number cannot be read ({reason}); expected COCO's ids and sizes"
        ) from error


def _syntax_error(where: str, line: int, column: int, byte: int, message: str) -> FormatError:
    return FormatError(
        f"{where} line {line} column {column} (byte {byte}): {message}; expected JSON. Was the download cut short?"
    )
