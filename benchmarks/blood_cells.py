"""Faster R-CNN and YOLOv2 side by side on some hundred real photos, from random weights, on this machine's CPU.

Runs the commands a user would on a Pascal VOC devkit of blood cells (BCCD: 364 photos of 640 x 480 with red cells,
white cells and platelets): trains each of the two small experiments on `trainval`, evaluates on `test`, and prints one
JSON line with AP50 of every class, seconds by the clock and of the CPU, and memory.

    python benchmarks/blood_cells.py BCCD work

Finished runs are not run again, so it can be stopped and started.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from joint_vs_boxes import wordtree

LABELS = Path(__file__).parents[1] / "examples" / "blood-cells.csv"


def prepare(devkit: Path, work: Path) -> None:
    """Tree and dataset directories."""
    work.mkdir(parents=True, exist_ok=True)
    wordtree("tree", "build", "--labels", LABELS, "--out", work / "tree")
    for name, split in (("trainval", "train"), ("test", "test")):
        words = ["--devkit", devkit, "--set", name, "--labels", LABELS, "--tree", work / "tree", "--split", split]
        wordtree("convert", "voc", work / name, *words)


def one_run(work: Path, config: str, seed: int, overrides: list[str]) -> dict[str, object]:
    """Train and evaluate one experiment with one seed; the row is kept beside the run."""
    run = work / f"{config}-seed{seed}"
    done = run / "row.json"
    if done.exists():
        return json.loads(done.read_text())
    sets = [word for override in [*overrides, f"train.seed={seed}"] for word in ("--set", override)]
    began, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    wordtree("train", config, "--data", work / "trainval", "--tree", work / "tree", "--out", run, *sets)
    seconds, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    wordtree("evaluate", run, work / "test")
    result = json.loads((run / "evaluation" / "test.json").read_text())
    row: dict[str, object] = {
        "config": config,
        "seed": seed,
        "AP50": round(result["summary"]["AP50"], 4),
        "AP": round(result["summary"]["AP"], 4),
        "classes": {entry["label"]: round(entry["AP50"], 3) for entry in result["classes"]},
        "train_seconds": round(seconds),
        "train_cpu_seconds": round(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime),
        "peak_rss_mb": round(after.ru_maxrss / 1024),
    }
    done.write_text(json.dumps(row) + "\n")
    return row


def main() -> None:
    """Parse, run, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("devkit", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--configs", nargs="+", default=["faster_rcnn_small", "yolov2_small"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--set", action="append", default=[], metavar="SECTION.KEY=VALUE")
    args = parser.parse_args()
    prepare(args.devkit, args.work)
    rows = [one_run(args.work, config, seed, args.set) for seed in args.seeds for config in args.configs]
    print(json.dumps({"benchmark": "blood_cells", "runs": rows}))


if __name__ == "__main__":
    main()
