"""A first look at the files: digests, labels, and about how many images there are. Two columns are read."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute

from pipelines.files import storage
from pipelines.label_rows.classes import MOST
from pipelines.label_rows.layout import Layout
from pipelines.label_rows.tables import table_batches, table_pieces
from pipelines.statistics.sketches import distinct, smallest
from pipelines.statistics.string_hash import hash_strings
from schemas.errors import FormatError, InputError
from schemas.manifest import SourceFile

pc: Any = pyarrow.compute
SKETCH = 1 << 14  # hashes: exact up to as many images, and within 1 % or so beyond


class Look(NamedTuple):
    """What was seen: rows, images (an estimate where there are many), and the labels."""

    rows: int
    images: int
    labels: set[str]


def look(paths: Sequence[str], layout: Layout, *, labels: bool) -> Look:
    """Run through all files once.

    Args:
        paths: the files.
        layout: what the user said about them.
        labels: whether to collect the labels.

    Raises:
        FormatError: if there are too many different labels.
    """
    sketch = np.empty(0, np.uint64)
    found: set[str] = set()
    rows = 0
    for path in paths:
        for piece in table_pieces(path, layout):
            for batch in table_batches(path, piece, layout, ("id", "label") if labels else ("id",)):
                rows += len(batch)
                hashes = hash_strings(_once_a_run(batch["image_id"]))
                if len(sketch) == SKETCH:
                    hashes = hashes[hashes < sketch[-1]]
                sketch = smallest(np.concatenate([sketch, hashes]), SKETCH)
                if labels:
                    found.update(pc.unique(batch["label"]).to_pylist())
                if len(found) > MOST:
                    raise FormatError(f"{path}: more than {MOST} labels; is --label-column the column of labels?")
    found.discard("")
    return Look(rows, distinct(sketch, SKETCH)[0], found)


def _once_a_run(column: pa.Array) -> pa.Array:
    """Values that differ from the one before."""
    differs = pc.not_equal(column[1:], column[:-1])
    return column.filter(pa.concat_arrays([pa.array([True]), differs]))


def image_ids(paths: Sequence[str], layout: Layout) -> Iterator[str]:
    """The images, each at least once."""
    for path in paths:
        for piece in table_pieces(path, layout):
            for batch in table_batches(path, piece, layout, ("id",)):
                yield from filter(None, pc.unique(batch["image_id"]).to_pylist())


def digest_file(path: str) -> SourceFile:
    """Size and sha256 of a file, read in parts.

    Raises:
        InputError: if it cannot be read.
    """
    digest, size = hashlib.sha256(), 0
    try:
        with storage.opened(path) as stream:
            while data := stream.read(1 << 22):
                digest.update(data)
                size += len(data)
    except FileNotFoundError:
        raise InputError(f"label rows {path!r} do not exist") from None
    except (OSError, ValueError) as error:
        raise InputError(f"label rows {path!r} cannot be read ({error})") from error
    return SourceFile(path=path, bytes=size, sha256=digest.hexdigest())
