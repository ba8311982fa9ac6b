"""Is the input fast enough for the network? Images per second of the joint stream alone, and of training steps.

Draws the demo's data, converts nothing twice, and prints one JSON line: the stream with augmentation, the same step fed
with one batch over and over (the bound: input for free), and the whole training. `input_share` is how much slower the
whole is than the bound.

    python benchmarks/train_step.py --config tiny64 --steps 40
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from wordtree.processes import environment, python


def prepare(work: Path) -> None:
    """A tree and two dataset directories from the demo's drawings."""
    from detector.demo.dataset import DemoSizes, render_dataset

    data = work / "data"
    render_dataset(data, sizes=DemoSizes(det_train=300, cls_train=300, eval=4), log=lambda line: None)
    labels = ["--labels", data / "synsets.csv", "--tree", work / "tree"]
    coco = ["--annotations", data / "det_train/annotations/instances.json", "--images", data / "det_train/images"]
    for words in (
        ["tree", "build", *labels[:2], "--out", work / "tree"],
        ["convert", "coco", work / "det", *coco, *labels],
        ["convert", "imagenet", work / "cls", "--images", data / "cls_train", "--tree", work / "tree"],
    ):
        command = python("-m", "wordtree", *map(str, words))
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment())


def measure(config: str, steps: int, work: Path) -> dict[str, object]:
    """The three rates, after a warm-up of three steps each."""
    from detector.config import load_config
    from detector.dataset import open_dataset
    from detector.input import JointStream
    from detector.train import Trainer, with_anchors
    from wordtree.files import read_tree

    tree = read_tree(work / "tree")
    datasets = [open_dataset(str(work / name)) for name in ("det", "cls")]
    experiment = with_anchors(load_config(config), datasets, lambda line: None)
    experiment = replace(experiment, train=replace(experiment.train, steps=10_000))
    size = experiment.train.batch_size
    stream = JointStream(
        datasets,
        tree,
        data=experiment.data,
        augment=experiment.augment,
        size=experiment.model.input_size,
        seed=0,
    )
    trainer = Trainer(experiment, tree)

    def rate(work_on, batches) -> float:
        for step, batch in zip(range(3), batches, strict=False):
            work_on(batch, step)
        began = time.perf_counter()
        for step, batch in zip(range(steps), batches, strict=False):
            work_on(batch, step + 3)
        return steps * size / (time.perf_counter() - began)

    one = next(iter(stream.batches(size, stop=1)))
    alone = rate(lambda batch, step: None, iter(stream.batches(size)))
    bound = rate(trainer.train_step, iter([one] * (steps + 3)))
    whole = rate(trainer.train_step, iter(stream.batches(size)))
    return {
        "benchmark": "train_step",
        "config": config,
        "batch": size,
        "stream_images_per_s": round(alone, 1),
        "step_images_per_s_input_for_free": round(bound, 1),
        "training_images_per_s": round(whole, 1),
        "input_share": round(1 - whole / bound, 3),
        "peak_rss_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }


def main() -> None:
    """Prepare, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", default="tiny64")
    parser.add_argument("--steps", type=int, default=40)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        prepare(Path(folder))
        print(json.dumps(measure(args.config, args.steps, Path(folder))))


if __name__ == "__main__":
    main()
