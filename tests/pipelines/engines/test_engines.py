"""The same bytes on every engine, and after a worker or the engine was killed in the middle.

Flink and Prism are real ones on this machine; where their programs are absent these tests skip and say what to fetch.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import apache_beam as beam
import pytest

from pipelines.engines import leash
from pipelines.engines.programs import described, find_flink_jar, find_java, find_prism
from schemas.errors import ConfigError

# One worker: each of them wants the whole machine.
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("engines")]

ROOT = Path(__file__).resolve().parents[3]
SHARDS = 24
IMAGES = 900
FLINK = ["--workers", "2", "--", "--runner=FlinkRunner"]
PRISM = ["--", "--runner=PrismRunner"]
LOCAL_ENGINES = {
    "FnApiRunner, two processes": ["--workers", "2"],
    "DirectRunner": ["--", "--runner=DirectRunner"],
    "BundleBasedDirectRunner": ["--", "--runner=BundleBasedDirectRunner"],
}
# DirectRunner would download Prism; and runner and workers must reach each other past a proxy.
NO_NETWORK = {name: "http://localhost:9" for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY")}
SECONDS = 100.0

Digests = Callable[[Path], Mapping[str, str]]


@pytest.fixture(autouse=True)
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """One test at a time, also where pytest-xdist passes over the group (3.8 with pytest 9.2 does)."""
    folder = tmp_path_factory.getbasetemp()
    with (folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder).joinpath("engines.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@pytest.fixture(scope="module")
def flink() -> str:
    """The job server's path."""
    try:
        find_java("java")
        return find_flink_jar("", beam.__version__).path
    except ConfigError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def prism() -> str:
    """Prism's path."""
    try:
        return find_prism("", beam.__version__)
    except ConfigError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Words for a dataset with boxes to clip, boxes to reject, images to reject, and pixels enough to see who wrote."""
    import io

    from PIL import Image

    folder = tmp_path_factory.mktemp("engines")
    (folder / "images").mkdir()
    chance = random.Random(4)
    images: list[dict[str, Any]] = []
    boxes: list[dict[str, Any]] = []
    for number in range(1, IMAGES + 1):
        buffer = io.BytesIO()
        Image.frombytes("RGB", (24, 18), chance.randbytes(24 * 18 * 3)).save(buffer, "JPEG", quality=95)
        if number % 90 == 7:
            buffer = io.BytesIO(b"<html>gone</html>")
        if number % 90 != 8:
            (folder / "images" / f"{number}.jpg").write_bytes(buffer.getvalue())
        images.append({"id": number, "file_name": f"{number}.jpg", "width": 24, "height": 18})
        for bbox in ([1, 2, 9, 9], [20, 1, 9, 9], [3, 3, 0, 2])[: chance.randrange(4)]:
            box = {"id": len(boxes) + 1, "image_id": number, "category_id": chance.choice((1, 18)), "bbox": bbox}
            boxes.append({**box, "iscrowd": 0, "area": 81.0})
    chance.shuffle(images)
    chance.shuffle(boxes)
    names = [{"id": 1, "name": "person"}, {"id": 18, "name": "dog"}]
    parts = {"images": images, "annotations": boxes, "categories": names}
    (folder / "instances.json").write_text(json.dumps(parts))
    return ["--annotations", f"{folder}/instances.json", "--images", f"{folder}/images", "--shards", str(SHARDS)]


class Command:
    """`wordtree convert` in a process of its own, in a folder whose files are called like modules of Python's."""

    def __init__(self, source: list[str], out: Path, words: list[str], **environment: str) -> None:
        self.out = out
        for name in ("queue.py", "random.py", "logging.py"):
            (out.parent / name).write_text("raise SystemExit('the file of a user was run')")
        self.process = subprocess.Popen(
            [sys.executable, "-X", "faulthandler", "-m", "wordtree", "convert", "coco", str(out), *source, *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
            cwd=out.parent,
        )

    def done(self, code: int = 0) -> str:
        """What it printed, once it has ended with this code."""
        try:
            printed = self.process.communicate(timeout=SECONDS)[0]
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGABRT)  # prints the stacks of its threads
            pytest.fail(f"it did not end\n{self.process.communicate()[0]}")
        assert self.process.returncode == code, printed
        return printed

    def reports(self) -> int:
        return len(list(self.out.glob(".work/*.report.json")))

    def until_some_shards_are_written(self) -> None:
        end = time.monotonic() + SECONDS
        while self.reports() < 2:
            assert self.process.poll() is None, f"it ended before it could be killed\n{self.process.communicate()[0]}"
            assert time.monotonic() < end, "it wrote nothing"
            time.sleep(0.001)

    def first_worker(self) -> int:
        """A worker that has just been started, and is connected with nobody yet."""
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            assert self.process.poll() is None, f"it ended before a worker began\n{self.process.communicate()[0]}"
            for worker in children(self.process.pid, "pipelines.worker"):
                return worker
        raise AssertionError("no worker was started")

    def worker_inside_a_shard(self) -> int:
        """A worker that has a shard open, half written; it is stopped there."""
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            assert self.process.poll() is None, f"it ended before it could be killed\n{self.process.communicate()[0]}"
            for worker in children(self.process.pid, "pipelines.worker"):
                if self.holds_a_shard(worker):
                    os.kill(worker, signal.SIGSTOP)
                    if self.reports() >= 2 and self.holds_a_shard(worker):
                        return worker
                    os.kill(worker, signal.SIGCONT)
        raise AssertionError("no worker was seen to write")

    def holds_a_shard(self, worker: int) -> bool:
        with contextlib.suppress(OSError):
            return any(".tfrecord-" in os.readlink(path) for path in Path(f"/proc/{worker}/fd").iterdir())
        return False

    def written_by_workers(self) -> dict[int, int]:
        """Bytes that each worker process has written so far, by its id."""
        written = {}
        for process in children(self.process.pid, "pipelines.worker"):
            with contextlib.suppress(OSError):
                lines = Path(f"/proc/{process}/io").read_text().splitlines()
                written[process] = int(dict(line.split(": ") for line in lines)["wchar"])
        return written


