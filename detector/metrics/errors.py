"""What false detections are: thesis figure 1.4, after Hoiem et al. 2012.

Of each class the N best detections of the whole dataset are looked at, N being its number of truths. Each is

    correct       the right class, overlap at least 0.5
    localisation  the right class, overlap from 0.1 to 0.5, or a truth that a better detection took
    similar       else a truth of a similar class, overlap at least 0.1
    other         else a truth of any other class, overlap at least 0.1
    background    no truth of any class overlaps it by 0.1

A second detection of one truth is a matter of localisation, as in Hoiem's tool; the figure's caption does not speak of
it. Detections of ignored truths (crowds, difficult ones) are left out before the N best are taken. In a tree two
classes are similar if they share a node below the roots, or one is above the other.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from detector.metrics.columns import Bools, Found, Ints, Truths, by_image, pairwise_overlap
from detector.metrics.evidence import Evidence
from detector.metrics.groups import GROUPS
from detector.metrics.metric import Metric, Rows
from detector.metrics.voc import HIT, IGNORED, verdicts
from wordtree.metrics import lowest_common_ancestor, tree_distance
from wordtree.tree import WordTree

KINDS = ("correct", "localisation", "similar", "other", "background")
NEAR, RIGHT = 0.1, 0.5


def similar_nodes(nodes: list[int], tree: WordTree, *, distance: int | None = None) -> Bools:
    """bool[C, C]: which pairs of classes are similar; never a class and itself.

    Args:
        nodes: of the classes.
        tree: the tree.
        distance: take pairs with at most so many edges between them instead.
    """
    at = np.asarray(nodes, np.int64)
    if distance is not None:
        near = tree_distance(at[:, None], at[None], tree) <= distance
    else:
        common = lowest_common_ancestor(at[:, None], at[None], tree)
        shared = (common >= 0) & (tree.depth[np.maximum(common, 0)] > 0)
        near = shared | (common == at[:, None]) | (common == at[None])
    return near & (at[:, None] != at[None])


def kinds(truths: Truths, found: Found, similar: Bools, classes: list[int]) -> tuple[Ints, Ints]:
    """Which detections are looked at, as row numbers, and the kind of each as a number of `KINDS`.

    Args:
        truths, found: of all images and classes.
        similar: bool[C, C] in the order of `classes`.
        classes: whose detections are looked at.
    """
    words = verdicts(truths, found, iou=RIGHT)
    place = {klass: number for number, klass in enumerate(classes)}
    real = truths.take(~truths.ignored)
    rows = _best_of_each(found, words, real, place)
    chosen = found.take(rows)
    answer = np.full(len(rows), KINDS.index("background"), np.int64)
    spot = np.array([place.get(int(klass), -1) for klass in real.klass], np.int64)
    mine = np.array([place[int(klass)] for klass in chosen.klass], np.int64)
    for some, of_image in by_image(chosen.image, real.image):
        if not len(of_image):
            continue
        near = pairwise_overlap(chosen.box[some], real.box[of_image]) >= NEAR
        same = chosen.klass[some][:, None] == real.klass[of_image][None]
        theirs = spot[of_image][None]
        alike = (theirs >= 0) & similar[mine[some][:, None], np.maximum(theirs, 0)]
        for word, found_so in (("other", near), ("similar", near & alike), ("localisation", near & same)):
            answer[some[found_so.any(axis=1)]] = KINDS.index(word)
    answer[words[rows] == HIT] = KINDS.index("correct")
    return rows, answer


def _best_of_each(found: Found, words: Ints, real: Truths, place: dict[int, int]) -> Ints:
    """Rows of the N best detections of each class, N being its number of truths."""
    numbers, totals = np.unique(real.klass, return_counts=True)
    total = dict(zip(numbers.tolist(), totals.tolist(), strict=True))
    usable = np.flatnonzero(words != IGNORED)
    ranked = usable[np.argsort(-found.score[usable], kind="stable")]
    by_class = ranked[np.argsort(found.klass[ranked], kind="stable")]
    names, starts, sizes = np.unique(found.klass[by_class], return_index=True, return_counts=True)
    kept = [
        by_class[start : start + min(size, total.get(name, 0))]
        for name, start, size in zip(names.tolist(), starts.tolist(), sizes.tolist(), strict=True)
        if name in place
    ]
    return np.concatenate([np.zeros(0, np.int64), *kept])


def counts_by_class(rows: Ints, kind: Ints, found: Found, classes: list[int]) -> dict[int, dict[str, int]]:
    """Class to how many of its detections are of each kind."""
    klass = found.klass[rows]
    return {
        name: {word: int(((klass == name) & (kind == number)).sum()) for number, word in enumerate(KINDS)}
        for name in classes
    }


def measure(evidence: Evidence, rows: Rows) -> dict[str, Any]:
    """See `Metric.measure`."""
    similar = similar_nodes(list(evidence.nodes.values()), evidence.tree)
    looked, kind = kinds(evidence.truths, evidence.judged, similar, evidence.ids)
    counts = counts_by_class(looked, kind, evidence.judged, evidence.ids)
    totals: dict[str, dict[str, int]] = {group: {word: 0 for word in KINDS} for group in ("all", *GROUPS)}
    for row, klass in zip(rows, evidence.ids, strict=True):
        row["errors"] = counts[klass]
        for group in ("all", row["group"]):
            for word, number in counts[klass].items():
                totals[group][word] += number
    return {"errors": {group: words for group, words in totals.items() if any(words.values())}}


METRICS = (Metric("errors", 5, (), measure),)
