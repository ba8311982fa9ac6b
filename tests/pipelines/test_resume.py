"""Whole or not at all (rule R11): a conversion that is killed is resumed, and nobody can tell from the bytes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipelines.plan import Options, Plan, make_plan
from pipelines.sources.coco import Source
from pipelines.writing import work_path
from schemas.errors import OutputError

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = "import sys; from pipelines.convert import convert; {slow}; from pipelines.plan import *; " + (
    "from pipelines.sources.coco import Source; "
    "convert(make_plan(Source(*sys.argv[1:3]), sys.argv[3], Options(shards=12)))"
)
SLOW = "import time, pipelines.checks as c, pipelines.writing as w; f = c.examine; "
SLOW += "w.examine = lambda *a, **k: (time.sleep(0.01), f(*a, **k))[1]"


@pytest.fixture
def dataset(coco: Any) -> list[str]:
    for number in range(1, 241):
        coco.image(number)
        coco.box(number)
    coco.image(999, data=b"")
    words = coco.write()
    return [words[1], words[3]]


def plan_for(dataset: list[str], out: Path) -> Plan:
    return make_plan(Source(*dataset), str(out), Options(shards=12))


@pytest.mark.slow
def test_a_killed_conversion_ends_with_the_same_bytes(
    dataset: list[str], tmp_path: Path, digests: Callable[[Path], Any]
) -> None:
    from pipelines.convert import convert

    convert(plan_for(dataset, tmp_path / "undisturbed"))
    out = tmp_path / "killed"
    words = [sys.executable, "-c", SCRIPT.format(slow=SLOW), *dataset, str(out)]
    process = subprocess.Popen(words, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, stderr=subprocess.DEVNULL)
    until = time.monotonic() + 60
    while len(list(out.glob(".work/*.report.json"))) < 3:
        assert process.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < until, "it wrote nothing"
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (out / "manifest.json").exists()
    done = {path: path.stat().st_mtime_ns for path in out.glob("*.tfrecord")}
    assert 0 < len(done) < 12
    finished = [path for path in done if (out / ".work" / f"{path.name}.report.json").exists()]
    convert(plan_for(dataset, out))
    assert digests(out) == digests(tmp_path / "undisturbed")
    assert all(path.stat().st_mtime_ns == done[path] for path in finished), "finished shards were written again"


def unfinished(dataset: list[str], out: Path) -> Plan:
    """An output whose shards are written and whose assembly never began."""
    import apache_beam as beam

    from pipelines import assembling
    from pipelines.beam_options import beam_options
    from pipelines.convert import build

    plan = plan_for(dataset, out)
    assembling.begin(plan)
    with beam.Pipeline(options=beam_options([])) as pipeline:
        build(pipeline, plan.job)
    return plan


@pytest.mark.parametrize("damage", ["shard gone", "shard cut", "report gone", "report cut", "temporary file left"])
def test_only_what_is_damaged_is_written_again(
    dataset: list[str], tmp_path: Path, digests: Callable[[Path], Any], damage: str
) -> None:
    from pipelines.convert import convert

    out = tmp_path / "out"
    plan = unfinished(dataset, out)
    shard, report = out / "train-00003-of-00012.tfrecord", Path(work_path(plan.job, 3, "report.json"))
    if damage == "shard gone":
        shard.unlink()
    elif damage == "shard cut":
        shard.write_bytes(shard.read_bytes()[:-1])
    elif damage == "report gone":
        report.unlink()
    elif damage == "report cut":
        report.write_bytes(report.read_bytes()[:-7])
    else:
        (out / ".work" / "tmp-train-00003").write_bytes(b"half")
    others = {path: path.stat().st_mtime_ns for path in out.glob("*.tfrecord") if path != shard}
    convert(plan)
    assert {path: path.stat().st_mtime_ns for path in others} == others
    convert(plan_for(dataset, tmp_path / "undisturbed"))
    assert digests(out) == digests(tmp_path / "undisturbed")


def test_an_unfinished_output_of_other_options_is_not_resumed(dataset: list[str], tmp_path: Path) -> None:
    from pipelines.convert import convert

    out = tmp_path / "out"
    unfinished(dataset, out)
    other = make_plan(Source(*dataset), str(out), Options(shards=5))
    with pytest.raises(OutputError, match=r"unfinished dataset that was begun differently: shards was 12, now 5"):
        convert(other)
    assert len(convert(other, force=True).manifest.shards) == 5
    assert len(list(out.glob("*.tfrecord"))) == 5


def test_an_unfinished_output_is_resumed_whatever_the_way_to_its_input(
    dataset: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipelines.convert import convert

    out = tmp_path / "out"
    unfinished(dataset, out)
    written = {path: path.stat().st_mtime_ns for path in out.glob("*.tfrecord")}
    monkeypatch.chdir(tmp_path)
    near = [os.path.relpath(path, tmp_path) for path in dataset]
    convert(make_plan(Source(*near), "out", Options(shards=12)))
    assert {path: path.stat().st_mtime_ns for path in written} == written
    assert (out / "manifest.json").exists()


def test_work_files_left_beside_a_manifest_are_removed(dataset: list[str], tmp_path: Path) -> None:
    from pipelines.convert import convert

    plan = plan_for(dataset, tmp_path / "out")
    convert(plan)
    (tmp_path / "out" / ".work").mkdir()
    assert convert(plan).was_complete
    assert not (tmp_path / "out" / ".work").exists()


INTERRUPTED = "import sys; from wordtree.command import main; {slow}; sys.exit(main(sys.argv[1:]))"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interruption_is_one_line(dataset: list[str], tmp_path: Path, number: signal.Signals, code: int) -> None:
    out = tmp_path / "interrupted"
    words = ["convert", "coco", str(out), "--annotations", dataset[0], "--images", dataset[1], "--shards", "12"]
    process = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED.format(slow=SLOW), *words],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    until = time.monotonic() + 60
    while not list(out.glob(".work/*.report.json")):
        assert process.poll() is None, "it ended before it could be interrupted"
        assert time.monotonic() < until, "it wrote nothing"
        time.sleep(0.005)
    process.send_signal(number)
    _, told = process.communicate(timeout=60)
    assert process.returncode == code
    assert told == "wordtree convert: interrupted; run the same command again to resume\n"
