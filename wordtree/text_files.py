"""Read small text files: UTF-8, with or without byte order mark, any line ends."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from schemas.errors import FormatError, InputError

LFS_POINTER = b"version https://git-lfs"  # begins the text that stands for a file that was not fetched
GLANCE = 256  # bytes that say what a file is


def what_it_is(head: bytes) -> str:
    """What a file is by its first bytes that is often found in the place of data; "" for nothing of the kind."""
    if head.startswith(LFS_POINTER):
        return "a Git LFS pointer in place of the file; fetch it with `git lfs pull`"
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith((b"<!doctype html", b"<html", b"<head", b"<body")):
        return "a web page in place of the file"
    return ""


def read_text(path: Path, errors: str = "strict") -> str:
    """A UTF-8 file's text, with or without byte order mark.

    Args:
        path: of the file.
        errors: what becomes of bytes that are no UTF-8, as `bytes.decode` takes it.

    Raises:
        InputError: there is no such file, it cannot be read, or it is empty.
        FormatError: it is not UTF-8; with the line.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except OSError as error:
        raise InputError(f"{path}: cannot read it ({error.strerror})") from error
    if not data.strip():
        raise InputError(f"{path}: the file is empty")
    if told := what_it_is(data[:GLANCE]):
        raise InputError(f"{path} is {told}")
    try:
        return data.decode("utf-8-sig", errors)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise FormatError(f"{path} line {line}: found byte 0x{data[error.start]:02x}; expected UTF-8 text") from None


def split_lines(text: str) -> list[str]:
    """The lines without their ends (LF or CRLF; CR in a file without LF); a last line end adds no line.

    Unlike `str.splitlines`, a form feed or a Unicode separator inside a name does not end the line.
    """
    if "\n" not in text:
        text = text.replace("\r", "\n")
    lines = [line.removesuffix("\r") for line in text.split("\n")]
    return lines[:-1] if lines[-1] == "" else lines


def read_columns(path: Path, names: Sequence[str]) -> list[tuple[int, tuple[str, ...]]]:
    """(line, cells) of some columns of a small table; tabs or commas.

    Raises:
        InputError, FormatError: the file cannot be read, a column is missing, or a cell is empty; with the line.
    """
    lines = [
        (number, [cell.strip() for cell in line.split("\t" if "\t" in line else ",")])
        for number, line in enumerate(split_lines(read_text(path)), 1)
        if line.strip() and not line.startswith("#")
    ]
    header = lines[0][1] if lines else []
    if not set(names) <= set(header):
        raise FormatError(f"{path}: found columns {', '.join(header)}; expected {' and '.join(names)}")
    rows: list[tuple[int, tuple[str, ...]]] = []
    for number, cells in lines[1:]:
        row = dict(zip(header, cells, strict=False))
        if not all(row.get(name) for name in names):
            raise FormatError(f"{path} line {number}: found {cells!r}; expected {' and '.join(names)}")
        rows.append((number, tuple(row[name] for name in names)))
    return rows


def is_utf8(data: bytes) -> bool:
    """Whether bytes are text in UTF-8."""
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
