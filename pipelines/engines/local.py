"""Flink and Prism on this machine, with workers that are processes of this Python.

Both are Beam's own runners. What differs: workers come from `worker_pool`, the engine is on a leash and ends with this
process, and Flink starts a failed job again, from the beginning, a few times. A shard that is whole is not written
twice, so a retry goes on where the shards end (rule R11).
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import apache_beam as beam
import grpc
from apache_beam.options.pipeline_options import FlinkRunnerOptions, PipelineOptions, PortableOptions
from apache_beam.portability import python_urns
from apache_beam.runners.portability import flink_runner, portable_runner, prism_runner
from apache_beam.runners.portability.job_server import JobServer, StopOnExitJobServer
from apache_beam.transforms.environments import ExternalEnvironment

from pipelines.engines import leash, programs
from pipelines.engines.worker_pool import WorkerPool
from pipelines.engines.worker_process import losses
from schemas.errors import OutputError
from wordtree.processes import python

RETRIES = 3
FLINK_SETTINGS = f"""\
restart-strategy.type: fixed-delay
restart-strategy.fixed-delay.attempts: {RETRIES}
restart-strategy.fixed-delay.delay: 1 s
"""


def _on_a_leash(words: list[str]) -> list[str]:
    return python(leash.__file__, str(os.getpid()), *words)


def _process_workers(
    pipeline: Any, options: PipelineOptions, replacements: int, give_up: Callable[[], None]
) -> list[Callable[[], None]]:
    """Put a worker pool in the place of each loopback environment; gives what ends them."""
    ends: list[Callable[[], None]] = []
    for environment in pipeline.components.environments.values():
        if environment.urn == python_urns.EMBEDDED_PYTHON_LOOPBACK:
            pool = WorkerPool(options, replacements=replacements, give_up=give_up)
            ends.append(pool.stop)
            external = ExternalEnvironment(pool.address).to_runner_api(None)  # pyright: ignore[reportCallIssue]
            environment.urn, environment.payload = external.urn, external.payload
    return ends


def _until_it_breaks(messages: Iterator[Any]) -> Iterator[Any]:
    """What the engine says, as long as it is there; a thread of Beam's reads it and would print a traceback."""
    with contextlib.suppress(grpc.RpcError):
        yield from messages


def _told_when_it_ends(result: Any, engine: str) -> portable_runner.PipelineResult:
    """Make the end of an engine's process an error for people: what is written stays, and the run can be resumed."""
    wait = result.wait_until_finish

    def wait_until_finish(duration: int | None = None) -> Any:
        try:
            return wait(duration)
        except grpc.RpcError as error:
            if losses:  # it ended with its worker
                raise
            raise OutputError(f"{engine} ended before the job did; run the same command again to resume") from error

    result.wait_until_finish = wait_until_finish
    result._message_stream = _until_it_breaks(result._message_stream)
    return result


class _FlinkJobServer(flink_runner.FlinkJarJobServer):
    def java_arguments(self, job_port: Any, artifact_port: Any, expansion_port: Any, artifacts_dir: Any) -> list[str]:
        settings = Path(self.local_temp_dir(prefix="flink"))
        for name in ("flink-conf.yaml", "config.yaml"):  # Flink 1 and Flink 2
            (settings / name).write_text(FLINK_SETTINGS)
        words = super().java_arguments(job_port, artifact_port, expansion_port, artifacts_dir)
        return [*words, "--flink-conf-dir", str(settings)]

    def subprocess_cmd_and_endpoint(self) -> tuple[list[str], str]:
        words, endpoint = super().subprocess_cmd_and_endpoint()
        return _on_a_leash(words), endpoint


class _WarningsOfPrism(prism_runner.PrismRunnerLogFilter):
    """No chatter; and no errors, which are raised too."""

    def filter(self, record: logging.LogRecord) -> bool:
        super().filter(record)  # gives the record the level that Prism wrote
        return record.levelno == logging.WARNING


class _PrismServer(prism_runner.PrismJobServer):
    def __init__(self, options: PipelineOptions) -> None:
        super().__init__(options)
        if self._log_filter is not None:
            self._log_filter = _WarningsOfPrism()

    def subprocess_cmd_and_endpoint(self) -> tuple[list[str], str]:
        words, endpoint = super().subprocess_cmd_and_endpoint()
        return _on_a_leash(words), endpoint


class FlinkRunner(flink_runner.FlinkRunner):
    """Flink inside the job server's process, with `--parallelism` worker processes."""

    def default_job_server(self, options: PipelineOptions) -> JobServer:
        """The job server, on a leash; says so if it is of another Beam."""
        note = programs.described(options.view_as(FlinkRunnerOptions).flink_job_server_jar).note(beam.__version__)
        if note:
            print(note, file=sys.stderr)
        self._server = StopOnExitJobServer(_FlinkJobServer(options))
        return self._server

    def start_and_replace_loopback_environments(  # type: ignore[override]
        self, pipeline: Any, options: PipelineOptions
    ) -> list[Callable[[], None]]:
        """Workers as processes."""
        return _process_workers(pipeline, options, RETRIES, lambda: self._server.stop())

    def run_portable_pipeline(self, pipeline: Any, options: PipelineOptions) -> portable_runner.PipelineResult:
        """Run it; the end of Flink's own process is told in one line."""
        return _told_when_it_ends(super().run_portable_pipeline(pipeline, options), "Flink")


class PrismRunner(prism_runner.PrismRunner):
    """Prism in a process of its own, with one worker process; it ends with its worker, which it would wait for."""

    def default_job_server(self, options: PipelineOptions) -> JobServer:
        """Prism, on a leash."""
        self._server = StopOnExitJobServer(_PrismServer(options))
        return self._server

    def start_and_replace_loopback_environments(  # type: ignore[override]
        self, pipeline: Any, options: PipelineOptions
    ) -> list[Callable[[], None]]:
        """Workers as processes."""
        return _process_workers(pipeline, options, 0, lambda: self._server.stop())

    def run_portable_pipeline(self, pipeline: Any, options: PipelineOptions) -> portable_runner.PipelineResult:
        """Run it; the end of Prism's own process, or of its worker, is told in one line."""
        return _told_when_it_ends(super().run_portable_pipeline(pipeline, options), "Prism")


def takes_loopback(options: PipelineOptions) -> bool:
    """Whether workers are to be started by this process: no other environment was asked for."""
    portable = options.view_as(PortableOptions)
    return portable.environment_type in (None, "LOOPBACK") and not portable.output_executable_path
