"""A dataset directory, read a little: how often each class occurs, and a few small images of each.

Rows come from the Parquet files by columns and in batches, so millions of annotations take seconds and little memory;
pixels are read only of the records that are asked for.

A view has no shards of its own: its index names files of other dataset directories by their path from the view. What
its rows say holds; boxes and labels inside those records may be older (docs/decisions/0011-views.md).
"""

from __future__ import annotations

import contextlib
import posixpath
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet as pq

from schemas.errors import FormatError, InputError
from schemas.manifest import MANIFEST_NAME, WORK_FOLDER, Manifest, manifest_from_json
from schemas.record import ImageRecord
from schemas.tfexample import decode_record
from schemas.tfrecord import unframe

pc: Any = pyarrow.compute  # its functions are made as it is imported: no type checker knows them

PLACE_COLUMNS = ("image_id", "shard", "offset", "length")  # of an index: where each record lies
AGAIN = "convert the dataset again"


@dataclass(frozen=True, slots=True)
class ClassCounts:
    """How many statements say a class: boxes, labels of whole images, and labels that say it is not there."""

    boxes: int = 0
    labels: int = 0
    absent: int = 0


@dataclass(frozen=True, slots=True)
class RecordPlace:
    """Where a record lies: shard (see `shard_path`), bytes from its start, bytes with framing."""

    image_id: str
    shard: str
    offset: int
    length: int


