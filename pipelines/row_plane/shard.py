"""Write one shard of an assembly: the only step of it that reads pixels, by (shard, offset, length).

As in a conversion (`pipelines.writing`), work files in OUT/.work hold its index, its annotations and, written last, a
report; a shard whose report has the same fingerprint and whose size is as reported is not written again (rule R11).
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, BinaryIO

import msgspec
import pyarrow as pa

from pipelines.files import storage
from pipelines.row_plane.records import record_of
from pipelines.row_plane.row_elements import read_element
from pipelines.row_plane.view import Rows, parse_origin
from pipelines.rows import Rejected
from schemas.arrow import AnnotationColumns, index_row, index_table
from schemas.errors import FormatError
from schemas.manifest import WORK_FOLDER
from schemas.record import ImageRecord
from schemas.tfexample import decode_record, encode_record
from schemas.tfrecord import FileCrc, frame, unframe

ROWS_AT_ONCE = 4096  # annotations that are turned into Arrow together
FILES_OPEN = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class AssembleJob:
    """What every worker of an assembly knows.

    Attributes:
        rows: the view; its tables are not part of what is sent to workers.
        fingerprint: hex digest of all that decides the contents.
    """

    rows: Rows
    out: str
    split: str
    shards: int
    seed: int
    fingerprint: str

    def shard_name(self, number: int) -> str:
        """File name of a shard."""
        return f"{self.split}-{number:05d}-of-{self.shards:05d}.tfrecord"

    def work_path(self, number: int, kind: str) -> str:
        """Path of a shard's work file: kind "report.json", "index.arrow" or "annotations.arrow"."""
        return storage.join(self.out, WORK_FOLDER, f"{self.shard_name(number)}.{kind}")


class AssembledShard(msgspec.Struct, frozen=True, kw_only=True):
    """What one shard took in and gave out; `copied` counts the records that are as they were."""

    fingerprint: str
    name: str
    records: int
    copied: int
    bytes: int
    crc32c: str
    images_in: int
    annotations_in: int
    annotations_written: int
    captions_in: int
    captions_written: int
    rejected: list[Rejected]


def read_report(job: AssembleJob, number: int) -> AssembledShard | None:
    """The report of a shard, None if there is none or it is damaged."""
    try:
        data = storage.read_bytes(job.work_path(number, "report.json"))
        return msgspec.json.decode(data, type=AssembledShard)
    except (FileNotFoundError, msgspec.DecodeError):
        return None


def write_assembled(job: AssembleJob, number: int, elements: Iterable[bytes]) -> tuple[AssembledShard, bool]:
    """Write a shard, or find that it is there.

    Args:
        job: the assembly.
        number: of the shard.
        elements: its rows in any order; empty ones are passed over.

    Returns:
        The report, and whether the shard had to be written.
    """
    ordered = sorted(element for element in elements if element)
    digest = hashlib.sha256(f"{job.fingerprint} {number}\n".encode())
    for element in ordered:
        digest.update(len(element).to_bytes(8, "big") + element)
    name = job.shard_name(number)
    path, work = storage.join(job.out, name), storage.join(job.out, WORK_FOLDER)
    old = read_report(job, number)
    if old is not None and old.fingerprint == digest.hexdigest() and storage.size_of(path) == old.bytes:
        return old, False
    storage.make_folder(work)
    shard = _OpenShard(job, name, digest.hexdigest())
    with storage.writing(path, work) as stream, shard.records:
        for element in ordered:
            framed = shard.add(element)
            if framed:
                stream.write(framed)
    shard.flush()
    _write_table(index_table(shard.index), job.work_path(number, "index.arrow"), work)
    _write_table(pa.concat_tables(shard.annotations), job.work_path(number, "annotations.arrow"), work)
    report = shard.report()
    storage.write_bytes(job.work_path(number, "report.json"), msgspec.json.encode(report), work)
    return report, True


