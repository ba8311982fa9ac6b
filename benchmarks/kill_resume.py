"""Does a killed run end like an undisturbed one? 2,000 steps, killed ten times at random moments by SIGKILL.

Draws the demo's figures, trains a small network on them by `wordtree train` once in peace and once with kills, starting
the same command again after each, and prints one JSON line: the last logged step before each kill, and whether weights,
optimizer, averages and log are the same to the bit (SHA-256 over names and bytes).

    python benchmarks/kill_resume.py --steps 2000 --kills 10
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import re
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from wordtree.processes import environment, python

SMALL = {
    "model.input_size": 32,
    "model.width": 0.125,
    "model.stages": 3,
    "model.output_stride": 4,
    "model.dropout": 0.1,
    "train.optimizer": "sgd",
    "train.schedule": "steps",
    "train.schedule_steps": "1000,1500",
    "train.schedule_scales": "0.1,0.1",
    "train.warmup_power": 4,
    "train.multi_scale": "24,32",
    "train.batch_size": 4,
    "train.ema": 0.998,
    "train.log_every": 10,
    "train.checkpoint_every": 50,
}


def prepare(work: Path) -> None:
    """A tree and two dataset directories from the demo's drawings."""
    from detector.demo.dataset import DemoSizes, render_dataset

    data = work / "data"
    render_dataset(data, sizes=DemoSizes(det_train=200, cls_train=200, eval=4), log=lambda line: None)
    labels = ["--labels", data / "synsets.csv", "--tree", work / "tree"]
    coco = ["--annotations", data / "det_train/annotations/instances.json", "--images", data / "det_train/images"]
    for words in (
        ["tree", "build", *labels[:2], "--out", work / "tree"],
        ["convert", "coco", work / "det", *coco, *labels],
        ["convert", "imagenet", work / "cls", "--images", data / "cls_train", "--tree", work / "tree"],
    ):
        command = python("-m", "wordtree", *map(str, words))
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment())


def start(work: Path, out: str, steps: int) -> subprocess.Popen[str]:
    """The command, again and again the same."""
    settings = [f"{key}={value}" for key, value in {**SMALL, "train.steps": steps}.items()]
    words = ["demo", "--data", work / "det", work / "cls", "--tree", work / "tree", "--out", work / out]
    options = [word for setting in settings for word in ("--set", setting)]
    command = python("-m", "wordtree", "train", *map(str, words), *options)
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment())


def run_in_peace(work: Path, steps: int) -> float:
    """The undisturbed run; seconds of training after its first line of log."""
    process = start(work, "whole", steps)
    began, text = 0.0, []
    assert process.stdout is not None
    for line in process.stdout:
        text.append(line)
        if not began and line.startswith("step "):
            began = time.monotonic()
    if process.wait():
        raise SystemExit("".join(text))
    return time.monotonic() - began


def run_killed(work: Path, steps: int, kills: int, seconds: float, rng: random.Random) -> list[int]:
    """The run that is killed; the last logged step before each kill."""
    found: list[int] = []
    left = float(steps)
    while len(found) < kills:
        process = start(work, "killed", steps)
        assert process.stdout is not None
        step = 0
        # a moment that leaves room for the kills to come
        timer = threading.Timer(rng.random() * 2 * seconds * left / steps / (kills - len(found) + 1), process.kill)
        for line in process.stdout:
            if line.startswith("step ") and timer.ident is None:
                timer.start()
            if match := re.match(r"step +(\d+)/", line):
                step = int(match.group(1))
        timer.cancel()
        process.stdout.close()
        if process.wait() == 0:
            raise SystemExit(f"the run ended before kill {len(found) + 1}; choose another --seed")
        found.append(step)
        left = min(left, steps - step)
        print(f"killed {len(found)} of {kills} after step {step}", file=sys.stderr, flush=True)
    last = start(work, "killed", steps)
    text, _ = last.communicate()
    if last.returncode:
        raise SystemExit(text)
    return found


def digest(run: Path) -> str:
    """SHA-256 over everything in the last checkpoint, by name."""
    import numpy as np

    from detector.checkpoint import list_checkpoints

    total = hashlib.sha256()
    with np.load(list_checkpoints(run / "checkpoints")[-1] / "variables.npz") as file:
        for name in sorted(file.files):
            total.update(name.encode() + file[name].tobytes())
    return total.hexdigest()


def main() -> None:
    """Run both, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--work", type=Path, help="new folder that is kept")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work = args.work or Path(folder)
        work.mkdir(exist_ok=True)
        prepare(work)
        began = time.monotonic()
        seconds = run_in_peace(work, args.steps)
        between = time.monotonic()
        killed_after = run_killed(work, args.steps, args.kills, seconds, random.Random(args.seed))
        logs = [(work / name / "metrics.jsonl").read_text() for name in ("whole", "killed")]
        result = {
            "benchmark": "kill_resume",
            "steps": args.steps,
            "killed_after": killed_after,
            "same_weights": digest(work / "whole") == digest(work / "killed"),
            "sha256": digest(work / "killed"),
            "same_log": logs[0] == logs[1],
            "seconds_undisturbed": round(between - began, 1),
            "seconds_killed": round(time.monotonic() - between, 1),
        }
    print(json.dumps(result))
    if not (result["same_weights"] and result["same_log"]):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
