"""The job of `wordtree convert labels --rows-only`: the row plane of a table of labels, without pixels.

    pieces ─► read, judge, deal ─► (group, block of rows) ─► GroupByKey ─► decide, write ─► join tables

A block holds thousands of rows, so Beam handles thousands of elements for millions of rows. A *group* is a few shards
that stand side by side; annotations and index come out with the rows, in the order, that a conversion with pixels of
the same seed and number of shards gives. The output is a dataset directory without shards: `shard` is empty in its
index.
"""

from __future__ import annotations

import logging
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import apache_beam as beam
import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
from apache_beam.pvalue import PCollection

from pipelines import assembling
from pipelines.beam_options import make_pipeline
from pipelines.convert import Converted
from pipelines.exchange import exchange, received
from pipelines.files import storage
from pipelines.label_rows.telling import Told
from pipelines.label_rows.writing import GroupReport, completed, group_path, read_group_report, write_group
from pipelines.labelling import label_map_items
from pipelines.plan import Job, Plan, versions
from pipelines.running import holds_groups_in_memory, trouble_told
from pipelines.sources.labels import Source
from pipelines.spool import SPOOL_FOLDER
from pipelines.writing import PieceReport, piece_path, read_piece_report
from schemas.arrow import ANNOTATIONS_SCHEMA, INDEX_SCHEMA
from schemas.label_map import write_label_map
from schemas.manifest import WORK_FOLDER, Counts, Manifest

ROWS_A_GROUP = 250_000
BYTES_A_ROW = 24  # of text files, at least; row counts of Parquet files are known
DIFFERENT = ("image_id", "uri", "number", "confidence")  # columns in which a Parquet dictionary does not pay
logger = logging.getLogger(__name__)


def _read(job: Job, source: Source, groups: int, number: int, piece: str) -> Iterator[tuple[int, bytes]]:
    """All rows of a piece as blocks, each with its group; its report is written when the last is taken."""
    payloads = 0
    for block in source.pack_groups(piece, job.packing, groups):
        payloads += 1
        yield block
    pa.default_memory_pool().release_unused()
    report = msgspec.json.encode(PieceReport(piece=piece, payloads=payloads))
    storage.write_bytes(piece_path(job, number), report, storage.join(job.out, WORK_FOLDER))


class WriteGroup(beam.DoFn):
    """Decides and writes the rows of one group; puts out its number."""

    def __init__(self, job: Job, told: Told, people: tuple[str, ...], folder: str) -> None:
        self._job, self._told, self._people, self._folder = job, told, people, folder

    def process(self, element: tuple[int, Iterable[bytes]]) -> Iterator[int]:
        number, blocks = element
        write_group(self._job, number, received(blocks, self._folder), self._told, self._people)
        pa.default_memory_pool().release_unused()  # so that memory does not grow with the number of groups
        yield number


def build(pipeline: beam.Pipeline, job: Job, source: Source, groups: int, *, spooled: bool = False) -> PCollection[int]:
    """The steps of the job, from nothing to the numbers of the groups that are written."""
    folder = storage.join(job.out, WORK_FOLDER, SPOOL_FOLDER) if spooled else ""
    read = partial(_read, job, source, groups)
    write = WriteGroup(job, source.told(), source.people(), folder)
    return exchange(pipeline, source.pieces(), read, write, shards=groups, folder=folder)


def convert_rows(plan: Plan, *, beam_args: Sequence[str] = (), workers: int = 1, force: bool = False) -> Converted:
    """Carry out a plan of `pipelines.sources.labels` without pixels; resume it if it was begun.

    Raises:
        ConfigError, OutputError: as `pipelines.convert.convert`.
    """
    out, job, source = plan.job.out, plan.job, plan.job.source
    assert isinstance(source, Source)
    pipeline = make_pipeline(beam_args, workers=workers)
    state = assembling.State.NEW if force else assembling.state_of(plan)
    if state is assembling.State.COMPLETE:
        storage.remove(storage.join(out, WORK_FOLDER))
        return Converted(assembling.read_manifest(out), was_complete=True)
    if state is assembling.State.DAMAGED:
        wrong = assembling.damage(out, assembling.read_manifest(out))
        print(f"{out}: {wrong}; converting again", file=sys.stderr)
    groups = group_count(source, job.shards)
    with trouble_told(out):
        if force:
            assembling.clear(out)
        assembling.begin(plan)
        logger.info("writing the rows of about %d images in %d groups", plan.images, groups)
        spooled = holds_groups_in_memory(pipeline)
        with pipeline:
            build(pipeline, job, source, groups, spooled=spooled)
        return Converted(assemble_rows(plan, groups))


