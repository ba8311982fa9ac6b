"""From the command line to Beam's options: the local runner by name, and strictness behind `--`.

The runner is named because Beam's default, DirectRunner, tries first to download another one and behaves differently
where that works. The mode `multi_threading` is refused: with Beam 2.77 it ends well and has lost records.
"""

from __future__ import annotations

import logging
import shlex
import sys
from collections.abc import Sequence
from typing import NoReturn

import apache_beam as beam
from apache_beam.options.pipeline_options import DirectOptions, PipelineOptions, StandardOptions, _BeamArgumentParser
from apache_beam.runners.portability.fn_api_runner.fn_runner import FnApiRunner
from apache_beam.runners.runner import PipelineRunner
from apache_beam.transforms.environments import SubprocessSDKEnvironment

from schemas.errors import ConfigError

LOCAL_RUNNER = "FnApiRunner"
_TRACEBACK_LOGGERS = (
    "apache_beam.runners.common",
    "apache_beam.runners.portability.fn_api_runner",
    "apache_beam.runners.portability.local_job_service",
    "apache_beam.runners.worker",
)


class _StrictParser(_BeamArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ConfigError(f"after `--`: {message}")


def beam_options(words: Sequence[str], *, workers: int = 1) -> PipelineOptions:
    """Options for a run.

    Args:
        words: what stands after `--` on the command line.
        workers: processes of the local runner.

    Raises:
        ConfigError: for a word that Beam does not know, a mode that loses records, or workers for another runner.
    """
    if workers < 1:
        raise ConfigError(f"--workers is {workers}; expected 1 or more")
    known = _known(words)
    standard, direct = known.view_as(StandardOptions), known.view_as(DirectOptions)
    if direct.direct_running_mode == "multi_threading":
        raise ConfigError(
            "--direct_running_mode=multi_threading loses records without an error (seen with Beam 2.77); use --workers"
        )
    flags: list[str] = []
    if standard.runner is None:
        flags.append(f"--runner={LOCAL_RUNNER}")
    elif standard.runner.rsplit(".", 1)[-1] != LOCAL_RUNNER and workers > 1:
        raise ConfigError(f"--workers is for {LOCAL_RUNNER}; {standard.runner} has flags of its own for this")
    if workers > 1:
        flags.append(f"--direct_num_workers={workers}")
    return PipelineOptions([*flags, *words])


def make_pipeline(words: Sequence[str], *, workers: int = 1) -> beam.Pipeline:
    """An empty pipeline with its runner; options that the runner misses are told here, before anything is written.

    Raises:
        ConfigError: see `beam_options`; or if there is no such runner, or it misses an option.
    """
    options = beam_options(words, workers=workers)
    if options.view_as(StandardOptions).runner == LOCAL_RUNNER:
        for name in _TRACEBACK_LOGGERS:  # what they log, this runner raises too
            logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        return beam.Pipeline(runner=local_runner(workers), options=options)
    except (ValueError, ImportError, AttributeError) as error:
        raise ConfigError(f"after `--`: {' '.join(str(error).split())}") from error


def local_runner(workers: int) -> PipelineRunner | None:
    """The runner for several processes on this machine; None for one, where Beam's options say enough.

    Does what --direct_running_mode=multi_processing does, with `pipelines.worker` in place of Beam's noisy worker.
    """
    if workers == 1:
        return None
    # Beam warns that several workers need a running mode; here the environment decides that.
    logging.getLogger("apache_beam.runners.portability.fn_api_runner.fn_runner").setLevel(logging.ERROR)
    command = f"{shlex.quote(sys.executable)} -m pipelines.worker"
    return FnApiRunner(default_environment=SubprocessSDKEnvironment.from_command_string(command))


def _known(words: Sequence[str]) -> PipelineOptions:
    parser = _StrictParser(prog="wordtree convert ... --", allow_abbrev=False, add_help=False)
    for group in {str(group): group for group in PipelineOptions.__subclasses__()}.values():
        group._add_argparse_args(parser)
    _, unknown = parser.parse_known_args(list(words))
    if unknown:
        raise ConfigError(
            f"after `--`: Beam knows no option {unknown[0]!r}; options of `wordtree convert` stand before the `--`"
        )
    return PipelineOptions(list(words))
