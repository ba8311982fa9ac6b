"""File systems of fsspec, made safe for a conversion that runs in several processes; used by this package alone.

What fsspec does that would lose or invent data, and what is done here instead:

- Listings are remembered for ever, so a process does not see what another has written. Here they are never remembered.
- A failing file is committed half, when its `with` block ends or when it is collected. Here its upload is aborted.
- `exists`, `isdir` and `isfile` say False when the server does not answer. Here only "no such file" means that.
- `rm` and `mv` take names with `[`, `*` and `?` for patterns, and `rm` on S3 is silent about objects that it could not
  delete. Here names are names, and what is still there is an error.
- `makedirs` makes a bucket of the name. Here an object store has no folders to make, and a missing bucket is an error.

An object appears under its name when its upload ends, whole or not at all, so object stores need no temporary names and
no renaming, which there means a copy. Other file systems get both.
"""

from __future__ import annotations

import contextlib
import inspect
import io
import logging
import os
import posixpath
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, BinaryIO, cast

from pipelines.files.faults import StorageError, storage_error, trouble_of
from schemas.errors import ConfigError

OBJECT_STORES = {"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az"}
PART_BYTES = 8 << 20  # of an upload: S3 allows 10,000 parts, each of 5 MiB or more, so a shard has 80 GB at most
READ_AHEAD = 1 << 18  # a footer or a record is a few hundred KiB; s3fs would read 50 MiB
ATTEMPTS = 8  # of a request to S3, with growing pauses: up to 71 s; gcsfs tries 6 times in 34 s


def file_system(path: str) -> tuple[Any, str]:
    """The fsspec file system of a URL, and the path inside it.

    Raises:
        ConfigError: if there is none, or its Python package is missing.
    """
    from fsspec.core import url_to_fs
    from fsspec.dircache import DirCache

    try:
        fs, inner = url_to_fs(path, **_options(path))
    except ImportError as error:
        missing = getattr(error.__cause__, "name", None)
        advice = f"; pip install {missing.partition('.')[0]}" if missing else ""
        raise ConfigError(f"{path!r} needs a Python package that is not installed ({error}){advice}") from error
    except ValueError as error:
        raise ConfigError(f"{path!r} is on no file system that fsspec knows: {error}") from error
    cache = getattr(fs, "dircache", None)
    if isinstance(cache, DirCache) and cache.use_listings_cache:
        cache.use_listings_cache = False
        cache.clear()
        logging.getLogger("gcsfs").setLevel(logging.CRITICAL)  # it logs tracebacks of what it raises too
    return fs, inner


def _options(path: str) -> dict[str, Any]:
    """S3 is asked more patiently than by default, if the user has not said how."""
    from fsspec.config import conf

    if not path.startswith(("s3://", "s3a://")) or {"AWS_MAX_ATTEMPTS", "AWS_RETRY_MODE"} & set(os.environ):
        return {}
    if any("config_kwargs" in conf.get(protocol, {}) for protocol in ("s3", "s3a")):
        return {}
    return {"config_kwargs": {"retries": {"mode": "standard", "max_attempts": ATTEMPTS}}}


def is_object_store(fs: Any) -> bool:
    """Whether objects appear when their upload ends, and folders are but parts of names."""
    protocols = (fs.protocol,) if isinstance(fs.protocol, str) else fs.protocol
    return bool(OBJECT_STORES & set(protocols))


@lru_cache
def _one_request(kind: type) -> dict[str, Any]:
    """Arguments that make `cat_file` one GET; s3fs asks for the size first, to read large objects in pieces."""
    method = getattr(kind, "_cat_file", None)
    return {"max_concurrency": 1} if method and "max_concurrency" in inspect.signature(method).parameters else {}


def read(path: str) -> bytes:
    """The whole file in one request.

    Raises:
        FileNotFoundError: and its kin.
        StorageError: for all other trouble.
    """
    with trouble_of(path):
        fs, inner = file_system(path)
        return fs.cat_file(inner, **_one_request(type(fs)))


def info(path: str) -> dict[str, Any] | None:
    """What fsspec knows about a file or folder; None if there is none."""
    with trouble_of(path):
        fs, inner = file_system(path)
        try:
            return fs.info(inner)
        except (FileNotFoundError, NotADirectoryError):
            return None


def listing(path: str) -> tuple[list[str], list[str]]:
    """Names of the folders and files right below.

    Raises:
        FileNotFoundError, NotADirectoryError: if it is no folder.
    """
    folders: list[str] = []
    names: list[str] = []
    with trouble_of(path):
        fs, inner = file_system(path)
        inner = inner.rstrip("/")
        for entry in fs.ls(inner, detail=True):
            full = entry["name"].rstrip("/")
            if full.lstrip("/") == inner.lstrip("/"):
                if entry["type"] == "directory" or entry["name"].endswith("/") or not entry.get("size"):
                    continue  # the mark that some tools leave for a folder: an empty object
                raise NotADirectoryError(20, "Not a directory", path)
            (folders if entry["type"] == "directory" else names).append(posixpath.basename(full))
    return folders, names


