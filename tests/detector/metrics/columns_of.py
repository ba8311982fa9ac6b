"""Columns of truths and detections from rows, as tests write them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from detector.metrics.columns import Found, Truths, xywh_of


def truths_of(rows: Sequence[tuple[int, int, Sequence[float], bool, bool]]) -> Truths:
    """Columns of rows (image, class, corners, ignored, group); areas are those of the boxes."""
    image, klass, box, ignored, group = zip(*rows, strict=True) if rows else ((), (), (), (), ())
    xywh = xywh_of(box)
    return Truths(
        np.array(image, np.int64),
        np.array(klass, np.int64),
        xywh,
        xywh[:, 2] * xywh[:, 3],
        np.array(ignored, bool),
        np.array(group, bool),
    )


def found_of(rows: Sequence[tuple[int, int, Sequence[float], float]]) -> Found:
    """Columns of rows (image, class, corners, score)."""
    image, klass, box, score = zip(*rows, strict=True) if rows else ((), (), (), ())
    return Found(
        np.array(image, np.int64),
        np.array(klass, np.int64),
        xywh_of(box),
        np.array(score, np.float64),
    )
