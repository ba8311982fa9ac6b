"""The hashes of all images of a dataset, as a Beam job and as a table beside it.

    lists of records ─► Reshuffle ─► read and hash (a PixelDoFn) ─► one small file for each list ─► SPLIT.hashes.parquet

Pixels go nowhere: what the step puts out is a number. Equal images, by sha256, are hashed once. A list whose file is
there with the same fingerprint is not hashed again, so a killed job is resumed (rule R11); a finished table is used
again while the dataset is the same.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

import apache_beam as beam
import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from apache_beam.metrics.metric import Metrics
from apache_beam.pvalue import PCollection

from pipelines.beam_options import make_pipeline
from pipelines.duplicates.hashing import HASH_VERSION, hash_image
from pipelines.files import storage
from pipelines.planes import PixelDoFn
from pipelines.row_plane.shard import RecordFiles
from pipelines.row_plane.view import Rows, open_rows
from pipelines.running import trouble_told
from schemas.errors import FormatError
from schemas.tfexample import decode_record
from schemas.tfrecord import unframe

HASHES_SCHEMA = pa.schema(
    [
        pa.field("image_id", pa.string(), nullable=False),
        pa.field("sha256", pa.string(), nullable=False),
        pa.field("phash", pa.uint64(), metadata={"of": "pipelines.duplicates.hashing; null when there is none"}),
        pa.field("why", pa.string(), nullable=False, metadata={"values": "flat, undecodable: WHY, or empty"}),
    ]
)
IMAGES_PER_LIST = 1000
WORK_FOLDER = ".hashing"
_MADE_OF = b"made_of"


class Listed(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One image to hash: where its record lies, and what the index knows of it."""

    image_id: str
    shard: str
    offset: int
    length: int
    orientation: int


