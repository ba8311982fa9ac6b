"""From what is true and what was found on one dataset to figures: a row for each class, a summary, further tables.

Every metric is a file of `detector.metrics`; here they are asked, and their answers put side by side. Means over
classes are over those with a truth that counts.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from detector.metrics.evidence import Evidence
from detector.metrics.groups import GROUPS, SPLITS, check_split, group_of, split_of
from detector.metrics.metric import all_figures, all_metrics
from detector.metrics.precision import mean_or_none


@dataclass(frozen=True)
class Training:
    """How many boxes and image labels of each wnid the training data had, and a split that overrides both."""

    boxes: Mapping[str, int]
    labels: Mapping[str, int]
    split: Mapping[str, str] | None = None


def measure(evidence: Evidence, training: Training, metrics: Collection[str]) -> dict[str, Any]:
    """`summary`, `classes`, and for some metrics `tree`, `errors`.

    Raises:
        ConfigError: the split does not name every class.
    """
    rows = class_rows(evidence, training)
    tables: dict[str, Any] = {}
    for key, metric in all_metrics().items():
        if key in metrics:
            tables |= metric.measure(evidence, rows)
    return {"summary": summary(rows, tables), "classes": rows, **tables}


def class_rows(evidence: Evidence, training: Training) -> list[dict[str, Any]]:
    """One row for each class: what it is, what training had of it, and how many truths count."""
    if training.split is not None:
        check_split(training.split, [entry.wnid for entry in evidence.classes], "the dataset's classes")
    numbers, counts = np.unique(evidence.truths.klass[~evidence.truths.ignored], return_counts=True)
    truths = dict(zip(numbers.tolist(), counts.tolist(), strict=True))
    rows = []
    for entry in evidence.classes:
        node = evidence.nodes[entry.id]
        if training.split is None:
            split = split_of(node, training.boxes, evidence.tree)
            group = group_of(node, training.boxes, training.labels, evidence.tree)
        else:
            split = training.split[entry.wnid]
            group = "boxed" if split == "seen" else "unboxed"
        rows.append(
            {
                "label": entry.label,
                "wnid": entry.wnid,
                "node": node,
                "path": evidence.tree.describe_path(node),
                "group": group,
                "split": split,
                "boxed": group == "boxed",
                "training_boxes": training.boxes.get(entry.wnid, 0),
                "training_labels": training.labels.get(entry.wnid, 0),
                "truths": truths.get(entry.id, 0),
                **{figure.key: None for figure in all_figures() if figure.usual},
            }
        )
    return rows


def summary(rows: Sequence[Mapping[str, Any]], tables: Mapping[str, Any]) -> dict[str, Any]:
    """Means over classes: of all, of boxed and unboxed ones, and of unboxed ones near to and far from a boxed one."""
    scored = [row for row in rows if row["truths"]]
    parts = {
        **{group: [row for row in scored if row["group"] == group] for group in GROUPS},
        **{
            split.replace("unseen", "unboxed"): [r for r in scored if (r["group"], r["split"]) == ("unboxed", split)]
            for split in SPLITS[1:]
        },
    }
    figures = [figure for figure in all_figures() if figure.has_mean]
    told = [figure for figure in figures if figure.usual or any(figure.key in row for row in rows)]
    found: dict[str, Any] = {
        figure.summary_key: mean_or_none([row.get(figure.key) for row in scored]) for figure in told
    }
    for figure in told:
        for part, members in parts.items():
            if part != "untrained":
                found[f"{figure.summary_key}_{part}"] = mean_or_none([row.get(figure.key) for row in members])
    found |= {f"classes_{part}": len(members) for part, members in parts.items()}
    return found | _tree_summary(tables.get("tree"))


def _tree_summary(tree: Mapping[str, Any] | None) -> dict[str, Any]:
    if tree is None:
        return {}
    names = tree["names"].get("all")
    curve = None if names is None else names.get("curve")
    return {
        "node_AP50": tree["precision"]["AP50"],
        "hF": None if names is None else names["walk"]["hF"],
        "specificity_area": None if curve is None else curve["area"],
        "information_at_95": None if curve is None else curve["information_at_95"],
    }
