"""The worker processes of Beam's local runner, watched: if one dies, the run ends.

Beam's own handler of a worker process raises in a thread that nobody looks at, and the runner waits for ever for what
the dead worker was to send. Here the thread that waits for the process answers in its place: everything that the runner
asks of any worker from then on comes back as an error, which the runner raises. Workers that are alive are ended too;
what they have finished stays.

Importing this module puts it in the place of Beam's handler (`python_urns.SUBPROCESS_SDK`), so that every way to ask
the local runner for processes is watched.
"""

from __future__ import annotations

import subprocess
import threading
from typing import Any

from apache_beam.portability import python_urns
from apache_beam.portability.api import beam_fn_api_pb2
from apache_beam.runners.portability.fn_api_runner.worker_handlers import GrpcWorkerHandler, WorkerHandler
from google.protobuf import json_format

from pipelines.engines.worker_process import end_worker, note_loss, start_worker

SECONDS_BETWEEN_ANSWERS = 0.1


@WorkerHandler.register_environment(python_urns.SUBPROCESS_SDK, bytes)
class WatchedWorker(GrpcWorkerHandler):
    """One worker process of the local runner; the command in the environment's payload is not asked for."""

    def __init__(self, command: bytes, state: Any, provision_info: Any, grpc_server: Any) -> None:
        super().__init__(state, provision_info, grpc_server)
        self._done = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None

    def start_worker(self) -> None:
        options = json_format.MessageToJson(self.provision_info.provision_info.pipeline_options)
        self._process = start_worker(self.worker_id, options, self.control_address)
        threading.Thread(target=self._watch, args=(self._process,), name="watch a worker", daemon=True).start()

    def close(self) -> None:
        self._done.set()
        super().close()

    def stop_worker(self) -> None:
        if self._process is not None:
            end_worker(self._process)

    def _watch(self, process: subprocess.Popen[bytes]) -> None:
        process.wait()
        if self._done.is_set():
            return
        error = note_loss(process)
        for worker in list(self.control_handler._worker_manager._workers_by_id.values()):
            worker.stop_worker()
        while not self._done.wait(SECONDS_BETWEEN_ANSWERS):
            self._answer(error)

    def _answer(self, error: str) -> None:
        """Answer every open question to any worker with the error."""
        for connection in list(self.control_handler._connections_by_worker_id.values()):
            for name in list(connection._futures_by_id):
                future = connection._futures_by_id.pop(name, None)
                if future is not None:
                    future.set(beam_fn_api_pb2.InstructionResponse(instruction_id=name, error=error))
