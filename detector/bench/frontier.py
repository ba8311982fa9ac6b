"""Which arms are worth their cost: nobody is as good for less, or better for as much (the optimality frontier)."""

from __future__ import annotations

from collections.abc import Sequence


def frontier(points: Sequence[tuple[float, float | None]]) -> list[int]:
    """Positions of the best, by rising cost.

    Law: every other point has one of these that costs no more and is no worse; of equal points the first is taken.

    Args:
        points: (cost, accuracy); without an accuracy a point is not looked at.
    """
    order = sorted(
        (place for place, (_, good) in enumerate(points) if good is not None),
        key=lambda place: (points[place][0], -(points[place][1] or 0.0), place),
    )
    best: list[int] = []
    for place in order:
        if not best or (points[place][1] or 0.0) > (points[best[-1]][1] or 0.0):
            best.append(place)
    return best
