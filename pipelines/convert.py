"""The whole conversion on one screen.

    source.read ─► (shard, row as bytes) ─► GroupByKey ─► write shards ─► assemble

Rows alone pass the GroupByKey; the step behind it reads each image and writes it to its shard (rule R3, decision
0004-beam-two-planes). Every shard gets an empty row, so that one without images is written too.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import apache_beam as beam
from apache_beam.metrics.metric import Metrics
from apache_beam.pvalue import PCollection

from pipelines import assembling, storage
from pipelines.beam_options import make_pipeline
from pipelines.plan import Job, Plan
from pipelines.planes import PixelDoFn
from pipelines.writing import WORK_FOLDER, read_elements, write_shard
from schemas.errors import OutputError
from schemas.manifest import Manifest

_NO_ROOM = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Converted:
    """The manifest, and whether anything had to be done."""

    manifest: Manifest
    was_complete: bool = False


class ReadRows(beam.DoFn):
    """All rows of the source, each with its shard."""

    def __init__(self, job: Job) -> None:
        self._job = job

    def process(self, element: None) -> Iterator[tuple[int, bytes]]:
        yield from read_elements(self._job)


class WriteShard(PixelDoFn):
    """Reads the images of one shard and writes it; puts out the shard's number."""

    def __init__(self, job: Job) -> None:
        self._job = job

    def process(self, element: tuple[int, Iterable[bytes]]) -> Iterator[int]:
        number, rows = element
        report, written = write_shard(self._job, number, rows)
        Metrics.counter("convert", "shards_written" if written else "shards_found").inc()
        Metrics.counter("convert", "records").inc(report.records)
        yield number


def build(pipeline: beam.Pipeline, job: Job) -> PCollection[int]:
    """The steps of a conversion, from nothing to the numbers of the shards that are written."""
    shards = (
        pipeline
        | "number the shards" >> beam.Create(list(range(job.shards)), reshuffle=False)
        | "give each an empty row" >> beam.Map(lambda number: (number, b"")).with_output_types(tuple[int, bytes])
    )
    rows = (
        pipeline
        | "begin" >> beam.Create([None], reshuffle=False)
        | "read annotations" >> beam.ParDo(ReadRows(job)).with_output_types(tuple[int, bytes])
    )
    return (
        (shards, rows)
        | "join both" >> beam.Flatten()
        | "group rows by shard" >> beam.GroupByKey()
        | "write shards" >> beam.ParDo(WriteShard(job)).with_output_types(int)
    )


@contextlib.contextmanager
def _importable_by_workers() -> Iterator[None]:
    """Let the local runner's processes find this package where it is run from a source tree."""
    root, before = str(Path(__file__).resolve().parent.parent), os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join([root, *([before] if before else [])])
    try:
        yield
    finally:
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before


@contextlib.contextmanager
def _room_errors(out: str) -> Iterator[None]:
    """A full disk is the user's to mend. Beam wraps exceptions, across processes as text, so the text is looked at."""
    try:
        yield
    except Exception as error:
        told = next((text for text in map(os.strerror, _NO_ROOM) if text in str(error)), "")
        if not told:
            raise
        raise OutputError(f"cannot write to {out!r}: {told}. Make room and run the same command again") from error


def convert(plan: Plan, *, beam_args: Sequence[str] = (), workers: int = 1, force: bool = False) -> Converted:
    """Carry out a plan; resume it if it was begun.

    Args:
        plan: from `pipelines.plan.make_plan`.
        beam_args: flags for Beam.
        workers: processes of the local runner.
        force: whether to replace an output that was made differently.

    Raises:
        ConfigError: for flags that Beam does not know, and for those that its runner misses.
        OutputError: if the output folder holds something else and `force` is not given, or has no room.
    """
    out = plan.job.out
    pipeline = make_pipeline(beam_args, workers=workers)
    state = assembling.State.NEW if force else assembling.state_of(plan)
    if state is assembling.State.COMPLETE:
        storage.remove(storage.join(out, WORK_FOLDER))  # killed right after the manifest
        return Converted(assembling.read_manifest(out), was_complete=True)
    if state is assembling.State.DAMAGED:
        wrong = assembling.damage(out, assembling.read_manifest(out))
        print(f"{out}: {wrong}; converting again", file=sys.stderr)
    with _room_errors(out):
        if force:
            assembling.clear(out)
        assembling.begin(plan)
        logger.info("converting %d images into %d shards", plan.images, plan.job.shards)
        with _importable_by_workers(), pipeline:
            build(pipeline, plan.job)
        return Converted(assembling.assemble(plan))
