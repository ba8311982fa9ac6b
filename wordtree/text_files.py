"""Read small text files: UTF-8, with or without byte order mark, any line ends."""

from __future__ import annotations

from pathlib import Path

from schemas.errors import FormatError, InputError


def read_text(path: Path) -> str:
    """A UTF-8 file's text, with or without byte order mark.

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
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise FormatError(f"{path} line {line}: found byte 0x{data[error.start]:02x}; expected UTF-8 text") from None


def split_lines(text: str) -> list[str]:
    """The lines without their ends (LF or CRLF); a last line end adds no line.

    Unlike `str.splitlines`, a form feed or a Unicode separator inside a name does not end the line.
    """
    lines = [line.removesuffix("\r") for line in text.split("\n")]
    return lines[:-1] if lines[-1] == "" else lines
