"""Average precision of a run on a dataset; classes that were boxed in training and classes that never were, apart.

A class counts as boxed if the training data held a box of it, or of something below it in the tree; as never boxed if
it held image labels of it alone; classes with neither are a third group. Scores are P(object) P(node) at the node
of each class, as darknet's validation does with a fixed map from classes to nodes.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import tensorflow as tf

from detector.augment import letterbox, place_image, unplace_boxes
from detector.coco_metrics import ClassAp, average_precision, ground_truth_from_records, is_ignored, mean_or_none
from detector.dataset import Dataset
from detector.input import decode_image, first_line
from detector.nms import suppress_per_class
from detector.run import Run
from schemas.boxes import Box, box_to_coco_xywh
from schemas.errors import FormatError, InputError
from schemas.record import ImageRecord

Log = Callable[[str], None]
SCORE_THRESHOLD = 0.001
IOU_THRESHOLD = 0.45
DETECTIONS_PER_IMAGE = 100
GROUPS = {
    "boxed": "boxed in training",
    "unboxed": "never boxed, only labelled",
    "untrained": "not in the training data",
}


def evaluate(run: Run, dataset: Dataset, *, batch_size: int = 32, log: Log = print) -> dict[str, Any]:
    """Evaluate `run` on `dataset`: the summary and one row per class; see docs/formats.md for the keys.

    Raises:
        InputError: if the dataset has no boxes to compare with.
        TreeError: if the dataset does not fit the run's tree.
    """
    if not dataset.has_boxes:
        raise InputError(f"{dataset.path} has image labels alone; evaluation needs boxes")
    began = time.monotonic()
    class_nodes = dataset.nodes(run.tree)
    records, results = _detect_all(run, dataset, class_nodes, batch_size, log)
    truth, source = _truth(dataset, records)
    image_ids = [image["id"] for image in truth["images"]] if source == "records" else _official_ids(records)
    for result in results:
        result["image_id"] = image_ids[result["image_id"]]
    scores = average_precision(truth, results, image_ids, list(class_nodes))
    rows = [_class_row(run, dataset, k, scores[k], records) for k in range(len(class_nodes))]
    return {
        "run": str(run.path),
        "step": run.checkpoint.step,
        "dataset": Path(dataset.path).name,
        "images": len(records),
        "ground_truth": source,
        "summary": _summary(rows),
        "classes": rows,
        "seconds": round(time.monotonic() - began, 1),
    }


def _detect_all(
    run: Run, dataset: Dataset, class_nodes: dict[int, int], batch_size: int, log: Log
) -> tuple[list[ImageRecord], list[dict[str, Any]]]:
    """The records, without pixels, and COCO results whose image_id is the record's number."""
    nodes = tf.constant(list(class_nodes.values()), tf.int32)
    class_ids = list(class_nodes)
    score = tf.function(lambda images: run.detector.score_nodes(images, nodes), reduce_retracing=True)
    records: list[ImageRecord] = []
    results: list[dict[str, Any]] = []
    began = time.monotonic()
    for batch in _chunks(dataset, batch_size):
        images = tf.stack([canvas(record, run.experiment.model.input_size) for record in batch])
        boxes, scores = (tensor.numpy() for tensor in score(images))
        for record, box, rows in zip(batch, boxes, scores, strict=True):
            box = np.clip(unplace_boxes(box, letterbox(record.height, record.width)), 0, 1)
            kept, classes, values = suppress_per_class(
                box, rows, threshold=SCORE_THRESHOLD, iou_threshold=IOU_THRESHOLD, limit=DETECTIONS_PER_IMAGE
            )
            for corners, column, value in zip(kept, classes, values, strict=True):
                xywh = box_to_coco_xywh(Box(*map(float, corners)), height=record.height, width=record.width)
                results.append(
                    {
                        "image_id": len(records),
                        "category_id": class_ids[column],
                        "bbox": [round(v, 3) for v in xywh],
                        "score": float(value),
                    }
                )
            records.append(_without_pixels(record))
        seconds = time.monotonic() - began
        if len(records) % (10 * batch_size) < batch_size:
            log(f"evaluated {len(records)}/{len(dataset)} images, {len(records) / seconds:.0f} images/s")
    return records, results


def canvas(record: ImageRecord, size: int) -> tf.Tensor:
    """The record's image, letterboxed: f32[size, size, 3].

    Raises:
        FormatError: naming the image, if it cannot be decoded.
    """
    placement = tf.constant(np.array(letterbox(record.height, record.width), np.float32))
    try:
        image = decode_image(tf.constant(record.encoded or b""))
    except tf.errors.InvalidArgumentError as error:
        raise FormatError(f"image {record.image_id!r} ({record.uri}) cannot be decoded: {first_line(error)}") from error
    return place_image(image, placement, size)


