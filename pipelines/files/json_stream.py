"""A large JSON object of lists, read part by part: memory does not grow with the file, on any fsspec file system.

The file is an object. Lists that the caller names come in batches of a few megabytes, decoded as typed structs; all
other values come whole. Keys stand in any order.

A batch is a window that begins at an element and is cut at the last place that looks like the end of one: `}`, a comma,
and the key that elements of this list begin with. That may be wrong, for strings may hold anything; but if "[" + part +
"]" parses, the cut lies between two elements of the list for certain. If it does not parse, the brackets are counted
(`pipelines.files.json_structure`); and if it still does not, the standard library reads the part: it accepts NaN, finds
the position of an error, and entries that are malformed cost only themselves. So do entries that it cannot take in,
numbers of thousands of digits and lists nested thousands deep: then each entry is read by itself.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from pipelines.files import storage
from pipelines.files.json_forms import Bad, Forms
from pipelines.files.json_structure import element_ends, split_elements
from pipelines.files.json_window import WINDOW, Digest, Window, json_kind
from schemas.errors import FormatError, InputError

_KEY = re.compile(rb'[ \t\n\r]*("(?:[^"\\]|\\.)*")[ \t\n\r]*:[ \t\n\r]*', re.DOTALL)
_SPACE = re.compile(rb"[ \t\n\r]*")
_JOINT = re.compile(rb'[ \t\n\r]*,[ \t\n\r]*\{[ \t\n\r]*"[^"\\]{0,80}"')
_loose = json.JSONDecoder()
_members = msgspec.json.Decoder(dict[str, msgspec.Raw])


class Value(NamedTuple):
    """A top-level value that is none of the lists asked for: its key and its JSON text."""

    name: str
    text: bytes


class Batch(NamedTuple):
    """Some entries of a list, side by side.

    Attributes:
        name: key of the list.
        first: number of the first entry in it, from 0.
        entries: typed, or `Bad`.
        text: the same entries as the text of a list.
        form: number of the type that all entries were decoded as; -1 if they had to be read loosely.
        loose: the entries as the standard library reads them, where form is -1; `Bad` where it cannot.
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
            yield from _Reader(Window(stream, path, where or path, what, digest, window), lists).members()
    except (OSError, ValueError) as error:
        reason = "does not exist" if isinstance(error, FileNotFoundError) else f"cannot be read ({error})"
        raise InputError(f"{role} {path!r} {reason}") from error


def read_list(
    path: str,
    name: str,
    types: Sequence[type[msgspec.Struct]],
    *,
    where: str = "",
    what: str = "COCO file",
    role: str = "annotation file",
    digest: Digest | None = None,
) -> Iterator[Batch]:
    """The entries of a file that is one list, as `read_object` gives those of a list in an object.

    Args:
        name: of the list, for messages.
        The others are those of `read_object`.
    """
    try:
        with storage.opened(path) as stream:
            yield from _Reader(Window(stream, path, where or path, what, digest), {name: types}).list_alone(name)
    except (OSError, ValueError) as error:
        raise InputError(f"{role} {path!r} cannot be read ({error})") from error


def begins_list(path: str) -> bool:
    """Whether a file is there and holds a list, and no object."""
    try:
        with storage.opened(path) as stream:
            window = Window(stream, path, path, "")
            window.begin()
            return window.peek() == b"["
    except (OSError, ValueError, FormatError):
        return False


def last_member(path: str, name: str, most: int = WINDOW) -> bytes | None:
    """The JSON text of a list of the object that stands near the end of its file, without reading the rest.

    None if it does not stand there, in the way that files are usually written. If the file is JSON, what is found is
    the object's own member and no inner one: from it to the end of the file one bracket more is closed than opened.
    """
    size = storage.size_of(path)
    with storage.opened(path) as stream:
        stream.seek(max(0, size - most))
        tail = stream.read(most)
    for match in re.finditer(rb'"%s"[ \t\n\r]*:[ \t\n\r]*\[' % re.escape(name.encode()), tail):
        try:
            return bytes(_members.decode(b"{" + tail[match.start() :])[name])
        except (ValueError, RecursionError):
            continue
    return None


