"""The training loop: thin, ours, and the same for every architecture. Its parts are in `detector.training`.

The state of a run is (weights, optimizer, step): the input, the rate and the size of the images are functions of the
step. So a killed run goes on from its last checkpoint and ends with the weights of an undisturbed one, bit for bit.
What lies in a run's directory: `detector.training.directory`.

Of the workers of a job the first, the chief, reads and writes that directory; the others get the state from it. With
any number of workers a step has the same images (`detector.cluster.shares`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from detector.anchors import box_shapes, kmeans_anchors
from detector.architectures import traits_of
from detector.checkpoint import CheckpointInfo, check_room, list_checkpoints, restore_checkpoint, save_checkpoint
from detector.cluster.host_stream import HostStream
from detector.cluster.lost import watch
from detector.cluster.shares import offsets_of
from detector.cluster.strategy import Cluster
from detector.cluster.trainer import make_trainer
from detector.config import Experiment
from detector.dataset import Dataset
from detector.input import JointStream
from detector.limits import check_experiment
from detector.supervision import supervision_of
from detector.training.counting import count_training_nodes
from detector.training.directory import begin_run, check_run
from detector.training.evaluation import EvaluationPlan, Evaluations, check_metric, check_plan
from detector.training.initial import Restored, initialise, keep_origin
from detector.training.journal import Journal, clock
from detector.training.schedule import input_size_at, learning_rate
from detector.training.step import Trainer
from detector.training.stop import StopRequest, TrainingStopped
from wordtree.lock import OutputLock
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
    if experiment.model.anchors or not traits_of(experiment.model.architecture).finds_boxes:
        return experiment
    model = experiment.model
    shapes = box_shapes(datasets, model.canvas, model.shorter_side)
    anchors, fit = kmeans_anchors(shapes, model.num_anchors, seed=experiment.train.seed)
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
    cluster: Cluster | None = None,
) -> Path:
    """Train, or go on with a run that was stopped; returns the run's directory.

    Args:
        experiment: anchors may be missing: they are taken from the data.
        tree: the classes.
        datasets: of `wordtree convert`.
        out: the run's directory; only the chief needs to see it.
        log: for people.
        evaluation: what to evaluate on the way; the chief does, while the others wait.
        init: a run or a .weights file whose weights a new run begins with.
        allow_partial: that source may lack parts of the network's body.
        keep: checkpoints that stay, the best not counted; 0 for all.
        cluster: the devices; None for one.

    Raises:
        OutputError: if `out` holds a run of another configuration or tree, or another process trains in it.
        TrainingStopped: after SIGTERM or SIGINT of any worker, when the checkpoint is written.
        WorkerLostError: in the others, when a worker is gone.
        CheckpointError, TreeError, InputError, NotFiniteError: see the parts.
    """
    cluster = cluster or Cluster()
    plan = evaluation or EvaluationPlan()
    with watch(cluster.workers, cluster.index), OutputLock(out, what="trains in it") as lock:
        _train(experiment, tree, datasets, out, log, plan, init, allow_partial, keep, cluster, lock)
    return out


def _train(
    experiment: Experiment,
    tree: WordTree,
    datasets: Sequence[Dataset],
    out: Path,
    log: Log,
    plan: EvaluationPlan,
    init: str,
    allow_partial: bool,
    keep: int,
    cluster: Cluster,
    lock: OutputLock,
) -> None:
    config, chief = experiment.train, cluster.is_chief
    experiment = check_experiment(with_anchors(experiment, datasets, log), experiment.name)
    check_plan(plan, config.evaluate_every)
    check_metric(plan, experiment, tree, datasets)
    if chief:
        lock.take()
        check_run(experiment, tree, out)
    cluster.check_same(_what_must_agree(experiment, tree, datasets, plan, init))
    stream = _stream(experiment, tree, datasets, log, cluster)
    trainer = make_trainer(experiment, tree, log, cluster=cluster, supervision=supervision_of(datasets, tree))
    opened = chief and (out / "config.json").exists()
    begun = opened and bool(list_checkpoints(out / "checkpoints"))
    restored = Restored()
    if chief and init and not begun:
        with trainer.scope():
            restored = initialise(trainer.detector, init, allow_partial=allow_partial, log=log)
            trainer.start_averages()
    start = _State(0, Counter(), 0).info(trainer)

    def first() -> None:  # a run that goes on needs no --init
        if init:
            save_checkpoint(out / "checkpoints", start, trainer.variables(), keep=keep)
            keep_origin(restored, init, out)

    if chief:  # only now: what cannot be built leaves no directory behind
        out.mkdir(parents=True, exist_ok=True)
        lock.take()
        check_run(experiment, tree, out)
        begin_run(experiment, tree, datasets, out, first)
        check_room(out / "checkpoints", trainer.variables())  # now, and not after days
        if opened and not begun:
            first()
    log(f"network: {trainer.model.count_params():,} parameters, {len(tree)} nodes, input {experiment.model.input_size}")
    state = _restore_latest(trainer, out, log) if chief else _State(0, Counter(), 0)
    state.step = cluster.gather(state.step)[0]
    with trainer.scope():
        cluster.spread(trainer.variables())
    if init and begun:
        log("--init is not used again: the run goes on from its checkpoint")
    if state.step >= config.steps:
        log(f"complete already: {out} has all {config.steps} steps")
        return
    with ExitStack() as stack:
        stop = stack.enter_context(StopRequest())
        records = None
        if chief:
            journal = Journal(out, experiment, state.step, log)
            stack.callback(journal.close)
            records = _Records(trainer, journal, Evaluations(plan, trainer, out, state.step, log), out, keep)
        try:
            _run_steps(trainer, stream, state, records, stop)
        except TrainingStopped:
            cluster.gather(0)  # nobody leaves before the checkpoint is written
            raise
    cluster.gather(0)
    log(f"next: wordtree evaluate {out} DATASET")


def _stream(
    experiment: Experiment, tree: WordTree, datasets: Sequence[Dataset], log: Log, cluster: Cluster
) -> JointStream:
    """The images that this process computes."""
    config = experiment.train
    options = {
        "data": experiment.data,
        "augment": experiment.augment,
        "size": experiment.model.canvas,
        "shorter": experiment.model.shorter_side,
        "seed": config.seed,
        "log": log,
    }
    if cluster.strategy is None:
        return JointStream(datasets, tree, **options)
    offsets = offsets_of(cluster.index, cluster.workers, cluster.local, config.batch_size, config.subdivisions)
    return HostStream(datasets, tree, offsets=offsets, batch_size=config.batch_size, **options)


def _what_must_agree(
    experiment: Experiment, tree: WordTree, datasets: Sequence[Dataset], plan: EvaluationPlan, init: str
) -> dict[str, str]:
    """What all workers must have been given alike, as texts by name; paths may differ."""
    sections = asdict(experiment)
    sections.pop("data")
    return {
        **{key if key == "name" else f"--set {key}": repr(value) for key, value in sections.items()},
        "--set data": repr(replace(experiment.data, datasets=())),
        "--tree": tree.digest(),
        "--data": repr([(len(dataset), [s.sha256 for s in dataset.manifest.shards]) for dataset in datasets]),
        "--init": str(bool(init)),
    }


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


@dataclass(frozen=True)
class _Records:
    """What the chief writes.

    Attributes:
        trainer: whose state.
        journal: of steps.
        evaluations: on the way.
        out: the run's directory.
        keep: checkpoints that stay.
    """

    trainer: Trainer
    journal: Journal
    evaluations: Evaluations
    out: Path
    keep: int

    def evaluate(self, done: int) -> None:
        """If it is time to."""
        if self.evaluations.due(done):
            self.trainer.check_weights(done)
            self.journal.pause(lambda: self.evaluations.run(done))

    def save(self, state: _State) -> None:
        """A checkpoint."""
        self.journal.flush()
        self.trainer.check_weights(state.step)
        save_checkpoint(self.out / "checkpoints", state.info(self.trainer), self.trainer.variables(), keep=self.keep)
        self.journal.saved(state.step)


def _run_steps(
    trainer: Trainer, stream: JointStream, state: _State, records: _Records | None, stop: StopRequest
) -> None:
    """The steps that are left; `records` is None in a worker that writes nothing."""
    config, first = trainer.experiment.train, state.step
    sizes = (lambda step: input_size_at(trainer.experiment, step)) if config.multi_scale else None
    own = stream.share if isinstance(stream, HostStream) else config.batch_size
    for batch in stream.batches(own, start=first, stop=config.steps, size_at=sizes):
        position = state.step * config.batch_size
        known = len(trainer.compiled)
        state.sums.update(trainer.train_step(batch, state.step, lambda b, at=position: _image_name(stream, at + b)))
        state.step, state.count = state.step + 1, state.count + 1
        if records:
            records.journal.stepped(state.step, compiled=len(trainer.compiled) > known)
        signal = trainer.asked_to_stop(stop.signal)
        if state.step % config.log_every == 0 or state.step == config.steps:
            if records:
                records.journal.step(state.step, {name: value / state.count for name, value in state.sums.items()})
            state.sums, state.count = Counter(), 0
        if records:
            records.evaluate(state.step)
            if state.step % config.checkpoint_every == 0 or state.step == config.steps or signal:
                records.save(state)
        if signal and state.step < config.steps:
            raise TrainingStopped(
                signal, f"stopped at step {state.step} of {config.steps}; the same command goes on from there"
            )
    if records:
        seconds = clock(records.journal.seconds())
        records.journal.log(f"trained {config.steps - first} steps in {seconds}; run in {records.out}")


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
    with trainer.scope():
        info = restore_checkpoint(checkpoints[-1], trainer.tree.digest(), trainer.variables())
    log(f"resuming at step {info.step} from {checkpoints[-1]}" if info.step else "beginning with the initial weights")
    return _State(info.step, Counter(info.open_sums), info.open_steps)
