"""Which source fills position i of the joint stream: arithmetic, not sampling.

YOLO9000 mixes classification and detection images 4 : 1. Drawing at random hits that share only on average, and a
resumed run draws differently. Here position i maps to (source, index in that source) by a fixed schedule that repeats
every sum(weights) positions and follows Tijdeman's rule for just-in-time sequences: on every prefix each source's count
is off its share by less than one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from math import lcm

from schemas.errors import ConfigError


@dataclass(frozen=True)
class Mixture:
    """A joint stream of several sources.

    Args:
        weights: one positive number a source; only their ratios count. They are taken as fractions with
            denominators up to 1,000.

    Raises:
        ConfigError: if there is no source, or a weight is not positive.

    Example:
        >>> [Mixture((4, 1)).source_at(i)[0] for i in range(10)]
        [0, 0, 1, 0, 0, 0, 0, 1, 0, 0]
    """

    weights: tuple[float, ...]
    _schedule: tuple[int, ...] = field(init=False, repr=False, compare=False)
    _rank: tuple[int, ...] = field(init=False, repr=False, compare=False)
    _counts: tuple[int, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not self.weights or any(not weight > 0 for weight in self.weights):
            raise ConfigError(f"mixture weights must be positive numbers, one a source; found {self.weights!r}")
        total = sum(self.weights)
        shares = [Fraction(weight / total).limit_denominator(1000) for weight in self.weights]
        if any(share == 0 for share in shares):
            raise ConfigError(f"mixture weights may differ by a factor of 1,000 at most; found {self.weights!r}")
        scale = lcm(*(share.denominator for share in shares))
        counts = [int(share * scale) for share in shares]
        schedule = _tijdeman(counts)
        seen = [0] * len(counts)
        rank: list[int] = []
        for source in schedule:
            rank.append(seen[source])
            seen[source] += 1
        object.__setattr__(self, "_schedule", tuple(schedule))
        object.__setattr__(self, "_rank", tuple(rank))
        object.__setattr__(self, "_counts", tuple(counts))

    @property
    def period(self) -> int:
        """Positions after which the schedule repeats."""
        return len(self._schedule)

    def source_at(self, position: int) -> tuple[int, int]:
        """(source, index in that source's own endless stream) at `position` >= 0.

        Law: over positions 0..n-1 the indices of each source are 0, 1, 2, ... without a gap.
        """
        cycle, offset = divmod(position, self.period)
        source = self._schedule[offset]
        return source, cycle * self._counts[source] + self._rank[offset]


def _tijdeman(counts: Sequence[int]) -> list[int]:
    """A sequence of sum(counts) items in which each prefix is off every share by less than 1 (Tijdeman 1980).

    At step n (from 1) the sources with share * n - placed >= 1 - 1/(2k-2) slack are eligible; among them the one whose
    next item is due first is taken. Exact integer arithmetic; ties go to the first source.
    """
    total, sources = sum(counts), len(counts)
    if sources == 1:
        return [0] * total
    slack = Fraction(1, 2 * sources - 2)
    placed = [0] * sources
    order: list[int] = []
    for step in range(1, total + 1):
        eligible = [
            source for source in range(sources) if Fraction(counts[source] * step, total) - placed[source] >= slack
        ]
        source = min(eligible, key=lambda s: ((placed[s] + 1 - slack) * Fraction(total, counts[s]), s))
        placed[source] += 1
        order.append(source)
    return order
