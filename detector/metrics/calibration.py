"""Whether a probability means what it says: the expected calibration error, level by level down a tree.

Of the predictions at a level, sorted into equal bins of confidence, the error is the mean over predictions of the gap
between a bin's mean confidence and its share of right ones (Guo et al. 2017). A product of many softmaxes is
over-confident in a systematic way: each level's own softmax and the product down to it are told apart.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from detector.metrics.chains import Chains
from detector.metrics.columns import Bools, Floats
from wordtree.tree import WordTree

BINS = 15


class Calibration(NamedTuple):
    """Of one level: how many predictions, their mean confidence, the share that is right, and the expected error."""

    rows: int
    confidence: float
    correct: float
    error: float


def calibration(confidence: Floats, right: Bools, *, bins: int = BINS) -> Calibration | None:
    """Of f64[R] confidences in [0, 1] and bool[R]; None without rows. Bin k holds (k / bins, (k + 1) / bins]."""
    if not len(confidence):
        return None
    place = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    gaps = np.bincount(place, weights=confidence - right, minlength=bins)
    error = float(np.abs(gaps).sum() / len(confidence))
    return Calibration(len(confidence), float(confidence.mean()), float(right.mean()), error)


def calibration_by_depth(chains: Chains, tree: WordTree) -> list[dict[str, Any]]:
    """One row for each depth that some truth reaches: `product` and `conditional`, each a `Calibration` as a dict.

    `product`: the absolute probability of the chain's node, over truths at least so deep. `conditional`: the
    probability of that node among its siblings, over those of them whose chain is right one level above.
    """
    path = tree.path_table()[chains.truth]
    above_right = np.ones(len(chains), bool)
    above_prob = np.ones(len(chains))
    rows = []
    for depth in range(tree.max_depth + 1):
        deep = path[:, depth] >= 0
        right = deep & (chains.nodes[:, depth] == path[:, depth])
        prob = chains.probs[:, depth]
        product = calibration(prob[deep], right[deep])
        some = deep & above_right
        given = np.divide(prob, above_prob, out=np.zeros_like(prob), where=above_prob > 0)
        conditional = calibration(np.minimum(given[some], 1.0), right[some])
        if product is not None:
            own = None if conditional is None else conditional._asdict()
            rows.append({"depth": depth, "product": product._asdict(), "conditional": own})
        above_right, above_prob = right, prob
    return rows
