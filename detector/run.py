"""A run directory, opened for use: the experiment, the tree, and the detector with its last weights."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, replace
from pathlib import Path

from detector.api import Classifier, Detector, Localizer
from detector.checkpoint import BEST, CheckpointInfo, list_checkpoints, restore_checkpoint
from detector.config import Experiment, load_config
from schemas.errors import CheckpointError, ConfigError, FormatError, InputError
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
        detector: with the weights of one checkpoint, the averaged ones where the run has them.
        checkpoint: which one.
        training_boxes, training_labels: wnid to how many boxes or image labels the training data had.
    """

    path: Path
    experiment: Experiment
    tree: WordTree
    detector: Detector
    checkpoint: CheckpointInfo
    training_boxes: dict[str, int]
    training_labels: dict[str, int]

    @property
    def localizer(self) -> Localizer:
        """The detector of a run that finds boxes.

        Raises:
            ConfigError: it is a classifier.
        """
        if isinstance(self.detector, Classifier):
            raise ConfigError(f"{self.path} is a classifier of whole images and finds no boxes; give a detector's run")
        return self.detector

    @property
    def classifier(self) -> Classifier:
        """The detector of a run that names whole images.

        Raises:
            ConfigError: it finds boxes.
        """
        if not isinstance(self.detector, Classifier):
            raise ConfigError(f"{self.path} finds boxes and is no classifier of whole images; give a classifier's run")
        return self.detector


def write_tree(tree: WordTree, folder: Path) -> None:
    """The tree as files that `wordtree.files.read_tree` and darknet read."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in (("tree", tree_text(tree)), ("names", names_text(tree)), ("json", tree_json(tree))):
        write_text_file(folder / f"wordtree.{name}", text)


def open_run(path: str | Path) -> Run:
    """Open a run directory written by `wordtree train`, at its newest checkpoint; `RUN@best` opens its best one.

    Args:
        path: the directory, or directory@checkpoint: "best" or a name below checkpoints/ such as "step-00000200".

    Raises:
        InputError: if it is missing or holds no run.
        CheckpointError: if it has no checkpoint yet, no such one, or one of another tree or network.
    """
    folder, name = split_run_path(path)
    if not folder.is_dir():
        raise InputError(f"no run directory {str(path)!r}; `wordtree train` writes one")
    if not (folder / "config.json").exists():
        raise InputError(f"{folder} has no config.json: it is no run of `wordtree train`")
    checkpoint = find_checkpoint(folder, name)
    experiment = load_config(str(folder / "config.json"))
    tree = read_tree(folder / "tree")
    boxes, labels = read_training_nodes(folder)
    from detector.architectures import build_detector

    detector = build_detector(experiment, tree)
    named = {f"{weights_section(experiment)}/{weight.path}": weight for weight in detector.model.weights}
    info = restore_checkpoint(checkpoint, tree.digest(), named)
    return Run(folder, experiment, tree, detector, info, boxes, labels)


def with_proposals(run: Run, count: int, flag: str = "--proposals") -> Run:
    """The run with so many proposals an image into the second stage; its detector is changed in place.

    Args:
        run: of a detector with proposals.
        count: 1 to two_stage.candidates of the run.
        flag: what an error calls the number.

    Raises:
        ConfigError: the architecture has no proposals, or the count is beyond what goes into suppression.
    """
    detector, experiment = run.detector, run.experiment
    if isinstance(detector, Classifier) or not detector.proposals:
        raise ConfigError(
            f"{flag} {count}: {run.path} is a {experiment.model.architecture!r} run, which has no proposals; leave "
            "the number out"
        )
    check_proposals(experiment, count, flag)
    detector.set_proposals(count)
    return replace(run, experiment=replace(experiment, two_stage=replace(experiment.two_stage, proposals=count)))


def check_proposals(experiment: Experiment, count: int, flag: str = "--proposals") -> None:
    """Refuse a number of proposals that cannot be.

    Raises:
        ConfigError: it is not within 1 and two_stage.candidates.
    """
    most = experiment.two_stage.candidates
    if not 1 <= count <= most:
        raise ConfigError(f"{flag} {count}: expected 1 to two_stage.candidates of {experiment.name!r}, {most}")


def at_canvas(run: Run, canvas: tuple[int, int]) -> Run:
    """The same network on images of another size.

    Its anchors and priors keep their pixels, as in multi-scale training: an object of so many pixels looks the same to
    the network whatever the size of the canvas around it.

    Args:
        run: of any detector; the detector itself is as it was.
        canvas: (height, width) in pixels, whole strides of the network.
    """
    model = run.experiment.model
    (old_height, old_width), (height, width) = model.canvas, canvas
    anchors = tuple((w * old_width / width, h * old_height / height) for w, h in model.anchors)
    moved = replace(model, input_size=width, input_height=0 if height == width else height, anchors=anchors)
    return replace(run, experiment=replace(run.experiment, model=moved))


def split_run_path(path: str | Path) -> tuple[Path, str]:
    """RUN@NAME as (RUN, NAME); NAME is "" for the newest checkpoint, or where a directory has the whole name."""
    folder, at, name = str(path).rpartition("@")
    if not at or not folder or os.path.isdir(path):
        return Path(path), ""
    return Path(folder), name


def find_checkpoint(folder: Path, name: str) -> Path:
    """The checkpoint of that name, or the newest.

    Raises:
        CheckpointError: if there is none.
    """
    root = folder / "checkpoints"
    checkpoints = list_checkpoints(root)
    if not name:
        if not checkpoints:
            raise CheckpointError(f"{folder} has no complete checkpoint yet; let `wordtree train` run on")
        return checkpoints[-1]
    if name not in (BEST, *(path.name for path in checkpoints)) or not (root / name / "checkpoint.json").exists():
        there = [path.name for path in checkpoints] + [BEST] * (root / BEST / "checkpoint.json").exists()
        raise CheckpointError(f"{folder} has no checkpoint {name!r}; there are {', '.join(there) or 'none'}")
    return root / name


def weights_section(experiment: Experiment) -> str:
    """Which weights of a checkpoint are used after training: the averaged ones where the run has them."""
    return "average" if experiment.train.ema else "model"


def read_training_nodes(folder: Path) -> tuple[dict[str, int], dict[str, int]]:
    """How many boxes and image labels the training data had, by wnid.

    Raises:
        FormatError: if the file is missing or damaged.
    """
    try:
        counts = json.loads((folder / "training_nodes.json").read_text())
        return dict(counts["boxes"]), dict(counts["labels"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FormatError(f"{folder}/training_nodes.json cannot be read ({error}); is the run whole?") from error
