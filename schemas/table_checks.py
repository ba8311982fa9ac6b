"""The tables of a dataset directory, looked at before work begins on their rows.

Law: after `check_tables`, both tables have as many rows as the manifest counts and their columns have the types of
`schemas.arrow`; every place in them lies inside a shard that the manifest names; labels.pbtxt is text. Footers and four
columns are read, so it takes a second for millions of images. What a column says of an image is not looked at.
"""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.compute

from schemas.arrow import ANNOTATIONS_SCHEMA, INDEX_SCHEMA
from schemas.dataset_files import AGAIN, PLACE_COLUMNS, DatasetFiles, open_dataset_files, opened_table
from schemas.errors import FormatError

pc: Any = pyarrow.compute  # its functions are made as it is imported: no type checker knows them

LABELS_NAME = "labels.pbtxt"
ANNOTATIONS_NEEDED = ("image_id", "kind", "class_id", "presence")


def open_checked(path: str, *, every_column: bool) -> DatasetFiles:
    """Open a dataset directory or a view for work on its rows; see `check_tables`.

    Raises:
        InputError, FormatError: as `schemas.dataset_files.open_dataset_files` and `check_tables`.
    """
    files = open_dataset_files(path)
    check_tables(files, every_column=every_column)
    return files


def check_tables(files: DatasetFiles, *, every_column: bool) -> None:
    """See that the rows of a dataset or view can be worked on.

    Args:
        files: the dataset.
        every_column: whether columns that older versions did not write must be there; a few are always needed.

    Raises:
        FormatError: in one line, naming the file and the first thing that is wrong.
    """
    counts = files.manifest.counts
    _check_names(files)
    index, annotations = files.table_path("index"), files.table_path("annotations")
    needed = INDEX_SCHEMA.names if every_column else PLACE_COLUMNS
    _check_table(index, INDEX_SCHEMA, needed, counts.images_written)
    _check_places(files)
    needed = ANNOTATIONS_SCHEMA.names if every_column else ANNOTATIONS_NEEDED
    names = _check_table(annotations, ANNOTATIONS_SCHEMA, needed, counts.annotations_written)
    if files.manifest.is_view and "origin" in names:
        _check_origins(files)
    _check_label_map(posixpath.join(files.path, LABELS_NAME))


def _check_names(files: DatasetFiles) -> None:
    """Shards lie in the dataset directory itself; those of a view lie elsewhere, and its manifest says where."""
    for entry in files.manifest.shards if not files.manifest.is_view else ():
        if "/" in entry.name or "\\" in entry.name or entry.name in ("", ".", ".."):
            raise FormatError(
                f"{files.path}: the manifest names the shard {entry.name!r}; expected the plain name of a file beside "
                f"it; {AGAIN}"
            )


def _check_table(path: str, schema: pa.Schema, needed: Sequence[str], rows: int) -> list[str]:
    """Number of rows and types of columns, from the footer; the names of the columns."""
    with opened_table(path) as file:
        found, there = file.metadata.num_rows, file.schema_arrow
    missing = [name for name in needed if name not in there.names]
    if missing:
        raise FormatError(f"{path}: it has no column {missing[0]!r}; it was written by an older version, {AGAIN}")
    for name in there.names:
        if there.names.count(name) > 1:
            raise FormatError(f"{path}: column {name!r} stands there twice; {AGAIN}")
        expected = schema.field(name).type if name in schema.names else None
        if expected is not None and _family(there.field(name).type) != _family(expected):
            raise FormatError(f"{path}: column {name!r} holds {there.field(name).type}; expected {expected}; {AGAIN}")
    if found != rows:
        raise FormatError(f"{path}: {found:,} rows, but the manifest counts {rows:,}; {AGAIN}")
    return list(there.names)


def _family(kind: pa.DataType) -> str:
    """Types that are read alike: text, whole numbers, numbers, truth values."""
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return "text"
    if pa.types.is_integer(kind):
        return "whole"
    return "real" if pa.types.is_floating(kind) else str(kind)


def _check_places(files: DatasetFiles) -> None:
    shards = files.manifest.shards
    names = pa.array([entry.name for entry in shards], pa.string())
    ends = pa.array([entry.bytes for entry in shards], pa.int64())
    for batch in files.batches("index", PLACE_COLUMNS):
        shard = batch["shard"].cast(pa.string())
        offset, length = (batch[name].cast(pa.int64(), safe=False) for name in ("offset", "length"))
        if not shards:  # rows only: no record has a place
            good = pc.equal(shard, "")
        else:
            end = ends.take(pc.index_in(shard, value_set=names))
            # compared so that no sum overflows; of names that are not known, null
            good = pc.and_(pc.greater_equal(offset, 0), pc.greater(length, 0))
            good = pc.and_(good, pc.and_(pc.less_equal(length, end), pc.less_equal(offset, pc.subtract(end, length))))
        good = good.fill_null(False)
        if not pc.all(good, min_count=0).as_py():
            row = batch.filter(pc.invert(good)).slice(0, 1).to_pylist()[0]
            _refuse("index", files, *row.values())


def _check_origins(files: DatasetFiles) -> None:
    """Places of the records of a view's rows, `SHARD@OFFSET+LENGTH`."""
    ends = {entry.name: entry.bytes for entry in files.manifest.shards}
    for batch in files.batches("annotations", ("image_id", "origin")):
        origins = batch["origin"].cast(pa.string())
        for origin in filter(None, pc.unique(origins).to_pylist()):
            shard, _, place = origin.rpartition("@")
            offset, _, length = place.partition("+")
            whole = all(number.isascii() and number.isdigit() and len(number) < 19 for number in (offset, length))
            if not whole or shard not in ends or int(offset) + int(length) > ends[shard]:
                row = batch.filter(pc.equal(origins, origin))["image_id"][0].as_py()
                _refuse("annotations", files, row, shard, offset, length)


def _refuse(kind: str, files: DatasetFiles, image_id: str, shard: Any, offset: Any, length: Any) -> None:
    of = {entry.name: entry.bytes for entry in files.manifest.shards}
    told = f"a shard of {of[shard]:,} bytes" if shard in of else "which is no shard of the manifest"
    raise FormatError(
        f"{files.table_path(kind)}: image {image_id!r} is said to lie at byte {offset}, {length} bytes long, in "
        f"{shard!r}, {told}; {AGAIN}"
    )


def _check_label_map(path: str) -> None:
    try:
        with fsspec.open(path, "rb") as stream:
            stream.read().decode()  # type: ignore[union-attr]
    except FileNotFoundError:
        return  # whoever needs it says so
    except UnicodeDecodeError as error:
        raise FormatError(f"{path}: byte {error.start:,} is no UTF-8 ({error.reason}); {AGAIN}") from error
