"""Do two workers train like one, and survive what clusters do? On this machine, over the loopback, on the CPU.

Draws the demo's figures and trains a small network on them by `wordtree train --strategy multiworker`: with one worker,
with two, and with two that are first asked to stop (SIGTERM) and later lose one (SIGKILL). Prints one JSON line: the
largest difference of losses and weights between one and two workers, relative above 1; whether the disturbed run ended
with the bits of the undisturbed one; seconds until a lost worker is missed; seconds per step.

    python benchmarks/two_workers.py --steps 200
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from kill_resume import SMALL, digest, prepare

SETTINGS = {
    **SMALL,
    "train.batch_size": 16,
    "train.clip_norm": 1,
    "train.learning_rate": 1e-4,
    "train.log_every": 10,
    "model.dropout": 0,
}


def start(work: Path, out: str, steps: int, count: int) -> list[subprocess.Popen[str]]:
    """A process for each worker; the chief's output is read, the others' is dropped."""
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    addresses = [f"127.0.0.1:{each.getsockname()[1]}" for each in sockets]
    for each in sockets:
        each.close()
    settings = [f"{key}={value}" for key, value in {**SETTINGS, "train.steps": steps}.items()]
    words = ["demo", "--data", work / "det", work / "cls", "--tree", work / "tree", "--out", work / out]
    options = [word for setting in settings for word in ("--set", setting)]
    command = [sys.executable, "-m", "wordtree", "train", *map(str, words), *options, "--strategy", "multiworker"]
    return [
        subprocess.Popen(
            command,
            stdout=subprocess.PIPE if index == 0 else subprocess.DEVNULL,
            stderr=subprocess.STDOUT,
            text=True,
            env=os.environ
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


def disturb(work: Path, steps: int) -> float:
    """Two workers, asked to stop, started, robbed of one, and started again; seconds until that one was missed."""
    workers = start(work, "disturbed", steps, 2)
    wait_for(workers[0], steps // 3 // 10 * 10)
    for worker in workers:
        worker.send_signal(signal.SIGTERM)
    finish(workers, 128 + signal.SIGTERM)
    workers = start(work, "disturbed", steps, 2)
    wait_for(workers[0], steps * 2 // 3 // 10 * 10)
    workers[1].kill()
    began = time.monotonic()
    text = workers[0].communicate()[0]
    missed = time.monotonic() - began
    workers[1].wait()
    if workers[0].returncode != 2 or "worker 1 is gone" not in text:
        raise SystemExit(text)
    finish(start(work, "disturbed", steps, 2))
    return missed


def differences(one: Path, two: Path) -> tuple[float, float]:
    """The largest of the losses and of the weights, relative above 1."""
    import numpy as np

    from detector.checkpoint import list_checkpoints

    logs = [[json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()] for run in (one, two)]
    losses = max(
        abs(first[key] - second[key]) / max(1, abs(first[key]))
        for first, second in zip(*logs, strict=True)
        for key in first
    )
    files = [np.load(list_checkpoints(run / "checkpoints")[-1] / "variables.npz") for run in (one, two)]
    weights = max(
        float(np.max(np.abs(files[0][name] - files[1][name]) / np.maximum(1, np.abs(files[0][name]))))
        for name in files[0].files
        if name.startswith(("model/", "average/"))
    )
    return losses, weights


def seconds_of(run: Path) -> float:
    """Of training."""
    return json.loads((run / "timing.jsonl").read_text().splitlines()[-1])["seconds"]


def main() -> None:
    """Run all, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--work", type=Path, help="new folder that is kept")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work = args.work or Path(folder)
        work.mkdir(exist_ok=True)
        prepare(work)
        finish(start(work, "one", args.steps, 1))
        finish(start(work, "two", args.steps, 2))
        missed = disturb(work, args.steps)
        losses, weights = differences(work / "one", work / "two")
        same = digest(work / "two") == digest(work / "disturbed")
        result = {
            "benchmark": "two_workers",
            "steps": args.steps,
            "largest_difference_of_losses": losses,
            "largest_difference_of_weights": weights,
            "disturbed_run_is_the_same": same,
            "seconds_until_missed": round(missed, 1),
            "ms_per_step_one_worker": round(1000 * seconds_of(work / "one") / args.steps),
            "ms_per_step_two_workers": round(1000 * seconds_of(work / "two") / args.steps),
        }
    print(json.dumps(result))
    if not same:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
