"""What may stand behind `--`."""

from __future__ import annotations

import pytest
from apache_beam.options.pipeline_options import DirectOptions, StandardOptions

from pipelines.beam_options import beam_options
from schemas.errors import ConfigError


def test_the_local_runner_is_named() -> None:
    assert beam_options([]).view_as(StandardOptions).runner == "FnApiRunner"


def test_another_runner_can_be_chosen() -> None:
    chosen = beam_options(["--runner=FlinkRunner", "--flink_master=localhost:8081"])
    assert chosen.view_as(StandardOptions).runner == "FlinkRunner"


def test_workers_are_processes_of_the_local_runner() -> None:
    assert beam_options([], workers=3).view_as(DirectOptions).direct_num_workers == 3


@pytest.mark.parametrize(
    ("words", "workers", "message"),
    [
        (["--direct_running_mode=multi_threading"], 1, "loses records"),
        (["--direct_running_mode", "multi_threading", "--runner=DirectRunner"], 1, "loses records"),
        (["--runer=FlinkRunner"], 1, "knows no option '--runer=FlinkRunner'"),
        (["--shards", "5"], 1, "knows no option '--shards'"),
        (["--run=FlinkRunner"], 1, "knows no option"),
        (["stray"], 1, "knows no option 'stray'"),
        (["--direct_num_workers=many"], 1, "invalid int value: 'many'"),
        (["--runner=FlinkRunner"], 2, "--workers is for FnApiRunner"),
        ([], 0, "--workers is 0"),
    ],
)
def test_mistakes_are_told(words: list[str], workers: int, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        beam_options(words, workers=workers)
