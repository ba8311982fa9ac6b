"""The machine and the memory of this process. Times of two machines are not of one figure."""

from __future__ import annotations

import contextlib
import glob
import os
import platform
import resource
import sys

MB = 1e6


def machine() -> dict[str, object]:
    """What decides how long an inference takes: processor, cores that this process may use, graphics cards."""
    cards = sorted(glob.glob("/dev/nvidia[0-9]*")) if os.environ.get("CUDA_VISIBLE_DEVICES") != "-1" else []
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {"processor": _processor(), "cores": cores, "gpus": len(cards)}


def peak_memory() -> int:
    """Bytes that this process had in memory at most, so far.

    From /proc where it is: `ru_maxrss` of a process that was started by a larger one is the larger one's.
    """
    status = _lines("/proc/self/status")
    for line in status:
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _processor() -> str:
    for line in _lines("/proc/cpuinfo"):
        if line.startswith("model name"):
            return " ".join(line.partition(":")[2].split())
    return platform.processor() or platform.machine()


def _lines(path: str) -> list[str]:
    with contextlib.suppress(OSError), open(path, encoding="utf-8", errors="replace") as file:
        return file.read().splitlines()
    return []
