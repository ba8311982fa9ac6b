"""Figures of a run, or of a file of detections, on a dataset; classes boxed in training and never boxed ones apart.

A class counts as boxed if the training data held a box of it, or of something below it in the tree; as never boxed if
it held image labels of it alone; classes with neither are a third group. Scores are P(object) P(node) at the node
of each class, as darknet's validation does with a fixed map from classes to nodes.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

import fsspec
import numpy as np

from detector.coco_metrics import ground_truth_from_records, is_ignored
from detector.dataset import Dataset
from detector.measure import METRICS, Evidence, Training, measure
from detector.metrics.columns import Found, Ints, coco_found, coco_truths
from detector.run import Run
from schemas.errors import ConfigError, FormatError, InputError
from schemas.record import ImageRecord
from wordtree.tree import WordTree

Log = Callable[[str], None]


def evaluate(
    run: Run,
    dataset: Dataset,
    *,
    batch_size: int = 32,
    log: Log = print,
    metrics: Collection[str] | None = None,
    split: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Evaluate `run` on `dataset`: the summary and one row per class; see docs/formats.md for the keys.

    Args:
        run: with detector, tree, experiment, checkpoint and the counts of its training data.
        dataset: with boxes.
        batch_size: images at a time.
        log: takes progress lines.
        metrics: of `METRICS`; all that fit the dataset if left out.
        split: wnid to "seen", "unseen_near" or "unseen_far", instead of the counts of the training data.

    Raises:
        InputError: if the dataset has no boxes to compare with.
        TreeError: if the dataset does not fit the run's tree.
    """
    _check_boxes(dataset)
    from detector.scoring import score_dataset

    began = time.monotonic()
    nodes = dataset.nodes(run.tree)
    wanted = default_metrics(dataset) if metrics is None else metrics
    tree_too = "tree" in wanted
    above = nodes_above(list(nodes.values()), run.tree) if tree_too else []
    scored = score_dataset(
        run,
        dataset,
        list(nodes.values()),
        lambda box: None if is_ignored(box) else nodes.get(box.class_id),
        above=above,
        chains=tree_too,
        batch_size=batch_size,
        log=log,
    )
    truth, source, image_ids = truth_of(dataset, scored.records)
    ids = np.array(list(nodes), np.int64)
    evidence = Evidence(
        tree=run.tree,
        classes=dataset.manifest.classes,
        nodes=nodes,
        truth=truth,
        image_ids=image_ids,
        truths=coco_truths(truth, {image_id: number for number, image_id in enumerate(image_ids)}),
        labels=verified_labels(scored.records, nodes),
        found=_renamed(scored.found, ids),
        above=_renamed(scored.above, np.array(above, np.int64)) if tree_too else None,
        best=_renamed(scored.best, ids),
        proposals=scored.proposals,
        chains=scored.chains if scored.ranked_by == "objectness" else None,
    )
    measured = measure(evidence, Training(run.training_boxes, run.training_labels, split), wanted)
    return {
        "run": str(run.path),
        "step": run.checkpoint.step,
        "dataset": Path(dataset.path).name,
        "images": len(scored.records),
        "ground_truth": source,
        "ranked_by": scored.ranked_by,
        "metrics": [name for name in METRICS if name in wanted],
        **measured,
        "seconds": round(time.monotonic() - began, 1),
    }


