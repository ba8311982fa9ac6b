"""One worker process on this machine: how it is started, how it is ended, and what is said when it died.

It is apart from the working directory (`wordtree.processes`) and from the terminal: Ctrl-C is this process's business,
which ends its workers.
"""

from __future__ import annotations

import os
import signal
import subprocess
from typing import Any

from apache_beam.portability.api import endpoints_pb2
from google.protobuf import text_format

from wordtree.processes import environment, python

SECONDS_TO_END = 2.0
losses: list[str] = []  # of this process since a run began: what became of workers that died
_killed: set[int] = set()  # by this process


def start_worker(worker_id: str, options: str, control: str, logging: str = "") -> subprocess.Popen[bytes]:
    """Start a worker, which connects to the engine by itself.

    Args:
        worker_id: as the engine calls it.
        options: the pipeline's, as JSON.
        control, logging: addresses of the engine; "" for none.

    Raises:
        OSError: it cannot be started.
    """
    variables = {"WORKER_ID": worker_id, "PIPELINE_OPTIONS": options}
    variables["CONTROL_API_SERVICE_DESCRIPTOR"] = _descriptor(control)
    if logging:
        variables["LOGGING_API_SERVICE_DESCRIPTOR"] = _descriptor(logging)
    words = python("-m", "pipelines.worker", str(os.getpid()))
    return subprocess.Popen(words, env=environment(**variables), process_group=0)


def end_worker(process: subprocess.Popen[Any]) -> None:
    """End a worker that is not needed any more; note it if somebody else has killed it before."""
    process.terminate()
    try:
        process.wait(SECONDS_TO_END)
    except subprocess.TimeoutExpired:
        _killed.add(process.pid)
        process.kill()
        process.wait()
    if process.returncode < 0 and process.returncode != -signal.SIGTERM and process.pid not in _killed:
        note_loss(process)


def note_loss(process: subprocess.Popen[Any]) -> str:
    """Add to `losses` what became of a worker that ended by itself; also what was added."""
    code = process.returncode
    if code >= 0:
        told = f"a worker process ({process.pid}) ended with exit code {code}"
    else:
        told = f"a worker process ({process.pid}) was killed by signal {-code}"
        if -code == signal.SIGKILL:
            told += ", as a system does that runs out of memory"
    losses.append(told)
    return told


def _descriptor(url: str) -> str:
    return text_format.MessageToString(endpoints_pb2.ApiServiceDescriptor(url=url), as_one_line=True)
