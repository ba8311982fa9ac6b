"""A small dataset in the layouts that the documents speak of, and the command as a user runs it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def run_wordtree():
    """`run_wordtree(*words, cwd=...)` gives the finished process."""

    def run(*words, cwd, check=False):
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-m", "wordtree", *map(str, words)]
        done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, env=environment)
        if check:
            assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
        return done

    return run


@pytest.fixture(scope="session")
def user_folder(tmp_path_factory):
    """What README.md says a user has: det/, cls/, eval-files/ and labels.csv."""
    pytest.importorskip("tensorflow")
    from detector.demo.dataset import DemoSizes, render_dataset

    folder = tmp_path_factory.mktemp("user")
    render_dataset(folder / "data", sizes=DemoSizes(det_train=48, cls_train=64, eval=12), log=lambda line: None)
    for name, source in (
        ("det", "det_train"),
        ("cls", "cls_train"),
        ("eval-files", "eval"),
        ("labels.csv", "synsets.csv"),
    ):
        (folder / name).symlink_to(folder / "data" / source)
    return folder
