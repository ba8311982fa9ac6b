"""Runs of `wordtree train` on this machine's CPU: by one process, or by workers that find each other by TF_CONFIG."""

from __future__ import annotations

import io
import json
import os
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from detector.checkpoint import list_checkpoints
from detector.config import AugmentConfig, Experiment, LossConfig, ModelConfig, TrainConfig, TwoStageConfig
from detector.run import write_tree
from tests.detector.conftest import COARSE, FINE, detection_record, label_record, write_dataset

ROOT = Path(__file__).resolve().parents[2]


YOLO9000 = ModelConfig(input_size=32, width=0.125, stages=3, output_stride=4, anchors=((0.4, 0.4),))
FASTER_RCNN = ModelConfig(
    architecture="faster_rcnn",
    input_size=32,
    width=0.125,
    stages=5,
    output_stride=4,
    anchors=((0.4, 0.4), (0.7, 0.4)),
)
MODELS = {"yolo9000": YOLO9000, "faster_rcnn": FASTER_RCNN}


def small_experiment(architecture="yolo9000", model=None, two_stage=None, **train):
    """A detector in small, on boxes and labels, with every part of the state.

    Faster R-CNN's second stage is the rest of its network, with batch normalisations of its own.
    """
    options = {
        "steps": 6,
        "batch_size": 8,
        "optimizer": "sgd",
        "learning_rate": 1e-3,
        "warmup_steps": 3,
        "schedule": "constant",
        "ema": 0.9,
        "clip_norm": 1.0,
        "log_every": 1,
        "checkpoint_every": 2,
    }
    stages = {"cut": 8, "rpn_width": 16, "proposals": 12, "candidates": 64, "anchor_batch": 32, "roi_batch": 8}
    return Experiment(
        name="small",
        model=replace(MODELS[architecture], **(model or {})),
        loss=LossConfig(weak="paper", prior_images=16),
        augment=AugmentConfig(scale=1.2, shift=1.0, hue=0.1, saturation=1.5, exposure=1.5),
        train=TrainConfig(**(options | train)),
        two_stage=TwoStageConfig(**(stages | {"cross_boundary": True, "crop": 4} | (two_stage or {}))),
    )


def textured(record, seed):
    """The record with noise in its picture.

    On plain ground many pixels are equal, so that rounding decides which of them a max-pool takes, and a gradient is
    another one for no reason.
    """
    pixels = np.asarray(Image.open(io.BytesIO(record.encoded)).convert("RGB"))
    noise = np.random.default_rng(seed).integers(-40, 41, pixels.shape)
    buffer = io.BytesIO()
    Image.fromarray(np.clip(pixels + noise, 0, 255).astype(np.uint8)).save(buffer, "PNG")
    return record._replace(encoded=buffer.getvalue())


def textured_sets(folder):
    """A boxed and a labelled set of noisy figures."""
    kinds = [("square", 2), ("disc", 1)] * 6
    boxed = [textured(detection_record(k, kind), k) for k, (kind, _) in enumerate(kinds)]
    labelled = [textured(label_record(k, kind, number), 100 + k) for k, (kind, number) in enumerate(kinds)]
    return [
        write_dataset(folder / "boxed", boxed, COARSE, has_boxes=True),
        write_dataset(folder / "labelled", labelled, FINE, has_boxes=False),
    ]


def free_ports(count):
    """Ports that nobody listens on at this moment."""
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


class Runs:
    """`wordtree train` on one experiment and its data, again and again, where rounding decides nothing."""

    def __init__(self, folder, experiment, datasets, tree, *words):
        self.folder = folder
        (folder / "experiment.json").write_text(experiment.to_json())
        write_tree(tree, folder / "tree")
        self.words = [folder / "experiment.json", "--data", *datasets, "--tree", folder / "tree", *words]

    def start(self, out, *words, **environment):
        """One process."""
        command = [sys.executable, "-m", "tests.detector.edgeless", "train", *map(str, self.words)]
        return subprocess.Popen(
            [*command, "--out", str(self.folder / out), *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT), "TF_NUM_INTRAOP_THREADS": "1", **environment},
        )

    def start_workers(self, out, *words, count=2, each=list):
        """A process for each worker; `each` gives what one is told beside the others."""
        addresses = [f"127.0.0.1:{port}" for port in free_ports(count)]
        return [
            self.start(
                out,
                "--strategy",
                "multiworker",
                *words,
                *each(),
                TF_CONFIG=json.dumps({"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}),
            )
            for index in range(count)
        ]


def finish(processes, status=0):
    """What they printed, if all ended with this status."""
    try:
        texts = [process.communicate(timeout=600)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [status] * len(processes), "\n----\n".join(texts)
    return texts


def state(run, step=None):
    """Everything in the last checkpoint, or in that of a step, by name."""
    paths = list_checkpoints(run / "checkpoints")
    path = paths[-1] if step is None else run / "checkpoints" / f"step-{step:08d}"
    assert path in paths
    with np.load(path / "variables.npz") as file:
        return {name: file[name] for name in file.files}


def rows(run):
    """The logged steps."""
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def assert_close_rows(expected, found, tolerance=1e-5):
    """The same losses and norms, to `tolerance`, relative above 1."""
    for first, second in zip(expected, found, strict=True):
        assert first.keys() == second.keys()
        for key, value in first.items():
            np.testing.assert_allclose(second[key], value, rtol=tolerance, atol=tolerance, err_msg=f"{key} {first}")


def assert_close_states(expected, found, tolerance=1e-5):
    """The same weights, momenta and averages, to `tolerance`, relative above 1."""
    assert expected.keys() == found.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=tolerance, atol=tolerance, err_msg=name)


def assert_same_runs(one, two):
    """The same to the bit."""
    assert (one / "metrics.jsonl").read_text() == (two / "metrics.jsonl").read_text()
    expected, found = state(one), state(two)
    assert expected.keys() == found.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)
