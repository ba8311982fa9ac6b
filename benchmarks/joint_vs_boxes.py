"""Does joint training find classes that were never boxed? The same network with and without the labelled images.

Runs the commands a user would, on a folder in the layout of the joint experiments (det_train/ and eval_fine/,
eval_coarse/ in COCO form, cls_train/ in ImageNet form, synsets.csv), for several seeds, and prints one JSON line.

    python benchmarks/joint_vs_boxes.py ../shared/data/joint/tiny64 work --seeds 0 1 2

Finished runs are not run again, so it can be stopped and started.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from wordtree.processes import environment, python

ARMS: dict[str, tuple[list[str], list[str]]] = {
    "boxes": (["det-train"], ["loss.weak=off"]),
    "joint": (["det-train", "cls-train"], []),
    "paper": (["det-train", "cls-train"], ["loss.weak=paper"]),
    "release2017": (["det-train", "cls-train"], ["loss.weak=release2017"]),
    "head": (["det-train", "cls-train"], ["loss.weak=head"]),
}


def wordtree(*words: object) -> None:
    """One command, its output passed on to stderr."""
    command = python("-m", "wordtree", *map(str, words))
    print("$ wordtree", *words, file=sys.stderr, flush=True)
    subprocess.run(command, check=True, stdout=sys.stderr, env=environment())


def prepare(data: Path, work: Path) -> None:
    """Tree and dataset directories."""
    work.mkdir(parents=True, exist_ok=True)
    labels, tree = data / "synsets.csv", work / "tree"
    wordtree("tree", "build", "--labels", labels, "--out", tree)
    for name in ("det_train", "eval_fine", "eval_coarse"):
        out = work / name.replace("_", "-")
        source = ["--annotations", data / name / "instances.json", "--images", data / name / "images"]
        wordtree("convert", "coco", out, *source, "--labels", labels, "--tree", tree)
    wordtree("convert", "imagenet", work / "cls-train", "--images", data / "cls_train", "--tree", tree)


def one_run(work: Path, config: str, arm: str, seed: int, overrides: list[str]) -> dict[str, Any]:
    """Train and evaluate one arm with one seed; the row is kept beside the run."""
    run = work / f"{arm}-seed{seed}"
    done = run / "row.json"
    if done.exists():
        return json.loads(done.read_text())
    datasets, own = ARMS[arm]
    sets = [word for override in [*own, *overrides, f"train.seed={seed}"] for word in ("--set", override)]
    began, used = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    wordtree(
        "train", config, "--data", *(work / name for name in datasets), "--tree", work / "tree", "--out", run, *sets
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    row: dict[str, object] = {
        "arm": arm,
        "seed": seed,
        "train_seconds": round(time.monotonic() - began),
        "train_cpu_seconds": round(after.ru_utime + after.ru_stime - used.ru_utime - used.ru_stime),
        "peak_rss_mb": round(after.ru_maxrss / 1024),
    }
    wordtree("evaluate", run, work / "eval-fine", work / "eval-coarse")
    for name in ("fine", "coarse"):
        result = json.loads((run / "evaluation" / f"eval-{name}.json").read_text())
        row[f"{name}_AP50"] = round(result["summary"]["AP50"], 4)
        row[f"{name}_classes"] = {r["label"]: round(r["AP50"], 3) for r in result["classes"]}
    done.write_text(json.dumps(row) + "\n")
    return row


def main() -> None:
    """Parse, run, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--config", default="tiny64")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--arms", nargs="+", choices=list(ARMS), default=["joint", "boxes"])
    parser.add_argument("--set", action="append", default=[], metavar="SECTION.KEY=VALUE")
    args = parser.parse_args()
    prepare(args.data, args.work)
    rows = [one_run(args.work, args.config, arm, seed, args.set) for seed in args.seeds for arm in args.arms]
    summary = {}
    for arm in args.arms:
        values = [float(row["fine_AP50"]) for row in rows if row["arm"] == arm]
        summary[arm] = {
            "mean": round(sum(values) / len(values), 4),
            "range": [min(values), max(values)],
            "seeds": len(values),
        }
    print(json.dumps({"benchmark": "joint_vs_boxes", "config": args.config, "fine_AP50": summary, "runs": rows}))


if __name__ == "__main__":
    main()
