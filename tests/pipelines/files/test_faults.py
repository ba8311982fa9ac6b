"""Full disks, folders that cannot be read, buckets that do not answer: a retry or a clear end.

The law of every test here: after the fault there is no manifest, the error is one line, and the same command, once the
fault is mended, ends with the bytes of an undisturbed run.
"""

from __future__ import annotations

import errno
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from pipelines.files import storage
from pipelines.files.faults import StorageError, storage_error, told
from schemas.errors import RecordError, WordTreeError
from tests.pipelines.conftest import run_words
from tests.pipelines.object_server import ObjectServer, Request, serve

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def words(coco: Any) -> list[str]:
    """A dataset of 25 images of which one is bad, as words of the command line."""
    for number in range(1, 25):
        coco.image(number)
        coco.box(number)
    coco.image(99, data=b"")
    return ["coco", *coco.write()]


def convert(words: list[str], out: str, *more: str) -> int:
    return run_words(words[0], out, *words[1:], "--shards", "3", *more)


def command(
    words: list[str], out: Path | str, *more: str, largest: int = 0, environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """The command as a user runs it; no file may grow larger than `largest`, as on a full disk or over a quota."""
    return subprocess.run(
        [sys.executable, "-m", "wordtree", "convert", words[0], str(out), *words[1:], "--shards", "3", *more],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), **(environment or {})},
        capture_output=True,
        text=True,
        preexec_fn=(lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (largest, largest))) if largest else None,
    )


def one_line(done: subprocess.CompletedProcess[str]) -> str:
    """The error of a command that ended clearly."""
    assert done.returncode == 2, done.stderr
    (line,) = done.stderr.splitlines()
    return line


@pytest.mark.parametrize("workers", ["1", "2"])
def test_no_room_ends_clearly_and_the_run_resumes(
    words: list[str], tmp_path: Path, digests: Callable[[Path], Any], workers: str
) -> None:
    undisturbed, out = tmp_path / "undisturbed", tmp_path / "out"
    assert convert(words, str(undisturbed)) == 0
    largest = max(path.stat().st_size for path in undisturbed.glob("*.tfrecord")) - 1
    line = one_line(command(words, out, "--workers", workers, largest=largest))
    assert os.strerror(errno.EFBIG) in line
    assert "run the same command again" in line
    assert not (out / "manifest.json").exists()
    assert not list(out.rglob("tmp-*")), "the room that half files took is given back"
    assert convert(words, str(out)) == 0
    assert digests(out) == digests(undisturbed)


def test_a_full_disk_ends_clearly_and_the_run_resumes(
    words: list[str], tmp_path: Path, digests: Callable[[Path], Any]
) -> None:
    """A real one, where the tests may mount it."""
    out = tmp_path / "small-disk"
    out.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=32k", "tmpfs", str(out)]
    try:
        mounted = subprocess.run(mount, capture_output=True).returncode == 0
    except OSError:
        mounted = False
    if not mounted:
        pytest.skip("no right to mount a small file system")
    try:
        with pytest.raises(WordTreeError, match=os.strerror(errno.ENOSPC)):
            convert(words, str(out))
        assert not (out / "manifest.json").exists()
        subprocess.run(["mount", "-o", "remount,size=16m", str(out)], check=True)
        assert convert(words, str(out)) == 0
        assert convert(words, str(tmp_path / "undisturbed")) == 0
        assert digests(out) == digests(tmp_path / "undisturbed")
    finally:
        subprocess.run(["umount", str(out)], check=True)


@pytest.mark.parametrize("where", ["OUT is a file", "OUT is below a file", "images are a file"])
def test_a_file_where_a_folder_should_be(words: list[str], tmp_path: Path, where: str) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"mine")
    out = {"OUT is a file": file, "OUT is below a file": file / "out"}.get(where, tmp_path / "out")
    if where == "images are a file":
        words[words.index("--images") + 1] = str(file)
    with pytest.raises(WordTreeError) as caught:
        convert(words, str(out))
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert file.read_bytes() == b"mine"


class GuardedFileSystem(MemoryFileSystem):
    """Memory whose `guarded` paths raise an error when they are listed, read or written."""

    protocol = "guarded"
    store: ClassVar[dict[str, Any]] = {}
    pseudo_dirs: ClassVar[list[str]] = [""]
    guarded: ClassVar[dict[str, Exception]] = {}

    def _check(self, path: str) -> None:
        for part, error in self.guarded.items():
            if part in path:
                raise error

    def ls(self, path: str, detail: bool = True, **kwargs: Any) -> Any:
        self._check(path)
        return super().ls(path, detail, **kwargs)

    def cat_file(self, path: str, *args: Any, **kwargs: Any) -> Any:
        self._check(path)
        return super().cat_file(path, *args, **kwargs)

    def _open(self, path: str, *args: Any, **kwargs: Any) -> Any:
        self._check(path)
        return super()._open(path, *args, **kwargs)

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return "/" + path.removeprefix("guarded://").strip("/")


