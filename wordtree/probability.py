"""The tree softmax in NumPy: the reference that the TensorFlow version is tested against.

One softmax per group of siblings gives P(node | parent); the absolute probability of a node is the product of these on
its path (YOLO9000, section 4, "Hierarchical classification"). Everything is in log space and keeps the input's float
type, so float64 gives a precise oracle.

Shape shorthand: N nodes, G groups, D largest depth; `...` any leading axes.
"""

from __future__ import annotations

import functools
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wordtree.tree import WordTree

FloatArray = NDArray[np.floating[Any]]
WalkRule = Literal["thesis", "darknet"]


def group_log_softmax(logits: ArrayLike, tree: WordTree) -> FloatArray:
    """Conditional log-probabilities: log P(n | parent(n)), a log-softmax inside each sibling group.

    Args:
        logits: f[..., N].

    Returns:
        f[..., N] in (-inf, 0]; each group logsumexps to 0. The same constant added to a group changes nothing.

    Raises:
        ValueError: the last axis is not N.
    """
    values = _nodes_last(logits, tree)
    flat = values.reshape(-1, len(tree))
    log_probs = np.empty_like(flat)
    for _, nodes in _groups_by_size(tree):
        block = flat[:, nodes]  # [rows, siblings, groups]
        block -= block.max(axis=1, keepdims=True)
        block -= np.log(np.exp(block).sum(axis=1, keepdims=True))
        log_probs[:, nodes] = block
    return log_probs.reshape(values.shape)


def path_log_probs(log_probs: ArrayLike, tree: WordTree) -> FloatArray:
    """Absolute log-probability of every node: log P(node) = sum of log P(n | parent(n)) on its path.

    Args:
        log_probs: f[..., N] conditional log-probabilities, from `group_log_softmax`.

    Returns:
        f[..., N] in (-inf, 0]. Never above the parent's; exp over leaves sums to 1.

    Raises:
        ValueError: the last axis is not N.
    """
    total = _nodes_last(log_probs, tree).copy()
    nodes = np.arange(len(tree))
    for depth in range(1, tree.max_depth + 1):
        here = nodes[tree.depth == depth]
        total[..., here] += total[..., tree.parent[here]]
    return total


def tree_cross_entropy(logits: ArrayLike, node: ArrayLike, tree: WordTree) -> FloatArray:
    """-log P(node): the sum of ordinary cross-entropies over the groups on the path of `node`.

    A label at an inner node says nothing about the groups below it (YOLO9000, section 4).

    Args:
        logits: f[..., N].
        node: int[...], the labels; leading axes as those of `logits`.

    Returns:
        f[...], at least 0.

    Raises:
        ValueError: shapes do not fit, or a node is outside the tree.
    """
    values = _nodes_last(logits, tree)
    nodes = _check_nodes(node, values, tree)
    absolute = path_log_probs(group_log_softmax(values, tree), tree)
    return -np.take_along_axis(absolute, nodes[..., None], axis=-1)[..., 0]


def tree_cross_entropy_grad(logits: ArrayLike, node: ArrayLike, tree: WordTree) -> FloatArray:
    """Gradient of `tree_cross_entropy` for the logits: softmax - one-hot in the groups on the path, 0 elsewhere.

    Args:
        logits: f[..., N].
        node: int[...], the labels.

    Returns:
        f[..., N]; sums to 0 in every group.

    Raises:
        ValueError: as `tree_cross_entropy`.
    """
    values = _nodes_last(logits, tree)
    nodes = _check_nodes(node, values, tree)
    grad = np.exp(group_log_softmax(values, tree))
    flat_grad = grad.reshape(-1, len(tree))
    path = tree.path_table()[nodes.reshape(-1)]
    rows, steps = np.nonzero(path >= 0)
    on_path = path[rows, steps]
    supervised = np.zeros((len(flat_grad), tree.num_groups), dtype=bool)
    supervised[rows, tree.group[on_path]] = True
    flat_grad *= supervised[:, tree.group]
    flat_grad[rows, on_path] -= 1
    return flat_grad.reshape(values.shape)


