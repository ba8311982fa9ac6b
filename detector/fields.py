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
    kind = plain_types(section)[name]
    place = f"{where} ({key})"
    prepared = _prepared(value, kind)
    try:
        return msgspec.convert(prepared, kind)
    except (msgspec.ValidationError, OverflowError) as error:
        raise ConfigError(f"{place}: {_problem(value, prepared, kind)}") from error


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


def _prepared(value: Any, kind: Any) -> Any:
    """What msgspec takes: lists of text taken apart, whole numbers without a fraction, words of a switch."""
    if typing.get_origin(kind) is tuple:
        if isinstance(value, str):
            try:
                value = json.loads(value if value.startswith("[") else f"[{value}]")
            except (ValueError, RecursionError):
                value = [part.strip() for part in value.split(",")]
        if isinstance(value, list | tuple):
            inner = typing.get_args(kind)
            return [
                _prepared(part, inner[min(at, len(inner) - 1)] if inner[-1] is not ... else inner[0])
                for at, part in enumerate(value)
            ]
    if kind is bool and isinstance(value, str):
        return _SWITCH.get(value.lower(), value)
    if kind in (int, float) and isinstance(value, str):
        try:
            return kind(value)
        except ValueError:
            return value
    if kind is int and isinstance(value, float) and value.is_integer():
        return int(value)
    if type(None) in typing.get_args(kind) and value in ("none", "None"):
        return None
    return value


def _problem(value: Any, prepared: Any, kind: Any) -> str:
    """What was found and what is expected, of the innermost value that does not fit."""
    inner = typing.get_args(kind)
    if typing.get_origin(kind) is tuple:
        if not isinstance(prepared, list):
            return f"found {shown(value)}; expected a list"
        if inner[-1] is not ... and len(inner) != len(prepared):
            return f"found {len(prepared)} values; expected {len(inner)}"
        for at, part in enumerate(prepared):
            one = inner[0] if inner[-1] is ... else inner[at]
            try:
                msgspec.convert(part, one)
            except (msgspec.ValidationError, OverflowError):
                return _problem(part, part, one)
    if typing.get_origin(kind) is Literal:
        return f"found {shown(value)}; expected one of {', '.join(map(str, inner))}"
    if kind is bool and isinstance(value, str):
        return f"found {shown(value)}; expected true or false"
    found = shown(value) if isinstance(value, str) else shortened(json.dumps(value, default=repr))
    return f"found {found}; expected {getattr(kind, '__name__', kind)}"


def shown(value: Any) -> str:
    """What was found, quoted and shortened."""
    return shortened(repr(value))
