"""The walk down a tree without a threshold, kept as a chain: the best root, its best child, and so on to a leaf.

At threshold t the walk of the thesis stops at the deepest node of the chain whose absolute probability is above t, so
a chain answers for every threshold at once: D numbers a box instead of N.

Shape shorthand: R boxes, N nodes, D levels (greatest depth + 1), G nodes of the largest sibling group.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detector.metrics.columns import Columns, Floats, Ints
from wordtree.tree import WordTree

FloatArray = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Chains(Columns):
    """Chains of boxes, each beside the node that is true for it.

    Attributes:
        truth: i64[R] nodes.
        nodes: i64[R, D], -1 below the leaf.
        probs: f64[R, D] absolute probabilities, 0 below the leaf.
    """

    truth: Ints
    nodes: Ints
    probs: Floats


def chains_of(log_probs: FloatArray, truth: Ints, tree: WordTree, *, absolute: bool = False) -> Chains:
    """Follow the best child from the roots to a leaf; of equals the first.

    Args:
        log_probs: f[R, N] log-probabilities of every node.
        truth: i[R] nodes.
        tree: the tree.
        absolute: they are of the node itself, not of the node given its parent.
    """
    rows, levels = len(log_probs), tree.max_depth + 1
    nodes = np.full((rows, levels), -1, np.int64)
    logs = np.full((rows, levels), -np.inf)
    group = np.zeros(rows, np.int64)
    alive = np.arange(rows)
    total = np.zeros(rows)
    reach = np.arange(int(tree.group_size.max()))
    for level in range(levels):
        start, size = tree.group_start[group[alive]], tree.group_size[group[alive]]
        inside = reach < size[:, None]
        members = np.where(inside, start[:, None] + reach, 0)
        values = np.where(inside, log_probs[alive[:, None], members], -np.inf)
        best = values.argmax(axis=1)
        nodes[alive, level] = start + best
        here = values[np.arange(len(alive)), best]
        total[alive] = here if absolute else total[alive] + here
        logs[alive, level] = total[alive]
        group[alive] = tree.child_group[nodes[alive, level]]
        alive = alive[group[alive] >= 0]
        if not len(alive):
            break
    return Chains(np.asarray(truth, np.int64), nodes, np.exp(logs))


def join_chains(parts: list[Chains], tree: WordTree) -> Chains:
    """Chains of several batches as one."""
    empty = Chains(
        np.zeros(0, np.int64), np.zeros((0, tree.max_depth + 1), np.int64), np.zeros((0, tree.max_depth + 1))
    )
    return Chains.join([empty, *parts])


def stop(chains: Chains, threshold: float) -> Ints:
    """i64[R]: where the walk stops at this threshold; -1, "nothing", where even the best root is not above it."""
    level = np.logical_and.accumulate((chains.probs > threshold) & (chains.nodes >= 0), axis=1).sum(axis=1)
    padded = np.concatenate([np.full((len(chains), 1), -1, np.int64), chains.nodes], axis=1)
    return padded[np.arange(len(chains)), level]


def cut_at_truth(nodes: Ints, truth: Ints, tree: WordTree) -> Ints:
    """Predictions below the truth become the truth itself: a label says nothing of what lies below it."""
    path = tree.path_table()[np.maximum(nodes, 0)]
    below = (nodes >= 0) & (path[np.arange(len(nodes)), tree.depth[truth]] == truth)
    return np.where(below, truth, nodes)
