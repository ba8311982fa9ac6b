"""Where words stand beside marks: the free place nearest to the mark, on a halo in the colour of the page.

Pure: places in pixels in, places out. Lines, other marks and words that stand already are kept clear where that is
possible; a halo keeps words readable where it is not.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from html import escape
from typing import NamedTuple

LETTER, TALL = 6.3, 12.0  # pixels of a letter and of a line of words, at 11 pixels
GAP = 5.0  # pixels between words, more than the halo
MARK = 8.0  # half the side that a mark takes
HALO = 'paint-order="stroke" stroke="var(--card)" stroke-width="4" stroke-linejoin="round"'
# (dx, dy of the base line, anchor), the liked first
PLACES = [
    (9.0, -7.0, "start"), (-9.0, -7.0, "end"), (9.0, 16.0, "start"), (-9.0, 16.0, "end"), (0.0, -11.0, "middle"),
    (0.0, 20.0, "middle"), (12.0, 4.0, "start"), (-12.0, 4.0, "end"), (9.0, -20.0, "start"), (-9.0, -20.0, "end"),
    (9.0, 29.0, "start"), (-9.0, 29.0, "end"), (0.0, -24.0, "middle"), (0.0, 33.0, "middle"),
]  # fmt: skip
Point = tuple[float, float]


class Box(NamedTuple):
    """Edges in pixels."""

    left: float
    top: float
    right: float
    bottom: float


class Label(NamedTuple):
    """Words at a place: the base line's, and which end of the words stands there."""

    text: str
    x: float
    y: float
    anchor: str

    @property
    def box(self) -> Box:
        """What the words cover."""
        wide = LETTER * len(self.text)
        left = self.x - {"start": 0.0, "middle": wide / 2, "end": wide}[self.anchor]
        return Box(left, self.y - TALL + 2, left + wide, self.y + 2)


def place_labels(
    texts: Sequence[str], marks: Sequence[Point], lines: Sequence[Sequence[Point]], inside: Box
) -> list[Label]:
    """A label for every mark that has words, in the marks' order.

    Args:
        texts: of the marks; "" for none.
        marks: their middles.
        lines: corners of what is drawn.
        inside: what words may not leave.
    """
    dots = [dot for line in lines for dot in _dots(line)]
    spots = [Box(x - MARK, y - MARK, x + MARK, y + MARK) for x, y in marks]
    found: list[Label] = []
    for text, (x, y) in zip(texts, marks, strict=True):
        if not text:
            continue
        tries = [Label(text, x + dx, y + dy, anchor) for dx, dy, anchor in PLACES]
        best = min(range(len(tries)), key=lambda k: (_cost(tries[k].box, found, spots, dots, inside) + 0.5 * k, k))
        found.append(tries[best])
    return found


def label_svg(label: Label) -> str:
    """The words on their halo."""
    return (
        f'<text class="tick" x="{label.x:.1f}" y="{label.y:.1f}" text-anchor="{label.anchor}" {HALO}>'
        f"{escape(label.text)}</text>"
    )


def _cost(box: Box, found: Sequence[Label], spots: Sequence[Box], dots: Sequence[Point], inside: Box) -> float:
    outside = box.left < inside.left or box.right > inside.right or box.top < inside.top or box.bottom > inside.bottom
    apart = Box(box.left - GAP, box.top, box.right + GAP, box.bottom)
    words = sum(_overlap(apart, other.box) for other in found)
    marks = sum(_overlap(box, spot) for spot in spots)
    crossed = sum(box.left - 2 < x < box.right + 2 and box.top - 1 < y < box.bottom + 1 for x, y in dots)
    return 1000.0 * outside + 3.0 * words + 2.0 * marks + 1.5 * crossed


def _overlap(a: Box, b: Box) -> float:
    wide, tall = min(a.right, b.right) - max(a.left, b.left), min(a.bottom, b.bottom) - max(a.top, b.top)
    return wide * tall if wide > 0 and tall > 0 else 0.0


def _dots(line: Sequence[Point]) -> list[Point]:
    """Points of a line, 3 pixels apart."""
    dots = []
    for (x, y), (x2, y2) in itertools.pairwise(line):
        count = max(int(math.hypot(x2 - x, y2 - y) / 3), 1)
        dots += [(x + (x2 - x) * k / count, y + (y2 - y) * k / count) for k in range(count + 1)]
    return dots
