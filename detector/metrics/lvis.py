"""LVIS's rules, for data in which only some classes were looked for in each image: a federated data set.

A class was looked for in an image that has a box of it, or is verified to have none; other detections of it say nothing
and are left out. Where not every object of a class has a box, a detection without a truth is neither hit nor miss. The
best 300 detections of an image count, whatever their class. The rest is COCO's (`detector.metrics.coco`).

Source: Gupta et al., LVIS (2019), and its published program `lvis` (eval.py, results.py), which gives equal numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from detector.metrics import coco
from detector.metrics.columns import Found, Ints, Pairs, Truths, was_looked_for

LIMIT = 300  # detections of an image


class Federated(NamedTuple):
    """What people looked for.

    Attributes:
        absent: (image, class) that are verified to have no object.
        partial: (image, class) of which not every object has a box.
    """

    absent: Pairs
    partial: Pairs


def class_figures(
    truths: Truths, found: Found, classes: Sequence[int], order: Ints, federated: Federated
) -> list[coco.Figures]:
    """The figures of each class; see `detector.metrics.coco.class_figures`."""
    found = best_of_images(found)
    found = found.take(was_looked_for(truths, found, federated.absent))
    return coco.class_figures(truths, found, classes, order, limits=(LIMIT,), open_ended=federated.partial)


def best_of_images(found: Found) -> Found:
    """The best `LIMIT` detections of each image, in their order; of equal ones the first."""
    ranked = np.lexsort((-found.score, found.image))
    images = found.image[ranked]
    place = np.arange(len(images)) - np.searchsorted(images, images, "left")
    return found.take(np.sort(ranked[place < LIMIT]))
