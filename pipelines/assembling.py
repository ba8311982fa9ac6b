"""From finished shards to a finished dataset directory, and what may stand in its way.

`state_of` looks at OUT before the work, `begin` claims it, `assemble` writes the tables and, last, the manifest
(rule R11). Files that are not a conversion's own are never touched.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from enum import Enum

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.files import storage
from pipelines.files.faults import StorageError
from pipelines.labelling import label_map_items
from pipelines.plan import Plan, versions
from pipelines.rows import Noted, Rejected
from pipelines.writing import ShardReport, read_piece_report, read_report, work_path
from schemas.arrow import ANNOTATIONS_SCHEMA, INDEX_SCHEMA
from schemas.errors import OutputError
from schemas.label_map import write_label_map
from schemas.manifest import MANIFEST_NAME, WORK_FOLDER, Counts, Manifest, ShardEntry, manifest_from_json
from schemas.tfds import FILE_NAMES as TFDS_NAMES
from schemas.tfds import tfds_files
from wordtree.lock import LOCK

PLAN_NAME = "plan.json"
LABELS_NAME = "labels.pbtxt"
REJECTS_NAME = "rejects.jsonl"
REPAIRS_NAME = "repairs.jsonl"
HEAD_NAME = "source.json"
_OWN_NAMES = (LABELS_NAME, REJECTS_NAME, REPAIRS_NAME, HEAD_NAME, *TFDS_NAMES)
_OWN = re.compile(r"[\w-]+-\d{5}-of-\d{5}\.tfrecord|[\w-]+\.(index|annotations)\.parquet")


class State(Enum):
    """What OUT holds."""

    NEW = "new"
    UNFINISHED = "unfinished"
    COMPLETE = "complete"
    DAMAGED = "damaged"


def state_of(plan: Plan) -> State:
    """Whether the output is to be begun, resumed, complete already, or was complete and is damaged.

    Raises:
        OutputError: if OUT holds something else: another conversion, or files that are none of ours; or if it can be
            no folder.
    """
    out = plan.job.out
    folders, names = list_output(out)
    if MANIFEST_NAME in names:
        manifest = read_manifest(out)
        wanted = _identity(plan)
        found = {
            "source": manifest.source,
            **manifest.options,
            "source files": [(file.path, file.sha256) for file in manifest.source_files],
            "classes": [(c.id, c.label, c.wnid, c.node) for c in manifest.classes],
            "tree": manifest.options.get("tree", ""),
            "tree digest": manifest.tree_digest,
            "records": manifest.versions.get("records", ""),
        }
        _refuse_if_different(out, "holds a finished dataset that was made differently", found, wanted)
        return State.DAMAGED if damage(out, manifest) else State.COMPLETE
    if WORK_FOLDER in folders:
        try:
            data = json.loads(storage.read_bytes(storage.join(out, WORK_FOLDER, PLAN_NAME)))
        except (FileNotFoundError, ValueError):
            data = None  # killed while beginning: no shard was written
        if data is not None:
            found, wanted = data["identity"], json.loads(json.dumps(_identity(plan)))
            _refuse_if_different(out, "holds an unfinished dataset that was begun differently", found, wanted)
            if data["fingerprint"] != plan.job.fingerprint:
                raise OutputError(f"{out!r} holds an unfinished dataset of other inputs; begin anew with --force")
        return State.UNFINISHED
    if folders or names:
        shown = ", ".join((folders + names)[:3])
        raise OutputError(
            f"{out!r} holds files that are no dataset of `wordtree convert` ({shown}); give a new or empty folder, or "
            "--force to write beside them"
        )
    return State.NEW


def list_output(out: str) -> tuple[list[str], list[str]]:
    """Names of the folders and of the files in OUT, without the lock of the command that writes there.

    Raises:
        OutputError: if OUT can be no folder.
    """
    try:
        folders, names = storage.list_folder(out)
    except OSError as error:
        raise OutputError(f"{out!r} can be no output folder: {error.strerror or error}") from error
    return folders, [name for name in names if name != LOCK]


def damage(out: str, manifest: Manifest) -> str:
    """What is wrong with a finished dataset's files, as far as names, sizes and row counts tell; "" for nothing."""
    for shard in manifest.shards:
        size = storage.size_of(storage.join(out, shard.name))
        if size != shard.bytes:
            return f"{shard.name} is missing" if size < 0 else f"{shard.name} has {size} bytes, not {shard.bytes}"
    counts = manifest.counts
    for kind, rows in (("index", counts.images_written), ("annotations", counts.annotations_written)):
        name = f"{manifest.split}.{kind}.parquet"
        if storage.size_of(storage.join(out, name)) < 0:
            return f"{name} is missing"
        if _rows_in(storage.join(out, name)) != rows:
            return f"{name} is no table of {rows} rows"
    told = {
        LABELS_NAME: bool(manifest.classes),
        REJECTS_NAME: bool(counts.rejected_by_reason),
        REPAIRS_NAME: bool(counts.fixed_by_reason or counts.kept_by_reason),
    }
    for name, least in told.items():
        size = storage.size_of(storage.join(out, name))
        if size < least:
            return f"{name} is {'missing' if size < 0 else 'empty'}"
    return ""


