"""From the command line to Beam's options: the runner by name, its programs found, and strictness behind `--`.

The runner is named because Beam's default, DirectRunner, tries first to download another one and behaves differently
where that works. The mode `multi_threading` is refused: with Beam 2.77 it ends well and has lost records.

Flink and Prism on this machine are `pipelines.engines.local`; their programs are found, never downloaded, in a run.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from typing import NoReturn

import apache_beam as beam
from apache_beam.options.pipeline_options import (
    DirectOptions,
    FlinkRunnerOptions,
    JobServerOptions,
    PipelineOptions,
    PortableOptions,
    PrismRunnerOptions,
    StandardOptions,
    TestOptions,
    _BeamArgumentParser,
)
from apache_beam.runners.portability.fn_api_runner.fn_runner import FnApiRunner
from apache_beam.runners.runner import PipelineRunner
from apache_beam.transforms.environments import SubprocessSDKEnvironment

import pipelines.engines.watched_workers  # noqa: F401  # a worker of the local runner that dies ends the run
from pipelines.engines import programs
from schemas.errors import ConfigError

LOCAL_RUNNER = "FnApiRunner"
_OF_LOCAL_RUNNER = ("DirectRunner", "SwitchingDirectRunner")  # which hand the pipeline on to it
FLINK, PRISM = "FlinkRunner", "PrismRunner"
_JARS = {
    "SparkRunner": "spark_job_server_jar",
    "KafkaStreamsRunner": "kafka_streams_job_server_jar",
    "PortableRunner": "",
}
_FLINK_HERE = ("[local]", "[auto]")
_PROXY_VARIABLE = "no_grpc_proxy"
_THIS_MACHINE = ("localhost", "127.0.0.1", "::1")
_TRACEBACK_LOGGERS = (
    "apache_beam.runners.common",
    "apache_beam.runners.portability.fn_api_runner",
    "apache_beam.runners.portability.local_job_service",
    "apache_beam.runners.worker",
)
_ENGINE_LOGGERS = ("apache_beam.utils.subprocess_server",)


class _StrictParser(_BeamArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ConfigError(f"after `--`: {message}")


def beam_options(words: Sequence[str], *, workers: int = 1) -> PipelineOptions:
    """Options for a run.

    Args:
        words: what stands after `--` on the command line.
        workers: processes of the local runner, or of Flink on this machine.

    Raises:
        ConfigError: for a word that Beam does not know, a mode that loses records, workers for a runner elsewhere, or a
            runner whose programs or job server are not there.
    """
    if workers < 1:
        raise ConfigError(f"--workers is {workers}; expected 1 or more")
    known = _known(words)
    standard, direct = known.view_as(StandardOptions), known.view_as(DirectOptions)
    if direct.direct_running_mode == "multi_threading":
        raise ConfigError(
            "--direct_running_mode=multi_threading loses records without an error (seen with Beam 2.77); use --workers"
        )
    if known.view_as(TestOptions).dry_run:
        raise ConfigError("--dry_run of Beam writes nothing that could be assembled; give --dry-run before the `--`")
    flags: list[str] = []
    runner = (standard.runner or LOCAL_RUNNER).rsplit(".", 1)[-1]
    if standard.runner is None:
        flags.append(f"--runner={LOCAL_RUNNER}")
    elif runner == FLINK and is_local_flink(known):
        flags += _local_flink_flags(known, workers)
    elif runner != LOCAL_RUNNER and workers > 1:
        raise ConfigError(
            f"--workers is for {LOCAL_RUNNER} and a local {FLINK}; {standard.runner} has flags of its own for this"
        )
    if runner == FLINK and known.view_as(PortableOptions).job_endpoint is None:
        flags += _flink_program_flags(known)
    elif runner == PRISM and known.view_as(PortableOptions).job_endpoint is None:
        flag = known.view_as(PrismRunnerOptions).prism_location
        flags.append(f"--prism_location={programs.find_prism(flag or '', beam.__version__)}")
    elif runner in _JARS and known.view_as(PortableOptions).job_endpoint is None:
        _check_job_server(known, runner)
    if workers > 1 and runner == LOCAL_RUNNER:
        flags.append(f"--direct_num_workers={workers}")
    return PipelineOptions([*words, *flags])


def is_local_flink(options: PipelineOptions) -> bool:
    """Whether Flink runs inside a job server on this machine, with workers that this process starts."""
    from pipelines.engines.local import takes_loopback

    master = options.view_as(FlinkRunnerOptions).flink_master.strip()
    return master in _FLINK_HERE and takes_loopback(options)


def _local_flink_flags(known: PipelineOptions, workers: int) -> list[str]:
    """As many tasks side by side as worker processes: --workers, unless --parallelism says it."""
    told = known.view_as(FlinkRunnerOptions).parallelism
    if told > 0 and workers not in (1, told):
        raise ConfigError(f"--workers is {workers} and --parallelism is {told}; give one of them")
    parallelism = told if told > 0 else workers
    processes = int(known.view_as(PortableOptions).sdk_worker_parallelism)
    return [f"--parallelism={parallelism}", f"--sdk_worker_parallelism={processes if processes > 1 else parallelism}"]


def _check_job_server(known: PipelineOptions, runner: str) -> None:
    """Beam would download a job server in the middle of a run.

    Raises:
        ConfigError: there is none.
    """
    option = _JARS[runner]
    jar = str(known.get_all_options().get(option) or "") if option else ""
    if jar and os.path.isfile(jar):
        programs.find_java(known.view_as(JobServerOptions).job_server_java_launcher)
        return
    found = f"found no file {jar!r}" if jar else "it is not here, and no run downloads one"
    way = f", or its jar with --{option}=FILE" if option else ""
    raise ConfigError(
        f"after `--`: {runner} needs a job server: {found}; give --job_endpoint=HOST:PORT of one that runs{way}. "
        "docs/engines.md names the engines that run here"
    )


def _flink_program_flags(known: PipelineOptions) -> list[str]:
    flink, java = known.view_as(FlinkRunnerOptions), known.view_as(JobServerOptions)
    sent = flink.flink_submit_uber_jar and flink.flink_master.strip() not in _FLINK_HERE
    jar = programs.find_flink_jar(flink.flink_job_server_jar or "", beam.__version__, whole=sent)
    flags = [f"--flink_job_server_jar={jar.path}"]
    if not sent:
        flags.append(f"--job_server_java_launcher={programs.find_java(java.job_server_java_launcher)}")
    return flags


def make_pipeline(words: Sequence[str], *, workers: int = 1) -> beam.Pipeline:
    """An empty pipeline with its runner; options that the runner misses are told here, before anything is written.

    Raises:
        ConfigError: see `beam_options`; or if there is no such runner, or it misses an option.
    """
    options = beam_options(words, workers=workers)
    name = str(options.view_as(StandardOptions).runner).rsplit(".", 1)[-1]
    if name in (LOCAL_RUNNER, *_OF_LOCAL_RUNNER):
        for logger in _TRACEBACK_LOGGERS:  # what they log, this runner raises too
            logging.getLogger(logger).setLevel(logging.CRITICAL)
    _no_proxy_on_this_machine()
    try:
        runner = local_runner(workers) if name == LOCAL_RUNNER else _engine(name, options)
        return beam.Pipeline(runner=runner, options=options)
    except (ValueError, ImportError, AttributeError) as error:
        raise ConfigError(f"after `--`: {' '.join(str(error).split())}") from error


def _no_proxy_on_this_machine() -> None:
    """Runners and workers speak gRPC on localhost; without this it would ask the web's proxy, and wait for ever."""
    told = next(filter(None, map(os.environ.get, (_PROXY_VARIABLE, "no_proxy", "NO_PROXY"))), "")
    hosts = [host for host in told.split(",") if host.strip()]
    os.environ[_PROXY_VARIABLE] = ",".join([*hosts, *(host for host in _THIS_MACHINE if host not in hosts)])


