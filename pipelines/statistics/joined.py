"""Rows of both tables brought together image by image.

The job sends compact rows, fixed-width records without strings, to partitions by the hash of the image; a partition is
joined whole, so figures need no order of the files. No image's rows are ever cut in two.

Local runners hold what they shuffle in memory, several times over. For them rows are put aside in files.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipelines.files import storage
from pipelines.statistics.batches import AnnotationBatch, IndexBatch
from pipelines.statistics.string_hash import Hashes

IMAGES_PER_PART = 1 << 16
ANNOTATION = np.dtype(
    [("image", "<u8"), ("class_id", "<i4"), ("what", "u1"), ("height", "<f4"), ("width", "<f4"), ("area", "<f4")]
)
IMAGE = np.dtype([("image", "<u8"), ("width", "<i4"), ("height", "<i4"), ("has_boxes", "i1")])


@dataclass(frozen=True, slots=True)
class ImageGroup:
    """All that is said about some images.

    Attributes:
        images: records of IMAGE, ascending by hash, each image once.
        annotations: records of ANNOTATION.
        row: int64[N], the image of each annotation; -1 where the index has none.
    """

    images: NDArray[np.void]
    annotations: NDArray[np.void]
    row: NDArray[np.int64]


def part_bits(images: int) -> int:
    """Partitions are 2**bits, so that one holds about `IMAGES_PER_PART` images at most."""
    return max(0, (max(images, 1) - 1).bit_length() - (IMAGES_PER_PART.bit_length() - 1))


def annotation_records(batch: AnnotationBatch) -> NDArray[np.void]:
    """The compact rows of a batch."""
    rows = np.empty(len(batch.image), ANNOTATION)
    rows["image"], rows["what"] = batch.image, batch.what
    rows["class_id"] = np.clip(batch.class_id, -1, 2**31 - 1)
    rows["height"] = batch.box[:, 2] - batch.box[:, 0]
    rows["width"] = batch.box[:, 3] - batch.box[:, 1]
    rows["area"] = batch.area
    return rows


def image_records(batch: IndexBatch) -> NDArray[np.void]:
    """The compact rows of a batch."""
    rows = np.empty(len(batch.image), IMAGE)
    rows["image"], rows["has_boxes"] = batch.image, batch.has_boxes
    rows["width"], rows["height"] = batch.width, batch.height
    return rows


def put_aside(rows: bytes, folder: str) -> bytes:
    """Rows in a file of their own; what passes the shuffle is its path. The rows themselves if `folder` is ""."""
    if not folder:
        return rows
    path = storage.join(folder, f"rows-{uuid.uuid4().hex}")
    storage.write_bytes(path, rows, folder)
    return path.encode()


def fetched(values: Iterable[bytes], folder: str) -> Iterator[bytes]:
    """The rows of `put_aside`; the values themselves if `folder` is ""."""
    for value in values:
        yield storage.read_bytes(value.decode()) if folder else value


def in_parts(hashes: Hashes, rows: NDArray[np.void], bits: int) -> Iterator[tuple[int, bytes]]:
    """(partition, its rows as bytes), by the highest bits of the hash."""
    if not len(rows):
        return
    if not bits:
        yield 0, rows.tobytes()
        return
    parts = (hashes >> np.uint64(64 - bits)).astype(np.int64)
    order = np.argsort(parts, kind="stable")
    found, starts = np.unique(parts[order], return_index=True)
    for part, chosen in zip(found.tolist(), np.split(order, starts[1:]), strict=True):
        yield part, rows[chosen].tobytes()


def join_images(images: Iterable[bytes], annotations: Iterable[bytes]) -> ImageGroup:
    """The group of a partition, from compact rows in any order; an image that stands twice counts once."""
    known = np.frombuffer(b"".join(images), IMAGE)
    known = known[np.lexsort((known["height"], known["width"], known["image"]))]
    known = known[np.unique(known["image"], return_index=True)[1]]
    rows = np.frombuffer(b"".join(annotations), ANNOTATION)
    place = np.searchsorted(known["image"], rows["image"])
    if len(known):
        place = np.minimum(place, len(known) - 1)
        place = np.where(known["image"][place] == rows["image"], place, -1)
    else:
        place = np.full(len(rows), -1)
    return ImageGroup(known, rows, place.astype(np.int64))
