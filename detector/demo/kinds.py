"""What the demo draws: plane figures and crosses, each a noun synset of WordNet 3.0.

A *coarse* concept is what a box says in training. A *kind* is what is drawn. Kinds with a wnid of their own are
labelled at the image level alone and never boxed: their boxes are learnt through the tree. Every kind is a true hyponym
of its coarse concept in WordNet, so `wordtree tree build` finds

    Cross          Latin cross, Maltese cross, St. Andrew's cross
    plane figure   heart, ellipse
      star         pentagram, hexagram
      polygon
        triangle   equilateral, obtuse and right triangle
        quadrilateral   parallelogram (rhombus, rectangle), trapezoid

Heart and ellipse have no kinds: they are boxed leaves.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Concept:
    """A class of the demo: the data set's own name, and the synset that it means."""

    name: str
    wnid: str


@dataclass(frozen=True, slots=True)
class Kind:
    """Something that can be drawn.

    Attributes:
        shape: which outline; see detector/demo/outlines.py.
        coarse: the concept that a training box on it carries.
        fine: the concept that an image label carries; None for a boxed leaf.
    """

    shape: str
    coarse: Concept
    fine: Concept | None


TRIANGLE = Concept("triangle", "n13879320")
QUADRILATERAL = Concept("quadrilateral", "n13879126")
STAR = Concept("star", "n13881644")
CROSS = Concept("cross", "n03135152")
ELLIPSE = Concept("ellipse", "n13878306")
HEART = Concept("heart", "n13865904")

COARSE = (TRIANGLE, QUADRILATERAL, STAR, CROSS, ELLIPSE, HEART)

# The most labelled kind first: the long tail of the classification images follows this order.
FINE_KINDS = (
    Kind("rectangle", QUADRILATERAL, Concept("rectangle", "n13883346")),
    Kind("equilateral_triangle", TRIANGLE, Concept("equilateral triangle", "n13879947")),
    Kind("pentagram", STAR, Concept("pentagram", "n13882008")),
    Kind("latin_cross", CROSS, Concept("Latin cross", "n03646695")),
    Kind("rhombus", QUADRILATERAL, Concept("rhombus", "n13882961")),
    Kind("right_triangle", TRIANGLE, Concept("right triangle", "n13880551")),
    Kind("saltire", CROSS, Concept("St. Andrew's cross", "n04302598")),
    Kind("hexagram", STAR, Concept("hexagram", "n13880811")),
    Kind("trapezoid", QUADRILATERAL, Concept("trapezoid", "n13881512")),
    Kind("maltese_cross", CROSS, Concept("Maltese cross", "n03716091")),
    Kind("obtuse_triangle", TRIANGLE, Concept("obtuse triangle", "n13880415")),
)
LEAF_KINDS = (Kind("ellipse", ELLIPSE, None), Kind("heart", HEART, None))
KINDS = FINE_KINDS + LEAF_KINDS
FINE = tuple(kind.fine for kind in FINE_KINDS if kind.fine)

# Shares of the figures in the boxed training images, by coarse concept: a tail here too.
COARSE_SHARES = {TRIANGLE: 0.26, QUADRILATERAL: 0.24, STAR: 0.17, CROSS: 0.15, ELLIPSE: 0.11, HEART: 0.07}


def tail_counts(total: int, *, ratio: float = 4.0) -> tuple[int, ...]:
    """How many images each of FINE_KINDS gets: falling geometrically, the first `ratio` times the last.

    Law: they sum to `total`; each is within 1 of its real share.
    """
    steps = len(FINE_KINDS) - 1
    weights = [ratio ** (-k / steps) for k in range(steps + 1)]
    whole = sum(weights)
    ends = [round(total * sum(weights[: k + 1]) / whole) for k in range(steps + 1)]
    return tuple(end - start for start, end in zip([0, *ends], ends, strict=False))
