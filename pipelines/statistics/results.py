"""What the job gives back: plain values, whatever runner counted them."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from pipelines.statistics.annotation_figures import SourceRow
from pipelines.statistics.image_figures import BoxSizes, PerImage, TopPairs
from pipelines.statistics.index_figures import Contents, ImageCounts
from pipelines.statistics.reject_figures import RejectReason
from pipelines.statistics.same_bytes import SameBytes


class OfAnnotations(msgspec.Struct, frozen=True):
    """By name the results of `annotation_figures`."""

    classes: Mapping[int, tuple[int, int, int]]
    sources: tuple[SourceRow, ...]
    flags: tuple[int, ...]
    centres: tuple[int, ...]
    shares: tuple[int, ...]
    class_images: Mapping[int, bytes]


class OfIndex(msgspec.Struct, frozen=True):
    """By name the results of `index_figures`: sizes (width, height, images), turns (orientation, rotation, images)."""

    images: ImageCounts
    formats: Mapping[str, int]
    sizes: tuple[tuple[int, int, int], ...]
    turns: tuple[tuple[int, int, int], ...]
    contents: Contents


def known_formats(index: OfIndex) -> list[tuple[str, int]]:
    """Formats with their images, the most frequent first; without images of which nobody read a byte."""
    return sorted(((name, n) for name, n in index.formats.items() if name), key=lambda row: (-row[1], row[0]))


def known_sizes(index: OfIndex) -> list[tuple[int, int, int]]:
    """(width, height, images), without images of unknown size."""
    return [row for row in index.sizes if row[0] > 0 and row[1] > 0]


class OfImages(msgspec.Struct, frozen=True):
    """By name the results of `image_figures`."""

    load: PerImage
    images_of_class: Mapping[int, int]
    orphans: int
    box_sizes: BoxSizes
    together: TopPairs


class DatasetStatistics(msgspec.Struct, frozen=True):
    """All figures of one dataset."""

    annotations: OfAnnotations
    index: OfIndex
    images: OfImages
    rejects: tuple[RejectReason, ...]


class Statistics(msgspec.Struct, frozen=True):
    """All figures of all datasets, in the order in which they were given."""

    datasets: tuple[DatasetStatistics, ...]
    same_bytes: SameBytes


def encode(statistics: Statistics) -> bytes:
    """msgpack; `decode` gives them back."""
    return msgspec.msgpack.encode(statistics)


def decode(data: bytes) -> Statistics:
    """The statistics of `encode`."""
    return msgspec.msgpack.decode(data, type=Statistics)