def files_below(path: str) -> list[str]:
    """Paths of all files below a folder, relative to it."""
    with trouble_of(path):
        fs, inner = file_system(path)
        inner = inner.rstrip("/")
        found = (name for name in fs.find(inner) if not name.endswith("/"))
        return [posixpath.relpath(name, inner) for name in found if name.rstrip("/") != inner]


def make_folder(path: str) -> None:
    """Make a folder where there are folders."""
    with trouble_of(path, of_one_file=False):
        fs, inner = file_system(path)
        if not is_object_store(fs):
            fs.makedirs(inner, exist_ok=True)


def remove(path: str) -> None:
    """Remove a file, or a folder with all below it.

    Raises:
        StorageError: if something is still there afterwards.
    """
    found = info(path)
    if found is None:
        return
    with trouble_of(path, of_one_file=False):
        fs, inner = file_system(path)
        if found["type"] != "directory":
            fs.rm_file(inner)
            return
        if not is_object_store(fs) and not _is_pattern(inner):
            fs.rm(inner, recursive=True)
            return
        names = fs.find(inner)
        plain = [name for name in names if not _is_pattern(name) and not name.endswith("/")]
        if plain:
            fs.rm(plain)
        for name in set(names) - set(plain):
            fs.rm_file(name)
        if left := fs.find(inner):
            raise StorageError(13, f"{len(left)} files could not be deleted, such as {left[0]}", path)
        if not is_object_store(fs):
            for folder in sorted({*fs.find(inner, withdirs=True), inner}, reverse=True):
                fs.rmdir(folder)


def _is_pattern(name: str) -> bool:
    return any(mark in name for mark in "*?[")


def opened(path: str) -> BinaryIO:
    """The file, to read parts of it: each read asks for its own range and a little more."""
    with trouble_of(path):
        fs, inner = file_system(path)
        return cast(BinaryIO, _Reader(fs.open(inner, "rb", block_size=READ_AHEAD, cache_type="readahead"), path))


@contextlib.contextmanager
def writing(path: str, temporary: str) -> Iterator[BinaryIO]:
    """A file that appears whole when the block ends well, and not at all when it fails or is killed.

    Args:
        path: of the file.
        temporary: where it lies meanwhile, on file systems that are no object stores.
    """
    fs, inner = file_system(path)
    direct = is_object_store(fs)
    goal = inner if direct else fs._strip_protocol(temporary)
    with trouble_of(path, of_one_file=False):
        stream = fs.open(goal, "wb", **({"block_size": PART_BYTES} if direct else {}))
    try:
        yield cast(BinaryIO, _Writer(stream, path))
        with trouble_of(path, of_one_file=False):
            stream.close()
    except BaseException:
        with contextlib.suppress(Exception):  # the first error is the one to tell
            _abandon(fs, stream, goal, direct)
        raise
    if not direct:
        with trouble_of(path, of_one_file=False):
            _rename(fs, goal, inner)


def _abandon(fs: Any, stream: Any, goal: str, direct: bool) -> None:
    """Give up a file: neither closing nor collecting it may commit what was written."""
    if direct:
        try:
            stream.discard()
        finally:
            stream.closed = True
    else:
        stream.close()
        fs.rm_file(goal)


def _rename(fs: Any, old: str, new: str) -> None:
    from fsspec import AbstractFileSystem

    if "file" in fs.protocol:
        fs.mv(old, new)
        return
    if fs.exists(new):
        fs.rm_file(new)
    if type(fs).mv is AbstractFileSystem.mv:  # which takes names for patterns
        fs.cp_file(old, new)
        fs.rm_file(old)
    else:
        fs.mv(old, new)


class _Writer(io.BufferedIOBase):
    """Writes through to a file of fsspec and tells its trouble. Closing it does not close the file, which would commit
    it: `writing` does that when all went well."""

    def __init__(self, stream: Any, path: str) -> None:
        self._stream, self._path = stream, path

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        try:
            return self._stream.write(data)
        except Exception as error:
            raise storage_error(error, self._path) from error

    def tell(self) -> int:
        return self._stream.tell()


class _Reader(io.BufferedIOBase):
    """Reads from a file of fsspec and tells its trouble."""

    def __init__(self, stream: Any, path: str) -> None:
        self._stream, self._path = stream, path

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def read(self, size: int | None = -1) -> bytes:
        with trouble_of(self._path):
            return self._stream.read(-1 if size is None else size)

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._stream.seek(offset, whence)

    def tell(self) -> int:
        return self._stream.tell()

    def close(self) -> None:
        self._stream.close()
        super().close()
