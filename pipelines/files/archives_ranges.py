"""Parts of a large file, each fetched by itself: one `pread` of a local file, one range request of any other.

A stretch that was fetched is remembered until the next one, so that headers which lie close together cost one request.
"""

from __future__ import annotations

import os
from types import TracebackType
from typing import Any

from pipelines.files import remote, storage
from pipelines.files.faults import trouble_of
from schemas.errors import InputError

LOCAL_STEP = 1 << 12  # what a file system reads at least
REMOTE_STEP = 1 << 16  # a request for 64 KiB takes as long as one for 512 bytes


class Ranges:
    """A file opened for reading by position; `fetched` counts the bytes that were asked of the file system."""

    def __init__(self, path: str) -> None:
        """Open the file.

        Raises:
            FileNotFoundError, IsADirectoryError, PermissionError: about this file.
            StorageError: if a file system does not answer.
        """
        self.path = path
        self.fetched = 0
        self._kept, self._kept_at = b"", 0
        self._fs: Any = None
        self._file = -1
        if storage.is_remote(path):
            self.step = REMOTE_STEP
            self._fs, self._inner = remote.file_system(path)
        else:
            self.step = LOCAL_STEP
            self._file = os.open(path, os.O_RDONLY)
            if os.path.isdir(path):
                self.close()
                raise IsADirectoryError(21, "Is a directory", path)

    def size(self) -> int:
        """Bytes of the whole file.

        Raises:
            FileNotFoundError: if it is not there.
        """
        if self._fs is None:
            return os.fstat(self._file).st_size
        size = storage.size_of(self.path)
        if size < 0:
            raise FileNotFoundError(2, "No such file", self.path)
        return size

    def fetch(self, offset: int, length: int) -> bytes:
        """Bytes from a position, fewer where the file ends; nothing is fetched that was not asked for."""
        if length <= 0:
            return b""
        if self._fs is None:
            parts: list[bytes] = []
            while length and (part := os.pread(self._file, length, offset)):
                parts.append(part)
                offset += len(part)
                length -= len(part)
            data = parts[0] if len(parts) == 1 else b"".join(parts)
        else:
            with trouble_of(self.path):
                try:
                    data = self._fs.cat_file(self._inner, start=offset, end=offset + length)
                except FileNotFoundError:
                    raise
                except Exception:
                    if offset < self.size():
                        raise
                    data = b""  # servers refuse a range behind the end
        self.fetched += len(data)
        return data

    def near(self, offset: int, length: int) -> bytes:
        """The same for small parts that lie close together: a step is fetched at once, and kept."""
        inside = offset - self._kept_at
        if not 0 <= inside <= len(self._kept) - length:
            self._kept, self._kept_at, inside = self.fetch(offset, max(length, self.step)), offset, 0
        return self._kept[inside : inside + length]

    def close(self) -> None:
        """Close the file; nothing happens if it is closed."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def __enter__(self) -> Ranges:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def opened_archive(path: str) -> Ranges:
    """An archive that a user named.

    Raises:
        InputError: if there is no such file, or it cannot be read.
    """
    try:
        ranges = Ranges(path)
        ranges.size()
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError, PermissionError, ValueError) as error:
        missing = isinstance(error, FileNotFoundError)
        raise InputError(f"archive {path!r} {'does not exist' if missing else f'cannot be read ({error})'}") from error
    return ranges
