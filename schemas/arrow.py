"""The row plane as pyarrow schemas: where each image lies, and one row per statement about an image.

Rows can be joined, split, counted and relabelled without touching a pixel.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

import pyarrow as pa

from schemas.record import BoxAnnotation, ImageLabel, ImageRecord
from schemas.tfexample import FLAGS

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
        *(pa.field(side, pa.float32(), metadata={"form": "rel_yxyx"}) for side in ("ymin", "xmin", "ymax", "xmax")),
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
_ANNOTATION_NAMES = tuple(ANNOTATIONS_SCHEMA.names)
_INDEX_NAMES = tuple(INDEX_SCHEMA.names)
_AS_THEY_ARE = ("label", "class_id", "wnid", "confidence", "source", "annotation_id", "area", *FLAGS)
_OF_LABELS = ("label", "class_id", "wnid", "verified", "confidence", "source")
_SIDES = ("ymin", "xmin", "ymax", "xmax")
_OF_NO_BOX = {"annotation_id": "", "view": "", "segmentation": "", "keypoints": "", "parts": "", "has_mask": False}


def _json(rows: list[list[Any]]) -> str:
    return json.dumps(rows, ensure_ascii=False) if rows else ""


class AnnotationColumns:
    """The annotation rows of records: a row a box, then one an image label, in the record's order."""

    def __init__(self) -> None:
        self._columns: dict[str, list[Any]] = {name: [] for name in _ANNOTATION_NAMES}
        self.rows = 0

    def add(self, record: ImageRecord) -> None:
        """Append the rows of a record."""
        if record.boxes:
            self._add_boxes(record.image_id, record.boxes)
        if record.labels:
            self._add_labels(record.image_id, record.labels)

    def _add_boxes(self, image_id: str, boxes: Sequence[BoxAnnotation]) -> None:
        columns, count = self._columns, len(boxes)
        self.rows += count
        of = dict(zip(BoxAnnotation._fields, zip(*boxes, strict=True), strict=True))
        for name in _AS_THEY_ARE:
            columns[name].extend(of[name])
        for name, values in zip(_SIDES, zip(*of["box"], strict=True), strict=True):
            columns[name].extend(values)
        for name in ("view", "segmentation", "extra"):
            columns[name].extend(of[name])
        columns["image_id"].extend([image_id] * count)
        columns["kind"].extend(["box"] * count)
        columns["number"].extend(range(count))
        columns["presence"].extend([1] * count)
        columns["verified"].extend([None] * count)
        columns["keypoints"].extend([_json([list(point) for point in points]) for points in of["keypoints"]])
        columns["parts"].extend([_json([[part.name, *part.box] for part in parts]) for parts in of["parts"]])
        columns["has_mask"].extend(map(bool, of["mask"]))

    def _add_labels(self, image_id: str, labels: Sequence[ImageLabel]) -> None:
        columns, count = self._columns, len(labels)
        self.rows += count
        of = dict(zip(ImageLabel._fields, zip(*labels, strict=True), strict=True))
        for name in _OF_LABELS:
            columns[name].extend(of[name])
        columns["image_id"].extend([image_id] * count)
        columns["kind"].extend(["label"] * count)
        columns["number"].extend(range(count))
        columns["presence"].extend(map(int, of["present"]))
        for name in (*_SIDES, "area", *FLAGS):
            columns[name].extend([None] * count)
        for name, empty in (*_OF_NO_BOX.items(), ("extra", "")):
            columns[name].extend([empty] * count)

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
    return (
        record.image_id,
        shard,
        offset,
        length,
        record.sha256,
        record.width,
        record.height,
        record.format,
        record.uri,
        record.has_boxes,
        record.orientation,
        record.rotation,
        record.provenance,
        _json([list(caption) for caption in record.captions]),
        json.dumps(record.not_exhaustive) if record.not_exhaustive else "",
        record.extra,
    )


def index_table(rows: Sequence[tuple[Any, ...]]) -> pa.Table:
    """Rows of `index_row` as one table of INDEX_SCHEMA."""
    return _table(_INDEX_NAMES, rows, INDEX_SCHEMA)


def _table(names: tuple[str, ...], rows: Sequence[tuple[Any, ...]], schema: pa.Schema) -> pa.Table:
    columns = zip(*rows, strict=True) if rows else ((),) * len(names)
    return pa.table([pa.array(c, field.type) for c, field in zip(columns, schema, strict=True)], schema=schema)
