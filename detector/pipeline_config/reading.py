"""A `pipeline.config` as an experiment, and an account of every field of it.

    reading = read_pipeline(Path("pipeline.config"))
    reading.experiment    what `wordtree train` trains
    reading.taken         fields that decide a setting; those of line 0 are the API's defaults
    reading.other         fields that are known and have no use here, with the reason
    reading.unknown       fields that are not known, or stand where they mean nothing

Every scalar of the file, and every message that holds nothing, is in exactly one of the three.
"""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import NamedTuple

from detector.configs import config_names
from detector.given_text import read_limited
from detector.limits import check_experiment, with_value
from detector.pipeline_config.evaluation import read_evaluation
from detector.pipeline_config.fields import Book, Entry, Fields
from detector.pipeline_config.model import read_model
from detector.pipeline_config.second_stage import NAMES_PER_BOX
from detector.pipeline_config.text_format import MOST_CHARACTERS, parse_text
from detector.pipeline_config.training import read_training
from detector.sections import Experiment
from schemas.errors import FormatError, InputError

_BEGINNING = re.compile(
    r"(?:\s|#[^\n]*\n)*(?:model|train_config|eval_config|train_input_reader|eval_input_reader)\s*:?\s*[{<]"
)

SHOWN = 200  # entries of a list that are told to people
EXPECTED = "expected a pipeline.config, with model { faster_rcnn { ... } } in it"


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
        """The account, for people: of each list so many entries as are read.

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
            lines += [f"  {head}"] + [f"    {entry}" for entry in sorted(entries, key=lambda entry: entry.line)[:SHOWN]]
            if len(entries) > SHOWN:
                lines.append(f"    and {len(entries) - SHOWN:,} more")
        lines.append(f"  detections as it says: wordtree detect RUN IMAGE... {' '.join(self.flags)}")
        if ("--top", str(NAMES_PER_BOX)) in itertools.pairwise(self.flags):
            lines.append(
                f"    --top {NAMES_PER_BOX}: theirs tells a box under every class above score_threshold, here under "
                f"its {NAMES_PER_BOX} likeliest, the default of `wordtree detect`; a larger --top tells more"
            )
        return lines


def looks_like_pipeline(name: str) -> bool:
    """Whether a name is that of a pipeline.config: by its ending, or by the first word of the file."""
    if name.endswith(".config"):
        return True
    try:
        beginning = read_limited(name, 4 * MOST_CHARACTERS)[:10_000]
    except (InputError, FormatError):
        return False
    return _BEGINNING.match(beginning.decode("utf-8-sig", "replace")) is not None


def read_pipeline(path: Path) -> Reading:
    """Read a file.

    Raises:
        InputError: if it cannot be read.
        FormatError: if it is no text format, or a value is none of its field; with the line.
        ConfigError: if the model is none that is built here.
    """
    try:
        data = read_limited(str(path), 4 * MOST_CHARACTERS)
    except InputError as error:
        names = "" if path.exists() else f", or the name of an experiment: {', '.join(config_names())}"
        raise InputError(f"{error}; {EXPECTED}{names}") from error
    if not data.strip():
        raise InputError(f"{path}: the file is empty; {EXPECTED}: copy it anew, or take examples/faster_rcnn.config")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise FormatError(
            f"{path} line {line}: found byte 0x{data[error.start]:02x}; expected UTF-8 text: save the file as such"
        ) from None
    return pipeline_experiment(text, str(path), path.stem)


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
    experiment = Experiment(name=name)
    for key, value in book.settings.items():
        experiment = with_value(experiment, key, value, where)
    experiment = check_experiment(experiment, where)
    return Reading(experiment, tuple(book.taken), tuple(book.other), unknown, tuple(book.flags))
