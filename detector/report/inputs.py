"""What a report is made of, read from disk. A missing or damaged part becomes a `Missing`, never an error.

RUN/config.json, metrics.jsonl, training_nodes.json, tree/, evaluation/*.json
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

from schemas.errors import InputError, WordTreeError
from schemas.manifest import MANIFEST_NAME, Manifest, manifest_from_json
from wordtree.files import read_tree
from wordtree.tree import WordTree

REJECTS_SHOWN = 200
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
class Inputs:
    """All parts; each may be a `Missing`.

    Attributes:
        run: directory of the run.
        config: its resolved experiment, as JSON.
        tree: its classes.
        metrics: rows of metrics.jsonl, by rising step.
        minutes: from the start of the run to its last logged step, None if unknown.
        boxes, labels: how many boxes and image labels of each wnid the training data had.
        evaluations: what `wordtree evaluate` wrote, by name of the dataset.
        datasets: one entry for each directory that was asked for.
        detections: what `wordtree detect` wrote.
        pictures: directory that the detections' pictures are relative to.
    """

    run: Path
    config: dict[str, Any] | Missing
    tree: WordTree | Missing
    metrics: tuple[dict[str, float], ...] | Missing
    minutes: float | None
    boxes: dict[str, int] | Missing
    labels: dict[str, int] | Missing
    evaluations: tuple[dict[str, Any], ...] | Missing
    datasets: tuple[DatasetFacts | Missing, ...]
    detections: dict[str, Any] | Missing
    pictures: Path | None

    def class_rows(self) -> list[dict[str, Any]]:
        """One row per class over all evaluations; a class evaluated twice counts once, in the first by name."""
        if isinstance(self.evaluations, Missing):
            return []
        rows: dict[str, dict[str, Any]] = {}
        for evaluation in self.evaluations:
            for row in evaluation["classes"]:
                if row.get("AP50") is not None:
                    rows.setdefault(row["wnid"], row)
        return list(rows.values())


def read_inputs(run: Path, datasets: Sequence[Path], detections: Path | None) -> Inputs:
    """Read everything that is there.

    Raises:
        InputError: if `run` is no directory.
    """
    if not run.is_dir():
        raise InputError(f"no run directory {str(run)!r}; `wordtree train` writes one")
    name = run.name
    train = f"wordtree train CONFIG --data DATASET… --tree TREE --out {name}"
    nodes = _try(lambda: _training_nodes(run / "training_nodes.json"), "The counts of the training data", train)
    boxes, labels = (nodes, nodes) if isinstance(nodes, Missing) else nodes
    metrics = _try(lambda: _metrics(run / "metrics.jsonl"), "The log of the losses", train)
    found = Missing(
        "No detections were given.", f"wordtree detect {name} IMAGE… --out found, then report --detections found"
    )
    return Inputs(
        run=run,
        config=_try(lambda: _object(run / "config.json"), "The configuration", train),
        tree=_try(lambda: read_tree(run / "tree"), "The tree", train),
        metrics=metrics,
        minutes=None if isinstance(metrics, Missing) else _minutes(run, metrics),
        boxes=boxes,
        labels=labels,
        evaluations=_try(
            lambda: _evaluations(run / "evaluation"), "The evaluation", f"wordtree evaluate {name} DATASET"
        ),
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


def _training_nodes(path: Path) -> tuple[dict[str, int], dict[str, int]]:
    found = _object(path)
    return (
        {str(wnid): int(count) for wnid, count in found["boxes"].items()},
        {str(wnid): int(count) for wnid, count in found["labels"].items()},
    )


def _metrics(path: Path) -> tuple[dict[str, float], ...]:
    """Rows that are whole; the last line of a run that goes on may be cut."""
    rows: dict[float, dict[str, float]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            row = json.loads(line)
        except ValueError:
            continue
        numbers = {k: float(v) for k, v in row.items() if isinstance(v, (int, float)) and math.isfinite(v)}
        if "step" in numbers:
            rows[numbers["step"]] = numbers
    if not rows:
        raise ValueError(f"{path.name} holds no step yet")
    return tuple(rows[step] for step in sorted(rows))


def _minutes(run: Path, metrics: Sequence[Mapping[str, float]]) -> float | None:
    """By the log's own clock if it has one, else by the times of the files."""
    if all("seconds" in row for row in metrics):
        return sum(row["seconds"] for row in metrics) / 60
    try:
        seconds = (run / "metrics.jsonl").stat().st_mtime - (run / "config.json").stat().st_mtime
    except OSError:
        return None
    return seconds / 60 if seconds > 1 else None


def _evaluations(folder: Path) -> tuple[dict[str, Any], ...]:
    paths = sorted(folder.glob("[!.]*.json"))
    if not paths:
        raise FileNotFoundError(2, "no file", f"JSON file in {folder.name}")
    found = []
    for path in paths:
        evaluation = _object(path)
        evaluation.setdefault("dataset", path.stem)
        for row in evaluation["classes"]:
            row["wnid"], row["label"], row["boxed"] = str(row["wnid"]), str(row["label"]), bool(row["boxed"])
        evaluation["summary"].get("AP50")
        found.append(evaluation)
    return tuple(found)


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
