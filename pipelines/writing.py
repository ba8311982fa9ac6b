"""Write one shard: the only step that reads images (rule R3).

A shard is a TFRecord file; beside it lie work files in OUT/.work: its index and annotation rows, and its report. The
report is written last and marks the shard as done. A shard whose report has the same fingerprint, and whose size is as
reported, is not written again (rule R11). Work files go when the whole output is assembled.
"""

from __future__ import annotations

import contextlib
import gc
import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec
import pyarrow as pa

from pipelines.checks import NO_ASSETS, examine
from pipelines.fetching import Fetched, read_assets, read_image
from pipelines.files import storage
from pipelines.image_checks import noted_image
from pipelines.joining import join
from pipelines.plan import Job
from pipelines.rows import ImageRow, Noted, Rejected
from schemas.arrow import AnnotationColumns, index_row, index_table
from schemas.manifest import WORK_FOLDER
from schemas.record import ImageRecord
from schemas.tfexample import encode_chunks
from schemas.tfrecord import FileCrc, frame_chunks

BATCH_ROWS, BATCH_BYTES = 32, 4 << 20  # images that are worked on together
ROWS_AT_ONCE = 4096  # annotations that are turned into Arrow together


class ShardReport(msgspec.Struct, frozen=True, kw_only=True):
    """What one shard took in and gave out.

    Attributes:
        fingerprint: of the job and of every row of the shard.
        distinct_images: number of different image ids that came in.
        boxed: images that people looked for boxes in.
        payloads: that came in, of rows; all that readers put out must arrive at some shard.
        rejected: in the order in which they were met.
        notes: what is written though it is not as it should be, in the order in which it was met.
    """

    fingerprint: str
    name: str
    records: int
    bytes: int
    image_bytes: int
    crc32c: str
    images_in: int
    distinct_images: int
    boxed: int
    annotations_in: int
    annotations_written: int
    captions_in: int
    captions_written: int
    payloads: int
    rejected: list[Rejected]
    notes: list[Noted]


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


class PieceReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a reader put out: its piece, and how many payloads of rows."""

    piece: str
    payloads: int


def read_piece(job: Job, number: int, piece: str) -> Iterator[tuple[int, bytes]]:
    """All rows of a piece as (shard, payload); its report is written when the last is taken."""
    payloads = 0
    for payload in job.source.pack(number, piece, job.packing):
        payloads += 1
        yield payload
    work = storage.join(job.out, WORK_FOLDER)
    report = msgspec.json.encode(PieceReport(piece=piece, payloads=payloads))
    storage.write_bytes(piece_path(job, number), report, work)


def piece_path(job: Job, number: int) -> str:
    """Path of a reader's report."""
    return storage.join(job.out, WORK_FOLDER, f"piece-{number:05d}.json")


def read_piece_report(job: Job, number: int) -> PieceReport:
    """The report of a reader.

    Raises:
        FileNotFoundError: it has not finished.
    """
    return msgspec.json.decode(storage.read_bytes(piece_path(job, number)), type=PieceReport)


def write_shard(job: Job, number: int, payloads: Iterable[bytes]) -> tuple[ShardReport, bool]:
    """Write a shard, or find that it is there.

    Args:
        job: the conversion.
        number: of the shard.
        payloads: its rows in any order; empty ones are passed over.

    Returns:
        The report, and whether the shard had to be written.
    """
    ordered = sorted(payload for payload in payloads if payload)
    fingerprint = _fingerprint(job, number, ordered)
    name = shard_name(job, number)
    path, work = storage.join(job.out, name), storage.join(job.out, WORK_FOLDER)
    old = read_report(job, number)
    if old is not None and old.fingerprint == fingerprint and storage.size_of(path) == old.bytes:
        return old, False
    storage.make_folder(work)
    shard = _OpenShard(job, name)
    with storage.writing(path, work) as stream, _no_garbage():
        rows = join(job.source.unpack(ordered))
        remote = storage.is_remote(job.source.image_root) or job.source.free_uris
        found = storage.fetched_ahead(rows, lambda row: _image_of(job, row), remote=remote)
        for batch in _batches(found):
            for chunk in shard.add(batch):
                stream.write(chunk)
    shard.flush()
    _write_table(index_table(shard.index), work_path(job, number, "index.arrow"), work)
    _write_table(pa.concat_tables(shard.annotations), work_path(job, number, "annotations.arrow"), work)
    report = shard.report(fingerprint, len(ordered))
    storage.write_bytes(work_path(job, number, "report.json"), msgspec.json.encode(report), work)
    return report, True


