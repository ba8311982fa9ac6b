"""Outlines of the demo's figures as polygons, with the freedom that their definition leaves them.

An outline is f64[V, 2] of (x, y), y down, closed by its first vertex; its size means nothing until `placed` scales it.
Every outline is drawn from a random generator that is handed in, so equal generators give equal outlines.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Outline = NDArray[np.float64]
Rng = np.random.Generator


def outline(shape: str, rng: Rng) -> Outline:
    """A random outline of a shape: its free proportions, a flip and a turn.

    Raises:
        KeyError: for a shape that nobody draws.
    """
    make, turn = SHAPES[shape]
    points = make(rng)
    if rng.random() < 0.5:
        points = points * (-1.0, 1.0)
    return rotated(points, rng.uniform(-turn, turn))


def rotated(points: Outline, degrees: float) -> Outline:
    """Turned about the origin."""
    angle = np.deg2rad(degrees)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    return points @ turn


def placed(points: Outline, *, longer_side: float, left: float = 0.0, top: float = 0.0) -> Outline:
    """Scaled so that the longer side of its bounding box is `longer_side`, with the box's corner at (left, top)."""
    low, high = points.min(axis=0), points.max(axis=0)
    return (points - low) * (longer_side / (high - low).max()) + (left, top)


def extent(points: Outline) -> tuple[float, float, float, float]:
    """(left, top, width, height) of the bounding box: COCO's `xywh`."""
    low, high = points.min(axis=0), points.max(axis=0)
    return float(low[0]), float(low[1]), float(high[0] - low[0]), float(high[1] - low[1])


def area(points: Outline) -> float:
    """By the shoelace formula."""
    x, y = points.T
    return float(abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2)


def _regular_star(tips: int, inner: float) -> Outline:
    angles = np.arange(2 * tips) * np.pi / tips - np.pi / 2
    radii = np.where(np.arange(2 * tips) % 2 == 0, 1.0, inner)
    return np.stack([np.cos(angles) * radii, np.sin(angles) * radii], axis=1)


def _equilateral_triangle(_: Rng) -> Outline:
    return np.array([(-1, 0), (1, 0), (0, -np.sqrt(3))], float)


def _right_triangle(rng: Rng) -> Outline:
    return np.array([(0, 0), (0, -1), (rng.uniform(0.75, 1.3), 0)], float)


def _obtuse_triangle(rng: Rng) -> Outline:
    """The obtuse angle, 108 to 126 degrees, stands on top, a little to one side."""
    angle = np.deg2rad(rng.uniform(108, 126))
    left = rng.uniform(0.42, 0.58) * (np.pi - angle)
    right = np.pi - angle - left
    foot = np.tan(right) / (np.tan(left) + np.tan(right))
    return np.array([(0, 0), (1, 0), (foot, -foot * np.tan(left))], float)


def _rectangle(rng: Rng) -> Outline:
    long = rng.uniform(1.0, 2.0)
    points = np.array([(0, 0), (long, 0), (long, 1), (0, 1)], float)
    return points if rng.random() < 0.5 else points[:, ::-1].copy()


def _rhombus(rng: Rng) -> Outline:
    tall = rng.uniform(1.2, 1.8)
    points = np.array([(0, -tall), (1, 0), (0, tall), (-1, 0)], float)
    return points if rng.random() < 0.5 else points[:, ::-1].copy()


def _trapezoid(rng: Rng) -> Outline:
    short, lean, tall = rng.uniform(0.35, 0.6), rng.uniform(0.35, 0.65), rng.uniform(0.5, 0.8)
    start = (1 - short) * lean
    return np.array([(0, 0), (1, 0), (start + short, -tall), (start, -tall)], float)


def _pentagram(rng: Rng) -> Outline:
    return _regular_star(5, rng.uniform(0.36, 0.44))


def _hexagram(rng: Rng) -> Outline:
    return _regular_star(6, rng.uniform(0.54, 0.6))


def _bar_cross(arm: float, up: float, down: float, side: float) -> Outline:
    """Two crossing bars of half-width `arm`, reaching so far from the crossing."""
    return np.array(
        [
            (-arm, -up), (arm, -up), (arm, -arm), (side, -arm), (side, arm), (arm, arm),
            (arm, down), (-arm, down), (-arm, arm), (-side, arm), (-side, -arm), (-arm, -arm),
        ],
        float,
    )  # fmt: skip


def _latin_cross(rng: Rng) -> Outline:
    return _bar_cross(rng.uniform(0.16, 0.24), 0.75, rng.uniform(1.4, 1.8), rng.uniform(0.75, 0.9))


def _saltire(rng: Rng) -> Outline:
    arm = rng.uniform(0.16, 0.25)
    return rotated(_bar_cross(arm, 1, 1, 1), 45) * (1.0, rng.uniform(0.8, 1.1))


def _maltese_cross(rng: Rng) -> Outline:
    """Four arrowheads whose points meet: eight tips."""
    wide, notch, neck = rng.uniform(0.5, 0.62), rng.uniform(0.68, 0.8), 0.09
    arm = np.array([(-neck, -neck), (-wide, -1), (0, -notch), (wide, -1)], float)
    return np.concatenate([rotated(arm, -90 * k) for k in range(4)])


def _ellipse(rng: Rng) -> Outline:
    angles = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    return np.stack([np.cos(angles), np.sin(angles) / rng.uniform(1.0, 1.8)], axis=1)


def _heart(rng: Rng) -> Outline:
    t = np.linspace(0, 2 * np.pi, 56, endpoint=False)
    x = 16 * np.sin(t) ** 3
    y = 13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)
    return np.stack([x, -y * rng.uniform(0.9, 1.15)], axis=1)


# shape -> (its outline, the largest turn in degrees that leaves it what it is)
SHAPES: dict[str, tuple[Callable[[Rng], Outline], float]] = {
    "equilateral_triangle": (_equilateral_triangle, 15.0),
    "right_triangle": (_right_triangle, 12.0),
    "obtuse_triangle": (_obtuse_triangle, 15.0),
    "rectangle": (_rectangle, 14.0),
    "rhombus": (_rhombus, 12.0),
    "trapezoid": (_trapezoid, 12.0),
    "pentagram": (_pentagram, 36.0),
    "hexagram": (_hexagram, 30.0),
    "latin_cross": (_latin_cross, 14.0),
    "saltire": (_saltire, 10.0),
    "maltese_cross": (_maltese_cross, 14.0),
    "ellipse": (_ellipse, 90.0),
    "heart": (_heart, 18.0),
}
