"""The whole counting on one screen.

    row groups of annotations ─► batches ─┬─► Combine by dataset ──────────────────────────────┐
                                          └─► compact rows ─┐                                  │
                                                            ├─► group by part of the images    │
    row groups of indexes ─────► batches ─┬─► compact rows ─┘   ─► join ─► Combine by dataset ─┤
                                          ├─► Combine by dataset ──────────────────────────────┤─► one file
                                          └─► contents ─► group by sha256 ─► Combine ──────────┤
    pieces of rejects.jsonl ────► lines ────► Combine by dataset ──────────────────────────────┘

Every figure is a combiner (`pipelines.statistics.figure`). What is shuffled are its states, and rows of fixed width
where a figure needs an image's rows together. No image is read. The result is the same on any runner, with any
number of workers, whatever the order of the rows.
"""

from __future__ import annotations

import re
import tempfile
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
from apache_beam.pvalue import PCollection

from pipelines.beam_options import make_pipeline
from pipelines.files import storage
from pipelines.statistics.annotation_figures import annotation_figures
from pipelines.statistics.batches import (
    AnnotationBatch,
    IndexBatch,
    RowGroups,
    read_annotations,
    read_index,
    row_groups,
)
from pipelines.statistics.figure import Figure, Figures
from pipelines.statistics.image_figures import image_figures
from pipelines.statistics.index_figures import index_figures
from pipelines.statistics.joined import (
    ImageGroup,
    annotation_records,
    fetched,
    image_records,
    in_parts,
    join_images,
    part_bits,
    put_aside,
)
from pipelines.statistics.reject_figures import Piece, Rejects, pieces, read_lines
from pipelines.statistics.results import DatasetStatistics, OfAnnotations, OfImages, OfIndex, Statistics, decode, encode
from pipelines.statistics.same_bytes import Equals, content_records, join_contents
from schemas.dataset_files import DatasetFiles
from schemas.errors import FormatError

