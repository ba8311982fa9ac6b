"""Where the elements of a JSON list end, found in a part of it by arithmetic on bytes, without parsing.

Quotes that are not escaped divide the bytes into strings and the rest; brackets outside of strings give the depth.
Whether the part is JSON at all is for a parser to say.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_QUOTE, _BACKSLASH, _OPEN, _CLOSE, _COMMA = b'"\\{},'
_FOLD = 0x20  # turns [ into { and ] into }


class Ends(NamedTuple):
    """What a part of a list holds.

    Attributes:
        elements: positions right behind each object or list that is an element, in order.
        stop: position of the bracket that ends the list, -1 if it lies behind this part.
    """

    elements: NDArray[np.int64]
    stop: int


def element_ends(part: bytes) -> Ends:
    """The ends in a part of a list that begins between two elements; elements that are plain values have none."""
    signs = np.frombuffer(part, np.uint8)
    folded = signs | _FOLD
    brackets = np.flatnonzero((folded == _OPEN) | (folded == _CLOSE))
    outside = np.searchsorted(_quotes(signs), brackets) % 2 == 0
    brackets = brackets[outside]
    depth = np.cumsum(np.where(folded[brackets] == _OPEN, 1, -1))
    below = np.flatnonzero(depth < 0)
    stop = int(brackets[below[0]]) if len(below) else -1
    if len(below):
        brackets, depth = brackets[: below[0]], depth[: below[0]]
    return Ends(brackets[depth == 0] + 1, stop)


def split_elements(part: bytes) -> list[tuple[int, bytes]]:
    """The texts between the commas of a list without its own brackets, each with its position."""
    signs = np.frombuffer(part, np.uint8)
    folded = signs | _FOLD
    found = np.flatnonzero((folded == _OPEN) | (folded == _CLOSE) | (signs == _COMMA))
    found = found[np.searchsorted(_quotes(signs), found) % 2 == 0]
    depth = np.cumsum(np.where(signs[found] == _COMMA, 0, np.where(folded[found] == _OPEN, 1, -1)))
    cuts = found[(signs[found] == _COMMA) & (depth == 0)].tolist()
    starts = [0, *(cut + 1 for cut in cuts)]
    return [(start, part[start:end]) for start, end in zip(starts, [*cuts, len(part)], strict=True)]


def _quotes(signs: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Positions of the quotes that begin or end a string."""
    quotes = np.flatnonzero(signs == _QUOTE)
    slashes = np.flatnonzero(signs == _BACKSLASH)
    if not len(slashes):
        return quotes
    gap = np.diff(slashes) > 1
    first, last = slashes[np.append(True, gap)], slashes[np.append(gap, True)]
    escaped = last[(last - first) % 2 == 0] + 1  # behind an odd number of backslashes
    return quotes[~np.isin(quotes, escaped)]
