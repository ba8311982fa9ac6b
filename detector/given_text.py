"""Text that people give: files are read within a limit, and what was found is told shortened, with the nearest match.

Regular files alone are read: a named pipe would be waited for without end, a device read without end.
"""

from __future__ import annotations

import difflib
import os
import stat
from collections.abc import Iterable

from schemas.errors import FormatError, InputError

LONGEST_WORD = 80  # of what was found, in messages


def shortened(text: str, most: int = LONGEST_WORD) -> str:
    """What was found, for a message of one line: at most so many characters."""
    return text if len(text) <= most else f"{text[: most - 3]}..."


def read_limited(path: str, most: int) -> bytes:
    """The bytes of a regular file.

    Args:
        path: of the file.
        most: bytes; no more than these and one are ever read.

    Raises:
        InputError: if it is missing, cannot be read or is no regular file.
        FormatError: if it is larger.
    """
    try:
        # A named pipe without a writer is opened, not waited for.
        opened = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        about = os.fstat(opened)
        if not stat.S_ISREG(about.st_mode):
            os.close(opened)
            kind = "folder" if stat.S_ISDIR(about.st_mode) else "pipe, socket or device"
            raise InputError(f"cannot read {path}: it is a {kind}; expected a regular file: write its text to one")
        with open(opened, "rb") as file:
            data = file.read(most + 1)
    except FileNotFoundError:
        raise InputError(f"cannot read {path}: no such file; check its name") from None
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "no name of a file"
        raise InputError(f"cannot read {path} ({why})") from error
    if len(data) > most:
        size = max(about.st_size, len(data))
        raise FormatError(f"{path}: has {size:,} bytes; expected at most {most:,}: give the file that was meant")
    return data


def nearest(word: str, known: Iterable[str]) -> str:
    """A question for the end of a message, with the known word that is nearest; nothing if none is near."""
    close = difflib.get_close_matches(word, list(known), n=1) if len(word) <= LONGEST_WORD else []
    return f" (did you mean {close[0]!r}?)" if close else ""
