"""Pascal VOC's rules: which detections are hits (devkit, VOCevaldet.m).

Per class, by falling score: a detection is compared with the truth of its image that it overlaps most, difficult ones
included. Overlap of at least a half: a hit if that truth is free, a false one if it is taken, even where a second truth
would do; neither where it is difficult. Less: a false one. Difficult truths are not counted.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from detector.metrics.columns import Bools, Floats, Found, Ints, Truths, by_image, pairwise_overlap
from detector.metrics.evidence import Evidence
from detector.metrics.metric import Figure, Metric, Rows
from detector.metrics.precision import Curve, curves_by_class

HIT, FALSE, IGNORED = 1, 0, -1


def verdicts(truths: Truths, found: Found, *, iou: float = 0.5, edge: float = 0.0) -> Ints:
    """i64[D] HIT, FALSE or IGNORED for each detection, in the given order.

    Args:
        truths, found: of all images and classes.
        iou: least overlap.
        edge: 1 for boxes of whole pixels, as the devkit measures them; see `pairwise_overlap`.
    """
    words = np.full(len(found), FALSE, np.int64)
    order = np.argsort(-found.score, kind="stable")
    ranked = found.take(order)
    for rows, of_class in by_image(*class_keys(ranked, truths)):
        if len(of_class):
            overlaps = pairwise_overlap(ranked.box[rows], truths.box[of_class], edge=edge)
            words[order[rows]] = match_best(overlaps, truths.ignored[of_class], iou)
    return words


def match_best(overlaps: Floats, ignored: Bools, iou: float) -> Ints:
    """The rule above on the overlaps f[D, T] of one image and class, detections by falling score."""
    best = overlaps.argmax(axis=1)
    enough = overlaps[np.arange(len(overlaps)), best] >= iou
    words = np.where(enough, np.where(ignored[best], IGNORED, HIT), FALSE)
    hits = np.flatnonzero(words == HIT)
    _, first = np.unique(best[hits], return_index=True)
    taken = np.ones(len(hits), bool)
    taken[first] = False
    words[hits[taken]] = FALSE
    return words


def class_keys(found: Found, truths: Truths) -> tuple[Ints, Ints]:
    """One number for each image and class, of detections and of truths."""
    wide = 1 + max(found.klass.max(initial=0), truths.klass.max(initial=0))
    return found.image * wide + found.klass, truths.image * wide + truths.klass


def class_curves(
    truths: Truths, found: Found, classes: list[int], *, iou: float = 0.5, edge: float = 0.0
) -> dict[int, Curve | None]:
    """The curve of each class, None for one without a truth that counts."""
    words = verdicts(truths, found, iou=iou, edge=edge)
    counts = words != IGNORED
    owners = truths.klass[~truths.ignored]
    numbers, totals = np.unique(owners, return_counts=True)
    total = dict(zip(numbers.tolist(), totals.tolist(), strict=True))
    positives = {klass: float(total.get(klass, 0)) for klass in classes}
    return curves_by_class(
        found.klass[counts], found.score[counts], (words[counts] == HIT).astype(np.float64), positives
    )


def _measure(key: str, area: Callable[[Curve], float]) -> Callable[[Evidence, Rows], dict[str, Any]]:
    def measure(evidence: Evidence, rows: Rows) -> dict[str, Any]:
        curves = class_curves(evidence.truths, evidence.judged, evidence.ids)
        for row, klass in zip(rows, evidence.ids, strict=True):
            curve = curves[klass]
            row[key] = None if curve is None else area(curve)
        return {}

    return measure


METRICS = (
    Metric("voc07", 1, (Figure("VOC07", "VOC07", "VOC 2007"),), _measure("VOC07", Curve.eleven_points)),
    Metric("voc10", 2, (Figure("VOC10", "VOC10", "VOC 2010"),), _measure("VOC10", Curve.area)),
)
