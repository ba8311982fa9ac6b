"""How long the tail of a dataset's classes is, in a few numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

RARE, COMMON = 10, 100  # LVIS: rare in up to 10 images, common in up to 100, else frequent


@dataclass(frozen=True, slots=True)
class Tail:
    """See `tail_of`.

    Attributes:
        classes: of the label space.
        gini: 0 all classes equally often, towards 1 a single class has everything; over all classes, empty ones too.
        effective: exp(H) of the shares: as many equally frequent classes are as uncertain.
        frequent, common, rare, none: classes by the number of their images, as LVIS splits them; none has no image.
    """

    classes: int
    gini: float
    effective: float
    frequent: int
    common: int
    rare: int
    none: int


def tail_of(counts: Sequence[int], images: Sequence[int]) -> Tail:
    """The tail of classes.

    Args:
        counts: statements (boxes and present labels) of each class; Gini and exp(H) are theirs.
        images: images of each class, in the same order; the split is theirs.
    """
    return Tail(
        classes=len(counts),
        gini=gini(counts),
        effective=effective_number(counts),
        frequent=sum(number > COMMON for number in images),
        common=sum(RARE < number <= COMMON for number in images),
        rare=sum(0 < number <= RARE for number in images),
        none=sum(number == 0 for number in images),
    )


def gini(counts: Sequence[int]) -> float:
    """The Gini coefficient: half the mean absolute difference of two counts, divided by the mean; 0 for nothing."""
    total, n = sum(counts), len(counts)
    if not total:
        return 0.0
    weighted = sum(rank * count for rank, count in enumerate(sorted(counts), start=1))
    return (2 * weighted - (n + 1) * total) / (n * total)


def effective_number(counts: Sequence[int]) -> float:
    """exp of the entropy of the shares; n for n equal counts, 0 for nothing."""
    total = sum(counts)
    if not total:
        return 0.0
    return math.exp(-sum(count / total * math.log(count / total) for count in sorted(counts) if count))