def _rows_in(path: str) -> int:
    try:
        with storage.opened(path) as stream:
            return pq.read_metadata(stream).num_rows
    except StorageError:  # no answer is no damage
        raise
    except (OSError, pa.ArrowException):
        return -1


def _identity(plan: Plan) -> dict[str, object]:
    job = plan.job
    return {
        "source": job.source.name,
        **plan.options,
        "source files": [(file.path, file.sha256) for file in plan.source_files],
        "classes": [(c.id, c.label, c.wnid, c.node) for c in job.space.classes.values()],
        "tree": plan.tree,
        "tree digest": job.space.tree_digest,
        "records": versions()["records"],
    }


def _refuse_if_different(out: str, what: str, found: dict[str, object], wanted: dict[str, object]) -> None:
    if found.get("records") != wanted.get("records"):
        raise OutputError(f"{out!r} {what}, by another version of the program; replace it with --force")
    different = sorted(key for key in {*found, *wanted} if not storage.same_options(found.get(key), wanted.get(key)))
    if different:
        told = [
            f"{key} was {found.get(key)!r}, now {wanted.get(key)!r}"
            if not isinstance(wanted.get(key), list)
            else f"the {key} changed"
            for key in different
        ]
        raise OutputError(f"{out!r} {what}: {'; '.join(told)}. Choose another folder, or replace it with --force")


def read_manifest(out: str) -> Manifest:
    """The manifest of a dataset directory."""
    path = storage.join(out, MANIFEST_NAME)
    return manifest_from_json(storage.read_bytes(path).decode(), path)


def clear(out: str) -> None:
    """Remove a conversion's own files, the manifest first; others stay.

    Raises:
        OutputError: if OUT can be no folder.
    """
    storage.remove(storage.join(out, MANIFEST_NAME))
    storage.remove(storage.join(out, WORK_FOLDER))
    for name in list_output(out)[1]:
        if _OWN.fullmatch(name) or name in _OWN_NAMES:
            storage.remove(storage.join(out, name))


def begin(plan: Plan) -> None:
    """Claim OUT for this plan; if it was finished, it is not any more.

    Raises:
        OutputError: if nothing can be written there.
    """
    work = storage.join(plan.job.out, WORK_FOLDER)
    claim = {"fingerprint": plan.job.fingerprint, "identity": _identity(plan)}
    try:
        storage.make_folder(work)
        storage.write_bytes(storage.join(work, PLAN_NAME), json.dumps(claim, sort_keys=True).encode(), work)
        storage.remove(storage.join(plan.job.out, MANIFEST_NAME))
    except OSError as error:
        raise OutputError(f"cannot write to {plan.job.out!r}: {error.strerror or error}") from error


