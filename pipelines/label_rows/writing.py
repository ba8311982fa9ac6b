"""One group of shards of the row plane: its rows decided, and written as Arrow files that the end of the job joins.

Nothing here is done row by row but the telling of rejects. The tables are those that a conversion with pixels writes,
with the same rows in the same order; what only pixels tell is empty: shard, offset, sha256, size, format. Columns that
are the same everywhere are added when the tables are joined.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute
from numpy.typing import NDArray

from pipelines.files import storage
from pipelines.label_rows.blocks import collect, column
from pipelines.label_rows.deciding import Decided, decide
from pipelines.label_rows.layout import GOOD, UNKNOWN_CLASS
from pipelines.label_rows.telling import Told, no_label, rejected_rows
from pipelines.plan import Job
from pipelines.rows import Rejected
from schemas.manifest import WORK_FOLDER

pc: Any = pyarrow.compute


class GroupReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a group took in and gave out; as `pipelines.writing.ShardReport` without pixels.

    Attributes:
        payloads: blocks that came in.
    """

    fingerprint: str
    payloads: int
    rows_in: int
    rows_written: int
    images_in: int
    images_written: int
    rejected_by_reason: dict[str, int]


def group_path(job: Job, number: int, kind: str) -> str:
    """Path of a group's work file: kind "report.json", "index.arrow", "annotations.arrow" or "rejects.jsonl"."""
    return storage.join(job.out, WORK_FOLDER, f"rows-{number:05d}.{kind}")


def read_group_report(job: Job, number: int) -> GroupReport | None:
    """The report of a group, None if there is none or it is damaged."""
    try:
        return msgspec.json.decode(storage.read_bytes(group_path(job, number, "report.json")), type=GroupReport)
    except (FileNotFoundError, msgspec.DecodeError):
        return None


def write_group(job: Job, number: int, payloads: Iterable[bytes], told: Told, people: tuple[str, ...]) -> GroupReport:
    """Decide the rows of a group and write them; done already if its report says so."""
    old = read_group_report(job, number)
    if old is not None and old.fingerprint == job.fingerprint:
        return old
    blocks = [payload for payload in payloads if payload]
    work = storage.join(job.out, WORK_FOLDER)
    storage.make_folder(work)
    rows = collect(blocks)
    annotations = index = pa.table({"image_id": pa.array([], pa.string())})
    reasons: Counter[str] = Counter()
    images_in = 0
    rejects: Iterable[Rejected] = ()
    if rows.num_rows:
        decided = decide(rows, job.shards, people)
        annotations, index, rejects, images_in = tables(decided, job, told, people)
    with storage.writing(group_path(job, number, "rejects.jsonl"), work) as stream:
        for rejected in rejects:
            reasons[rejected.reason] += 1
            stream.write(reject_line(rejected, job.source.name))
    for kind, table in (("annotations", annotations), ("index", index)):
        path = group_path(job, number, f"{kind}.arrow")
        with storage.writing(path, work) as stream, pa.ipc.new_file(stream, table.schema) as writer:
            writer.write_table(table)
    report = GroupReport(
        fingerprint=job.fingerprint,
        payloads=len(blocks),
        rows_in=rows.num_rows,
        rows_written=annotations.num_rows,
        images_in=images_in,
        images_written=index.num_rows,
        rejected_by_reason=dict(reasons),
    )
    storage.write_bytes(group_path(job, number, "report.json"), msgspec.json.encode(report), work)
    return report


class _RejectLine(msgspec.Struct, frozen=True, gc=False):
    source: str
    record: str
    kind: str
    reason: str
    found: str
    where: str
    image_id: str


_json = msgspec.json.Encoder()


def reject_line(row: Rejected, source: str) -> bytes:
    """A line of rejects.jsonl."""
    line = _RejectLine(source, row.record, row.kind, row.reason, row.found, row.where, row.image_id)
    return _json.encode(line) + b"\n"