@pytest.fixture
def guarded(words: list[str], coco: Any) -> Iterator[dict[str, Exception]]:
    """The dataset at guarded://coco, and what is guarded there: part of a path, and the error."""
    fsspec.register_implementation("guarded", GuardedFileSystem, clobber=True)
    fs = fsspec.filesystem("guarded")
    for path in coco.folder.rglob("*"):
        if path.is_file():
            fs.pipe_file(f"/coco/{path.relative_to(coco.folder).as_posix()}", path.read_bytes())
    words[1:] = ["--annotations", "guarded://coco/instances.json", "--images", "guarded://coco/images"]
    yield GuardedFileSystem.guarded
    GuardedFileSystem.guarded.clear()
    GuardedFileSystem.store.clear()
    GuardedFileSystem.pseudo_dirs[:] = [""]


class LibraryError(Exception):
    """An error of a library that knows nothing of OSError."""


@pytest.mark.parametrize("error", [PermissionError("not yours"), OSError(errno.EIO, "broken"), LibraryError("a\nb")])
@pytest.mark.parametrize(
    "part",
    ["/coco/instances.json", "/coco/images/20.jpg", "/out/.work", "tmp-train-00001", "labels.pbtxt", "manifest.json"],
)
def test_a_path_that_cannot_be_used_ends_the_run_clearly(
    words: list[str], guarded: dict[str, Exception], tmp_path: Path, part: str, error: Exception
) -> None:
    fs = fsspec.filesystem("guarded")
    guarded[part] = error
    with pytest.raises(WordTreeError) as caught:
        convert(words, "guarded://out")
    assert "\n" not in str(caught.value)
    assert str(error).splitlines()[0].removeprefix("[Errno 5] ") in str(caught.value)
    guarded.clear()
    assert not fs.exists("/out/manifest.json")
    assert convert(words, "guarded://out") == 0
    assert convert(words, "guarded://undisturbed") == 0
    assert below("/out") == below("/undisturbed")


def below(folder: str) -> dict[str, bytes]:
    fs = fsspec.filesystem("guarded")
    return {name.removeprefix(folder): fs.cat_file(name) for name in fs.find(folder)}


def test_an_error_of_a_library_is_told_as_one_of_storage() -> None:
    error = storage_error(LibraryError("first\nsecond"), "s3://bucket/x")
    assert isinstance(error, OSError)
    assert isinstance(error, WordTreeError)
    assert str(error) == "s3://bucket/x: LibraryError: first"
    assert str(storage_error(PermissionError("Forbidden"), "p")) == "p: permission denied (Forbidden)"
    assert str(storage_error(OSError(errno.EROFS, "Read-only file system"), "p")) == "p: Read-only file system"


def test_trouble_is_found_in_what_a_runner_makes_of_it() -> None:
    error = storage_error(OSError(errno.EBUSY, "Slow down"), "s3://bucket/x")
    text = (
        "Traceback (most recent call last):\n  File x\npipelines.faults.StorageError: s3://bucket/x: Slow down\n"
        "\nDuring handling ...\nRuntimeError: pipelines.files.faults.StorageError: s3://bucket/x: Slow down "
        "[while running 'write shards']\n"
    )
    assert told(RuntimeError(text)) == told(error) == "s3://bucket/x: Slow down"
    wrapped = ValueError("no")
    wrapped.__cause__ = error
    assert told(wrapped) == "s3://bucket/x: Slow down"
    assert told(ValueError("StorageError was not there")) == ""


def test_a_local_file_system_that_fails_is_no_reject(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An image that cannot be read for a reason of its own is a reject; a broken disk ends the run."""

    def broken(path: str, size: int) -> bytes:
        raise OSError(errno.EIO, "Input/output error", path)

    (tmp_path / "1.jpg").write_bytes(b"x")
    monkeypatch.setattr(storage, "_read_regular", broken)
    with pytest.raises(StorageError, match="Input/output error"):
        storage.read_item(str(tmp_path / "1.jpg"))


# Buckets.


@pytest.fixture(scope="module")
def running() -> Iterator[ObjectServer]:
    pytest.importorskip("moto")
    pytest.importorskip("s3fs")
    server = ObjectServer()
    yield server
    server.stop()


@pytest.fixture
def store(
    running: ObjectServer, monkeypatch: pytest.MonkeyPatch, words: list[str], coco: Any
) -> Iterator[ObjectServer]:
    """The dataset at s3://bucket/coco. Waiting takes no time, and a request is tried three times."""
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda self, context: 0.001)
    monkeypatch.setattr("pipelines.files.remote.ATTEMPTS", 3)
    for server in serve(monkeypatch, running):
        for path in coco.folder.rglob("*"):
            if path.is_file():
                server.put("bucket", f"coco/{path.relative_to(coco.folder).as_posix()}", path.read_bytes())
        words[1:] = ["--annotations", "s3://bucket/coco/instances.json", "--images", "s3://bucket/coco/images"]
        yield server


def objects(store: ObjectServer, name: str) -> dict[str, bytes]:
    return {key.removeprefix(name): data for key, data in store.objects("bucket").items() if key.startswith(f"{name}/")}


