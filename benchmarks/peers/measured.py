"""CPU seconds of a conversion alone: what runs before and after it does not count.

Standard library only, since each converter has an environment of its own. A runner imports what it needs, then calls
`measure` with the function that converts one dataset. With --warm-up that function first converts a few images, so
that what libraries import and set up late is not counted either, for every converter alike.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import time
from collections.abc import Callable
from pathlib import Path

TICK = os.sysconf("SC_CLK_TCK")


def children_of(pid: int) -> list[int]:
    """Processes started by a process, and those started by them, that still run (Linux)."""
    found: list[int] = []
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/children") as stream:
                found += map(int, stream.read().split())
    except OSError:  # ended meanwhile
        return found
    return found + [below for child in found for below in children_of(child)]


def cpu_seconds() -> tuple[float, float]:
    """User and system time of this process, of its ended children and of those that still run."""
    user = system = 0.0
    for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN):
        used = resource.getrusage(who)
        user, system = user + used.ru_utime, system + used.ru_stime
    for child in children_of(os.getpid()):
        try:
            with open(f"/proc/{child}/stat") as stream:
                fields = stream.read().rpartition(")")[2].split()
        except OSError:
            continue
        utime, stime, cutime, cstime = map(int, fields[11:15])
        user, system = user + (utime + cutime) / TICK, system + (stime + cstime) / TICK
    return user, system


def measure(convert: Callable[[Path, Path], object]) -> None:
    """Convert the dataset of the command line; print one line of JSON, the last of the output.

    Args:
        convert: takes the dataset's folder (`instances.json`, `images/`) and the folder to write to, which exists.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("dataset", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--warm-up", type=Path, help="a small dataset")
    args, _ = parser.parse_known_args()
    if args.warm_up:
        early = args.out.with_name(args.out.name + ".warm-up")
        early.mkdir()
        convert(args.warm_up, early)
    args.out.mkdir()
    user, system = cpu_seconds()
    began = time.perf_counter()
    convert(args.dataset, args.out)
    wall = time.perf_counter() - began
    user, system = (after - before for after, before in zip(cpu_seconds(), (user, system), strict=True))
    result = {"cpu_s": user + system, "user_s": user, "system_s": system, "wall_s": wall}
    print("\n" + json.dumps({name: round(value, 3) for name, value in result.items()}), flush=True)
