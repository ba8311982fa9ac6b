"""Rows of a dataset's tables as entries of a COCO file: images, boxes, segments, captions."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar

import msgspec

from pipelines.coco.export_head import Categories, Fields
from pipelines.coco.panoptic import IS_THING, MAP_NAME
from schemas.boxes import Box
from schemas.coco import DIGITS, IGNORED, Id, file_bbox, id_text, usual_id
from schemas.errors import FormatError

_SIDES = ("ymin", "xmin", "ymax", "xmax")
_FLAGS = ("is_difficult", "is_truncated", "is_occluded", "is_group_of", "is_depiction", "is_inside")
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])
_numbers = msgspec.json.Decoder(list[float])
_class_ids = msgspec.json.Decoder(list[int])
_points = msgspec.json.Decoder(list[tuple[float, float, int]])
_sentences = msgspec.json.Decoder(list[tuple[str, str]])
_any = msgspec.json.Decoder(msgspec.Raw)
_text = msgspec.json.Decoder(str | None)
Row = Mapping[str, Any]
_Value = TypeVar("_Value")


def _read(row: Row, name: str, decoder: msgspec.json.Decoder[_Value], text: Any = None) -> _Value:
    """The JSON text of a column, or a part of it.

    Raises:
        FormatError: if it is damaged.
    """
    try:
        return decoder.decode(row[name] if text is None else text)
    except (ValueError, RecursionError) as error:
        raise FormatError(
            f"image {row['image_id']!r}: column {name!r} of the tables is damaged ({error}); convert the dataset again"
        ) from error


def _extra(row: Row) -> dict[str, msgspec.Raw]:
    return _read(row, "extra", _fields) if row["extra"] else {}


def image_entry(
    row: Row, labels: Sequence[Row], categories: Categories, *, from_coco: bool, prefix: str
) -> tuple[Fields, bool]:
    """An image, and whether its size is that of the file since the source does not state it.

    Args:
        row: of the index.
        labels: rows of its labels.
        categories: the classes.
        from_coco: whether the dataset was made from COCO, so that `extra` holds the image's own fields.
        prefix: put before the file name.
    """
    size = {"width": row["width"], "height": row["height"]}
    extra = _extra(row)
    if from_coco:
        stated = {name: _plain(extra.get(name)) for name in size}
        own_size = stated != size
        entry: Fields = {"id": usual_id(row["image_id"]), **extra, **(size if own_size else {})}
        if prefix:
            entry["file_name"] = posixpath.join(
                prefix, _read(row, "extra", _text, extra.get("file_name", b"null")) or row["uri"]
            )
        absent = [one for one in labels if one["source"] == "lvis" and not one["presence"]]
        if absent:
            entry["neg_category_ids"] = [categories.id_of(one["class_id"]) for one in absent]
        others = [one for one in labels if not (one["source"] == "lvis" and not one["presence"])]
    else:
        own_size = False
        name = posixpath.join(prefix, row["uri"]) if prefix else row["uri"]
        entry = {"id": usual_id(row["image_id"]), "file_name": name, **size}
        if extra:
            entry["attributes"] = extra
        others = labels
    if row["not_exhaustive"]:
        entry["not_exhaustive_category_ids"] = [categories.id_of(n) for n in _read(row, "not_exhaustive", _class_ids)]
    if others:
        entry["image_labels"] = [_label(one, categories) for one in others]
    return entry, own_size


def _plain(raw: msgspec.Raw | None) -> Any:
    return None if raw is None else msgspec.json.decode(raw)


def _label(row: Row, categories: Categories) -> Fields:
    """A statement about the whole image, for which COCO has no form of its own."""
    return {
        "category_id": categories.id_of(row["class_id"]),
        "present": bool(row["presence"]),
        "verified": row["verified"],
        "confidence": round(row["confidence"], 6),
        "source": row["source"],
    }


def _bbox(row: Row, image: Row, stated: Sequence[float] = ()) -> tuple[Sequence[float], bool]:
    """See `schemas.coco.file_bbox`."""
    box = Box(*(row[side] for side in _SIDES))
    return file_bbox(box, height=image["height"], width=image["width"], stated=stated)


class BoxMaker:
    """Boxes of a dataset that was not made from COCO."""

    def __init__(self, categories: Categories) -> None:
        self._categories = categories

    def __call__(self, row: Row, image: Row, image_id: Id, number: int) -> tuple[Fields, bool]:
        """The annotation, and False."""
        bbox, _ = _bbox(row, image)
        attributes: Fields = {name: row[name] for name in _FLAGS if row[name] is not None}
        attributes |= {name: row[name] for name in ("annotation_id", "view", "source") if row[name]}
        attributes |= {name: _read(row, name, _any) for name in ("parts", "extra") if row[name]}
        if row["confidence"] != 1:
            attributes["confidence"] = round(row["confidence"], 6)
        entry: Fields = {
            "id": number,
            "image_id": image_id,
            "category_id": self._categories.id_of(row["class_id"]),
            "bbox": bbox,
            "area": round(bbox[2] * bbox[3], DIGITS) if row["area"] is None else row["area"],
            "iscrowd": int(any(row[flag] for flag in IGNORED)),
            "segmentation": _read(row, "segmentation", _any) if row["segmentation"] else [],
            **_keypoints(row, image),
        }
        if attributes:
            entry["attributes"] = attributes
        return entry, False


class CocoBoxMaker:
    """Boxes of a dataset that was made from COCO: the source's own fields."""

    def __init__(self, categories: Categories, *, panoptic: bool = False) -> None:
        self._categories, self._panoptic = categories, panoptic

    def __call__(self, row: Row, image: Row, image_id: Id, number: int) -> tuple[Fields, bool]:
        """The annotation or segment, and whether its numbers are the written ones and not the source's."""
        extra: Fields = dict(_extra(row))
        class_id = row["class_id"]
        entry: Fields = {"id": usual_id(row["annotation_id"]) if row["annotation_id"] else number}
        if not self._panoptic:
            entry["image_id"] = image_id
            if row["segmentation"]:
                entry["segmentation"] = _read(row, "segmentation", _any)
        if "category_id" in extra and not self._is_class(extra["category_id"], class_id):
            del extra["category_id"]  # it was labelled anew
        entry["category_id"] = self._categories.id_of(class_id)
        if row["is_crowd"] is not None:
            entry["iscrowd"] = int(row["is_crowd"])
        stated = _read(row, "extra", _numbers, extra["bbox"]) if "bbox" in extra else ()
        bbox, changed = _bbox(row, image, stated)
        if changed:
            extra["bbox"] = bbox
            if row["area"] is not None:
                extra["area"] = row["area"]
            extra |= _keypoints(row, image)
        return {**entry, **extra}, changed

    def _is_class(self, raw: msgspec.Raw, class_id: int) -> bool:
        return id_text(msgspec.json.decode(raw)) == id_text(self._categories.id_of(class_id))