class Hashed(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A list of hashes in the order of its images: bits or None, and why there are none."""

    fingerprint: str
    hashes: list[tuple[int | None, str]]


class HashImages(PixelDoFn):
    """Reads the images of a list and hashes them; puts out the list's number."""

    def __init__(self, rows: Rows, folder: str) -> None:
        self._rows, self._folder = rows, folder

    def process(self, element: int) -> Iterator[int]:
        data = storage.read_bytes(_list_path(self._folder, element))
        fingerprint = _fingerprint(self._rows, data)
        if not _is_hashed(self._folder, element, fingerprint):
            found = hash_list(self._rows, msgspec.msgpack.decode(data, type=list[Listed]))
            done = msgspec.msgpack.encode(Hashed(fingerprint, found))
            storage.write_bytes(_hashed_path(self._folder, element), done, self._folder)
            Metrics.counter("duplicates", "images_hashed").inc(len(found))
        yield element


def build(pipeline: beam.Pipeline, rows: Rows, folder: str, lists: int) -> PCollection[int]:
    """The steps that hash the images of lists that lie in a folder."""
    return (
        pipeline
        | "number the lists" >> beam.Create(list(range(lists)), reshuffle=lists > 1).with_output_types(int)
        | "read and hash" >> beam.ParDo(HashImages(rows, folder)).with_output_types(int)
    )


def hash_list(rows: Rows, images: Sequence[Listed]) -> list[tuple[int | None, str]]:
    """The hashes of some images; a record that cannot be read has none."""
    found: list[tuple[int | None, str]] = []
    with RecordFiles(rows) as records:
        for image in images:
            framed = records.framed(image.shard, image.offset, image.length)
            try:
                encoded = decode_record(unframe(framed, f"record {image.image_id!r}")).encoded
            except FormatError as error:
                found.append((None, f"undecodable: {error}"))
                continue
            hashed = hash_image(encoded or b"", image.orientation)
            found.append((hashed.bits, hashed.why))
    return found


def hashes_of(rows: Rows, path: str, *, beam_args: Sequence[str] = (), workers: int = 1, keep: bool = True) -> pa.Table:
    """The hashes of a dataset's images in the order of its index, a table of HASHES_SCHEMA.

    Args:
        rows: the dataset or view.
        path: where the table lies or shall lie.
        keep: whether to leave it there.

    Raises:
        InputError, FormatError: the dataset cannot be read, or its shards are gone or have changed.
    """
    made_of = f"{rows.manifest_file.sha256} {HASH_VERSION}".encode()
    found = _read_table(path, made_of)
    if found is not None and found.num_rows == rows.index.num_rows:
        return found
    rows.check_shards()
    first, again = _first_of_equal(rows.index["sha256"])
    folder = storage.join(path.rpartition("/")[0] or ".", f"{WORK_FOLDER}-{path.rpartition('/')[2]}")
    hashes = _hash(rows, first, folder, beam_args, workers)
    bits, why = [hashes[k][0] for k in again], [hashes[k][1] for k in again]
    columns = [rows.image_ids, rows.index["sha256"], pa.array(bits, pa.uint64()), pa.array(why, pa.string())]
    table = pa.table(columns, schema=HASHES_SCHEMA.with_metadata({_MADE_OF: made_of}))
    if keep:
        with storage.writing(path, folder) as stream, pq.ParquetWriter(stream, table.schema) as writer:
            writer.write_table(table)
    storage.remove(folder)
    return table


def _read_table(path: str, made_of: bytes) -> pa.Table | None:
    if storage.size_of(path) < 0:
        return None
    try:
        with storage.opened(path) as stream:
            table = pq.read_table(stream)
    except (OSError, pa.ArrowException):
        return None
    return table if (table.schema.metadata or {}).get(_MADE_OF) == made_of else None


def _first_of_equal(column: pa.ChunkedArray) -> tuple[np.ndarray, list[int]]:
    """The rows whose value was not there before, and for each row the place of its value among those."""
    coded = column.combine_chunks().dictionary_encode()
    codes = coded.indices.to_numpy(zero_copy_only=False)
    _, first = np.unique(codes, return_index=True)
    return first, codes.tolist()


def _hash(
    rows: Rows, wanted: np.ndarray, folder: str, beam_args: Sequence[str], workers: int
) -> list[tuple[int | None, str]]:
    """The hashes of some rows of the index, in their order; work files go to the folder."""
    names = ["image_id", "shard", "offset", "length", "orientation"]
    some = rows.index.select(names).take(pa.array(wanted))
    lists = -(-some.num_rows // IMAGES_PER_LIST)
    pipeline = make_pipeline(beam_args, workers=workers)
    with trouble_told(folder):
        storage.make_folder(folder)
        for number in range(lists):
            columns = some.slice(number * IMAGES_PER_LIST, IMAGES_PER_LIST).to_pydict()
            images = [Listed(*values) for values in zip(*(columns[name] for name in names), strict=True)]
            storage.write_bytes(_list_path(folder, number), msgspec.msgpack.encode(images), folder)
        with pipeline:
            build(pipeline, open_rows(rows.path), folder, lists)
        hashes: list[tuple[int | None, str]] = []
        for number in range(lists):
            done = storage.read_bytes(_hashed_path(folder, number))
            hashes += msgspec.msgpack.decode(done, type=Hashed).hashes
    if len(hashes) != len(wanted):
        raise RuntimeError(f"{len(hashes)} hashes came back, {len(wanted)} were asked for; the runner lost some")
    return hashes


def _list_path(folder: str, number: int) -> str:
    return storage.join(folder, f"list-{number:06d}.msgpack")


def _hashed_path(folder: str, number: int) -> str:
    return storage.join(folder, f"hashed-{number:06d}.msgpack")


def _fingerprint(rows: Rows, data: bytes) -> str:
    return hashlib.sha256(f"{rows.manifest_file.sha256} {HASH_VERSION}\n".encode() + data).hexdigest()


def _is_hashed(folder: str, number: int, fingerprint: str) -> bool:
    try:
        done: Any = msgspec.msgpack.decode(storage.read_bytes(_hashed_path(folder, number)), type=Hashed)
    except (FileNotFoundError, msgspec.DecodeError):
        return False
    return done.fingerprint == fingerprint
