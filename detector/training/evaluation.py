"""Evaluation on the way: every so many steps, with the weights that would be evaluated at the end.

Each evaluation is a line of RUN/evaluations.jsonl: step, dataset, metric, value, summary. The best weights so far,
by the mean of one number of the summaries over the data sets, stay in RUN/checkpoints/best. Both are functions of the
steps: a run that goes on from an older checkpoint drops what came after it and finds the same again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from detector.architectures import traits_of
from detector.checkpoint import BEST, CheckpointInfo, read_info, save_checkpoint
from detector.config import Experiment
from detector.dataset import Dataset
from detector.metrics.groups import group_of, split_of
from detector.run import Run, read_training_nodes
from detector.training.counting import count_training_nodes
from detector.training.directory import drop_rows_after
from detector.training.step import Trainer
from schemas.errors import ConfigError
from wordtree.suggestions import did_you_mean
from wordtree.tree import WordTree

Log = Callable[[str], None]
FILE = "evaluations.jsonl"
SHOWN = ("AP50", "AP50_boxed", "AP50_unboxed", "recall100", "corloc", "top1", "top5", "hF")  # the file has them all


@dataclass(frozen=True)
class EvaluationPlan:
    """What is evaluated on the way.

    Attributes:
        datasets: with boxes; none: nothing is evaluated.
        metric: key of an evaluation's summary that chooses the best; "" for AP50 (top1 of a classifier).
        batch_size: images at a time.
    """

    datasets: Sequence[Dataset] = field(default_factory=tuple)
    metric: str = ""
    batch_size: int = 32


class Evaluations:
    """The evaluations of one run.

    Args:
        plan: which sets, and what chooses the best.
        trainer: whose weights.
        out: the run's directory.
        start: the step from which the run goes on.
        log: for people.

    Raises:
        ConfigError: if sets are given and no steps between evaluations, or two sets of one name.
    """

    def __init__(self, plan: EvaluationPlan, trainer: Trainer, out: Path, start: int, log: Log) -> None:
        check_plan(plan, trainer.experiment.train.evaluate_every)
        self.plan, self.trainer, self.out, self.log = plan, trainer, out, log
        finds_boxes = traits_of(trainer.experiment.model.architecture).finds_boxes
        self.metric = plan.metric or ("AP50" if finds_boxes else "top1")
        self.every = trainer.experiment.train.evaluate_every if plan.datasets else 0
        drop_rows_after(out / FILE, start)

    def due(self, done: int) -> bool:
        """Whether to evaluate after so many steps: every so often, and at the end."""
        return bool(self.every) and (done % self.every == 0 or done == self.trainer.experiment.train.steps)

    def run(self, done: int) -> None:
        """Evaluate on every set, write the lines, and keep the weights if they are the best so far.

        Raises:
            ConfigError: if the summary lacks the metric.
        """
        trainer = self.trainer
        info = CheckpointInfo(
            done, done * trainer.experiment.train.batch_size, trainer.tree.digest(), len(trainer.tree)
        )
        boxes, labels = read_training_nodes(self.out)
        run = Run(self.out, trainer.experiment, trainer.tree, trainer.evaluated, info, boxes, labels)
        values, lines = [], []
        for dataset in self.plan.datasets:
            summary = evaluate_run(run, dataset, self.plan.batch_size)["summary"]
            if self.metric not in summary:
                numbers = ", ".join(key for key, value in summary.items() if isinstance(value, float))
                raise ConfigError(f"--best-metric {self.metric}: the evaluation of {dataset.path} has {numbers}")
            name, value = Path(dataset.path).name, summary[self.metric]
            values.append(float(value or 0.0))
            row = {"step": done, "dataset": name, "metric": self.metric, "value": value, "summary": summary}
            lines.append(json.dumps(row) + "\n")
            keys = dict.fromkeys([self.metric, *SHOWN])
            shown = "  ".join(f"{key} {summary[key]:.3f}" for key in keys if isinstance(summary.get(key), float))
            self.log(f"evaluated at step {done} on {name}: {shown}")
        with open(self.out / FILE, "a") as file:
            file.writelines(lines)
            file.flush()
            os.fsync(file.fileno())
        self._keep_best(info, sum(values) / len(values))

    def _keep_best(self, info: CheckpointInfo, value: float) -> None:
        root = self.out / "checkpoints"
        if (root / BEST / "checkpoint.json").exists():
            old = read_info(root / BEST)
            same = old.step == info.step  # found before by a process that was killed: the same again
            if not same and old.score.get("metric") == self.metric and old.score.get("value", -1.0) >= value:
                return
        best = CheckpointInfo(
            info.step,
            info.images_seen,
            info.tree_digest,
            info.nodes,
            score={"metric": self.metric, "value": value},
        )
        section = "average" if self.trainer.averaged else "model"
        kept = {k: v for k, v in self.trainer.variables().items() if k.startswith(f"{section}/")}
        save_checkpoint(root, best, kept, name=BEST)
        self.log(f"best so far: {self.metric} {value:.4f} at step {info.step}, kept in {root / BEST}")


def with_evaluations(experiment: Experiment, wanted: bool) -> Experiment:
    """The experiment evaluated at its end, where it is to be evaluated and does not say how often."""
    config = experiment.train
    if not wanted or config.evaluate_every:
        return experiment
    return replace(experiment, train=replace(config, evaluate_every=config.steps))


def evaluation_line(experiment: Experiment) -> str:
    """When it is evaluated, for the plan."""
    config = experiment.train
    if config.evaluate_every < config.steps:
        return f"  eval: every {config.evaluate_every} steps and at the end"
    return f"  eval: once, at the end (step {config.steps}); --set train.evaluate_every=N evaluates on the way"


def check_plan(plan: EvaluationPlan, every: int) -> None:
    """Refuse a plan that cannot be followed.

    Raises:
        ConfigError: if sets are given and no steps between evaluations, or two sets of one name.
    """
    if plan.datasets and not every:
        raise ConfigError("--eval needs the steps between evaluations; give --set train.evaluate_every=1000, say")
    names = [Path(dataset.path).name for dataset in plan.datasets]
    if twice := [name for name in names if names.count(name) > 1]:
        raise ConfigError(f"--eval: two datasets are called {twice[0]!r}; evaluate one of them afterwards")


def check_metric(plan: EvaluationPlan, experiment: Experiment, tree: WordTree, datasets: Sequence[Dataset]) -> None:
    """Refuse a metric that no evaluation on the way has, or has for no class of a set.

    Args:
        plan: its metric and sets.
        experiment: its architecture.
        tree: the classes.
        datasets: of the training: they decide which classes are boxed.

    Raises:
        ConfigError: naming the metrics that there are.
    """
    if not plan.metric or not plan.datasets:
        return
    known = known_metrics(experiment.model.architecture)
    if plan.metric not in known:
        raise ConfigError(
            f"--best-metric {plan.metric}: no evaluation has it{did_you_mean(plan.metric, known)}; there are "
            f"{', '.join(known)}"
        )
    part = plan.metric.partition("_")[2]
    if part not in ("boxed", "unboxed", "unboxed_near", "unboxed_far"):
        return
    counts = count_training_nodes(datasets)
    for dataset in plan.datasets:
        nodes = dataset.nodes(tree).values()
        groups = {group_of(node, counts["boxes"], counts["labels"], tree) for node in nodes}
        splits = {split_of(node, counts["boxes"], tree).replace("unseen", "unboxed") for node in nodes}
        if part not in groups | splits:
            raise ConfigError(
                f"--best-metric {plan.metric}: {dataset.path} has no class of that kind; its classes are "
                f"{', '.join(sorted(groups))} ones"
            )


def known_metrics(architecture: str) -> list[str]:
    """The keys of a summary of an evaluation on the way that can choose the best."""
    if not traits_of(architecture).finds_boxes:
        return ["top1", "top5", "top1_classes", "top5_classes", "hF"]
    from detector.measure import summary
    from detector.metrics.metric import all_metrics

    told = [figure.key for metric in all_metrics().values() if metric.in_training for figure in metric.figures]
    keys = summary([{"truths": 0, **dict.fromkeys(told)}], {})
    return [key for key in keys if not key.startswith("classes_")]


def evaluate_run(run: Run, dataset: Dataset, batch_size: int) -> dict[str, Any]:
    """What `wordtree evaluate` would say of a detector's boxes or of a classifier's names, without progress lines."""
    if not traits_of(run.experiment.model.architecture).finds_boxes:
        from detector.evaluate_classes import evaluate_classes

        return evaluate_classes(run, dataset, batch_size=batch_size, log=lambda line: None)
    from detector.evaluate import evaluate
    from detector.metrics.metric import all_metrics

    asked = [key for key, metric in all_metrics().items() if metric.in_training]
    return evaluate(run, dataset, batch_size=batch_size, log=lambda line: None, metrics=asked)
