"""What is compared: runs, and configurations that become runs first.

run            a run directory of `wordtree train`        run@best       one of its checkpoints
tiny64         an experiment by name                      a/config.json  an experiment from its file
fast=runs/17   any of them under a name of one's own
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from detector.architectures import traits_of
from detector.config import Experiment, config_names, load_config
from detector.networks.published import STAGES, layers_of, strides
from detector.run import find_checkpoint, split_run_path
from schemas.errors import ConfigError, InputError

NAME = re.compile(r"[\w.@+-]+")


@dataclass(frozen=True)
class Subject:
    """One run, there already or to be trained.

    Attributes:
        name: in all that is written.
        run: directory, or directory@checkpoint.
        experiment: of the run.
        config: the configuration's name or file where it is to be trained; "" for a run.
    """

    name: str
    run: str
    experiment: Experiment
    config: str = ""

    @property
    def two_stage(self) -> bool:
        """Whether there are proposals."""
        return traits_of(self.experiment.model.architecture).two_stages

    @property
    def stride(self) -> int:
        """Pixels of which both sides of an image must be multiples."""
        model = self.experiment.model
        if self.two_stage or not (model.cfg or model.network in STAGES):
            return model.output_stride
        return strides(layers_of(model))[-1]


def read_subjects(words: Sequence[str], overrides: Sequence[str], runs: Path) -> list[Subject]:
    """The subjects that the command names.

    Args:
        words: PATH or NAME=PATH each.
        overrides: of configurations, as `--set` takes them.
        runs: folder of the runs that configurations become.

    Raises:
        InputError, CheckpointError: a run is missing or has no checkpoint.
        ConfigError: a word is neither, a name stands twice, a run is a classifier, or overrides have nothing to change.
    """
    subjects = [_subject(word, overrides, runs) for word in words]
    names = [subject.name for subject in subjects]
    if twice := [name for name in names if names.count(name) > 1]:
        raise ConfigError(f"two runs are called {twice[0]!r}; give one a name of its own: other={words[-1]}")
    if overrides and not any(subject.config for subject in subjects):
        raise ConfigError(f"--set {overrides[0]}: nothing is to be trained; a run stays as it was trained")
    for subject in subjects:
        if not traits_of(subject.experiment.model.architecture).finds_boxes:
            raise ConfigError(f"{subject.name} is a classifier of whole images and finds no boxes; leave it out")
    return subjects


def _subject(word: str, overrides: Sequence[str], runs: Path) -> Subject:
    name, path = _named(word)
    folder, checkpoint = split_run_path(path)
    if (folder / "config.json").exists():
        find_checkpoint(folder, checkpoint)
        experiment = load_config(str(folder / "config.json"))
        # the folder's own name, also of "." and "a/.."
        own = folder.name if folder.name not in ("", ".", "..") else folder.resolve().name
        return Subject(_checked(name or own + f"@{checkpoint}" * bool(checkpoint), word), path, experiment)
    if path.endswith(".json") or path in config_names():
        experiment = load_config(path, overrides)
        name = _checked(name or experiment.name, word)
        return Subject(name, str(runs / name), experiment, path)
    if folder.is_dir():
        raise InputError(f"{folder} has no config.json: it is no run of `wordtree train`")
    raise ConfigError(f"{path!r} is neither a run directory nor an experiment; there are {', '.join(config_names())}")


def _named(word: str) -> tuple[str, str]:
    """NAME=PATH apart; a path that is there may hold "=" itself."""
    name, equals, path = word.partition("=")
    return (name, path) if equals and path and not Path(word).exists() else ("", word)


def _checked(name: str, word: str) -> str:
    if not NAME.fullmatch(name) or name in (".", ".."):
        raise ConfigError(f"{word}: {name!r} is no name for a run; expected letters, digits and . _ - + @: NAME=PATH")
    return name
