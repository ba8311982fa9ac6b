"""What 9,418 classes cost in a training step and in inference, beside 20 classes, a flat softmax and the bare backbone.

Each arm is a process of its own (so that its peak of memory is its own), and the arms take turns. Random images and
weights; of a batch one image in five has boxes, seven of them, the others one label each, as in a 4:1 mixture. A step
is forward, backward and darknet's update; the bound is the backbone's forward and backward alone.

    python benchmarks/step_cost.py --tree ../shared/facts/9k.tree --size 416 --batch 8

Prints one JSON line: CPU and wall milliseconds an image (the least of the rounds), ratios, megabytes.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from typing import Any

ARMS = ("backbone", "classes20", "tree", "tree_full", "flat")


def experiment_of(network: str, size: int, batch: int, arm: str, weak: str):
    """The configuration of one arm: the published network, darknet's update, no averages."""
    from detector.config import load_config

    sets = [f"model.input_size={size}", f"train.batch_size={batch}", f"loss.weak={weak}", "train.ema=0"]
    head = {"tree": "gathered", "tree_full": "full", "flat": "full", "classes20": "full"}.get(arm, "auto")
    return load_config(network, [*sets, f"model.class_head={head}", "train.subdivisions=1", "train.multi_scale=[]"])


def tree_of(path: str, arm: str):
    """The tree file, a flat list of as many classes, or 20 classes."""
    from wordtree.files import read_tree
    from wordtree.tree import WordTree

    tree = read_tree(path)
    count = 20 if arm == "classes20" else len(tree)
    return tree if arm in ("tree", "tree_full") else WordTree([f"class{k}" for k in range(count)], [-1] * count)


def random_batch(nodes: int, batch: int, size: int):
    """One image in five boxed, at least one; the rest labelled."""
    import numpy as np
    import tensorflow as tf

    from detector.api import Batch

    rng = np.random.default_rng(0)
    boxed = np.arange(batch) < max(1, batch // 5)
    corner = rng.uniform(0, 0.6, (batch, 30, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(0.05, 0.4, (batch, 30, 2))], -1)
    mask = (np.arange(30) < 7)[None] & boxed[:, None]
    return Batch(
        images=tf.constant(rng.random((batch, size, size, 3)), tf.float32),
        boxes=tf.constant(boxes * mask[..., None], tf.float32),
        nodes=tf.constant(rng.integers(0, nodes, (batch, 30)), tf.int32),
        box_mask=tf.constant(mask),
        has_boxes=tf.constant(boxed),
        image_nodes=tf.constant(rng.integers(0, nodes, (batch, 4)), tf.int32),
        image_node_sign=tf.constant(np.where((np.arange(4) < 1) & ~boxed[:, None], 1, 0), tf.int8),
        image_node_weight=tf.ones([batch, 4]),
        source=tf.zeros([batch], tf.int32),
    )


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """One arm in this process: CPU and wall milliseconds an image, forward alone and a whole step, and the memory."""
    import os

    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import tensorflow as tf

    from detector.train import Trainer

    arm = args.arm
    experiment = experiment_of(args.network, args.size, args.batch, arm, args.weak)
    tree = tree_of(args.tree, arm)
    batch = random_batch(len(tree), args.batch, args.size)
    if arm == "backbone":
        import keras

        from detector.networks.build import build_features

        images: Any = keras.Input((None, None, 3))
        body = keras.Model(images, build_features(images, experiment.model))
        variables = [v.value for v in body.trainable_variables]

        @tf.function
        def backbone_step() -> object:
            tape: Any
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean(tf.cast(body(batch.images, training=True), tf.float32) ** 2)
            return [tf.reduce_sum(g[..., :1]) for g in tape.gradient(loss, variables)]

        step = backbone_step

        forward = tf.function(lambda: tf.reduce_sum(body(batch.images, training=False)))
    else:
        trainer: Any = Trainer(experiment, tree)
        done = iter(range(10**9))

        def trainer_step() -> object:
            return trainer.train_step(batch, next(done))

        step = trainer_step
        forward = tf.function(lambda: trainer.detector.predict(batch.images, training=False).boxes)
    return {
        "forward_ms": clock(forward, args),
        "step_ms": clock(step, args),
        "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }


def clock(work, args: argparse.Namespace) -> dict[str, float]:
    """The least CPU and wall time of a call, in milliseconds an image."""
    work()
    cpu, wall = [], []
    for _ in range(args.steps):
        began, used = time.perf_counter(), time.process_time()
        work()
        cpu.append(time.process_time() - used)
        wall.append(time.perf_counter() - began)
    return {"cpu": round(1000 * min(cpu) / args.batch, 1), "wall": round(1000 * min(wall) / args.batch, 1)}


def main() -> None:
    """All arms in turn, or one in this process."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tree", required=True, help="a .tree file or directory")
    parser.add_argument("--network", default="yolo9000", help="configuration")
    parser.add_argument("--size", type=int, default=416)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--steps", type=int, default=3, help="calls a round, after one to warm up")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--weak", default="marginal")
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=list(ARMS))
    parser.add_argument("--arm", choices=ARMS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.arm:
        print(json.dumps(measure(args)))
        return
    best: dict[str, dict] = {}
    for _ in range(args.rounds):
        for arm in args.arms:
            done = subprocess.run(
                [sys.executable, __file__, *sys.argv[1:], "--arm", arm], capture_output=True, text=True
            )
            if done.returncode:
                raise SystemExit(f"{arm}: {done.stderr[-2000:]}")
            found = json.loads(done.stdout.strip().splitlines()[-1])
            old = best.setdefault(arm, found)
            for key in ("forward_ms", "step_ms"):
                old[key] = {unit: min(old[key][unit], found[key][unit]) for unit in ("cpu", "wall")}
            print(f"{arm}: {found}", file=sys.stderr, flush=True)
    row = {"benchmark": "step_cost", "network": args.network, "size": args.size, "batch": args.batch, "arms": best}
    for arm in ("classes20", "flat", "backbone", "tree_full"):
        if arm in best and "tree" in best:
            row[f"tree_step_to_{arm}_cpu"] = round(best["tree"]["step_ms"]["cpu"] / best[arm]["step_ms"]["cpu"], 3)
            row[f"tree_step_to_{arm}_wall"] = round(best["tree"]["step_ms"]["wall"] / best[arm]["step_ms"]["wall"], 3)
    print(json.dumps(row))


if __name__ == "__main__":
    main()
