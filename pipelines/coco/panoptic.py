"""Panoptic files: every segment of an image as a box, and the PNG that holds the segments' ids.

A pixel of that PNG is R + 256 G + 65536 B, the id of its segment. Ids are unique in an image, not in the file. Beside a
segment's own fields its `extra` holds `isthing` of its category and, as MAP_NAME, the name of the PNG.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from pipelines.coco.boxes import box_row
from pipelines.coco.entries import Category, ImageEntry, PanopticEntry, Segment, StrictPanoptic, is_text, loose_id
from pipelines.coco.head import ids_of
from pipelines.coco.reading import ImageFolder, image_rows, malformed
from pipelines.files import storage
from pipelines.files.json_forms import Bad, raw_json
from pipelines.files.json_stream import Value, read_object
from pipelines.rows import BoxRow, Rejected, Row, Statements
from schemas.coco import Id, id_text

_SEGMENT_FIELDS = frozenset(Segment.__struct_fields__)
MAP_KIND = "panoptic"
MAP_NAME = "panoptic_file_name"
IS_THING = "isthing"


def read_panoptic(path: str, images: ImageFolder, categories: list[Category]) -> Iterator[Row]:
    """The rows of a panoptic file."""
    where = storage.name_of(path)
    known = ids_of(categories)
    things = {id_text(c.id): {IS_THING: c.isthing} for c in categories if c.isthing is not msgspec.UNSET}
    lists = {"images": (ImageEntry,), "annotations": (StrictPanoptic, PanopticEntry)}
    for part in read_object(path, lists, where=where, role="panoptic file"):
        if isinstance(part, Value):
            continue
        if part.name == "images":
            yield from image_rows(part, where, images, has_boxes=True)
            continue
        for at, entry in enumerate(part.entries):
            if isinstance(entry, Bad):
                yield malformed(part, at, where, "box", "image_id")
            else:
                yield from _statement(entry, f"{where} annotations[{part.first + at}]", where, known, things)


def _statement(
    entry: StrictPanoptic | PanopticEntry,
    place: str,
    where: str,
    known: Mapping[str, Id],
    things: Mapping[str, Mapping[str, Any]],
) -> Iterator[Row]:
    """The segments of one image."""
    image_id = id_text(entry.image_id)
    boxes: dict[str, BoxRow] = {}
    of_image = {MAP_NAME: entry.file_name} if entry.file_name else {}
    for number, segment in enumerate(entry.segments_info):
        here = f"{place} segments_info[{number}]"
        segment_id, others = loose_id(segment.get("id")) if isinstance(segment, dict) else "", {}
        try:
            if not isinstance(segment, Segment):
                others, segment = _loose_segment(segment)
            told = {**of_image, **things.get(id_text(segment.category_id), {}), **others}
            box = box_row(segment, here, known, told)
            if box.annotation_id in boxes:
                reason, found = "box:duplicate_id", f"segment id {box.annotation_id} a second time in its image"
            elif box.class_key not in known:
                reason, found = "box:unknown_category", f"category_id {box.class_key}"
            else:
                boxes[box.annotation_id] = box
                continue
            segment_id = box.annotation_id
        except (msgspec.ValidationError, RecursionError) as error:
            reason, found = "box:malformed", str(error)
        record = f"{image_id}/{segment_id or number}"
        yield Rejected(kind="box", record=record, reason=reason, found=found, where=here, image_id=image_id)
    maps = ((MAP_KIND, entry.file_name),) if entry.file_name else ()
    yield Statements(image_id=image_id, boxes=tuple(boxes.values()), map_uris=maps, provenance=where)


def _loose_segment(value: Any) -> tuple[dict[str, Any], Segment]:
    """The fields of a segment that are not known, and the segment.

    Raises:
        msgspec.ValidationError: if it is none.
    """
    fields = value if isinstance(value, dict) else {}
    for name in _SEGMENT_FIELDS & fields.keys():
        if not is_text(fields[name]):
            raise msgspec.ValidationError(f"{name} is no Unicode text: {fields[name]!a}")
    segment = msgspec.convert(value, Segment)
    return {storage.plain_text(name): raw_json(v) for name, v in fields.items() if name not in _SEGMENT_FIELDS}, segment
