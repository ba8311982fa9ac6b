"""Where the programs of the engines are looked for, and the leash that ends them."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipelines.engines.programs import cache_folder, described, find_flink_jar, find_prism
from schemas.errors import ConfigError

ROOT = Path(__file__).resolve().parents[3]
BEAM = "2.77.0"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The environment of somebody with an empty home."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return {"XDG_CACHE_HOME": str(tmp_path)}


def put(folder: Path, *names: str) -> Path:
    path = folder.joinpath(*names)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"")
    return path


def test_the_flag_goes_before_the_variable_and_that_before_the_cache(tmp_path: Path, home: dict[str, str]) -> None:
    cached = put(tmp_path, "wordtree", f"beam-runners-flink-1.20-job-server-{BEAM}.jar")
    told, said = put(tmp_path, "variable.jar"), put(tmp_path, "flag.jar")
    assert find_flink_jar("", BEAM, environment=home).path == str(cached)
    home["WORDTREE_FLINK_JAR"] = str(told)
    assert find_flink_jar("", BEAM, environment=home).path == str(told)
    assert find_flink_jar(str(said), BEAM, environment=home).path == str(said)


def test_the_job_server_of_this_beam_goes_before_one_that_was_put_together(
    tmp_path: Path, home: dict[str, str]
) -> None:
    older = put(tmp_path, "wordtree", "flink-1.19-beam-2.9.0", "job-server.jar")
    assert find_flink_jar("", BEAM, environment=home).path == str(older)
    newer = put(tmp_path, "wordtree", "flink-1.19-beam-2.62.0", "job-server.jar")
    assert find_flink_jar("", BEAM, environment=home).path == str(newer)
    own = put(tmp_path / "home", ".apache_beam", "cache", "jars", f"beam-runners-flink-1.19-job-server-{BEAM}.jar")
    assert find_flink_jar("", BEAM, environment=home).path == str(own)
    put(tmp_path, "wordtree", "beam-runners-flink-1.20-job-server-2.76.0.jar")
    assert find_flink_jar("", BEAM, environment=home).path == str(own), "one of another Beam was taken by itself"
    exact = put(tmp_path, "wordtree", f"beam-runners-flink-1.20-job-server-{BEAM}.jar")
    assert find_flink_jar("", BEAM, environment=home).path == str(exact)


def test_a_jar_that_only_names_its_libraries_is_not_sent_to_a_cluster(tmp_path: Path, home: dict[str, str]) -> None:
    put(tmp_path, "wordtree", "flink-1.19-beam-2.62.0", "job-server.jar")
    with pytest.raises(ConfigError, match="was not found"):
        find_flink_jar("", BEAM, whole=True, environment=home)


def test_people_are_told_of_a_job_server_of_another_beam() -> None:
    assert described(f"/x/beam-runners-flink-1.20-job-server-{BEAM}.jar").note(BEAM) == ""
    assert described("/x/own.jar").note(BEAM) == ""
    note = described("/x/flink-1.19-beam-2.62.0/job-server.jar").note(BEAM)
    assert note == "Flink 1.19: its job server is of Beam 2.62.0, the workers are of Beam 2.77.0"


@pytest.mark.parametrize(
    ("name", "find"), [("WORDTREE_FLINK_JAR", find_flink_jar), ("WORDTREE_PRISM", find_prism)], ids=["flink", "prism"]
)
def test_a_variable_that_leads_nowhere_is_named(name, find, home: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match=f"{name} is 'nowhere', but there is no such file"):
        find("", BEAM, environment={**home, name: "nowhere"})


def test_the_cache_folder_is_where_programs_keep_theirs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder({}) == tmp_path / ".cache" / "wordtree"
    assert cache_folder({"XDG_CACHE_HOME": "/c"}) == Path("/c/wordtree")


def alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at processes in /proc")
def test_a_program_on_a_leash_ends_with_the_process_that_asked_for_it(tmp_path: Path) -> None:
    asker = (
        "import os, subprocess, sys; subprocess.Popen([sys.executable, '-m', 'pipelines.engines.leash', "
        "str(os.getpid()), 'sh', '-c', f'echo $$ > {sys.argv[1]}.new; mv {sys.argv[1]}.new {sys.argv[1]}; "
        "exec sleep 600']).wait()"
    )
    told = tmp_path / "pid"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen([sys.executable, "-c", asker, str(told)], env=environment)
    until = time.monotonic() + 60
    while not told.exists():
        assert time.monotonic() < until, "it did not start"
        time.sleep(0.02)
    program = int(told.read_text())
    assert alive(program)
    process.kill()
    process.wait()
    while alive(program):
        assert time.monotonic() < until, "it outlived the process that asked for it"
        time.sleep(0.02)


def test_a_leash_gives_the_program_s_own_exit_code() -> None:
    words = [sys.executable, "-m", "pipelines.engines.leash", str(os.getpid()), "sh", "-c", "exit 7"]
    assert subprocess.run(words, env={**os.environ, "PYTHONPATH": str(ROOT)}).returncode == 7
