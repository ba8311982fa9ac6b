"""Figures of a classifier on whole images with labels: the best and the five best classes, and names in the tree.

As darknet scores it, the classes are the dataset's, by the absolute probability of their nodes, whatever lies above
and below them. An image with several present labels is right if one of them is among the best; images without a
present label are left out.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from detector.dataset import Dataset
from detector.infer.canvas import fit_of
from detector.metrics.chains import Chains, chains_of, join_chains
from detector.metrics.columns import Ints
from detector.metrics.groups import group_of
from detector.metrics.precision import mean_or_none
from detector.metrics.tree_scores import chain_scores
from detector.run import Run
from detector.scoring import batches
from schemas.errors import InputError
from schemas.record import ImageRecord

TINY = 1e-30
SECONDS_BETWEEN_LINES = 5.0


def evaluate_classes(run: Run, dataset: Dataset, *, batch_size: int = 32, log: Callable[[str], None]) -> dict[str, Any]:
    """The summary (`top1`, `top5`, shares of images) and one row per class, as `detector.evaluate.evaluate`.

    Raises:
        InputError: no image has a present label.
        TreeError: the dataset does not fit the run's tree.
    """
    began = last = time.monotonic()
    nodes = dataset.nodes(run.tree)
    columns = np.array(list(nodes.values()), np.int64)
    size, fit = run.experiment.model.canvas, fit_of(run.experiment.model)
    classify = tf.function(run.classifier.classify, input_signature=[tf.TensorSpec([None, *size, 3], tf.float32)])
    ranks: list[Ints] = []  # of each class among the dataset's, image by image
    present: list[list[int]] = []
    chains: list[Chains] = []
    for records, images, _ in batches(dataset, size, batch_size, fit):
        probs = np.asarray(classify(images), np.float64)
        truths = [_present(record, nodes) for record in records]
        order = np.argsort(-probs[:, columns], axis=1, kind="stable")
        ranks.extend(np.argsort(order, axis=1))
        present.extend(truths)
        rows = [row for row, some in enumerate(truths) for _ in some]
        true = np.array([nodes[klass] for some in truths for klass in some], np.int64)
        if rows:
            chains.append(chains_of(np.log(probs[rows] + TINY), true, run.tree, absolute=True))
        if (now := time.monotonic()) - last > SECONDS_BETWEEN_LINES:
            last = now
            log(f"classified {len(present)}/{len(dataset)} images, {len(present) / (now - began):.0f} images/s")
    labelled = [number for number, some in enumerate(present) if some]
    if not labelled:
        raise InputError(f"{dataset.path}: no image has a present label, so there is nothing to compare with")
    place = {klass: column for column, klass in enumerate(nodes)}
    best = np.array([min(int(ranks[k][place[klass]]) for klass in present[k]) for k in labelled])
    rows = _class_rows(run, dataset, ranks, present, place)
    names = chain_scores(join_chains(chains, run.tree), run.tree)
    return {
        "run": str(run.path),
        "step": run.checkpoint.step,
        "dataset": Path(dataset.path).name,
        "images": len(present),
        "metrics": ["classes"],
        "summary": {
            "top1": float((best < 1).mean()),
            "top5": float((best < 5).mean()),
            "top1_classes": mean_or_none([row["top1"] for row in rows]),
            "top5_classes": mean_or_none([row["top5"] for row in rows]),
            "hF": None if names is None else names["walk"]["hF"],
        },
        "classes": rows,
        "tree": {"names": {} if names is None else {"all": names}},
        "seconds": round(time.monotonic() - began, 1),
    }


def _present(record: ImageRecord, nodes: dict[int, int]) -> list[int]:
    """Class ids that the image holds: by its labels, else by its boxes."""
    said = [label.class_id for label in record.labels if label.present] or [box.class_id for box in record.boxes]
    return list(dict.fromkeys(klass for klass in said if klass in nodes))


def _class_rows(
    run: Run, dataset: Dataset, ranks: list[Ints], present: list[list[int]], place: dict[int, int]
) -> list[dict[str, Any]]:
    rows = []
    for entry in dataset.manifest.classes:
        node = run.tree.index(entry.wnid)
        column = place[entry.id]
        mine = np.array([ranks[k][column] for k, some in enumerate(present) if entry.id in some])
        group = group_of(node, run.training_boxes, run.training_labels, run.tree)
        rows.append(
            {
                "label": entry.label,
                "wnid": entry.wnid,
                "node": node,
                "path": run.tree.describe_path(node),
                "group": group,
                "boxed": group == "boxed",
                "training_boxes": run.training_boxes.get(entry.wnid, 0),
                "training_labels": run.training_labels.get(entry.wnid, 0),
                "truths": len(mine),
                "top1": float((mine < 1).mean()) if len(mine) else None,
                "top5": float((mine < 5).mean()) if len(mine) else None,
            }
        )
    return rows
