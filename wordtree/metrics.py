"""How good a prediction is when classes form a tree: NumPy, for thousands of rows at once.

A prediction may be right and vague ("dog" for a terrier), or special and nearly right ("hound" for a terrier); top-1
accuracy sees neither. All functions take nodes of one `WordTree`; -1 as a prediction means "nothing", the place above
all roots.

Sources: Kiritchenko et al. 2005 (hierarchical precision and recall); Deng et al. 2010, Bertinetto et al. 2020 (height
of the lowest common ancestor); Deng et al. 2012, Valmadre 2022 (accuracy against specificity).

Shape shorthand: N nodes, D largest depth; `...` any leading axes, T thresholds.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wordtree.probability import WalkRule, walk
from wordtree.tree import WordTree

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class PrecisionRecall:
    """Hierarchical precision, recall and F, each in [0, 1]; precision is nan if nothing was predicted at all."""

    precision: float
    recall: float
    f: float


@dataclass(frozen=True)
class AccuracySpecificity:
    """The curve of a tree walk over its threshold.

    Attributes:
        thresholds: f[T], ascending.
        information: f[T] mean of 1 - log(leaves below the prediction) / log(all leaves): 1 at leaves, 0 at "nothing".
        correct: f[T] share of predictions that are the truth or above it.
        area: under `correct` over `information`, from 0 to 1; left of the vaguest point predictions stay as correct
            as there, and beyond the most special one nothing is correct.
    """

    thresholds: FloatArray
    information: FloatArray
    correct: FloatArray
    area: float

    def information_at(self, correct: float = 0.95) -> float:
        """The most information at which at least this share is correct; 0 if there is no such point."""
        good = self.information[self.correct >= correct]
        return float(good.max()) if good.size else 0.0


def lowest_common_ancestor(a: ArrayLike, b: ArrayLike, tree: WordTree) -> IntArray:
    """The deepest node that is above or equal to both; -1 if they hang under different roots.

    Args:
        a, b: int[...] nodes, or -1; shapes broadcast.

    Returns:
        int64[...]

    Raises:
        ValueError: a node is outside the tree.
    """
    first, second = np.broadcast_arrays(_nodes(a, tree), _nodes(b, tree))
    depth = _common_depth(first, second, tree)
    return np.where(depth > 0, _paths(tree)[first, depth - 1], -1).astype(np.int64)


def tree_distance(a: ArrayLike, b: ArrayLike, tree: WordTree) -> IntArray:
    """Edges between two nodes, over a root above all roots: depth(a) + depth(b) - 2 depth(lca).

    Args:
        a, b: int[...] nodes, or -1 for that root.

    Returns:
        int64[...], at least 0; 0 only if they are the same; symmetric; the triangle inequality holds.
    """
    first, second = np.broadcast_arrays(_nodes(a, tree), _nodes(b, tree))
    levels = _levels(tree)
    return levels[first] + levels[second] - 2 * _common_depth(first, second, tree)


def lca_height(truth: ArrayLike, predicted: ArrayLike, tree: WordTree) -> IntArray:
    """How severe a mistake is: edges from the lowest common ancestor down to its deepest leaf.

    The lowest common ancestor of a node with itself is the node, so a right prediction of a leaf has height 0, and a
    right prediction of an inner node its own height.

    Returns:
        int64[...]; height of the whole forest if the two share no root.
    """
    return _heights(tree)[lowest_common_ancestor(truth, predicted, tree)]


def is_correct(truth: ArrayLike, predicted: ArrayLike, tree: WordTree) -> NDArray[np.bool_]:
    """bool[...]: the prediction is the truth or above it; "nothing" (-1) always is."""
    first, second = np.broadcast_arrays(_nodes(truth, tree), _nodes(predicted, tree))
    return _common_depth(first, second, tree) == _levels(tree)[second]


def hierarchical_precision_recall(truth: ArrayLike, predicted: ArrayLike, tree: WordTree) -> PrecisionRecall:
    """Micro-averaged hP, hR and hF over rows with one true and one predicted node each.

    A node stands for itself and all nodes above it. With A those of the truth and B those of the prediction,
    hP = sum |A ∩ B| / sum |B| and hR = sum |A ∩ B| / sum |A|; hF is their harmonic mean. Roots count: published trees
    have several, and which one is not for nothing.

    Args:
        truth: int[R] nodes.
        predicted: int[R] nodes, or -1.

    Raises:
        ValueError: no rows, or a node is outside the tree.
    """
    first, second = np.broadcast_arrays(_nodes(truth, tree, least=0), _nodes(predicted, tree))
    if not first.size:
        raise ValueError("found no rows; expected at least one")
    levels = _levels(tree)
    return _precision_recall(
        int(_common_depth(first, second, tree).sum()), int(levels[first].sum()), int(levels[second].sum())
    )


def hierarchical_precision_recall_of_sets(truth: ArrayLike, predicted: ArrayLike, tree: WordTree) -> PrecisionRecall:
    """The same for rows with any number of true and predicted nodes.

    Args:
        truth, predicted: bool[R, N].

    Raises:
        ValueError: shapes differ or do not end in N, or nothing is true.
    """
    a, b = (with_ancestors(marks, tree) for marks in (truth, predicted))
    if a.shape != b.shape or not a.any():
        raise ValueError(f"found shapes {a.shape} and {b.shape}; expected the same, with something true")
    return _precision_recall(int((a & b).sum()), int(a.sum()), int(b.sum()))


def with_ancestors(marks: ArrayLike, tree: WordTree) -> NDArray[np.bool_]:
    """bool[..., N]: the marked nodes and all nodes above them.

    Raises:
        ValueError: the last axis is not N.
    """
    found = np.array(marks, dtype=bool)
    if found.ndim == 0 or found.shape[-1] != len(tree):
        raise ValueError(f"found shape {found.shape}; expected the last axis to be the tree's {len(tree)} nodes")
    for group in range(tree.num_groups - 1, 0, -1):  # children come after their parents
        start = int(tree.group_start[group])
        below = found[..., start : start + int(tree.group_size[group])]
        found[..., int(tree.parent[start])] |= below.any(axis=-1)
    return found


def information(nodes: ArrayLike, tree: WordTree) -> FloatArray:
    """How special a prediction is: 1 - log(leaves below) / log(all leaves).

    Args:
        nodes: int[...] nodes, or -1.

    Returns:
        f64[...] in [0, 1]: 1 at a leaf, 0 at -1. Never below the parent's. All 1 if the tree has one leaf.
    """
    return _information(tree)[_nodes(nodes, tree)]


def accuracy_specificity_curve(
    path_probs: ArrayLike, truth: ArrayLike, tree: WordTree, thresholds: ArrayLike | None = None
) -> AccuracySpecificity:
    """How correct the tree walk is against how special, over its threshold.

    At threshold t the prediction is the deepest node reached by always taking the most probable child, as long as its
    absolute probability is above t; "nothing" if no root is. A larger threshold gives a vaguer prediction.

    Args:
        path_probs: f[R, N] absolute probabilities.
        truth: int[R] nodes.
        tree: the tree.
        thresholds: f[T]; 101 from 0 to 1 if left out.

    Raises:
        ValueError: shapes do not fit, or a node is outside the tree.
    """
    probs = np.asarray(path_probs)
    labels = _nodes(truth, tree, least=0)
    if probs.ndim != 2 or labels.shape != probs.shape[:1] or not labels.size:
        raise ValueError(f"found shapes {probs.shape} and {labels.shape}; expected [R, N] and [R] with R > 0")
    at = np.sort(np.linspace(0, 1, 101) if thresholds is None else np.asarray(thresholds, dtype=np.float64).reshape(-1))
    leaf = walk(probs, tree, -1.0)[0]
    path = _paths(tree)[leaf]
    on_path = np.where(path >= 0, np.take_along_axis(probs, np.maximum(path, 0), axis=-1), -np.inf)
    right = _common_depth(labels, leaf.astype(np.int64), tree)
    rows = np.arange(len(labels))
    special = np.concatenate([np.zeros((len(labels), 1)), np.where(path >= 0, _information(tree)[path], 0)], axis=-1)
    passed = np.logical_and.accumulate  # the walk stops at the first node that fails
    informations, corrects = np.empty(len(at)), np.empty(len(at))
    for number, threshold in enumerate(at):
        level = passed(on_path > threshold, axis=-1).sum(axis=-1)
        informations[number] = special[rows, level].mean()
        corrects[number] = (level <= right).mean()
    return AccuracySpecificity(at, informations, corrects, _area(informations, corrects))


def accuracy_by_depth(truth: ArrayLike, predicted: ArrayLike, tree: WordTree) -> tuple[FloatArray, IntArray]:
    """Share of rows that are right down to a depth, over rows whose truth is that deep.

    Args:
        truth: int[R] nodes.
        predicted: int[R] nodes, or -1; one that stops above a depth is not right there.

    Returns:
        f64[D+1] shares, nan where no truth is that deep, never growing while the rows stay the same; and int64[D+1],
        the rows counted.
    """
    first, second = np.broadcast_arrays(_nodes(truth, tree, least=0), _nodes(predicted, tree))
    depths = np.arange(tree.max_depth + 1)
    deep = tree.depth[first].reshape(-1, 1) >= depths
    right = _common_depth(first, second, tree).reshape(-1, 1) > depths
    rows = deep.sum(axis=0)
    shares = np.divide((deep & right).sum(axis=0), rows, out=np.full(len(depths), np.nan), where=rows > 0)
    return shares, rows.astype(np.int64)


def predict(path_probs: ArrayLike, tree: WordTree, threshold: float, *, rule: WalkRule = "thesis") -> IntArray:
    """The node of `walk`, but -1 where even the best root is not above the threshold ("nothing").

    Returns:
        int64[...]
    """
    nodes, _ = walk(path_probs, tree, threshold, rule=rule)
    best = np.asarray(path_probs)[..., : len(tree.roots())].max(axis=-1)
    return np.where(best > threshold, nodes, -1).astype(np.int64)


def _precision_recall(shared: int, true: int, predicted: int) -> PrecisionRecall:
    precision = shared / predicted if predicted else float("nan")
    return PrecisionRecall(precision, shared / true, 2 * shared / (true + predicted))


def _area(information: FloatArray, correct: FloatArray) -> float:
    """Under the steps' trapezoids, after sorting by information; see `AccuracySpecificity.area`."""
    order = np.lexsort((-correct, information))
    x, y = information[order], correct[order]
    return float(x[0] * y[0] + (np.diff(x) * (y[1:] + y[:-1]) / 2).sum())


