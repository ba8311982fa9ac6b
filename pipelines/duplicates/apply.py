"""A dataset without its duplicates and leaks: a view. Of what was there, everything is in it or in its rejects."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from pipelines.duplicates.find import Images
from pipelines.duplicates.policy import EXACT, LEAK, Dropped
from pipelines.duplicates.uniting import Row, unite
from pipelines.row_plane.view import VIEW_ANNOTATIONS_SCHEMA, Origin, Rows
from pipelines.row_plane.view_writer import ViewPlan, ViewWriter
from schemas.arrow import INDEX_SCHEMA
from schemas.errors import FormatError
from schemas.manifest import Manifest


def write_without(
    plan: ViewPlan,
    images: Images,
    dataset: int,
    dropped: Mapping[int, Dropped],
    *,
    merge: bool,
    evaluation: Images | None = None,
) -> Manifest:
    """Write the view.

    Args:
        plan: of the view.
        images: of all datasets.
        dataset: the number of the dataset that the view is made of.
        dropped: what goes, by number; see `pipelines.duplicates.policy.decide`.
        merge: whether duplicates leave their statements to the image that stays, in the same dataset.
        evaluation: the images that leaks are told by.
    """
    numbers = np.flatnonzero(images.dataset == dataset)
    start = int(numbers[0]) if len(numbers) else 0
    gone = sorted(number for number in dropped if images.dataset[number] == dataset)
    keep = np.ones(len(numbers), bool)
    keep[np.array(gone, np.int64) - start] = False
    heirs: dict[int, list[Dropped]] = {}
    if merge:
        for number in gone:
            if dropped[number].reason != LEAK:
                heirs.setdefault(dropped[number].instead - start, []).append(dropped[number])
    with ViewWriter(plan) as writer:
        _write_annotations(writer, plan.rows, keep, heirs, {k - start: dropped[k].reason for k in gone}, start)
        told = [_told(dropped[number], images, evaluation) for number in gone]
        for reason in sorted({dropped[number].reason for number in gone}):
            some = [k for k, number in enumerate(gone) if dropped[number].reason == reason]
            rows = plan.rows.index.take(pa.array([gone[k] - start for k in some], pa.int64()))
            writer.reject_images(rows, reason, [told[k] for k in some])
        index = _with_boxes_sought(plan.rows.index, heirs, start)
        return writer.finish(index.filter(pa.array(keep)))


def _told(dropped: Dropped, images: Images, evaluation: Images | None) -> str:
    """What rejects.jsonl says was found."""
    if dropped.reason == LEAK and evaluation is not None:
        other, split = evaluation.ids[dropped.instead], evaluation.rows[int(evaluation.dataset[dropped.instead])].path
        return f"image {other!r} of {split}" + (f", {dropped.distance} bits apart" if dropped.distance else "")
    other, where = images.ids[dropped.instead], images.rows[int(images.dataset[dropped.instead])].path
    apart = "" if dropped.reason == EXACT else f", {dropped.distance} bits apart"
    return f"image {other!r} of {where} stays{apart}"


def _write_annotations(
    writer: ViewWriter,
    rows: Rows,
    keep: np.ndarray,
    heirs: Mapping[int, Sequence[Dropped]],
    reasons: Mapping[int, str],
    start: int,
) -> None:
    """Pass the rows on, united ones at the place of the image that stays."""
    taking = np.zeros(len(keep), bool)  # images whose rows are held for uniting
    for heir, some in heirs.items():
        taking[[heir, *(found.image - start for found in some)]] = True
    united = _united(writer, rows, taking, heirs, start) if heirs else {}
    waiting = sorted(united)
    last = -1
    for batch in rows.annotations():
        writer.read(batch.num_rows)
        positions = rows.positions(batch)
        if len(positions) and (positions[0] < last or (np.diff(positions) < 0).any()):
            raise FormatError(f"{rows.path}: the annotations do not stand in the order of the index; make it again")
        last = int(positions[-1]) if len(positions) else last
        passed = keep & ~taking
        begin = 0
        while waiting and waiting[0] <= last:
            heir = waiting.pop(0)
            end = int(np.searchsorted(positions, heir, "left"))
            writer.write(_some(batch, positions, passed, begin, end))
            writer.write(united[heir])
            begin = end
        writer.write(_some(batch, positions, passed, begin, len(positions)))
        dropped = ~keep[positions] & ~taking[positions]
        if dropped.any():
            _reject(writer, batch.filter(pa.array(dropped)), positions[dropped], reasons)
    for heir in waiting:
        writer.write(united[heir])


def _some(batch: pa.RecordBatch, positions: np.ndarray, passed: np.ndarray, begin: int, end: int) -> pa.RecordBatch:
    return batch.slice(begin, end - begin).filter(pa.array(passed[positions[begin:end]]))


def _reject(writer: ViewWriter, batch: pa.RecordBatch, positions: np.ndarray, reasons: Mapping[int, str]) -> None:
    told = np.array([reasons[position] for position in positions.tolist()])
    for reason in sorted({*told.tolist()}):
        writer.reject_annotations(batch.filter(pa.array(told == reason)), "image_rejected", reason)


def _united(
    writer: ViewWriter, rows: Rows, taking: np.ndarray, heirs: Mapping[int, Sequence[Dropped]], start: int
) -> dict[int, pa.RecordBatch]:
    """The rows of each image that stays and takes over those of others, by its position."""
    held: dict[int, list[Row]] = {}
    for batch in rows.annotations():
        positions = rows.positions(batch)
        wanted = taking[positions]
        some = batch.filter(pa.array(wanted)).to_pylist()
        for position, row in zip(positions[wanted].tolist(), some, strict=True):
            held.setdefault(position, []).append(row)
    places = rows.index.select(["image_id", "shard", "offset", "length"])

    def place(position: int) -> dict[str, Any]:
        return places.slice(position, 1).to_pylist()[0]

    def reject(row: Row, word: str, found: str) -> None:
        one = pa.RecordBatch.from_pylist([row], VIEW_ANNOTATIONS_SCHEMA)
        writer.reject_annotations(one, word, found)

    united: dict[int, pa.RecordBatch] = {}
    for heir, some in sorted(heirs.items()):

        def others(some: Sequence[Dropped] = some) -> Iterator[tuple[bool, str, Sequence[Row]]]:
            for found in some:
                there = place(found.image - start)
                origin = Origin(there["shard"], there["offset"], there["length"]).text()
                yield found.reason == EXACT, origin, held.get(found.image - start, ())

        found = unite(place(heir)["image_id"], held.get(heir, ()), others(), reject)
        united[heir] = pa.RecordBatch.from_pylist(found, VIEW_ANNOTATIONS_SCHEMA)
    return united


def _with_boxes_sought(index: pa.Table, heirs: Mapping[int, Sequence[Dropped]], start: int) -> pa.Table:
    """The index where an image that takes over boxes is one in which boxes were looked for."""
    sought = index["has_boxes"].to_numpy().copy()
    for heir, some in heirs.items():
        sought[heir] |= any(sought[found.image - start] for found in some if found.reason == EXACT)
    at = INDEX_SCHEMA.get_field_index("has_boxes")
    return index.set_column(at, INDEX_SCHEMA.field(at), pa.array(sought, pa.bool_()))
