"""Files on any fsspec file system; local paths take the short way, others `pipelines.files.remote`.

Written files appear whole or not at all (rule R11): `writing` yields a temporary file and renames it at the end, or an
upload that ends well or not at all.

Errors are the same everywhere. FileNotFoundError, NotADirectoryError and their kin are about this one file. Trouble of
the file system itself is an OSError, and a `StorageError` where it is a remote one or is written to: that ends a run,
so that no server that does not answer, and no token that expires, turns images into rejects.
"""

from __future__ import annotations

import contextlib
import errno
import os
import posixpath
import stat
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO, TypeVar

from pipelines.files import remote
from pipelines.files.faults import StorageError, trouble_of
from schemas.errors import InputError, RecordError
from wordtree.text_files import GLANCE, what_it_is

_OF_THE_NAME = (errno.ENAMETOOLONG, errno.ELOOP, errno.EINVAL, errno.EILSEQ, errno.ENXIO, errno.ENODEV)
_OF_THE_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS, errno.ESTALE)
_LONGEST_KEY = 1024  # bytes, on S3 and Google Cloud Storage
_Item = TypeVar("_Item")
_Fetched = TypeVar("_Fetched")
_AHEAD = 16  # files that are fetched at once where each takes a round trip


def is_remote(path: str) -> bool:
    """Whether the path names an fsspec file system, such as gs://bucket/key."""
    return "://" in path


def join(folder: str, *names: str) -> str:
    """Path of a file below a folder, on either kind of file system."""
    if not names:
        return folder
    if is_remote(folder):  # object stores take every name as it is: `./a.jpg` is not `a.jpg` there
        names = tuple(posixpath.normpath(name) if "./" in name or "//" in name else name for name in names)
        root = folder if folder.endswith("://") else folder.rstrip("/") + "/"
        return root + posixpath.join("", *names)
    return posixpath.join(folder.rstrip("/") or folder, *names)


def read_bytes(path: str) -> bytes:
    """The whole file.

    Raises:
        OSError: FileNotFoundError and its kin, on every file system.
    """
    if is_remote(path):
        return remote.read(path)
    with open(path, "rb") as stream:
        return stream.read()


def read_item(path: str, missing: str = "image:missing") -> bytes:
    """One of a dataset's many files, whole. What is wrong with this file alone costs this file alone.

    Raises:
        RecordError: reason `missing` for no such file, `image:not_a_file` for pipes and devices, `image:unreadable`
            for what cannot be opened, or `image:bad_path` for what can be no file's name.
        OSError: trouble of the file system itself.
    """
    if is_remote(path):
        return _read_remote_item(path, missing)
    try:
        found = os.stat(path)
        if not stat.S_ISREG(found.st_mode):
            if stat.S_ISDIR(found.st_mode):
                raise IsADirectoryError
            raise RecordError("image:not_a_file", "neither a file nor a folder, but a pipe, socket or device")
        return _read_regular(path, found.st_size)
    except FileNotFoundError:
        raise RecordError(missing, "there is no such file", found=name_of(path)) from None
    except (IsADirectoryError, NotADirectoryError, PermissionError) as error:
        raise RecordError("image:unreadable", "the file cannot be read", found=type(error).__name__) from None
    except ValueError as error:  # a NUL, or what the file system's encoding has no bytes for
        raise RecordError("image:bad_path", "this can be no file's name", found=str(error)) from None
    except OSError as error:
        if error.errno in _OF_THE_NAME:
            raise RecordError("image:unreadable", "the file cannot be opened", found=error.strerror or "") from None
        raise StorageError(error.errno, error.strerror, path) from error


def _read_regular(path: str, size: int) -> bytes:
    """A file of about this size, with as few calls as can be: there are millions of them."""
    number = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        data = os.read(number, size + 1)
        if len(data) == size:
            return data
        parts = [data]  # it grew or shrank meanwhile, or is larger than one call reads
        while data:
            data = os.read(number, 1 << 24)
            parts.append(data)
        return b"".join(parts)
    finally:
        os.close(number)


def _read_remote_item(path: str, missing: str) -> bytes:
    """Permissions are a bucket's or a token's there, not a file's: they are trouble of the file system."""
    if "\0" in path or plain_text(path) != path:
        raise RecordError("image:bad_path", "this can be no file's name", found=plain_text(name_of(path)))
    if len(path.partition("://")[2].encode()) > _LONGEST_KEY:
        raise RecordError("image:unreadable", "the file cannot be opened", found=os.strerror(errno.ENAMETOOLONG))
    try:
        return remote.read(path)
    except FileNotFoundError:
        raise RecordError(missing, "there is no such file", found=name_of(path)) from None
    except (IsADirectoryError, NotADirectoryError) as error:
        raise RecordError("image:unreadable", "the file cannot be read", found=type(error).__name__) from None


def fetched_ahead(
    items: Iterable[_Item], fetch: Callable[[_Item], _Fetched], *, remote: bool
) -> Iterator[tuple[_Item, _Fetched]]:
    """Each item with what `fetch` reads for it, in the order of the items.

    Where a file takes a round trip to a server, a few are fetched at once, by threads; no more than these are held.

    Args:
        items: what to fetch for.
        fetch: reads files; it is called in any order, and what it raises is raised in the item's place.
        remote: whether the files lie on a server; otherwise each is fetched when it is asked for.
    """
    if not remote:
        for item in items:
            yield item, fetch(item)
        return
    waiting: deque[tuple[_Item, Future[_Fetched]]] = deque()
    pool = ThreadPoolExecutor(_AHEAD, "fetched ahead")
    try:
        for item in items:
            waiting.append((item, pool.submit(fetch, item)))
            if len(waiting) == _AHEAD:
                first, future = waiting.popleft()
                yield first, future.result()
        while waiting:
            first, future = waiting.popleft()
            yield first, future.result()
    finally:
        pool.shutdown(cancel_futures=True)


