"""What training takes from a record: a twelfth of its keys, read without building the rest.

`schemas.tfexample.decode_record` gives the whole record, with flags, masks and provenance; a training run reads a
record a position, so here only what becomes a target is taken. The two agree (tests/detector/test_training_row.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from schemas.errors import FormatError
from schemas.example_message import Example
from schemas.tfexample import decode_record

_SIDES = tuple(f"image/object/bbox/{side}" for side in ("ymin", "xmin", "ymax", "xmax"))


class TrainingRow(NamedTuple):
    """One image with its targets.

    Attributes:
        encoded: the image file.
        height, width: its size in pixels.
        has_boxes: whether people looked for boxes.
        boxes: f64[N, 4] `rel_yxyx`.
        class_ids: of each box.
        ignored: whether a box is a crowd or a group, neither object nor background.
        label_ids: class id of each image label.
        present: +1 present, 0 verified absent, of each image label.
        confidence: of each image label.
    """

    encoded: bytes
    height: int
    width: int
    has_boxes: bool
    boxes: np.ndarray
    class_ids: Sequence[int]
    ignored: Sequence[bool]
    label_ids: Sequence[int]
    present: Sequence[int]
    confidence: Sequence[float]


def read_training_row(data: bytes) -> TrainingRow:
    """The row of a serialised tf.train.Example.

    Raises:
        FormatError: if the bytes are no Example of `wordtree convert`, or hold no encoded image.
    """
    example = Example()
    try:
        example.ParseFromString(data)
    except Exception:  # DecodeError lives in a private module in some protobuf versions
        decode_record(data)
        raise
    features = example.features.feature

    def values(key: str, kind: str) -> Any:
        if key not in features:
            decode_record(data)  # says what is missing
            raise FormatError(f"the record lacks {key!r}; written by `wordtree convert`?")
        return getattr(features[key], kind).value

    encoded = values("image/encoded", "bytes_list")
    if not encoded or not encoded[0]:
        name = b"".join(values("image/source_id", "bytes_list")[:1]).decode(errors="replace")
        raise FormatError(f"record {name!r} has no encoded image")
    class_ids = list(values("image/object/class/label", "int64_list"))
    label_ids = list(values("image/class/label", "int64_list"))
    boxes, ignored = np.zeros((0, 4)), []
    sides = [values(key, "float_list") for key in _SIDES]
    if class_ids or any(map(len, sides)):
        crowd, group = (values(f"wordtree/object/{name}", "int64_list") for name in ("is_crowd", "is_group_of"))
        ignored = [a > 0 or b > 0 for a, b in zip(crowd, group, strict=False)]
        if {len(crowd), len(group), *map(len, sides)} != {len(class_ids)}:
            decode_record(data)  # says which lists differ in length
        boxes = np.array(sides, np.float64).T
    present: Sequence[int] = ()
    confidence: Sequence[float] = ()
    if label_ids:
        present = list(values("wordtree/class/present", "int64_list"))
        confidence = list(values("wordtree/class/confidence", "float_list"))
        if not len(label_ids) == len(present) == len(confidence):
            decode_record(data)
    return TrainingRow(
        encoded=encoded[0],
        height=values("image/height", "int64_list")[0],
        width=values("image/width", "int64_list")[0],
        has_boxes=bool(values("wordtree/has_boxes", "int64_list")[0]),
        boxes=boxes,
        class_ids=class_ids,
        ignored=ignored,
        label_ids=label_ids,
        present=present,
        confidence=confidence,
    )