def walk(
    path_probs: ArrayLike, tree: WordTree, threshold: float, *, rule: WalkRule = "thesis"
) -> tuple[NDArray[np.int32], FloatArray]:
    """Walk down from the roots to the most special node that is still probable enough.

    At every split the child with the highest probability is taken (the first of equals) as long as the criterion is
    above `threshold`. From the roots the walk always goes to the best one, whatever its probability.

    The rules differ in the criterion:

    * `thesis`: the child's absolute probability (YOLO9000, section 4: "until we reach some threshold").
    * `darknet`: `hierarchy_top_prediction` is given absolute probabilities but multiplies them along the path all the
      same, so the i-th level counts many times: the walk stops earlier.

    Args:
        path_probs: f[..., N] absolute probabilities: exp of `path_log_probs`.
        threshold: 0 walks to a leaf; 0.5 is darknet's default.

    Returns:
        The node reached, int32[...], and its entry in `path_probs`, f[...].

    Raises:
        ValueError: the last axis is not N, or the rule is unknown.
    """
    if rule not in ("thesis", "darknet"):
        raise ValueError(f"rule is {rule!r}; expected 'thesis' or 'darknet'")
    probs = _nodes_last(path_probs, tree)
    flat = probs.reshape(-1, len(tree))
    best = _best_of_groups(flat, tree)
    rows = np.arange(len(flat))
    at = best[:, 0]
    product = flat[rows, at]
    going = product > threshold
    for _ in range(tree.max_depth):
        group = tree.child_group[at]
        child = best[rows, group]
        criterion = flat[rows, child] * product if rule == "darknet" else flat[rows, child]
        going = going & (group >= 0) & (criterion > threshold)
        if not going.any():
            break
        at = np.where(going, child, at)
        product = np.where(going, criterion, product)
    shape = probs.shape[:-1]
    return at.astype(np.int32).reshape(shape), flat[rows, at].reshape(shape)


def _best_of_groups(probs: FloatArray, tree: WordTree) -> NDArray[np.intp]:
    """[rows, G]: the first node with the highest value of every group."""
    best = np.empty((len(probs), tree.num_groups), dtype=np.intp)
    for groups, nodes in _groups_by_size(tree):
        best[:, groups] = nodes[0] + probs[:, nodes].argmax(axis=1)
    return best


@functools.lru_cache(maxsize=8)
def _groups_by_size(tree: WordTree) -> tuple[tuple[NDArray[np.intp], NDArray[np.intp]], ...]:
    """For each size of a group: the groups of this size [groups], and their nodes [siblings, groups].

    So that all of them are worked on at once; there are few sizes.
    """
    found: list[tuple[NDArray[np.intp], NDArray[np.intp]]] = []
    for size in np.unique(tree.group_size).tolist():
        groups = np.flatnonzero(tree.group_size == size)
        found.append((groups, tree.group_start[groups].astype(np.intp) + np.arange(size)[:, None]))
    return tuple(found)


def _nodes_last(values: ArrayLike, tree: WordTree) -> FloatArray:
    array = np.asarray(values)
    if array.dtype.kind != "f":
        array = array.astype(np.float64)
    if array.ndim == 0 or array.shape[-1] != len(tree):
        raise ValueError(f"found shape {array.shape}; expected the last axis to be the tree's {len(tree)} nodes")
    return array


def _check_nodes(node: ArrayLike, values: FloatArray, tree: WordTree) -> NDArray[np.intp]:
    nodes = np.asarray(node)
    if nodes.dtype.kind not in "iu" or nodes.shape != values.shape[:-1]:
        raise ValueError(f"found nodes {nodes.dtype}{nodes.shape}; expected integers of shape {values.shape[:-1]}")
    if nodes.size and not (int(nodes.min()) >= 0 and int(nodes.max()) < len(tree)):
        raise ValueError(f"found nodes {nodes.min()}..{nodes.max()}; expected 0..{len(tree) - 1}")
    return nodes.astype(np.intp)
