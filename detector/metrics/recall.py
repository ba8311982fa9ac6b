"""Does a box lie on the object at all, whatever it is called: class-agnostic recall, and CorLoc.

Recall@n: the share of truths that one of the image's n best boxes overlaps by at least a half. Boxes are ranked by
objectness, or by their best class where a model has none; two truths may be found by one box.

CorLoc (Deselaers et al. 2012): over the images that hold a class, the share in which the best-scoring box of that class
overlaps some truth of it by at least a half. Ignored truths (crowds, difficult ones) are not asked for, and an image
with these alone does not hold the class; but a best box that lies on one lies on the class.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from detector.metrics.columns import Bools, Found, Ints, Truths, by_image, pairwise_overlap
from detector.metrics.evidence import Evidence
from detector.metrics.metric import Figure, Metric, Rows

LIMITS = (1, 10, 100)


def first_hit_rank(truths: Truths, proposals: Found, *, iou: float = 0.5) -> Ints:
    """i64[T]: the rank, from 0, of the image's first proposal that overlaps the truth enough; a large number if none.

    Args:
        truths: of any class.
        proposals: their classes do not matter.
        iou: least overlap.
    """
    none = np.iinfo(np.int64).max
    ranks = np.full(len(truths), none, np.int64)
    proposals = proposals.best_first()
    for rows, of_image in by_image(proposals.image, truths.image):
        if not len(of_image):
            continue
        hit = pairwise_overlap(proposals.box[rows], truths.box[of_image]) >= iou
        ranks[of_image] = np.where(hit.any(axis=0), hit.argmax(axis=0), none)
    return ranks


def recall_per_class(
    truths: Truths, ranks: Ints, classes: list[int], limits: tuple[int, ...] = LIMITS
) -> dict[int, dict[int, float | None]]:
    """Class to limit to the share of its truths that is found; None where it has no truth."""
    table: dict[int, dict[int, float | None]] = {}
    for klass in classes:
        mine = ranks[(truths.klass == klass) & ~truths.ignored]
        table[klass] = {limit: float((mine < limit).mean()) if len(mine) else None for limit in limits}
    return table


def best_boxes(found: Found) -> Found:
    """The best detection of every image and class; of equal scores the first."""
    found = found.best_first()
    _, first = np.unique(np.stack([found.image, found.klass]), axis=1, return_index=True)
    return found.take(np.sort(first))


def correct_localisation(
    truths: Truths, best: Found, classes: list[int], *, iou: float = 0.5
) -> dict[int, tuple[int, int]]:
    """Class to (images in which it is found, images that hold it).

    Args:
        truths: of all images.
        best: at most one detection per image and class.
        classes: the keys of the answer.
        iou: least overlap.
    """
    right = _hits(truths, best, iou)
    truths = truths.take(~truths.ignored)
    good = {(int(i), int(c)) for i, c in zip(best.image[right], best.klass[right], strict=True)}
    table = {klass: (0, 0) for klass in classes}
    for image, klass in {(int(i), int(c)) for i, c in zip(truths.image, truths.klass, strict=True)}:
        if klass in table:
            hits, images = table[klass]
            table[klass] = (hits + ((image, klass) in good), images + 1)
    return table


def _hits(truths: Truths, best: Found, iou: float) -> Bools:
    """bool[D]: the detection overlaps some truth of its image and class enough."""
    right = np.zeros(len(best), bool)
    for rows, of_image in by_image(best.image, truths.image):
        same = best.klass[rows][:, None] == truths.klass[of_image][None]
        right[rows] = (same & (pairwise_overlap(best.box[rows], truths.box[of_image]) >= iou)).any(axis=1)
    return right


def measure(evidence: Evidence, rows: Rows) -> dict[str, Any]:
    """See `Metric.measure`."""
    proposals = evidence.found if evidence.proposals is None else evidence.proposals
    best = best_boxes(evidence.found) if evidence.best is None else evidence.best
    recall = recall_per_class(evidence.truths, first_hit_rank(evidence.truths, proposals), evidence.ids)
    localised = correct_localisation(evidence.truths, best, evidence.ids)
    for row, klass in zip(rows, evidence.ids, strict=True):
        row |= {f"recall{limit}": share for limit, share in recall[klass].items()}
        hits, images = localised[klass]
        row["CorLoc"] = hits / images if images else None
    return {}


_FIGURES = tuple(Figure(f"recall{limit}", f"recall@{limit}") for limit in LIMITS)
METRICS = (Metric("recall", 4, (*_FIGURES, Figure("CorLoc", "CorLoc", mean_key="corloc")), measure, in_training=True),)
