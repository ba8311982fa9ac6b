"""Two logical CPUs under MirroredStrategy give the step of one device; the parts are those of mirrored_process.py."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("tensorflow")

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.slow
@pytest.mark.parametrize(
    "parts",
    [
        ["stubs"],
        ["statistics_apart", "half_precision"],
        ["dropout", "broken_image", "signals"],
        ["real", "faster"],
        ["nested"],
        ["frozen", "faster_half"],
    ],
    ids="-".join,
)
def test_two_devices_train_like_one(parts):
    command = [sys.executable, "-m", "tests.detector.mirrored_process", *parts]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "2"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.split() == [word for part in parts for word in ("well:", part)]