def assemble(plan: Plan) -> Manifest:
    """Write the tables, the label map, the rejects and, last, the manifest; remove the work files.

    Raises:
        RuntimeError: if a shard is missing or rows were lost on the way: a bug here or in the runner.
    """
    job = plan.job
    work = storage.join(job.out, WORK_FOLDER)
    reports: list[ShardReport] = []
    for number in range(job.shards):
        report = read_report(job, number)
        if report is None:
            raise RuntimeError(f"shard {number} of {job.shards} has no report after the run; the runner lost it")
        reports.append(report)
    read = sum(read_piece_report(job, number).payloads for number in range(len(job.source.pieces())))
    arrived = sum(report.payloads for report in reports)
    if arrived != read:
        raise RuntimeError(f"{arrived} of {read} payloads of rows reached the shards; the runner lost some")
    arrived = sum(report.distinct_images for report in reports)
    if plan.exact and arrived != plan.images:
        raise RuntimeError(f"{arrived} images reached the shards, {plan.images} were planned; the runner lost rows")
    for kind, schema in (("index", INDEX_SCHEMA), ("annotations", ANNOTATIONS_SCHEMA)):
        path = storage.join(job.out, f"{job.split}.{kind}.parquet")
        with storage.writing(path, work) as stream, pq.ParquetWriter(stream, schema) as writer:
            for number in range(job.shards):
                writer.write_table(_read_table(work_path(job, number, f"{kind}.arrow")))
    items = label_map_items(job.space, plan.tree)
    storage.write_bytes(storage.join(job.out, LABELS_NAME), write_label_map(items).encode(), work)
    rejected = sorted((r for report in reports for r in report.rejected), key=msgspec.structs.astuple)
    storage.write_bytes(storage.join(job.out, REJECTS_NAME), b"".join(_reject_lines(plan, rejected)), work)
    notes = sorted((note for report in reports for note in report.notes), key=msgspec.structs.astuple)
    storage.write_bytes(storage.join(job.out, REPAIRS_NAME), b"".join(_reject_lines(plan, notes)), work)
    if plan.head:
        storage.write_bytes(storage.join(job.out, HEAD_NAME), plan.head, work)
    manifest = Manifest(
        source=job.source.name,
        split=job.split,
        has_boxes=any(report.boxed for report in reports),
        options=plan.options,
        versions=versions(),
        source_files=plan.source_files,
        counts=_counts(reports),
        shards=tuple(ShardEntry(name=r.name, records=r.records, bytes=r.bytes, crc32c=r.crc32c) for r in reports),
        classes=tuple(job.space.classes.values()),
        tree_digest=job.space.tree_digest,
    )
    for name, data in tfds_files(manifest).items():
        storage.write_bytes(storage.join(job.out, name), data, work)
    storage.write_bytes(storage.join(job.out, MANIFEST_NAME), manifest.to_json().encode(), work)
    storage.remove(work)
    return manifest


def _read_table(path: str) -> pa.Table:
    return pa.ipc.open_stream(storage.read_bytes(path)).read_all()


def _reject_lines(plan: Plan, rows: Sequence[Rejected | Noted]) -> Iterator[bytes]:
    for row in rows:
        line = {
            "source": plan.job.source.name,
            "record": row.record,
            "kind": row.kind,
            "reason": row.reason,
            **({"action": row.action} if isinstance(row, Noted) else {}),
            "found": row.found,
            "where": row.where,
            "image_id": row.image_id,
        }
        yield json.dumps(line, ensure_ascii=False).encode() + b"\n"


def _counts(reports: list[ShardReport]) -> Counts:
    """The counts of all shards; checks the law in = written + rejected."""
    reasons: Counter[str] = Counter()
    kinds: Counter[str] = Counter()
    notes: dict[str, Counter[str]] = {"fixed": Counter(), "kept": Counter()}
    for report in reports:
        reasons.update(row.reason for row in report.rejected)
        kinds.update(row.kind for row in report.rejected)
        for note in report.notes:
            notes[note.action][note.reason] += 1
    counts = Counts(
        images_in=sum(report.images_in for report in reports),
        images_written=sum(report.records for report in reports),
        images_rejected=kinds["image"],
        annotations_in=sum(report.annotations_in for report in reports),
        annotations_written=sum(report.annotations_written for report in reports),
        annotations_rejected=kinds["box"] + kinds["label"],
        rejected_by_reason=dict(sorted(reasons.items())),
        fixed_by_reason=dict(sorted(notes["fixed"].items())),
        kept_by_reason=dict(sorted(notes["kept"].items())),
        captions_in=sum(report.captions_in for report in reports),
        captions_written=sum(report.captions_written for report in reports),
        captions_rejected=kinds["caption"],
    )
    if counts.images_in != counts.images_written + counts.images_rejected:
        raise RuntimeError(f"images do not add up: {counts}")
    if counts.annotations_in != counts.annotations_written + counts.annotations_rejected:
        raise RuntimeError(f"annotations do not add up: {counts}")
    if counts.captions_in != counts.captions_written + counts.captions_rejected:
        raise RuntimeError(f"captions do not add up: {counts}")
    return counts
