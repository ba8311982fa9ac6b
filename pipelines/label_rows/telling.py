"""Rows of a shard as Python values: what is rejected, and images with their labels for those who read pixels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from pipelines.label_rows.blocks import column
from pipelines.label_rows.deciding import Decided
from pipelines.label_rows.layout import (
    BAD_CONFIDENCE,
    BAD_ROW,
    DUPLICATE,
    FAULTS,
    GOOD,
    LOW_CONFIDENCE,
    NO_IMAGE,
    NO_LABEL,
    NOT_UTF8,
    OTHER_IMAGE,
    UNKNOWN_CLASS,
)
from pipelines.rows import ImageRow, LabelRow, Member, Rejected, Row

NOTHING_KEPT = "none of its labels is kept"


@dataclass(frozen=True, slots=True)
class Told:
    """What people should know about the files.

    Attributes:
        names: of the files, by their numbers.
        units: what a row of each is called: "row" or "line".
        min_confidence: as the user chose it.
        image_files: where images lie in columns, the uri of each file; else ().
        bytes_column: the column with the images; "" for none.
    """

    names: list[str]
    units: list[str]
    min_confidence: float = 0.0
    image_files: list[str] | tuple[str, ...] = ()
    bytes_column: str = ""

    def where(self, file: int, line: int) -> str:
        """The place of a row."""
        return f"{self.names[file]} {self.units[file]} {line}"


def rejected_rows(decided: Decided, told: Told, numbers: np.ndarray | None = None) -> Iterator[Rejected]:
    """The rows that have a fault, in their order.

    Args:
        decided: the rows.
        told: what to say.
        numbers: of each row in its image, from 1, for `UNKNOWN_CLASS`.
    """
    bad = np.flatnonzero(decided.fault != GOOD)
    if not len(bad):
        return
    rows = decided.take(bad, "image_id", "label", "source", "confidence", "file", "line", "found", "uri")
    texts = (values.to_pylist() for values in rows.columns)
    for i, image_id, label, source, confidence, file, line, found, uri in zip(bad.tolist(), *texts, strict=True):
        fault = int(decided.fault[i])
        found = uri if fault == OTHER_IMAGE else found
        record = image_id if numbers is None or fault != UNKNOWN_CLASS else f"{image_id}#label{numbers[i]}"
        yield Rejected(
            kind="label",
            record=record,
            reason=FAULTS[fault],
            found=_found(fault, label, source, confidence, found, bool(decided.people[i]), told),
            where=told.where(file, line),
            image_id=image_id,
        )


def _found(fault: int, label: str, source: str, confidence: float, found: str | None, people: bool, told: Told) -> str:
    if fault == BAD_CONFIDENCE:
        return f"confidence {found} of {label!r}; expected {'0 or 1, of people' if people else '0 to 1'}"
    if fault == LOW_CONFIDENCE:
        return f"confidence {found} of {label!r}; --min-confidence is {told.min_confidence:g}"
    if fault == DUPLICATE:
        return f"label {label!r}{f' of {source}' if source else ''} a second time; confidence {confidence:g}"
    return {
        BAD_ROW: f"{found}",
        NOT_UTF8: f"{found}, which is no UTF-8; write the table again in it",
        OTHER_IMAGE: f"image {found!r}; the first row of its id says another",
        NO_IMAGE: "the image is empty",
        NO_LABEL: "the label is empty",
        UNKNOWN_CLASS: f"class {label!r}",
    }[fault]


def no_label(image_id: str, uri: str) -> Rejected:
    """An image that says nothing any more."""
    return Rejected(
        kind="image", record=image_id, reason="image:no_label", found=NOTHING_KEPT, where=uri, image_id=image_id
    )


def image_rows(decided: Decided, told: Told, people: Sequence[str]) -> Iterator[Row]:
    """One `ImageRow` an image, with the labels that stay; and what is rejected."""
    yield from rejected_rows(decided, told)
    rows = decided.rows.take(decided.order)
    ids, uris, labels, sources = (rows[name].to_pylist() for name in ("image_id", "uri", "label", "source"))
    confidences: list[float] = column(rows, "confidence").tolist()
    lines: list[int] = column(rows, "line").tolist()
    files: list[int] = column(rows, "file").tolist()
    fault, by_people = decided.fault.tolist(), decided.people.tolist()
    ends = [*decided.first[1:].tolist(), len(ids)]
    for first, named, end in zip(decided.first.tolist(), decided.named.tolist(), ends, strict=True):
        if not ids[first]:
            continue
        uri: str = uris[named] or ids[named]
        member = None
        if told.bytes_column:
            uri = told.image_files[files[named]]
            member = Member(lines[named] - 1, 0, f"parquet:{told.bytes_column}")
        kept = tuple(
            LabelRow(
                class_key=labels[i],
                present=not by_people[i] or confidences[i] == 1,
                verified=by_people[i] if people else None,
                confidence=1.0 if by_people[i] else confidences[i],
                source=sources[i],
                where=told.where(files[i], lines[i]),
            )
            for i in range(first, end)
            if fault[i] == GOOD
        )
        if not kept:
            yield no_label(ids[first], uri)
            continue
        yield ImageRow(
            image_id=ids[first],
            uri=uri,
            member=member,
            filename=ids[first].rsplit("/", 1)[-1] if member else "",
            has_boxes=False,
            labels=kept,
            provenance=told.names[files[named]],
        )
