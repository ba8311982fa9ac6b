"""Which images of some datasets are the same picture, and which stand in an evaluation split too.

Exact duplicates have the same bytes (sha256). Near ones have perceptual hashes with few different bits, directly or
over others: clusters are connected components, so the ends of a chain may differ by more; each member's distance from
the image that represents its cluster is told.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from pipelines.duplicates.clusters import Clusters
from pipelines.duplicates.hashing import BITS, popcount
from pipelines.duplicates.near import MOST_DISTANCE, MOST_IN_BUCKET, NearestOf, Skipped, near_pairs
from pipelines.row_plane.view import Rows
from schemas.errors import ConfigError

EXACT_ONLY = -1
NO_DISTANCE = 255  # of images without a hash, or of different pictures


@dataclass(frozen=True)
class Images:
    """The images of several datasets, one after another.

    Attributes:
        rows: the datasets.
        dataset, position: of each image, which dataset and which row of its index.
        ids: the image ids.
        sha: of each image, a number; equal numbers, equal bytes.
        hashes: perceptual hashes, 0 where `hashed` is False.
        hashed: whether there is a hash.
        pixels: height times width.
        why: why there is no hash.
    """

    rows: tuple[Rows, ...]
    dataset: np.ndarray
    position: np.ndarray
    ids: list[str]
    sha: list[str]
    hashes: np.ndarray
    hashed: np.ndarray
    pixels: np.ndarray
    why: list[str]

    def __len__(self) -> int:
        return len(self.ids)


def gather(rows: Sequence[Rows], tables: Sequence[pa.Table]) -> Images:
    """The images of datasets with their tables of hashes."""
    phash = pa.chunked_array([chunk for table in tables for chunk in table["phash"].chunks], pa.uint64())
    sizes = [(found.index["height"].to_numpy(), found.index["width"].to_numpy()) for found in rows]
    lengths = [found.index.num_rows for found in rows]
    return Images(
        rows=tuple(rows),
        dataset=np.repeat(np.arange(len(rows)), lengths),
        position=np.concatenate([np.arange(length) for length in lengths]),
        ids=[image_id for table in tables for image_id in table["image_id"].to_pylist()],
        sha=[sha for table in tables for sha in table["sha256"].to_pylist()],
        hashes=phash.fill_null(0).to_numpy().astype(np.uint64),
        hashed=phash.is_valid().to_numpy(),
        pixels=np.concatenate([height.astype(np.int64) * width for height, width in sizes]),
        why=[why for table in tables for why in table["why"].to_pylist()],
    )


@dataclass(frozen=True)
class Found:
    """Clusters of images.

    Attributes:
        cluster: of each image, the smallest number of an image of its cluster.
        skipped: what the cap on buckets left out.
    """

    cluster: np.ndarray
    skipped: Skipped


def find_clusters(images: Images, near: int, *, cap: int = MOST_IN_BUCKET) -> Found:
    """Put images together that are the same picture.

    Args:
        near: the most bits that may differ; EXACT_ONLY for equal bytes alone.
    """
    clusters = Clusters(len(images))
    everything = np.arange(len(images))
    codes = pa.array(images.sha, pa.string()).dictionary_encode().indices.to_numpy()
    _, first = np.unique(codes, return_index=True)
    clusters.link(first[codes], everything)  # a star around the first of equal ones
    skipped = Skipped()
    if near > EXACT_ONLY and images.hashed.any():
        hashed = np.flatnonzero(images.hashed)
        values, first, inverse = np.unique(images.hashes[hashed], return_index=True, return_inverse=True)
        clusters.link(hashed[first[inverse]], hashed)
        of_value = hashed[first]
        skipped = near_pairs(values, near, lambda i, j, _: clusters.link(of_value[i], of_value[j]), cap=cap)
    return Found(clusters.roots(), skipped)


def distance_between(images: Images, first: int, second: int) -> int:
    """Different bits of two images' hashes; 0 for equal bytes, NO_DISTANCE where one has no hash."""
    if images.sha[first] == images.sha[second]:
        return 0
    if not (images.hashed[first] and images.hashed[second]):
        return NO_DISTANCE
    return int(popcount(images.hashes[[first]] ^ images.hashes[[second]])[0])


@dataclass(frozen=True, slots=True)
class Leak:
    """An image that stands in an evaluation split too.

    Attributes:
        image, evaluation: numbers of the image here and of the nearest one there.
        exact: whether their bytes are equal.
        distance: different bits of the hashes.
    """

    image: int
    evaluation: int
    exact: bool
    distance: int


def find_leaks(images: Images, evaluation: Images, near: int) -> list[Leak]:
    """For each image and each evaluation dataset the nearest image there, where one is near enough.

    Of equally near ones the first in the order of the index is told.
    """
    leaks: list[Leak] = []
    for number in range(len(evaluation.rows)):
        theirs = np.flatnonzero(evaluation.dataset == number)
        by_sha: dict[str, int] = {}
        for other in theirs.tolist():
            by_sha.setdefault(evaluation.sha[other], other)
        exact = {k: by_sha[sha] for k, sha in enumerate(images.sha) if sha in by_sha}
        close: dict[int, tuple[int, int]] = {}
        hashed = theirs[evaluation.hashed[theirs]]
        if near > EXACT_ONLY and len(hashed):
            ours = np.flatnonzero(images.hashed)
            place, apart = NearestOf(evaluation.hashes[hashed], near).look_up(images.hashes[ours])
            met = place >= 0
            close = {
                int(k): (int(hashed[p]), int(d)) for k, p, d in zip(ours[met], place[met], apart[met], strict=True)
            }
        for k in sorted({*exact, *close}):
            leaks.append(Leak(k, exact[k], True, 0) if k in exact else Leak(k, close[k][0], False, close[k][1]))
    return sorted(leaks, key=lambda leak: (leak.image, leak.evaluation))


def checked_near(near: int) -> int:
    """The distance, if it makes sense.

    Raises:
        ConfigError: if it does not.
    """
    if not EXACT_ONLY <= near <= MOST_DISTANCE:
        raise ConfigError(
            f"--near is {near}; expected 0 to {MOST_DISTANCE} of {BITS} bits (4 finds copies; above 8, pictures are "
            f"put together that merely look alike), or {EXACT_ONLY} for equal bytes alone"
        )
    return near
