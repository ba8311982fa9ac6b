"""`ImageRecord` as a tf.train.Example; `schemas.example_message` puts it into bytes.

Keys are those of the TensorFlow Object Detection API, so its decoder and others read the shards; what has no key there
has one under `wordtree/`. Per-object lists are parallel. `image/object/class/label` is 1-based. Flags there are cast to
bool by readers, so an unknown flag is written as 0, and the exact three values (-1 unknown) under `wordtree/object/`.

FEATURES is the schema: encoding and decoding both follow it. Keys marked as rare are written only where there is
something to write, such as masks and captions; all others always.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from itertools import accumulate
from operator import attrgetter
from typing import Any, NamedTuple

from schemas.boxes import Box
from schemas.errors import FormatError
from schemas.example_message import add_entry, decode_features, encode_features, join_entries, key_field
from schemas.record import BoxAnnotation, Caption, ImageLabel, ImageRecord, Keypoint, Part, SegmentationMap

__all__ = ["FEATURES", "FLAGS", "decode_features", "decode_record", "encode_chunks", "encode_features", "encode_record"]

FLAGS = ("is_crowd", "is_difficult", "is_truncated", "is_occluded", "is_group_of", "is_depiction", "is_inside")
API_FLAG_KEYS = {
    "is_crowd": "image/object/is_crowd",
    "is_difficult": "image/object/difficult",
    "is_truncated": "image/object/truncated",
    "is_occluded": "image/object/occluded",
    "is_group_of": "image/object/group_of",
    "is_depiction": "image/object/depiction",
    "is_inside": "image/object/inside",
}


class Feature(NamedTuple):
    """One key of the Example: the list it stores ("bytes", "float" or "int64") and how to take it from a record.

    A rare key is left out where `values` is empty.
    """

    key: str
    kind: str
    values: Callable[[ImageRecord], Sequence[Any]]
    rare: bool = False


def _of_boxes(get: Callable[[BoxAnnotation], Any]) -> Callable[[ImageRecord], Sequence[Any]]:
    return lambda record: list(map(get, record.boxes))


def _of_labels(get: Callable[[ImageLabel], Any]) -> Callable[[ImageRecord], Sequence[Any]]:
    return lambda record: list(map(get, record.labels))


_BOOL = {None: 0, False: 0, True: 1}
_TRISTATE = {None: -1, False: 0, True: 1}


def _flag(name: str, numbers: dict[bool | None, int]) -> Callable[[ImageRecord], Sequence[int]]:
    get = attrgetter(name)
    return lambda record: [numbers[flag] for flag in map(get, record.boxes)]


def _flag_features() -> list[Feature]:
    features: list[Feature] = []
    for name in FLAGS:
        features.append(Feature(API_FLAG_KEYS[name], "int64", _flag(name, _BOOL)))
        features.append(Feature(f"wordtree/object/{name}", "int64", _flag(name, _TRISTATE)))
    return features


def _if_any(get: Callable[[BoxAnnotation], Any]) -> Callable[[ImageRecord], Sequence[Any]]:
    """A value a box, or no values at all where all are empty."""

    def values(record: ImageRecord) -> Sequence[Any]:
        found = list(map(get, record.boxes))
        return found if any(found) else []

    return values


def _of_keypoints(get: Callable[[Keypoint], Any]) -> Callable[[ImageRecord], Sequence[Any]]:
    return lambda record: [get(point) for box in record.boxes for point in box.keypoints]


def _parts_json(box: BoxAnnotation) -> str:
    return json.dumps([[part.name, *part.box] for part in box.parts], ensure_ascii=False) if box.parts else ""


def _of_maps(record: ImageRecord, kind: str) -> list[bytes]:
    return [found.encoded for found in record.maps if found.kind == kind]


MAP_KEYS = {
    "panoptic": "wordtree/panoptic/encoded",
    "class": "image/segmentation/class/encoded",
    "object": "image/segmentation/object/encoded",
}

FEATURES: tuple[Feature, ...] = (
    Feature("image/encoded", "bytes", lambda r: [r.encoded or b""]),
    Feature("image/format", "bytes", lambda r: [r.format]),
    Feature("image/filename", "bytes", lambda r: [r.filename]),
    Feature("image/source_id", "bytes", lambda r: [r.image_id]),
    Feature("image/key/sha256", "bytes", lambda r: [r.sha256]),
    Feature("image/height", "int64", lambda r: [r.height]),
    Feature("image/width", "int64", lambda r: [r.width]),
    Feature("image/object/bbox/ymin", "float", _of_boxes(attrgetter("box.ymin"))),
    Feature("image/object/bbox/xmin", "float", _of_boxes(attrgetter("box.xmin"))),
    Feature("image/object/bbox/ymax", "float", _of_boxes(attrgetter("box.ymax"))),
    Feature("image/object/bbox/xmax", "float", _of_boxes(attrgetter("box.xmax"))),
    Feature("image/object/class/label", "int64", _of_boxes(attrgetter("class_id"))),
    Feature("image/object/class/text", "bytes", _of_boxes(attrgetter("label"))),
    Feature("image/object/area", "float", _of_boxes(lambda b: -1.0 if b.area is None else b.area)),
    Feature("image/object/view", "bytes", _of_boxes(attrgetter("view"))),
    *_flag_features(),
    Feature("wordtree/object/wnid", "bytes", _of_boxes(attrgetter("wnid"))),
    Feature("wordtree/object/id", "bytes", _of_boxes(attrgetter("annotation_id"))),
    Feature("wordtree/object/source", "bytes", _of_boxes(attrgetter("source"))),
    Feature("wordtree/object/confidence", "float", _of_boxes(attrgetter("confidence"))),
    Feature("image/class/label", "int64", _of_labels(attrgetter("class_id"))),
    Feature("image/class/text", "bytes", _of_labels(attrgetter("label"))),
    Feature("image/class/confidence", "float", _of_labels(lambda a: a.confidence if a.present else 0.0)),
    Feature("wordtree/class/wnid", "bytes", _of_labels(attrgetter("wnid"))),
    Feature("wordtree/class/present", "int64", _of_labels(lambda a: int(a.present))),
    Feature("wordtree/class/verified", "int64", _of_labels(lambda a: _TRISTATE[a.verified])),
    Feature("wordtree/class/confidence", "float", _of_labels(attrgetter("confidence"))),
    Feature("wordtree/class/source", "bytes", _of_labels(attrgetter("source"))),
    Feature("wordtree/has_boxes", "int64", lambda r: [int(r.has_boxes)]),
    Feature("wordtree/source", "bytes", lambda r: [r.source]),
    Feature("wordtree/uri", "bytes", lambda r: [r.uri]),
    Feature("wordtree/provenance", "bytes", lambda r: [r.provenance]),
    Feature("image/object/keypoint/y", "float", _of_keypoints(lambda k: k.y), rare=True),
    Feature("image/object/keypoint/x", "float", _of_keypoints(lambda k: k.x), rare=True),
    Feature("image/object/keypoint/visibility", "int64", _of_keypoints(lambda k: k.visibility), rare=True),
    Feature("image/object/keypoint/num", "int64", _if_any(lambda b: len(b.keypoints)), rare=True),
    Feature("image/object/mask", "bytes", _if_any(attrgetter("mask")), rare=True),
    Feature("wordtree/object/segmentation", "bytes", _if_any(attrgetter("segmentation")), rare=True),
    Feature("wordtree/object/parts", "bytes", _if_any(_parts_json), rare=True),
    Feature("wordtree/object/extra", "bytes", _if_any(attrgetter("extra")), rare=True),
    Feature("image/caption", "bytes", lambda r: [c.text for c in r.captions], rare=True),
    Feature("wordtree/caption/id", "bytes", lambda r: [c.caption_id for c in r.captions], rare=True),
    *(Feature(key, "bytes", lambda r, kind=kind: _of_maps(r, kind), rare=True) for kind, key in MAP_KEYS.items()),
    Feature("image/not_exhaustive_category_ids", "int64", lambda r: r.not_exhaustive, rare=True),
    Feature("wordtree/orientation", "int64", lambda r: [r.orientation] if r.orientation != 1 else [], rare=True),
    Feature("wordtree/rotation", "int64", lambda r: [] if r.rotation is None else [r.rotation], rare=True),
    Feature("wordtree/extra", "bytes", lambda r: [r.extra] if r.extra else [], rare=True),
)
_ORDERED = tuple((key_field(f.key), f) for f in sorted(FEATURES, key=lambda f: f.key.encode()))
_ALWAYS = tuple(feature.key for feature in FEATURES if not feature.rare)


def encode_record(record: ImageRecord) -> bytes:
    """The record as a serialised tf.train.Example; `decode_record` gives it back (coordinates as float32)."""
    return b"".join(encode_chunks(record))


def encode_chunks(record: ImageRecord) -> list[bytes]:
    """The same bytes in a few chunks, one of which is the encoded image itself."""
    parts: list[bytes] = []
    for key, feature in _ORDERED:
        values = feature.values(record)
        if values or not feature.rare:
            add_entry(parts, key, feature.kind, values)
    return join_entries(parts)


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
    masks, parts = rare("image/object/mask", b""), rare("wordtree/object/parts", b"")
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
