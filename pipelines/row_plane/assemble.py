"""Self-contained shards again, from a view or from a dataset that is to have other shards.

    rows ─► (shard, rows as bytes) ─► GroupByKey ─► write shards ─► tables, manifest

Rows alone pass the GroupByKey; the step behind it reads each record where it lies and writes it to its new shard (rule
R3). A record whose rows did not change is copied byte by byte.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import apache_beam as beam
import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
from apache_beam.metrics.metric import Metrics
from apache_beam.pvalue import PCollection

from pipelines.beam_options import make_pipeline
from pipelines.exchange import exchange, received
from pipelines.files import storage
from pipelines.plan import IMAGES_PER_SHARD, versions
from pipelines.planes import PixelDoFn
from pipelines.row_plane.row_elements import row_elements
from pipelines.row_plane.shard import AssembledShard, AssembleJob, read_report, write_assembled
from pipelines.row_plane.view import open_rows, refuse_inputs_as_output
from pipelines.row_plane.view_writer import HEAD_NAME, LABELS_NAME, REJECTS_NAME, check_counts, claim
from pipelines.running import holds_groups_in_memory, trouble_told
from pipelines.spool import SPOOL_FOLDER
from schemas.arrow import ANNOTATIONS_SCHEMA, INDEX_SCHEMA
from schemas.errors import ConfigError, OutputError
from schemas.manifest import MANIFEST_NAME, WORK_FOLDER, Counts, Manifest, ShardEntry, manifest_from_json
from schemas.tfds import tfds_files


@dataclass(frozen=True, slots=True)
class Assembled:
    """The manifest, whether it was there already, and how many records are as they were, None if it was there."""

    manifest: Manifest
    was_complete: bool = False
    copied: int | None = None


class WriteShard(PixelDoFn):
    """Reads the records of one shard where they lie and writes it; puts out the shard's number."""

    def __init__(self, job: AssembleJob, folder: str) -> None:
        self._job, self._folder = job, folder

    def process(self, element: tuple[int, Iterable[bytes]]) -> Iterator[int]:
        number, payloads = element
        report, written = write_assembled(self._job, number, received(payloads, self._folder))
        Metrics.counter("assemble", "shards_written" if written else "shards_found").inc()
        Metrics.counter("assemble", "records").inc(report.records)
        yield number


def _read(job: AssembleJob, _number: int, _piece: str) -> Iterator[tuple[int, bytes]]:
    """All images of the view, each with its shard."""
    return row_elements(open_rows(job.rows.path), shards=job.shards, seed=job.seed)


def build(pipeline: beam.Pipeline, job: AssembleJob, *, spooled: bool = False) -> PCollection[int]:
    """The steps of an assembly, from nothing to the numbers of the shards that are written."""
    folder = storage.join(job.out, WORK_FOLDER, SPOOL_FOLDER) if spooled else ""
    return exchange(pipeline, [""], partial(_read, job), WriteShard(job, folder), shards=job.shards, folder=folder)


