"""Entries of a JSON list as typed structs: decoded together, or, where that fails, converted one by one."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from pipelines.files import storage


class Bad(NamedTuple):
    """An entry that is not of the type asked for, and why."""

    error: str


class Forms:
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
                raw = {name: raw_json(value[name]) for name in self._raw & value.keys()}
                value = {**value, **raw}
            return msgspec.convert(value, self._type)
        except (msgspec.ValidationError, RecursionError) as error:
            return Bad(str(error))


def _is_unicode(value: object) -> bool:
    """False for a string with half a surrogate pair, which JSON can state and UTF-8 cannot."""
    return not isinstance(value, str) or storage.plain_text(value) == value


def raw_json(value: Any) -> msgspec.Raw:
    """A value that the standard library read as JSON text; NaN becomes null."""
    try:
        return msgspec.Raw(msgspec.json.encode(value))
    except (UnicodeEncodeError, RecursionError, OverflowError):
        return msgspec.Raw(json.dumps(value).encode())