def evaluate_results(
    path: Path,
    dataset: Dataset,
    *,
    tree: WordTree | None = None,
    training: Training | None = None,
    categories: str = "class",
    metrics: Collection[str] | None = None,
) -> dict[str, Any]:
    """The same for a file of COCO results, without a model.

    Args:
        path: JSON list of image_id, category_id, bbox (x, y, w, h in pixels) and score.
        dataset: with boxes.
        tree: the classes; a flat list of the dataset's own if left out.
        training: what decides the groups; without it all classes are in the third one.
        categories: whether category_id is the dataset's "class" id or a "node" of the tree.
        metrics: of `METRICS`; all that fit the dataset if left out.

    Raises:
        InputError: the dataset has no boxes, or the file cannot be read.
        FormatError: the file holds no COCO results, or speaks of images that the dataset does not have.
    """
    _check_boxes(dataset)
    began = time.monotonic()
    tree = flat_tree(dataset) if tree is None else tree
    nodes = _flat_nodes(dataset, tree)
    records = [dataset.record(row)._replace(encoded=None) for row in range(len(dataset))]
    truth, source, image_ids = truth_of(dataset, records)
    rows = read_results(path, image_names(records))
    found = coco_found(rows, {number: number for number in range(len(records))})
    allowed = range(len(tree)) if categories == "node" else nodes
    if rows and not np.isin(found.klass, list(allowed)).any():
        known = (
            f"nodes from 0 to {len(tree) - 1}" if categories == "node" else f"classes such as {next(iter(nodes), 0)}"
        )
        raise FormatError(
            f"--detections {path}: no category_id is known, the first is {rows[0]['category_id']}; expected "
            f"{known}: is --categories {categories} right?"
        )
    if categories == "node":
        places = {node: klass for klass, node in reversed(nodes.items())}
        found = found.take(np.isin(found.klass, list(places)))
        found = replace(found, klass=np.array([places[node] for node in found.klass.tolist()], np.int64))
    wanted = default_metrics(dataset) if metrics is None else metrics
    evidence = Evidence(
        tree=tree,
        classes=dataset.manifest.classes,
        nodes=nodes,
        truth=truth,
        image_ids=image_ids,
        truths=coco_truths(truth, {image_id: number for number, image_id in enumerate(image_ids)}),
        labels=verified_labels(records, nodes),
        found=found.take(np.isin(found.klass, list(nodes))),
    )
    return {
        "run": "",
        "detections": str(path),
        "step": None,
        "dataset": Path(dataset.path).name,
        "images": len(records),
        "ground_truth": source,
        "ranked_by": "score",
        "metrics": [name for name in METRICS if name in wanted],
        **measure(evidence, Training({}, {}) if training is None else training, wanted),
        "seconds": round(time.monotonic() - began, 1),
    }


def default_metrics(dataset: Dataset) -> tuple[str, ...]:
    """All, but Open Images' only for a dataset of its kind: elsewhere nobody verified image labels."""
    return tuple(name for name in METRICS if name != "openimages" or dataset.manifest.source.startswith("open"))


def nodes_above(nodes: list[int], tree: WordTree) -> list[int]:
    """Nodes above some of these that are none of them, ascending."""
    return sorted({above for node in nodes for above in tree.ancestors(node)} - set(nodes))


def verified_labels(records: list[ImageRecord], nodes: Mapping[int, int]) -> list[tuple[int, int, bool]]:
    """(image number, node, present) of image labels that are not said to be unverified."""
    return [
        (number, nodes[label.class_id], label.present)
        for number, record in enumerate(records)
        for label in record.labels
        if label.class_id in nodes and label.verified is not False
    ]


def truth_of(dataset: Dataset, records: list[ImageRecord]) -> tuple[dict[str, Any], str, list[int]]:
    """The official annotation file where it still is what was converted (rule R9), else the records themselves.

    Returns:
        a COCO instances dictionary; the file, or "records"; and the id of each record's image in it.
    """
    files = dataset.manifest.source_files
    if dataset.manifest.source == "coco" and len(files) == 1:
        try:
            fs, name = fsspec.core.url_to_fs(files[0].path)
            data = fs.cat_file(name)
        except (OSError, ValueError):
            data = b""
        if hashlib.sha256(data).hexdigest() == files[0].sha256:
            truth = json.loads(data)
            ids = [int(record.image_id) for record in records]
            wanted = set(ids)
            truth["annotations"] = [
                {"iscrowd": 0, "area": a["bbox"][2] * a["bbox"][3], **a}
                for a in truth["annotations"]
                if a["image_id"] in wanted
            ]
            truth["images"] = [image for image in truth["images"] if image["id"] in wanted]
            return truth, files[0].path, ids
    truth = ground_truth_from_records(records, [entry.id for entry in dataset.manifest.classes])
    return truth, "records", [image["id"] for image in truth["images"]]


