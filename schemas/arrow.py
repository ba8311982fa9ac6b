"""The row plane as pyarrow schemas: where each image lies, and one row per statement about an image.

Rows can be joined, split, counted and relabelled without touching a pixel.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from operator import attrgetter
from typing import Any

import pyarrow as pa

from schemas.boxes import Box
from schemas.features import FLAGS
from schemas.record import BoxAnnotation, ImageLabel, ImageRecord

INDEX_SCHEMA = pa.schema(
    [
        pa.field("image_id", pa.string(), nullable=False),
        pa.field("shard", pa.string(), nullable=False),
        pa.field("offset", pa.int64(), nullable=False, metadata={"unit": "bytes from the start of the shard"}),
        pa.field("length", pa.int64(), nullable=False, metadata={"unit": "bytes, TFRecord framing included"}),
        pa.field("sha256", pa.string(), nullable=False, metadata={"of": "the encoded image"}),
        pa.field("width", pa.int32(), nullable=False),
        pa.field("height", pa.int32(), nullable=False),
        pa.field("format", pa.string(), nullable=False),
        pa.field("uri", pa.string(), nullable=False),
        pa.field("has_boxes", pa.bool_(), nullable=False),
        pa.field("orientation", pa.int8(), nullable=False, metadata={"values": "EXIF, 1 to 8"}),
        pa.field("rotation", pa.int16(), metadata={"unit": "degrees counter-clockwise, as the dataset states it"}),
        pa.field("provenance", pa.string(), nullable=False),
        pa.field("captions", pa.string(), nullable=False, metadata={"values": "JSON [[text, id], ...]"}),
        pa.field("not_exhaustive", pa.string(), nullable=False, metadata={"values": "JSON [class id, ...]"}),
        pa.field("extra", pa.string(), nullable=False, metadata={"values": "JSON object, or empty"}),
    ]
)

ANNOTATIONS_SCHEMA = pa.schema(
    [
        pa.field("image_id", pa.string(), nullable=False),
        pa.field("kind", pa.string(), nullable=False, metadata={"values": "box, label"}),
        pa.field("number", pa.int32(), nullable=False, metadata={"of": "the box or label in its record, from 0"}),
        pa.field("label", pa.string(), nullable=False),
        pa.field("class_id", pa.int32(), nullable=False),
        pa.field("wnid", pa.string(), nullable=False),
        pa.field("presence", pa.int8(), nullable=False, metadata={"values": "1 present, 0 verified absent"}),
        pa.field("verified", pa.bool_()),
        pa.field("confidence", pa.float32(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("annotation_id", pa.string(), nullable=False),
        *(pa.field(side, pa.float32(), metadata={"form": "rel_yxyx"}) for side in Box._fields),
        pa.field("area", pa.float32(), metadata={"unit": "pixels squared"}),
        *(pa.field(flag, pa.bool_()) for flag in FLAGS),
        pa.field("view", pa.string(), nullable=False),
        pa.field("segmentation", pa.string(), nullable=False, metadata={"values": "JSON as in COCO, or empty"}),
        pa.field("keypoints", pa.string(), nullable=False, metadata={"values": "JSON [[y, x, visibility], ...]"}),
        pa.field(
            "parts", pa.string(), nullable=False, metadata={"values": "JSON [[name, ymin, xmin, ymax, xmax], ...]"}
        ),
        pa.field("has_mask", pa.bool_(), nullable=False, metadata={"of": "a PNG in the record"}),
        pa.field("extra", pa.string(), nullable=False, metadata={"values": "JSON object, or empty"}),
    ]
)
_AS_THEY_ARE = ("label", "class_id", "wnid", "confidence", "source", "annotation_id", "area", *FLAGS)
_TEXTS = ("view", "segmentation", "extra")
_OF_LABELS = ("label", "class_id", "wnid", "verified", "confidence", "source")
_EMPTY = {field.name: None if field.nullable else "" for field in ANNOTATIONS_SCHEMA} | {"has_mask": False}
_IN_INDEX = attrgetter(*INDEX_SCHEMA.names[4:13])  # between where the record lies and what is JSON


def _json(rows: list[list[Any]]) -> str:
    return json.dumps(rows, ensure_ascii=False) if rows else ""


class AnnotationColumns:
    """The annotation rows of records: a row a box, then one an image label, in the record's order."""

    def __init__(self) -> None:
        self._columns: dict[str, list[Any]] = {name: [] for name in ANNOTATIONS_SCHEMA.names}
        self.rows = 0

    def add(self, record: ImageRecord) -> None:
        """Append the rows of a record."""
        if boxes := record.boxes:
            of = dict(zip(BoxAnnotation._fields, zip(*boxes, strict=True), strict=True))
            values: dict[str, Iterable[Any]] = {name: of[name] for name in (*_AS_THEY_ARE, *_TEXTS)}
            values |= zip(Box._fields, zip(*of["box"], strict=True), strict=True)
            values["presence"] = [1] * len(boxes)
            values["keypoints"] = [_json([list(point) for point in points]) for points in of["keypoints"]]
            values["parts"] = [_json([[part.name, *part.box] for part in parts]) for parts in of["parts"]]
            values["has_mask"] = map(bool, of["mask"])
            self._extend(record.image_id, "box", len(boxes), values)
        if labels := record.labels:
            of = dict(zip(ImageLabel._fields, zip(*labels, strict=True), strict=True))
            values = {**{name: of[name] for name in _OF_LABELS}, "presence": map(int, of["present"])}
            self._extend(record.image_id, "label", len(labels), values)

    def _extend(self, image_id: str, kind: str, count: int, values: dict[str, Iterable[Any]]) -> None:
        """Append rows; a column that is not named is empty there."""
        self.rows += count
        values |= {"image_id": [image_id] * count, "kind": [kind] * count, "number": range(count)}
        for name, column in self._columns.items():
            column.extend(values[name] if name in values else [_EMPTY[name]] * count)

    def table(self) -> pa.Table:
        """The rows as a table of ANNOTATIONS_SCHEMA; begins anew."""
        arrays = [pa.array(self._columns[field.name], field.type) for field in ANNOTATIONS_SCHEMA]
        self.__init__()
        return pa.table(arrays, schema=ANNOTATIONS_SCHEMA)


def annotations_table(records: Iterable[ImageRecord]) -> pa.Table:
    """All statements of the records as one table of ANNOTATIONS_SCHEMA."""
    columns = AnnotationColumns()
    for record in records:
        columns.add(record)
    return columns.table()


def index_row(record: ImageRecord, shard: str, offset: int, length: int) -> tuple[Any, ...]:
    """Where a record lies and what is known about its image; values in the order of INDEX_SCHEMA."""
    captions = _json([list(caption) for caption in record.captions])
    not_exhaustive = json.dumps(record.not_exhaustive) if record.not_exhaustive else ""
    return (record.image_id, shard, offset, length, *_IN_INDEX(record), captions, not_exhaustive, record.extra)


def index_table(rows: Sequence[tuple[Any, ...]]) -> pa.Table:
    """Rows of `index_row` as one table of INDEX_SCHEMA."""
    columns = zip(*rows, strict=True) if rows else [()] * len(INDEX_SCHEMA)
    arrays = [pa.array(column, field.type) for column, field in zip(columns, INDEX_SCHEMA, strict=True)]
    return pa.table(arrays, schema=INDEX_SCHEMA)
