"""Average precision at every node of a tree: truths and detections stand for all nodes above theirs.

A detection of "dog" for a terrier is a hit at "dog" and above, and says nothing at "terrier". AP is VOC 2010's area at
an overlap of a half; means are taken over the nodes of a depth.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from detector.metrics.columns import Found, Truths, by_image, pairwise_overlap
from detector.metrics.open_images import expand_truths
from detector.metrics.voc import class_curves
from wordtree.tree import WordTree


def expand_found(found: Found, tree: WordTree, *, iou: float = 0.45) -> Found:
    """Detections for each node above theirs, suppressed there: the best of each overlapping heap stays.

    For detections whose detector is not at hand: one that gives every node a score of its own is asked for it.
    """
    rows, levels = np.nonzero(tree.path_table()[found.klass] >= 0)
    nodes = tree.path_table()[found.klass[rows], levels].astype(np.int64)
    spread = replace(found.take(rows), klass=nodes).best_first()
    key = spread.image * len(tree) + spread.klass
    keep = [rows[_suppress(spread.take(rows), iou)] for rows, _ in by_image(key, key[:0])]
    return spread.take(np.sort(np.concatenate([np.zeros(0, np.int64), *keep])))


def _suppress(found: Found, iou: float) -> list[int]:
    overlaps = pairwise_overlap(found.box, found.box)
    kept: list[int] = []
    for row in range(len(found)):
        if not kept or overlaps[row, kept].max() <= iou:
            kept.append(row)
    return kept


def node_precision(truths: Truths, found: Found, tree: WordTree) -> dict[str, Any]:
    """AP of every node with a truth at or below it.

    Args:
        truths: classes are nodes; not expanded.
        found: classes are nodes; of every node that is looked at.
        tree: the tree.

    Returns:
        `AP50` mean over nodes, `by_depth` rows of depth, nodes, AP50, and `nodes`, node to AP50.
    """
    spread = expand_truths(truths, tree)
    nodes = np.unique(spread.klass[~spread.ignored]).tolist()
    curves = class_curves(spread, found, nodes)
    precision = {node: curve.area() for node, curve in curves.items() if curve is not None}
    by_depth: dict[int, list[float]] = {}
    for node, value in precision.items():
        by_depth.setdefault(int(tree.depth[node]), []).append(value)
    return {
        "AP50": float(np.mean(list(precision.values()))) if precision else None,
        "by_depth": [
            {"depth": depth, "nodes": len(values), "AP50": float(np.mean(values))}
            for depth, values in sorted(by_depth.items())
        ],
        "nodes": precision,
    }