def flat_tree(dataset: Dataset) -> WordTree:
    """The dataset's classes side by side, without anything above them."""
    names = {entry.wnid or f"class{entry.id}": entry.name for entry in dataset.manifest.classes}
    return WordTree(list(names), [-1] * len(names), list(names.values()))


def _flat_nodes(dataset: Dataset, tree: WordTree) -> dict[int, int]:
    if all(entry.wnid for entry in dataset.manifest.classes):
        digest = dataset.manifest.tree_digest
        if not digest or digest == tree.digest():
            return dataset.nodes(tree)
    return {entry.id: tree.index(entry.wnid or f"class{entry.id}") for entry in dataset.manifest.classes}


def image_names(records: list[ImageRecord]) -> dict[str, int]:
    """What a file of detections may call an image, to its number: the dataset's id, or the name of its file.

    A name that two images have is left out. Of a path, as `photos/img_7.jpg`, the last part counts.
    """
    names: dict[str, int] = {}
    twice: set[str] = set()
    for number, record in enumerate(records):
        name = PurePosixPath(record.filename).name
        if names.setdefault(name, number) != number:
            twice.add(name)
    for name in twice | {""}:
        names.pop(name, None)
    return names | {record.image_id: number for number, record in enumerate(records)}


def read_results(path: Path, numbers: Mapping[str, int]) -> list[dict[str, Any]]:
    """COCO results whose image_id is the image's number.

    Args:
        path: of the JSON file.
        numbers: image id or file name, as text, to number.

    Raises:
        InputError: it cannot be read.
        FormatError: it is no list of results, or an image is not in the dataset.
    """
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"--detections {path} cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise FormatError(f"--detections {path} is not JSON ({error}); expected a list of COCO results") from error
    if not isinstance(rows, list):
        raise FormatError(
            f"--detections {path} holds no list; expected COCO results: image_id, category_id, bbox, score"
        )
    found = []
    for place, row in enumerate(rows):
        try:
            if not isinstance(row["bbox"], list):
                raise TypeError(f"bbox {row['bbox']!r:.40}")
            box = [float(value) for value in row["bbox"]]
            score, klass, name = float(row["score"]), int(row["category_id"]), str(row["image_id"])
            name = name if name in numbers else PurePosixPath(name).name
            sound = len(box) == 4 and bool(np.isfinite([*box, score]).all()) and min(box[2:]) >= 0
            if klass != float(row["category_id"]) or not -(2**31) <= klass < 2**31:
                raise ValueError(f"category_id {row['category_id']!r:.40}")
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise FormatError(
                f"--detections {path}, entry {place}: {type(error).__name__} {error}; expected image_id, category_id, "
                "bbox (x, y, w, h) and score"
            ) from error
        if not sound:
            raise FormatError(
                f"--detections {path}, entry {place}: bbox {row['bbox']!r:.80}, score {row['score']!r:.40}; "
                "expected four numbers, width and height of at least 0, and a score"
            )
        if name not in numbers:
            known = next(iter(numbers), "none")
            raise FormatError(
                f"--detections {path}, entry {place}: image_id {name!r} is not in the dataset, which has {known!r} and "
                f"{len(numbers) - 1} more; give the dataset that was detected on"
            )
        found.append({"image_id": numbers[name], "category_id": klass, "bbox": box, "score": score})
    return found


def check_metrics(text: str) -> tuple[str, ...]:
    """The names in `--metrics a,b`.

    Raises:
        ConfigError: one is unknown.
    """
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    unknown = [name for name in names if name not in METRICS]
    if unknown or not names:
        raise ConfigError(f"--metrics {text}: expected some of {', '.join(METRICS)}")
    return names


def _check_boxes(dataset: Dataset) -> None:
    if not dataset.has_boxes:
        raise InputError(f"{dataset.path} has image labels alone; evaluation needs boxes")


def _renamed(found: Found, names: Ints) -> Found:
    """Positions in a list to what stands there."""
    return replace(found, klass=names[found.klass])
