"""What is true of a dataset, as columns: the boxes of its records, with the numbers that its COCO file would state.

The records are the truth, whatever file they came from: ids of our own, boxes of the image as it is stored, what was
rejected left out. pycocotools on the file that `wordtree to-coco` writes compares with the same boxes.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from detector.metrics.columns import Ints, Truths
from detector.metrics.lvis import Federated
from schemas.coco import DIGITS, IGNORED, Id, are_numbered, file_bbox, usual_id
from schemas.record import BoxAnnotation, ImageRecord


class Truth(NamedTuple):
    """The truth of a dataset; images are numbered as its records.

    Attributes:
        truths: the boxes.
        order: i64[I] place of each image among the ids of the dataset's COCO file: pycocotools takes images in that
            order, which decides between equal scores.
        federated: what was looked for in which image, as in LVIS; None where every class was, in every image.
    """

    truths: Truths
    order: Ints
    federated: Federated | None = None


def is_ignored(box: BoxAnnotation) -> bool:
    """Crowds, groups and difficult boxes are neither hits nor misses."""
    return any(getattr(box, flag) for flag in IGNORED)


def truth_of(records: Sequence[ImageRecord], *, from_coco: bool, federated: bool = False) -> Truth:
    """The truth of records.

    Args:
        records: of a whole dataset, in its order.
        from_coco: whether it was made from COCO's files, whose exact numbers stand in `extra`.
        federated: whether only some classes were looked for in each image.
    """
    rows = [
        (number, box.class_id, *_numbers(box, record, from_coco), is_ignored(box), bool(box.is_group_of))
        for number, record in enumerate(records)
        for box in record.boxes
    ]
    return Truth(columns(rows), _order(records, from_coco), looked_for(records) if federated else None)


def columns(rows: Sequence[tuple[int, int, Sequence[float], float, bool, bool]]) -> Truths:
    """Columns of rows (image, class, xywh, area, ignored, group)."""
    image, klass, xywh, area, ignored, group = zip(*rows, strict=True) if rows else ((),) * 6
    return Truths(
        np.array(image, np.int64),
        np.array(klass, np.int64),
        np.array(xywh, np.float64).reshape(-1, 4),
        np.array(area, np.float64),
        np.array(ignored, bool),
        np.array(group, bool),
    )


def looked_for(records: Sequence[ImageRecord]) -> Federated:
    """Which (image, class) are verified to be absent, and of which not every object has a box."""
    absent = {
        (number, label.class_id)
        for number, record in enumerate(records)
        for label in record.labels
        if not label.present and label.verified is not False
    }
    return Federated(absent, {(n, klass) for n, record in enumerate(records) for klass in record.not_exhaustive})


def rank(ids: Sequence[Id]) -> Ints:
    """i64[I] place of each id in the order in which pycocotools takes them: as numbers, or else as text."""
    as_numbers = all(isinstance(each, int | float) for each in ids)
    keys = ids if as_numbers else [str(each) for each in ids]
    places = np.empty(len(ids), np.int64)
    places[sorted(range(len(ids)), key=keys.__getitem__)] = np.arange(len(ids))
    return places


def is_number(value: Any) -> bool:
    """Whether JSON's value is a number; true and false are none."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def _numbers(box: BoxAnnotation, record: ImageRecord, from_coco: bool) -> tuple[Sequence[float], float]:
    """xywh and area of a box, as `wordtree to-coco` writes them."""
    extra = json.loads(box.extra) if box.extra and from_coco else {}
    xywh, changed = file_bbox(box.box, height=record.height, width=record.width, stated=extra.get("bbox") or ())
    area = box.area if changed and box.area is not None else extra.get("area", box.area)
    if not is_number(area):
        area = round(xywh[2] * xywh[3], DIGITS) if changed else xywh[2] * xywh[3]
    return xywh, float(min(max(area, -1e300), 1e300))  # JSON has whole numbers of any size


def _order(records: Sequence[ImageRecord], from_coco: bool) -> Ints:
    texts = [record.image_id for record in records]
    if are_numbered(texts, from_coco=from_coco):
        return np.arange(len(texts))
    stated = [json.loads(record.extra) if record.extra and from_coco else {} for record in records]
    return rank([extra.get("id", usual_id(text)) for extra, text in zip(stated, texts, strict=True)])