class _Reader:
    def __init__(self, window: Window, lists: Mapping[str, Sequence[type[msgspec.Struct]]]) -> None:
        self._w, self._lists = window, lists

    def members(self) -> Iterator[Value | Batch]:
        """The object's members in the order of the file; a list that is asked for comes in batches."""
        self._w.begin()
        if self._w.peek() != b"{":
            found = json_kind(self._w.peek())
            self._whole_value()  # a syntax error is told before anything else
            raise FormatError(
                f"{self._w.where} is no {self._w.what}: found {found}; expected an object with a list `images`"
            )
        self._w.use(1)
        seen: set[str] = set()
        while self._w.peek() != b"}":
            name = self._key()
            if name in seen:
                raise FormatError(
                    f"{self._w.where}: the key {storage.plain_text(name)!r} stands twice; expected it once. "
                    "Leave one out, or make one of both"
                )
            seen.add(name)
            types = self._lists.get(name)
            if types is None:
                yield Value(name, self._whole_value())
            elif self._w.peek() == b"[":
                self._w.use(1)
                yield from self._elements(name, Forms(types))
            else:
                found = json_kind(self._w.peek())
                self._whole_value()
                raise FormatError(f"{self._w.where} is no {self._w.what}: `{name}` is {found}; expected a list")
            if self._w.peek() == b",":
                self._w.use(1)
                if self._w.peek() != b'"':
                    self._w.fail(0, "Expecting property name enclosed in double quotes")
            elif self._w.peek() != b"}":
                self._w.fail(0, "Expecting ',' delimiter")
        self._w.use(1)
        if self._w.peek():
            self._w.fail(0, "Extra data")

    def list_alone(self, name: str) -> Iterator[Batch]:
        """The elements of the list that the file is."""
        self._w.begin()
        self._w.peek()
        self._w.use(1)
        yield from self._elements(name, Forms(self._lists[name]))
        if self._w.peek():
            self._w.fail(0, "Extra data")

    # --- values

    def _key(self) -> str:
        for size in (4096, self._w.size):
            match = _KEY.match(self._w.fill(size))
            if match is not None and (match.end() < len(self._w.held) or self._w.ended):
                try:
                    name = json.loads(match[1])
                except ValueError as error:
                    self._w.fail(0, str(error))
                self._w.use(match.end())
                return name
        self._w.fail(0, "Expecting property name enclosed in double quotes")

    def _whole_value(self) -> bytes:
        """The value that begins here, as text."""
        size = self._w.size
        while True:
            text = self._w.fill(size).decode("utf-8", "surrogateescape")
            try:
                end = _loose.raw_decode(text)[1]
                if end < len(text) or self._w.ended:  # else a number may go on
                    found = text[:end].encode("utf-8", "surrogateescape")
                    self._w.check_utf8(found)
                    self._w.use(len(found))
                    return found
            except json.JSONDecodeError as error:
                if self._w.ended:
                    self._w.fail(len(text[: error.pos].encode("utf-8", "surrogateescape")), error.msg)
            except (ValueError, RecursionError) as error:
                self._w.explain(error, 0)
            size *= 2

    def _elements(self, name: str, forms: Forms) -> Iterator[Batch]:
        """The elements of a list whose bracket was used up, in batches; uses up the bracket that ends it."""
        first, size, joint = 0, self._w.size, b""
        if self._w.peek() == b"]":
            self._w.use(1)
            yield Batch(name, 0, (), b"[]", 0)
            return
        while True:
            held = self._w.fill(size)
            end = held.rfind(joint, 0, size) + 1 if joint else 0
            text = b"[" + held[:end] + b"]" if end else b""
            entries = forms.decode(text) if end else None
            stop = -1
            if entries is None:
                ends, stop = element_ends(held)
                end = stop if stop >= 0 else self._last_joint(held, ends.tolist())
                if not end:
                    if self._w.ended:
                        self._w.fail(len(held), "Expecting ',' delimiter")
                    size *= 2
                    continue
                text = b"[" + held[:end] + b"]"
                entries = forms.decode(text)
                joint = self._joint(held, ends.tolist()) or joint
            self._w.check_utf8(text, -1)
            if entries is None:
                loose = self._read_loosely(text)
                batch = Batch(name, first, [forms.convert(value) for value in loose], text, -1, loose)
            else:
                batch = Batch(name, first, entries, text, forms.form)
            if stop >= 0 and held[stop : stop + 1] != b"]":
                self._w.fail(stop, "Expecting ',' delimiter")
            first += len(batch.entries)
            yield batch
            self._w.use(end)
            if stop >= 0:
                self._w.use(1)
                return
            if self._w.peek() != b",":
                self._w.fail(0, "Expecting ',' delimiter")
            self._w.use(1)
            if self._w.peek() == b"]":
                self._w.fail(0, "Expecting value")
            size = self._w.size

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
            self._w.fail(len(text.decode()[: error.pos].encode()) - 1, error.msg)
        except (ValueError, RecursionError):
            return [self._read_alone(start, part) for start, part in split_elements(text[1:-1])]

    def _read_alone(self, start: int, part: bytes) -> Any:
        """One element, `Bad` if the standard library cannot take it in."""
        try:
            return json.loads(part.decode())
        except json.JSONDecodeError as error:
            self._w.fail(start + len(part.decode()[: error.pos].encode()), error.msg)
        except RecursionError:
            return Bad("lists or objects are nested too deeply")
        except ValueError as error:
            return Bad(f"a number cannot be read ({str(error).partition(';')[0]})")
