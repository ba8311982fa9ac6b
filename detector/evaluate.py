"""Figures of a run, or of a file of detections, on a dataset; classes boxed in training and never boxed ones apart.

A class counts as boxed if the training data held a box of it, or of something below it in the tree; as never boxed if
it held image labels of it alone; classes with neither are a third group. Scores are P(object) P(node) at the node
of each class, as darknet's validation does with a fixed map from classes to nodes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from detector.dataset import Dataset
from detector.measure import Training, measure
from detector.metrics import lvis
from detector.metrics.columns import Found, Ints
from detector.metrics.evidence import Evidence
from detector.metrics.metric import all_metrics
from detector.official import read_official
from detector.results import image_names, read_results
from detector.run import Run
from detector.truth import Truth, is_ignored, truth_of
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
    official: str = "",
) -> dict[str, Any]:
    """Evaluate `run` on `dataset`: the summary and one row per class; see docs/formats.md for the keys.

    Args:
        run: with detector, tree, experiment, checkpoint and the counts of its training data.
        dataset: with boxes.
        batch_size: images at a time.
        log: takes progress lines.
        metrics: of `all_metrics`; all that fit the dataset if left out.
        split: wnid to "seen", "unseen_near" or "unseen_far", instead of the counts of the training data.
        official: a COCO file that takes the place of the dataset's own boxes, if it proves to hold the same.

    Raises:
        InputError: if the dataset has no boxes to compare with.
        TreeError: if the dataset does not fit the run's tree.
        FormatError: if the official file differs from the dataset.
    """
    _check_boxes(dataset)
    from detector.scoring import DETECTIONS_PER_IMAGE, score_dataset

    began = time.monotonic()
    nodes = dataset.nodes(run.tree)
    truth = read_official(official, dataset, _records(dataset)).truth if official else None
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
        most=lvis.LIMIT if dataset.is_federated else DETECTIONS_PER_IMAGE,
        batch_size=batch_size,
        log=log,
    )
    ids = np.array(list(nodes), np.int64)
    evidence = Evidence(
        tree=run.tree,
        classes=dataset.manifest.classes,
        nodes=nodes,
        truth=truth or _truth(dataset, scored.records),
        labels=verified_labels(scored.records, nodes),
        found=_renamed(scored.found, ids),
        above=_renamed(scored.above, np.array(above, np.int64)) if tree_too else None,
        best=_renamed(scored.best, ids),
        proposals=scored.proposals,
        chains=scored.chains if scored.ranked_by == "objectness" else None,
    )
    training = Training(run.training_boxes, run.training_labels, split)
    facts = {"run": str(run.path), "step": run.checkpoint.step}
    return _result(facts, dataset, evidence, training, wanted, scored.ranked_by, official, began)


def evaluate_results(
    path: Path,
    dataset: Dataset,
    *,
    tree: WordTree | None = None,
    training: Training | None = None,
    categories: str = "",
    metrics: Collection[str] | None = None,
    official: str = "",
) -> dict[str, Any]:
    """The same for a file of COCO results, without a model.

    Args:
        path: JSON list of image_id, category_id, bbox (x, y, w, h in pixels) and score.
        dataset: with boxes.
        tree: the classes; a flat list of the dataset's own if left out.
        training: what decides the groups; without it all classes are in the third one.
        categories: whether category_id is the dataset's "class" id, what its "source" file calls the class, or a "node"
            of the tree; "": class, or source where that knows more of the file's entries.
        metrics: of `all_metrics`; all that fit the dataset if left out.
        official: as in `evaluate`; image ids and category ids of the results are then its own.

    Raises:
        InputError: the dataset has no boxes, or the file cannot be read.
        FormatError: the file holds no COCO results, none of its images or classes is in the dataset, or the official
            file differs from the dataset.
    """
    _check_boxes(dataset)
    began = time.monotonic()
    tree = flat_tree(dataset) if tree is None else tree
    nodes = _flat_nodes(dataset, tree)
    records = _records(dataset)
    names, own = image_names(records), {str(klass): klass for klass in nodes}
    meanings = {
        "class": own,
        "source": dataset.source_ids or own,
        "node": {str(node): klass for klass, node in reversed(nodes.items())},
    }
    if official:
        truth, images, meanings["source"] = read_official(official, dataset, records)
        names, used = names | images, categories or "source"
    else:
        truth, used = _truth(dataset, records), categories
    results = read_results(path, names, meanings["source"])
    known = {name: sum(text in ids for text in results.category) for name, ids in meanings.items()}
    used = used or ("source" if known["source"] > known["class"] else "class")
    found = results.found(meanings[used])
    if results.category and not known[used]:
        first = next(iter(meanings[used]), "none")
        expected = f"nodes from 0 to {len(tree) - 1}" if used == "node" else f"classes such as {first}"
        raise FormatError(
            f"--detections {path}: no category_id is known, the first is {results.category[0]}; expected {expected}: "
            f"is --categories {used} right?"
        )
    evidence = Evidence(
        tree=tree,
        classes=dataset.manifest.classes,
        nodes=nodes,
        truth=truth,
        labels=verified_labels(records, nodes),
        found=found,
    )
    facts = {"run": "", "detections": str(path), "step": None, "categories": used}
    training = Training({}, {}) if training is None else training
    wanted = default_metrics(dataset) if metrics is None else metrics
    result = _result(facts, dataset, evidence, training, wanted, "score", official, began)
    strangers = results.image.count(-1)
    result["left_out"] |= {"unknown_images": strangers, "unknown_classes": len(results.image) - strangers - len(found)}
    if not (categories or official) and meanings["source"] != own:
        result["categories_in_doubt"] = meanings["source"]
    return result


def _records(dataset: Dataset) -> list[ImageRecord]:
    """All records, without pixels."""
    return [dataset.record(row)._replace(encoded=None) for row in range(len(dataset))]


def _truth(dataset: Dataset, records: Sequence[ImageRecord]) -> Truth:
    from_coco = dataset.manifest.source == "coco"
    return truth_of(records, from_coco=from_coco, federated=dataset.is_federated)


def _result(
    facts: Mapping[str, Any],
    dataset: Dataset,
    evidence: Evidence,
    training: Training,
    wanted: Collection[str],
    ranked_by: str,
    official: str,
    began: float,
) -> dict[str, Any]:
    """What an evaluation says, in the order of its keys."""
    return {
        **facts,
        "dataset": Path(dataset.path).name,
        "images": len(evidence.truth.order),
        "ground_truth": official or "records",
        "ranked_by": ranked_by,
        "metrics": [name for name in all_metrics() if name in wanted],
        "left_out": {"not_looked_for": len(evidence.found) - len(evidence.judged)},
        **measure(evidence, training, wanted),
        "seconds": round(time.monotonic() - began, 1),
    }


def default_metrics(dataset: Dataset) -> tuple[str, ...]:
    """All that fit its source."""
    return tuple(key for key, metric in all_metrics().items() if metric.fits(dataset.manifest.source))


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


def check_metrics(text: str) -> tuple[str, ...]:
    """The names in `--metrics a,b`.

    Raises:
        ConfigError: one is unknown.
    """
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    known = all_metrics()
    if not names or any(name not in known for name in names):
        raise ConfigError(f"--metrics {text}: expected some of {', '.join(known)}")
    return names


def _check_boxes(dataset: Dataset) -> None:
    if not dataset.has_boxes:
        raise InputError(f"{dataset.path} has image labels alone; evaluation needs boxes")


def _renamed(found: Found, names: Ints) -> Found:
    """Positions in a list to what stands there."""
    return replace(found, klass=names[found.klass])
