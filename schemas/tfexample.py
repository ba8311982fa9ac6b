"""`ImageRecord` as a tf.train.Example and back; `schemas.features` says under which keys."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any

from schemas.boxes import Box
from schemas.errors import FormatError
from schemas.example_message import add_entry, decode_features, join_entries, key_field
from schemas.features import BOX_KEYS, FEATURES, FLAGS, IMAGE_KEYS, LABEL_KEYS, MAP_KEYS, RARE_BOX_KEYS, Columns
from schemas.masks import without_blanks
from schemas.record import BoxAnnotation, Caption, ImageLabel, ImageRecord, Keypoint, Part, SegmentationMap

_ORDERED = tuple((key_field(f.key), *f[1:]) for f in sorted(FEATURES, key=lambda f: f.key.encode()))
_ALWAYS = tuple(feature.key for feature in FEATURES if not feature.rare)


def encode_record(record: ImageRecord) -> bytes:
    """The record as a serialised tf.train.Example; `decode_record` gives it back (coordinates as float32)."""
    return b"".join(encode_chunks(record))


def encode_chunks(record: ImageRecord) -> list[bytes]:
    """The same bytes in a few chunks, one of which is the encoded image itself."""
    columns = Columns(record)
    parts: list[bytes] = []
    for piece in _template(columns):
        if isinstance(piece, bytes):
            parts.append(piece)
            continue
        key, kind, take, rare = piece
        values = take(columns)
        if values or not rare:
            add_entry(parts, key, kind, values)
    return join_entries(parts)


_Ordered = tuple[bytes, str, Callable[[Columns], Sequence[Any]], bool]
_Template = tuple["bytes | _Ordered", ...]
_templates: dict[tuple[Any, ...], _Template] = {}


def _template(columns: Columns) -> _Template:
    """The entries of a record in order: bytes for those that many records share, and how to make the others.

    Most entries of most records are the same: no labels, no masks, flags that nobody states. They depend on the key
    below alone, so they are encoded once for each key.
    """
    record, boxes = columns.record, columns.boxes
    ones = boxes["confidence"].count(1.0) == len(record.boxes)
    rare = bool(record.captions or record.maps or record.not_exhaustive)
    drawn = any(boxes["keypoints"]) or any(boxes["mask"]) or any(boxes["segmentation"]) or any(boxes["parts"])
    of_image = (record.format, record.height, record.width, record.provenance, record.source, record.has_boxes)
    turned = (record.orientation, record.rotation)
    key = (bool(record.labels), ones, rare, drawn, *of_image, *turned, *(boxes[name] for name in _REPEATED))
    found = _templates.get(key)
    if found is None:
        if len(_templates) >= MOST_TEMPLATES:
            _templates.clear()
        varying = _VARYING | (_OF_LABELS if record.labels else set()) | (set() if ones else _OF_CONFIDENCE)
        varying |= (_RARE if rare else set()) | (_DRAWN if drawn else set())
        found = _templates[key] = _make_template(columns, frozenset(varying))
    return found


def _make_template(columns: Columns, varying: frozenset[bytes]) -> _Template:
    pieces: list[bytes | _Ordered] = []
    same: list[bytes] = []
    for ordered in _ORDERED:
        key, kind, take, rare = ordered
        if key not in varying:
            values = take(columns)
            if values or not rare:
                add_entry(same, key, kind, values)
            continue
        pieces += [b"".join(same), ordered]
        same = []
    return (*(piece for piece in pieces if piece), b"".join(same))


MOST_TEMPLATES = 4096
_REPEATED = (*FLAGS, "view", "source")  # columns that are the same in many records


def _keys(*names: str) -> set[bytes]:
    return {key_field(feature.key) for feature in FEATURES if feature.key.startswith(names)}


_OF_LABELS = _keys("image/class/", "wordtree/class/")
_OF_CONFIDENCE = _keys("wordtree/object/confidence")
_RARE = _keys("image/caption", "wordtree/caption/", *MAP_KEYS.values(), "image/not_exhaustive")
_DRAWN = _keys("image/object/keypoint/", "image/object/mask", "wordtree/object/segmentation", "wordtree/object/parts")
_VARYING = _keys(
    *("image/encoded", "image/filename", "image/source_id", "image/key/sha256", "wordtree/uri", "wordtree/extra"),
    *("image/object/bbox/", "image/object/class/", "image/object/area"),
    *("wordtree/object/wnid", "wordtree/object/id", "wordtree/object/extra"),
)


def decode_record(data: bytes) -> ImageRecord:
    """A serialised Example to the record it was made of.

    Raises:
        FormatError: if the bytes are no Example, or keys are missing or of unequal length.
    """
    table = decode_features(data)
    missing = [key for key in _ALWAYS if key not in table]
    if missing:
        raise FormatError(
            f"the record lacks {missing[0]!r} and {len(missing) - 1} more keys; written by `wordtree convert`?"
        )

    try:
        boxes, labels = _boxes(table), _labels(table)
        captions = zip(_texts(table, "image/caption"), _texts(table, "wordtree/caption/id"), strict=True)
        return ImageRecord(
            **{name: _read(table, key, kind)[0] for name, (key, kind) in IMAGE_KEYS.items()},
            has_boxes=bool(table["wordtree/has_boxes"][0]),
            boxes=boxes,
            labels=labels,
            encoded=table["image/encoded"][0] or None,
            orientation=table.get("wordtree/orientation", [1])[0],
            rotation=table.get("wordtree/rotation", [None])[0],
            captions=tuple(Caption(*caption) for caption in captions),
            maps=tuple(SegmentationMap(kind, data) for kind, key in MAP_KEYS.items() for data in table.get(key, ())),
            not_exhaustive=tuple(table.get("image/not_exhaustive_category_ids", ())),
            extra=(_texts(table, "wordtree/extra") or [""])[0],
        )
    except (ValueError, IndexError) as error:
        ids = _texts(table, "image/source_id")
        raise FormatError(f"the per-object lists of {ids} differ in length ({error})") from error


Table = dict[str, list[Any]]


def _texts(table: Table, key: str) -> list[str]:
    return [value.decode() for value in table.get(key, ())]


def _read(table: Table, key: str, kind: str) -> list[Any]:
    return _texts(table, key) if kind == "bytes" else table[key]


def _tristate(value: int) -> bool | None:
    return None if value < 0 else bool(value)


def _boxes(table: Table) -> tuple[BoxAnnotation, ...]:
    """The boxes of a record; of a key that is left out each box has an empty value."""
    sides = (table[f"image/object/bbox/{side}"] for side in Box._fields)
    of: dict[str, Any] = {name: _read(table, *key) for name, key in BOX_KEYS.items()}
    of |= {name: map(_tristate, table[f"wordtree/object/{name}"]) for name in FLAGS}
    of["box"] = [Box(*corners) for corners in zip(*sides, strict=True)]
    count = len(of["box"])
    of |= {name: _texts(table, key) or [""] * count for name, key in RARE_BOX_KEYS.items()}
    of["area"] = [None if area < 0 else area for area in table["image/object/area"]]
    of["keypoints"] = _keypoints(table, table.get("image/object/keypoint/num") or [0] * count)
    of["mask"] = without_blanks(table.get("image/object/mask") or [b""] * count)
    parts = table.get("wordtree/object/parts") or [b""] * count
    of["parts"] = [tuple(Part(name, Box(*box)) for name, *box in json.loads(text or b"[]")) for text in parts]
    return tuple(map(BoxAnnotation._make, zip(*(of[name] for name in BoxAnnotation._fields), strict=True)))


def _labels(table: Table) -> tuple[ImageLabel, ...]:
    of: dict[str, Any] = {name: _read(table, *key) for name, key in LABEL_KEYS.items()}
    of["present"] = map(bool, table["wordtree/class/present"])
    of["verified"] = map(_tristate, table["wordtree/class/verified"])
    return tuple(map(ImageLabel._make, zip(*(of[name] for name in ImageLabel._fields), strict=True)))


def _keypoints(table: dict[str, list[Any]], counts: list[int]) -> list[tuple[Keypoint, ...]]:
    """The keypoints of each box, from lists that hold those of all boxes one after another."""
    columns = (table.get(f"image/object/keypoint/{name}", []) for name in ("y", "x", "visibility"))
    points = [Keypoint(*point) for point in zip(*columns, strict=True)]
    ends = list(accumulate(counts))
    return [tuple(points[end - count : end]) for count, end in zip(counts, ends, strict=True)]
