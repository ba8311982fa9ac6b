"""A first look at a CSV file, a stretch at a time: its digest, its classes, its images. Arrow parses
two columns.

Images are counted by 64-bit hashes of their ids, eight bytes each: 14 MB for the 1.7 million with boxes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pipelines.files.csv_ranges import BOM, ranges, read_range
from pipelines.files.csv_table import read_columns
from pipelines.open_images.columns import Header
from schemas.manifest import SourceFile


@dataclass
class Scan:
    """What was found.

    Attributes:
        classes: values of LabelName.
        images: hashes of the ids.
        files: digests of the files.
    """

    classes: set[str] = field(default_factory=set[str])
    images: list[NDArray[np.uint64]] = field(default_factory=list[NDArray[np.uint64]])
    files: list[SourceFile] = field(default_factory=list[SourceFile])

    def add_images(self, image_ids: list[str]) -> None:
        """Count images; each may be named many times."""
        self.images.append(np.unique(hash_ids(image_ids)))

    def distinct_images(self) -> int:
        """How many different images were named."""
        if not self.images:
            return 0
        self.images = [np.unique(np.concatenate(self.images))]
        return len(self.images[0])


def hash_ids(image_ids: list[str]) -> NDArray[np.uint64]:
    """64 bits of each id, the same in every process."""
    joined = b"".join(hashlib.blake2b(name.encode(), digest_size=8).digest() for name in image_ids)
    return np.frombuffer(joined, np.uint64)


def scan_file(path: str, header: Header, scan: Scan, id_of: Callable[[str], str]) -> None:
    """Add a file of boxes, labels or masks to a scan; `id_of` gives the image id that a cell states."""
    digest, size = hashlib.sha256(), 0
    for data, image_ids, classes in _stretches(path, header):
        digest.update(data)
        size += len(data)
        scan.classes.update(name for name in classes if name.strip())
        scan.add_images([id_of(image_id) for image_id in image_ids])
    scan.files.append(SourceFile(path=path, bytes=size, sha256=digest.hexdigest()))


def file_image_ids(path: str, header: Header) -> Iterator[str]:
    """The images that a file names, some several times."""
    for _, image_ids, _ in _stretches(path, header):
        yield from image_ids


def _stretches(path: str, header: Header) -> Iterator[tuple[bytes, list[str], list[str]]]:
    names = [name for name in ("ImageID", "LabelName") if name in header.at]
    for found in ranges(path, "file", is_cut=header.is_record):
        data = read_range(path, found)
        body = data if found.start else data.partition(b"\n")[2]
        texts: dict[str, list[str]] = {"ImageID": [], "LabelName": []}
        cells = read_columns(body, header.cells, [header.at[name] for name in names]).cells
        for name, column in zip(names, cells, strict=True):
            texts[name] = list(_texts(column.unique().to_pylist()))
        with_mark = data if found.start or len(data) == found.end else BOM + data
        yield with_mark, texts["ImageID"], texts["LabelName"]


def _texts(values: list[bytes]) -> Iterator[str]:
    """Those that are UTF-8; the rows of others become rejects (`pipelines.open_images.csv_rows`)."""
    for value in values:
        try:
            yield value.decode()
        except UnicodeDecodeError:
            continue
