"""From rows to a record again: the old record with what its rows say now.

Boxes, labels and what people know about the image (has_boxes, captions, not_exhaustive, extra) come from the rows. Only
what has no column comes from records: pixels, maps, and the masks of boxes, which `number` names. So rows that nobody
changed give back the record that they came from, byte by byte.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from schemas.boxes import Box
from schemas.errors import FormatError
from schemas.features import FLAGS
from schemas.record import BoxAnnotation, Caption, ImageLabel, ImageRecord, Keypoint, Part

Row = Mapping[str, Any]


def record_of(
    image: Row, annotations: Sequence[Row], old: ImageRecord, record_at: Callable[[str], ImageRecord]
) -> ImageRecord:
    """The record that the rows of one image describe.

    Args:
        image: its row of the index.
        annotations: its rows, boxes first, in order.
        old: the record that the index names.
        record_at: the record that a text in the column `origin` names.

    Raises:
        FormatError: if a row names a box that its record does not have.
    """
    return old._replace(
        has_boxes=image["has_boxes"],
        boxes=tuple(_box(row, old, record_at) for row in annotations if row["kind"] == "box"),
        labels=tuple(_label(row) for row in annotations if row["kind"] == "label"),
        captions=tuple(Caption(text, number) for text, number in json.loads(image["captions"] or "[]")),
        not_exhaustive=tuple(json.loads(image["not_exhaustive"] or "[]")),
        extra=image["extra"],
    )


def _box(row: Row, old: ImageRecord, record_at: Callable[[str], ImageRecord]) -> BoxAnnotation:
    return BoxAnnotation(
        box=Box(row["ymin"], row["xmin"], row["ymax"], row["xmax"]),
        label=row["label"],
        class_id=row["class_id"],
        wnid=row["wnid"],
        annotation_id=row["annotation_id"],
        area=row["area"],
        **{flag: row[flag] for flag in FLAGS},
        view=row["view"],
        source=row["source"],
        confidence=row["confidence"],
        keypoints=tuple(Keypoint(*point) for point in json.loads(row["keypoints"] or "[]")),
        parts=tuple(Part(name, Box(*sides)) for name, *sides in json.loads(row["parts"] or "[]")),
        segmentation=row["segmentation"],
        mask=_mask(row, record_at(row["origin"]) if row["origin"] else old) if row["has_mask"] else b"",
        extra=row["extra"],
    )


def _mask(row: Row, drawn_in: ImageRecord) -> bytes:
    number = row["number"]
    if number >= len(drawn_in.boxes) or not drawn_in.boxes[number].mask:
        raise FormatError(
            f"image {row['image_id']!r}: its annotations name a mask of box {number}, and the record of "
            f"{drawn_in.image_id!r} has none; was the dataset converted again after the view was made?"
        )
    return drawn_in.boxes[number].mask


def _label(row: Row) -> ImageLabel:
    return ImageLabel(
        label=row["label"],
        class_id=row["class_id"],
        wnid=row["wnid"],
        present=bool(row["presence"]),
        verified=row["verified"],
        confidence=row["confidence"],
        source=row["source"],
    )
