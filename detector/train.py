"""The training loop: thin, ours, and the same for every architecture.

A run is a directory:

    RUN/config.json          the resolved experiment
    RUN/tree/                the tree, so that the run is self-contained
    RUN/training_nodes.json  how many boxes and labels each tree node had in the training data, and which sets
    RUN/timing.jsonl         seconds of training at each checkpoint
    RUN/metrics.jsonl        one line per logged step
    RUN/tensorboard/         the same for TensorBoard
    RUN/checkpoints/         see detector/checkpoint.py

The state of a run is (weights, optimizer, step): the input is a function of the step. So a killed run goes on from its
last checkpoint and ends with the same weights as an undisturbed one.
"""

from __future__ import annotations

import json
import math
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from detector.anchors import box_shapes, kmeans_anchors
from detector.api import Batch
from detector.architectures import build_detector
from detector.checkpoint import CheckpointInfo, list_checkpoints, restore_checkpoint, save_checkpoint
from detector.config import Experiment, TrainConfig, load_config
from detector.dataset import Dataset
from detector.input import JointStream
from detector.limits import check_experiment
from detector.run import write_tree
from schemas.errors import CheckpointError, FormatError, OutputError, WordTreeError
from wordtree.files import read_tree
from wordtree.tree import WordTree

Log = Callable[[str], None]


class Trainer:
    """Model, optimizer and averaged weights, and one step over a batch.

    Args:
        experiment: with its anchors filled in.
        tree: the classes.
    """

    def __init__(self, experiment: Experiment, tree: WordTree) -> None:
        config = experiment.train
        keras.utils.set_random_seed(config.seed)
        keras.mixed_precision.set_global_policy(config.precision)
        self.experiment, self.tree = experiment, tree
        self.detector = build_detector(experiment, tree)
        self.model = self.detector.model
        self.optimizer = make_optimizer(config)
        self.optimizer.build(self.model.trainable_variables)
        self.average = [keras.Variable(weight, trainable=False) for weight in self.model.weights]
        self.step_function = tf.function(self._step, reduce_retracing=True)

    def variables(self) -> dict[str, Any]:
        """Everything that a checkpoint holds, by name."""
        named = {f"model/{weight.path}": weight for weight in self.model.weights}
        if self.experiment.train.ema:
            averages = zip(self.model.weights, self.average, strict=True)
            named |= {f"average/{weight.path}": average for weight, average in averages}
        return named | {f"optimizer/{variable.path}": variable for variable in self.optimizer.variables}

    def train_step(self, batch: Batch, step: int) -> dict[str, float]:
        """One update; `step` counts from 0. Returns the loss terms.

        Raises:
            WordTreeError: if a term is not finite; it names the terms.
        """
        config = self.experiment.train
        self.optimizer.learning_rate = learning_rate(config, step)
        weak_on = float(step >= self.experiment.loss.weak_after)
        seen = (step + 1) * config.batch_size
        decay = min(config.ema, (1 + step) / (10 + step))
        terms = self.step_function(batch, tf.constant(seen), tf.constant(weak_on), tf.constant(decay, tf.float32))
        values = {name: float(value) for name, value in terms.items()}
        broken = [name for name, value in values.items() if not math.isfinite(value)]
        if broken:
            raise WordTreeError(
                f"step {step}: {', '.join(broken)} is not finite; lower train.learning_rate or train.clip_norm. "
                "The last checkpoint is intact"
            )
        return values

    def check_weights(self, step: int) -> None:
        """Refuse to keep weights that are not finite: the loss of a step is measured before its update.

        Raises:
            WordTreeError: naming the first such weight.
        """
        for weight in self.model.weights:
            if not bool(tf.reduce_all(tf.math.is_finite(weight.value))):
                raise WordTreeError(
                    f"step {step}: {weight.path} is not finite and was not saved; lower train.learning_rate or "
                    "train.clip_norm. Older checkpoints are intact"
                )

    def _step(self, batch: Batch, images_seen: Any, weak_on: Any, decay: Any) -> dict[str, Any]:
        config = self.experiment.train
        with tf.GradientTape() as tape:
            terms = self.detector.losses(batch, training=True, images_seen=images_seen, weak_on=weak_on)
            loss = tf.add_n(list(terms.values()))
        variables = self.model.trainable_variables
        gradients = tape.gradient(loss, [v.value for v in variables])
        if config.optimizer == "sgd":  # decay inside the momentum, on kernels alone, as darknet does
            gradients = [
                g + config.weight_decay * v if v.path.endswith("kernel") else g
                for g, v in zip(gradients, variables, strict=True)
            ]
        norm = tf.linalg.global_norm(gradients)
        if config.clip_norm:
            gradients, _ = tf.clip_by_global_norm(gradients, config.clip_norm, use_norm=norm)
        self.optimizer.apply(gradients, variables)
        if config.ema:
            for average, weight in zip(self.average, self.model.weights, strict=True):
                average.assign(average + (1 - decay) * (weight - average))
        return terms | {"loss": loss, "gradient_norm": norm}


