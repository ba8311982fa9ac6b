"""The run directory: what is in it, whether it belongs to this run, and how a run goes on in it.

RUN/config.json          the resolved experiment
RUN/tree/                the tree, so that the run is self-contained
RUN/training_nodes.json  how many boxes and labels each tree node had in the training data, and which sets
RUN/timing.jsonl         seconds of training at each checkpoint
RUN/metrics.jsonl        one line per logged step
RUN/evaluations.jsonl    one line per evaluation while training and data set
RUN/tensorboard/         metrics for TensorBoard
RUN/checkpoints/         see detector/checkpoint.py
RUN/.lock                while a process trains in it
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from detector.checkpoint import list_checkpoints
from detector.config import Experiment, load_config
from detector.dataset import Dataset
from detector.run import write_tree
from detector.training.counting import count_training_nodes
from schemas.errors import CheckpointError, OutputError
from wordtree.files import read_tree, write_text_file
from wordtree.lock import LOCK
from wordtree.tree import WordTree


def check_run(experiment: Experiment, tree: WordTree, out: Path) -> str:
    """What is in `out` for this run, in words: a new run, or where it goes on.

    Raises:
        OutputError: if `out` holds a run of another configuration, or something else.
        CheckpointError: if that run has another tree.
    """
    path = out / "config.json"
    if not path.exists():
        filled = out.exists() and (not out.is_dir() or any(each.name != LOCK for each in out.iterdir()))
        if filled and not (out / "tree").exists():
            raise OutputError(f"{out} is not empty and holds no run; choose another --out")
        return "a new run"
    found = same_place(load_config(str(path)), experiment)
    if found != experiment:
        raise OutputError(
            f"{out} holds a run of another configuration ({first_difference(found, experiment)}); go on with that one "
            f"by `wordtree train {path} ...`, or choose another --out"
        )
    if (digest := read_tree(str(out / "tree")).digest()) != tree.digest():
        raise CheckpointError(f"{out} was trained on the tree {digest[:12]}, but --tree is {tree.digest()[:12]}")
    checkpoints = list_checkpoints(out / "checkpoints")
    return f"goes on from {checkpoints[-1].name}" if checkpoints else "begun, without a checkpoint yet"


def begin_run(
    experiment: Experiment,
    tree: WordTree,
    datasets: Sequence[Dataset],
    out: Path,
    first: Callable[[], object] = lambda: None,
) -> None:
    """Create the run's directory, unless it is there; `first` writes what it begins with.

    Raises:
        OutputError: if it cannot be written.
    """
    path = out / "config.json"
    if path.exists():
        return
    out.mkdir(parents=True, exist_ok=True)
    write_tree(tree, out / "tree")
    nodes = count_training_nodes(datasets)
    write_text_file(out / "training_nodes.json", json.dumps(nodes, indent=1) + "\n", force=True)
    first()
    write_text_file(path, experiment.to_json())  # last: a directory with config.json is a run


def same_place(found: Experiment, wanted: Experiment) -> Experiment:
    """`found` on the devices of `wanted`, evaluated as often: neither makes it another run."""
    same = {"strategy": wanted.train.strategy, "evaluate_every": wanted.train.evaluate_every}
    return replace(found, train=replace(found.train, **same))


def first_difference(found: Experiment, wanted: Experiment) -> str:
    """The first value in which two experiments differ, in words."""
    for section in (each.name for each in fields(found) if each.name != "name"):
        old, new = getattr(found, section), getattr(wanted, section)
        for name in old.__dataclass_fields__:
            if getattr(old, name) != getattr(new, name):
                return f"{section}.{name} is {getattr(old, name)!r} there, {getattr(new, name)!r} here"
    return f"its name is {found.name!r}"


def drop_rows_after(path: Path, step: int) -> list[dict[str, Any]]:
    """Take the lines after `step` out of a .jsonl file: those steps are done again. Returns the rows that stay."""
    if not path.exists():
        return []
    lines = [line for line in path.read_text().splitlines() if _step_of(line) <= step]
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text("".join(f"{line}\n" for line in lines))
    partial.replace(path)
    return [json.loads(line) for line in lines]


def _step_of(line: str) -> float:
    try:
        return json.loads(line)["step"]
    except (ValueError, KeyError, TypeError):
        return math.inf  # cut in the middle by a kill
