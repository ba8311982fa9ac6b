"""`wordtree train`, killed at random moments, ends with the weights of an undisturbed run, bit for bit."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tensorflow")

from detector.checkpoint import list_checkpoints
from detector.config import AugmentConfig, Experiment, LossConfig, ModelConfig, TrainConfig
from detector.run import write_tree

ROOT = Path(__file__).resolve().parents[3]
STEPS, KILLS = 160, 4


def small_run():
    """Every part of the state: momentum, averages, dropout, rates and sizes that change."""
    return Experiment(
        name="kill",
        model=ModelConfig(input_size=32, width=0.125, stages=2, output_stride=2, anchors=((0.4, 0.4),), dropout=0.2),
        loss=LossConfig(weak="paper", prior_images=0),
        augment=AugmentConfig(scale=1.2, shift=1.0, hue=0.1, saturation=1.5, exposure=1.5),
        train=TrainConfig(
            steps=STEPS,
            batch_size=4,
            optimizer="sgd",
            schedule="steps",
            schedule_steps=(50, 100),
            schedule_scales=(0.5, 0.5),
            multi_scale=(24, 32),
            ema=0.95,
            log_every=1,
            checkpoint_every=5,
        ),
    )


def weights(run):
    with np.load(list_checkpoints(run / "checkpoints")[-1] / "variables.npz") as file:
        return {name: file[name] for name in file.files}


@pytest.mark.slow
def test_a_run_killed_four_times_ends_like_an_undisturbed_one(detection_set, label_set, tree, tmp_path):
    (tmp_path / "config.json").write_text(small_run().to_json())
    write_tree(tree, tmp_path / "tree")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}

    def start(out):
        words = [tmp_path / "config.json", "--data", detection_set, label_set, "--tree", tmp_path / "tree"]
        command = [sys.executable, "-m", "wordtree", "train", *map(str, words), "--out", str(tmp_path / out)]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        return subprocess.Popen(command, **pipes, text=True, env=environment)

    def finish(out):
        process = start(out)
        text, _ = process.communicate()
        assert process.returncode == 0, text
        return text

    finish("whole")
    rng = random.Random(os.getpid())
    for number in range(1, KILLS + 1):
        victim = start("killed")
        target = number * STEPS // (KILLS + 2) + rng.randrange(STEPS // (KILLS + 2))
        for line in victim.stdout:
            if line.startswith(f"step {target:>6}/"):
                break
        if number > 1:
            time.sleep(rng.random() * 0.05)
        # the first one is asked politely
        victim.send_signal(signal.SIGTERM if number == 1 else signal.SIGKILL)
        text = victim.stdout.read()
        victim.stdout.close()
        assert victim.wait() == (128 + signal.SIGTERM if number == 1 else -signal.SIGKILL), text
        if number == 1:
            assert f"of {STEPS}; the same command goes on from there" in text
    assert "resuming at step" in finish("killed")
    expected, found = weights(tmp_path / "whole"), weights(tmp_path / "killed")
    assert expected.keys() == found.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)
    assert (tmp_path / "whole/metrics.jsonl").read_text() == (tmp_path / "killed/metrics.jsonl").read_text()
