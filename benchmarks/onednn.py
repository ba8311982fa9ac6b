"""What oneDNN changes: CPU time of a training step and of an inference, with it and without, both detectors.

Every measurement is a process of its own, since TensorFlow asks for oneDNN once; they take turns, and the least of each
counts. Prints one JSON line; `ratio` is the time with oneDNN by that without.

    python benchmarks/onednn.py
    ONEDNN_MAX_CPU_ISA=AVX2 python benchmarks/onednn.py        # as a CPU without AVX-512
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from typing import Any

CONFIGS = ("tiny64", "faster_rcnn_tiny64")


def measure(config: str, steps: int) -> dict[str, float]:
    """CPU seconds of a step and of an inference of the experiment's own batch, after two of each."""
    import tensorflow as tf
    from two_stage_cost import CLASSES, boxed_batch

    from detector.config import DecodeConfig, load_config
    from detector.train import Trainer
    from wordtree.tree import WordTree

    experiment = load_config(config)
    if not experiment.model.anchors:
        experiment = load_config(config, ["model.anchors=[[0.2,0.2],[0.4,0.4],[0.7,0.7]]"])
    trainer: Any = Trainer(experiment, WordTree([f"class{k}" for k in range(CLASSES)], [-1] * CLASSES))
    batch = boxed_batch(experiment.train.batch_size, experiment.model.input_size)
    batch = batch._replace(has_boxes=tf.range(experiment.train.batch_size) % 2 == 0)
    options = DecodeConfig()
    detect = tf.function(lambda images: trainer.detector.detect(images, options))

    def seconds(work) -> float:
        for step in range(2):
            work(step)
        began = time.process_time()
        for step in range(steps):
            work(2 + step)
        return (time.process_time() - began) / steps

    return {
        "step_cpu_s": seconds(lambda step: trainer.train_step(batch, step)),
        "inference_cpu_s": seconds(lambda step: detect(batch.images)),
    }


def main() -> None:
    """All of them in turn, or one in this process."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--config", choices=CONFIGS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.config:
        print(json.dumps(measure(args.config, args.steps)))
        return
    row: dict[str, object] = {"benchmark": "onednn", "isa": os.environ.get("ONEDNN_MAX_CPU_ISA", "the CPU's")}
    for config in CONFIGS:
        least: dict[str, dict[str, float]] = {"0": {}, "1": {}}
        for _ in range(args.rounds):
            for value, best in least.items():
                environment = os.environ | {"TF_ENABLE_ONEDNN_OPTS": value, "TF_CPP_MIN_LOG_LEVEL": "3"}
                command = [sys.executable, __file__, "--config", config, "--steps", str(args.steps)]
                done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
                found = json.loads(done.stdout.splitlines()[-1])
                best |= {key: min(value, best.get(key, value)) for key, value in found.items()}
        row[config] = {
            key: {"off": round(off, 4), "on": round(least["1"][key], 4), "ratio": round(least["1"][key] / off, 3)}
            for key, off in least["0"].items()
        }
    print(json.dumps(row))


if __name__ == "__main__":
    main()
