"""Starts worker processes when an engine asks for them: Beam's external worker pool, with `pipelines.worker`.

Beam's own pool runs the `python` that stands first in PATH, which need not be this one, and starts workers as threads
of this process by default. Here every worker is a process, of this Python, and watched. An engine waits for ever for
one that died before it connected; so another takes its place, as often as the run may retry, and then the run ends.
"""

from __future__ import annotations

import json
import logging
import subprocess
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.portability.api import beam_fn_api_pb2, beam_fn_api_pb2_grpc

from pipelines.engines.worker_process import end_worker, note_loss, start_worker

THREADS = 4  # for the engine's requests; each is short

logger = logging.getLogger(__name__)


class WorkerPool(beam_fn_api_pb2_grpc.BeamFnExternalWorkerPoolServicer):
    """The workers of one run.

    Attributes:
        address: where engines ask for workers, on this machine.
    """

    def __init__(
        self, options: PipelineOptions, *, replacements: int = 0, give_up: Callable[[], None] = lambda: None
    ) -> None:
        """Args:
        options: of the pipeline.
        replacements: how many workers that died may be replaced.
        give_up: called, in a thread of its own, when one dies and none may be.
        """
        self._replacements, self._give_up = replacements, give_up
        self._options = json.dumps(options.get_all_options(drop_default=True), default=str)
        self._workers: dict[str, subprocess.Popen[bytes]] = {}
        self._started: list[subprocess.Popen[bytes]] = []
        self._lock = threading.Lock()
        self._server = grpc.server(ThreadPoolExecutor(THREADS, "worker pool"))
        beam_fn_api_pb2_grpc.add_BeamFnExternalWorkerPoolServicer_to_server(self, self._server)
        self.address = f"localhost:{self._server.add_insecure_port('localhost:0')}"
        self._server.start()

    def StartWorker(self, request: Any, context: Any) -> Any:
        """Start a worker; the engine waits for its connection."""
        try:
            with self._lock:
                self._start(request)
        except OSError as error:
            return beam_fn_api_pb2.StartWorkerResponse(error=str(error))
        return beam_fn_api_pb2.StartWorkerResponse()

    def _start(self, request: Any) -> None:
        control, logs = request.control_endpoint.url, request.logging_endpoint.url
        process = start_worker(request.worker_id, self._options, control, logs)
        self._workers[request.worker_id] = process
        self._started.append(process)
        threading.Thread(target=self._watch, args=(request, process), name="watch a worker", daemon=True).start()
        logger.info("worker %s is process %d", request.worker_id, process.pid)

    def _watch(self, request: Any, process: subprocess.Popen[bytes]) -> None:
        code = process.wait()
        with self._lock:
            if not code or self._workers.get(request.worker_id) is not process:
                return  # it left with the engine, or was not needed any more
            note_loss(process)
            if self._replacements:
                self._replacements -= 1
                self._start(request)
                return
        self._give_up()

    def StopWorker(self, request: Any, context: Any) -> Any:
        """End a worker that the engine does not need any more."""
        with self._lock:
            process = self._workers.pop(request.worker_id, None)
        if process is not None:
            end_worker(process)
        return beam_fn_api_pb2.StopWorkerResponse()

    def stop(self) -> None:
        """End all workers; also those that the engine is just ending, since each is seen to its end here."""
        self._server.stop(grace=0)
        with self._lock:
            self._workers = {}
        for process in self._started:
            end_worker(process)
