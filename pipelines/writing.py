"""Write one shard: the only step that reads images (rule R3).

A shard is a TFRecord file; beside it lie work files in OUT/.work: its index and annotation rows, and its report. The
report is written last and marks the shard as done. A shard whose report has the same fingerprint, and whose size is as
reported, is not written again (rule R11). Work files go when the whole output is assembled.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import msgspec
import pyarrow as pa

from pipelines import storage
from pipelines.checks import examine
from pipelines.plan import Job
from pipelines.rows import ImageRow, Rejected, decode_row, encode_row, shard_of
from schemas.arrow import INDEX_SCHEMA, annotations_table
from schemas.errors import RecordError
from schemas.record import ImageRecord
from schemas.tfexample import encode_record
from schemas.tfrecord import frame

WORK_FOLDER = ".work"
ROWS_AT_ONCE = 512  # records whose annotations are turned into Arrow together


class ShardReport(msgspec.Struct, frozen=True, kw_only=True):
    """What one shard took in and gave out.

    Attributes:
        fingerprint: of the job and of every row of the shard.
        distinct_images: number of different image ids that came in.
        rejected: in the order in which they were met.
        fixed: repairs by reason.
    """

    fingerprint: str
    name: str
    records: int
    bytes: int
    image_bytes: int
    sha256: str
    images_in: int
    distinct_images: int
    annotations_in: int
    annotations_written: int
    rejected: list[Rejected]
    fixed: dict[str, int]


def shard_name(job: Job, number: int) -> str:
    """File name of a shard."""
    return f"{job.split}-{number:05d}-of-{job.shards:05d}.tfrecord"


def work_path(job: Job, number: int, kind: str) -> str:
    """Path of a shard's work file: kind "report.json", "index.arrow" or "annotations.arrow"."""
    return storage.join(job.out, WORK_FOLDER, f"{shard_name(job, number)}.{kind}")


def read_report(job: Job, number: int) -> ShardReport | None:
    """The report of a shard, None if there is none or it is damaged."""
    try:
        return msgspec.json.decode(storage.read_bytes(work_path(job, number, "report.json")), type=ShardReport)
    except (FileNotFoundError, msgspec.DecodeError):
        return None


def read_elements(job: Job) -> Iterator[tuple[int, bytes]]:
    """All rows of the source as (shard, element); see `pipelines.rows`."""
    for row in job.source.read():
        element = encode_row(row, job.seed)
        if not job.limit_key or element[: len(job.limit_key)] <= job.limit_key:
            yield shard_of(element, job.shards), element


def write_shard(job: Job, number: int, elements: Iterable[bytes]) -> tuple[ShardReport, bool]:
    """Write a shard, or find that it is there.

    Args:
        job: the conversion.
        number: of the shard.
        elements: its rows in any order; empty ones are passed over.

    Returns:
        The report, and whether the shard had to be written.
    """
    ordered = sorted(element for element in elements if element)
    fingerprint = _fingerprint(job, number, ordered)
    name = shard_name(job, number)
    path, work = storage.join(job.out, name), storage.join(job.out, WORK_FOLDER)
    old = read_report(job, number)
    if old is not None and old.fingerprint == fingerprint and storage.size_of(path) == old.bytes:
        return old, False
    storage.make_folder(work)
    shard = _OpenShard(job, name)
    with storage.writing(path, work) as stream:
        for element in ordered:
            framed = shard.add(element)
            if framed:
                stream.write(framed)
    shard.flush()
    _write_table(pa.Table.from_pydict(shard.index, INDEX_SCHEMA), work_path(job, number, "index.arrow"), work)
    _write_table(pa.concat_tables(shard.annotations), work_path(job, number, "annotations.arrow"), work)
    report = shard.report(fingerprint)
    storage.write_bytes(work_path(job, number, "report.json"), msgspec.json.encode(report), work)
    return report, True


class _OpenShard:
    """A shard while it grows."""

    def __init__(self, job: Job, name: str) -> None:
        self._job, self._name = job, name
        self._offset = self._image_bytes = 0
        self._digest = hashlib.sha256()
        self._waiting: list[ImageRecord] = []
        self._image_ids: set[str] = set()
        self._counts: Counter[str] = Counter()
        self._fixed: Counter[str] = Counter()
        self._rejected: list[Rejected] = []
        self.index: dict[str, list[Any]] = {field.name: [] for field in INDEX_SCHEMA}
        self.annotations: list[pa.Table] = [annotations_table(())]

    def add(self, element: bytes) -> bytes:
        """The framed record of a row, empty if it was rejected."""
        row = decode_row(element)
        if isinstance(row, Rejected):
            self._counts["images" if row.kind == "image" else "annotations"] += 1
            self._rejected.append(row)
            if row.kind == "image" and row.image_id:
                self._image_ids.add(row.image_id)
            return b""
        self._counts["images"] += 1
        self._counts["annotations"] += len(row.boxes) + len(row.labels)
        self._image_ids.add(row.image_id)
        examined = examine(row, read_image(self._job, row), self._job.space, self._job.policy)
        self._rejected.extend(examined.rejected)
        record = examined.record
        if record is None:
            return b""
        self._fixed.update(examined.fixed)
        framed = frame(encode_record(record))
        self._digest.update(framed)
        entry = (record.image_id, self._name, self._offset, len(framed), record.sha256, record.width, record.height)
        for column, value in zip(self.index.values(), entry, strict=True):
            column.append(value)
        self._offset += len(framed)
        self._image_bytes += len(record.encoded or b"")
        self._counts["written"] += len(record.boxes) + len(record.labels)
        self._waiting.append(replace(record, encoded=None))
        if len(self._waiting) >= ROWS_AT_ONCE:
            self.flush()
        return framed

    def flush(self) -> None:
        """Turn the waiting records into annotation rows."""
        if self._waiting:
            self.annotations.append(annotations_table(self._waiting))
            self._waiting = []

    def report(self, fingerprint: str) -> ShardReport:
        """The report of the finished shard."""
        return ShardReport(
            fingerprint=fingerprint,
            name=self._name,
            records=len(self.index["image_id"]),
            bytes=self._offset,
            image_bytes=self._image_bytes,
            sha256=self._digest.hexdigest(),
            images_in=self._counts["images"],
            distinct_images=len(self._image_ids),
            annotations_in=self._counts["annotations"],
            annotations_written=self._counts["written"],
            rejected=self._rejected,
            fixed=dict(sorted(self._fixed.items())),
        )


def read_image(job: Job, row: ImageRow) -> bytes | RecordError:
    """The bytes of an image's file, or the reason why there are none; trouble of the file system itself is raised."""
    if row.uri.startswith("/") or "\\" in row.uri or ".." in row.uri.split("/") or storage.is_remote(row.uri):
        return RecordError("image:bad_path", "the name leads out of the image folder", found=repr(row.uri))
    if not row.uri:
        return RecordError("image:missing", "the annotation names no file")
    try:
        return storage.read_item(storage.join(job.source.image_root, row.uri))
    except RecordError as error:
        return error


def _fingerprint(job: Job, number: int, ordered: list[bytes]) -> str:
    digest = hashlib.sha256(f"{job.fingerprint} {number}\n".encode())
    for element in ordered:
        digest.update(len(element).to_bytes(8, "big"))
        digest.update(element)
    return digest.hexdigest()


def _write_table(table: pa.Table, path: str, work: str) -> None:
    with storage.writing(path, work) as stream, pa.ipc.new_stream(stream, table.schema) as writer:
        writer.write_table(table)
