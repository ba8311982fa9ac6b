"""The numbers of text files, in one grammar for all of them.

    -1   .5   1.   1e-3   +0.25   nan   inf   Infinity      blanks around are passed over

Python reads more: `1_0`, and digits of other scripts such as `１` and `٢`. Nobody means these as numbers of a table,
and other readers refuse them or read something else, so they are none here.
"""

from __future__ import annotations

PATTERN = r"(?i)^\s*[-+]?(\d+\.?\d*(e[-+]?\d+)?|\.\d+(e[-+]?\d+)?|nan|inf(inity)?)\s*$"  # of RE2: ASCII alone


def parse_number(text: str) -> float:
    """The number that a text is.

    Raises:
        ValueError: if it is none.
    """
    number = float(text)
    if "_" in text or not text.isascii():
        raise ValueError(f"no number: {text!r}")
    return number


def is_whole(text: str) -> bool:
    """Whether a text is a whole number of digits alone."""
    return text.isascii() and text.isdecimal()
