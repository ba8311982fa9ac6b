"""A command watched from outside: its CPU seconds as a whole, and the peak memory of it and all it starts.

Memory is the sum of the processes' proportional set sizes (PSS: shared pages count once), sampled (Linux).
"""

from __future__ import annotations

import mmap
import os
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.peers.measured import children_of

PAUSE = 0.05  # seconds between samples
PAGE = 4096


@dataclass(frozen=True, slots=True)
class Watched:
    """How a command ended: exit status, CPU and wall seconds from start to end, peak megabytes, what it printed."""

    code: int
    cpu_s: float
    wall_s: float
    peak_mb: float
    output: str
    errors: str


def memory_mb(pid: int) -> float:
    """Megabytes of a process and its descendants now."""
    kilobytes = 0
    for each in (pid, *children_of(pid)):
        try:
            with open(f"/proc/{each}/smaps_rollup") as stream:
                kilobytes += next(int(line.split()[1]) for line in stream if line.startswith("Pss:"))
        except (OSError, StopIteration):  # ended meanwhile
            continue
    return kilobytes * 1024 / 1e6


def watch(command: Sequence[str], *, env: Mapping[str, str], cwd: Path, sample: bool, limit_s: float = 1800) -> Watched:
    """Run a command to its end.

    Args:
        command: words.
        env: its whole environment.
        cwd: where it runs.
        sample: whether to look at its memory; looking takes the process's locks, and so its CPU time: up to a second
            of it was seen. Without, the peak is 0.
        limit_s: after so many seconds it is killed.
    """
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        began = time.monotonic()
        process = subprocess.Popen(command, env=dict(env), cwd=cwd, stdout=output, stderr=errors)
        peak, ended = 0.0, threading.Event()

        def look() -> None:
            nonlocal peak
            while sample and not ended.wait(PAUSE):
                peak = max(peak, memory_mb(process.pid))

        sampler = threading.Thread(target=look, daemon=True)
        killer = threading.Timer(limit_s, process.kill)
        sampler.start()
        killer.start()
        try:
            _, status, used = os.wait4(process.pid, 0)
        finally:
            killer.cancel()
            ended.set()
            sampler.join()
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        errors.seek(0)
        return Watched(
            code=process.returncode,
            cpu_s=used.ru_utime + used.ru_stime,
            wall_s=time.monotonic() - began,
            peak_mb=peak,
            output=output.read(),
            errors=errors.read(),
        )


def touch_memory(size: int) -> None:
    """Take so many bytes of memory, write to every page, give them back.

    A virtual machine may give unused memory back to its host; the first write to a page then costs the machine CPU time
    that has nothing to do with the program: 80 to 200 microseconds for a file of 100 KB, more than the writing itself.
    """
    with mmap.mmap(-1, size) as memory:
        for page in range(0, size, PAGE):
            memory[page] = 1