def group_count(source: Source, shards: int) -> int:
    """Groups of about ROWS_A_GROUP rows, of whole shards."""
    rows = 0
    for path in source.rows:
        if path.lower().endswith((".parquet", ".pq")) or source.layout.format == "parquet":
            with storage.opened(path) as stream:
                rows += pq.read_metadata(stream).num_rows
        else:
            rows += storage.size_of(path) // BYTES_A_ROW
    return max(1, min(shards, -(-rows // ROWS_A_GROUP)))


def assemble_rows(plan: Plan, groups: int) -> Manifest:
    """Write the tables, the label map, the rejects and, last, the manifest; remove the work files.

    Raises:
        RuntimeError: if a group is missing or rows were lost on the way: a bug here or in the runner.
    """
    job = plan.job
    work = storage.join(job.out, WORK_FOLDER)
    reports: list[GroupReport] = []
    for number in range(groups):
        report = read_group_report(job, number)
        if report is None:
            raise RuntimeError(f"group {number} of {groups} has no report after the run; the runner lost it")
        reports.append(report)
    read = sum(read_piece_report(job, number).payloads for number in range(len(job.source.pieces())))
    arrived = sum(report.payloads for report in reports)
    if arrived != read:
        raise RuntimeError(f"{arrived} of {read} blocks of rows reached their groups; the runner lost some")
    counts = _counts(reports)
    kinds = (("annotations", ANNOTATIONS_SCHEMA), ("index", INDEX_SCHEMA))
    with ThreadPoolExecutor(len(kinds)) as threads:  # Arrow writes Parquet without the interpreter's lock
        for done in [threads.submit(_join_tables, job, groups, kind, schema, work) for kind, schema in kinds]:
            done.result()
    with storage.writing(storage.join(job.out, assembling.REJECTS_NAME), work) as stream:
        for number in range(groups):
            stream.write(storage.read_bytes(group_path(job, number, "rejects.jsonl")))
    storage.write_bytes(storage.join(job.out, assembling.REPAIRS_NAME), b"", work)
    items = label_map_items(job.space, plan.tree)
    storage.write_bytes(storage.join(job.out, assembling.LABELS_NAME), write_label_map(items).encode(), work)
    manifest = Manifest(
        source=job.source.name,
        split=job.split,
        has_boxes=False,
        options=plan.options,
        versions=versions(),
        source_files=plan.source_files,
        counts=counts,
        shards=(),
        classes=tuple(job.space.classes.values()),
        tree_digest=job.space.tree_digest,
    )
    storage.write_bytes(storage.join(job.out, assembling.MANIFEST_NAME), manifest.to_json().encode(), work)
    storage.remove(work)
    return manifest


def _join_tables(job: Job, groups: int, kind: str, schema: pa.Schema, work: str) -> None:
    path = storage.join(job.out, f"{job.split}.{kind}.parquet")
    repeated: Any = [name for name in schema.names if name not in DIFFERENT]
    with (
        storage.writing(path, work) as stream,
        pq.ParquetWriter(stream, schema, use_dictionary=repeated, write_statistics=False) as writer,
    ):
        for number in range(groups):
            part = group_path(job, number, f"{kind}.arrow")
            if storage.is_remote(part):
                writer.write_table(completed(pa.ipc.open_file(storage.read_bytes(part)).read_all(), schema))
            else:
                with pa.memory_map(part) as mapped:
                    writer.write_table(completed(pa.ipc.open_file(mapped).read_all(), schema))


def _counts(reports: list[GroupReport]) -> Counts:
    """The counts of all groups; checks the law in = written + rejected."""
    reasons: Counter[str] = Counter()
    for report in reports:
        reasons.update(report.rejected_by_reason)
    images_rejected = sum(number for reason, number in reasons.items() if reason.startswith("image:"))
    counts = Counts(
        images_in=sum(report.images_in for report in reports),
        images_written=sum(report.images_written for report in reports),
        images_rejected=images_rejected,
        annotations_in=sum(report.rows_in for report in reports),
        annotations_written=sum(report.rows_written for report in reports),
        annotations_rejected=sum(reasons.values()) - images_rejected,
        rejected_by_reason=dict(sorted(reasons.items())),
    )
    if counts.images_in != counts.images_written + counts.images_rejected:
        raise RuntimeError(f"images do not add up: {counts}")
    if counts.annotations_in != counts.annotations_written + counts.annotations_rejected:
        raise RuntimeError(f"label rows do not add up: {counts}")
    return counts
