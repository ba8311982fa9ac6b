"""A `pipeline.config` as an experiment, and an account of every field of it.

    reading = read_pipeline(Path("pipeline.config"))
    reading.experiment    what `wordtree train` trains
    reading.taken         fields that decide a setting; those of line 0 are the API's defaults
    reading.other         fields that are known and have no use here, with the reason
    reading.unknown       fields that are not known, or stand where they mean nothing

Every scalar of the file, and every message that holds nothing, is in exactly one of the three.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from detector.config import Experiment
from detector.limits import check_experiment
from detector.pipeline_config.evaluation import read_evaluation
from detector.pipeline_config.fields import Book, Entry, Fields
from detector.pipeline_config.model import read_model
from detector.pipeline_config.text_format import MOST_CHARACTERS, parse_text
from detector.pipeline_config.training import read_training
from schemas.errors import FormatError
from wordtree.text_files import read_text

_BEGINNING = re.compile(
    r"(?:\s|#[^\n]*\n)*(?:model|train_config|eval_config|train_input_reader|eval_input_reader)\s*:?\s*[{<]"
)


class Reading(NamedTuple):
    """What was read.

    Attributes:
        experiment: with the file's name.
        taken, other, unknown: what became of each field.
        flags: what `wordtree detect` needs to make detections as the file says.
    """

    experiment: Experiment
    taken: tuple[Entry, ...]
    other: tuple[Entry, ...]
    unknown: tuple[Entry, ...]
    flags: tuple[str, ...]

    def lines(self, where: str) -> list[str]:
        """The account, for people.

        Args:
            where: the file's name.
        """
        said = [entry for entry in self.taken if entry.line]
        silent = [entry for entry in self.taken if not entry.line]
        heads = (
            (f"taken: {len(said)}", said),
            (f"where the file is silent, the API's default holds: {len(silent)}", silent),
            (f"no use here: {len(self.other)}", self.other),
            (f"not known, and not used: {len(self.unknown)}", self.unknown),
        )
        lines = [f"read {where}, a pipeline.config of the TensorFlow Object Detection API"]
        for head, entries in heads:
            lines += [f"  {head}"] + [f"    {entry}" for entry in sorted(entries, key=lambda entry: entry.line)]
        lines.append(f"  detections as it says: wordtree detect RUN IMAGE... {' '.join(self.flags)}")
        return lines


def looks_like_pipeline(name: str) -> bool:
    """Whether a name is that of a pipeline.config: by its ending, or by the first word of the file."""
    if name.endswith(".config"):
        return True
    try:
        with open(name, encoding="utf-8", errors="replace") as file:
            return _BEGINNING.match(file.read(10_000)) is not None
    except (OSError, ValueError):
        return False


def read_pipeline(path: Path) -> Reading:
    """Read a file.

    Raises:
        InputError: if it cannot be read.
        FormatError: if it is no text format, or a value is none of its field; with the line.
        ConfigError: if the model is none that is built here.
    """
    if path.is_file() and path.stat().st_size > 4 * MOST_CHARACTERS:
        raise FormatError(f"{path}: has {path.stat().st_size:,} bytes; expected at most {MOST_CHARACTERS:,} characters")
    return pipeline_experiment(read_text(path), str(path), path.stem)


def pipeline_experiment(text: str, where: str = "pipeline.config", name: str = "pipeline") -> Reading:
    """Read the text of a file.

    Args:
        text: of the file.
        where: its name, for messages.
        name: of the experiment.

    Raises:
        FormatError, ConfigError: as `read_pipeline`.
    """
    fields = parse_text(text, where)
    book = Book(where)
    file = Fields(fields, "", 0, book)
    read_model(file)
    book.settings.setdefault("train.weight_decay", 0.0)
    read_training(file)
    read_evaluation(file)
    unknown = book.unknown(fields)
    experiment = check_experiment(_experiment(name, book.settings), where)
    return Reading(experiment, tuple(book.taken), tuple(book.other), unknown, tuple(book.flags))


def _experiment(name: str, settings: Mapping[str, Any]) -> Experiment:
    """The default experiment with settings by section.key."""
    experiment = Experiment(name=name)
    sections: dict[str, dict[str, Any]] = {}
    for key, value in settings.items():
        section, _, field = key.partition(".")
        sections.setdefault(section, {})[field] = value
    parts = {section: dataclasses.replace(getattr(experiment, section), **own) for section, own in sections.items()}
    return dataclasses.replace(experiment, **parts)
