"""Training: it learns, it resumes to the same weights, it refuses what does not fit."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

from detector.checkpoint import list_checkpoints  # noqa: E402
from detector.config import Experiment, LossConfig, ModelConfig, TrainConfig  # noqa: E402
from detector.dataset import open_dataset  # noqa: E402
from detector.evaluate import evaluate  # noqa: E402
from detector.run import open_run  # noqa: E402
from detector.train import Trainer, learning_rate, train  # noqa: E402
from schemas.errors import CheckpointError, ConfigError, FormatError, OutputError, WordTreeError  # noqa: E402
from wordtree.tree import WordTree  # noqa: E402

ANCHORS = ((0.4, 0.4),)
MODEL = ModelConfig(input_size=32, width=0.25, stages=4, output_stride=8, anchors=ANCHORS, batch_norm_momentum=0.9)
LOSS = LossConfig(weak="marginal", prior_images=0)


def experiment(**train_options):
    options = {"steps": 6, "batch_size": 4, "warmup_steps": 2, "checkpoint_every": 2, "log_every": 2, "ema": 0.9}
    return Experiment(name="test", model=MODEL, loss=LOSS, train=TrainConfig(**(options | train_options)))


def quiet(_line):
    pass


def weights(run):
    with np.load(list_checkpoints(run / "checkpoints")[-1] / "variables.npz") as file:
        return {name: file[name] for name in file.files}


def test_a_few_images_are_over_fitted_and_the_fine_classes_are_found(
    detection_set, label_set, fine_set, tree, tmp_path
):
    """Discs and squares: boxes say only "figure", labels say which. Joint training must box discs and squares."""
    datasets = [open_dataset(str(path)) for path in (detection_set, label_set)]
    config = replace(
        experiment(steps=240, batch_size=16, learning_rate=3e-3, checkpoint_every=240, log_every=40), name="t"
    )
    out = train(config, tree, datasets, tmp_path / "run", quiet)
    result = evaluate(open_run(out), open_dataset(str(fine_set)), log=quiet)
    assert result["summary"]["AP50_unboxed"] > 0.6
    assert result["summary"]["classes_unboxed"] == 2
    assert [row["boxed"] for row in result["classes"]] == [False, False]
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == list(range(40, 241, 40))
    assert rows[-1]["loss"] < 0.2 * rows[0]["loss"]


def test_a_stopped_run_resumes_to_the_same_weights(detection_set, label_set, tree, tmp_path):
    datasets = [open_dataset(str(path)) for path in (detection_set, label_set)]
    tf.config.experimental.enable_op_determinism()
    whole = train(experiment(), tree, datasets, tmp_path / "whole", quiet)

    class Stop(Exception):
        pass

    def stop_at_four(line):
        if line.startswith("step      4/"):
            raise Stop

    with pytest.raises(Stop):  # after the metrics of step 4 were written, before its checkpoint was
        train(experiment(), tree, datasets, tmp_path / "parts", stop_at_four)
    assert [path.name for path in list_checkpoints(tmp_path / "parts" / "checkpoints")] == ["step-00000002"]
    lines = []
    parts = train(experiment(), tree, datasets, tmp_path / "parts", lines.append)
    assert any("resuming at step 2" in line for line in lines)
    expected, found = weights(whole), weights(parts)
    assert expected.keys() == found.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)
    assert (whole / "metrics.jsonl").read_text() == (parts / "metrics.jsonl").read_text()


def test_a_finished_run_says_so(detection_set, tree, tmp_path):
    datasets = [open_dataset(str(detection_set))]
    train(experiment(steps=2), tree, datasets, tmp_path / "run", quiet)
    lines = []
    train(experiment(steps=2), tree, datasets, tmp_path / "run", lines.append)
    assert "complete already" in lines[-1]


def test_another_configuration_or_tree_in_the_same_directory_is_refused(detection_set, tree, tmp_path):
    datasets = [open_dataset(str(detection_set))]
    train(experiment(steps=2), tree, datasets, tmp_path / "run", quiet)
    with pytest.raises(OutputError, match=r"another configuration \(train.steps is 2 there, 4 here\)"):
        train(experiment(steps=4), tree, datasets, tmp_path / "run", quiet)
    other = WordTree([*tree.names, "n00000005"], [-1, -1, 0, 0, 1])
    with pytest.raises(CheckpointError, match="was trained on the tree"):
        train(experiment(steps=2), other, datasets, tmp_path / "run", quiet)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("mine")
    with pytest.raises(OutputError, match="is not empty and holds no run"):
        train(experiment(steps=2), tree, datasets, tmp_path / "full", quiet)


def test_a_checkpoint_of_another_tree_is_refused(detection_set, tree, tmp_path):
    out = train(experiment(steps=2), tree, [open_dataset(str(detection_set))], tmp_path / "run", quiet)
    info = list_checkpoints(out / "checkpoints")[-1] / "checkpoint.json"
    info.write_text(info.read_text().replace(tree.digest(), "0" * 64))
    with pytest.raises(CheckpointError, match=r"was trained on the tree 000000000000 \(4 nodes\)"):
        open_run(out)


def test_damaged_and_missing_checkpoints_are_named(detection_set, tree, tmp_path):
    out = train(experiment(steps=2), tree, [open_dataset(str(detection_set))], tmp_path / "run", quiet)
    checkpoint = list_checkpoints(out / "checkpoints")[-1]
    data = (checkpoint / "variables.npz").read_bytes()
    (checkpoint / "variables.npz").write_bytes(data[: len(data) // 2])
    with pytest.raises(CheckpointError, match=r"variables.npz cannot be read .* to use an older one"):
        open_run(out)
    (checkpoint / "checkpoint.json").unlink()
    with pytest.raises(CheckpointError, match="no complete checkpoint"):
        open_run(out)


def test_a_network_of_another_shape_is_refused(detection_set, tree, tmp_path):
    out = train(experiment(steps=2), tree, [open_dataset(str(detection_set))], tmp_path / "run", quiet)
    config = json.loads((out / "config.json").read_text())
    config["model"]["width"] = 0.5
    (out / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match=r"has shape \(.*\), this network expects"):
        open_run(out)


def test_a_loss_that_is_not_finite_stops_the_run_and_names_the_term(detection_set, label_set, tree, tmp_path):
    datasets = [open_dataset(str(detection_set))]
    with pytest.raises(WordTreeError, match=r"step \d+: .*object.* is not finite; lower train.learning_rate"):
        train(experiment(steps=50, learning_rate=1e30, clip_norm=0.0), tree, datasets, tmp_path / "run", quiet)


def test_weights_that_are_not_finite_are_never_saved(detection_set, tree, tmp_path):
    """The loss of a step is finite, its update is not."""
    options = {"steps": 1, "log_every": 1, "checkpoint_every": 1, "warmup_steps": 0, "clip_norm": 0.0}
    config = experiment(**options, learning_rate=1e38, optimizer="sgd", schedule="constant")
    with pytest.raises(WordTreeError, match=r"step 1: .* is not finite and was not saved"):
        train(config, tree, [open_dataset(str(detection_set))], tmp_path / "run", quiet)
    assert list_checkpoints(tmp_path / "run" / "checkpoints") == []


def test_a_network_that_cannot_be_built_leaves_no_directory_behind(detection_set, tree, tmp_path):
    config = replace(experiment(), model=replace(MODEL, input_size=50))
    with pytest.raises(ConfigError, match=r"model.input_size is 50; expected a multiple"):
        train(config, tree, [open_dataset(str(detection_set))], tmp_path / "run", quiet)
    assert not (tmp_path / "run").exists()


def test_an_image_that_cannot_be_decoded_is_named(make_dataset, detection_set, tree, tmp_path):
    dataset = open_dataset(str(detection_set))
    records = [dataset.record(row) for row in range(len(dataset))]
    damaged = bytearray(records[5].encoded)
    damaged[60:] = bytes(len(damaged) - 60)
    records[5] = records[5]._replace(encoded=bytes(damaged))
    path = make_dataset(tmp_path / "bad", records, dataset.manifest.classes, has_boxes=True)
    with pytest.raises(FormatError, match=rf"image {records[5].image_id!r} .* of .*/bad: .*convert again"):
        train(experiment(), tree, [open_dataset(str(path))], tmp_path / "run", quiet)


def test_checkpoints_fall_on_logged_steps(detection_set, tree, tmp_path):
    with pytest.raises(ConfigError, match=r"train.checkpoint_every is 3; expected a multiple of train.log_every, 2"):
        train(experiment(checkpoint_every=3), tree, [open_dataset(str(detection_set))], tmp_path / "run", quiet)


def test_learning_rate_by_hand():
    config = TrainConfig(steps=110, warmup_steps=10, learning_rate=1.0)
    assert learning_rate(config, 0) == pytest.approx(0.1)
    assert learning_rate(config, 9) == pytest.approx(1.0)
    assert learning_rate(config, 60) == pytest.approx(0.5)  # half of the cosine
    assert learning_rate(config, 35) == pytest.approx(0.5 * (1 + math.cos(math.pi / 4)))
    assert learning_rate(replace(config, schedule="constant"), 100) == 1.0


def test_sgd_step_is_darknets_momentum_with_decay_on_kernels_alone(detection_set, tree):
    """v = m v + g + decay w; w -= lr v, with decay on convolution kernels only."""
    from detector.input import JointStream

    config = experiment(optimizer="sgd", weight_decay=0.1, clip_norm=0.0, ema=0.0, learning_rate=0.01, warmup_steps=0)
    config = replace(config, train=replace(config.train, schedule="constant"))
    trainer = Trainer(config, tree)
    dataset = open_dataset(str(detection_set))
    stream = JointStream([dataset], tree, data=config.data, augment=None, size=32, seed=0)
    batch = next(iter(stream.batches(4, stop=1)))
    before = {v.path: v.numpy().astype(np.float64) for v in trainer.model.trainable_variables}
    with tf.GradientTape() as tape:
        terms = trainer.detector.losses(batch, training=True, images_seen=tf.constant(4))
        loss = tf.add_n(list(terms.values()))
    gradients = tape.gradient(loss, [v.value for v in trainer.model.trainable_variables])
    trainer.train_step(batch, 0)
    for variable, gradient in zip(trainer.model.trainable_variables, gradients, strict=True):
        decay = 0.1 if variable.path.endswith("kernel") else 0.0
        expected = before[variable.path] - 0.01 * (gradient.numpy() + decay * before[variable.path])
        np.testing.assert_allclose(variable.numpy(), expected, atol=1e-5, err_msg=variable.path)


PROGRAM = """
import sys
from pathlib import Path
import tensorflow as tf
tf.config.experimental.enable_op_determinism()
from detector.config import load_config
from detector.dataset import open_dataset
from detector.train import train
from wordtree.files import read_tree
config, tree, out, *data = sys.argv[1:]
log = lambda line: print(line, flush=True)
train(load_config(config), read_tree(tree), [open_dataset(path) for path in data], Path(out), log)
"""


@pytest.mark.slow
def test_killed_training_ends_like_an_undisturbed_one(detection_set, label_set, tree, tmp_path):
    from detector.run import write_tree

    config = tmp_path / "config.json"
    config.write_text(experiment(steps=60, checkpoint_every=10, log_every=5).to_json())
    write_tree(tree, tmp_path / "tree")

    def command(out):
        words = [config, tmp_path / "tree", out, detection_set, label_set]
        return [sys.executable, "-c", PROGRAM, *map(str, words)]

    subprocess.run(command(tmp_path / "whole"), check=True, capture_output=True)
    victim = subprocess.Popen(
        command(tmp_path / "killed"), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert victim.stdout is not None
    for line in victim.stdout:
        if line.startswith("step     35/"):
            os.kill(victim.pid, signal.SIGKILL)
            break
    victim.stdout.close()
    assert victim.wait() == -signal.SIGKILL
    time.sleep(0.1)
    again = subprocess.run(command(tmp_path / "killed"), check=True, capture_output=True, text=True)
    assert "resuming at step 30" in again.stdout
    expected, found = weights(tmp_path / "whole"), weights(tmp_path / "killed")
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)
    assert (tmp_path / "whole/metrics.jsonl").read_text() == (tmp_path / "killed/metrics.jsonl").read_text()
