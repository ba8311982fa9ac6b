"""How right names are when classes form a tree, for boxes that lie on a truth, by the sums of `wordtree.metrics`.

A prediction below the truth is taken as the truth itself, since a label says nothing of what lies below it. "Nothing",
where even the best root was too unlikely, is -1.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from detector.metrics.calibration import calibration_by_depth
from detector.metrics.chains import Chains, cut_at_truth, stop
from detector.metrics.columns import Floats, Ints
from wordtree.metrics import (
    accuracy_by_depth,
    hierarchical_precision_recall,
    information,
    is_correct,
    lca_height,
    tree_distance,
)
from wordtree.tree import WordTree

THRESHOLDS = np.linspace(0, 1, 101)


def name_scores(truth: Ints, predicted: Ints, tree: WordTree) -> dict[str, Any]:
    """Of one prediction a row: shares, hierarchical precision, recall and F, distance, severity, accuracy by depth.

    Args:
        truth: i[R] nodes, R > 0.
        predicted: i[R] nodes, or -1.

    Returns:
        rows; `exact` share at the truth's node; `correct` share at or above it; `information` mean; hP, hR, hF;
        `distance` mean edges between both; `severity` mean height of the lowest common ancestor over those that are
        not correct, None if all are; `by_depth` rows of depth, rows, correct.
    """
    predicted = cut_at_truth(predicted, truth, tree)
    right = is_correct(truth, predicted, tree)
    f = hierarchical_precision_recall(truth, predicted, tree)
    shares, counts = accuracy_by_depth(truth, predicted, tree)
    wrong = ~right
    return {
        "rows": len(truth),
        "exact": float((truth == predicted).mean()),
        "correct": float(right.mean()),
        "information": float(information(predicted, tree).mean()),
        "hP": None if np.isnan(f.precision) else f.precision,
        "hR": f.recall,
        "hF": f.f,
        "distance": float(tree_distance(truth, predicted, tree).mean()),
        "severity": float(lca_height(truth[wrong], predicted[wrong], tree).mean()) if wrong.any() else None,
        "by_depth": [
            {"depth": depth, "rows": int(rows), "correct": float(share)}
            for depth, (share, rows) in enumerate(zip(shares, counts, strict=True))
            if rows
        ],
    }


def specificity_curve(chains: Chains, tree: WordTree) -> dict[str, Any]:
    """Correct against special, over the threshold of the walk.

    Returns:
        thresholds, information, correct: 101 numbers each; `area` under correct over information; `information_at_95`:
        the most information at which at least 95 % are correct, 0 if there is no such point.
    """
    told, right = [], []
    for threshold in THRESHOLDS:
        nodes = cut_at_truth(stop(chains, float(threshold)), chains.truth, tree)
        told.append(float(information(nodes, tree).mean()))
        right.append(float(is_correct(chains.truth, nodes, tree).mean()))
    good = [x for x, y in zip(told, right, strict=True) if y >= 0.95]
    return {
        "thresholds": [round(float(t), 4) for t in THRESHOLDS],
        "information": told,
        "correct": right,
        "area": area_under(np.array(told), np.array(right)),
        "information_at_95": max(good, default=0.0),
    }


def area_under(x: Floats, y: Floats) -> float:
    """Of steps' trapezoids after sorting by x; left of the first point y stays, beyond the last it is 0."""
    order = np.lexsort((-y, x))
    x, y = x[order], y[order]
    return float(x[0] * y[0] + (np.diff(x) * (y[1:] + y[:-1]) / 2).sum())


def chain_scores(chains: Chains, tree: WordTree, *, walk_threshold: float = 0.5) -> dict[str, Any] | None:
    """Everything above: of the walk at a threshold, of the walk to a leaf, the curve and the calibration.

    None without rows.
    """
    if not len(chains):
        return None
    return {
        "walk_threshold": walk_threshold,
        "walk": name_scores(chains.truth, stop(chains, walk_threshold), tree),
        "leaf": name_scores(chains.truth, stop(chains, -1.0), tree),
        "curve": specificity_curve(chains, tree),
        "calibration": calibration_by_depth(chains, tree),
    }
