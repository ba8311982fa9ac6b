"""What a report is made of, read from disk. A missing or damaged part becomes a `Missing`, never an error.

RUN/config.json, metrics.jsonl, timing.jsonl, training_nodes.json, tree/, checkpoints/, evaluation/*.json
DATASET/manifest.json, rejects.jsonl
DETECTIONS/detections.json and its pictures
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any, TypeVar

from detector.checkpoint import list_checkpoints
from schemas.errors import InputError, WordTreeError
from schemas.manifest import MANIFEST_NAME, Manifest, manifest_from_json
from wordtree.files import read_tree
from wordtree.tree import WordTree

REJECTS_SHOWN = 200
GROUPS = ("boxed", "unboxed", "untrained")
T = TypeVar("T")


@dataclass(frozen=True)
class Missing:
    """A part that is not there.

    Attributes:
        what: is missing, and why; a sentence.
        command: that makes it; "" if none does.
    """

    what: str
    command: str = ""

    def html(self) -> str:
        """The sentence and the command, as a paragraph."""
        command = f" Make it with <code>{escape(self.command)}</code>." if self.command else ""
        return f'<p class="missing">{escape(self.what)}{command}</p>'


@dataclass(frozen=True)
class DatasetFacts:
    """One dataset directory: its manifest, and the first lines of its rejects."""

    path: Path
    manifest: Manifest
    rejects: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True)
class TrainingSet:
    """A dataset that the run was trained on: its directory's name, and how many images it had."""

    name: str
    images: int


@dataclass(frozen=True)
class Inputs:
    """All parts; each may be a `Missing`.

    Attributes:
        run: directory of the run.
        config: its resolved experiment, as JSON.
        tree: its classes.
        metrics: rows of metrics.jsonl, by rising step.
        step: of the last checkpoint, which is what is evaluated; of the log if there is none; None if unknown.
        minutes: of training, None if unknown.
        timed: whether `minutes` were measured; else they are the time between two files.
        boxes, labels: how many boxes and image labels of each wnid the training data had.
        trained: the datasets of the training, None if the run does not tell.
        evaluations: what `wordtree evaluate` wrote, by name of the dataset; those of training data last.
        datasets: one entry for each directory that was asked for.
        detections: what `wordtree detect` wrote.
        pictures: directory that the detections' pictures are relative to.
    """

    run: Path
    config: dict[str, Any] | Missing
    tree: WordTree | Missing
    metrics: tuple[dict[str, float], ...] | Missing
    step: int | None
    minutes: float | None
    timed: bool
    boxes: dict[str, int] | Missing
    labels: dict[str, int] | Missing
    trained: tuple[TrainingSet, ...] | None
    evaluations: tuple[dict[str, Any], ...] | Missing
    datasets: tuple[DatasetFacts | Missing, ...]
    detections: dict[str, Any] | Missing
    pictures: Path | None

    def newest(self) -> int | None:
        """The step that evaluations should be of."""
        if self.step is not None or isinstance(self.evaluations, Missing):
            return self.step
        return max((e["step"] for e in self.evaluations if e["step"] is not None), default=None)

    def current(self) -> list[dict[str, Any]]:
        """Evaluations of the newest step, and those that do not tell their step."""
        evaluations = () if isinstance(self.evaluations, Missing) else self.evaluations
        return [e for e in evaluations if None in (e["step"], self.newest()) or e["step"] == self.newest()]

    def stale(self) -> list[dict[str, Any]]:
        """Evaluations of any other step."""
        current = self.current()
        return [] if isinstance(self.evaluations, Missing) else [e for e in self.evaluations if e not in current]

    def was_trained_on(self, evaluation: Mapping[str, Any]) -> bool:
        """Whether a training set has the name of the evaluated one."""
        return evaluation["dataset"] in {part.name for part in self.trained or ()}

    def class_rows(self) -> list[dict[str, Any]]:
        """One row per class over the current evaluations; of a class evaluated twice, that of the first of them."""
        rows: dict[str, dict[str, Any]] = {}
        for evaluation in self.current():
            for row in evaluation["classes"]:
                if row.get("AP50") is not None:
                    rows.setdefault(row["wnid"], row)
        return list(rows.values())


def read_inputs(run: Path, datasets: Sequence[Path], detections: Path | None) -> Inputs:
    """Read everything that is there.

    Raises:
        InputError: as `check_inputs`.
    """
    check_inputs(run, detections)
    name = run.name
    train = f"wordtree train CONFIG --data DATASET… --tree TREE --out {name}"
    nodes = _try(lambda: _training_nodes(run / "training_nodes.json"), "The counts of the training data", train)
    boxes, labels, trained = (nodes, nodes, None) if isinstance(nodes, Missing) else nodes
    metrics = _try(lambda: _metrics(run / "metrics.jsonl"), "The log of the losses", train)
    measured = _measured_minutes(run / "timing.jsonl")
    between = None if isinstance(metrics, Missing) else _minutes_between_files(run)
    evaluations = _try(
        lambda: _evaluations(run / "evaluation", {part.name for part in trained or ()}),
        "The evaluation",
        f"wordtree evaluate {name} DATASET",
    )
    found = Missing(
        "No detections were given.", f"wordtree detect {name} IMAGE… --out found, then report --detections found"
    )
    return Inputs(
        run=run,
        config=_try(lambda: _object(run / "config.json"), "The configuration", train),
        tree=_try(lambda: read_tree(run / "tree"), "The tree", train),
        metrics=metrics,
        step=_step(run, metrics),
        minutes=between if measured is None else measured,
        timed=measured is not None,
        boxes=boxes,
        labels=labels,
        trained=trained,
        evaluations=evaluations,
        datasets=tuple(
            _try(
                lambda path=path: _dataset(path),  # type: ignore[misc]
                f"The dataset {path.name}",
                f"wordtree convert FORMAT {path.name} …",
            )
            for path in datasets
        ),
        detections=found
        if detections is None
        else _try(lambda: _detections(detections), "The list of detections", f"wordtree detect {name} IMAGE…"),
        pictures=detections,
    )