class FromThe:
    """A fault from the nth request on, for so many requests."""

    def __init__(self, first: int, fault: int | str, most: int = 1 << 30) -> None:
        self.asked, self.first, self.fault, self.most = 0, first, fault, most

    def __call__(self, request: Request) -> int | str | None:
        self.asked += 1
        return self.fault if self.first <= self.asked < self.first + self.most else None


pytestmark = pytest.mark.filterwarnings("ignore")  # what moto and botocore warn of is theirs


@pytest.mark.parametrize("fault", [503, "cut"])
def test_a_bucket_that_does_not_answer_for_a_while_is_asked_again(
    words: list[str], store: ObjectServer, fault: int | str
) -> None:
    """Every third request fails, everywhere in the run."""
    assert convert(words, "s3://bucket/undisturbed") == 0
    asked = 0

    def every_third(request: Request) -> int | str | None:
        nonlocal asked
        asked += 1
        applies = fault == 503 or (request.method == "GET" and "/coco/" in request.path)
        return fault if asked % 3 == 0 and applies else None

    store.fault = every_third
    assert convert(words, "s3://bucket/out") == 0
    store.fault = lambda request: None
    assert objects(store, "out") == objects(store, "undisturbed")


@pytest.mark.parametrize("fault", [503, 403])
def test_a_bucket_that_answers_no_more_ends_the_run_clearly(words: list[str], store: ObjectServer, fault: int) -> None:
    """From any request on: while planning, reading, uploading, assembling. A token that expires answers 403."""
    store.log.clear()
    assert convert(words, "s3://bucket/undisturbed") == 0
    requests = len(store.log)
    for first in {503: (1, 6, requests // 2, requests - 16, requests - 6), 403: (3, 20, requests - 11)}[fault]:
        out = f"out{first}"
        store.fault = FromThe(first, fault)
        with pytest.raises(WordTreeError) as caught:
            convert(words, f"s3://bucket/{out}")
        assert "\n" not in str(caught.value), f"request {first}"
        store.fault = lambda request: None
        manifest = objects(store, out).get("/manifest.json")
        if manifest is not None:  # only the work files were left to remove
            whole = objects(store, "undisturbed")
            assert {name: data for name, data in objects(store, out).items() if "/.work/" not in name} == whole
        assert convert(words, f"s3://bucket/{out}") == 0
        assert objects(store, out) == objects(store, "undisturbed"), f"request {first}"


@pytest.mark.parametrize("fault", [503, 403, "cut"])
def test_no_answer_is_never_no_file(store: ObjectServer, fault: int | str) -> None:
    """fsspec's own `exists`, `isdir` and `isfile` say False here, and a whole dataset would be made again."""
    store.fault = FromThe(1, fault)
    path = "s3://bucket/coco/instances.json"
    if fault != "cut":
        for ask in (storage.exists, storage.is_folder, storage.size_of, storage.read_bytes, storage.list_folder):
            with pytest.raises(StorageError, match=r"bucket/coco"):
                ask(path)
    with pytest.raises(StorageError):
        storage.read_item(path)
    with pytest.raises(StorageError):
        list(storage.fetched_ahead([path], storage.read_item, remote=True))


def test_a_whole_dataset_is_not_taken_for_a_damaged_one(words: list[str], store: ObjectServer) -> None:
    """It would be made again, and its manifest would go first."""
    assert convert(words, "s3://bucket/out") == 0
    whole = objects(store, "out")
    for name in ("manifest.json", "train-00001-of-00003.tfrecord", "train.index.parquet", "labels.pbtxt"):
        store.fault = lambda r, name=name: 503 if r.path.endswith(f"/out/{name}") else None
        with pytest.raises(WordTreeError, match=name):
            convert(words, "s3://bucket/out")
        assert objects(store, "out") == whole


def test_an_upload_in_parts_that_fails_is_aborted(store: ObjectServer) -> None:
    for fault in (
        lambda r: 503 if "partNumber=1" in r.query else None,
        lambda r: 503 if r.method == "POST" and "uploadId=" in r.query else None,
    ):
        store.fault = fault
        with pytest.raises(StorageError):
            storage.write_bytes("s3://bucket/large", bytes(40 << 20), "s3://bucket/.work")
        assert "large" not in store.objects("bucket")
        assert store.uploads("bucket") == []


def test_a_missing_key_stays_a_reject(store: ObjectServer) -> None:
    with pytest.raises(RecordError) as caught:
        storage.read_item("s3://bucket/coco/images/no.jpg")
    assert caught.value.reason == "image:missing"


def test_the_command_says_one_line_about_a_bucket(words: list[str], store: ObjectServer) -> None:
    """With two workers, whose errors cross processes as text."""
    store.fault = lambda r: 503 if r.path.endswith("/images/20.jpg") else None
    quick = {"AWS_MAX_ATTEMPTS": "1"}
    line = one_line(command(words, "s3://bucket/out", "--workers", "2", environment=quick))
    assert "20.jpg" in line
    assert "run the same command again" in line
    assert "/manifest.json" not in objects(store, "out")
    store.fault = lambda request: None
    assert convert(words, "s3://bucket/out") == 0
    assert convert(words, "s3://bucket/undisturbed") == 0
    assert objects(store, "out") == objects(store, "undisturbed")
