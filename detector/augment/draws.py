"""Uniform numbers that are a hash of what they are for: nothing to seed, nothing to keep (rule R5).

`HashDraws(seed, "augment", position)` costs a microsecond; a NumPy generator costs twenty to set up, which for an image
a position is most of what the stream does in Python.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from typing import Any, Protocol

_WORDS = 8  # of 64 bits in one digest
_UNPACK = struct.Struct(f"<{_WORDS}Q").unpack
_STEP = 2.0**-53


class Uniform(Protocol):
    """What gives numbers in [0, 1): `HashDraws`, or a `numpy.random.Generator`."""

    def random(self, count: int, /) -> Any:
        """The next `count` numbers, which can be unpacked."""
        ...


class HashDraws:
    """An endless sequence of numbers in [0, 1), a pure function of `parts`.

    Number k is the upper 53 bits of word k % 8 of BLAKE2b("k // 8" + "/" + text of the parts).

    Args:
        parts: what the numbers are for, such as seed, purpose, position; their texts count.
    """

    __slots__ = ("_left", "_next", "_text")

    def __init__(self, *parts: object) -> None:
        self._text = "/".join(map(str, parts)).encode()
        self._next = 0
        self._left: list[float] = []

    def random(self, count: int, /) -> Sequence[float]:
        """The next `count` numbers."""
        while len(self._left) < count:
            digest = hashlib.blake2b(b"%d/%b" % (self._next, self._text), digest_size=8 * _WORDS).digest()
            self._left += [(word >> 11) * _STEP for word in _UNPACK(digest)]
            self._next += 1
        taken, self._left = self._left[:count], self._left[count:]
        return taken
