"""Two commands do not write to one output: the second one is told who holds it."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from schemas.errors import OutputError
from wordtree import lock as lock_module
from wordtree.lock import LOCK, OutputLock

pytest.importorskip("fcntl")
ROOT = Path(__file__).resolve().parents[2]
HOLD = """
import sys, time
from wordtree.lock import OutputLock
with OutputLock(sys.argv[1]) as lock:
    lock.take()
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_second_command_is_refused_until_the_first_ends(tmp_path):
    with OutputLock(tmp_path, what="trains in it") as first:
        first.take()
        first.take()  # held already
        with (
            pytest.raises(OutputError, match=rf"{tmp_path}: process {os.getpid()} on \S+ trains in it; stop"),
            OutputLock(tmp_path, what="trains in it") as second,
        ):
            second.take()
        assert (tmp_path / LOCK).exists()
    assert list(tmp_path.iterdir()) == []
    with OutputLock(tmp_path) as third:
        third.take()


def test_an_output_that_is_a_file_has_its_lock_beside_it(tmp_path):
    card = tmp_path / "new" / "card.html"
    with OutputLock(card, is_file=True) as first:
        first.take(make=True)
        assert [path.name for path in card.parent.iterdir()] == [".card.html.lock"]
        with OutputLock(card.with_name("other.html"), is_file=True) as other:
            other.take(make=True)
        with pytest.raises(OutputError, match=rf"{card}: process {os.getpid()} on \S+ writes to it"):
            OutputLock(card, is_file=True).take(make=True)
        card.write_text("the card")
    assert [path.name for path in card.parent.iterdir()] == ["card.html"]


def test_a_folder_that_was_made_for_the_lock_goes_if_nothing_is_put_there(tmp_path):
    with OutputLock(tmp_path / "a" / "b") as lock:
        lock.take(make=True)
        assert lock.path.exists()
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "a").mkdir()
    with OutputLock(tmp_path / "a" / "b") as lock:
        lock.take(make=True)
    assert [path.name for path in tmp_path.rglob("*")] == ["a"]


def test_a_killed_holder_leaves_no_lock(tmp_path):
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    assert holder.stdout is not None
    holder.stdout.readline()
    with pytest.raises(OutputError, match=f"process {holder.pid} on "), OutputLock(tmp_path) as lock:
        lock.take()
    holder.send_signal(signal.SIGKILL)
    holder.communicate()
    assert (tmp_path / LOCK).exists()
    with OutputLock(tmp_path) as lock:
        lock.take()
        assert f"process {os.getpid()} " in (tmp_path / LOCK).read_text()


def test_nothing_is_refused_where_there_are_no_locks(tmp_path, monkeypatch):
    with OutputLock(tmp_path / "new") as lock:
        lock.take()  # there is no directory yet
    assert not (tmp_path / "new").exists()
    monkeypatch.chdir(tmp_path)
    with OutputLock("memory://bucket/out") as lock:
        lock.take(make=True)
    assert list(tmp_path.iterdir()) == []

    def none(file, operation):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(lock_module.fcntl, "flock", none)
    with OutputLock(tmp_path) as lock:
        lock.take()
    monkeypatch.setattr(lock_module, "fcntl", None)
    with OutputLock(tmp_path) as lock:
        lock.take()
