"""Two trainings do not write to one run: the second one is told who holds it."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from detector.training import lock as lock_module
from detector.training.lock import LOCK, RunLock
from schemas.errors import OutputError

pytest.importorskip("fcntl")
ROOT = Path(__file__).resolve().parents[2]
HOLD = """
import sys, time
from pathlib import Path
from detector.training.lock import RunLock
with RunLock(Path(sys.argv[1])) as lock:
    lock.take()
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_second_training_is_refused_until_the_first_ends(tmp_path):
    with RunLock(tmp_path) as first:
        first.take()
        first.take()  # held already
        with (
            pytest.raises(OutputError, match=rf"{tmp_path}: process {os.getpid()} on \S+ trains in it; stop"),
            RunLock(tmp_path) as second,
        ):
            second.take()
        assert (tmp_path / LOCK).exists()
    assert list(tmp_path.iterdir()) == []
    with RunLock(tmp_path) as third:
        third.take()


def test_a_killed_holder_leaves_no_lock(tmp_path):
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    assert holder.stdout is not None
    holder.stdout.readline()
    with pytest.raises(OutputError, match=f"process {holder.pid} on "), RunLock(tmp_path) as lock:
        lock.take()
    holder.send_signal(signal.SIGKILL)
    holder.communicate()
    assert (tmp_path / LOCK).exists()
    with RunLock(tmp_path) as lock:
        lock.take()
        assert f"process {os.getpid()} " in (tmp_path / LOCK).read_text()


def test_nothing_is_refused_where_there_are_no_locks(tmp_path, monkeypatch):
    with RunLock(tmp_path / "new") as lock:
        lock.take()  # there is no directory yet
    assert not (tmp_path / "new").exists()

    def none(file, operation):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(lock_module.fcntl, "flock", none)
    with RunLock(tmp_path) as lock:
        lock.take()
    monkeypatch.setattr(lock_module, "fcntl", None)
    with RunLock(tmp_path) as lock:
        lock.take()
