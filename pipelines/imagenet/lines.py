"""Text files of a million lines, line by line."""

from __future__ import annotations

from collections.abc import Iterator

from pipelines.files import storage
from schemas.errors import InputError
from wordtree.text_files import GLANCE, what_it_is

AT_ONCE = 1 << 20


def lines_of(path: str, what: str) -> Iterator[str]:
    """The lines of a text file in UTF-8, with or without a byte order mark, without their ends.

    Raises:
        InputError: if it cannot be read; `what` names its role.
    """
    rest = b""
    begun = False
    try:
        with storage.opened(path) as stream:
            while chunk := stream.read(AT_ONCE):
                if not begun:
                    chunk = chunk.removeprefix(b"\xef\xbb\xbf")
                    begun = True
                    if told := what_it_is(chunk[:GLANCE]):
                        raise InputError(f"{what} {path!r} is {told}")
                *whole, rest = (rest + chunk).split(b"\n")
                for line in whole:
                    yield line.decode(errors="replace").rstrip("\r")
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError, PermissionError, ValueError) as error:
        reason = "does not exist" if isinstance(error, FileNotFoundError) else f"cannot be read ({error})"
        raise InputError(f"{what} {path!r} {reason}") from error
    if rest:
        yield rest.decode(errors="replace").rstrip("\r")
