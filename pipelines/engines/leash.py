"""Runs a program that must not outlive the process that asked for it.

    python -P -m pipelines.engines.leash PARENT PROGRAM ARGUMENTS...

A job server is a program of its own. If the conversion is killed outright it would stay, and go on with the job beside
the next run. This process ends the program when PARENT is gone, and passes on SIGINT and SIGTERM.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time

SECONDS_BETWEEN_LOOKS = 0.2
SECONDS_TO_END = 3.0


def leave_with(parent: int) -> None:
    """End this process soon after `parent`, the process that started it, has ended."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(SECONDS_BETWEEN_LOOKS)
        os._exit(1)

    threading.Thread(target=watch, name="leash", daemon=True).start()


def run(parent: int, words: list[str]) -> int:
    """Run the program; returns its exit code."""
    child = subprocess.Popen(words)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: child.terminate())
    while child.poll() is None:
        if os.getppid() != parent:
            child.terminate()
            try:
                child.wait(SECONDS_TO_END)
            except subprocess.TimeoutExpired:
                child.kill()
        time.sleep(SECONDS_BETWEEN_LOOKS)
    return child.returncode


if __name__ == "__main__":
    sys.exit(run(int(sys.argv[1]), sys.argv[2:]))
