"""`ImageRecord` as a tf.train.Example and back; `schemas.features` says under which keys."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any

from schemas.boxes import Box
from schemas.errors import FormatError
from schemas.example_message import add_entry, decode_features, encode_features, join_entries, key_field
from schemas.features import FEATURES, FLAGS, MAP_KEYS, Columns, Feature
from schemas.masks import without_blanks
from schemas.record import BoxAnnotation, Caption, ImageLabel, ImageRecord, Keypoint, Part, SegmentationMap

__all__ = [
    "FEATURES",
    "FLAGS",
    "Columns",
    "Feature",
    "decode_features",
    "decode_record",
    "encode_chunks",
    "encode_features",
    "encode_record",
]

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

    def text(key: str) -> list[str]:
        return [value.decode() for value in table[key]]

    def rare(key: str, empty: Any) -> list[Any]:
        """The list of a rare key; one empty value a box where it was left out."""
        return table.get(key) or [empty] * len(table["image/object/class/label"])

    def tristate(value: int) -> bool | None:
        return None if value < 0 else bool(value)

    sides = [table[f"image/object/bbox/{side}"] for side in ("ymin", "xmin", "ymax", "xmax")]
    flags: dict[str, list[Any]] = {name: [tristate(v) for v in table[f"wordtree/object/{name}"]] for name in FLAGS}
    object_texts: dict[str, list[Any]] = {
        name: text(key)
        for name, key in {
            "label": "image/object/class/text",
            "wnid": "wordtree/object/wnid",
            "annotation_id": "wordtree/object/id",
            "view": "image/object/view",
            "source": "wordtree/object/source",
        }.items()
    }
    label_texts: dict[str, list[Any]] = {
        name: text(key)
        for name, key in {
            "label": "image/class/text",
            "wnid": "wordtree/class/wnid",
            "source": "wordtree/class/source",
        }.items()
    }
    object_texts |= {
        name: [value.decode() for value in rare(f"wordtree/object/{name}", b"")] for name in ("segmentation", "extra")
    }
    keypoints = _keypoints(table, rare("image/object/keypoint/num", 0))
    masks, parts = without_blanks(rare("image/object/mask", b"")), rare("wordtree/object/parts", b"")
    try:
        boxes = tuple(
            BoxAnnotation(
                box=Box(*corner),
                class_id=class_id,
                area=None if area < 0 else area,
                confidence=confidence,
                keypoints=keypoints[i],
                mask=masks[i],
                parts=tuple(Part(name, Box(*sides)) for name, *sides in json.loads(parts[i] or b"[]")),
                **{name: values[i] for name, values in object_texts.items()},
                **{name: values[i] for name, values in flags.items()},
            )
            for i, (corner, class_id, area, confidence) in enumerate(
                zip(
                    zip(*sides, strict=True),
                    table["image/object/class/label"],
                    table["image/object/area"],
                    table["wordtree/object/confidence"],
                    strict=True,
                )
            )
        )
        labels = tuple(
            ImageLabel(
                class_id=class_id,
                present=bool(present),
                verified=tristate(verified),
                confidence=confidence,
                **{name: values[i] for name, values in label_texts.items()},
            )
            for i, (class_id, present, verified, confidence) in enumerate(
                zip(
                    table["image/class/label"],
                    table["wordtree/class/present"],
                    table["wordtree/class/verified"],
                    table["wordtree/class/confidence"],
                    strict=True,
                )
            )
        )
    except (ValueError, IndexError) as error:
        raise FormatError(f"the per-object lists of {text('image/source_id')} differ in length ({error})") from error
    return ImageRecord(
        image_id=text("image/source_id")[0],
        source=text("wordtree/source")[0],
        uri=text("wordtree/uri")[0],
        filename=text("image/filename")[0],
        has_boxes=bool(table["wordtree/has_boxes"][0]),
        format=text("image/format")[0],  # type: ignore[arg-type]
        height=table["image/height"][0],
        width=table["image/width"][0],
        boxes=boxes,
        labels=labels,
        encoded=table["image/encoded"][0] or None,
        sha256=text("image/key/sha256")[0],
        provenance=text("wordtree/provenance")[0],
        orientation=table.get("wordtree/orientation", [1])[0],
        rotation=table.get("wordtree/rotation", [None])[0],
        captions=tuple(
            Caption(sentence.decode(), number.decode())
            for sentence, number in zip(
                table.get("image/caption", ()), table.get("wordtree/caption/id", ()), strict=True
            )
        ),
        maps=tuple(SegmentationMap(kind, data) for kind, key in MAP_KEYS.items() for data in table.get(key, ())),
        not_exhaustive=tuple(table.get("image/not_exhaustive_category_ids", ())),
        extra=table.get("wordtree/extra", [b""])[0].decode(),
    )


def _keypoints(table: dict[str, list[Any]], counts: list[int]) -> list[tuple[Keypoint, ...]]:
    """The keypoints of each box, from lists that hold those of all boxes one after another."""
    columns = (table.get(f"image/object/keypoint/{name}", []) for name in ("y", "x", "visibility"))
    points = [Keypoint(*point) for point in zip(*columns, strict=True)]
    ends = list(accumulate(counts))
    return [tuple(points[end - count : end]) for count, end in zip(counts, ends, strict=True)]
