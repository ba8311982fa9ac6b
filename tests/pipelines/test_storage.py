"""Files appear whole or not at all, on local and other file systems alike."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from pipelines import storage


@pytest.fixture(params=["local", "memory"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An empty folder on each file system."""
    path = str(tmp_path) if request.param == "local" else "memory://bucket/test"
    storage.make_folder(path)
    yield path
    if request.param == "memory":
        fsspec.filesystem("memory").rm("/bucket", recursive=True)


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


def test_a_missing_file_is_a_file_not_found_error_everywhere(folder: str) -> None:
    with pytest.raises(FileNotFoundError):
        storage.read_bytes(storage.join(folder, "no"))
