"""The statements of duplicates, united on the image that stays: a pure decision (rule R10).

    labels of the image   come along from every member of the cluster, each with its source; one that is there already,
                          with the same class, presence, source and confidence, is rejected as `label:duplicate`
    boxes                 come along only from images with the same bytes, since a near duplicate may be cut or shifted;
                          one that covers a box of its class that is there already (IoU of 0.7 or more: two people
                          drew the same object) is rejected as `box:duplicate`

A row that comes along names the record that it was drawn in (`origin`), so that its mask is found.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from schemas.boxes import pairwise_iou

SAME_OBJECT_IOU = 0.7

Row = dict[str, Any]
Reject = Callable[[Row, str, str], None]


def unite(
    image_id: str, own: Sequence[Row], others: Iterable[tuple[bool, str, Sequence[Row]]], reject: Reject
) -> list[Row]:
    """The rows of the image that stays, boxes first.

    Args:
        image_id: of the image that stays.
        own: its rows in order.
        others: of each duplicate, in order: whether its bytes are the same, the origin of its rows, its rows.
        reject: told each row that is left out, a word and what was found.
    """
    boxes = [row for row in own if row["kind"] == "box"]
    labels = [row for row in own if row["kind"] == "label"]
    said = {_statement(row) for row in labels}
    for exact, origin, rows in others:
        there = _by_class(boxes)
        for row in rows:
            moved = {**row, "image_id": image_id, "origin": row["origin"] or origin}
            if row["kind"] == "label":
                if _statement(row) in said:
                    reject(row, "duplicate", "the image that stays says the same")
                    continue
                said.add(_statement(row))
                labels.append(moved)
            elif not exact:
                reject(row, "image_rejected", "image:near_duplicate")
            elif _is_drawn(row, there):
                reject(row, "duplicate", "the image that stays has this box")
            else:
                boxes.append(moved)
    return [*boxes, *labels]


def _statement(row: Row) -> tuple[Any, ...]:
    return row["class_id"], row["presence"], row["source"], row["confidence"], row["verified"]


def _by_class(boxes: Sequence[Row]) -> dict[int, np.ndarray]:
    sides: dict[int, list[list[float]]] = {}
    for row in boxes:
        sides.setdefault(row["class_id"], []).append(_sides(row))
    return {class_id: np.array(found) for class_id, found in sides.items()}


def _is_drawn(row: Row, there: dict[int, np.ndarray]) -> bool:
    same = there.get(row["class_id"])
    return same is not None and bool(pairwise_iou(np.array([_sides(row)]), same).max() >= SAME_OBJECT_IOU)


def _sides(row: Row) -> list[float]:
    return [row["ymin"], row["xmin"], row["ymax"], row["xmax"]]