def check_inputs(run: Path, detections: Path | None) -> None:
    """Refuse what cannot be meant: a run or detections that are not there at all.

    Raises:
        InputError: if `run` is no directory, or `detections` has no detections.json.
    """
    if not run.is_dir():
        raise InputError(f"no run directory {str(run)!r}; `wordtree train` writes one")
    if detections is not None and not (detections / "detections.json").is_file():
        command = f"wordtree detect RUN IMAGES --out {detections}"
        raise InputError(f"{str(detections)!r} holds no detections.json; make it with `{command}`")


def _try(read: Callable[[], T], what: str, command: str) -> T | Missing:
    try:
        return read()
    except FileNotFoundError as error:
        return Missing(f"{what} is missing: there is no {Path(error.filename).name}.", command)
    except WordTreeError as error:
        return Missing(f"{what} cannot be used: {error}.", command)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, UnicodeDecodeError) as error:
        return Missing(f"{what} cannot be read ({type(error).__name__}: {error}).", command)


def _object(path: Path) -> dict[str, Any]:
    found = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(found, dict):
        raise ValueError(f"{path.name} holds no JSON object")
    return found


def _training_nodes(path: Path) -> tuple[dict[str, int], dict[str, int], tuple[TrainingSet, ...] | None]:
    found = _object(path)
    sets = tuple(TrainingSet(Path(str(row["path"])).name, int(row["images"])) for row in found.get("datasets", ()))
    return (
        {str(wnid): int(count) for wnid, count in found["boxes"].items()},
        {str(wnid): int(count) for wnid, count in found["labels"].items()},
        sets or None,
    )


def _metrics(path: Path) -> tuple[dict[str, float], ...]:
    rows = {numbers["step"]: numbers for numbers in _numbers(path) if "step" in numbers}
    if not rows:
        raise ValueError(f"{path.name} holds no step yet")
    return tuple(rows[step] for step in sorted(rows))


def _numbers(path: Path) -> list[dict[str, float]]:
    """Rows that are whole; the last line of a run that goes on may be cut."""
    rows = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            row = json.loads(line)
        except ValueError:
            continue
        rows.append({k: float(v) for k, v in row.items() if isinstance(v, (int, float)) and math.isfinite(v)})
    return rows


def _step(run: Path, metrics: Sequence[Mapping[str, float]] | Missing) -> int | None:
    paths = list_checkpoints(run / "checkpoints")
    last = paths[-1].name.removeprefix("step-") if paths else ""
    if last.isdecimal():
        return int(last)
    return None if isinstance(metrics, Missing) else int(metrics[-1]["step"])


def _measured_minutes(path: Path) -> float | None:
    """Each process counts seconds from its own first step, which it names: its last value counts."""
    try:
        last = {row.get("from", 0): row["seconds"] for row in _numbers(path) if "seconds" in row}
    except (OSError, ValueError, AttributeError):
        return None
    return sum(last.values()) / 60 if last else None


def _minutes_between_files(run: Path) -> float | None:
    try:
        seconds = (run / "metrics.jsonl").stat().st_mtime - (run / "config.json").stat().st_mtime
    except OSError:
        return None
    return seconds / 60 if seconds > 1 else None


def _evaluations(folder: Path, trained: set[str]) -> tuple[dict[str, Any], ...]:
    paths = sorted(folder.glob("[!.]*.json"))
    if not paths:
        raise FileNotFoundError(2, "no file", f"JSON file in {folder.name}")
    found = []
    for path in paths:
        evaluation = _object(path)
        evaluation["dataset"] = str(evaluation.get("dataset", path.stem))
        evaluation["step"] = None if evaluation.get("step") is None else int(evaluation["step"])
        for row in evaluation["classes"]:
            row["wnid"], row["label"], row["boxed"] = str(row["wnid"]), str(row["label"]), bool(row["boxed"])
            if row.get("group") not in GROUPS:
                row["group"] = "boxed" if row["boxed"] else "unboxed"
        evaluation["summary"].get("AP50")
        found.append(evaluation)
    return tuple(sorted(found, key=lambda evaluation: evaluation["dataset"] in trained))


def _dataset(path: Path) -> DatasetFacts:
    where = path / MANIFEST_NAME
    manifest = manifest_from_json(where.read_text(encoding="utf-8"), str(where))
    rejects: list[dict[str, Any]] = []
    if (path / "rejects.jsonl").is_file():
        with open(path / "rejects.jsonl", encoding="utf-8") as file:
            rejects = [json.loads(line) for line, _ in zip(file, range(REJECTS_SHOWN), strict=False)]
    return DatasetFacts(path, manifest, tuple(rejects))


def _detections(folder: Path) -> dict[str, Any]:
    found = _object(folder / "detections.json")
    for entry in found["images"]:
        for row in entry["detections"]:
            row["box"] = [float(value) for value in row["box"]]
            row["score"] = float(row["score"])
            if len(row["box"]) != 4:
                raise ValueError(f"a box of {entry['image']} has {len(row['box'])} numbers")
    return found
