"""The text of a .cfg: sections of `key=value` lines, as darknet reads them.

Law: white space counts nowhere; a line that begins with `#` or `;` is a comment; of two lines with one key in a section
the first holds (darknet's `option_find`); a number ends where it stops looking like one, so `batch=64 # all` is 64.
Capitals count: to darknet `Activation=leaky` says nothing, and its default holds.

Every value knows its line, so that an error can name it. A key that nobody asks for is listed, not refused: published
files hold keys that the program that reads them ignores. A wrong value that training alone asks for is listed too:
whoever only looks for objects need not know it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from detector.given_text import nearest
from schemas.errors import FormatError
from wordtree.text_files import read_text, split_lines

_COMMENT = ("#", ";")
_INTEGER = re.compile(r"[-+]?[0-9]{1,12}")
_NUMBER = re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]{1,3})?")
Value = TypeVar("Value")


class Section:
    """One `[type]` with its values.

    Attributes:
        kind: the word between the brackets.
        line: its line in the file, from 1.
        values: key to (text, line); the first of equal keys.
        repeated: keys that stood there again with another value, and the line that is not used.
        faults: wrong values that training alone asks for.
    """

    def __init__(self, kind: str, line: int, where: str) -> None:
        self.kind, self.line, self._where = kind, line, where
        self.values: dict[str, tuple[str, int]] = {}
        self.repeated: list[tuple[str, int]] = []
        self.faults: list[str] = []
        self._asked: dict[str, Any] = {}

    def __contains__(self, key: str) -> bool:
        return key in self.values

    def error(self, message: str, line: int | None = None) -> FormatError:
        """An error that names the file, the line and the section."""
        return FormatError(f"{self._where} line {line or self.line}: [{self.kind}] {message}")

    def bad(self, key: str, expected: str) -> FormatError:
        """An error about one value, or about its absence."""
        if key not in self.values:
            return self.error(f"has no {key}; expected {expected}")
        text, line = self.values[key]
        found = text[:60].encode(errors="backslashreplace").decode()
        return self.error(f"{key}={found}; expected {expected}", line)

    def text(self, key: str, default: str = "") -> str:
        """The value as it stands, without white space."""
        self._asked[key] = default
        return self.values[key][0] if key in self.values else default

    def choice(self, key: str, default: str, *, allowed: Sequence[str]) -> str:
        """One of some words.

        Raises:
            FormatError: if it is none of them.
        """
        text = self.text(key, default)
        if text not in allowed:
            raise self.bad(key, f"one of {', '.join(allowed)}")
        return text

    def integer(self, key: str, default: int, *, least: int = 0, most: int = 2**31 - 1) -> int:
        """A whole number from `least` to `most`.

        Raises:
            FormatError: if it is none.
        """
        text = self.text(key, str(default))
        if key not in self.values:
            return default
        number = _uncommented(text)
        if not _INTEGER.fullmatch(number) or not least <= int(number) <= most:
            upper = f" to {most}" if most != 2**31 - 1 else " or more"
            raise self.bad(key, f"a whole number, {least}{upper}")
        return int(number)

    def flag(self, key: str, default: bool) -> bool:
        """0 or 1."""
        return bool(self.integer(key, int(default), most=1))

    def number(self, key: str, default: float, *, least: float = 0.0, most: float = 1e30) -> float:
        """A number from `least` to `most`.

        Raises:
            FormatError: if it is none.
        """
        text = self.text(key, f"{default:g}")
        if key not in self.values:
            return default
        number = _uncommented(text)
        if not _NUMBER.fullmatch(number) or not least <= float(number) <= most:
            raise self.bad(key, f"a number from {least:g}" + ("" if most == 1e30 else f" to {most:g}"))
        return float(number)

    def numbers(self, key: str, default: tuple[float, ...] = ()) -> tuple[float, ...]:
        """Numbers with commas between them.

        Raises:
            FormatError: if one of them is no number.
        """
        parts = self._parts(key, default)
        if not all(_NUMBER.fullmatch(part) and math.isfinite(float(part)) for part in parts):
            raise self.bad(key, "numbers with commas between them")
        return tuple(float(part) for part in parts)

    def integers(self, key: str, default: tuple[int, ...] = ()) -> tuple[int, ...]:
        """Whole numbers with commas between them.

        Raises:
            FormatError: if one of them is none.
        """
        parts = self._parts(key, default)
        if not all(_INTEGER.fullmatch(part) for part in parts):
            raise self.bad(key, "whole numbers with commas between them")
        return tuple(int(part) for part in parts)

    def training(self, read: Callable[..., Value], key: str, default: Value, **limits: Any) -> Value:
        """`read(key, default, **limits)` of what counts in training alone: if it is wrong it is listed, not refused."""
        try:
            return read(key, default, **limits)
        except FormatError as error:
            self.fault(error)
            return default

    def fault(self, error: FormatError) -> None:
        """List what is wrong and counts in training alone."""
        self.faults.append(f"{str(error).removeprefix(f'{self._where} ')}. It counts in training alone: not used")

    def ignore(self, *keys: str) -> None:
        """Keys that are known and change nothing here."""
        self._asked |= dict.fromkeys(keys)

    def refuse(self, key: str, allowed: Sequence[str], reason: str) -> None:
        """Refuse a value that would change what the network computes.

        Raises:
            FormatError: if the key is there with another value.
        """
        if _uncommented(self.text(key, allowed[0])) not in allowed:
            raise self.bad(key, f"{' or '.join(allowed)}: {reason}")

    def warnings(self) -> list[str]:
        """One line for each key that nobody asked for, each that stood there twice, and each fault."""
        known = sorted(self._asked)
        found: list[str] = []
        for key, (_, line) in self.values.items():
            small = key.lower()
            if key not in self._asked and small in self._asked and small not in self.values:
                holds = f"; {small}={self._asked[small]} holds" if self._asked[small] else ""
                found.append(
                    f"line {line}: [{self.kind}] {key!r} is not {small!r}, and was not used, as in darknet{holds}"
                )
            elif key not in self._asked:
                hint = nearest(key, known)
                found.append(f"line {line}: [{self.kind}] the key {key!r} is not known and was not used{hint}")
        found += [
            f"line {line}: [{self.kind}] {key!r} stands there again; as in darknet the first one holds"
            for key, line in self.repeated
        ]
        return [*found, *self.faults]

    def _parts(self, key: str, default: tuple[float, ...]) -> list[str]:
        if key not in self.values:
            self._asked[key] = None
            return [str(number) for number in default]
        text = _uncommented(self.text(key)).removesuffix(",")
        return text.split(",") if text else []


def read_cfg_text(path: str | Path) -> str:
    """The text of a .cfg. Comments may be in any encoding: bytes that are no UTF-8 are kept, and written back.

    Raises:
        InputError: if the file cannot be read, or is empty.
    """
    return read_text(Path(path), errors="surrogateescape")


def read_sections(text: str, where: str) -> list[Section]:
    """The sections of a .cfg in order.

    Args:
        text: of the file.
        where: its name, for messages.

    Raises:
        FormatError: if a line is no section, no value and no comment; with the line.
    """
    if "\0" in text:
        raise FormatError(f"{where}: holds bytes of zero; expected text: save it as UTF-8")
    sections: list[Section] = []
    for number, line in enumerate(split_lines(text), 1):
        words = "".join(line.split())
        if not words or words.startswith(_COMMENT):
            continue
        if words.startswith("["):
            if not words.endswith("]") or len(words) < 3:
                raise FormatError(f"{where} line {number}: found {line.strip()[:60]!r}; expected a section as [net]")
            sections.append(Section(words[1:-1], number, where))
            continue
        key, equals, value = words.partition("=")
        if not equals or not key:
            raise FormatError(f"{where} line {number}: found {line.strip()[:60]!r}; expected [section] or key=value")
        if not sections:
            raise FormatError(f"{where} line {number}: found {key}={value[:40]} before any section; expected [net]")
        first, _ = sections[-1].values.setdefault(key, (value, number))
        if first != value:
            sections[-1].repeated.append((key, number))
    return sections


def _uncommented(text: str) -> str:
    """The text before a comment at the end of the line."""
    return re.split("[#;]", text, maxsplit=1)[0]
