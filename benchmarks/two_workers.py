"""Do two workers train like one, and survive what clusters do? On this machine, over the loopback, on the CPU.

Trains by `wordtree train`: with one process; with one worker; with two; and with two that are first asked to stop
(SIGTERM) and later lose one (SIGKILL). For each detector prints one JSON line: the largest difference of losses and
weights, relative above 1, between two workers and one, and between two workers and one process; the first steps after
which a loss differed by more than 1e-5; whether the disturbed run ended with the bits of the undisturbed one; seconds
until a lost worker is missed; milliseconds a step.

    python benchmarks/two_workers.py --steps 200
    python benchmarks/two_workers.py --steps 100 --data det-train cls-train --tree tree

Without --data the demo's figures are drawn and the networks are small; with it (docs/tiny64.md says how photos are
converted) they are those of the experiments tiny64 and faster_rcnn_tiny64.
"""

from __future__ import annotations

import argparse
import json
import signal
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from kill_resume import SMALL, digest, prepare

from wordtree.processes import environment, python

COMMON = {
    "train.batch_size": 16,
    "train.optimizer": "sgd",
    "train.clip_norm": 1,
    "train.learning_rate": 1e-4,
    "train.log_every": 1,
    "train.checkpoint_every": 50,
    "model.dropout": 0,
}
FIGURES = {
    "yolo9000": ("demo", SMALL),
    "faster_rcnn": ("faster_rcnn_tiny64", {"model.input_size": 32, "model.width": 0.25, "model.output_stride": 4}),
}
PHOTOS = {"yolo9000": ("tiny64", {}), "faster_rcnn": ("faster_rcnn_tiny64", {})}
CLOSE = 1e-5


@dataclass(frozen=True)
class Job:
    """What is trained, again and again.

    Attributes:
        words: of the command line.
        work: where the runs lie.
        steps: of a run.
    """

    words: list[str]
    work: Path
    steps: int


def make_job(detector: str, args: argparse.Namespace, work: Path) -> Job:
    """The experiment, its data and its settings."""
    config, settings = (PHOTOS if args.data else FIGURES)[detector]
    sets = args.data or [work.parent / "det", work.parent / "cls"]
    words = [config, "--data", *sets, "--tree", args.tree or work.parent / "tree"]
    for key, value in {**settings, **COMMON, "train.steps": args.steps}.items():
        words += ["--set", f"{key}={value}"]
    for override in args.set:
        words += ["--set", override]
    work.mkdir()
    return Job([str(word) for word in words], work, args.steps)


def start(job: Job, out: str, count: int) -> list[subprocess.Popen[str]]:
    """A process for each worker; the chief's output is read, the others' is dropped. 0: one process, no workers."""
    command = python("-m", "wordtree", "train", *job.words, "--out", str(job.work / out))
    if not count:
        return [
            subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment())
        ]
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    addresses = [f"127.0.0.1:{each.getsockname()[1]}" for each in sockets]
    for each in sockets:
        each.close()
    return [
        subprocess.Popen(
            [*command, "--strategy", "multiworker"],
            stdout=subprocess.PIPE if index == 0 else subprocess.DEVNULL,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment()
            | {"TF_CONFIG": json.dumps({"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}})},
        )
        for index in range(count)
    ]


def finish(workers: list[subprocess.Popen[str]], status: int = 0) -> None:
    """Wait for all."""
    text = workers[0].communicate()[0]
    found = [worker.wait() for worker in workers]
    if found != [status] * len(workers):
        raise SystemExit(f"ended with {found}, expected {status}:\n{text}")


def wait_for(worker: subprocess.Popen[str], step: int) -> None:
    """Read the chief's output up to the line of a step."""
    assert worker.stdout is not None
    lines = []
    for line in worker.stdout:
        lines.append(line)
        if line.startswith(f"step {step:>6}/"):
            return
    raise SystemExit("".join(lines))


def disturb(job: Job) -> float:
    """Two workers, asked to stop, started, robbed of one, and started again; seconds until that one was missed."""
    workers = start(job, "disturbed", 2)
    wait_for(workers[0], job.steps // 3)
    for worker in workers:
        worker.send_signal(signal.SIGTERM)
    finish(workers, 128 + signal.SIGTERM)
    workers = start(job, "disturbed", 2)
    wait_for(workers[0], job.steps * 2 // 3)
    workers[1].kill()
    began = time.monotonic()
    text = workers[0].communicate()[0]
    missed = time.monotonic() - began
    workers[1].wait()
    if workers[0].returncode != 2 or "worker 1 is gone" not in text:
        raise SystemExit(text)
    finish(start(job, "disturbed", 2))
    return missed


def differences(one: Path, two: Path) -> dict[str, float | None]:
    """The largest of the losses and of the weights, relative above 1; after how many steps the losses are not close."""
    import numpy as np

    from detector.checkpoint import list_checkpoints

    logs = [[json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()] for run in (one, two)]
    losses = [
        max(abs(first[key] - second[key]) / max(1, abs(first[key])) for key in first if key != "gradient_norm")
        for first, second in zip(*logs, strict=True)
    ]
    files = [np.load(list_checkpoints(run / "checkpoints")[-1] / "variables.npz") for run in (one, two)]
    weights = max(
        float(np.max(np.abs(files[0][name] - files[1][name]) / np.maximum(1, np.abs(files[0][name]))))
        for name in files[0].files
        if name.startswith(("model/", "average/"))
    )
    apart = next((step for step, difference in enumerate(losses) if difference > CLOSE), None)
    return {"losses": max(losses), "losses_of_first_step": losses[0], "steps_that_are_close": apart, "weights": weights}


def seconds_of(run: Path) -> float:
    """Of training."""
    return json.loads((run / "timing.jsonl").read_text().splitlines()[-1])["seconds"]


def compare(detector: str, args: argparse.Namespace, work: Path) -> dict[str, Any]:
    """All runs of one detector."""
    job = make_job(detector, args, work)
    for out, count in (("process", 0), ("one", 1), ("two", 2)):
        finish(start(job, out, count))
    return {
        "benchmark": "two_workers",
        "detector": detector,
        "data": "given" if args.data else "figures",
        "steps": args.steps,
        "two_workers_and_one": differences(work / "one", work / "two"),
        "two_workers_and_one_process": differences(work / "process", work / "two"),
        "seconds_until_missed": round(disturb(job), 1),
        "disturbed_run_is_the_same": digest(work / "two") == digest(work / "disturbed"),
        **{
            f"ms_per_step_{out}": round(1000 * seconds_of(work / out) / args.steps) for out in ("process", "one", "two")
        },
    }


def main() -> None:
    """Run all, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--detector", choices=[*FIGURES, "both"], default="both")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--data", nargs="+", type=Path, default=[], help="a boxed and a labelled dataset directory")
    parser.add_argument("--tree", type=Path, help="of --data")
    parser.add_argument("--set", action="append", default=[], metavar="SECTION.KEY=VALUE", help="for all runs")
    parser.add_argument("--work", type=Path, help="new folder that is kept")
    args = parser.parse_args()
    if bool(args.data) != bool(args.tree):
        parser.error("--data needs --tree, and --tree --data")
    with tempfile.TemporaryDirectory() as folder:
        work = args.work or Path(folder)
        work.mkdir(exist_ok=True)
        if not args.data:
            prepare(work)
        same = True
        for detector in FIGURES if args.detector == "both" else [args.detector]:
            result = compare(detector, args, work / detector)
            same = same and result["disturbed_run_is_the_same"]
            print(json.dumps(result), flush=True)
    if not same:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