def make_job(dataset: str, out: str, *, shards: int = 0, seed: int = 0) -> AssembleJob:
    """What an assembly will do, decided before anything is written.

    Args:
        dataset: a view, or a dataset.
        shards: 0 for one shard per IMAGES_PER_SHARD images.
        seed: of the order of images.

    Raises:
        ConfigError: a number is out of range, or OUT is what is read.
        InputError, FormatError: the dataset cannot be read, or its shards are gone or have changed.
    """
    rows = open_rows(dataset)
    if not 0 <= shards <= 99_999:
        raise ConfigError(f"--shards is {shards}; expected 1 to 99999, or 0 for one per {IMAGES_PER_SHARD} images")
    refuse_inputs_as_output(out, [rows])
    rows.check_shards()
    shards = shards or max(1, -(-rows.manifest.counts.images_written // IMAGES_PER_SHARD))
    decides = [versions()["records"], rows.manifest_file.sha256, rows.manifest.split, shards, seed]
    return AssembleJob(
        rows=rows,
        out=out,
        split=rows.manifest.split,
        shards=shards,
        seed=seed,
        fingerprint=hashlib.sha256(json.dumps(decides).encode()).hexdigest(),
    )


def assemble(job: AssembleJob, *, beam_args: Sequence[str] = (), workers: int = 1, force: bool = False) -> Assembled:
    """Carry out an assembly; resume it if it was begun.

    Raises:
        ConfigError: for flags that Beam does not know, and for those that its runner misses.
        OutputError: OUT holds something else and `force` is not given, or has no room.
    """
    pipeline = make_pipeline(beam_args, workers=workers)
    names = claim(job.out, force=force)
    if MANIFEST_NAME in names:
        found = _same_manifest(job)
        if all(storage.size_of(storage.join(job.out, shard.name)) == shard.bytes for shard in found.shards):
            return Assembled(found, was_complete=True)
    with trouble_told(job.out):
        try:
            storage.remove(storage.join(job.out, MANIFEST_NAME))
            storage.make_folder(storage.join(job.out, WORK_FOLDER))
        except OSError as error:
            raise OutputError(f"cannot write to {job.out!r}: {error.strerror or error}") from error
        with pipeline:
            build(pipeline, job, spooled=holds_groups_in_memory(pipeline))
        return _finish(job)


def _options(job: AssembleJob) -> dict[str, Any]:
    return {
        "command": "assemble",
        "tree": job.rows.tree,
        "shards": job.shards,
        "seed": job.seed,
        "of": job.rows.described,
    }


def _same_manifest(job: AssembleJob) -> Manifest:
    path = storage.join(job.out, MANIFEST_NAME)
    found = manifest_from_json(storage.read_bytes(path).decode(errors="replace"), path)
    if found.is_view or not storage.same_options(found.options, json.loads(json.dumps(_options(job)))):
        raise OutputError(
            f"{job.out!r} holds a dataset that was made differently; choose another folder, or replace it with --force"
        )
    return found


def _finish(job: AssembleJob) -> Assembled:
    """Write the tables, the label map, the rejects and, last, the manifest; remove the work files."""
    work = storage.join(job.out, WORK_FOLDER)
    reports: list[AssembledShard] = []
    for number in range(job.shards):
        report = read_report(job, number)
        if report is None:
            raise RuntimeError(f"shard {number} of {job.shards} has no report after the run; the runner lost it")
        reports.append(report)
    view = job.rows.manifest
    arrived = sum(report.images_in for report in reports), sum(report.annotations_in for report in reports)
    if arrived != (view.counts.images_written, view.counts.annotations_written):
        raise RuntimeError(f"{arrived} images and annotations reached the shards; the runner lost some")
    for kind, schema in (("index", INDEX_SCHEMA), ("annotations", ANNOTATIONS_SCHEMA)):
        path = storage.join(job.out, f"{job.split}.{kind}.parquet")
        with storage.writing(path, work) as stream, pq.ParquetWriter(stream, schema) as writer:
            for number in range(job.shards):
                data = storage.read_bytes(job.work_path(number, f"{kind}.arrow"))
                writer.write_table(pa.ipc.open_stream(data).read_all())
    rejected = sorted((row for report in reports for row in report.rejected), key=msgspec.structs.astuple)
    lines = [json.dumps({"source": view.source, **msgspec.structs.asdict(r)}, ensure_ascii=False) for r in rejected]
    storage.write_bytes(storage.join(job.out, REJECTS_NAME), "".join(f"{line}\n" for line in lines).encode(), work)
    for name in (LABELS_NAME, HEAD_NAME):
        if storage.exists(storage.join(job.rows.path, name)):
            data = storage.read_bytes(storage.join(job.rows.path, name))
            storage.write_bytes(storage.join(job.out, name), data, work)
    kinds = Counter(row.kind for row in rejected)
    counts = Counts(
        images_in=arrived[0],
        images_written=sum(report.records for report in reports),
        images_rejected=kinds["image"],
        annotations_in=arrived[1],
        annotations_written=sum(report.annotations_written for report in reports),
        annotations_rejected=kinds["box"] + kinds["label"],
        rejected_by_reason=dict(sorted(Counter(row.reason for row in rejected).items())),
        captions_in=sum(report.captions_in for report in reports),
        captions_written=sum(report.captions_written for report in reports),
        captions_rejected=kinds["caption"],
    )
    check_counts(counts)
    manifest = replace(
        view,
        options=_options(job),
        versions=versions(),
        counts=counts,
        shards=tuple(ShardEntry(name=r.name, records=r.records, bytes=r.bytes, crc32c=r.crc32c) for r in reports),
        base=(),
    )
    for name, data in tfds_files(manifest).items():
        storage.write_bytes(storage.join(job.out, name), data, work)
    storage.write_bytes(storage.join(job.out, MANIFEST_NAME), manifest.to_json().encode(), work)
    storage.remove(work)
    return Assembled(manifest, copied=sum(report.copied for report in reports))
