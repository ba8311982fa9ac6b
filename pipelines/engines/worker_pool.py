"""Starts worker processes when an engine asks for them: Beam's external worker pool, with `pipelines.worker`.

Beam's own pool runs the `python` that stands first in PATH, which need not be this one, and starts workers as threads
of this process by default. Here every worker is a process, of this Python. A worker that dies is not started again by
the pool: the engine sees its connection break, and asks for another when it retries.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.portability.api import beam_fn_api_pb2, beam_fn_api_pb2_grpc, endpoints_pb2
from google.protobuf import text_format

SECONDS_TO_END = 2.0
THREADS = 4  # for the engine's requests; each is short

logger = logging.getLogger(__name__)


class WorkerPool(beam_fn_api_pb2_grpc.BeamFnExternalWorkerPoolServicer):
    """The workers of one run.

    Attributes:
        address: where engines ask for workers, on this machine.
    """

    def __init__(self, options: PipelineOptions) -> None:
        self._options = json.dumps(options.get_all_options(drop_default=True), default=str)
        self._workers: dict[str, subprocess.Popen[bytes]] = {}
        self._lock = threading.Lock()
        self._server = grpc.server(ThreadPoolExecutor(THREADS, "worker pool"))
        beam_fn_api_pb2_grpc.add_BeamFnExternalWorkerPoolServicer_to_server(self, self._server)
        self.address = f"localhost:{self._server.add_insecure_port('localhost:0')}"
        self._server.start()

    def StartWorker(self, request: Any, context: Any) -> Any:
        """Start a worker; the engine waits for its connection."""
        environment = {
            **os.environ,
            "WORKER_ID": request.worker_id,
            "PIPELINE_OPTIONS": self._options,
            "CONTROL_API_SERVICE_DESCRIPTOR": _descriptor(request.control_endpoint.url),
        }
        if request.logging_endpoint.url:
            environment["LOGGING_API_SERVICE_DESCRIPTOR"] = _descriptor(request.logging_endpoint.url)
        try:
            process = subprocess.Popen([sys.executable, "-m", "pipelines.worker", str(os.getpid())], env=environment)
        except OSError as error:
            return beam_fn_api_pb2.StartWorkerResponse(error=str(error))
        with self._lock:
            self._workers[request.worker_id] = process
        logger.info("worker %s is process %d", request.worker_id, process.pid)
        return beam_fn_api_pb2.StartWorkerResponse()

    def StopWorker(self, request: Any, context: Any) -> Any:
        """End a worker that the engine does not need any more."""
        with self._lock:
            process = self._workers.pop(request.worker_id, None)
        if process is not None:
            _end(process)
        return beam_fn_api_pb2.StopWorkerResponse()

    def stop(self) -> None:
        """End all workers."""
        self._server.stop(grace=0)
        with self._lock:
            processes, self._workers = list(self._workers.values()), {}
        for process in processes:
            _end(process)


def _descriptor(url: str) -> str:
    return text_format.MessageToString(endpoints_pb2.ApiServiceDescriptor(url=url), as_one_line=True)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(SECONDS_TO_END)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
