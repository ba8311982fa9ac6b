"""Average precision from ranked credits: the area of VOC 2010 and later (and Open Images), and VOC 2007's 11 points.

A ranked detection has a credit: 1 for a hit, 0 for a false one; Open Images gives a group another weight. Precision is
credit over (credit + false ones) up to a rank, recall credit over what could be found.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from detector.metrics.columns import Floats, Ints

ELEVEN = np.arange(0.0, 1.1, 0.1)  # as the devkit counts: 0.3 is 3 times 0.1, a little more than 3/10


class Curve(NamedTuple):
    """Precision and recall f64[K] at each rank."""

    precision: Floats
    recall: Floats

    def area(self) -> float:
        """Under the curve, after precision was made to fall with recall (VOC 2010 and later, every point)."""
        recall = np.concatenate([[0.0], self.recall, [1.0]])
        precision = np.concatenate([self.precision, [0.0]])
        highest = np.maximum.accumulate(precision[::-1])[::-1]
        return float((np.diff(recall) * highest).sum())

    def eleven_points(self) -> float:
        """Mean, over the recalls 0, 0.1 ... 1, of the best precision at that recall or a greater one (VOC 2007)."""
        best = [self.precision[self.recall >= at].max(initial=0.0) for at in ELEVEN]
        return float(np.mean(best))


def ranked_curve(score: Floats, credit: Floats, positives: float) -> Curve:
    """The curve of one class; equal scores keep their order.

    Args:
        score, credit: f[K].
        positives: what could be found, more than 0.
    """
    credit = credit[np.argsort(-score, kind="stable")]
    hits, misses = np.cumsum(credit), np.cumsum(credit <= 0)
    return Curve(hits / np.maximum(hits + misses, 1e-300), hits / positives)


def curves_by_class(klass: Ints, score: Floats, credit: Floats, positives: dict[int, float]) -> dict[int, Curve | None]:
    """The curve of each class of `positives`; None where nothing could be found.

    Args:
        klass, score, credit: columns of what counts, in any order.
        positives: class to what could be found.
    """
    order = np.argsort(klass, kind="stable")
    sorted_class = klass[order]
    curves: dict[int, Curve | None] = {}
    for name, count in positives.items():
        low, high = np.searchsorted(sorted_class, name, "left"), np.searchsorted(sorted_class, name, "right")
        rows = order[low:high]
        curves[name] = ranked_curve(score[rows], credit[rows], count) if count > 0 else None
    return curves


def mean_or_none(values: Sequence[float | None]) -> float | None:
    """Mean of the values that are there; None if none is."""
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None