def tables(
    decided: Decided, job: Job, told: Told, people: tuple[str, ...]
) -> tuple[pa.Table, pa.Table, Iterator[Rejected], int]:
    """Annotations and index, in the columns about which there is something to say; what is rejected; images that came
    in."""
    fault, image = decided.fault, decided.image
    keys = pa.array(list(job.space.classes), pa.string())
    code = pc.index_in(decided.rows["label"], value_set=keys).combine_chunks().fill_null(-1)
    code = code.to_numpy(zero_copy_only=False)[decided.order]
    numbers = _numbers(image, fault == GOOD)
    fault[(fault == GOOD) & (code < 0)] = UNKNOWN_CLASS
    kept = np.flatnonzero(fault == GOOD)
    has_kept = np.zeros(len(decided.first), bool)
    has_kept[image[kept]] = True
    nameless = pc.equal(pc.binary_length(decided.rows["image_id"]), 0).to_numpy()[decided.order[decided.first]]
    lost = decided.named[~has_kept & ~nameless]
    rejects = _rejects(decided, told, numbers, lost)
    annotations = _annotations(decided, job, kept, code[kept], bool(people))
    return annotations, _index(decided, told, decided.named[has_kept]), rejects, int((~nameless).sum())


def _numbers(image: NDArray[np.int64], counted: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Number of each counted row in its image, from 1."""
    total = np.cumsum(counted)
    new = np.ones(len(image), bool)
    new[1:] = image[1:] != image[:-1]
    before = (total - counted)[new]
    return total - before[np.cumsum(new) - 1]


def _rejects(decided: Decided, told: Told, numbers: NDArray[np.int64], lost: NDArray[np.int64]) -> Iterator[Rejected]:
    yield from rejected_rows(decided, told, numbers)
    if len(lost):
        rows = decided.take(lost, "image_id", "uri")
        for image_id, uri in zip(rows["image_id"].to_pylist(), rows["uri"].to_pylist(), strict=True):
            yield no_label(image_id, uri or image_id)


def _annotations(
    decided: Decided, job: Job, kept: NDArray[np.int64], code: NDArray[np.int32], has_people: bool
) -> pa.Table:
    rows = decided.take(kept, "image_id", "source")
    entries = list(job.space.classes.values())
    by_people, confidence = decided.people[kept], decided.confidence[kept]
    said = {
        "image_id": rows["image_id"],
        "number": (_numbers(decided.image[kept], np.ones(len(kept), bool)) - 1).astype(np.int32),
        "label": pa.array([entry.label for entry in entries], pa.string()).take(pa.array(code)),
        "class_id": np.array([entry.id for entry in entries], np.int32)[code],
        "wnid": pa.array([entry.wnid for entry in entries], pa.string()).take(pa.array(code)),
        "presence": np.where(by_people, confidence == 1, True).astype(np.int8),
        "confidence": np.where(by_people, 1.0, confidence).astype(np.float32),
        "source": rows["source"],
    }
    if has_people:
        said["verified"] = pa.array(by_people)
    return pa.table(said)


def _index(decided: Decided, told: Told, named: NDArray[np.int64]) -> pa.Table:
    rows = decided.take(named, "image_id", "uri", "file")
    provenance = pa.array(told.names, pa.string()).take(pa.array(column(rows, "file")))
    uri = pc.coalesce(rows["uri"], rows["image_id"])
    return pa.table({"image_id": rows["image_id"], "uri": uri, "provenance": provenance})


ALWAYS: Mapping[str, object] = {"kind": "label", "orientation": 1}


def completed(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """A table with all columns of its schema; what nothing is said about is null, or empty where it may not be."""
    rows = table.num_rows
    columns: list[Any] = []
    for field in schema:
        if field.name in table.column_names:
            columns.append(table[field.name].cast(field.type))
        elif field.nullable:
            columns.append(pa.nulls(rows, field.type))
        else:
            value = ALWAYS.get(field.name, "" if pa.types.is_string(field.type) else 0)
            columns.append(pa.repeat(pa.scalar(value).cast(field.type), rows))
    return pa.table(columns, schema=schema)
