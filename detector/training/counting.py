"""How often the training data says each class: what "boxed class" means later, and what is worth a warning before.

The numbers come from the annotation tables, by columns; a dataset without one has its records read.
"""

from __future__ import annotations

import posixpath
from collections import Counter
from collections.abc import Sequence
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq

from detector.dataset import Dataset
from schemas.errors import FormatError

SHOWN = 3


def count_training_nodes(datasets: Sequence[Dataset]) -> dict[str, Any]:
    """How many boxes (no crowds) and how many present image labels each wnid has, and the sets.

    Returns:
        `boxes` and `labels`, wnid to count, and `datasets`: path, images, has_boxes.

    Raises:
        FormatError: if an annotation table is damaged.
    """
    boxes: Counter[str] = Counter()
    labels: Counter[str] = Counter()
    for dataset in datasets:
        of_boxes, of_labels = _class_counts(dataset)
        for total, found in ((boxes, of_boxes), (labels, of_labels)):
            for class_id, number in found.items():
                total[dataset.wnids[class_id]] += number
    sets = [{"path": d.path, "images": len(d), "has_boxes": d.has_boxes} for d in datasets]
    return {"boxes": dict(sorted(boxes.items())), "labels": dict(sorted(labels.items())), "datasets": sets}


def data_warnings(datasets: Sequence[Dataset]) -> list[str]:
    """What looks wrong with the training data and yet can be trained on; one line each."""
    lines = []
    for dataset in datasets:
        boxes, labels = _class_counts(dataset)
        if dataset.has_boxes and not sum(boxes.values()):
            lines.append(f"{dataset.path} is a boxed set without a single box: it teaches that there is nothing")
            continue
        if not dataset.has_boxes and not sum(labels.values()):
            lines.append(f"{dataset.path} has no image label: it teaches nothing")
            continue
        said = boxes if dataset.has_boxes else labels
        silent = [entry.label for entry in dataset.manifest.classes if not said[entry.id]]
        if silent:
            more = f" and {len(silent) - SHOWN} more" if len(silent) > SHOWN else ""
            kind = "box" if dataset.has_boxes else "image"
            lines.append(
                f"{dataset.path}: no {kind} of {len(silent)} of its {len(dataset.manifest.classes)} classes "
                f"({', '.join(silent[:SHOWN])}{more})"
            )
    return lines


def _class_counts(dataset: Dataset) -> tuple[Counter[int], Counter[int]]:
    """Boxes that are no crowds, and present labels, by class id."""
    path = posixpath.join(dataset.path, f"{dataset.manifest.split}.annotations.parquet")
    fs, name = fsspec.core.url_to_fs(path)
    if not fs.exists(name):
        return _counts_of_records(dataset)
    boxes: Counter[int] = Counter()
    labels: Counter[int] = Counter()
    keys = ["kind", "class_id", "presence", "is_crowd"]
    try:
        with fs.open(name, "rb") as file:
            for batch in pq.ParquetFile(file).iter_batches(columns=keys):
                grouped = pa.Table.from_batches([batch]).group_by(keys).aggregate([([], "count_all")])
                for row in grouped.to_pylist():
                    if row["kind"] == "box" and not row["is_crowd"]:
                        boxes[row["class_id"]] += row["count_all"]
                    elif row["kind"] == "label" and row["presence"]:
                        labels[row["class_id"]] += row["count_all"]
    except (OSError, ValueError, KeyError) as error:
        raise FormatError(f"{path}: cannot be read ({error}); convert the dataset again") from error
    return boxes, labels


def _counts_of_records(dataset: Dataset) -> tuple[Counter[int], Counter[int]]:
    boxes: Counter[int] = Counter()
    labels: Counter[int] = Counter()
    for row in range(len(dataset)):
        record = dataset.record(row)
        boxes.update(box.class_id for box in record.boxes if not box.is_crowd)
        labels.update(label.class_id for label in record.labels if label.present)
    return boxes, labels
