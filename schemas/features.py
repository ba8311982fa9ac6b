"""The keys of a tf.train.Example that hold an `ImageRecord`, and how each is taken from it.

Keys are those of the TensorFlow Object Detection API, so its decoder and others read the shards; what has no key there
has one under `wordtree/`. Per-object lists are parallel. `image/object/class/label` is 1-based. Flags there are cast to
bool by readers, so an unknown flag is written as 0, and the exact three values (-1 unknown) under `wordtree/object/`.

FEATURES is the schema: encoding and decoding both follow it. Keys marked as rare are written only where there is
something to write, such as masks and captions; all others always.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import lru_cache
from operator import attrgetter
from typing import Any, NamedTuple

from schemas.boxes import Box
from schemas.masks import with_blanks
from schemas.record import BoxAnnotation, ImageLabel, ImageRecord, Keypoint

API_FLAG_KEYS = {
    "is_crowd": "image/object/is_crowd",
    "is_difficult": "image/object/difficult",
    "is_truncated": "image/object/truncated",
    "is_occluded": "image/object/occluded",
    "is_group_of": "image/object/group_of",
    "is_depiction": "image/object/depiction",
    "is_inside": "image/object/inside",
}
FLAGS = tuple(API_FLAG_KEYS)

# Fields that stand in an Example as they are, by key and kind of list: of the image, of its boxes, of its labels.
IMAGE_KEYS = {
    "format": ("image/format", "bytes"),
    "filename": ("image/filename", "bytes"),
    "image_id": ("image/source_id", "bytes"),
    "sha256": ("image/key/sha256", "bytes"),
    "height": ("image/height", "int64"),
    "width": ("image/width", "int64"),
    "source": ("wordtree/source", "bytes"),
    "uri": ("wordtree/uri", "bytes"),
    "provenance": ("wordtree/provenance", "bytes"),
}
BOX_KEYS = {
    "class_id": ("image/object/class/label", "int64"),
    "label": ("image/object/class/text", "bytes"),
    "view": ("image/object/view", "bytes"),
    "wnid": ("wordtree/object/wnid", "bytes"),
    "annotation_id": ("wordtree/object/id", "bytes"),
    "source": ("wordtree/object/source", "bytes"),
    "confidence": ("wordtree/object/confidence", "float"),
}
LABEL_KEYS = {
    "class_id": ("image/class/label", "int64"),
    "label": ("image/class/text", "bytes"),
    "wnid": ("wordtree/class/wnid", "bytes"),
    "confidence": ("wordtree/class/confidence", "float"),
    "source": ("wordtree/class/source", "bytes"),
}
RARE_BOX_KEYS = {"segmentation": "wordtree/object/segmentation", "extra": "wordtree/object/extra"}
MAP_KEYS = {
    "panoptic": "wordtree/panoptic/encoded",
    "class": "image/segmentation/class/encoded",
    "object": "image/segmentation/object/encoded",
}


class Columns:
    """What an Example is made of: the record, and its boxes and labels as columns, a tuple a field."""

    __slots__ = ("boxes", "labels", "record")

    def __init__(self, record: ImageRecord) -> None:
        self.record = record
        self.boxes = _columns(record.boxes, BoxAnnotation._fields)
        self.labels = _columns(record.labels, ImageLabel._fields)


def _columns(rows: Sequence[tuple[Any, ...]], names: tuple[str, ...]) -> dict[str, tuple[Any, ...]]:
    return dict(zip(names, zip(*rows, strict=True), strict=True)) if rows else dict.fromkeys(names, ())


class Feature(NamedTuple):
    """One key of the Example.

    Attributes:
        key: its name.
        kind: the list that it stores: "bytes", "float" or "int64".
        values: takes it from a record's columns.
        rare: whether the key is left out where `values` is empty.
    """

    key: str
    kind: str
    values: Callable[[Columns], Sequence[Any]]
    rare: bool = False


def _box(name: str) -> Callable[[Columns], Sequence[Any]]:
    return lambda c: c.boxes[name]


def _side(name: str) -> Callable[[Columns], Sequence[float]]:
    get = attrgetter(name)
    return lambda c: tuple(map(get, c.boxes["box"]))


_BOOL = {None: 0, False: 0, True: 1}
_TRISTATE = {None: -1, False: 0, True: 1}


@lru_cache(maxsize=4096)
def _flags(flags: tuple[bool | None, ...], three: bool) -> tuple[int, ...]:
    numbers = _TRISTATE if three else _BOOL
    return tuple(numbers[flag] for flag in flags)


def _flag_features() -> list[Feature]:
    features: list[Feature] = []
    for name in FLAGS:
        features.append(Feature(API_FLAG_KEYS[name], "int64", lambda c, n=name: _flags(c.boxes[n], False)))
        features.append(Feature(f"wordtree/object/{name}", "int64", lambda c, n=name: _flags(c.boxes[n], True)))
    return features


def _if_any(name: str) -> Callable[[Columns], Sequence[Any]]:
    """A value a box, or no values at all where all are empty."""

    def values(c: Columns) -> Sequence[Any]:
        column = c.boxes[name]
        return column if any(column) else ()

    return values


def _of_keypoints(get: Callable[[Keypoint], Any]) -> Callable[[Columns], Sequence[Any]]:
    return lambda c: [get(point) for points in c.boxes["keypoints"] for point in points]


def _keypoint_counts(c: Columns) -> Sequence[int]:
    points = c.boxes["keypoints"]
    return list(map(len, points)) if any(points) else ()


def _parts_json(c: Columns) -> Sequence[str]:
    if not any(c.boxes["parts"]):
        return ()
    rows = ([[part.name, *part.box] for part in parts] for parts in c.boxes["parts"])
    return [json.dumps(row, ensure_ascii=False) if row else "" for row in rows]


def _areas(c: Columns) -> Sequence[float]:
    return [-1.0 if area is None else area for area in c.boxes["area"]]


def _unless(value: Any, usual: Any) -> Sequence[Any]:
    return () if value == usual else (value,)


def _of_maps(c: Columns, kind: str) -> list[bytes]:
    return [found.encoded for found in c.record.maps if found.kind == kind]


FEATURES: tuple[Feature, ...] = (
    Feature("image/encoded", "bytes", lambda c: (c.record.encoded or b"",)),
    *(Feature(*key, lambda c, get=attrgetter(name): (get(c.record),)) for name, key in IMAGE_KEYS.items()),
    *(Feature(f"image/object/bbox/{side}", "float", _side(side)) for side in Box._fields),
    *(Feature(*key, _box(name)) for name, key in BOX_KEYS.items()),
    Feature("image/object/area", "float", _areas),
    *_flag_features(),
    *(Feature(*key, lambda c, n=name: c.labels[n]) for name, key in LABEL_KEYS.items()),
    Feature("image/class/confidence", "float", lambda c: [a.confidence * a.present for a in c.record.labels]),
    Feature("wordtree/class/present", "int64", lambda c: tuple(map(int, c.labels["present"]))),
    Feature("wordtree/class/verified", "int64", lambda c: _flags(c.labels["verified"], True)),
    Feature("wordtree/has_boxes", "int64", lambda c: (int(c.record.has_boxes),)),
    *(
        Feature(f"image/object/keypoint/{name}", kind, _of_keypoints(attrgetter(name)), rare=True)
        for name, kind in (("y", "float"), ("x", "float"), ("visibility", "int64"))
    ),
    Feature("image/object/keypoint/num", "int64", _keypoint_counts, rare=True),
    Feature("image/object/mask", "bytes", lambda c: with_blanks(c.boxes["mask"]), rare=True),
    Feature("wordtree/object/parts", "bytes", _parts_json, rare=True),
    *(Feature(key, "bytes", _if_any(name), rare=True) for name, key in RARE_BOX_KEYS.items()),
    Feature("image/caption", "bytes", lambda c: [caption.text for caption in c.record.captions], rare=True),
    Feature("wordtree/caption/id", "bytes", lambda c: [caption.caption_id for caption in c.record.captions], rare=True),
    *(Feature(key, "bytes", lambda c, kind=kind: _of_maps(c, kind), rare=True) for kind, key in MAP_KEYS.items()),
    Feature("image/not_exhaustive_category_ids", "int64", lambda c: c.record.not_exhaustive, rare=True),
    Feature("wordtree/orientation", "int64", lambda c: _unless(c.record.orientation, 1), rare=True),
    Feature("wordtree/rotation", "int64", lambda c: _unless(c.record.rotation, None), rare=True),
    Feature("wordtree/extra", "bytes", lambda c: _unless(c.record.extra, ""), rare=True),
)
