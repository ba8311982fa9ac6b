"""A worker process is killed at ten moments of a conversion, on each engine that is here: the same bytes, or one line?

Makes a small COCO set (`coco_set.py`), converts it on this machine with two workers, on Prism and on Flink (where
`scripts/fetch_engines.py` has found their programs), once in peace and ten times with a worker killed by SIGKILL,
evenly from the first worker's start to the end. A run must end with the bytes of the undisturbed one, or in one line;
then the same command must end with those bytes. Prints one line of JSON; exits with 1 if anything else was seen, such
as a run that does not end.

    python benchmarks/kill_workers.py --moments 10
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.coco_set import make_coco_set  # noqa: E402
from benchmarks.two_at_once import digests, start  # noqa: E402

ENGINES = {
    "FnApiRunner": ["--workers", "2"],
    "PrismRunner": ["--", "--runner=PrismRunner"],
    "FlinkRunner": ["--workers", "2", "--", "--runner=FlinkRunner"],
}
SECONDS = 400.0  # a run that takes longer hangs; Flink waits three minutes for a worker that died half connected
LINE = re.compile(r"wordtree convert: a worker process \(\d+\) was killed by signal 9, [^\n]*\n")


def workers_of(parent: int) -> list[int]:
    """Worker processes that end with this one."""
    found: list[int] = []
    for folder in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            words = (folder / "cmdline").read_text().split("\0") if folder.name.isdigit() else []
            if "pipelines.worker" in words and str(parent) in words:
                found.append(int(folder.name))
    return sorted(found)


def first_worker(process: subprocess.Popen[str]) -> float:
    """When the first worker was seen; when the run ended, if none was."""
    while process.poll() is None and not workers_of(process.pid):
        time.sleep(0.005)
    return time.monotonic()


def in_peace(words: list[str]) -> tuple[float, str]:
    """Seconds from the first worker to the end, and what went wrong."""
    process = start(words)
    began = first_worker(process)
    _, errors = process.communicate()
    return time.monotonic() - began, errors if process.returncode else ""


def killed(words: list[str], out: Path, wanted: dict[str, str], moment: float) -> str:
    """What became of a run whose youngest worker was killed so many seconds after the first had begun."""
    shutil.rmtree(out)
    process = start(words)
    time.sleep(max(0.0, first_worker(process) + moment - time.monotonic()))
    for worker in workers_of(process.pid)[-1:]:
        os.kill(worker, signal.SIGKILL)
    try:
        _, errors = process.communicate(timeout=SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return "does not end"
    if process.returncode == 0:
        return "same bytes" if digests(out) == wanted else "other bytes"
    if not LINE.search(errors) or "Traceback" in errors:
        return errors
    again = start(words)
    again.communicate()
    return "one line, resumed" if digests(out) == wanted else "one line, not resumed"


def main() -> None:
    """Run every engine, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--moments", type=int, default=10)
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--engines", nargs="+", choices=ENGINES, default=list(ENGINES))
    args = parser.parse_args()
    result: dict[str, object] = {"benchmark": "kill_workers", "moments": args.moments}
    good = True
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_coco_set(folder, args.images, 3, 0)
        source = ["--annotations", str(folder / "instances.json"), "--images", str(folder / "images")]
        for engine in args.engines:
            out = folder / engine
            words = ["convert", "coco", str(out), *source, "--labels", "none", "--shards", "24", *ENGINES[engine]]
            seconds, wrong = in_peace(words)
            if wrong:
                result[engine] = wrong.strip().splitlines()[-1]
                continue
            wanted = digests(out)
            moments = [seconds * number / args.moments for number in range(args.moments)]
            seen = Counter(killed(words, out, wanted, moment) for moment in moments)
            result[engine] = dict(seen)
            good = good and seen.keys() <= {"same bytes", "one line, resumed"}
    print(json.dumps(result))
    if not good:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
