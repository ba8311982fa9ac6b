"""Entries of a JSON list as typed structs: decoded together, or, where that fails, converted one by one.

What is kept as JSON text can be read back by every reader: of values that the standard library alone takes, NaN and
infinity become null, and half a surrogate pair becomes its escape as text (`raw_json`).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from types import GenericAlias
from typing import Any, NamedTuple

import msgspec

from pipelines.files import storage

DEEPEST = 200  # lists and objects in an entry that the standard library had to read
_MARGIN = 5  # more brackets that a value may stand in where it is read again
_skip = msgspec.json.Decoder(msgspec.Raw)
_FAULT = re.compile(r"Expected `([^`]*)`(.*), got [^,]* - at `\$\.(\w+)(.*)`")
_KINDS = {
    "str": "text", "int": "a number", "float": "a number", "array": "a list", "object": "an object",
    "bool": "true or false",
}  # fmt: skip


class Bad(NamedTuple):
    """An entry that is not of the type asked for, and why."""

    error: str


class Forms:
    """Decoders of one list; the last one that worked is tried first."""

    def __init__(self, types: Sequence[type[msgspec.Struct]]) -> None:
        self._decoders = [msgspec.json.Decoder(GenericAlias(list, kind)) for kind in types]
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
        """One entry from the standard library's reading, or what already is `Bad`."""
        if isinstance(value, Bad):
            return value
        if _is_deeper(value, DEEPEST):
            return Bad(f"lists or objects are nested more than {DEEPEST} deep")
        try:
            if isinstance(value, dict):
                names = {*self._type.__struct_fields__} - self._raw
                wrong = [name for name in names if not _is_unicode(value.get(name))]
                if wrong:
                    return Bad(f"{wrong[0]} is no Unicode text: {value[wrong[0]]!a}")
                raw = {name: raw_json(value[name]) for name in self._raw & value.keys()}
                value = {**value, **raw}
            return msgspec.convert(value, self._type)
        except (msgspec.ValidationError, RecursionError) as error:
            return Bad(_told(str(error), value))


def _told(error: str, value: Any) -> str:
    """A fault of types in plain words, with what stands there."""
    match = _FAULT.fullmatch(error)
    if match is None or not isinstance(value, dict) or match[3] not in value:
        return error
    kinds = dict.fromkeys(_KINDS.get(kind, kind) for kind in match[1].split(" | ") if kind != "null")
    shown = json.dumps(value[match[3]], ensure_ascii=False)[:60]
    return f"{match[3]} is {shown}; expected {' or '.join(kinds)}{match[2]}{' in it' * bool(match[4])}"


def _is_unicode(value: object) -> bool:
    """False for a string with half a surrogate pair, which JSON can state and UTF-8 cannot."""
    if isinstance(value, list):
        return all(map(_is_unicode, value))
    return not isinstance(value, str) or storage.plain_text(value) == value


def raw_json(value: Any) -> msgspec.Raw:
    """A value that the standard library read, as JSON text that everyone reads; see above.

    Raises:
        RecursionError: for values nested hundreds deep.
    """
    try:
        return msgspec.Raw(msgspec.json.encode(value))
    except (UnicodeEncodeError, OverflowError):
        return msgspec.Raw(json.dumps(_plain(value)).encode())


def readable_json(text: bytes) -> tuple[bytes, bool]:
    """JSON text that everyone reads, and whether it had to be changed for that.

    Raises:
        ValueError, RecursionError: if the standard library does not take it, or it is nested too deeply.
    """
    try:
        _skip.decode(b"[" * _MARGIN + text + b"]" * _MARGIN)
        return text, False
    except ValueError:
        return bytes(raw_json(json.loads(text))), True


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return storage.plain_text(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    if isinstance(value, dict):
        return {storage.plain_text(name): _plain(inner) for name, inner in value.items()}
    return value


def _is_deeper(value: Any, most: int) -> bool:
    level = [value]
    for _ in range(most):
        level = [inner for outer in level if isinstance(outer, list | dict) for inner in _inside(outer)]
        if not level:
            return False
    return True


def _inside(value: Any) -> Any:
    return value.values() if isinstance(value, dict) else value
