"""A training step of Faster R-CNN beside its backbone alone, and beside other libraries' detectors, in one run.

Each arm is a process of its own, and the arms take turns. Random images and weights, seven boxes an image, 80 classes.

    backbone         forward and backward of the bare ResNet-50 of keras.applications, all of its stages
    ours             our step (forward, backward, update): every layer is trained, statistics are the batch's
    ours_shipped     as configured: layers up to stride 4 and all batch normalisations are frozen
    ours_stride2     as `ours`, the second stage halves its crops, two_stage.tail_stride=2
    official         Faster R-CNN ResNet-50 FPN of tf-models-official as published: 512 RoIs an image
    official_64      the same with 64 RoIs, as many as ours
    hub              RetinaNet ResNet-50 of keras-hub

The peers train every layer. Each has an environment of its own, made before:

    python -m venv peers/model_garden && peers/model_garden/bin/pip install tf-models-official==2.20.*
    python -m venv peers/hub && peers/hub/bin/pip install keras-hub==0.32.0 tensorflow-cpu==2.21.*
    python benchmarks/two_stage_cost.py --peers peers --rounds 2

Prints one JSON line: of each arm the least CPU and wall milliseconds a step, billions of operations a step
(peers/step_clock.py says which), CPU milliseconds for each billion, the peak of memory; and the ratios.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from benchmarks.peers.step_clock import random_boxes, show  # noqa: E402

CLASSES = 80
WHOLE = ("two_stage.frozen_stride=0", "two_stage.frozen_norm=false")
OURS: dict[str, tuple[str, ...]] = {
    "backbone": (),
    "ours": WHOLE,
    "ours_shipped": (),
    "ours_stride2": (*WHOLE, "two_stage.tail_stride=2"),
}
PEERS: dict[str, tuple[str, ...]] = {
    "official": ("model_garden", "step_official.py", "--rois", "512"),
    "official_64": ("model_garden", "step_official.py", "--rois", "64"),
    "hub": ("hub", "step_hub.py"),
}


def experiment_of(args: argparse.Namespace) -> Any:
    """The shipped configuration at another size, with anchors of as many pixels."""
    from detector.config import load_config
    from detector.two_stage.anchor_shapes import anchor_shapes

    sets = [f"model.input_size={args.size}", "model.input_height=0", f"train.batch_size={args.batch}"]
    experiment = load_config(args.network, [*sets, *OURS[args.arm], *args.set])
    shapes = anchor_shapes((args.size, args.size))
    return replace(experiment, model=replace(experiment.model, anchors=shapes))


def boxed_batch(batch: int, size: int) -> Any:
    """Random images, each with boxes."""
    import numpy as np
    import tensorflow as tf

    from detector.api import Batch

    boxes, nodes = random_boxes(batch, classes=CLASSES)
    missing = [[0, 0], [0, 30 - boxes.shape[1]]]
    fields = {
        "images": tf.constant(np.random.default_rng(0).random((batch, size, size, 3)), tf.float32),
        "boxes": tf.pad(boxes, [*missing, [0, 0]]),
        "nodes": tf.pad(nodes, missing),
        "box_mask": tf.pad(tf.ones(nodes.shape, tf.bool), missing),
        "has_boxes": tf.ones([batch], tf.bool),
        "image_nodes": tf.zeros([batch, 4], tf.int32),
        "image_node_sign": tf.zeros([batch, 4], tf.int8),
        "image_node_weight": tf.ones([batch, 4]),
        "source": tf.zeros([batch], tf.int32),
    }
    return Batch(**fields)


def measure_backbone(args: argparse.Namespace) -> None:
    """The network alone."""
    import keras
    import tensorflow as tf

    network = experiment_of(args).model.network
    body = getattr(keras.applications, network)(weights=None, include_top=False, input_shape=(None, None, 3))
    batch = boxed_batch(args.batch, args.size)
    variables = [variable.value for variable in body.trainable_variables]

    @tf.function
    def step() -> object:
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(body(batch.images, training=True) ** 2)
        return tape.gradient(loss, variables)

    show(step, step.get_concrete_function(), args.steps, trained_weights=sum(map(size_of, body.trainable_variables)))


def measure_detector(args: argparse.Namespace) -> None:
    """The trainer's step."""
    import tensorflow as tf

    from detector.train import Trainer
    from wordtree.tree import WordTree

    trainer = Trainer(experiment_of(args), WordTree([f"class{k}" for k in range(CLASSES)], [-1] * CLASSES))
    batch = boxed_batch(args.batch, args.size)
    function = trainer.step_function.get_concrete_function(batch, tf.constant(0), tf.constant(0.0))
    steps = iter(range(10**9))
    weights = sum(map(size_of, trainer.model.trainable_variables))
    show(lambda: trainer.train_step(batch, next(steps)), function, args.steps, trained_weights=weights)


def size_of(variable: Any) -> int:
    """Numbers of a variable."""
    import math

    return math.prod(variable.shape)


def command_of(arm: str, args: argparse.Namespace) -> list[str]:
    """The process that measures an arm."""
    sizes = ["--size", str(args.size), "--batch", str(args.batch), "--steps", str(args.steps)]
    if arm in OURS:
        sets = [word for setting in args.set for word in ("--set", setting)]
        return [sys.executable, __file__, "--arm", arm, "--network", args.network, *sizes, *sets]
    folder, script, *words = PEERS[arm]
    return [str(Path(args.peers) / folder / "bin" / "python"), str(HERE / "peers" / script), *words, *sizes]


def main() -> None:
    """All arms in turn, or one in this process."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", default="faster_rcnn_resnet50", help="configuration")
    parser.add_argument("--size", type=int, default=384)
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--steps", type=int, default=2, help="calls a round, after one to warm up")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--peers", default="", help="folder of the peers' environments; without it: ours alone")
    parser.add_argument("--arms", nargs="+", choices=[*OURS, *PEERS], help="all by default")
    parser.add_argument("--set", action="append", default=[], help="of our arms: section.name=value")
    parser.add_argument("--arm", choices=list(OURS), help=argparse.SUPPRESS)
    args = parser.parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    if args.arm:
        (measure_backbone if args.arm == "backbone" else measure_detector)(args)
        return
    best: dict[str, dict[str, Any]] = {}
    for _ in range(args.rounds):
        for arm in args.arms or [*OURS, *(PEERS if args.peers else ())]:
            done = subprocess.run(command_of(arm, args), capture_output=True, text=True)
            if done.returncode:
                raise SystemExit(f"{arm}: {done.stderr[-2000:]}")
            found = json.loads(done.stdout.strip().splitlines()[-1])
            print(f"{arm}: {found}", file=sys.stderr, flush=True)
            old = best.setdefault(arm, found)
            old |= {key: min(old[key], found[key]) for key in ("cpu_ms", "wall_ms", "peak_mb")}
    for found in best.values():
        found["cpu_ms_per_gflop"] = round(found["cpu_ms"] / found["gflop"], 2)
    row: dict[str, Any] = {"benchmark": "two_stage_cost", "size": args.size, "batch": args.batch, "arms": best}
    for name in best.keys() & OURS.keys():
        for other in best.keys() - {name}:
            if other == "backbone" or other in PEERS:
                row[f"{name}_to_{other}_cpu"] = round(best[name]["cpu_ms"] / best[other]["cpu_ms"], 3)
                per = best[name]["cpu_ms_per_gflop"] / best[other]["cpu_ms_per_gflop"]
                row[f"{name}_to_{other}_cpu_per_gflop"] = round(per, 3)
    print(json.dumps(row))


if __name__ == "__main__":
    main()