def make_optimizer(config: TrainConfig) -> keras.optimizers.Optimizer:
    """Momentum SGD as darknet's, or AdamW with decay on kernels alone."""
    if config.optimizer == "sgd":
        return keras.optimizers.SGD(config.learning_rate, momentum=0.9, name="sgd")
    optimizer = keras.optimizers.AdamW(config.learning_rate, weight_decay=config.weight_decay, name="adamw")
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return optimizer


def learning_rate(config: TrainConfig, step: int) -> float:
    """The rate of a step: a linear rise, then a cosine to zero or a constant."""
    if step < config.warmup_steps:
        return config.learning_rate * (step + 1) / config.warmup_steps
    if config.schedule == "constant":
        return config.learning_rate
    done = (step - config.warmup_steps) / max(config.steps - config.warmup_steps, 1)
    return config.learning_rate * 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))


def with_anchors(experiment: Experiment, datasets: Sequence[Dataset], log: Log) -> Experiment:
    """The experiment with priors from the data, where it names none."""
    if experiment.model.anchors:
        return experiment
    anchors, fit = kmeans_anchors(box_shapes(datasets), experiment.model.num_anchors, seed=experiment.train.seed)
    log(f"anchors from the data: {len(anchors)} priors, mean IoU {fit:.3f}")
    rounded = tuple((round(float(w), 5), round(float(h), 5)) for w, h in anchors)
    return replace(experiment, model=replace(experiment.model, anchors=rounded))


def count_training_nodes(datasets: Sequence[Dataset]) -> dict[str, Any]:
    """How many boxes and how many present image labels each wnid has: what "boxed class" means later; and the sets."""
    boxes: Counter[str] = Counter()
    labels: Counter[str] = Counter()
    for dataset in datasets:
        wnids = dataset.wnids
        for row in range(len(dataset)):
            record = dataset.record(row)
            boxes.update(wnids[box.class_id] for box in record.boxes if not box.is_crowd)
            labels.update(wnids[label.class_id] for label in record.labels if label.present)
    sets = [{"path": d.path, "images": len(d), "has_boxes": d.has_boxes} for d in datasets]
    return {"boxes": dict(sorted(boxes.items())), "labels": dict(sorted(labels.items())), "datasets": sets}


def train(experiment: Experiment, tree: WordTree, datasets: Sequence[Dataset], out: Path, log: Log = print) -> Path:
    """Train, or go on with a run that was stopped; returns the run's directory.

    Raises:
        OutputError: if `out` holds a run of another configuration or tree.
        CheckpointError, TreeError, InputError: see the parts.
    """
    config = experiment.train
    experiment = check_experiment(with_anchors(experiment, datasets, log), experiment.name)
    check_run(experiment, tree, out)
    stream = JointStream(
        datasets,
        tree,
        data=experiment.data,
        augment=experiment.augment,
        size=experiment.model.input_size,
        seed=config.seed,
    )
    trainer = Trainer(experiment, tree)
    _open_run(experiment, tree, datasets, out)  # only now: what cannot be built leaves no directory behind
    log(f"network: {trainer.model.count_params():,} parameters, {len(tree)} nodes, input {experiment.model.input_size}")
    start = _restore_latest(trainer, out, log)
    if start >= config.steps:
        log(f"complete already: {out} has all {config.steps} steps")
        return out
    _truncate_metrics(out / "metrics.jsonl", start)
    writer = tf.summary.create_file_writer(str(out / "tensorboard"))
    sums: Counter[str] = Counter()
    count, began = 0, time.monotonic()
    lap = began
    with open(out / "metrics.jsonl", "a") as metrics:
        for step, batch in enumerate(_decoded(stream, config, start), start=start):
            sums.update(trainer.train_step(batch, step))
            count += 1
            done = step + 1
            if done % config.log_every == 0 or done == config.steps:
                means = {name: value / count for name, value in sums.items()}
                now = time.monotonic()
                _log_step(done, means, experiment, metrics, writer, log, seconds_per_step=(now - lap) / count)
                sums, count, lap = Counter(), 0, now
            if done % config.checkpoint_every == 0 or done == config.steps:
                info = CheckpointInfo(done, done * config.batch_size, tree.digest(), len(tree))
                metrics.flush()
                trainer.check_weights(done)
                save_checkpoint(out / "checkpoints", info, trainer.variables())
                with open(out / "timing.jsonl", "a") as timing:  # for the report; the only file with a clock
                    timing.write(
                        json.dumps({"from": start, "step": done, "seconds": round(time.monotonic() - began, 1)}) + "\n"
                    )
    writer.close()
    log(f"trained {config.steps - start} steps in {_clock(time.monotonic() - began)}; run in {out}")
    log(f"next: wordtree evaluate {out} DATASET")
    return out


