"""What an experiment may be: refused before anything is built, with the value, what was found and what is allowed.

Types and ranges stand with the fields; here every field is converted and checked by its declaration, and fields are
checked against each other.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from detector.fields import Section, converted, declared, limits, out_of_range
from detector.given_text import nearest, shortened
from detector.sections import Experiment
from schemas.errors import ConfigError

MOST_ANCHOR = 1000  # images: priors of a published .cfg are in cells, of which a small input has one
LEAST_SHORTER_SIDE = 16  # pixels of model.shorter_side, where it is not 0


def section_names(kind: type[Experiment]) -> list[str]:
    """The sections of an experiment; an architecture of a user's own may add to them."""
    return [field.name for field in dataclasses.fields(kind) if field.name != "name"]


def _annotations(experiment: Experiment) -> Iterator[tuple[str, str, Section, Any]]:
    """Section, field, the section's values and the field's annotation: of every field."""
    for section in section_names(type(experiment)):
        part = getattr(experiment, section)
        for name, annotation in declared(type(part)).items():
            yield section, name, part, annotation


# section.key: (least, most) of every number, or list of numbers, that has a range
RANGES: dict[str, tuple[float, float]] = {
    f"{section}.{name}": ends
    for section, name, _, annotation in _annotations(Experiment(name=""))
    if (ends := limits(annotation))
}


def with_value(experiment: Experiment, key: str, value: Any, where: str) -> Experiment:
    """The experiment with one field `section.key` as a value says: text, or of JSON, TOML or Python.

    Raises:
        ConfigError: if there is no such field, with the nearest, or the value is not of its type.
    """
    section, _, name = key.partition(".")
    sections = section_names(type(experiment))
    if section not in sections:
        raise ConfigError(
            f"{where}: no section {shortened(repr(section))}{nearest(section, sections)}; there are "
            f"{', '.join(sections)}"
        )
    part = getattr(experiment, section)
    fields = declared(type(part))
    if name not in fields:
        raise ConfigError(
            f"{where}: {section} has no key {shortened(repr(name))}{nearest(name, fields)}; it has {', '.join(fields)}"
        )
    new = converted(value, type(part), name, f"{section}.{name}", where)
    return replace(experiment, **{section: replace(part, **{name: new})})


def within_limits(experiment: Experiment, sections: Sequence[str]) -> tuple[Experiment, list[str]]:
    """The experiment with values of some sections at the ends of their ranges where they lie beyond, and what was so.

    For settings that were written for another program, which knows no such limits.
    """
    notes: list[str] = []
    for section, name, part, annotation in list(_annotations(experiment)):
        ends, value = limits(annotation), getattr(part, name)
        if section not in sections or ends is None or not out_of_range(value, annotation):
            continue
        least, most = ends
        several = isinstance(value, tuple)
        held = tuple(type(one)(min(max(one, least), most)) for one in (value if several else (value,)))
        told = shortened(repr(value))
        notes.append(f"{section}.{name} is {told}, beyond {least:g} to {most:g}; it is held within")
        changed = replace(getattr(experiment, section), **{name: held if several else held[0]})
        experiment = replace(experiment, **{section: changed})
    return experiment, notes


def check_experiment(experiment: Experiment, where: str) -> Experiment:
    """The experiment, every value as its field declares it.

    Raises:
        ConfigError: naming the value, what was found and what is allowed.
    """
    for section, name, part, annotation in list(_annotations(experiment)):
        key, value = f"{section}.{name}", getattr(part, name)
        experiment = with_value(experiment, key, value, where)
        if fault := out_of_range(getattr(getattr(experiment, section), name), annotation):
            raise ConfigError(f"{where}: {key} {fault}")
    for fault in _faults(experiment):
        raise ConfigError(f"{where}: {fault}")
    return experiment


def _faults(experiment: Experiment) -> Iterator[str]:
    """What is wrong between fields, of the experiment as a whole and of each section."""
    model, train = experiment.model, experiment.train
    if model.shorter_side and (model.cfg or experiment.augment.mode == "release2017"):
        other = "model.cfg" if model.cfg else "augment.mode=release2017"
        yield (
            f"model.shorter_side is {model.shorter_side} beside {other}, which lays pictures on the canvas in its own "
            "way; expected 0"
        )
    if model.stretched and not model.cfg:
        yield "model.stretched goes with model.cfg, darknet's own networks; expected false"
    if 0 < model.shorter_side < LEAST_SHORTER_SIDE:
        yield (
            f"model.shorter_side is {model.shorter_side}; expected {LEAST_SHORTER_SIDE} or more pixels, or 0 for "
            "pictures as large as the canvas allows"
        )
    if model.output_stride not in (1, 2, 4, 8, 16, 32):
        yield f"model.output_stride is {model.output_stride}; expected a power of two"
    for section in section_names(type(experiment)):
        yield from getattr(experiment, section).faults(experiment)
    for anchor in model.anchors:
        if not all(0 < side <= MOST_ANCHOR for side in anchor):
            yield (
                f"model.anchors holds {shortened(repr(anchor))}; expected widths and heights above 0, at most "
                f"{MOST_ANCHOR} images"
            )
    if not all(0 < share < math.inf for share in experiment.data.shares):
        yield f"data.shares is {experiment.data.shares!r}; expected two numbers above 0"
    if train.checkpoint_every % train.log_every:
        yield (
            f"train.checkpoint_every is {train.checkpoint_every}; expected a multiple of train.log_every, "
            f"{train.log_every}, so that a resumed run logs the same means"
        )
