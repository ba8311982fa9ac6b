"""The fields of a message by name, and a book of what became of each.

Law: every field of the file ends in exactly one list of the `Book`: taken (it decides a setting), of no use here (with
the reason), or not known. Nobody has to remember the third: it is what was never asked for. As in the API's own reader
a scalar that stands twice holds its last value, and messages of one name are one message.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from detector.given_text import nearest, shortened
from detector.limits import RANGES
from detector.pipeline_config.text_format import Field, Scalar
from schemas.errors import FormatError

_DECIMAL = re.compile(r"-?(?:0[xX][0-9A-Fa-f]{1,16}|[0-9]{1,18})")
HINTS = 100  # fields that are not known and get a neighbour, the first ones of a file
LONGEST_PATH = 240
TRUE, FALSE = ("true", "True", "t", "1"), ("false", "False", "f", "0")


class Entry(NamedTuple):
    """What became of one field.

    Attributes:
        path: names from the outermost message on, with points between.
        line: in the file; 0 where the file is silent and the API's default holds.
        value: as it stands, shortened.
        note: the settings that it gives, or why it has no use, or a name that is near.
    """

    path: str
    line: int
    value: str
    note: str

    def __str__(self) -> str:
        place = f"line {self.line}: " if self.line else ""
        between = " " if self.note.startswith(("->", "(")) else "; "
        path = shortened(".".join(shortened(name) for name in self.path.split(".")), LONGEST_PATH)
        return f"{place}{path}: {self.value}{between if self.note else ''}{self.note}"


class Book:
    """Where settings and entries are written down.

    Attributes:
        where: the file's name, for messages.
        settings: section.key to value.
        taken, other: entries; of what the file does not say, with line 0, in `taken` alone.
        flags: for `wordtree detect`.
    """

    def __init__(self, where: str) -> None:
        self.where = where
        self.settings: dict[str, Any] = {}
        self.taken: list[Entry] = []
        self.other: list[Entry] = []
        self.flags: list[str] = []
        self.asked: dict[str, set[str]] = {}
        self.done: set[int] = set()

    def set(self, entry: Entry, settings: Mapping[str, Any], remark: str = "") -> None:
        """Write settings down, with where they come from.

        Raises:
            FormatError: if one is out of the range that `detector.limits` allows.
        """
        for key, value in settings.items():
            least, most = RANGES.get(key, (-math.inf, math.inf))
            if isinstance(value, int | float) and not least <= value <= most:
                raise FormatError(
                    f"{self.where} line {entry.line}: {entry.path}: found {entry.value}, which makes {key} {value!r}; "
                    f"expected {least:g} to {most:g}"
                )
        self.settings.update(settings)
        words = ", ".join(f"{key}={short_value(value)}" for key, value in settings.items())
        told = f"{words} ({remark})" if words and remark else words or remark
        self.taken.append(entry._replace(note=f"-> {told}"))

    def unknown(self, fields: Sequence[Field]) -> tuple[Entry, ...]:
        """What nobody asked for; what was asked for and holds nothing goes to `other`."""
        found: list[Entry] = []
        for path, field in leaves(fields):
            if id(field) in self.done:
                continue
            parent, _, name = path.rpartition(".")
            if field.name in self.asked.get(parent, ()):
                self.other.append(Entry(path, field.line, "{}", "says nothing: the defaults hold"))
                continue
            known = self.asked.get(parent, ()) if len(found) < HINTS else ()
            found.append(Entry(path, field.line, _shown(field), nearest(name, sorted(known)).strip()))
        return tuple(found)


class Fields:
    """One message of the file.

    Args:
        fields: of the message; of all messages of its name together.
        path: names down to it.
        line: of its beginning; 0 where the file has none.
        book: of the file.
    """

    def __init__(self, fields: Sequence[Field], path: str, line: int, book: Book) -> None:
        self.fields, self.path, self.line, self.book = fields, path, line, book

    def __contains__(self, name: str) -> bool:
        self._ask(name)
        return any(field.name == name for field in self.fields)

    def error(self, message: str, line: int = 0) -> FormatError:
        """An error that names file, line and message."""
        return FormatError(f"{self.place(line)}: {self.path or 'the file'}: {message}")

    def place(self, line: int = 0) -> str:
        """The file, and a line of it where there is one."""
        line = line or self.line
        return f"{self.book.where} line {line}" if line else self.book.where

    def message(self, name: str) -> Fields:
        """The message of a name; without fields and with line 0 where the file has none."""
        parts = self.messages(name)
        inside = [field for part in parts for field in part.fields]
        return Fields(inside, self._path(name), parts[0].line if parts else 0, self.book)

    def messages(self, name: str) -> list[Fields]:
        """Every message of a name."""
        found: list[Fields] = []
        for field in self._named(name):
            if isinstance(field.value, Scalar):
                raise self._bad(field, "a message, { ... }")
            found.append(Fields(field.value, self._path(name), field.line, self.book))
        return found

    def one_of(self, *names: str) -> str:
        """Which of fields that exclude each other is there; none: "".

        Raises:
            FormatError: if several are.
        """
        present = [name for name in names if name in self]
        if len(present) > 1:
            lines: dict[str, int] = {}
            for field in self.fields:
                if field.name in present:
                    lines.setdefault(field.name, field.line)
            told = ", ".join(f"{name} in line {line}" for name, line in lines.items())
            raise self.error(f"found {told}; expected one of them")
        return present[0] if present else ""

    def number(self, name: str, default: float) -> float:
        """A number; infinities and what is none are errors of the values that use it."""
        field = self._last(name)
        if field is None:
            return default
        return self._number(field)

    def numbers(self, name: str) -> list[float]:
        """All numbers of a repeated field."""
        return [self._number(field) for field in self._named(name)]

    def integer(self, name: str, default: int) -> int:
        """A whole number."""
        field = self._last(name)
        if field is None:
            return default
        value = field.value
        if not isinstance(value, Scalar) or value.kind != "number" or not _DECIMAL.fullmatch(value.text):
            raise self._bad(field, "a whole number")
        digits = value.text.lstrip("-")
        octal = len(digits) > 1 and digits.startswith("0") and digits.isdigit()
        if octal and set(digits) & {"8", "9"}:
            raise self._bad(field, "a whole number; one that begins with 0 is read with the base 8")
        return int(value.text, 8) if octal else int(value.text, 0)

    def flag(self, name: str, default: bool) -> bool:
        """true or false."""
        field = self._last(name)
        if field is None:
            return default
        value = field.value
        if not isinstance(value, Scalar) or value.kind == "string" or value.text not in TRUE + FALSE:
            raise self._bad(field, "true or false")
        return value.text in TRUE

    def word(self, name: str, default: str, allowed: Sequence[str] = ()) -> str:
        """A word of an enumeration."""
        field = self._last(name)
        if field is None:
            return default
        value = field.value
        if not isinstance(value, Scalar) or value.kind != "word" or (allowed and value.text not in allowed):
            raise self._bad(field, f"one of {', '.join(allowed)}" if allowed else "a word")
        return value.text

    def text(self, name: str, default: str) -> str:
        """A string."""
        field = self._last(name)
        return default if field is None else self._text(field)

    def texts(self, name: str) -> list[str]:
        """All strings of a repeated field."""
        return [self._text(field) for field in self._named(name)]

    def take(self, name: str, settings: Mapping[str, Any], remark: str = "", default: Any = "") -> None:
        """A field of this message decides settings, all fields of its name together; `default` is told if it is not."""
        found = [field for field in self._named(name) if id(field) not in self.book.done]
        self.book.done.update(id(field) for field in found)
        line = found[-1].line if found else 0
        lines: dict[int, list[str]] = {}
        for field in found:
            lines.setdefault(field.line, []).append(_shown(field))
        shown = shortened(", ".join(lines.pop(line, []))) or f"{short_value(default)} (default)"
        for before, part in lines.items():
            self.book.taken.append(Entry(self._path(name), before, shortened(", ".join(part)), f"-> with line {line}"))
        self.book.set(Entry(self._path(name), line, shown, ""), settings, remark)

    def leave(self, name: str, why: str) -> None:
        """A field of this message, or all of a message in it, has no use here; nothing if it is not there."""
        for field in self._named(name):
            for path, leaf in leaves([field]):
                if id(leaf) not in self.book.done:
                    self.book.done.add(id(leaf))
                    full = f"{self.path}.{path}" if self.path else path
                    self.book.other.append(Entry(full, leaf.line, _shown(leaf), why))

    def leave_all(self, reasons: Mapping[str, str]) -> None:
        """`leave` for a table of reasons: each with the names that it holds for, between spaces."""
        for why, names in reasons.items():
            for name in names.split():
                self.leave(name, why)

    def _named(self, name: str) -> list[Field]:
        self._ask(name)
        return [field for field in self.fields if field.name == name]

    def _last(self, name: str) -> Field | None:
        """The last scalar of a name; those before it do not hold."""
        found = self._named(name)
        for field in found[:-1]:
            if id(field) not in self.book.done:
                self.book.done.add(id(field))
                why = f"stands again in line {found[-1].line}: the last one holds"
                self.book.other.append(Entry(self._path(name), field.line, _shown(field), why))
        return found[-1] if found else None

    def _number(self, field: Field) -> float:
        value = field.value
        text = value.text.lower() if isinstance(value, Scalar) else ""
        if isinstance(value, Scalar) and value.kind == "word" and text in ("inf", "infinity", "nan"):
            return float(text)
        if not isinstance(value, Scalar) or value.kind != "number":
            raise self._bad(field, "a number")
        if text.lstrip("-").startswith("0x"):
            return float(int(text, 16)) if len(text) <= 19 else math.inf
        return float(text.removesuffix("f") if not text.endswith("inf") else text)

    def _text(self, field: Field) -> str:
        if not isinstance(field.value, Scalar) or field.value.kind != "string":
            raise self._bad(field, 'a string, "..."')
        return field.value.text

    def _bad(self, field: Field, expected: str) -> FormatError:
        path = self._path(field.name)
        return FormatError(f"{self.book.where} line {field.line}: {path}: found {_shown(field)}; expected {expected}")

    def _ask(self, name: str) -> None:
        self.book.asked.setdefault(self.path, set()).add(name)

    def _path(self, name: str) -> str:
        return f"{self.path}.{name}" if self.path else name


def leaves(fields: Sequence[Field], path: str = "") -> list[tuple[str, Field]]:
    """(path, field) of all scalars, and of messages that hold nothing."""
    found: list[tuple[str, Field]] = []
    for field in fields:
        here = f"{path}.{field.name}" if path else field.name
        if isinstance(field.value, Scalar) or not field.value:
            found.append((here, field))
        else:
            found += leaves(field.value, here)
    return found


def _shown(field: Field) -> str:
    """A value for people, shortened."""
    if not isinstance(field.value, Scalar):
        return "{...}" if field.value else "{}"
    text = shortened(field.value.text, 60)
    return repr(text) if field.value.kind == "string" else text


def short_value(value: Any) -> str:
    """A setting for people, shortened."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, tuple):
        parts = [short_value(part) for part in value[:4]]
        return f"({', '.join(parts)}{f', ... {len(value)} in all' if len(value) > 4 else ''})"
    return str(value)
