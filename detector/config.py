"""Experiments as frozen dataclasses, and `--set key=value` on top of them.

An experiment is a Python file in `detector/configs/` with `get_config() -> Experiment`; its docstring gives the
command, the time and the expected result. The field types convert the text of an override; an unknown key names its
nearest neighbour.

Files of people are read within a limit, and regular files alone: a named pipe would be waited for without end, a device
read without end. What was found in them is told shortened.
"""

from __future__ import annotations

import dataclasses
import difflib
import importlib
import json
import os
import pkgutil
import stat
import types
import typing
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from detector.sections import (
    AugmentConfig,
    DataConfig,
    DecodeConfig,
    LossConfig,
    ModelConfig,
    TrainConfig,
    TwoStageConfig,
)
from schemas.errors import ConfigError, FormatError, InputError, WordTreeError

__all__ = [
    "AugmentConfig",
    "DataConfig",
    "DecodeConfig",
    "Experiment",
    "LossConfig",
    "ModelConfig",
    "TrainConfig",
    "TwoStageConfig",
    "config_names",
    "experiment_from_json",
    "load_config",
    "read_limited",
    "shortened",
]

MOST_BYTES = 4_000_000  # of an experiment's .json: those of runs have some kilobytes, and the .cfg of a network
LONGEST_WORD = 80  # of what was found, in messages


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """Everything that decides a run."""

    name: str
    model: ModelConfig = field(default_factory=ModelConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    data: DataConfig = field(default_factory=DataConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    two_stage: TwoStageConfig = field(default_factory=TwoStageConfig)

    def to_json(self) -> str:
        """JSON text that `experiment_from_json` reads back."""
        return json.dumps(dataclasses.asdict(self), indent=1) + "\n"


def experiment_from_json(text: str, where: str = "config.json") -> Experiment:
    """Read what `Experiment.to_json` wrote.

    Raises:
        ConfigError: if a field is unknown or has the wrong type.
    """
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{where}: not JSON ({error})") from error
    if not isinstance(data, dict) or not all(isinstance(v, dict) for k, v in data.items() if k != "name"):
        raise ConfigError(f"{where}: no experiment; expected an object with sections such as model and train")
    experiment = Experiment(name=str(data.pop("name", "unnamed")))
    for section, values in data.items():
        for key, value in values.items():
            experiment = _replace(experiment, f"{section}.{key}", value, where)
    return experiment


def shortened(text: str, most: int = LONGEST_WORD) -> str:
    """What was found, for a message of one line: at most so many characters."""
    return text if len(text) <= most else f"{text[: most - 3]}..."


def read_limited(path: str, most: int) -> bytes:
    """The bytes of a regular file.

    Args:
        path: of the file.
        most: bytes; no more than these and one are ever read.

    Raises:
        InputError: if it is missing, cannot be read or is no regular file.
        FormatError: if it is larger.
    """
    try:
        # A named pipe without a writer is opened, not waited for.
        opened = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        about = os.fstat(opened)
        if not stat.S_ISREG(about.st_mode):
            os.close(opened)
            kind = "folder" if stat.S_ISDIR(about.st_mode) else "pipe, socket or device"
            raise InputError(f"cannot read {path}: it is a {kind}; expected a regular file: write its text to one")
        with open(opened, "rb") as file:
            data = file.read(most + 1)
    except FileNotFoundError:
        raise InputError(f"cannot read {path}: no such file; check its name") from None
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "no name of a file"
        raise InputError(f"cannot read {path} ({why})") from error
    if len(data) > most:
        size = max(about.st_size, len(data))
        raise FormatError(f"{path}: has {size:,} bytes; expected at most {most:,}: give the file that was meant")
    return data


def config_names() -> list[str]:
    """The experiments that ship with the package."""
    package = importlib.import_module("detector.configs")
    return sorted(module.name for module in pkgutil.iter_modules(package.__path__))


def load_config(name: str, overrides: Sequence[str] = (), log: Callable[[str], None] = lambda line: None) -> Experiment:
    """The experiment `detector/configs/NAME.py`, or a .json written by a run, with `section.key=value` overrides.

    Args:
        name: of the experiment, or path of a .json or of a pipeline.config (see `detector.pipeline_config`).
        overrides: `section.key=value` each.
        log: told line by line what became of the fields of a pipeline.config.

    Raises:
        ConfigError: if there is no such experiment or key, or a value does not fit its type.
        InputError, FormatError: if a pipeline.config cannot be read.
    """
    if name.endswith(".json"):
        try:
            text = read_limited(name, MOST_BYTES).decode("utf-8-sig", "replace")
        except WordTreeError as error:
            raise ConfigError(f"{error}; the .json of an experiment is RUN/config.json") from error
        experiment = experiment_from_json(text, name)
    elif name not in config_names() and _is_pipeline(name):
        from detector.pipeline_config.reading import read_pipeline

        reading = read_pipeline(Path(name))
        experiment = reading.experiment
        for line in reading.lines(name):
            log(line)
    elif name not in config_names():
        raise ConfigError(
            f"no config {_shown(name)}{_nearest(name, config_names())}; there are {', '.join(config_names())}"
        )
    else:
        experiment = importlib.import_module(f"detector.configs.{name}").get_config()
    for override in overrides:
        key, equals, text = override.partition("=")
        if not equals:
            raise ConfigError(f"--set {_shown(override)}: expected section.key=value, such as train.steps=500")
        experiment = _replace(experiment, key.strip(), text.strip(), f"--set {shortened(override)}")
    from detector.limits import check_experiment

    try:
        return check_experiment(experiment, name)
    except ConfigError as error:  # told with the overrides that it is about, not with all
        text = str(error).removeprefix(f"{name}: ")
        guilty = [
            f"--set {shortened(override)}" for override in overrides if override.partition("=")[0].strip() in text
        ]
        raise ConfigError(f"{' '.join(guilty) or name}: {text}") from None


def _is_pipeline(name: str) -> bool:
    from detector.pipeline_config.reading import looks_like_pipeline

    return looks_like_pipeline(name)


def _replace(experiment: Experiment, key: str, value: Any, where: str) -> Experiment:
    section, _, name = key.partition(".")
    sections = [f.name for f in dataclasses.fields(Experiment) if f.name != "name"]
    if section not in sections:
        raise ConfigError(
            f"{where}: no section {_shown(section)}{_nearest(section, sections)}; there are {', '.join(sections)}"
        )
    part = getattr(experiment, section)
    hints = typing.get_type_hints(type(part))
    if name not in hints:
        raise ConfigError(
            f"{where}: {section} has no key {_shown(name)}{_nearest(name, hints)}; it has {', '.join(hints)}"
        )
    converted = _convert(value, hints[name], f"{where} ({section}.{name})")
    return dataclasses.replace(experiment, **{section: dataclasses.replace(part, **{name: converted})})


def _convert(value: Any, hint: Any, where: str) -> Any:
    """Text, or a value from JSON, to the type of the field."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return None if value in (None, "none", "None") else _convert(value, args[0], where)
    if origin is Literal:
        if value not in args:
            raise ConfigError(f"{where}: found {_shown(value)}; expected one of {', '.join(map(str, args))}")
        return value
    if origin is tuple:
        if isinstance(value, str):
            try:
                value = json.loads(value if value.startswith("[") else f"[{value}]")
            except ValueError:
                value = [part.strip() for part in value.split(",")]
        if not isinstance(value, list | tuple):
            raise ConfigError(f"{where}: found {_shown(value)}; expected a list")
        inner = args[:1] * len(value) if args[-1] is Ellipsis else args
        if len(inner) != len(value):
            raise ConfigError(f"{where}: found {len(value)} values; expected {len(inner)}")
        return tuple(_convert(part, kind, where) for part, kind in zip(value, inner, strict=True))
    if hint is bool and isinstance(value, str):
        if value.lower() in ("true", "1", "yes", "on"):
            return True
        if value.lower() in ("false", "0", "no", "off"):
            return False
        raise ConfigError(f"{where}: found {_shown(value)}; expected true or false")
    if not isinstance(value, str) and (isinstance(value, bool) != (hint is bool) or hint is str):  # of JSON
        raise ConfigError(f"{where}: found {shortened(json.dumps(value))}; expected {hint.__name__}")
    try:
        if hint is int and isinstance(value, str):
            return int(value.replace("_", ""))
        if hint is int and value != int(value):
            raise ValueError
        return hint(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise ConfigError(f"{where}: found {_shown(value)}; expected {getattr(hint, '__name__', hint)}") from error


def _shown(value: Any) -> str:
    return shortened(repr(value))


def _nearest(word: str, known: Any) -> str:
    close = difflib.get_close_matches(word, list(known), n=1) if len(word) <= LONGEST_WORD else []
    return f" (did you mean {close[0]!r}?)" if close else ""