RESULT_NAME = "statistics.msgpack"
REJECTS_NAME = "rejects.jsonl"
ANNOTATIONS, INDEX, IMAGES, REJECTS, CONTENTS = "annotations", "index", "images", "rejects", "contents"
_TOLD = re.compile(r"FormatError: (.+?)(?: \[while running '.*)?$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Task:
    """What is to be read.

    Attributes:
        annotations, index: row groups of all datasets.
        rejects: pieces of all rejects.jsonl.
        images: of each dataset, as its manifest counts them.
        work: folder for the result, which every worker can write to.
        aside: folder for rows on their way to other rows of their image; "" to let the runner keep them.
    """

    annotations: tuple[RowGroups, ...]
    index: tuple[RowGroups, ...]
    rejects: tuple[Piece, ...]
    images: tuple[int, ...]
    work: str
    aside: str = ""

    def figures(self) -> dict[str, Figure[Any, Any, Any]]:
        """The figures by what they are counted over."""
        return {
            ANNOTATIONS: Figures(annotation_figures()),
            INDEX: Figures(index_figures()),
            IMAGES: Figures(image_figures(max(self.images, default=0))),
            REJECTS: Rejects(),
            CONTENTS: Equals(len(self.images)),
        }


class Combine(beam.CombineFn):
    """A figure as Beam combines it."""

    def __init__(self, figure: Figure[Any, Any, Any]) -> None:
        self._figure = figure

    def create_accumulator(self) -> Any:
        return self._figure.zero()

    def add_input(self, mutable_accumulator: Any, element: Any) -> Any:
        return self._figure.add(mutable_accumulator, element)

    def merge_accumulators(self, accumulators: Iterable[Any]) -> Any:
        merged = self._figure.zero()
        for state in accumulators:
            merged = self._figure.merge(merged, state)
        return merged

    def extract_output(self, accumulator: Any) -> Any:
        return self._figure.result(accumulator)


class ReadAnnotations(beam.DoFn):
    """(dataset, batch) of some row groups."""

    def process(self, element: RowGroups) -> Iterator[tuple[int, AnnotationBatch]]:
        for batch in read_annotations(element):
            yield element.dataset, batch


class ReadIndex(beam.DoFn):
    """(dataset, batch) of some row groups."""

    def process(self, element: RowGroups) -> Iterator[tuple[int, IndexBatch]]:
        for batch in read_index(element):
            yield element.dataset, batch


class SplitAnnotations(beam.DoFn):
    """((dataset, part), compact rows) of a batch."""

    def __init__(self, bits: Sequence[int], aside: str) -> None:
        self._bits, self._aside = bits, aside

    def process(self, element: tuple[int, AnnotationBatch]) -> Iterator[tuple[tuple[int, int], bytes]]:
        dataset, batch = element
        for part, rows in in_parts(batch.image, annotation_records(batch), self._bits[dataset]):
            yield (dataset, part), put_aside(rows, self._aside)


class SplitIndex(beam.DoFn):
    """((dataset, part), compact rows) of a batch."""

    def __init__(self, bits: Sequence[int], aside: str) -> None:
        self._bits, self._aside = bits, aside

    def process(self, element: tuple[int, IndexBatch]) -> Iterator[tuple[tuple[int, int], bytes]]:
        dataset, batch = element
        for part, rows in in_parts(batch.image, image_records(batch), self._bits[dataset]):
            yield (dataset, part), put_aside(rows, self._aside)


class SplitContents(beam.DoFn):
    """(part, compact rows) of a batch, by content."""

    def __init__(self, bits: int, aside: str) -> None:
        self._bits, self._aside = bits, aside

    def process(self, element: tuple[int, IndexBatch]) -> Iterator[tuple[int, bytes]]:
        dataset, batch = element
        rows = content_records(batch, dataset)
        for part, mine in in_parts(rows["high"], rows, self._bits):
            yield part, put_aside(mine, self._aside)


class Join(beam.DoFn):
    """(dataset, group of images) of a part."""

    def __init__(self, aside: str) -> None:
        self._aside = aside

    def process(self, element: tuple[tuple[int, int], dict[str, Iterable[bytes]]]) -> Iterator[tuple[int, ImageGroup]]:
        (dataset, _), rows = element
        yield dataset, join_images(fetched(rows[INDEX], self._aside), fetched(rows[ANNOTATIONS], self._aside))


class WriteResult(beam.DoFn):
    """All results, together in one file."""

    def __init__(self, task: Task) -> None:
        self._task = task

    def process(self, element: tuple[int, Iterable[tuple[str, int, Any]]]) -> Iterator[str]:
        found = {(kind, dataset): result for kind, dataset, result in element[1]}
        path = storage.join(self._task.work, RESULT_NAME)
        storage.write_bytes(path, encode(together(self._task, found)), self._task.work)
        yield path


def together(task: Task, found: dict[tuple[str, int], Any]) -> Statistics:
    """The results of all datasets; what no row spoke of is as the figures are before any row."""
    figures = task.figures()

    def of(kind: str, dataset: int) -> Any:
        figure = figures[kind]
        return found[kind, dataset] if (kind, dataset) in found else figure.result(figure.zero())

    datasets = tuple(
        DatasetStatistics(
            annotations=OfAnnotations(**of(ANNOTATIONS, number)),
            index=OfIndex(**of(INDEX, number)),
            images=OfImages(**of(IMAGES, number)),
            rejects=of(REJECTS, number),
        )
        for number in range(len(task.images))
    )
    return Statistics(datasets, of(CONTENTS, 0))


def build(pipeline: beam.Pipeline, task: Task) -> PCollection[str]:
    """The steps of the job, from nothing to the path of its result."""
    figures, aside = task.figures(), task.aside
    bits = [part_bits(images) for images in task.images]
    annotations = (
        pipeline
        | "name annotations" >> beam.Create(task.annotations, reshuffle=len(task.annotations) > 1)
        | "read annotations" >> beam.ParDo(ReadAnnotations())
    )
    index = (
        pipeline
        | "name indexes" >> beam.Create(task.index, reshuffle=len(task.index) > 1)
        | "read indexes" >> beam.ParDo(ReadIndex())
    )
    lines = (
        pipeline
        | "name rejects" >> beam.Create(task.rejects, reshuffle=len(task.rejects) > 1)
        | "read rejects" >> beam.Map(lambda piece: (piece.dataset, list(read_lines(piece))))
    )
    groups = (
        {
            INDEX: index | "index rows by image" >> beam.ParDo(SplitIndex(bits, aside)),
            ANNOTATIONS: annotations | "annotation rows by image" >> beam.ParDo(SplitAnnotations(bits, aside)),
        }
        | "meet" >> beam.CoGroupByKey()
        | "join" >> beam.ParDo(Join(aside))
    )
    contents = (
        index
        | "contents" >> beam.ParDo(SplitContents(part_bits(sum(task.images)), aside))
        | "group contents" >> beam.GroupByKey()
        | "join contents" >> beam.Map(lambda pair: (0, join_contents(fetched(pair[1], aside))))
    )
    batches = {ANNOTATIONS: annotations, INDEX: index, IMAGES: groups, REJECTS: lines, CONTENTS: contents}
    results = [
        rows
        | f"count {kind}" >> beam.CombinePerKey(Combine(figures[kind]))
        | f"name {kind}'s counts" >> beam.MapTuple(lambda dataset, result, kind=kind: (0, (kind, dataset, result)))
        for kind, rows in batches.items()
    ]
    first = pipeline | "write in any case" >> beam.Create([(0, ("", 0, None))], reshuffle=False)
    return (
        (first, *results)
        | "all counts" >> beam.Flatten()
        | "in one place" >> beam.GroupByKey()
        | "write" >> beam.ParDo(WriteResult(task))
    )


def make_task(datasets: Sequence[DatasetFiles], work: str, *, aside: str = "") -> Task:
    """What is to be read of the datasets; folders as in `Task`.

    Raises:
        FormatError: a table is missing or damaged.
    """
    tables: dict[str, list[RowGroups]] = {ANNOTATIONS: [], INDEX: []}
    rejects: list[Piece] = []
    for number, files in enumerate(datasets):
        for kind, groups in tables.items():
            groups += row_groups(number, storage.join(files.path, f"{files.manifest.split}.{kind}.parquet"))
        rejects += pieces(number, storage.join(files.path, REJECTS_NAME))
    images = tuple(files.manifest.counts.images_written for files in datasets)
    return Task(tuple(tables[ANNOTATIONS]), tuple(tables[INDEX]), tuple(rejects), images, work, aside)


def count(
    datasets: Sequence[DatasetFiles], *, beam_args: Sequence[str] = (), workers: int = 1, work: str = ""
) -> Statistics:
    """All figures of the datasets.

    Args:
        datasets: opened with `schemas.dataset_files.open_dataset_files`.
        beam_args: flags for Beam.
        workers: processes of the local runner.
        work: a folder that all workers can write to; one on this machine if left out.

    Raises:
        ConfigError: for flags that Beam does not know, and for those that its runner misses.
        FormatError: a table is missing or damaged.
    """
    from pipelines.running import holds_groups_in_memory, trouble_told

    pipeline = make_pipeline(beam_args, workers=workers)
    with ExitStack() as stack:
        if work:  # another count may use the folder too
            work = storage.join(work, f"stats-{uuid.uuid4().hex}")
            storage.make_folder(work)
            stack.callback(storage.remove, work)
        else:
            work = stack.enter_context(tempfile.TemporaryDirectory(prefix="wordtree-stats-"))
        aside = ""
        if holds_groups_in_memory(pipeline):
            aside = stack.enter_context(tempfile.TemporaryDirectory(prefix="wordtree-stats-"))
        task = make_task(datasets, work, aside=aside)
        try:
            with trouble_told(work, resumes=False), pipeline:
                build(pipeline, task)
        except Exception as error:
            told = _TOLD.search(str(error))
            if told is None:
                raise
            raise FormatError(told[1]) from error
        return decode(storage.read_bytes(storage.join(work, RESULT_NAME)))
