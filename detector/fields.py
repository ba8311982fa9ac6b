"""How a field of an experiment is declared, and how every value becomes one.

    steps: Annotated[int, about("length of the run", 1, COUNT)] = 1000

The annotation is the only place that knows type, range and meaning. `converted` is the one way in: for the text of an
override, for JSON and TOML, for a pipeline.config and for a Python page. Numbers keep their kind: 2.0 is a whole
number, 2.7 and true are none. Text may hold more: `1_000`, `yes`, `none`, a list with or without brackets.
"""

from __future__ import annotations

import functools
import json
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from detector.given_text import shortened
from schemas.errors import ConfigError

COUNT = 10**12  # of steps or images: as many times the largest batch still fits into 64 bits

Scale = Annotated[float, Meta(ge=0, le=1e6)]
Share = Annotated[float, Meta(ge=0, le=1)]
Steps = Annotated[int, Meta(ge=0, le=COUNT)]


def about(meaning: str, least: float | None = None, most: float | None = None) -> Meta:
    """What a field means, and of a number the range, ends included; as msgspec holds them."""
    return Meta(description=meaning, ge=least, le=most)


_SWITCH = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}


@dataclass(frozen=True, kw_only=True)
class Section:
    """A part of an experiment: a frozen dataclass of declared fields."""

    def faults(self, experiment: Any) -> Iterator[str]:
        """What is wrong between fields, each as `section.key is ...; expected ...`; a field's own range is no part."""
        yield from ()


@functools.cache
def declared(section: type) -> dict[str, Any]:
    """Name to annotation, of all fields of a section."""
    return typing.get_type_hints(section, include_extras=True)


@functools.cache
def plain_types(section: type) -> dict[str, Any]:
    """Name to type without range and meaning."""
    return typing.get_type_hints(section)


def limits(annotation: Any) -> tuple[float, float] | None:
    """The range of a number, or of every number of a list: both ends are allowed. None: anything of the type."""
    if typing.get_origin(annotation) is not Annotated:
        return limits(typing.get_args(annotation)[0]) if typing.get_origin(annotation) is tuple else None
    kind, *marks = typing.get_args(annotation)
    for mark in marks:
        if mark.ge is not None:
            return mark.ge, mark.le
    return limits(kind)


def converted(value: Any, section: type, name: str, key: str, where: str) -> Any:
    """A value as the field `name` of a section holds it.

    Args:
        value: text of an override, or a value of JSON, TOML or Python.
        section: that declares the field.
        name: of the field.
        key: section.name, for messages.
        where: the value comes from, for messages.

    Raises:
        ConfigError: if it is of another type, naming what was found and what is expected. Ranges: `out_of_range`.
    """
    try:
        return _value(value, plain_types(section)[name])
    except _Unfit as error:
        raise ConfigError(f"{where} ({key}): {error}") from error


def out_of_range(value: Any, annotation: Any) -> str:
    """`is 0; expected 1 to 8` where a value of the right type is out of its range; else nothing."""
    ends = limits(annotation)
    if ends is None:
        return ""
    least, most = ends
    several = isinstance(value, tuple)
    for each in value if several else (value,):
        if not least <= each <= most:  # of NaN too
            verb, expected = ("holds", "numbers from ") if several else ("is", "")
            return f"{verb} {shortened(repr(each))}; expected {expected}{least:g} to {most:g}"
    return ""


class _Unfit(Exception):
    """What was found and what is expected, of the innermost value that does not fit."""


def _value(value: Any, kind: Any) -> Any:
    """A value of a type: lists item by item, the rest by msgspec once text is a number or a switch."""
    inner = typing.get_args(kind)
    if typing.get_origin(kind) is tuple:
        if isinstance(value, str):
            try:
                value = json.loads(value if value.startswith("[") else f"[{value}]")
            except (ValueError, RecursionError):
                value = [part.strip() for part in value.split(",")]
        if not isinstance(value, list | tuple):
            raise _Unfit(f"found {shortened(repr(value))}; expected a list")
        kinds = inner[:1] * len(value) if inner[-1] is ... else inner
        if len(kinds) != len(value):
            raise _Unfit(f"found {len(value)} values; expected {len(kinds)}")
        return tuple(_value(part, one) for part, one in zip(value, kinds, strict=True))
    found = shortened(repr(value) if isinstance(value, str) else json.dumps(value, default=repr))
    expected = getattr(kind, "__name__", str(kind))
    if typing.get_origin(kind) is Literal:
        expected = f"one of {', '.join(map(str, inner))}"
    try:
        if kind is bool and isinstance(value, str):
            expected = "true or false"
            value = _SWITCH.get(value.lower(), value)
        elif (kind in (int, float) and isinstance(value, str)) or (
            kind is int and isinstance(value, float) and value.is_integer()
        ):
            value = kind(value)
        elif type(None) in inner and value in ("none", "None"):
            value = None
        return msgspec.convert(value, kind)
    except (msgspec.ValidationError, ValueError, OverflowError) as error:
        raise _Unfit(f"found {found}; expected {expected}") from error