def children(parent: int | None, word: str) -> Iterator[int]:
    """Processes whose command line holds the word; of this parent, if one is given."""
    for folder in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if folder.name.isdigit() and word in (folder / "cmdline").read_text().split("\0"):
                above = int((folder / "stat").read_text().rsplit(")", 1)[1].split()[1])
                if parent in (None, above):
                    yield int(folder.name)


def gone(processes: list[int]) -> bool:
    """Whether all of them end within a while."""
    end = time.monotonic() + 30
    while time.monotonic() < end:
        if not any(Path(f"/proc/{process}").exists() for process in processes):
            return True
        time.sleep(0.05)
    return False


@pytest.fixture(scope="module")
def undisturbed(source: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What one process of the local runner writes."""
    out = tmp_path_factory.mktemp("undisturbed") / "out"
    Command(source, out, []).done()
    return out


@pytest.fixture
def same(undisturbed: Path, digests: Digests) -> Callable[[Path], None]:
    """Fails unless every file is there with the same bytes, the manifest too, and no other."""
    wanted = digests(undisturbed)
    assert {"manifest.json", "rejects.jsonl", "labels.pbtxt", "train.index.parquet"} <= wanted.keys()
    assert sum(name.endswith(".tfrecord") for name in wanted) == SHARDS

    def compare(out: Path) -> None:
        assert digests(out) == wanted

    return compare


@pytest.mark.parametrize("words", LOCAL_ENGINES.values(), ids=LOCAL_ENGINES)
def test_local_runners_write_the_same_bytes(
    source: list[str], tmp_path: Path, same: Callable[[Path], None], words: list[str]
) -> None:
    Command(source, tmp_path / "out", words, **NO_NETWORK).done()
    same(tmp_path / "out")


def test_prism_writes_the_same_bytes(
    prism: str, source: list[str], tmp_path: Path, same: Callable[[Path], None]
) -> None:
    printed = Command(source, tmp_path / "out", [*PRISM, f"--prism_location={prism}"]).done()
    same(tmp_path / "out")
    assert "INFO" not in printed
    assert "WARNING" not in printed


def test_two_processes_on_flink_write_the_same_bytes(
    flink: str, source: list[str], tmp_path: Path, same: Callable[[Path], None]
) -> None:
    command = Command(source, tmp_path / "out", [*FLINK, f"--flink_job_server_jar={flink}"])
    written: dict[int, int] = {}
    while command.process.poll() is None:
        written |= command.written_by_workers()
        time.sleep(0.005)
    printed = command.done()
    same(tmp_path / "out")
    assert "WARNING" not in printed
    assert len(written) == 2, "not two worker processes"  # Flink deals the tasks out; one may get all of the writing


def test_the_job_server_is_of_the_beam_that_is_installed(flink: str) -> None:
    found = described(flink)
    if found.note(beam.__version__):
        pytest.skip(f"the tests here ran on another one. {found.note(beam.__version__)}")
    assert found.beam == beam.__version__


LOST = (
    "wordtree convert: a worker process ({}) was killed by signal 9, as a system does that runs out of memory. Run the "
)


@pytest.mark.parametrize("moment", ["before it is connected", "inside a shard"])
@pytest.mark.parametrize("engine", ["FnApiRunner", "PrismRunner"])
def test_a_worker_that_is_killed_ends_the_run_in_one_line_and_any_engine_resumes(
    request: pytest.FixtureRequest,
    source: list[str],
    tmp_path: Path,
    same: Callable[[Path], None],
    engine: str,
    moment: str,
) -> None:
    words = ["--workers", "2"]
    if engine == "PrismRunner":
        words = [*PRISM, f"--prism_location={request.getfixturevalue('prism')}"]
    command = Command(source, tmp_path / "out", words)
    worker = command.worker_inside_a_shard() if moment == "inside a shard" else command.first_worker()
    others = [found for found in command.written_by_workers() if found != worker]
    os.kill(worker, signal.SIGKILL)
    told = [line for line in command.done(2).splitlines() if line.startswith("wordtree") or "rror" in line]
    assert [line[: len(LOST.format(worker))] for line in told] == [LOST.format(worker)]
    assert gone(others)
    assert not (command.out / "manifest.json").exists()
    if moment == "inside a shard":
        Command(source, command.out, []).done()
        same(command.out)


def test_a_flink_worker_that_is_killed_before_it_is_connected_is_replaced(
    flink: str, source: list[str], tmp_path: Path, same: Callable[[Path], None]
) -> None:
    command = Command(source, tmp_path / "out", FLINK)
    os.kill(command.first_worker(), signal.SIGKILL)
    command.done()
    same(command.out)


def test_a_flink_worker_that_is_killed_costs_a_retry(
    flink: str, source: list[str], tmp_path: Path, same: Callable[[Path], None]
) -> None:
    command = Command(source, tmp_path / "out", FLINK)
    inside = command.worker_inside_a_shard()
    first = set(command.written_by_workers())
    os.kill(inside, signal.SIGKILL)
    assert not (command.out / "manifest.json").exists()
    assert command.reports() < SHARDS
    seen: set[int] = set()
    while command.process.poll() is None:
        seen |= set(command.written_by_workers())
        time.sleep(0.01)
    command.done()
    assert seen - first, "no worker was started in the place of the killed one"
    same(command.out)


def test_a_flink_that_is_killed_is_one_line_and_any_engine_resumes(
    flink: str, source: list[str], tmp_path: Path, same: Callable[[Path], None]
) -> None:
    command = Command(source, tmp_path / "out", FLINK)
    command.until_some_shards_are_written()
    (held,) = children(command.process.pid, leash.__file__)
    (server,) = (process for process in children(held, flink))
    workers = list(command.written_by_workers())
    os.kill(server, signal.SIGKILL)
    printed = command.done(2)
    assert "wordtree convert: Flink ended before the job did; run the same command again to resume" in printed
    assert "Traceback" not in printed
    assert gone([held, *workers])
    assert not (command.out / "manifest.json").exists()
    Command(source, command.out, []).done()
    same(command.out)


def test_a_conversion_that_is_killed_takes_flink_and_workers_with_it(
    flink: str, source: list[str], tmp_path: Path, same: Callable[[Path], None]
) -> None:
    command = Command(source, tmp_path / "out", FLINK)
    command.until_some_shards_are_written()
    (held,) = children(command.process.pid, leash.__file__)
    processes = [held, *children(held, flink), *command.written_by_workers()]
    assert len(processes) == 4
    command.process.kill()
    command.process.communicate()
    assert gone(processes)
    assert not (command.out / "manifest.json").exists()
    Command(source, command.out, []).done()
    same(command.out)
