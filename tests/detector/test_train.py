"""Training: it learns, it resumes to the same weights, it stops when asked, it refuses what does not fit.

The loop is tested around a detector that compiles in a moment (`train_stub.py`); learning, on the real one.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
from dataclasses import replace

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

from detector.checkpoint import list_checkpoints, read_info  # noqa: E402
from detector.config import Experiment, LossConfig, ModelConfig, TrainConfig  # noqa: E402
from detector.dataset import open_dataset  # noqa: E402
from detector.evaluate import evaluate  # noqa: E402
from detector.run import open_run  # noqa: E402
from detector.train import EvaluationPlan, TrainingStopped, train  # noqa: E402
from schemas.errors import CheckpointError, ConfigError, FormatError, OutputError, WordTreeError  # noqa: E402
from schemas.record import ImageLabel  # noqa: E402
from tests.detector.train_stub import Stub, stub_experiment, use_stub  # noqa: E402
from wordtree.tree import WordTree  # noqa: E402

MODEL = ModelConfig(
    input_size=32, width=0.25, stages=4, output_stride=8, anchors=((0.4, 0.4),), batch_norm_momentum=0.9
)


def quiet(_line):
    pass


def weights(run):
    with np.load(list_checkpoints(run / "checkpoints")[-1] / "variables.npz") as file:
        return {name: file[name] for name in file.files}


def assert_same_run(one, two):
    """The same weights, optimizer and random state to the bit, and the same lines."""
    expected, found = weights(one), weights(two)
    assert expected.keys() == found.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)
    assert (one / "metrics.jsonl").read_text() == (two / "metrics.jsonl").read_text()


@pytest.fixture
def stub(monkeypatch):
    """The trainer builds stubs."""
    use_stub(monkeypatch)
    tf.config.experimental.enable_op_determinism()


@pytest.fixture
def finished(stub, detection_set, tree, tmp_path):
    """A run of two steps that is done."""
    return train(stub_experiment(steps=2), tree, [open_dataset(str(detection_set))], tmp_path / "run", quiet)


def test_a_few_images_are_over_fitted_and_the_fine_classes_are_found(
    detection_set, label_set, fine_set, tree, tmp_path
):
    """Discs and squares: boxes say only "figure", labels say which. Joint training must box discs and squares."""
    datasets = [open_dataset(str(path)) for path in (detection_set, label_set)]
    config = Experiment(
        name="t",
        model=MODEL,
        loss=LossConfig(weak="marginal", prior_images=0),
        train=TrainConfig(
            steps=240, batch_size=16, learning_rate=3e-3, warmup_steps=2, checkpoint_every=240, log_every=40, ema=0.9
        ),
    )
    out = train(config, tree, datasets, tmp_path / "run", quiet)
    result = evaluate(open_run(out), open_dataset(str(fine_set)), log=quiet)
    assert result["summary"]["AP50_unboxed"] > 0.6
    assert result["summary"]["classes_unboxed"] == 2
    assert [row["boxed"] for row in result["classes"]] == [False, False]
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == list(range(40, 241, 40))
    assert rows[-1]["loss"] < 0.2 * rows[0]["loss"]


class Stop(Exception):
    """Raised by the log to end a run at once."""


def log_that(act, *starts):
    """A log that acts on the first line with each start."""
    left = list(starts)

    def log(line):
        if left and line.startswith(left[0]):
            left.pop(0)
            act()

    return log


def fail():
    raise Stop


@pytest.mark.parametrize(
    "options",
    [
        {"optimizer": "sgd", "schedule": "steps", "schedule_steps": (3, 9), "schedule_scales": (10.0, 0.1), "ema": 0.9},
        {"optimizer": "adamw", "dropout": 0.3, "subdivisions": 2, "warmup_steps": 5, "warmup_power": 4.0},
    ],
)
def test_a_run_stopped_anyhow_ends_with_the_same_weights(stub, detection_set, label_set, tree, tmp_path, options):
    datasets = [open_dataset(str(path)) for path in (detection_set, label_set)]
    config = stub_experiment(**options)
    whole = train(config, tree, datasets, tmp_path / "whole", quiet)
    parts = tmp_path / "parts"

    with pytest.raises(Stop):  # after the metrics of step 6 were written, before its checkpoint was
        train(config, tree, datasets, parts, log_that(fail, "step      6/"))
    assert [path.name for path in list_checkpoints(parts / "checkpoints")] == ["step-00000004"]

    def terminate():
        os.kill(os.getpid(), signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    stopping = log_that(terminate, "compiling")  # so at the end of the step that is begun, 5
    with pytest.raises(TrainingStopped, match="stopped at step 5 of 12; the same command goes on") as stopped:
        train(config, tree, datasets, parts, stopping)
    assert stopped.value.signal == signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) is before
    info = read_info(list_checkpoints(parts / "checkpoints")[-1])
    assert (info.step, info.images_seen, info.open_steps) == (5, 20, 1)
    lines = []
    train(config, tree, datasets, parts, lines.append)
    assert any("resuming at step 5" in line for line in lines)
    assert_same_run(whole, parts)


def test_a_kill_while_a_checkpoint_is_written_or_removed_does_no_harm(stub, monkeypatch, detection_set, tree, tmp_path):
    datasets, config = [open_dataset(str(detection_set))], stub_experiment(steps=16)
    whole = train(config, tree, datasets, tmp_path / "whole", quiet)
    parts = tmp_path / "parts"
    for name, call in (("os.rename", 2), ("os.fsync", 2), ("shutil.rmtree", 3)):
        module = os if name.startswith("os") else shutil
        real, calls = getattr(module, name.split(".")[1]), []

        def dying(*args, real=real, calls=calls, call=call, **options):
            calls.append(args)
            if len(calls) == call:
                raise Stop
            return real(*args, **options)

        monkeypatch.setattr(f"detector.checkpoint.{name}", dying)
        with pytest.raises(Stop):
            train(config, tree, datasets, parts, quiet)
        monkeypatch.setattr(f"detector.checkpoint.{name}", real)
        assert all((path / "variables.npz").exists() for path in list_checkpoints(parts / "checkpoints"))
    train(config, tree, datasets, parts, quiet)
    assert_same_run(whole, parts)
    assert sorted(path.name for path in (parts / "checkpoints").iterdir()) == ["step-00000012", "step-00000016"]


def test_keep_says_how_many_checkpoints_stay(stub, detection_set, tree, tmp_path):
    datasets = [open_dataset(str(detection_set))]
    for keep, expected in ((1, [12]), (0, [4, 8, 12])):
        out = train(stub_experiment(), tree, datasets, tmp_path / str(keep), quiet, keep=keep)
        assert [read_info(path).step for path in list_checkpoints(out / "checkpoints")] == expected


SCORES = {4: 0.2, 8: 0.5, 12: 0.4}


def scored(run, dataset, batch_size):
    """A made-up evaluation: its numbers depend on the step and on the weights."""
    total = float(sum(np.abs(weight.numpy()).sum() for weight in run.detector.model.weights))
    return {"summary": {"AP50": SCORES[run.checkpoint.step], "mean": total, "classes_boxed": 1}}


def test_evaluation_on_the_way_keeps_the_best_and_is_found_again(
    stub, monkeypatch, detection_set, fine_set, tree, tmp_path
):
    monkeypatch.setattr("detector.training.evaluation.evaluate_run", scored)
    datasets, plan = [open_dataset(str(detection_set))], EvaluationPlan([open_dataset(str(fine_set))])
    config = stub_experiment(evaluate_every=4, checkpoint_every=6, ema=0.5)
    lines = []
    whole = train(config, tree, datasets, tmp_path / "whole", lines.append, evaluation=plan)
    rows = [json.loads(line) for line in (whole / "evaluations.jsonl").read_text().splitlines()]
    assert [(row["step"], row["dataset"], row["metric"], row["value"]) for row in rows] == [
        (step, "fine", "AP50", value) for step, value in SCORES.items()
    ]
    best = read_info(whole / "checkpoints" / "best")
    assert (best.step, best.score) == (8, {"metric": "AP50", "value": 0.5})
    assert [path.name for path in list_checkpoints(whole / "checkpoints")] == ["step-00000006", "step-00000012"]
    with np.load(whole / "checkpoints" / "best" / "variables.npz") as file:
        assert all(name.startswith("average/") for name in file.files)
        assert sum(np.abs(file[name]).sum() for name in file.files) == pytest.approx(rows[1]["summary"]["mean"])
    assert any(line.startswith("evaluated at step 8 on fine: AP50 0.500") for line in lines)

    parts = tmp_path / "parts"
    with pytest.raises(Stop):  # the best of step 8 is kept, the checkpoint of step 12 is not: it goes on from 6
        train(config, tree, datasets, parts, log_that(fail, "step     10/"), evaluation=plan)
    assert read_info(parts / "checkpoints" / "best").step == 8
    train(config, tree, datasets, parts, quiet, evaluation=plan)
    assert_same_run(whole, parts)
    assert (parts / "evaluations.jsonl").read_text() == (whole / "evaluations.jsonl").read_text()
    for name in ("variables.npz", "checkpoint.json"):
        folders = [run / "checkpoints" / "best" / name for run in (whole, parts)]
        assert name == "variables.npz" or folders[0].read_bytes() == folders[1].read_bytes()
    without = train(stub_experiment(ema=0.5, checkpoint_every=6), tree, datasets, tmp_path / "without", quiet)
    assert_same_run(without, whole)  # evaluating changes nothing


def test_an_evaluation_that_cannot_be_is_refused(stub, monkeypatch, detection_set, fine_set, tree, tmp_path):
    monkeypatch.setattr("detector.training.evaluation.evaluate_run", scored)
    datasets, fine = [open_dataset(str(detection_set))], open_dataset(str(fine_set))
    with pytest.raises(ConfigError, match=r"--eval needs the steps between evaluations; give --set train.evaluate_ev"):
        train(stub_experiment(), tree, datasets, tmp_path / "run", quiet, evaluation=EvaluationPlan([fine]))
    config = stub_experiment(evaluate_every=4)
    with pytest.raises(ConfigError, match=r"--eval: two datasets are called 'fine'"):
        train(config, tree, datasets, tmp_path / "run", quiet, evaluation=EvaluationPlan([fine, fine]))
    assert not (tmp_path / "run").exists()
    for metric, message in (
        (
            "AP51",
            r"--best-metric AP51: no evaluation has it; did you mean .*'AP50'\?; there are AP, AP50, AP75, recall1",
        ),
        ("classes_boxed", r"no evaluation has it"),
        ("corloc_unboxed_far", r"corloc_unboxed_far: .*fine has no class of that kind; its classes are untrained ones"),
    ):
        with pytest.raises(ConfigError, match=message):
            train(config, tree, datasets, tmp_path / "run", quiet, evaluation=EvaluationPlan([fine], metric))
    assert not (tmp_path / "run").exists()  # found before anything is trained
    with pytest.raises(ConfigError, match=r"--best-metric AP75: the evaluation of .*fine has AP50, mean"):
        train(config, tree, datasets, tmp_path / "run", quiet, evaluation=EvaluationPlan([fine], "AP75"))


def test_a_checkpoint_is_opened_by_name(detection_set, fine_set, tree, tmp_path):
    """The real detector, evaluated on the way; the best opens as RUN@best and gives the same numbers."""
    config = Experiment(
        name="t",
        model=replace(MODEL, stages=3),
        loss=LossConfig(weak="off", prior_images=0),
        train=TrainConfig(steps=2, batch_size=4, checkpoint_every=2, log_every=1, evaluate_every=1, ema=0.9),
    )
    fine = open_dataset(str(fine_set))
    plan = EvaluationPlan([fine], "recall100")
    out = train(config, tree, [open_dataset(str(detection_set))], tmp_path / "run", quiet, evaluation=plan)
    best = open_run(f"{out}@best")
    rows = [json.loads(line) for line in (out / "evaluations.jsonl").read_text().splitlines()]
    at_best = next(row for row in rows if row["step"] == best.checkpoint.step)
    again = evaluate(best, fine, log=quiet, metrics=("coco", "recall"))
    assert json.loads(json.dumps(again["summary"])) == at_best["summary"]
    assert open_run(out).checkpoint.step == open_run(f"{out}@step-00000002").checkpoint.step == 2
    with pytest.raises(CheckpointError, match=r"run has no checkpoint 'worst'; there are step-00000002, best"):
        open_run(f"{out}@worst")


def test_a_finished_run_says_so(finished, detection_set, tree):
    lines = []
    train(stub_experiment(steps=2), tree, [open_dataset(str(detection_set))], finished, lines.append)
    assert "complete already" in lines[-1]


def test_another_configuration_or_tree_in_the_same_directory_is_refused(finished, detection_set, tree, tmp_path):
    datasets = [open_dataset(str(detection_set))]
    with pytest.raises(OutputError, match=r"another configuration \(train.steps is 2 there, 4 here\)"):
        train(stub_experiment(steps=4), tree, datasets, finished, quiet)
    other = WordTree([*tree.names, "n00000005"], [-1, -1, 0, 0, 1])
    with pytest.raises(CheckpointError, match="was trained on the tree"):
        train(stub_experiment(steps=2), other, datasets, finished, quiet)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("mine")
    with pytest.raises(OutputError, match="is not empty and holds no run"):
        train(stub_experiment(steps=2), tree, datasets, tmp_path / "full", quiet)


def test_damaged_missing_and_foreign_checkpoints_are_named(finished, monkeypatch, tree):
    monkeypatch.setattr("detector.architectures.build_detector", Stub)
    open_run(finished)
    checkpoint = list_checkpoints(finished / "checkpoints")[-1]
    info = (checkpoint / "checkpoint.json").read_text()
    (checkpoint / "checkpoint.json").write_text(info.replace(tree.digest(), "0" * 64))
    with pytest.raises(CheckpointError, match=r"was trained on the tree 000000000000 \(4 nodes\)"):
        open_run(finished)
    (checkpoint / "checkpoint.json").write_text(info)
    data = (checkpoint / "variables.npz").read_bytes()
    damaged = bytearray(data)
    damaged[data.index(b"region/kernel") + 150] ^= 255
    for broken in (bytes(damaged), data[: len(data) // 2]):
        (checkpoint / "variables.npz").write_bytes(broken)
        with pytest.raises(CheckpointError, match=r"variables.npz cannot be read .* to use an older one"):
            open_run(finished)
    (checkpoint / "checkpoint.json").unlink()
    with pytest.raises(CheckpointError, match="no complete checkpoint"):
        open_run(finished)


def test_a_network_of_another_shape_is_refused(finished):
    """The checkpoint of the stub, opened as a real detector."""
    with pytest.raises(CheckpointError, match=r"belongs to another network|has shape \(.*\), this network expects"):
        open_run(finished)


def test_a_loss_that_is_not_finite_stops_the_run_and_names_the_term(stub, detection_set, tree, tmp_path):
    config = stub_experiment(learning_rate=1e30, schedule="constant")
    with pytest.raises(
        WordTreeError, match=r"step \d+: fit is not finite in all 4 images, so the weights have diverged"
    ):
        train(config, tree, [open_dataset(str(detection_set))], tmp_path / "run", quiet)


def test_an_image_that_spoils_the_loss_is_named(stub, make_dataset, label_set, tree, tmp_path):
    """A label whose confidence is no number, where the loss believes it."""
    dataset = open_dataset(str(label_set))
    records = [dataset.record(row) for row in range(4)]
    label = records[2].labels[0]
    records[2] = records[2]._replace(labels=(ImageLabel(label.label, label.class_id, confidence=float("nan")),))
    path = make_dataset(tmp_path / "bad", records, dataset.manifest.classes, has_boxes=False)
    name = records[2].image_id
    with pytest.raises(WordTreeError, match=rf"step 0: fit is not finite in image '{name}' \(.*\) of .*/bad, whose"):
        train(stub_experiment(), tree, [open_dataset(str(path))], tmp_path / "run", quiet)
    assert list_checkpoints(tmp_path / "run" / "checkpoints") == []


def test_weights_that_are_not_finite_are_never_saved(stub, detection_set, tree, tmp_path):
    """The loss of a step is finite, its update is not."""
    config = stub_experiment(
        steps=1, log_every=1, checkpoint_every=1, learning_rate=3e38, optimizer="sgd", schedule="constant"
    )
    config = replace(config, train=replace(config.train, weight_decay=100.0))
    with pytest.raises(WordTreeError, match=r"step 1: .* is not finite and was not saved"):
        train(config, tree, [open_dataset(str(detection_set))], tmp_path / "run", quiet)
    assert list_checkpoints(tmp_path / "run" / "checkpoints") == []


def test_a_network_that_cannot_be_built_leaves_no_directory_behind(detection_set, tree, tmp_path):
    config = Experiment(name="t", model=replace(MODEL, input_size=50), train=TrainConfig(checkpoint_every=20))
    with pytest.raises(ConfigError, match=r"model.input_size is 50"):
        train(config, tree, [open_dataset(str(detection_set))], tmp_path / "run", quiet)
    assert not (tmp_path / "run").exists()


def test_an_image_that_cannot_be_decoded_is_named(stub, make_dataset, detection_set, tree, tmp_path):
    dataset = open_dataset(str(detection_set))
    records = [dataset.record(row) for row in range(len(dataset))]
    damaged = bytearray(records[5].encoded)
    damaged[60:] = bytes(len(damaged) - 60)
    records[5] = records[5]._replace(encoded=bytes(damaged))
    path = make_dataset(tmp_path / "bad", records, dataset.manifest.classes, has_boxes=True)
    with pytest.raises(FormatError, match=rf"image {records[5].image_id!r} .* of .*/bad: .*convert again"):
        train(stub_experiment(), tree, [open_dataset(str(path))], tmp_path / "run", quiet)


def test_checkpoints_fall_on_logged_steps(detection_set, tree, tmp_path):
    with pytest.raises(ConfigError, match=r"train.checkpoint_every is 3; expected a multiple of train.log_every, 2"):
        train(stub_experiment(checkpoint_every=3), tree, [open_dataset(str(detection_set))], tmp_path / "run", quiet)
