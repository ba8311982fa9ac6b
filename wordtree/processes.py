"""Processes of this Python that the commands start: workers, commands, measurements.

The working directory is the user's: a `queue.py` or `random.py` that lies there is no module of ours. Python would look
there first for `-m` and `-c`, so every start goes through here; packages are found by their own places instead.
"""

from __future__ import annotations

import os
import sys
import sysconfig
from pathlib import Path

ROOT = str(Path(__file__).resolve().parent.parent)
INSTALLED = sysconfig.get_paths()["purelib"] == ROOT


def python(*words: str) -> list[str]:
    """The words that start this Python; with `environment`, as it finds the project's packages by that."""
    return [sys.executable, "-P", *words]


def environment(**more: str) -> dict[str, str]:
    """This process's environment, in which the project's packages are found also where it is not installed.

    Args:
        more: variables to add.
    """
    paths = [*filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]  # "" is the working directory
    if not INSTALLED:
        paths.insert(0, ROOT)
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), **more}