@dataclass(frozen=True)
class DatasetFiles:
    """The files of a complete dataset directory.

    Attributes:
        path: the directory as the user named it.
        manifest: what it holds.
    """

    path: str
    manifest: Manifest

    def class_counts(self) -> dict[int, ClassCounts]:
        """By class id.

        Raises:
            FormatError: the annotations cannot be read.
        """
        totals: dict[int, list[int]] = {}
        for batch in self.batches("annotations", ("kind", "class_id", "presence")):
            classes, kinds = _ints(batch["class_id"]), _kinds(batch)
            for kind in range(3):
                found, numbers = np.unique(classes[kinds == kind], return_counts=True)
                for class_id, number in zip(found.tolist(), numbers.tolist(), strict=True):
                    totals.setdefault(class_id, [0, 0, 0])[kind] += number
        return {class_id: ClassCounts(*numbers) for class_id, numbers in sorted(totals.items())}

    def small_examples(self, most: int, *, small: int, max_bytes: int) -> dict[int, list[RecordPlace]]:
        """By class id, up to so many records that say it, none larger than `max_bytes`.

        Records of up to `small` bytes come first, in the order they are written in, which is by chance; then larger
        ones, the smallest first.

        Raises:
            FormatError: the index or the annotations cannot be read.
        """
        with opened_table(self.table_path("index")) as file:
            index = file.read(columns=list(PLACE_COLUMNS))
        index = index.filter(pc.less_equal(index["length"], max_bytes))
        cost = np.maximum(_ints(index["length"]), small)
        known = index["image_id"].combine_chunks()
        taken: dict[int, list[tuple[int, int]]] = {}
        for batch in self.batches("annotations", ("image_id", "kind", "class_id", "presence")):
            rows = _ints(pc.fill_null(pc.index_in(batch["image_id"], value_set=known), -1))
            said = (rows >= 0) & (_kinds(batch) < 2)
            for class_id, row in _best_of_each(_ints(batch["class_id"])[said], rows[said], cost, most):
                taken.setdefault(class_id, []).append((int(cost[row]), row))
            taken = {class_id: sorted(set(found))[:most] for class_id, found in taken.items()}
        places = sorted({row for found in taken.values() for _, row in found})
        listed = index.take(pa.array(places, pa.int64())).to_pylist()
        of_row = {row: RecordPlace(**place) for row, place in zip(places, listed, strict=True)}
        return {class_id: [of_row[row] for _, row in found] for class_id, found in sorted(taken.items())}

    def read(self, place: RecordPlace) -> ImageRecord:
        """One record.

        Raises:
            InputError: the shard is missing.
            FormatError: the record is damaged, or its place is not in the shard.
        """
        path = shard_path(self.path, place.shard)
        fs, name = fsspec.core.url_to_fs(path)
        try:
            size = fs.size(name) or 0
            if place.offset < 0 or place.length < 0 or place.offset + place.length > size:
                raise FormatError(
                    f"{path}: record {place.image_id!r} is said to lie at byte {place.offset}, {place.length} bytes "
                    f"long; the shard has {size} bytes; {AGAIN}"
                )
            with fs.open(name, "rb", cache_type="none") as file:
                file.seek(place.offset)
                framed = file.read(place.length)
        except FileNotFoundError:
            raise InputError(f"{path}: no such file; the dataset is incomplete, convert it again") from None
        return decode_record(unframe(framed, f"{path}, record {place.image_id!r}"))

    def table_path(self, kind: str) -> str:
        """Path of the "index" or of the "annotations"."""
        return posixpath.join(self.path, f"{self.manifest.split}.{kind}.parquet")

    def batches(self, kind: str, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Columns of a table, in batches.

        Raises:
            FormatError: it cannot be read.
        """
        with opened_table(self.table_path(kind)) as file:
            yield from file.iter_batches(columns=list(columns))


@contextlib.contextmanager
def opened_table(path: str) -> Iterator[pq.ParquetFile]:
    """A table of a dataset directory, open.

    Raises:
        FormatError: it is not there, or cannot be read, also inside the block.
    """
    try:
        with fsspec.open(path, "rb") as stream, pq.ParquetFile(stream) as file:  # type: ignore[arg-type]
            yield file
    except FileNotFoundError:
        raise FormatError(f"{path}: there is no such file; {AGAIN}") from None
    except (OSError, ValueError, KeyError, pa.ArrowException) as error:
        raise FormatError(f"{path}: cannot be read ({' '.join(str(error).split())[:200]}); {AGAIN}") from error


def shard_path(folder: str, shard: str) -> str:
    """Path of a file that an index or a manifest names: relative to the dataset directory, or absolute, or a URL."""
    return shard if "://" in shard else posixpath.join(folder, shard)


def open_dataset_files(path: str) -> DatasetFiles:
    """Open a dataset directory written by `wordtree convert`, or a view of one.

    Raises:
        InputError: it is missing, or has no manifest, which means that it is not complete.
        FormatError: the manifest is damaged.
    """
    path = str(path).rstrip("/")
    fs, root = fsspec.core.url_to_fs(path)
    if not fs.isdir(root):
        raise InputError(f"no dataset directory {path!r}; `wordtree convert` writes one")
    if not fs.exists(posixpath.join(root, MANIFEST_NAME)):
        raise InputError(f"{path!r} has no {MANIFEST_NAME}: {_why_not(fs, root, path)}")
    with fs.open(posixpath.join(root, MANIFEST_NAME), "rb") as file:
        text = file.read().decode(errors="replace")
    return DatasetFiles(path, manifest_from_json(text, posixpath.join(path, MANIFEST_NAME)))


def _why_not(fs: Any, root: str, path: str) -> str:
    """Why a folder without a manifest is no dataset directory, and what to do."""
    if fs.exists(posixpath.join(root, WORK_FOLDER)):
        return "the conversion did not finish; run it again to resume"
    there = sorted(posixpath.basename(str(name).rstrip("/")) for name in fs.ls(root, detail=False))
    inside = [name for name in there if fs.exists(posixpath.join(root, name, MANIFEST_NAME))]
    if inside:
        return f"it holds {' and '.join(posixpath.join(path, name) for name in inside[:3])}; give one of these"
    if any(name.endswith((".tfrecord", ".parquet")) for name in there):
        return "it was lost, or not copied with the others; copy it too, or make the dataset again"
    found = f"found {', '.join(there[:3])}" if there else "it is empty"
    return f"it is no dataset directory; {found}; expected one that `wordtree convert` wrote"


def _ints(column: Any) -> np.ndarray:
    return column.to_numpy(zero_copy_only=False)


def _kinds(batch: pa.RecordBatch) -> np.ndarray:
    """0 for a box, 1 for a label of the image, 2 for a label that says the class is not there."""
    boxes = pc.equal(batch["kind"], "box").to_numpy(zero_copy_only=False)
    return np.where(boxes, 0, np.where(_ints(batch["presence"]) > 0, 1, 2))


def _best_of_each(classes: np.ndarray, rows: np.ndarray, cost: np.ndarray, most: int) -> list[tuple[int, int]]:
    """(class, row) of the cheapest rows of each class, a row that says its class twice once."""
    pairs = np.unique(np.stack([classes, rows], axis=1), axis=0)
    pairs = pairs[np.lexsort((pairs[:, 1], cost[pairs[:, 1]], pairs[:, 0]))]
    rank = np.arange(len(pairs)) - np.searchsorted(pairs[:, 0], pairs[:, 0])
    return [(int(class_id), int(row)) for class_id, row in pairs[rank < most]]
