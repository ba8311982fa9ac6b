"""The row plane as pyarrow schemas: where each image lies, and one row per statement about an image.

Rows can be joined, split, counted and relabelled without touching a pixel.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import pyarrow as pa

from schemas.record import ImageRecord
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
_NO_BOX = (None,) * (5 + len(FLAGS))


def _json(rows: list[list[Any]]) -> str:
    return json.dumps(rows, ensure_ascii=False) if rows else ""


def annotation_rows(record: ImageRecord) -> Iterator[tuple[Any, ...]]:
    """One row per box, then one per image label, in the record's order; values in the order of ANNOTATIONS_SCHEMA."""
    for number, box in enumerate(record.boxes):
        yield (
            record.image_id,
            "box",
            number,
            box.label,
            box.class_id,
            box.wnid,
            1,
            None,
            box.confidence,
            box.source,
            box.annotation_id,
            *box.box,
            box.area,
            box.is_crowd,
            box.is_difficult,
            box.is_truncated,
            box.is_occluded,
            box.is_group_of,
            box.is_depiction,
            box.is_inside,
            box.view,
            box.segmentation,
            _json([list(point) for point in box.keypoints]),
            _json([[part.name, *part.box] for part in box.parts]),
            bool(box.mask),
            box.extra,
        )
    for number, label in enumerate(record.labels):
        said = (label.label, label.class_id, label.wnid, int(label.present), label.verified, label.confidence)
        yield (record.image_id, "label", number, *said, label.source, "", *_NO_BOX, "", "", "", "", False, "")


def annotations_table(records: Iterable[ImageRecord]) -> pa.Table:
    """All statements of the records as one table of ANNOTATIONS_SCHEMA."""
    return _table(_ANNOTATION_NAMES, [row for record in records for row in annotation_rows(record)], ANNOTATIONS_SCHEMA)


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
