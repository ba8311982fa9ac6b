"""Pictures as functions of a seed: where figures stand, what they are, and what else is in the picture.

Every picture draws from its own generator, made from a hash of (seed, purpose, number): pictures do not depend on each
other nor on the order of drawing (rule R5).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from detector.demo.figures import finish, paint_figure, paint_ground, paint_strokes
from detector.demo.kinds import COARSE_SHARES, KINDS, LEAF_KINDS, Kind
from detector.demo.outlines import Outline, Rng, extent, outline, placed

SIZE = 96
MOST_OVERLAP = 0.08
BOXED_SIDES = (24.0, 56.0)
LABELLED_SIDES = (36.0, 78.0)
# The figures in a boxed picture: some pictures have none.
FIGURES = (0, 1, 2, 3, 4)
FIGURE_SHARES = (0.05, 0.25, 0.35, 0.22, 0.13)


@dataclass(frozen=True)
class Figure:
    """A figure in a picture.

    Attributes:
        kind: what it is.
        points: f64[V, 2] outline in pixels, continuous coordinates.
        mask: f64[SIZE, SIZE] in [0, 1], what it covered when it was painted.
    """

    kind: Kind
    points: Outline
    mask: NDArray[np.float64]


@dataclass(frozen=True)
class Crowd:
    """Many figures of one coarse concept in one region: `figures` overlap and are not told apart."""

    figures: tuple[Figure, ...]

    @property
    def kind(self) -> Kind:
        """One of them; all have its coarse concept."""
        return self.figures[0].kind


@dataclass(frozen=True)
class Scene:
    """A picture and what is in it."""

    image: Image.Image
    figures: tuple[Figure, ...]
    crowd: Crowd | None = None


def generator(seed: int, purpose: str, number: int) -> Rng:
    """The random generator of one picture."""
    digest = hashlib.sha256(f"wordtree demo/{seed}/{purpose}/{number}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "big"))


def boxed_scene(rng: Rng, *, kinds: Sequence[Kind], shares: Sequence[float], crowd: bool = False) -> Scene:
    """A picture with no, one or several figures, at most MOST_OVERLAP of each hidden.

    Args:
        rng: the picture's own.
        kinds: what may stand in it.
        shares: how likely each kind is; they sum to 1.
        crowd: whether a crowd stands in it as well.
    """
    pixels, ground = paint_ground(rng, SIZE)
    pixels = paint_strokes(rng, pixels, int(rng.integers(0, 6)))
    group = None
    taken: list[tuple[float, float, float, float]] = []
    if crowd:
        pixels, group, region = _paint_crowd(rng, pixels, ground)
        taken.append(region)
    count = int(rng.choice(FIGURES, p=FIGURE_SHARES)) if not crowd else 1
    figures: list[Figure] = []
    for _ in range(count):
        kind = kinds[int(rng.choice(len(kinds), p=shares))]
        points = _place(rng, kind, BOXED_SIDES, taken)
        if points is None:
            continue
        taken.append(extent(points))
        pixels, mask = paint_figure(rng, pixels, points, ground)
        figures.append(Figure(kind, points, mask))
    return Scene(finish(rng, pixels), tuple(figures), group)


def labelled_scene(rng: Rng, kind: Kind) -> Scene:
    """A picture with one larger figure, which its label names, and things that no label names: strokes, and in one
    of six pictures a small ellipse or heart."""
    pixels, ground = paint_ground(rng, SIZE)
    pixels = paint_strokes(rng, pixels, int(rng.integers(1, 9)))
    points = _place(rng, kind, LABELLED_SIDES, [])
    assert points is not None
    if rng.random() < 1 / 6:
        other = LEAF_KINDS[int(rng.integers(len(LEAF_KINDS)))]
        beside = _place(rng, other, (14.0, 24.0), [extent(points)])
        if beside is not None:
            pixels, _ = paint_figure(rng, pixels, beside, ground)
    pixels, mask = paint_figure(rng, pixels, points, ground)
    return Scene(finish(rng, pixels), (Figure(kind, points, mask),))


def training_shares() -> tuple[float, ...]:
    """The share of each of KINDS in boxed training pictures: COARSE_SHARES, spread evenly over a concept's kinds."""
    family = [sum(other.coarse == kind.coarse for other in KINDS) for kind in KINDS]
    shares = [COARSE_SHARES[kind.coarse] / size for kind, size in zip(KINDS, family, strict=True)]
    return tuple(share / sum(shares) for share in shares)


def even_shares() -> tuple[float, ...]:
    """Every kind as often as any other: for evaluation."""
    return (1 / len(KINDS),) * len(KINDS)


def _place(
    rng: Rng, kind: Kind, sides: tuple[float, float], taken: Sequence[tuple[float, float, float, float]]
) -> Outline | None:
    """An outline inside the picture that hardly overlaps what stands there; None if no room was found."""
    shape = outline(kind.shape, rng)
    side = float(np.exp(rng.uniform(*np.log(sides))))
    for attempt in range(12):
        points = placed(shape, longer_side=max(side * 0.94**attempt, sides[0]))
        _, _, width, height = extent(points)
        left, top = (float(v) for v in rng.uniform(1, np.array([SIZE - 1 - width, SIZE - 1 - height])))
        if all(_overlap((left, top, width, height), other) <= MOST_OVERLAP for other in taken):
            return points + np.array([left, top])
    return None


def _overlap(a: tuple[float, float, float, float], b: tuple[float, float, float, float]) -> float:
    """Common area as a share of the smaller box; boxes are `xywh`."""
    wide = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    tall = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    return max(wide, 0) * max(tall, 0) / min(a[2] * a[3], b[2] * b[3])


def _paint_crowd(
    rng: Rng, pixels: NDArray[np.float64], ground: NDArray[np.float64]
) -> tuple[NDArray[np.float64], Crowd, tuple[float, float, float, float]]:
    """A dozen small figures of one coarse concept, thrown on a heap."""
    first = KINDS[int(rng.integers(len(KINDS)))]
    kinds = [kind for kind in KINDS if kind.coarse == first.coarse]
    wide, tall = (float(v) for v in rng.uniform(36, 52, 2))
    left, top = (float(v) for v in rng.uniform(2, np.array([SIZE - 2 - wide, SIZE - 2 - tall])))
    figures: list[Figure] = []
    for _ in range(int(rng.integers(11, 16))):
        kind = kinds[int(rng.integers(len(kinds)))]
        points = placed(outline(kind.shape, rng), longer_side=float(rng.uniform(11, 16)))
        _, _, width, height = extent(points)
        points = points + rng.uniform((left, top), (left + wide - width, top + tall - height))
        pixels, mask = paint_figure(rng, pixels, points, ground)
        figures.append(Figure(kind, points, mask))
    everything = np.concatenate([figure.points for figure in figures])
    return pixels, Crowd(tuple(figures)), extent(everything)