def _common_depth(a: IntArray, b: IntArray, tree: WordTree) -> IntArray:
    """int64[...]: how many nodes from the root down two nodes share."""
    paths = _paths(tree)
    shared = np.zeros(a.shape, dtype=np.int64)
    for depth in range(tree.max_depth + 1):
        first = paths[a, depth]
        shared += (first == paths[b, depth]) & (first >= 0)
    return shared


@functools.lru_cache(maxsize=8)
def _paths(tree: WordTree) -> NDArray[np.int32]:
    """int32[N+1, D+1]: the path table with an empty path at the end, so that node -1 has one too."""
    return np.concatenate([tree.path_table(), np.full((1, tree.max_depth + 1), -1, dtype=np.int32)])


@functools.lru_cache(maxsize=8)
def _levels(tree: WordTree) -> IntArray:
    """int64[N+1]: nodes on the path, 0 for -1."""
    return np.append(tree.depth.astype(np.int64) + 1, 0)


@functools.lru_cache(maxsize=8)
def _heights(tree: WordTree) -> IntArray:
    """int64[N+1]: edges down to the deepest leaf; for -1 from a root above all roots."""
    heights = [0] * (len(tree) + 1)
    for node in range(len(tree) - 1, -1, -1):
        above = int(tree.parent[node])  # -1 is the last entry
        heights[above] = max(heights[above], heights[node] + 1)
    return np.array(heights, dtype=np.int64)


@functools.lru_cache(maxsize=8)
def _information(tree: WordTree) -> FloatArray:
    """f64[N+1]: see `information`."""
    leaves = np.append(tree.is_leaf, False).astype(np.int64)
    for node in range(len(tree) - 1, -1, -1):
        leaves[int(tree.parent[node])] += leaves[node]
    total = int(leaves[-1])
    return 1 - np.log(leaves) / np.log(total) if total > 1 else np.append(np.ones(len(tree)), 0.0)


def _nodes(values: ArrayLike, tree: WordTree, least: int = -1) -> IntArray:
    nodes = np.asarray(values)
    if nodes.dtype.kind not in "iu":
        raise ValueError(f"found nodes of type {nodes.dtype}; expected integers")
    if nodes.size and not (int(nodes.min()) >= least and int(nodes.max()) < len(tree)):
        raise ValueError(f"found nodes {nodes.min()}..{nodes.max()}; expected {least}..{len(tree) - 1}")
    return nodes.astype(np.int64)
