"""The metric of the Open Images Challenge for detection, and that of Open Images V2 (a group weighs nothing).

1. Truths stand for all classes above them: boxes and present labels are copied to ancestors, absent ones to
   descendants (`expand`). Detections are taken as they are.
2. In each image only classes count that have a verified label or a box there; other detections are dropped.
3. Detections are matched with single boxes by VOC's rule. What is still false is compared with the boxes around
   groups: the group of which the largest part of the *detection* lies inside (at least a half). All detections of one
   group become one entry with the best of their scores and the weight of a group; with weight 0 they are dropped.
4. A group nobody found is as many misses as its weight. AP is VOC 2010's area.

Source: the published metric code (`object_detection/utils/object_detection_evaluation.py`, OpenImagesChallenge).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from detector.metrics.columns import Floats, Found, Ints, Pairs, Truths, by_image, pairwise_overlap, was_looked_for
from detector.metrics.evidence import Evidence
from detector.metrics.metric import Figure, Metric, Rows
from detector.metrics.precision import Curve, curves_by_class
from detector.metrics.voc import FALSE, HIT, IGNORED, class_keys, match_best
from wordtree.tree import WordTree


def expand_truths(truths: Truths, tree: WordTree) -> Truths:
    """Every box once for its node and each node above it; classes are nodes."""
    rows, levels = np.nonzero(tree.path_table()[truths.klass] >= 0)
    return replace(truths.take(rows), klass=tree.path_table()[truths.klass[rows], levels].astype(np.int64))


def expand_labels(labels: list[tuple[int, int, bool]], tree: WordTree) -> Pairs:
    """Which (image, node) have a verified label, from rows (image, node, present).

    What is present is so at every node above, what is absent at every node below.
    """
    verified: Pairs = set()
    for image, node, present in labels:
        more = tree.ancestors(node) if present else tree.descendants(node).tolist()
        verified.update((image, int(other)) for other in (node, *more))
    return verified


def class_curves(
    truths: Truths, found: Found, verified: Pairs, classes: list[int], *, group_weight: float = 1.0, iou: float = 0.5
) -> dict[int, Curve | None]:
    """The curve of each class, None for one without a truth that counts.

    Args:
        truths: expanded already; `group` boxes need not be `ignored`, other ignored ones are VOC's difficult ones.
        found: of all images.
        verified: (image, class) with an image label; those of boxes need not be in it.
        classes: the keys of the answer.
        group_weight: 1 in the Challenge, 0 in Open Images V2.
        iou: least overlap, and least part of a detection inside of a group.
    """
    single = truths.take(~truths.group)
    group = truths.take(truths.group)
    sound = (found.xywh[:, 2] > 0) & (found.xywh[:, 3] > 0)
    found = found.take(sound & was_looked_for(truths, found, verified)).best_first()
    keys, single_keys = class_keys(found, single)
    words = np.full(len(found), FALSE, np.int64)
    for rows, of_class in by_image(keys, single_keys):
        if len(of_class):
            overlaps = pairwise_overlap(found.box[rows], single.box[of_class])
            words[rows] = match_best(overlaps, single.ignored[of_class], iou)
    klass, score, credit = _groups(found, group, words, group_weight, iou)
    counts = words != IGNORED
    ignored = single.ignored
    positives = {c: 0.0 for c in classes}
    for column, weight in ((single.klass[~ignored], 1.0), (group.klass, group_weight)):
        for name, number in zip(*np.unique(column, return_counts=True), strict=True):
            if int(name) in positives:
                positives[int(name)] += weight * int(number)
    return curves_by_class(
        np.concatenate([found.klass[counts], klass]),
        np.concatenate([found.score[counts], score]),
        np.concatenate([(words[counts] == HIT).astype(np.float64), credit]),
        positives,
    )


def _groups(found: Found, group: Truths, words: Ints, weight: float, iou: float) -> tuple[Ints, Floats, Floats]:
    """Entries (class, score, credit) of groups that were found; their detections become IGNORED in `words`."""
    entries: list[tuple[int, float]] = []
    left = np.flatnonzero(words == FALSE)
    rest = found.take(left)
    for rows, of_class in by_image(*class_keys(rest, group)):
        if not len(of_class):
            continue
        inside = pairwise_overlap(rest.box[rows], group.box[of_class], over="first")
        best = inside.argmax(axis=1)
        within = inside[np.arange(len(rows)), best] >= iou
        words[left[rows[within]]] = IGNORED
        for number in np.unique(best[within]).tolist():
            score = float(rest.score[rows[within & (best == number)]].max())
            if weight > 0 and score > 0:
                entries.append((int(group.klass[of_class[number]]), score))
    return (
        np.array([klass for klass, _ in entries], np.int64),
        np.array([score for _, score in entries], np.float64),
        np.full(len(entries), float(weight)),
    )


def measure(evidence: Evidence, rows: Rows) -> dict[str, Any]:
    """See `Metric.measure`."""
    nodes = list(evidence.nodes.values())
    truths = expand_truths(evidence.truths_at_nodes, evidence.tree)
    truths = truths.take(np.isin(truths.klass, nodes))
    verified = expand_labels(evidence.labels, evidence.tree)
    curves = class_curves(truths, evidence.found_at_nodes, verified, sorted(set(nodes)))
    for row in rows:
        curve = curves[row["node"]]
        row["OpenImages"] = None if curve is None else curve.area()
    return {}


def _is_open_images(source: str) -> bool:
    """Elsewhere nobody verified image labels."""
    return source.startswith("open")


METRICS = (Metric("openimages", 3, (Figure("OpenImages", "Open Images"),), measure, fits=_is_open_images),)
