"""The row plane as pyarrow schemas: where each image lies, and one row per statement about an image.

Rows can be joined, split, counted and relabelled without touching a pixel.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
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
    ]
)

ANNOTATIONS_SCHEMA = pa.schema(
    [
        pa.field("image_id", pa.string(), nullable=False),
        pa.field("kind", pa.string(), nullable=False, metadata={"values": "box, label"}),
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
    ]
)


def annotation_rows(record: ImageRecord) -> Iterator[dict[str, Any]]:
    """One row per box, then one per image label, in the record's order."""
    for box in record.boxes:
        yield {
            "image_id": record.image_id,
            "kind": "box",
            "label": box.label,
            "class_id": box.class_id,
            "wnid": box.wnid,
            "presence": 1,
            "verified": None,
            "confidence": box.confidence,
            "source": box.source,
            "annotation_id": box.annotation_id,
            **box.box._asdict(),
            "area": box.area,
            **{flag: getattr(box, flag) for flag in FLAGS},
        }
    for label in record.labels:
        yield {
            "image_id": record.image_id,
            "kind": "label",
            "label": label.label,
            "class_id": label.class_id,
            "wnid": label.wnid,
            "presence": int(label.present),
            "verified": label.verified,
            "confidence": label.confidence,
            "source": label.source,
            "annotation_id": "",
        }


def annotations_table(records: Iterable[ImageRecord]) -> pa.Table:
    """All statements of the records as one table of ANNOTATIONS_SCHEMA."""
    return pa.Table.from_pylist([row for record in records for row in annotation_rows(record)], ANNOTATIONS_SCHEMA)