def _chunks(dataset: Dataset, size: int) -> Iterator[list[ImageRecord]]:
    for start in range(0, len(dataset), size):
        yield [dataset.record(row) for row in range(start, min(start + size, len(dataset)))]


def _without_pixels(record: ImageRecord) -> ImageRecord:
    return record._replace(encoded=None)


def _truth(dataset: Dataset, records: list[ImageRecord]) -> tuple[dict[str, Any], str]:
    """The official annotation file where it still is what was converted (rule R9), else the records themselves."""
    files = dataset.manifest.source_files
    if dataset.manifest.source == "coco" and len(files) == 1:
        try:
            fs, name = fsspec.core.url_to_fs(files[0].path)
            data = fs.cat_file(name)
        except (OSError, ValueError):
            data = b""
        if hashlib.sha256(data).hexdigest() == files[0].sha256:
            truth = json.loads(data)
            wanted = set(_official_ids(records))
            truth["annotations"] = [
                {"iscrowd": 0, "area": a["bbox"][2] * a["bbox"][3], **a}
                for a in truth["annotations"]
                if a["image_id"] in wanted
            ]
            truth["images"] = [image for image in truth["images"] if image["id"] in wanted]
            return truth, files[0].path
    return ground_truth_from_records(records, [entry.id for entry in dataset.manifest.classes]), "records"


def _official_ids(records: list[ImageRecord]) -> list[int]:
    return [int(record.image_id) for record in records]


def _class_row(run: Run, dataset: Dataset, number: int, score: ClassAp, records: list[ImageRecord]) -> dict[str, Any]:
    entry = dataset.manifest.classes[number]
    node = run.tree.index(entry.wnid)
    below = [run.tree.names[k] for k in (node, *run.tree.descendants(node))]
    boxed = any(run.training_boxes.get(wnid, 0) for wnid in below)
    labelled = any(run.training_labels.get(wnid, 0) for wnid in below)
    return {
        "label": entry.label,
        "wnid": entry.wnid,
        "node": node,
        "path": run.tree.describe_path(node),
        "group": "boxed" if boxed else "unboxed" if labelled else "untrained",
        "boxed": boxed,
        "training_boxes": run.training_boxes.get(entry.wnid, 0),
        "training_labels": run.training_labels.get(entry.wnid, 0),
        "truths": sum(box.class_id == entry.id and not is_ignored(box) for r in records for box in r.boxes),
        "AP": score.ap,
        "AP50": score.ap50,
        "AP75": score.ap75,
    }


def _summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    groups = {group: [row for row in rows if row["group"] == group and row["AP50"] is not None] for group in GROUPS}
    return {
        "AP": mean_or_none([row["AP"] for row in rows]),
        "AP50": mean_or_none([row["AP50"] for row in rows]),
        "AP75": mean_or_none([row["AP75"] for row in rows]),
        "AP50_boxed": mean_or_none([row["AP50"] for row in groups["boxed"]]),
        "AP50_unboxed": mean_or_none([row["AP50"] for row in groups["unboxed"]]),
        **{f"classes_{group}": len(found) for group, found in groups.items()},
    }


def table(result: dict[str, Any]) -> str:
    """The result for people: classes with boxes, classes without, means."""

    def show(value: float | None) -> str:
        return "    -" if value is None else f"{value:5.3f}"

    head = f"{'class':48} {'AP50':>5} {'AP':>5}  {'truths':>6} {'boxes':>6} {'labels':>6}"
    lines = [f"{head}  (boxes, labels: in training; AP from 0 to 1)"]
    for group, title in GROUPS.items():
        rows = [row for row in result["classes"] if row["group"] == group]
        scored = [row for row in rows if row["AP50"] is not None]
        if not rows:
            continue
        count = f"{len(scored)} classes" if len(scored) == len(rows) else f"{len(scored)} of {len(rows)} classes"
        lines.append(f"{title + ', ' + count:48} {show(mean_or_none([row['AP50'] for row in scored]))}")
        lines.extend(
            f"  {row['label'][:46]:46} {show(row['AP50'])} {show(row['AP'])}  {row['truths']:6} "
            f"{row['training_boxes']:6} {row['training_labels']:6}"
            for row in sorted(scored, key=lambda row: -row["AP50"])
        )
        if len(scored) < len(rows):
            lines.append(f"  and {len(rows) - len(scored)} without truths here")
    return "\n".join(lines)