def plain_text(name: str) -> str:
    """The name as it is, if it is Unicode text; otherwise with the bytes that are none as escapes."""
    return name.encode("utf-8", "backslashreplace").decode()


def read_source(path: str, what: str) -> bytes:
    """The whole file that a user named.

    Raises:
        InputError: if it cannot be read; `what` names its role.
    """
    try:
        data = read_bytes(path)
    except (OSError, ValueError) as error:
        reason = "does not exist" if isinstance(error, FileNotFoundError) else f"cannot be read ({error})"
        raise InputError(f"{what} {path!r} {reason}") from error
    if told := what_it_is(data[:GLANCE]):
        raise InputError(f"{what} {path!r} is {told}")
    return data


def exists(path: str) -> bool:
    """Whether a file or folder is there."""
    return remote.info(path) is not None if is_remote(path) else os.path.exists(path)


def is_folder(path: str) -> bool:
    """Whether a folder is there."""
    if not is_remote(path):
        return os.path.isdir(path)
    found = remote.info(path)
    return found is not None and found["type"] == "directory"


def size_of(path: str) -> int:
    """Bytes of a file, -1 if it is not there."""
    if not is_remote(path):
        return os.path.getsize(path) if os.path.isfile(path) else -1
    found = remote.info(path)
    return -1 if found is None or found["type"] == "directory" else int(found["size"])


def list_folder(path: str) -> tuple[list[str], list[str]]:
    """Sorted names of the folders and of the files right below; both empty if there is no such folder.

    Raises:
        NotADirectoryError: if it is a file.
    """
    folders: list[str] = []
    names: list[str] = []
    with contextlib.suppress(FileNotFoundError):
        if is_remote(path):
            folders, names = remote.listing(path)
        else:
            with os.scandir(path) as entries:
                for entry in entries:
                    (folders if _is_dir(entry) else names).append(entry.name)
    return sorted(folders), sorted(names)


def _is_dir(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself, or to where we may not look: opening it says what is wrong
        return False


def files_below(path: str) -> list[str]:
    """Sorted paths, relative to the folder, of all files below it; links to folders are not followed."""
    if is_remote(path):
        return sorted(remote.files_below(path))
    start = len(os.path.join(path, ""))
    return sorted(os.path.join(folder, name)[start:] for folder, _, names in os.walk(path) for name in names)


def opened(path: str) -> contextlib.AbstractContextManager[BinaryIO]:
    """The file, to read parts of it; of a remote one little more than these parts is fetched."""
    return remote.opened(path) if is_remote(path) else open(path, "rb")


def make_folder(path: str) -> None:
    """Make the folder and those above it; nothing happens if it is there, or where names need no folders."""
    if is_remote(path):
        remote.make_folder(path)
    else:
        with trouble_of(path, of_one_file=False):
            os.makedirs(path, exist_ok=True)


def remove(path: str) -> None:
    """Remove a file, or a folder with all below it; nothing happens if it is not there."""
    if is_remote(path):
        remote.remove(path)
    elif os.path.isdir(path):
        import shutil

        with trouble_of(path, of_one_file=False):
            shutil.rmtree(path)
    elif os.path.exists(path):
        with trouble_of(path, of_one_file=False):
            os.unlink(path)


@contextlib.contextmanager
def writing(path: str, temporary_folder: str) -> Iterator[BinaryIO]:
    """A file that appears under its name when the block ends well, and not at all when it fails or is killed.

    Raises:
        StorageError: if it cannot be written.
    """
    temporary = join(temporary_folder, f"tmp-{posixpath.basename(path)}-{uuid.uuid4().hex}")
    if is_remote(path):
        with remote.writing(path, temporary) as stream:
            yield stream
        return
    with trouble_of(path, of_one_file=False):
        stream = open(temporary, "wb", buffering=1 << 16)  # noqa: SIM115
    try:
        yield stream
        with trouble_of(path, of_one_file=False):
            stream.close()
            os.replace(temporary, path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            stream.close()
        with contextlib.suppress(OSError):  # a full disk has the room back
            os.unlink(temporary)
        if isinstance(error, OSError) and error.errno in _OF_THE_DISK:
            raise StorageError(error.errno, error.strerror, path) from error
        raise


def write_bytes(path: str, data: bytes, temporary_folder: str) -> None:
    """Write a whole file under a temporary name and rename it."""
    with writing(path, temporary_folder) as stream:
        stream.write(data)


def text_of(path: str, what: str) -> str:
    """A text file that a user named, as UTF-8 with or without a byte order mark."""
    return read_source(path, what).decode("utf-8-sig", errors="replace")


def same_options(found: object, wanted: object) -> bool:
    """Whether two values of options are equal but for how paths in them are spelt: `data/a.json`, `./data/a.json` and
    the full path are the same file to somebody in the folder above."""
    if isinstance(found, str) and isinstance(wanted, str):
        return found == wanted or _spelt_out(found) == _spelt_out(wanted)
    if isinstance(found, Mapping) and isinstance(wanted, Mapping):
        return len(found) == len(wanted) and same_options(sorted(found.items()), sorted(wanted.items()))
    if isinstance(found, list | tuple) and isinstance(wanted, list | tuple):
        return len(found) == len(wanted) and all(map(same_options, found, wanted))
    return found == wanted


def _spelt_out(text: str) -> str:
    """Words as absolute paths; several paths stand in one text with blanks between them."""
    return " ".join(word if is_remote(word) or not word else os.path.abspath(word) for word in text.split(" "))


def name_of(path: str) -> str:
    """Last part of a path."""
    return posixpath.basename(path.rstrip("/")) or Path(path).name