@contextlib.contextmanager
def _no_garbage() -> Iterator[None]:
    """Rows and records hold no cycles; looking for some in every few thousand of them costs a twentieth of the time."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


RowAndFile = tuple["ImageRow | Rejected", Fetched]


def _batches(found: Iterable[RowAndFile]) -> Iterator[list[RowAndFile]]:
    """Rows with their images, a few at a time: so many as BATCH_ROWS or BATCH_BYTES allow."""
    batch: list[RowAndFile] = []
    size = 0
    for pair in found:
        batch.append(pair)
        size += len(pair[1].data) if isinstance(pair[1].data, bytes) else 0
        if len(batch) == BATCH_ROWS or size > BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _image_of(job: Job, row: ImageRow | Rejected) -> Fetched:
    return Fetched("", b"") if isinstance(row, Rejected) else read_image(job.source, row)


class _OpenShard:
    """A shard while it grows."""

    def __init__(self, job: Job, name: str) -> None:
        self._job, self._name = job, name
        self._offset = self._image_bytes = 0
        self._crc = FileCrc()
        self._columns = AnnotationColumns()
        self._image_ids: set[str] = set()
        self._counts: Counter[str] = Counter()
        self._rejected: list[Rejected] = []
        self._notes: list[Noted] = []
        self.index: list[tuple[Any, ...]] = []
        self.annotations: list[pa.Table] = []

    def add(self, batch: Sequence[RowAndFile]) -> list[bytes]:
        """The framed records of some rows, in chunks; a rejected row has none.

        Each step is taken for all rows before the next one is taken: steps that go over large bytes push everything
        else out of the processor's caches, and between them the others would take twice as long.
        """
        digests = [hashlib.sha256(file.data).hexdigest() if isinstance(file.data, bytes) else "" for _, file in batch]
        records: list[ImageRecord] = []
        for (row, file), digest in zip(batch, digests, strict=True):
            record = self._reject(row) if isinstance(row, Rejected) else self._examine(row, file, digest)
            if record is not None:
                records.append(record)
        encoded = [encode_chunks(record) for record in records]
        for record in records:
            self._columns.add(record)
            if self._columns.rows >= ROWS_AT_ONCE:
                self.flush()
        written: list[bytes] = []
        for record, chunks in zip(records, encoded, strict=True):
            framed = frame_chunks(chunks)
            length = sum(map(len, framed))
            for chunk in framed:
                self._crc.update(chunk)
            self.index.append(index_row(record, self._name, self._offset, length))
            self._offset += length
            written += framed
        return written

    def _reject(self, row: Rejected) -> None:
        self._counts[{"image": "images", "caption": "captions"}.get(row.kind, "annotations")] += 1
        self._rejected.append(row)
        if row.kind == "image" and row.image_id:
            self._image_ids.add(row.image_id)

    def _examine(self, row: ImageRow, file: Fetched, digest: str) -> ImageRecord | None:
        """The record of a row; None if its image was rejected."""
        counts, job = self._counts, self._job
        stated = row.uri
        row = row if file.uri == stated else msgspec.structs.replace(row, uri=file.uri)
        counts["images"] += 1
        counts["annotations"] += len(row.boxes) + len(row.labels)
        counts["captions"] += len(row.captions)
        self._image_ids.add(row.image_id)
        examined = examine(
            row,
            file.data,
            job.space,
            job.policy,
            assets=read_assets(job.source, row) if _has_assets(row) else NO_ASSETS,
            relative=job.source.relative_boxes,
            stated=job.source.stated_corners,
            digest=digest,
        )
        self._rejected.extend(examined.rejected)
        self._notes.extend(examined.notes)
        record = examined.record
        if record is not None:
            if row.uri != stated:
                self._notes.append(noted_image(row, "image:name_read", "fix", f"{stated!r} is {row.uri!r}"))
            self._image_bytes += len(record.encoded or b"")
            counts["written"] += len(record.boxes) + len(record.labels)
            counts["captions_written"] += len(record.captions)
            counts["boxed"] += record.has_boxes
        return record

    def flush(self) -> None:
        """Turn the waiting annotations into Arrow."""
        self.annotations.append(self._columns.table())

    def report(self, fingerprint: str, payloads: int) -> ShardReport:
        """The report of the finished shard."""
        return ShardReport(
            fingerprint=fingerprint,
            name=self._name,
            records=len(self.index),
            bytes=self._offset,
            image_bytes=self._image_bytes,
            crc32c=self._crc.text(),
            images_in=self._counts["images"],
            distinct_images=len(self._image_ids),
            boxed=self._counts["boxed"],
            annotations_in=self._counts["annotations"],
            annotations_written=self._counts["written"],
            captions_in=self._counts["captions"],
            captions_written=self._counts["captions_written"],
            payloads=payloads,
            rejected=self._rejected,
            notes=self._notes,
        )


def _has_assets(row: ImageRow) -> bool:
    return bool(row.map_uris) or any([box.mask_uri for box in row.boxes])


def _fingerprint(job: Job, number: int, ordered: list[bytes]) -> str:
    digest = hashlib.sha256(f"{job.fingerprint} {number}\n".encode())
    for element in ordered:
        digest.update(len(element).to_bytes(8, "big"))
        digest.update(element)
    return digest.hexdigest()


def _write_table(table: pa.Table, path: str, work: str) -> None:
    with storage.writing(path, work) as stream, pa.ipc.new_stream(stream, table.schema) as writer:
        writer.write_table(table)
