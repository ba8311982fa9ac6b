"""Trouble of a file system: no room, no permission, no answer. It is for people to mend, and not a bug.

`StorageError` is an OSError, so that code which catches those catches it, and a `WordTreeError`, so that the command
line tells it in one line. A runner wraps what a worker raises, across processes as text; `told` finds the line in it.
"""

from __future__ import annotations

import contextlib
import errno
import re
from collections.abc import Iterator

from schemas.errors import WordTreeError


class StorageError(WordTreeError, OSError):
    """A file system fails: made of (errno, reason, path).

    One file that is not there, or is a folder, is no such trouble: that stays a FileNotFoundError and its kin.
    """

    def __str__(self) -> str:
        return f"{self.filename}: {self.strerror}"


_OF_ONE_FILE = (FileNotFoundError, IsADirectoryError, NotADirectoryError, FileExistsError)
_LINE = re.compile(r"(?:[\w.]+\.)?StorageError: (.+?)(?: \[while running '.*)?", re.MULTILINE)


@contextlib.contextmanager
def trouble_of(path: str, *, of_one_file: bool = True) -> Iterator[None]:
    """What goes wrong inside is told as a `StorageError`, whatever library raises it.

    Args:
        path: what is read or written.
        of_one_file: whether FileNotFoundError and its kin pass as they are.
    """
    try:
        yield
    except WordTreeError:
        raise
    except Exception as error:
        if of_one_file and isinstance(error, _OF_ONE_FILE):
            raise
        raise storage_error(error, path) from error


def storage_error(error: Exception, path: str) -> StorageError:
    """The same trouble as a `StorageError`; text of several lines loses all but the first."""
    if not isinstance(error, OSError):
        number, reason = errno.EIO, f"{type(error).__name__}: {error}"
    elif error.strerror:
        number, reason = error.errno or errno.EIO, error.strerror
    else:  # libraries raise some with a path alone
        kind = {FileNotFoundError: "no such file or bucket", PermissionError: "permission denied"}.get(type(error), "")
        number, reason = errno.EIO, f"{kind}{' ' * bool(kind)}({error})" if kind else str(error) or type(error).__name__
    return StorageError(number, reason.strip().splitlines()[0], path)


def told(error: BaseException) -> str:
    """What a `StorageError` says, if the error is one or a runner made it of one; "" if not."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, StorageError):
            return str(cause)
        cause = cause.__cause__
    found = [match for line in str(error).splitlines() if (match := _LINE.fullmatch(line.strip()))]
    return found[-1].group(1) if found else ""
