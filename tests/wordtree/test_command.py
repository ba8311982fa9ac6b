"""The one command: exit codes, signals, closed pipes."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from schemas.errors import InputError
from wordtree import command

ROOT = Path(__file__).resolve().parents[2]


def run_with(monkeypatch, action):
    """The command with one subcommand, `act`, that does `action`."""

    def parser():
        top = argparse.ArgumentParser()
        top.add_argument("--debug", action="store_true")
        top.add_argument("command")
        top.set_defaults(run=lambda args: action())
        return top

    monkeypatch.setattr(command, "build_parser", parser)
    return command.main(["act"])


def fail(error):
    raise error


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (InputError("no file 'x'; give another"), 2, "wordtree act: no file 'x'; give another\n"),
        (NotADirectoryError(20, "Not a directory", "a/b"), 2, "wordtree act: a/b: Not a directory\n"),
        (KeyboardInterrupt(), 130, "interrupted; run the same command again to resume"),
        (KeyboardInterrupt(signal.SIGTERM), 143, "interrupted; run the same command again to resume"),
    ],
)
def test_what_users_cause_is_one_line_and_a_code(monkeypatch, capsys, error, code, message):
    assert run_with(monkeypatch, lambda: fail(error)) == code
    assert message in capsys.readouterr().err


def test_bugs_keep_their_traceback(monkeypatch):
    with pytest.raises(ZeroDivisionError):
        run_with(monkeypatch, lambda: 1 // 0)


def test_a_closed_pipe_is_no_success():
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    read, write = os.pipe()
    os.close(read)
    code = subprocess.run(
        [sys.executable, "-c", PRINTER], stdout=write, stderr=subprocess.DEVNULL, env=environment, check=False
    ).returncode
    os.close(write)
    assert code == 128 + signal.SIGPIPE


PRINTER = """
import argparse, sys
from wordtree import command

def parser():
    top = argparse.ArgumentParser()
    top.add_argument("--debug", action="store_true")
    top.add_argument("command")
    top.set_defaults(run=lambda args: print("a line", flush=True) or 0)
    return top

command.build_parser = parser
sys.exit(command.main(["act"]))
"""


def test_a_typo_left_of_the_dashes_is_refused(capsys):
    with pytest.raises(SystemExit) as stop:
        command.main(["tree", "show", "tree", "--rooot", "x"])
    assert stop.value.code == 2
    assert "--rooot" in capsys.readouterr().err


def test_words_for_beam_go_to_convert_alone(capsys):
    assert command.main(["tree", "show", "tree", "--", "--runner=x"]) == 2
    assert "takes nothing after `--`" in capsys.readouterr().err
