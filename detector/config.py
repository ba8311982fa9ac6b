"""Experiments by name or file, and `--set section.key=value` on top of them.

    NAME                 a recipe that ships: `detector/configs/NAME.py`
    my_page.py           a Python page with `get_config() -> Experiment`
    my.toml, my.json     sections with the fields that differ; `base = "NAME"` is the recipe that they differ from
    pipeline.config      of the TensorFlow Object Detection API

All end in one `Experiment` by one conversion (`detector.fields`) and one check (`detector.limits`). A RUN/config.json
is such a .json with every field.
"""

from __future__ import annotations

import importlib
import json
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from detector.configs import config_names
from detector.given_text import nearest, read_limited, shortened
from detector.limits import check_experiment, with_value
from detector.own_module import MOST_BYTES, is_own_module, own_module
from detector.pipeline_config.reading import looks_like_pipeline, read_pipeline
from detector.sections import (
    AugmentConfig,
    DataConfig,
    DecodeConfig,
    Experiment,
    LossConfig,
    ModelConfig,
    TrainConfig,
    TwoStageConfig,
)
from schemas.errors import ConfigError, WordTreeError

__all__ = [
    "MOST_BYTES",
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
]


def experiment_from_json(text: str, where: str = "config.json") -> Experiment:
    """Read what `Experiment.to_json` wrote, or a part of it: what is not there has its default, or that of `base`.

    Raises:
        ConfigError: if a field is unknown or has the wrong type.
    """
    try:
        return _from_sections(json.loads(text), where)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{where}: not JSON ({error})") from error


def load_config(name: str, overrides: Sequence[str] = (), log: Callable[[str], None] = lambda line: None) -> Experiment:
    """The experiment of a name or file, with `section.key=value` overrides.

    Args:
        name: of a recipe, or path of a .py, .toml, .json or pipeline.config (see `detector.pipeline_config`).
        overrides: `section.key=value` each.
        log: told line by line what became of the fields of a pipeline.config.

    Raises:
        ConfigError: if there is no such experiment or key, or a value does not fit its type.
        InputError, FormatError: if a pipeline.config cannot be read.
    """
    experiment = _opened(name, log)
    for override in overrides:
        key, equals, text = override.partition("=")
        if not equals:
            raise ConfigError(f"--set {shortened(repr(override))}: expected section.key=value, such as train.steps=500")
        experiment = with_value(experiment, key.strip(), text.strip(), f"--set {shortened(override)}")
    try:
        return check_experiment(experiment, name)
    except ConfigError as error:  # told with the overrides that it is about, not with all
        text = str(error).removeprefix(f"{name}: ")
        guilty = [
            f"--set {shortened(override)}" for override in overrides if override.partition("=")[0].strip() in text
        ]
        raise ConfigError(f"{' '.join(guilty) or name}: {text}") from None


def _opened(name: str, log: Callable[[str], None]) -> Experiment:
    names = config_names()
    if name in names:
        return importlib.import_module(f"detector.configs.{name}").get_config()
    if is_own_module(name):
        return _from_page(name)
    if name.endswith((".json", ".toml")):
        try:
            text = read_limited(name, MOST_BYTES).decode("utf-8-sig", "replace")
        except WordTreeError as error:
            raise ConfigError(f"{error}; the .json of an experiment is RUN/config.json") from error
        if name.endswith(".json"):
            return experiment_from_json(text, name)
        try:
            return _from_sections(tomllib.loads(text), name)
        except (ValueError, RecursionError) as error:
            raise ConfigError(f"{name}: not TOML ({error})") from error
    if looks_like_pipeline(name):
        reading = read_pipeline(Path(name))
        for line in reading.lines(name):
            log(line)
        return reading.experiment
    raise ConfigError(f"no config {shortened(repr(name))}{nearest(name, names)}; there are {', '.join(names)}")


def _from_page(name: str) -> Experiment:
    module = own_module(name)
    experiment = module.get_config() if hasattr(module, "get_config") else None
    if not isinstance(experiment, Experiment):
        raise ConfigError(f"{name}: has no get_config() that returns an Experiment; see the pages in detector/configs")
    return experiment


def _from_sections(data: Any, where: str) -> Experiment:
    """The experiment of a user's file or of a run: of each section the fields that are there."""
    if not isinstance(data, dict) or not all(isinstance(v, dict) for k, v in data.items() if k not in ("name", "base")):
        raise ConfigError(f"{where}: no experiment; expected an object with sections such as model and train")
    base = data.pop("base", None)
    if base is not None and base not in config_names():
        raise ConfigError(
            f"{where} (base): found {shortened(repr(base))}{nearest(str(base), config_names())}; expected one of "
            f"{', '.join(config_names())}"
        )
    default = "unnamed" if base is None else Path(where).stem
    name = str(data.pop("name", default))
    if base is None:
        experiment = _kind(data.get("model", {}).get("architecture"))(name=name)
    else:
        experiment = replace(load_config(base), name=name)
    for section, values in data.items():
        for key, value in values.items():
            experiment = with_value(experiment, f"{section}.{key}", value, where)
    return experiment


def _kind(architecture: Any) -> type[Experiment]:
    """The experiment of an architecture: a user's own may extend it by a section of its own."""
    if not isinstance(architecture, str) or not is_own_module(architecture):
        return Experiment
    found = [each for each in vars(own_module(architecture)).values() if isinstance(each, type)]
    return next((each for each in found if issubclass(each, Experiment) and each is not Experiment), Experiment)
