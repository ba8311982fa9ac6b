"""Files on any fsspec file system; local paths take the short way.

Written files appear whole or not at all (rule R11): `writing` yields a temporary file and renames it at the end.
"""

from __future__ import annotations

import contextlib
import errno
import os
import posixpath
import stat
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

from schemas.errors import ConfigError, InputError, RecordError

_OF_THE_NAME = (errno.ENAMETOOLONG, errno.ELOOP, errno.EINVAL, errno.EILSEQ, errno.ENXIO, errno.ENODEV)


def is_remote(path: str) -> bool:
    """Whether the path names an fsspec file system, such as gs://bucket/key."""
    return "://" in path


def join(folder: str, *names: str) -> str:
    """Path of a file below a folder, on either kind of file system."""
    return posixpath.join(folder.rstrip("/") or folder, *names)


def _remote(path: str) -> tuple[Any, str]:
    from fsspec.core import url_to_fs

    try:
        return url_to_fs(path)
    except ImportError as error:
        missing = getattr(error.__cause__, "name", None)
        advice = f"; pip install {missing.partition('.')[0]}" if missing else ""
        raise ConfigError(f"{path!r} needs a Python package that is not installed ({error}){advice}") from error
    except ValueError as error:
        raise ConfigError(f"{path!r} is on no file system that fsspec knows: {error}") from error


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


def read_item(path: str, missing: str = "image:missing") -> bytes:
    """One of a dataset's many files, whole. What is wrong with this file alone costs this file alone.

    Raises:
        RecordError: reason `missing` for no such file, `image:not_a_file` for pipes and devices, `image:unreadable`
            for what cannot be opened, or `image:bad_path` for what can be no file's name.
        OSError: trouble of the file system itself.
    """
    try:
        if not is_remote(path):
            mode = os.stat(path).st_mode
            if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
                raise RecordError("image:not_a_file", "neither a file nor a folder, but a pipe, socket or device")
        return read_bytes(path)
    except FileNotFoundError:
        raise RecordError(missing, "there is no such file", found=name_of(path)) from None
    except (IsADirectoryError, NotADirectoryError, PermissionError) as error:
        raise RecordError("image:unreadable", "the file cannot be read", found=type(error).__name__) from None
    except ValueError as error:  # a NUL, or what the file system's encoding has no bytes for
        raise RecordError("image:bad_path", "this can be no file's name", found=str(error)) from None
    except OSError as error:
        if error.errno not in _OF_THE_NAME:
            raise
        raise RecordError("image:unreadable", "the file cannot be opened", found=error.strerror or "") from None


def plain_text(name: str) -> str:
    """The name as it is, if it is Unicode text; otherwise with the bytes that are none as escapes."""
    return name.encode("utf-8", "backslashreplace").decode()


def read_source(path: str, what: str) -> bytes:
    """The whole file that a user named.

    Raises:
        InputError: if it cannot be read; `what` names its role.
    """
    try:
        return read_bytes(path)
    except (OSError, ValueError) as error:
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
                (folders if _is_dir(entry) else names).append(entry.name)
    else:
        fs, inner = _remote(path)
        with contextlib.suppress(FileNotFoundError):
            for entry in fs.ls(inner, detail=True, refresh=True):
                name = entry["name"].rstrip("/").rsplit("/", 1)[-1]
                (folders if entry["type"] == "directory" else names).append(name)
    return sorted(folders), sorted(names)


def _is_dir(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself, or to where we may not look: opening it says what is wrong
        return False


def files_below(path: str) -> list[str]:
    """Sorted paths, relative to the folder, of all files below it; links to folders are not followed."""
    if not is_remote(path):
        start = len(os.path.join(path, ""))
        return sorted(os.path.join(folder, name)[start:] for folder, _, names in os.walk(path) for name in names)
    fs, inner = _remote(path)
    return sorted(posixpath.relpath(file, inner) for file in fs.find(inner))


def opened(path: str) -> contextlib.AbstractContextManager[BinaryIO]:
    """The file, to read parts of it."""
    if not is_remote(path):
        return open(path, "rb")
    fs, inner = _remote(path)
    return cast("contextlib.AbstractContextManager[BinaryIO]", fs.open(inner, "rb"))


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
