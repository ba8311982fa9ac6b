"""Batches of the row plane as NumPy arrays: what the figures count over.

Elements of the job are row groups; each is read by columns and in batches, so memory does not grow with the dataset.
Columns that an older dataset lacks are read as unknown.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipelines.files import storage
from pipelines.statistics.string_hash import Hashes, hash_strings, salted
from schemas.errors import FormatError
from schemas.features import FLAGS

pc: Any = pyarrow.compute  # its functions are made as it is imported: no type checker knows them

ROWS = 1 << 16
BOX, LABEL, ABSENT = 0, 1, 2
UNKNOWN = -1
SIDES = ("ymin", "xmin", "ymax", "xmax")
DETAILS = ("segmentation", "keypoints", "parts")


@dataclass(frozen=True, slots=True)
class RowGroups:
    """Some row groups of one table, one behind the other: about `ROWS` rows, or one large group.

    Attributes:
        dataset: its number.
        path: of the file.
        first, last: numbers of the first group and of the one behind the last.
        row: number of the first row in the file.
    """

    dataset: int
    path: str
    first: int
    last: int
    row: int


@dataclass(frozen=True, slots=True)
class Coded:
    """A column of few different strings: the strings, and int[N] which one each row has."""

    names: tuple[str, ...]
    codes: NDArray[np.integer]


@dataclass(frozen=True, slots=True)
class AnnotationBatch:
    """Rows of an annotations table.

    Attributes:
        image: uint64[N], hash of the image's id, salted with the dataset's number.
        class_id: int64[N].
        what: uint8[N], BOX, LABEL (present) or ABSENT.
        verified: int8[N], 1 by a person, 0 not, UNKNOWN.
        confidence: float32[N].
        source: who said so.
        box: float32[N, 4] `rel_yxyx`, NaN where there is none.
        area: float32[N], as the dataset states it, NaN where it does not.
        flags: int8[N, F] in the order of `schemas.features.FLAGS`; 0, 1 or UNKNOWN.
        details: bool[N, D]: has a mask as PNG, a segmentation, keypoints, parts.
    """

    image: Hashes
    class_id: NDArray[np.int64]
    what: NDArray[np.uint8]
    verified: NDArray[np.int8]
    confidence: NDArray[np.float32]
    source: Coded
    box: NDArray[np.float32]
    area: NDArray[np.float32]
    flags: NDArray[np.int8]
    details: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class IndexBatch:
    """Rows of an index.

    Attributes:
        image: uint64[N], as in `AnnotationBatch`.
        width, height: int64[N], pixels.
        has_boxes: int8[N], 0, 1 or UNKNOWN.
        format: of the bytes.
        orientation: int64[N], EXIF 1 to 8; 1 where unknown.
        rotation: int64[N], degrees; UNKNOWN where not stated.
        captions: bool[N], whether there are any.
        content: uint64[N, 2], the first 16 bytes of the sha256.
        has_content: bool[N], whether the sha256 is known.
        row: int64[N], number of the row in the file.
    """

    image: Hashes
    width: NDArray[np.int64]
    height: NDArray[np.int64]
    has_boxes: NDArray[np.int8]
    format: Coded
    orientation: NDArray[np.int64]
    rotation: NDArray[np.int64]
    captions: NDArray[np.bool_]
    content: NDArray[np.uint64]
    has_content: NDArray[np.bool_]
    row: NDArray[np.int64]


ANNOTATION_COLUMNS = (
    "image_id", "class_id", "kind", "presence", "verified", "confidence", "source", *SIDES, "area", *FLAGS, "has_mask",
    *DETAILS,
)  # fmt: skip
INDEX_COLUMNS = (
    "image_id", "width", "height", "has_boxes", "format", "orientation", "rotation", "captions", "sha256",
)  # fmt: skip
_DICTIONARIES = ("image_id", "kind", "source", "format", "captions", *DETAILS)


def row_groups(dataset: int, path: str) -> list[RowGroups]:
    """The row groups of a Parquet file, small ones together.

    Raises:
        FormatError: it is missing or no Parquet file.
    """
    try:
        with storage.opened(path) as stream:
            metadata = pq.read_metadata(stream)
    except (OSError, ValueError) as error:
        raise FormatError(f"{path}: cannot be read ({error}); convert the dataset again") from error
    sizes = [metadata.row_group(number).num_rows for number in range(metadata.num_row_groups)]
    found, first, row, held = [], 0, 0, 0
    for number, size in enumerate(sizes):
        if held and held + size > ROWS:
            found.append(RowGroups(dataset, path, first, number, row))
            first, row, held = number, row + held, 0
        held += size
    return [*found, RowGroups(dataset, path, first, len(sizes), row)] if held else found


def read_annotations(groups: RowGroups, rows: int = ROWS) -> Iterator[AnnotationBatch]:
    """The rows of row groups of an annotations table, so many at once."""
    for columns in _read(groups, ANNOTATION_COLUMNS, rows):
        yield annotation_batch(columns, groups.dataset)


def read_index(groups: RowGroups, rows: int = ROWS) -> Iterator[IndexBatch]:
    """The rows of row groups of an index, so many at once."""
    first = groups.row
    for columns in _read(groups, INDEX_COLUMNS, rows):
        batch = index_batch(columns, groups.dataset, first)
        first += len(batch.image)
        yield batch


def _read(groups: RowGroups, wanted: Sequence[str], rows: int) -> Iterator[dict[str, pa.Array]]:
    try:
        with storage.opened(groups.path) as stream:
            metadata = pq.read_metadata(stream)
            there = [name for name in wanted if name in metadata.schema.names]
            if "image_id" not in there:
                raise FormatError(f"{groups.path}: it has no column image_id; expected a table of `wordtree convert`")
            coded = [name for name in _DICTIONARIES if name in there]
            file = pq.ParquetFile(stream, metadata=metadata, read_dictionary=coded)
            numbers = list(range(groups.first, groups.last))
            yield from _joined(file.iter_batches(rows, row_groups=numbers, columns=there, use_threads=False), rows)
    except (OSError, pa.ArrowException) as error:
        raise FormatError(f"{groups.path}: cannot be read ({error}); convert the dataset again") from error


def _joined(batches: Iterable[pa.RecordBatch], rows: int) -> Iterator[dict[str, pa.Array]]:
    """Columns of about so many rows: what Parquet gives ends with each row group."""
    held: list[pa.RecordBatch] = []
    for batch in chain(batches, (None,)):
        if held and (batch is None or sum(map(len, held)) + len(batch) > rows):
            table = pa.Table.from_batches(held).unify_dictionaries().combine_chunks()
            yield {name: table[name].chunk(0) for name in table.column_names}
            held = []
        if batch is not None and len(batch):
            held.append(batch)


def annotation_batch(columns: dict[str, pa.Array], dataset: int) -> AnnotationBatch:
    """The arrays of some rows of an annotations table."""
    n = len(columns["image_id"])
    kind = _coded(columns.get("kind"), n)
    boxes = np.array([name == "box" for name in kind.names], bool)[kind.codes]
    present = _numbers(columns.get("presence"), n, 1, np.int8) > 0
    details = [_filled(columns.get(name), n) for name in DETAILS]
    return AnnotationBatch(
        image=salted(hash_strings(columns["image_id"]), dataset),
        class_id=_numbers(columns.get("class_id"), n, 0, np.int64),
        what=np.where(boxes, BOX, np.where(present, LABEL, ABSENT)).astype(np.uint8),
        verified=_numbers(columns.get("verified"), n, UNKNOWN, np.int8),
        confidence=_numbers(columns.get("confidence"), n, np.nan, np.float32),
        source=_coded(columns.get("source"), n),
        box=np.stack([_numbers(columns.get(side), n, np.nan, np.float32) for side in SIDES], axis=1),
        area=_numbers(columns.get("area"), n, np.nan, np.float32),
        flags=np.stack([_numbers(columns.get(flag), n, UNKNOWN, np.int8) for flag in FLAGS], axis=1),
        details=np.stack([_numbers(columns.get("has_mask"), n, 0, np.bool_), *details], axis=1),
    )


def index_batch(columns: dict[str, pa.Array], dataset: int, first: int = 0) -> IndexBatch:
    """The arrays of some rows of an index; `first` is the number of the first row in the file."""
    n = len(columns["image_id"])
    content, has_content = _contents(columns.get("sha256"), n)
    return IndexBatch(
        image=salted(hash_strings(columns["image_id"]), dataset),
        width=_numbers(columns.get("width"), n, 0, np.int64),
        height=_numbers(columns.get("height"), n, 0, np.int64),
        has_boxes=_numbers(columns.get("has_boxes"), n, UNKNOWN, np.int8),
        format=_coded(columns.get("format"), n),
        orientation=_numbers(columns.get("orientation"), n, 1, np.int64),
        rotation=_numbers(columns.get("rotation"), n, UNKNOWN, np.int64),
        captions=_filled(columns.get("captions"), n),
        content=content,
        has_content=has_content,
        row=np.arange(first, first + n),
    )


def _numbers(column: Any, n: int, missing: float, dtype: Any) -> NDArray[Any]:
    if column is None:
        return np.full(n, missing, dtype)
    if pa.types.is_boolean(column.type):
        column = column.cast(pa.int8())
    if column.null_count:
        column = column.fill_null(pa.scalar(missing, column.type))
    return column.to_numpy(zero_copy_only=False).astype(dtype, copy=False)


def _coded(column: Any, n: int) -> Coded:
    if column is None:
        return Coded(("",), np.zeros(n, np.int64))
    if not isinstance(column, pa.DictionaryArray):
        column = column.dictionary_encode()
    names = tuple(name or "" for name in column.dictionary.to_pylist())
    codes = column.indices.fill_null(len(names)).to_numpy(zero_copy_only=False)
    return Coded((*names, ""), codes)


def _filled(column: pa.Array | None, n: int) -> NDArray[np.bool_]:
    """Which strings are not empty."""
    coded = _coded(column, n)
    return np.array([name != "" for name in coded.names], bool)[coded.codes]


def _contents(column: pa.Array | None, n: int) -> tuple[NDArray[np.uint64], NDArray[np.bool_]]:
    content = np.zeros((n, 2), np.uint64)
    if column is None:
        return content, np.zeros(n, bool)
    known = _numbers(pc.equal(pc.binary_length(column), 64), n, 0, np.bool_)
    heads = "".join(pc.utf8_slice_codeunits(column.filter(pa.array(known)), 0, 32).to_pylist())
    try:
        content[known] = np.frombuffer(bytes.fromhex(heads), ">u8").reshape(-1, 2)
    except ValueError as error:
        raise FormatError(f"the index holds a sha256 that is none ({error}); convert the dataset again") from error
    return content, known
