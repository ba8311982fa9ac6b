"""A run directory, opened for use: the experiment, the tree, and the detector with its last weights."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from detector.checkpoint import CheckpointInfo, list_checkpoints, restore_checkpoint
from detector.config import Experiment, load_config
from schemas.errors import CheckpointError, FormatError, InputError
from wordtree.files import read_tree, write_text_file
from wordtree.tree import WordTree
from wordtree.tree_formats import names_text, tree_json, tree_text


@dataclass(frozen=True)
class Run:
    """A trained run.

    Attributes:
        path: its directory.
        experiment: as it was trained.
        tree: its classes.
        detector: with the weights of the newest checkpoint, the averaged ones where the run has them.
        checkpoint: which one.
        training_boxes, training_labels: wnid to how many boxes or image labels the training data had.
    """

    path: Path
    experiment: Experiment
    tree: WordTree
    detector: Any
    checkpoint: CheckpointInfo
    training_boxes: dict[str, int]
    training_labels: dict[str, int]


def write_tree(tree: WordTree, folder: Path) -> None:
    """The tree as files that `wordtree.files.read_tree` and darknet read."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in (("tree", tree_text(tree)), ("names", names_text(tree)), ("json", tree_json(tree))):
        write_text_file(folder / f"wordtree.{name}", text)


def open_run(path: str | Path) -> Run:
    """Open a run directory written by `wordtree train`.

    Raises:
        InputError: if it is missing or holds no run.
        CheckpointError: if it has no checkpoint yet, or one of another tree or network.
    """
    folder = Path(path)
    if not folder.is_dir():
        raise InputError(f"no run directory {str(path)!r}; `wordtree train` writes one")
    if not (folder / "config.json").exists():
        raise InputError(f"{folder} has no config.json: it is no run of `wordtree train`")
    checkpoints = list_checkpoints(folder / "checkpoints")
    if not checkpoints:
        raise CheckpointError(f"{folder} has no complete checkpoint yet; let `wordtree train` run on")
    experiment = load_config(str(folder / "config.json"))
    tree = read_tree(folder / "tree")
    try:
        counts = json.loads((folder / "training_nodes.json").read_text())
        boxes, labels = dict(counts["boxes"]), dict(counts["labels"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FormatError(f"{folder}/training_nodes.json cannot be read ({error}); is the run whole?") from error
    from detector.architectures import build_detector

    detector = build_detector(experiment, tree)
    section = "average" if experiment.train.ema else "model"
    named = {f"{section}/{weight.path}": weight for weight in detector.model.weights}
    info = restore_checkpoint(checkpoints[-1], tree.digest(), named)
    return Run(folder, experiment, tree, detector, info, boxes, labels)
