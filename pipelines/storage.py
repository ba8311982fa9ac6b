"""Files on any fsspec file system; local paths take the short way.

Written files appear whole or not at all (rule R11): `writing` yields a temporary file and renames it at the end.
"""

from __future__ import annotations

import contextlib
import os
import posixpath
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

from schemas.errors import InputError


def is_remote(path: str) -> bool:
    """Whether the path names an fsspec file system, such as gs://bucket/key."""
    return "://" in path


def join(folder: str, *names: str) -> str:
    """Path of a file below a folder, on either kind of file system."""
    return posixpath.join(folder.rstrip("/") or folder, *names)


def _remote(path: str) -> tuple[Any, str]:
    from fsspec.core import url_to_fs

    return url_to_fs(path)


def read_bytes(path: str) -> bytes:
    """The whole file.

    Raises:
        OSError: FileNotFoundError and its kin, on every file system.
    """
    if not is_remote(path):
        with open(path, "rb") as stream:
            return stream.read()
    fs, inner = _remote(path)
    return fs.cat_file(inner)


def read_source(path: str, what: str) -> bytes:
    """The whole file that a user named.

    Raises:
        InputError: if it cannot be read; `what` names its role.
    """
    try:
        return read_bytes(path)
    except OSError as error:
        reason = "does not exist" if isinstance(error, FileNotFoundError) else f"cannot be read ({error})"
        raise InputError(f"{what} {path!r} {reason}") from error


def exists(path: str) -> bool:
    """Whether a file or folder is there."""
    if not is_remote(path):
        return os.path.exists(path)
    fs, inner = _remote(path)
    return fs.exists(inner)


def is_folder(path: str) -> bool:
    """Whether a folder is there."""
    if not is_remote(path):
        return os.path.isdir(path)
    fs, inner = _remote(path)
    return fs.isdir(inner)


def size_of(path: str) -> int:
    """Bytes of a file, -1 if it is not there."""
    if not is_remote(path):
        return os.path.getsize(path) if os.path.isfile(path) else -1
    fs, inner = _remote(path)
    return fs.size(inner) if fs.isfile(inner) else -1


def list_folder(path: str) -> tuple[list[str], list[str]]:
    """Sorted names of the folders and of the files right below; both empty if there is no such folder."""
    folders: list[str] = []
    names: list[str] = []
    if not is_remote(path):
        with contextlib.suppress(FileNotFoundError), os.scandir(path) as entries:
            for entry in entries:
                (folders if entry.is_dir() else names).append(entry.name)
    else:
        fs, inner = _remote(path)
        with contextlib.suppress(FileNotFoundError):
            for entry in fs.ls(inner, detail=True, refresh=True):
                name = entry["name"].rstrip("/").rsplit("/", 1)[-1]
                (folders if entry["type"] == "directory" else names).append(name)
    return sorted(folders), sorted(names)


def make_folder(path: str) -> None:
    """Make the folder and those above it; nothing happens if it is there."""
    if not is_remote(path):
        os.makedirs(path, exist_ok=True)
        return
    fs, inner = _remote(path)
    fs.makedirs(inner, exist_ok=True)


def remove(path: str) -> None:
    """Remove a file, or a folder with all below it; nothing happens if it is not there."""
    if not exists(path):
        return
    if is_remote(path):
        fs, inner = _remote(path)
        fs.rm(inner, recursive=True)
    elif os.path.isdir(path):
        import shutil

        shutil.rmtree(path)
    else:
        os.unlink(path)


@contextlib.contextmanager
def writing(path: str, temporary_folder: str) -> Iterator[BinaryIO]:
    """A file that appears under its name when the block ends well, and not at all when it fails or is killed."""
    temporary = join(temporary_folder, f"tmp-{posixpath.basename(path)}-{uuid.uuid4().hex}")
    if not is_remote(path):
        with open(temporary, "wb", buffering=1 << 20) as stream:
            yield stream
        os.replace(temporary, path)
        return
    fs, inner = _remote(path)
    inner_temporary = fs._strip_protocol(temporary)
    with fs.open(inner_temporary, "wb") as stream:
        yield cast(BinaryIO, stream)
    if fs.exists(inner):
        fs.rm(inner)
    fs.mv(inner_temporary, inner)


def write_bytes(path: str, data: bytes, temporary_folder: str) -> None:
    """Write a whole file under a temporary name and rename it."""
    with writing(path, temporary_folder) as stream:
        stream.write(data)


def text_of(path: str, what: str) -> str:
    """A text file that a user named, as UTF-8 with or without a byte order mark."""
    return read_source(path, what).decode("utf-8-sig", errors="replace")


def name_of(path: str) -> str:
    """Last part of a path."""
    return posixpath.basename(path.rstrip("/")) or Path(path).name
