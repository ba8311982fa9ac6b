"""An annotation or a segment as a `BoxRow` that keeps every field: what has no place of its own, or would change there,
goes to `extra` as a JSON object.

`bbox` and `area` always do: rows and shards hold relative float32, clipped to the image. Keypoints and areas that no
picture can have stand in `extra` alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import msgspec

from pipelines.coco.entries import (
    UNSET,
    AnnotationEntry,
    Number,
    Raw,
    ResultEntry,
    Segment,
    StrictAnnotation,
    Unset,
    is_usual_id,
)
from pipelines.rows import BoxRow
from schemas.boxes import box_from_coco_xywh
from schemas.coco import Id, id_text

_encode = msgspec.json.Encoder().encode
_numbers = msgspec.json.Decoder(list[Number])
_LARGEST = 10**18  # of ids that are stated as text in the usual way, see `usual_id`
_FARTHEST = 2**31  # pixels of a picture
_LARGEST_AREA = 2**62  # float32 holds it
_LARGEST_FLAG = 2**63  # visibility is an int64


def box_row(
    entry: AnnotationEntry | Segment, where: str, known: Mapping[str, Id], others: Mapping[str, Any] | None = None
) -> BoxRow:
    """The row of an annotation of an instances, keypoints or panoptic file.

    Args:
        entry: as it stands in the file.
        where: file and position, for rejects.
        known: the ids of the categories as their text and as they stand in the file.
        others: fields that the entry's type does not know.
    """
    if type(entry) is StrictAnnotation and _is_plain(entry, known):
        return _plain_row(entry, where)
    x, y, width, height = map(_float, entry.bbox)
    box = box_from_coco_xywh(x, y, width, height, height=1, width=1)  # height and width 1: stays in pixels
    key = id_text(entry.category_id)
    annotation_id = "" if entry.id is UNSET or entry.id is None else id_text(entry.id)
    extra: dict[str, Any] = {"bbox": entry.bbox}
    if entry.area is not UNSET:
        extra["area"] = entry.area
    if entry.id is not UNSET and not is_usual_id(entry.id, annotation_id):
        extra["id"] = entry.id
    category = known.get(key)
    if category != entry.category_id or type(category) is not type(entry.category_id):
        extra["category_id"] = entry.category_id
    crowd = entry.iscrowd
    if crowd is not UNSET and (type(crowd) is not int or crowd not in (0, 1)):
        extra["iscrowd"] = crowd
    segmentation, keypoints = "", ()
    if isinstance(entry, AnnotationEntry):
        if not is_usual_id(entry.image_id, id_text(entry.image_id)):
            extra["image_id"] = entry.image_id
        if entry.segmentation is not UNSET:
            segmentation = bytes(entry.segmentation).decode()
            if segmentation[0] not in "[{":
                extra["segmentation"], segmentation = entry.segmentation, ""
        if entry.keypoints is not UNSET:
            extra["keypoints"] = entry.keypoints
            keypoints = _keypoints(entry.keypoints)
        if entry.num_keypoints is not UNSET:
            extra["num_keypoints"] = entry.num_keypoints
    confidence = 1.0
    if isinstance(entry, ResultEntry):
        extra["score"], confidence = entry.score, _float(entry.score)
    if others:
        extra.update(others)
    return BoxRow(
        ymin=box.ymin,
        xmin=box.xmin,
        ymax=box.ymax,
        xmax=box.xmax,
        class_key=key,
        annotation_id=annotation_id,
        area=_area(entry.area),
        is_crowd=None if crowd is UNSET or crowd is None else bool(crowd),
        confidence=confidence,
        keypoints=keypoints,
        segmentation=segmentation,
        extra=_encode(extra).decode(),
        where=where,
    )


def _is_plain(entry: AnnotationEntry, known: Mapping[str, Id]) -> bool:
    """Whether an annotation is as nearly all are: ids that are whole numbers, a flag that is one, no keypoints."""
    category, crowd = entry.category_id, entry.iscrowd
    return (
        type(entry.id) is int
        and type(entry.image_id) is int
        and type(category) is int
        and -_LARGEST < entry.id < _LARGEST
        and -_LARGEST < entry.image_id < _LARGEST
        and type(known.get(str(category))) is int
        and type(crowd) is int
        and 0 <= crowd <= 1
        and min(entry.bbox) > -_LARGEST
        and max(entry.bbox) < _LARGEST
        and entry.keypoints is UNSET
        and entry.num_keypoints is UNSET
        and (entry.segmentation is UNSET or memoryview(entry.segmentation)[:1] in (b"[", b"{"))
    )


def _plain_row(entry: AnnotationEntry, where: str) -> BoxRow:
    """The row of an annotation that `_is_plain`: what `box_row` says, in half the time."""
    x, y, width, height = entry.bbox
    extra = {"bbox": entry.bbox} if entry.area is UNSET else {"bbox": entry.bbox, "area": entry.area}
    return BoxRow(
        ymin=y,
        xmin=x,
        ymax=y + height,
        xmax=x + width,
        class_key=str(entry.category_id),
        annotation_id=str(entry.id),
        area=_area(entry.area),
        is_crowd=entry.iscrowd == 1,
        segmentation="" if entry.segmentation is UNSET else bytes(entry.segmentation).decode(),
        extra=_encode(extra).decode(),
        where=where,
    )


def _float(number: Number) -> float:
    """Whole numbers may have any size in JSON: beyond every float they are infinite, and no box."""
    try:
        return float(number)
    except OverflowError:
        return math.inf if number > 0 else -math.inf


def _area(area: Number | Unset | None) -> float | None:
    if area is UNSET or area is None or not 0 <= area < _LARGEST_AREA:  # NaN is not
        return None
    return float(area)


def _keypoints(raw: Raw) -> tuple[tuple[float, float, int], ...]:
    """COCO's [x, y, visibility, ...] as (y, x, visibility); what is no such list stays in `extra` alone."""
    try:
        flat = _numbers.decode(raw)
    except (ValueError, RecursionError):
        return ()
    places, flags = (*flat[::3], *flat[1::3]), flat[2::3]
    if len(flat) % 3 or not all(abs(n) < _FARTHEST for n in places) or not all(abs(n) < _LARGEST_FLAG for n in flags):
        return ()
    return tuple((flat[at + 1], flat[at], int(flat[at + 2])) for at in range(0, len(flat), 3))
