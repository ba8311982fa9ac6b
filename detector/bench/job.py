"""`wordtree bench`: the plan, the trainings, the arms that are not there yet, and what is written of them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from detector.bench.arms import Arm, plan_arms, size_words
from detector.bench.busy import warnings
from detector.bench.machine import machine
from detector.bench.one_arm import Request
from detector.bench.page import write_page
from detector.bench.process import run_arm, run_training
from detector.bench.records import FILE, append_record, claim, digest, identity, read_records
from detector.bench.subjects import Subject, read_subjects
from detector.bench.table import csv_text
from detector.checkpoint import list_checkpoints
from detector.config import load_config
from detector.dataset import Dataset, open_dataset
from detector.run import split_run_path
from schemas.errors import ConfigError, InputError
from wordtree.files import read_tree, write_text_file

Log = Callable[[str], None]


@dataclass(frozen=True)
class BenchOptions:
    """What the command says.

    Attributes:
        words: runs and configurations.
        dataset: to evaluate on, with boxes.
        sizes: of images; none: each run's own.
        proposals: of two-stage detectors; none: each run's own.
        data, tree, overrides: of configurations that are to be trained.
        threshold: least score of a detection, of what is timed.
        images, repeats: of the stopwatch.
        batch_size: of the evaluation.
    """

    words: Sequence[str]
    dataset: str
    sizes: Sequence[str] = ()
    proposals: Sequence[int] = ()
    data: Sequence[str] = ()
    tree: str = ""
    overrides: Sequence[str] = ()
    threshold: float = 0.2
    images: int = 8
    repeats: int = 20
    batch_size: int = 8


@dataclass(frozen=True)
class Plan:
    """What will be done.

    Attributes:
        options: as they were given.
        out: directory.
        dataset: opened.
        subjects: what is compared.
        arms: all of them.
    """

    options: BenchOptions
    out: Path
    dataset: Dataset
    subjects: list[Subject]
    arms: list[Arm]


def make_plan(options: BenchOptions, out: Path) -> Plan:
    """Look at everything that is named; nothing is written.

    Raises:
        WordTreeError: whatever of it could not be done, naming the run, the arm or the dataset.
    """
    for name in ("images", "repeats", "batch_size"):
        if getattr(options, name) < 1:
            raise ConfigError(f"--{name.replace('_', '-')} {getattr(options, name)}: expected 1 or more")
    if not 0 <= options.threshold <= 1:
        raise ConfigError(f"--threshold {options.threshold}: expected a number from 0 to 1")
    subjects = read_subjects(options.words, options.overrides, out / "runs")
    to_train = [subject for subject in subjects if subject.config]
    missing = [flag for flag, value in (("--data", options.data), ("--tree", options.tree)) if not value]
    if to_train and missing:
        raise ConfigError(f"{to_train[0].name} is to be trained: {' and '.join(missing)} missing")
    if not to_train and len(missing) < 2:
        raise ConfigError("--data and --tree are for configurations; nothing here is to be trained")
    arms = plan_arms(subjects, options.sizes, options.proposals)
    dataset = open_dataset(options.dataset)
    if not dataset.has_boxes:
        raise InputError(f"{dataset.path} has image labels alone; --eval needs boxes")
    if not len(dataset):
        raise InputError(f"{dataset.path} has no images; --eval needs some")
    for subject in subjects:
        tree = options.tree if subject.config else str(split_run_path(subject.run)[0] / "tree")
        dataset.nodes(read_tree(tree))
    for path in options.data if to_train else ():
        open_dataset(path).nodes(read_tree(options.tree))
    return Plan(options, out, dataset, subjects, arms)


def plan_lines(plan: Plan, *, anew: bool = False) -> list[str]:
    """The plan for people; `anew`: what is measured already does not count."""
    options, count = plan.options, len(plan.arms)
    lines = [f"plan: {count} {'arm' if count == 1 else 'arms'} on {plan.dataset.path}, {len(plan.dataset):,} images"]
    for subject in plan.subjects:
        own = [arm for arm in plan.arms if arm.subject is subject]
        sizes = ", ".join(dict.fromkeys(size_words(arm.canvas) for arm in own))
        counts = [str(arm.proposals) for arm in own if arm.proposals is not None]
        more = f"; proposals {', '.join(dict.fromkeys(counts))}" if counts else ""
        what = f"to train, {subject.experiment.train.steps:,} steps" if not is_trained(subject) else subject.run
        lines.append(f"  {subject.name}: {what}; {subject.experiment.model.architecture}; images of {sizes}{more}")
    lines.append(
        f"  each in a process of its own: {options.repeats} times one of {min(options.images, len(plan.dataset))} "
        "images, then AP"
    )
    lines.append(f"  out: {plan.out}: {left(plan, anew=anew)} of {count} are left to measure")
    return lines


def is_trained(subject: Subject) -> bool:
    """Whether the run is there, with all its steps."""
    if not subject.config:
        return True
    folder = Path(subject.run)
    if not (folder / "config.json").exists():
        return False
    checkpoints = list_checkpoints(folder / "checkpoints")
    steps = load_config(str(folder / "config.json")).train.steps
    return bool(checkpoints) and checkpoints[-1].name == f"step-{steps:08d}"


def left(plan: Plan, *, anew: bool = False) -> int:
    """How many arms are not measured yet."""
    if anew:
        return len(plan.arms)
    records, place, data = read_records(plan.out), machine(), data_digest(plan.dataset)
    return sum(
        not is_trained(arm.subject) or identity(request_of(arm, plan), place, data) not in records for arm in plan.arms
    )


def request_of(arm: Arm, plan: Plan) -> Request:
    """What the process of an arm is asked."""
    options = plan.options
    return Request(
        run=arm.subject.run,
        canvas=arm.canvas,
        proposals=arm.proposals,
        dataset=plan.dataset.path,
        threshold=options.threshold,
        images=options.images,
        repeats=options.repeats,
        batch_size=options.batch_size,
    )


def data_digest(dataset: Dataset) -> str:
    """Of what is in a dataset: its manifest."""
    return digest(dataset.manifest.to_json().encode())


def bench(plan: Plan, *, force: bool = False, log: Log = print) -> dict[str, Any]:
    """Do it; returns what bench.json holds.

    Args:
        plan: of `make_plan`.
        force: measure every arm anew.
        log: takes progress lines.

    Raises:
        OutputError: --out holds something else.
        ArmError: an arm could not be measured; the others stay.
    """
    claim(plan.out, force=force)
    for subject in plan.subjects:
        if not is_trained(subject):
            log(f"training {subject.name}: {subject.run}")
        if subject.config:  # also where it is complete: the trainer says whether it is of this configuration
            _train(subject, plan)
    records, place, data = read_records(plan.out), machine(), data_digest(plan.dataset)
    rows, spent, began = [], 0, time.monotonic()
    known = {arm: identity(request_of(arm, plan), place, data) for arm in plan.arms}
    missing = [arm for arm in plan.arms if known[arm] not in records]
    if len(missing) < len(plan.arms):
        log(f"{len(plan.arms) - len(missing)} of {len(plan.arms)} arms are measured already, in {plan.out / FILE}")
    for number, arm in enumerate(plan.arms, start=1):
        if known[arm] not in records:
            found = run_arm(request_of(arm, plan), arm.title)
            record = {"identity": known[arm], **found}
            append_record(plan.out, record)
            records[known[arm]] = record
            spent += 1
            ahead = (time.monotonic() - began) / spent * (len(missing) - spent)
            told = f"; {_minutes(ahead)} left" if spent < len(missing) else ""
            log(f"[{number}/{len(plan.arms)}] {arm.title}: {_few(found)}{told}")
        rows.append({**_about(arm), **{key: value for key, value in records[known[arm]].items() if key != "identity"}})
    return _write(plan, rows)


def _train(subject: Subject, plan: Plan) -> None:
    words = [subject.config, "--data", *plan.options.data, "--tree", plan.options.tree, "--out", subject.run]
    run_training([*words, *(word for override in plan.options.overrides for word in ("--set", override))])


def _about(arm: Arm) -> dict[str, Any]:
    model, (height, width) = arm.subject.experiment.model, arm.canvas
    return {
        "name": arm.subject.name,
        "title": arm.title,
        "run": arm.subject.run,
        "architecture": model.architecture,
        "network": "darknet .cfg" if model.cfg else model.network,
        "height": height,
        "width": width,
        "proposals": arm.proposals,
    }


def _minutes(seconds: float) -> str:
    return f"{int(seconds) // 60}m{int(seconds) % 60:02d}s"


def _few(found: dict[str, Any]) -> str:
    ap = found["summary"].get("AP")
    return (
        f"AP {'-' if ap is None else f'{100 * ap:.1f} %'}, least {found['ms_least']:.1f} ms (CPU "
        f"{found['cpu_ms_least']:.1f} ms), {found['memory_mb']:,.0f} MB, {found['flops'] / 1e9:.3g} GFLOPs"
    )


def _write(plan: Plan, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """bench.json, bench.csv and bench.html, each whole."""
    options = asdict(replace(plan.options, words=tuple(plan.options.words)))
    result = {
        "format": "wordtree-bench",
        "version": 1,
        "dataset": Path(plan.dataset.path).name,
        "images": len(plan.dataset),
        "options": options,
        "warnings": warnings(rows),
        "arms": rows,
    }
    write_text_file(plan.out / "bench.json", json.dumps(result, indent=1) + "\n", force=True)
    write_text_file(plan.out / "bench.csv", csv_text(rows), force=True)
    write_page(plan.out / "bench.html", result)
    return result
