"""The training loop: thin, ours, and the same for every architecture. Its parts are in `detector.training`.

The state of a run is (weights, optimizer, step): the input, the rate and the size of the images are functions of the
step. So a killed run goes on from its last checkpoint and ends with the weights of an undisturbed one, bit for bit.
What lies in a run's directory: `detector.training.directory`.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import tensorflow as tf

from detector.anchors import box_shapes, kmeans_anchors
from detector.checkpoint import CheckpointInfo, list_checkpoints, restore_checkpoint, save_checkpoint
from detector.config import Experiment, TrainConfig
from detector.dataset import Dataset
from detector.input import JointStream
from detector.limits import check_experiment
from detector.supervision import supervision_of
from detector.training.counting import count_training_nodes
from detector.training.directory import begin_run, check_run, drop_rows_after
from detector.training.evaluation import EvaluationPlan, Evaluations, check_plan
from detector.training.initial import initialise
from detector.training.schedule import input_size_at, learning_rate
from detector.training.step import Trainer
from detector.training.stop import StopRequest, TrainingStopped
from wordtree.tree import WordTree

__all__ = [
    "EvaluationPlan",
    "Trainer",
    "TrainingStopped",
    "check_run",
    "count_training_nodes",
    "learning_rate",
    "train",
    "with_anchors",
]

Log = Callable[[str], None]


def with_anchors(experiment: Experiment, datasets: Sequence[Dataset], log: Log) -> Experiment:
    """The experiment with priors from the data, where it names none; a classifier has none."""
    if experiment.model.anchors or experiment.model.architecture == "classifier":
        return experiment
    anchors, fit = kmeans_anchors(box_shapes(datasets), experiment.model.num_anchors, seed=experiment.train.seed)
    log(f"anchors from the data: {len(anchors)} priors, mean IoU {fit:.3f}")
    rounded = tuple((round(float(w), 5), round(float(h), 5)) for w, h in anchors)
    return replace(experiment, model=replace(experiment.model, anchors=rounded))


def train(
    experiment: Experiment,
    tree: WordTree,
    datasets: Sequence[Dataset],
    out: Path,
    log: Log = print,
    *,
    evaluation: EvaluationPlan | None = None,
    init: str = "",
    allow_partial: bool = False,
    keep: int = 2,
) -> Path:
    """Train, or go on with a run that was stopped; returns the run's directory.

    Args:
        experiment: anchors may be missing: they are taken from the data.
        tree: the classes.
        datasets: of `wordtree convert`.
        out: the run's directory.
        log: for people.
        evaluation: what to evaluate on the way.
        init: a run or a .weights file whose weights a new run begins with.
        allow_partial: that source may lack parts of the network's body.
        keep: checkpoints that stay, the best not counted; 0 for all.

    Raises:
        OutputError: if `out` holds a run of another configuration or tree.
        TrainingStopped: after SIGTERM or SIGINT, when the checkpoint is written.
        CheckpointError, TreeError, InputError, NotFiniteError: see the parts.
    """
    config, plan = experiment.train, evaluation or EvaluationPlan()
    experiment = check_experiment(with_anchors(experiment, datasets, log), experiment.name)
    check_plan(plan, config.evaluate_every)
    check_run(experiment, tree, out)
    stream = JointStream(
        datasets,
        tree,
        data=experiment.data,
        augment=experiment.augment,
        size=experiment.model.canvas,
        seed=config.seed,
        log=log,
    )
    trainer = Trainer(experiment, tree, log, supervision=supervision_of(datasets, tree))
    opened = (out / "config.json").exists()
    begun = opened and bool(list_checkpoints(out / "checkpoints"))
    if init and not begun:
        initialise(trainer.detector, init, allow_partial=allow_partial, log=log)
        trainer.start_averages()
    start = _State(0, Counter(), 0).info(trainer)

    def first() -> None:  # a run that goes on needs no --init
        if init:
            save_checkpoint(out / "checkpoints", start, trainer.variables(), keep=keep)

    begin_run(experiment, tree, datasets, out, first)  # only now: what cannot be built leaves no directory behind
    if opened and not begun:
        first()
    log(f"network: {trainer.model.count_params():,} parameters, {len(tree)} nodes, input {experiment.model.input_size}")
    state = _restore_latest(trainer, out, log)
    if init and begun:
        log("--init is not used again: the run goes on from its checkpoint")
    if state.step >= config.steps:
        log(f"complete already: {out} has all {config.steps} steps")
        return out
    with StopRequest() as stop:
        _run_steps(trainer, stream, state, Evaluations(plan, trainer, out, state.step, log), stop, out, log, keep)
    log(f"next: wordtree evaluate {out} DATASET")
    return out


@dataclass
class _State:
    """Where the run is, and what the next line of the log sums up.

    Attributes:
        step: how many were done.
        sums: of the loss terms since the last line.
        count: steps in `sums`.
    """

    step: int
    sums: Counter[str]
    count: int

    def info(self, trainer: Trainer) -> CheckpointInfo:
        """What a checkpoint says of it."""
        images = self.step * trainer.experiment.train.batch_size
        tree = trainer.tree
        return CheckpointInfo(self.step, images, tree.digest(), len(tree), dict(self.sums), self.count)


def _run_steps(
    trainer: Trainer,
    stream: JointStream,
    state: _State,
    evaluations: Evaluations,
    stop: StopRequest,
    out: Path,
    log: Log,
    keep: int,
) -> None:
    config, first = trainer.experiment.train, state.step
    drop_rows_after(out / "metrics.jsonl", first)
    began, idle = time.monotonic(), 0.0
    lap, lap_steps = began, 0
    writer = tf.summary.create_file_writer(str(out / "tensorboard"))

    def save() -> None:
        metrics.flush()
        trainer.check_weights(state.step)
        save_checkpoint(out / "checkpoints", state.info(trainer), trainer.variables(), keep=keep)
        seconds = round(time.monotonic() - began - idle, 1)
        with open(out / "timing.jsonl", "a") as timing:  # for the report; the only file with a clock
            timing.write(json.dumps({"from": first, "step": state.step, "seconds": seconds}) + "\n")

    sizes = (lambda step: input_size_at(trainer.experiment, step)) if config.multi_scale else None
    batches = stream.batches(config.batch_size, start=first, stop=config.steps, size_at=sizes)
    with open(out / "metrics.jsonl", "a") as metrics:
        for batch in batches:
            position = state.step * config.batch_size
            state.sums.update(trainer.train_step(batch, state.step, lambda b, at=position: _image_name(stream, at + b)))
            state.step, state.count, lap_steps = state.step + 1, state.count + 1, lap_steps + 1
            if state.step % config.log_every == 0 or state.step == config.steps:
                means = {name: value / state.count for name, value in state.sums.items()}
                now = time.monotonic()
                _log_step(state.step, means, trainer.experiment, metrics, writer, log, (now - lap) / lap_steps)
                state.sums, state.count, lap, lap_steps = Counter(), 0, now, 0
            if evaluations.due(state.step):
                paused = time.monotonic()
                trainer.check_weights(state.step)
                evaluations.run(state.step)
                idle, lap = idle + time.monotonic() - paused, lap + time.monotonic() - paused
            if state.step % config.checkpoint_every == 0 or state.step == config.steps or stop.signal:
                save()
            if stop.signal and state.step < config.steps:
                raise TrainingStopped(
                    stop.signal, f"stopped at step {state.step} of {config.steps}; the same command goes on from there"
                )
    writer.close()
    log(f"trained {config.steps - first} steps in {_clock(time.monotonic() - began - idle)}; run in {out}")


def _image_name(stream: JointStream, position: int) -> str:
    """What to call the image at a position of the stream."""
    number, row = stream.locate(position)
    dataset = stream.sources[number].dataset
    record = dataset.record(row)
    return f"image {record.image_id!r} ({record.uri}) of {dataset.path}"


def _restore_latest(trainer: Trainer, out: Path, log: Log) -> _State:
    checkpoints = list_checkpoints(out / "checkpoints")
    if not checkpoints:
        return _State(0, Counter(), 0)
    info = restore_checkpoint(checkpoints[-1], trainer.tree.digest(), trainer.variables())
    log(f"resuming at step {info.step} from {checkpoints[-1]}")
    return _State(info.step, Counter(info.open_sums), info.open_steps)


def _log_step(
    done: int,
    means: dict[str, float],
    experiment: Experiment,
    metrics: Any,
    writer: Any,
    log: Log,
    seconds_per_step: float,
) -> None:
    config: TrainConfig = experiment.train
    rate = learning_rate(config, done - 1)
    row = {"step": done, "images": done * config.batch_size, "learning_rate": rate}
    metrics.write(json.dumps(row | {name: round(value, 6) for name, value in means.items()}) + "\n")
    with writer.as_default(step=done):
        for name, value in {**means, "learning_rate": rate}.items():
            tf.summary.scalar(name, value)
    speed = config.batch_size / seconds_per_step
    left = (config.steps - done) * seconds_per_step
    terms = "  ".join(f"{k} {v:.3f}" for k, v in means.items() if k not in ("loss", "gradient_norm"))
    log(
        f"step {done:>6}/{config.steps}  {speed:5.0f} images/s  {_clock(left)} left  loss {means['loss']:.3f} ({terms})"
    )


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}m{int(seconds) % 60:02d}s"
