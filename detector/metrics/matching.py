"""Which proposal stands for which truth: one to one, whatever the class, best proposal first.

A proposal takes the free truth that it overlaps most, if it overlaps it by at least a half.
"""

from __future__ import annotations

import numpy as np

from detector.metrics.columns import Floats, Ints, pairwise_overlap


def match_any_class(truths: Floats, proposals: Floats, *, iou: float = 0.5) -> Ints:
    """i64[T]: row of the proposal that took the truth, -1 where none did.

    Args:
        truths: f[T, 4].
        proposals: f[P, 4] by falling score.
        iou: least overlap.
    """
    taken = np.full(len(truths), -1, np.int64)
    if not len(truths) or not len(proposals):
        return taken
    overlaps = pairwise_overlap(proposals.astype(np.float64), truths.astype(np.float64))
    for row in np.flatnonzero(overlaps.max(axis=1) >= iou):
        free = np.where(taken < 0, overlaps[row], -1.0)
        best = int(free.argmax())
        if free[best] >= iou:
            taken[best] = row
    return taken


def match_batch(truths: Floats, count: Ints, proposals: Floats, valid: Ints) -> Ints:
    """The same for a padded batch.

    Args:
        truths: f[B, M, 4], of which `count` i[B] are there.
        proposals: f[B, K, 4], of which `valid` i[B] are there.

    Returns:
        i64[B, M].
    """
    taken = np.full(truths.shape[:2], -1, np.int64)
    for number, (some, those) in enumerate(zip(count.tolist(), valid.tolist(), strict=True)):
        taken[number, :some] = match_any_class(truths[number, :some], proposals[number, :those])
    return taken