def _keypoints(row: Row, image: Row) -> Fields:
    """Keypoints of the written row as COCO has them."""
    if not row["keypoints"]:
        return {}
    points = _read(row, "keypoints", _points)
    flat = [
        value
        for y, x, visibility in points
        for value in (round(x * image["width"], DIGITS), round(y * image["height"], DIGITS), visibility)
    ]
    return {"keypoints": flat, "num_keypoints": sum(point[2] > 0 for point in points)}


def panoptic_entry(image: Row, segments: list[Fields], categories: Categories) -> Fields:
    """The annotation of an image with its segments; what the conversion added to them is taken away."""
    name = posixpath.splitext(posixpath.basename(image["uri"]))[0] + ".png"
    for segment in segments:
        raw = segment.pop(MAP_NAME, None)
        name = msgspec.json.decode(raw) if raw is not None else name
        category = segment["category_id"]
        key = id_text(_plain(category) if isinstance(category, msgspec.Raw) else category)
        if IS_THING in segment and key in categories.things and _plain(segment[IS_THING]) == categories.things[key]:
            del segment[IS_THING]
    return {"image_id": usual_id(image["image_id"]), "file_name": name, "segments_info": segments}


def caption_entries(row: Row) -> Iterator[tuple[str, str]]:
    """The captions of a row of the index, each with its id."""
    yield from _read(row, "captions", _sentences) if row["captions"] else ()
