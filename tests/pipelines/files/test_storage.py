"""Files appear whole or not at all, on local and other file systems alike."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.files import storage
from tests.pipelines.conftest import run_words
from tests.pipelines.object_server import ObjectServer, serve

pytestmark = pytest.mark.filterwarnings("ignore")  # what object servers and their clients warn of is theirs


@pytest.fixture(scope="module")
def s3() -> Iterator[ObjectServer]:
    """moto's S3 on loopback."""
    pytest.importorskip("moto")
    pytest.importorskip("s3fs")
    server = ObjectServer()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def gs() -> Iterator[str]:
    """The address of an emulator of Google Cloud Storage on loopback, with one bucket."""
    pytest.importorskip("gcsfs")
    emulator = pytest.importorskip("gcp_storage_emulator.server")
    server = emulator.create_server("127.0.0.1", 0, in_memory=True, default_bucket="bucket")
    server.start()
    yield f"http://127.0.0.1:{server._api._httpd.server_address[1]}"
    server.stop()


@pytest.fixture(params=["local", "memory", "file", "s3", "gs"])
def folder(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An empty folder on each file system."""
    path = {"local": str(tmp_path), "file": f"file://{tmp_path}"}.get(request.param, f"{request.param}://bucket/test")
    if request.param == "s3":
        for server in serve(monkeypatch, request.getfixturevalue("s3")):
            server.put("bucket", "other", b"")
            yield path
        return
    if request.param == "gs":
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", request.getfixturevalue("gs"))
        fsspec.get_filesystem_class("gs").clear_instance_cache()
    storage.make_folder(path)
    yield path
    if request.param == "memory":
        fsspec.filesystem("memory").rm("/bucket", recursive=True)
    if request.param == "gs":
        storage.remove(path)
        fsspec.get_filesystem_class("gs").clear_instance_cache()


def test_a_written_file_is_there_under_its_name_alone(folder: str) -> None:
    storage.write_bytes(storage.join(folder, "a.bin"), b"one", folder)
    storage.write_bytes(storage.join(folder, "a.bin"), b"two", folder)
    assert storage.list_folder(folder) == ([], ["a.bin"])
    assert storage.read_bytes(storage.join(folder, "a.bin")) == b"two"
    assert storage.size_of(storage.join(folder, "a.bin")) == 3


def test_a_failure_leaves_what_was_there_before(folder: str) -> None:
    path = storage.join(folder, "a.bin")
    storage.write_bytes(path, b"before", folder)

    def fail() -> None:
        with storage.writing(path, folder) as stream:
            stream.write(b"half of the new")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert storage.read_bytes(path) == b"before"


def test_a_local_file_is_renamed_and_never_written_in_place(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    with storage.writing(str(path), str(tmp_path)) as stream:
        stream.write(b"new")
        stream.flush()
        assert not path.exists()
        (temporary,) = tmp_path.iterdir()
        inode = temporary.stat().st_ino
    assert path.stat().st_ino == inode


def test_folders_are_listed_made_and_removed(folder: str) -> None:
    inner = storage.join(folder, "inner", "deep")
    storage.make_folder(inner)
    storage.write_bytes(storage.join(inner, "x"), b"", folder)
    assert storage.list_folder(storage.join(folder, "inner")) == (["deep"], [])
    assert storage.is_folder(inner)
    storage.remove(storage.join(folder, "inner"))
    assert not storage.exists(inner)
    storage.remove(inner)
    assert storage.list_folder(inner) == ([], [])
    assert storage.size_of(inner) == -1


def test_a_listing_is_never_an_old_one(folder: str) -> None:
    assert storage.list_folder(folder) == ([], [])
    assert not storage.exists(storage.join(folder, "x"))
    for data in (b"", b"12", b"123"):
        storage.write_bytes(storage.join(folder, "x"), data, folder)
        assert storage.size_of(storage.join(folder, "x")) == len(data)
        assert storage.read_bytes(storage.join(folder, "x")) == data
    assert storage.files_below(folder) == ["x"]


def test_parts_of_a_file_are_read(folder: str) -> None:
    path = storage.join(folder, "x")
    storage.write_bytes(path, bytes(range(256)) * 4, folder)
    with storage.opened(path) as stream:
        assert stream.seek(-3, 2) == 1021
        assert stream.read() == b"\xfd\xfe\xff"
        stream.seek(256)
        assert stream.read(2) == b"\x00\x01"
        assert stream.tell() == 258


def test_a_table_is_written_and_its_footer_is_read(folder: str) -> None:
    path, table = storage.join(folder, "x.parquet"), pa.table({"x": range(1000)})
    with storage.writing(path, folder) as stream, pq.ParquetWriter(stream, table.schema) as writer:
        writer.write_table(table)
    with storage.opened(path) as stream:
        assert pq.read_metadata(stream).num_rows == 1000
        assert pq.read_table(stream).equals(table)


def test_names_are_no_patterns(folder: str) -> None:
    for name in ("out1", "out[1]"):
        storage.make_folder(storage.join(folder, name))
        storage.write_bytes(storage.join(folder, name, "x[2]"), b"1", folder)
    assert storage.read_bytes(storage.join(folder, "out[1]", "x[2]")) == b"1"
    storage.remove(storage.join(folder, "out[1]"))
    assert storage.list_folder(folder) == (["out1"], [])
    assert storage.list_folder(storage.join(folder, "out1")) == ([], ["x[2]"])


def test_a_whole_conversion_runs_on_each_file_system(folder: str, coco: Any, tmp_path_factory: Any) -> None:
    for number in range(1, 13):
        coco.image(number)
        coco.box(number)
    _, annotations, _, images = coco.write()
    for path in coco.folder.rglob("*"):
        if path.is_file():
            target = storage.join(folder, path.relative_to(coco.folder).as_posix())
            storage.make_folder(target.rsplit("/", 1)[0])
            storage.write_bytes(target, path.read_bytes(), folder)
    here = ["--annotations", storage.join(folder, "instances.json"), "--images", storage.join(folder, "images")]
    out, local = storage.join(folder, "out"), tmp_path_factory.mktemp("local") / "out"
    assert run_words("coco", out, *here, "--shards", "2") == 0
    assert run_words("coco", local, "--annotations", annotations, "--images", images, "--shards", "2") == 0
    assert storage.list_folder(out) == ([], sorted(path.name for path in local.iterdir()))
    for path in local.iterdir():
        if path.name != "manifest.json":
            assert storage.read_bytes(storage.join(out, path.name)) == path.read_bytes(), path.name


def test_a_missing_file_is_a_file_not_found_error_everywhere(folder: str) -> None:
    with pytest.raises(FileNotFoundError):
        storage.read_bytes(storage.join(folder, "no"))