def _decoded(stream: JointStream, config: TrainConfig, start: int) -> Iterator[Batch]:
    """The batches from step `start` on; an image that cannot be decoded is named.

    Raises:
        FormatError: naming the image, which passed the cheap check of the conversion.
    """
    step = start
    try:
        for batch in stream.batches(config.batch_size, start=start, stop=config.steps):
            yield batch
            step += 1
    except tf.errors.InvalidArgumentError as error:
        ahead = 8 * config.batch_size  # batches are prepared ahead of the step
        culprit = stream.first_undecodable(step * config.batch_size, ahead)
        if not culprit:
            raise
        raise FormatError(f"{culprit}. Remove it from the source and convert again") from error


def check_run(experiment: Experiment, tree: WordTree, out: Path) -> str:
    """What is in `out` for this run, in words: a new run, or where it goes on.

    Raises:
        OutputError: if `out` holds a run of another configuration, or something else.
        CheckpointError: if that run has another tree.
    """
    path = out / "config.json"
    if not path.exists():
        if out.exists() and (not out.is_dir() or any(out.iterdir())) and not (out / "tree").exists():
            raise OutputError(f"{out} is not empty and holds no run; choose another --out")
        return "a new run"
    found = load_config(str(path))
    if found != experiment:
        raise OutputError(
            f"{out} holds a run of another configuration ({_first_difference(found, experiment)}); go on with that one "
            f"by `wordtree train {path} ...`, or choose another --out"
        )
    if (digest := read_tree(str(out / "tree")).digest()) != tree.digest():
        raise CheckpointError(f"{out} was trained on the tree {digest[:12]}, but --tree is {tree.digest()[:12]}")
    checkpoints = list_checkpoints(out / "checkpoints")
    return f"goes on from {checkpoints[-1].name}" if checkpoints else "begun, without a checkpoint yet"


def _open_run(experiment: Experiment, tree: WordTree, datasets: Sequence[Dataset], out: Path) -> None:
    """Create the run's directory, unless it is there."""
    path = out / "config.json"
    if path.exists():
        return
    out.mkdir(parents=True, exist_ok=True)
    write_tree(tree, out / "tree")
    nodes = count_training_nodes(datasets)
    (out / "training_nodes.json").write_text(json.dumps(nodes, indent=1) + "\n")
    path.write_text(experiment.to_json())  # last: a directory with config.json is a run


def _first_difference(found: Experiment, wanted: Experiment) -> str:
    for section in ("model", "loss", "augment", "data", "train"):
        old, new = getattr(found, section), getattr(wanted, section)
        for name in old.__dataclass_fields__:
            if getattr(old, name) != getattr(new, name):
                return f"{section}.{name} is {getattr(old, name)!r} there, {getattr(new, name)!r} here"
    return f"its name is {found.name!r}"


def _restore_latest(trainer: Trainer, out: Path, log: Log) -> int:
    checkpoints = list_checkpoints(out / "checkpoints")
    if not checkpoints:
        return 0
    info = restore_checkpoint(checkpoints[-1], trainer.tree.digest(), trainer.variables())
    log(f"resuming at step {info.step} from {checkpoints[-1]}")
    return info.step


def _truncate_metrics(path: Path, step: int) -> None:
    """Drop lines after the checkpoint: those steps are done again."""
    if path.exists():
        rows = [line for line in path.read_text().splitlines() if _step_of(line) <= step]
        path.write_text("".join(f"{line}\n" for line in rows))


def _step_of(line: str) -> float:
    try:
        return json.loads(line)["step"]
    except (ValueError, KeyError):
        return math.inf  # cut in the middle by a kill


def _log_step(
    done: int,
    means: dict[str, float],
    experiment: Experiment,
    metrics: Any,
    writer: Any,
    log: Log,
    *,
    seconds_per_step: float,
) -> None:
    config = experiment.train
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
