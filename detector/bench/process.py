"""The processes that the bench starts: an arm each, and `wordtree train`.

A signal to the bench is passed on. Where it is killed, an arm ends by itself, since its standard input does; a training
goes on, and holds the lock of its run.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from detector.bench.one_arm import Request
from schemas.errors import ConfigError, WordTreeError
from wordtree.processes import environment, python

SECONDS_TO_STOP = 60


class ArmError(WordTreeError):
    """An arm could not be measured."""


def run_arm(request: Request, title: str) -> dict[str, Any]:
    """The figures of an arm, measured in a process of its own.

    Raises:
        ArmError: naming the arm, for an error that a user can mend, or where the process was killed.
        RuntimeError: the process failed otherwise; with the end of what it said.
    """
    with tempfile.TemporaryDirectory(prefix="wordtree-bench-") as folder:
        asked, answer = Path(folder, "request.json"), Path(folder, "result.json")
        asked.write_text(json.dumps(asdict(request)))
        code, said = _finish(python("-m", "detector.bench.one_arm", str(asked), str(answer)), keep=True)
        if code == 0 and answer.exists():
            return json.loads(answer.read_text())
    last = said.strip().splitlines()[-1:] or ["it said nothing"]
    if code == 2:
        raise ArmError(f"{title}: {last[0]}")
    if code < 0:
        raise ArmError(
            f"{title}: its process was ended by signal {-code} ({signal.Signals(-code).name}); if the memory did not "
            "suffice, leave the arm out or take smaller --sizes. What is measured stays, the same command goes on"
        )
    raise RuntimeError(f"{title}: its process failed with exit code {code}:\n{said[-4000:]}")


def run_training(words: Sequence[str]) -> None:
    """`wordtree train` with these words; it says what it does on standard error.

    Raises:
        ConfigError: it refused; its own message stands above.
        KeyboardInterrupt: it was stopped by a signal and has written a checkpoint.
    """
    code, _ = _finish(python("-m", "wordtree", "train", *words), keep=False)
    if code in (128 + signal.SIGINT, 128 + signal.SIGTERM):
        raise KeyboardInterrupt(code - 128)
    if code:
        raise ConfigError(f"training ended with exit code {code}: wordtree train {' '.join(words)}")


def _finish(command: list[str], *, keep: bool) -> tuple[int, str]:
    """Exit code and, with `keep`, standard error; otherwise all goes to ours. An interruption is passed on."""
    error = subprocess.PIPE if keep else sys.stderr.fileno()
    output = subprocess.DEVNULL if keep else sys.stderr.fileno()
    there, here = os.pipe()  # nothing is written; the other end reads the end of it when this process is gone
    try:
        streams: dict[str, Any] = {"stdin": there, "stdout": output, "stderr": error}
        with subprocess.Popen(command, env=environment(), text=True, **streams) as process:
            try:
                said = process.communicate()[1] or ""
            except KeyboardInterrupt as interrupt:
                _stop(process, of_terminal=not interrupt.args)
                raise
    finally:
        os.close(there)
        os.close(here)
    return process.returncode, said


def _stop(process: subprocess.Popen[str], *, of_terminal: bool) -> None:
    """Let a training write its checkpoint. Ctrl-C reaches it too, and a second signal would end it at once."""
    if of_terminal:
        try:
            process.wait(SECONDS_TO_STOP)
            return
        except subprocess.TimeoutExpired:
            pass
    process.send_signal(signal.SIGTERM)
    process.wait()