class _OpenShard:
    """A shard while it grows."""

    def __init__(self, job: AssembleJob, name: str, fingerprint: str) -> None:
        self._job, self._name, self._fingerprint = job, name, fingerprint
        self._crc = FileCrc()
        self._columns = AnnotationColumns()
        self._offset = self._copied = self._images = self._said = self._written = 0
        self._captions_in = self._captions_written = 0
        self._rejected: list[Rejected] = []
        self.records = RecordFiles(job.rows)
        self.index: list[tuple[Any, ...]] = []
        self.annotations: list[pa.Table] = []

    def add(self, element: bytes) -> bytes:
        """The framed record of an image, empty if it is damaged and was rejected."""
        image, annotations = read_element(element)
        captions = len(msgspec.json.decode(image["captions"] or "[]"))
        self._images += 1
        self._said += len(annotations)
        self._captions_in += captions
        try:
            framed = self.records.framed(image["shard"], image["offset"], image["length"])
            old = decode_record(unframe(framed, f"record {image['image_id']!r}"))
            if old.image_id != image["image_id"]:
                raise FormatError(f"another image lies there, {old.image_id!r}")
            record = record_of(image, annotations, old, self.records.at)
        except FormatError as error:
            self._reject(image, annotations, str(error))
            return b""
        # rows may have numbers of 64 bits that a record has in 32: what is not equal may still be the same bytes
        written = framed if record == old else frame(encode_record(record))
        self._copied += written == framed
        framed = written
        self._crc.update(framed)
        self.index.append(index_row(record, self._name, self._offset, len(framed)))
        self._offset += len(framed)
        self._written += len(annotations)
        self._captions_written += captions
        self._columns.add(record)
        if self._columns.rows >= ROWS_AT_ONCE:
            self.flush()
        return framed

    def _reject(self, image: dict[str, Any], annotations: list[dict[str, Any]], found: str) -> None:
        image_id = image["image_id"]
        where = f"{self._job.rows.shard_file(image['shard'])}, byte {image['offset']}"

        def reject(kind: str, record: str, reason: str, told: str) -> None:
            self._rejected.append(
                Rejected(kind=kind, record=record, reason=reason, found=told, where=where, image_id=image_id)
            )

        reject("image", image_id, "image:damaged_record", found)
        for row in annotations:
            kind = row["kind"]
            record = row["annotation_id"] or f"{image_id}#{'label' if kind == 'label' else ''}{row['number'] + 1}"
            reject(kind, record, f"{kind}:image_rejected", "image:damaged_record")
        for number, (_, caption_id) in enumerate(msgspec.json.decode(image["captions"] or "[]"), start=1):
            record = caption_id or f"{image_id}#caption{number}"
            reject("caption", record, "caption:image_rejected", "image:damaged_record")

    def flush(self) -> None:
        """Turn the waiting annotations into Arrow."""
        self.annotations.append(self._columns.table())

    def report(self) -> AssembledShard:
        """The report of the finished shard."""
        return AssembledShard(
            fingerprint=self._fingerprint,
            name=self._name,
            records=len(self.index),
            copied=self._copied,
            bytes=self._offset,
            crc32c=self._crc.text(),
            images_in=self._images,
            annotations_in=self._said,
            annotations_written=self._written,
            captions_in=self._captions_in,
            captions_written=self._captions_written,
            rejected=self._rejected,
        )


class RecordFiles:
    """The files that hold a view's records, the last few kept open: a context."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        self._open: OrderedDict[str, tuple[BinaryIO, ExitStack]] = OrderedDict()

    def __enter__(self) -> RecordFiles:
        return self

    def __exit__(self, *error: object) -> None:
        while self._open:
            self._open.popitem()[1][1].close()

    def framed(self, shard: str, offset: int, length: int) -> bytes:
        """The framed bytes of a record."""
        if shard not in self._open:
            if len(self._open) >= FILES_OPEN:
                self._open.popitem(last=False)[1][1].close()
            stack = ExitStack()
            self._open[shard] = (stack.enter_context(storage.opened(self._rows.shard_file(shard))), stack)
        self._open.move_to_end(shard)
        stream = self._open[shard][0]
        stream.seek(offset)
        return stream.read(length)

    def at(self, origin: str) -> ImageRecord:
        """The record that a text in the column `origin` names.

        Raises:
            FormatError: if it is damaged.
        """
        return decode_record(unframe(self.framed(*parse_origin(origin)), f"record at {origin}"))


def _write_table(table: pa.Table, path: str, work: str) -> None:
    with storage.writing(path, work) as stream, pa.ipc.new_stream(stream, table.schema) as writer:
        writer.write_table(table)
