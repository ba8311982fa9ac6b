"""What may stand behind `--`."""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import (
    DirectOptions,
    FlinkRunnerOptions,
    JobServerOptions,
    PortableOptions,
    PrismRunnerOptions,
    StandardOptions,
)

from pipelines.beam_options import beam_options, make_pipeline
from schemas.errors import ConfigError


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder with programs of every engine, and no other place to look for them."""
    for name in ("WORDTREE_FLINK_JAR", "WORDTREE_PRISM"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    folder, programs = tmp_path / "wordtree", tmp_path / "bin"
    folder.mkdir()
    programs.mkdir()
    for path in (folder / jar_name(), folder / f"prism-{beam.__version__}", programs / "java"):
        path.write_bytes(b"")
        path.chmod(0o755)
    monkeypatch.setenv("PATH", str(programs))
    return folder


def jar_name() -> str:
    return f"beam-runners-flink-1.20-job-server-{beam.__version__}.jar"


def test_the_local_runner_is_named() -> None:
    assert beam_options([]).view_as(StandardOptions).runner == "FnApiRunner"


def test_another_runner_can_be_chosen() -> None:
    chosen = beam_options(["--runner=FlinkRunner", "--flink_master=localhost:8081"])
    assert chosen.view_as(StandardOptions).runner == "FlinkRunner"
    assert chosen.view_as(FlinkRunnerOptions).parallelism == -1


def test_a_local_flink_gets_its_programs_and_as_many_tasks_as_workers(cache: Path) -> None:
    chosen = beam_options(["--runner=FlinkRunner"], workers=3)
    assert chosen.view_as(FlinkRunnerOptions).flink_job_server_jar == str(cache / jar_name())
    assert chosen.view_as(JobServerOptions).job_server_java_launcher == str(cache.parent / "bin" / "java")
    assert chosen.view_as(FlinkRunnerOptions).parallelism == 3
    assert int(chosen.view_as(PortableOptions).sdk_worker_parallelism) == 3


def test_parallelism_is_another_word_for_workers() -> None:
    chosen = beam_options(["--runner=FlinkRunner", "--parallelism=2", "--flink_master=[local]"])
    assert chosen.view_as(FlinkRunnerOptions).parallelism == 2
    assert int(chosen.view_as(PortableOptions).sdk_worker_parallelism) == 2


def test_a_job_server_that_runs_already_needs_no_programs(cache: Path) -> None:
    (cache / jar_name()).unlink()
    chosen = beam_options(["--runner=FlinkRunner", "--job_endpoint=localhost:8099"])
    assert chosen.view_as(FlinkRunnerOptions).flink_job_server_jar is None


def test_prism_is_found(cache: Path) -> None:
    chosen = beam_options(["--runner=PrismRunner"])
    assert chosen.view_as(PrismRunnerOptions).prism_location == str(cache / f"prism-{beam.__version__}")


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
        (
            ["--runner=FlinkRunner", "--flink_master=localhost:8081"],
            2,
            "--workers is for FnApiRunner and a local Flink",
        ),
        (["--runner=PrismRunner"], 2, "--workers is for FnApiRunner and a local Flink"),
        (["--runner=FlinkRunner", "--parallelism=3"], 2, "--workers is 2 and --parallelism is 3; give one"),
        (
            ["--runner=FlinkRunner", "--flink_job_server_jar=none.jar"],
            1,
            "jar is 'none.jar', but there is no such file",
        ),
        (["--runner=FlinkRunner", "--job_server_java_launcher=jawa"], 1, "needs Java, and there is no 'jawa' to start"),
        (["--runner=PrismRunner", "--prism_location=none"], 1, "--prism_location is 'none', but there is no such file"),
        (["--runner=DataflowRunner", "--dry_run=True"], 1, "give --dry-run before the `--`"),
        ([], 0, "--workers is 0"),
    ],
)
def test_mistakes_are_told(words: list[str], workers: int, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        beam_options(words, workers=workers)


@pytest.mark.parametrize("runner", ["FlinkRunner", "PrismRunner"])
def test_a_program_that_is_not_there_is_one_line_that_says_how_to_get_it(cache: Path, runner: str) -> None:
    for path in cache.iterdir():
        path.unlink()
    with pytest.raises(ConfigError, match=rf"of Beam {beam.__version__} was not found; fetch it with scripts/") as told:
        make_pipeline([f"--runner={runner}"])
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["--runner=SparkRunner"], "it is not here.*or its jar with --spark_job_server_jar=FILE"),
        (["--runner=SparkRunner", "--spark_job_server_jar=gone.jar"], "found no file 'gone.jar'"),
        (["--runner=KafkaStreamsRunner"], "or its jar with --kafka_streams_job_server_jar=FILE"),
        (["--runner=PortableRunner"], r"give --job_endpoint=HOST:PORT of one that runs\."),
    ],
)
def test_a_job_server_that_cannot_be_had_is_one_line(words: list[str], found: str) -> None:
    with pytest.raises(ConfigError, match=f"after `--`: .* needs a job server: .*{found}"):
        beam_options(words)


def test_a_job_server_of_another_runner_is_taken(cache: Path) -> None:
    (cache / "spark.jar").write_bytes(b"")
    for words in ([f"--spark_job_server_jar={cache / 'spark.jar'}"], ["--job_endpoint=localhost:1"]):
        assert beam_options(["--runner=SparkRunner", *words]).view_as(StandardOptions).runner == "SparkRunner"


def test_java_that_is_not_there_is_one_line(cache: Path) -> None:
    (cache.parent / "bin" / "java").unlink()
    with pytest.raises(ConfigError, match="Flink needs Java, and there is no 'java' to start"):
        make_pipeline(["--runner=FlinkRunner"])


def test_engines_on_this_machine_are_ours_and_those_elsewhere_are_beams() -> None:
    def home(*words: str) -> str:
        runner = make_pipeline([*words]).runner
        assert runner is not None
        return type(runner).__module__

    assert home("--runner=FlinkRunner") == home("--runner=PrismRunner") == "pipelines.engines.local"
    elsewhere = ("--runner=FlinkRunner", "--flink_master=localhost:8081")
    assert home(*elsewhere) == "apache_beam.runners.portability.flink_runner"
    assert home("--runner=FlinkRunner", "--environment_type=DOCKER").startswith("apache_beam.")


PAGE = Path(__file__).resolve().parents[2] / "docs" / "engines.md"
DOCUMENTED = [
    shlex.split(command)
    for block in re.findall(r"```text\n(.*?)```", PAGE.read_text(), re.DOTALL)
    for command in block.replace("\\\n", " ").splitlines()
    if command.startswith("wordtree")
]


@pytest.mark.parametrize("words", DOCUMENTED, ids=lambda words: words[words.index("--") + 1])
def test_the_documented_commands_are_understood(words: list[str]) -> None:
    assert len(DOCUMENTED) == 4
    ours, beams = words[: words.index("--")], words[words.index("--") + 1 :]
    workers = int(ours[ours.index("--workers") + 1]) if "--workers" in ours else 1
    chosen = beam_options(beams, workers=workers)
    assert f"--runner={chosen.view_as(StandardOptions).runner}" in beams


def test_runner_and_workers_speak_past_the_proxy_of_the_web(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("no_grpc_proxy", raising=False)
    monkeypatch.setenv("no_proxy", "intern.example,localhost")
    for _ in range(2):
        make_pipeline([])
        assert dict(os.environ)["no_grpc_proxy"] == "intern.example,localhost,127.0.0.1,::1"