def local_runner(workers: int) -> PipelineRunner | None:
    """The runner for several processes on this machine; None for one, where Beam's options say enough.

    Does what --direct_running_mode=multi_processing does.
    """
    if workers == 1:
        return None
    # Beam warns that several workers need a running mode; here the environment decides that.
    logging.getLogger("apache_beam.runners.portability.fn_api_runner.fn_runner").setLevel(logging.ERROR)
    return FnApiRunner(default_environment=SubprocessSDKEnvironment.from_command_string("pipelines.worker"))


def _is_worth_saying(record: logging.LogRecord) -> bool:
    """Not that the runner waits, and not what an engine says of errors, which are raised too."""
    said_by_engine = record.module == "portable_runner" and record.levelno >= logging.ERROR
    return not said_by_engine and not str(record.msg).startswith("Waiting for grpc channel")


def _engine(name: str, options: PipelineOptions) -> PipelineRunner | None:
    """Flink or Prism on this machine; None for what Beam's options say enough about."""
    if name not in (FLINK, PRISM):
        return None
    from pipelines.engines import local

    logging.getLogger().addFilter(_is_worth_saying)
    for logger in _ENGINE_LOGGERS:  # they tell at the level of warnings that a program was started and stopped
        logging.getLogger(logger).setLevel(logging.ERROR)
    if name == PRISM:
        return local.PrismRunner()
    if not is_local_flink(options):
        return None
    return local.FlinkRunner()


def _known(words: Sequence[str]) -> PipelineOptions:
    parser = _StrictParser(prog="wordtree convert ... --", allow_abbrev=False, add_help=False)
    for group in {str(group): group for group in PipelineOptions.__subclasses__()}.values():
        group._add_argparse_args(parser)
    _, unknown = parser.parse_known_args(list(words))
    if unknown:
        raise ConfigError(
            f"after `--`: Beam knows no option {unknown[0]!r}; wordtree's own options stand before the `--`"
        )
    return PipelineOptions(list(words))
