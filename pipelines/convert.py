"""The whole conversion on one screen.

    source.read ─► (shard, rows as bytes) ─► GroupByKey ─► write shards ─► assemble

Rows alone pass the GroupByKey; the step behind it reads each image and writes it to its shard (rule R3, decision
0004-beam-two-planes). Every shard gets an empty row, so that one without images is written too. Runners that hold a
GroupByKey in memory get references to rows in files in place of rows (`pipelines.spool`).
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import apache_beam as beam
from apache_beam.metrics.metric import Metrics
from apache_beam.pvalue import PCollection

from pipelines import assembling
from pipelines.beam_options import make_pipeline
from pipelines.exchange import exchange, received
from pipelines.files import storage
from pipelines.plan import Job, Plan
from pipelines.planes import PixelDoFn
from pipelines.running import holds_groups_in_memory, trouble_told
from pipelines.spool import SPOOL_FOLDER
from pipelines.writing import read_piece, write_shard
from schemas.errors import ConfigError
from schemas.manifest import WORK_FOLDER, Manifest

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Converted:
    """The manifest, and whether anything had to be done."""

    manifest: Manifest
    was_complete: bool = False


class WriteShard(PixelDoFn):
    """Reads the images of one shard and writes it; puts out the shard's number."""

    def __init__(self, job: Job, folder: str) -> None:
        self._job, self._folder = job, folder

    def process(self, element: tuple[int, Iterable[bytes]]) -> Iterator[int]:
        number, payloads = element
        report, written = write_shard(self._job, number, received(payloads, self._folder))
        Metrics.counter("convert", "shards_written" if written else "shards_found").inc()
        Metrics.counter("convert", "records").inc(report.records)
        yield number


def build(pipeline: beam.Pipeline, job: Job, *, spooled: bool = False) -> PCollection[int]:
    """The steps of a conversion, from nothing to the numbers of the shards that are written.

    Args:
        pipeline: an empty one.
        job: what to do.
        spooled: whether rows lie in files between reader and shard.
    """
    folder = storage.join(job.out, WORK_FOLDER, SPOOL_FOLDER) if spooled else ""
    read, write = partial(read_piece, job), WriteShard(job, folder)
    return exchange(pipeline, job.source.pieces(), read, write, shards=job.shards, folder=folder)


def _check_places(pipeline: beam.Pipeline, plan: Plan) -> None:
    """Machines of Google's see no file of this one."""
    if type(pipeline.runner).__name__ != "DataflowRunner":
        return
    for role, path in (("OUT", plan.job.out), ("the image folder", plan.job.source.image_root)):
        if path and not storage.is_remote(path):
            raise ConfigError(f"{role} is {path!r} on this machine, which Dataflow's workers do not see; use gs://")


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
    _check_places(pipeline, plan)
    state = assembling.State.NEW if force else assembling.state_of(plan)
    if state is assembling.State.COMPLETE:
        storage.remove(storage.join(out, WORK_FOLDER))  # killed right after the manifest
        return Converted(assembling.read_manifest(out), was_complete=True)
    if state is assembling.State.DAMAGED:
        wrong = assembling.damage(out, assembling.read_manifest(out))
        print(f"{out}: {wrong}; converting again", file=sys.stderr)
    with trouble_told(out):
        if force:
            assembling.clear(out)
        assembling.begin(plan)
        logger.info("converting %d images into %d shards", plan.images, plan.job.shards)
        with pipeline:
            build(pipeline, plan.job, spooled=holds_groups_in_memory(pipeline))
        return Converted(assembling.assemble(plan))
