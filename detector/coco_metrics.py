"""Average precision by pycocotools, from plain records or from the official annotation file.

Nothing here computes AP: pycocotools does, and this file only feeds it and reads its arrays.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from detector.metrics.columns import Found
from schemas.boxes import box_to_coco_xywh
from schemas.record import BoxAnnotation, ImageRecord


class ClassAp(NamedTuple):
    """AP of one class: over IoU 0.5 to 0.95, at 0.5 and at 0.75; None where it has no truth."""

    ap: float | None
    ap50: float | None
    ap75: float | None


def ground_truth_from_records(records: Sequence[ImageRecord], class_ids: Sequence[int]) -> dict[str, Any]:
    """The records as a COCO instances dictionary; image i of the list gets id i + 1.

    Crowds and group-of boxes become `iscrowd`, difficult boxes too: they are neither hits nor misses.
    """
    annotations: list[dict[str, Any]] = []
    for number, record in enumerate(records, start=1):
        for box in record.boxes:
            x, y, w, h = box_to_coco_xywh(box.box, height=record.height, width=record.width)
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": box.class_id,
                    "bbox": [x, y, w, h],
                    "area": w * h if box.area is None else box.area,
                    "iscrowd": int(is_ignored(box)),
                    "is_group_of": bool(box.is_group_of),
                }
            )
    return {
        "images": [{"id": i, "height": r.height, "width": r.width} for i, r in enumerate(records, start=1)],
        "annotations": annotations,
        "categories": [{"id": class_id, "name": str(class_id)} for class_id in class_ids],
    }


def coco_results(found: Found, image_ids: Sequence[int]) -> list[dict[str, Any]]:
    """Detections as a COCO results list: image numbers become ids, corners x, y, w, h."""
    boxes = np.concatenate([found.box[:, :2], found.box[:, 2:] - found.box[:, :2]], axis=1).round(3).tolist()
    columns = zip(found.image.tolist(), found.klass.tolist(), boxes, found.score.tolist(), strict=True)
    return [
        {"image_id": image_ids[image], "category_id": klass, "bbox": box, "score": score}
        for image, klass, box, score in columns
    ]


def is_ignored(box: BoxAnnotation) -> bool:
    """Crowds, groups and difficult boxes are neither hits nor misses."""
    return bool(box.is_crowd or box.is_group_of or box.is_difficult)


def average_precision(
    truth: dict[str, Any], results: Sequence[dict[str, Any]], image_ids: Sequence[int], class_ids: Sequence[int]
) -> list[ClassAp]:
    """AP of each class, in the order of `class_ids`.

    Args:
        truth: a COCO instances dictionary.
        results: COCO results: image_id, category_id, bbox in pixels, score.
        image_ids: images that count.
        class_ids: classes that count.
    """
    with contextlib.redirect_stdout(io.StringIO()):
        gold: Any = COCO()
        gold.dataset = truth
        gold.createIndex()
        found: Any = gold.loadRes(list(results)) if results else COCO()
        if not results:
            found.dataset = {**truth, "annotations": []}
            found.createIndex()
        evaluation = COCOeval(gold, found, "bbox")
        evaluation.params.imgIds = sorted(image_ids)
        evaluation.params.catIds = list(class_ids)
        evaluation.params.areaRng, evaluation.params.areaRngLbl = [[0, 1e10]], ["all"]  # of the four only this is read
        evaluation.params.maxDets = [100]
        evaluation.evaluate()
        evaluation.accumulate()
    precision = evaluation.eval["precision"][:, :, :, 0, -1]  # IoU, recall, class
    classes = list(evaluation.params.catIds)
    return [_class_ap(precision[:, :, classes.index(class_id)], evaluation.params.iouThrs) for class_id in class_ids]


def _class_ap(precision: np.ndarray, ious: np.ndarray) -> ClassAp:
    def mean(values: np.ndarray) -> float | None:
        return float(values.mean()) if values.size and values.min() > -1 else None

    at = {round(float(iou), 2): row for iou, row in zip(ious, precision, strict=True)}
    return ClassAp(mean(precision), mean(at[0.5]), mean(at[0.75]))


def mean_or_none(values: Sequence[float | None]) -> float | None:
    """Mean of the values that are there; None if none is."""
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None
