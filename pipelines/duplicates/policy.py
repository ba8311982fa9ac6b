"""What becomes of duplicates and leaks: a pure decision (rule R10).

leak       an image that stands in an evaluation split too is dropped: `image:leak`
cluster    of the images that are left, the one with the most pixels stays, then the first dataset's, then the
           smallest id; the others are dropped: `image:duplicate` for the same bytes as the one that stays, else
           `image:near_duplicate`
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipelines.duplicates.find import Images, Leak, distance_between

LEAK = "image:leak"
EXACT = "image:duplicate"
NEAR = "image:near_duplicate"


@dataclass(frozen=True, slots=True)
class Dropped:
    """An image that goes.

    Attributes:
        image: its number.
        reason: LEAK, EXACT or NEAR.
        instead: number of the image that stays, or, of a leak, of the evaluation image.
        distance: different bits of their hashes.
    """

    image: int
    reason: str
    instead: int
    distance: int


@dataclass(frozen=True, slots=True)
class Cluster:
    """Images that are the same picture: the one that stands for them, and the others in order."""

    first: int
    others: tuple[int, ...]


def clusters_of(images: Images, root: np.ndarray, without: Sequence[int] = ()) -> list[Cluster]:
    """The clusters with at least two images, each led by the image that stays.

    Args:
        root: of each image, its cluster.
        without: numbers of images that do not count.
    """
    gone = set(without)
    members: dict[int, list[int]] = {}
    counts = np.bincount(root, minlength=len(root)) if len(root) else np.zeros(0, np.int64)
    for number in np.flatnonzero(counts[root] > 1).tolist():
        if number not in gone:
            members.setdefault(int(root[number]), []).append(number)

    def rank(number: int) -> tuple[int, int, str]:
        return -int(images.pixels[number]), int(images.dataset[number]), images.ids[number]

    ordered = (sorted(group, key=rank) for group in members.values() if len(group) > 1)
    return [Cluster(group[0], tuple(group[1:])) for group in ordered]


def decide(images: Images, clusters: Sequence[Cluster], leaks: Sequence[Leak]) -> dict[int, Dropped]:
    """What is dropped, by number: leaks first, then all but one of each cluster.

    Args:
        clusters: without the leaks, see `clusters_of`.
        leaks: an image may leak into several evaluation datasets; the nearest is told.
    """
    dropped: dict[int, Dropped] = {}
    for leak in sorted(leaks, key=lambda leak: (leak.image, leak.distance, leak.evaluation)):
        dropped.setdefault(leak.image, Dropped(leak.image, LEAK, leak.evaluation, leak.distance))
    for cluster in clusters:
        for other in cluster.others:
            reason = EXACT if images.sha[other] == images.sha[cluster.first] else NEAR
            dropped[other] = Dropped(other, reason, cluster.first, distance_between(images, other, cluster.first))
    return dropped
