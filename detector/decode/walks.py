"""What a box is called, for many boxes at a time.

Input is the conditional log-probability of every node in every box that is looked at; `wordtree.probability` holds the
same rules as slow loops.

- `descend`, rule "thesis" (YOLO9000, section 4): from the best root down to the best child, while the absolute
  probability of that child is above the threshold.
- `descend`, rule "darknet" (`hierarchy_top_prediction`): it is handed absolute probabilities and multiplies them along
  the path all the same, so a level counts again at each step below it and the walk stops earlier.
- `best_of`: the most probable nodes of a fixed list: the classes of a benchmark, or all leaves.

Shape shorthand: R boxes, N nodes, L nodes of a list, I inner nodes above them, T names for a box.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from detector.decode.tables import WalkTables

NEVER = -np.inf


def descend(
    conditional: tf.Tensor, tables: WalkTables, threshold: float, *, rule: Literal["thesis", "darknet"] = "thesis"
) -> tuple[tf.Tensor, tf.Tensor]:
    """Walk down from the roots. The best root is the answer even below the threshold, so every box has a name.

    Reads one sibling group a box and level, and stops when no box goes on. Of equal siblings the first is taken.

    Args:
        conditional: f32[R, N] log P(node | parent).
        tables: of the tree.
        threshold: in [0, 1]; 0 walks to a leaf.
        rule: what is compared with the threshold.

    Returns:
        nodes i32[R] and their absolute log-probabilities f32[R].
    """
    least = tf.constant(np.log(threshold) if threshold > 0 else NEVER, tf.float32)
    child_group, starts, sizes = tf.constant(tables.child_group), tf.constant(tables.group_start), tables.group_size
    sizes_tensor = tf.constant(sizes)

    def best_sibling(group: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        start, size = tf.gather(starts, group), tf.gather(sizes_tensor, group)
        column = tf.range(tf.reduce_max(tf.concat([size, [1]], axis=0)))[None]
        there = column < size[:, None]
        values = tf.gather(conditional, tf.where(there, start[:, None] + column, 0), batch_dims=1)
        values = tf.where(there, values, NEVER)
        best = tf.argmax(values, axis=1, output_type=tf.int32)
        return start + best, tf.gather(values, best, batch_dims=1)

    def step(
        at: tf.Tensor, log_prob: tf.Tensor, measure: tf.Tensor, going: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
        """One level down for the boxes that still go."""
        group = tf.gather(child_group, at)
        going &= group >= 0
        child, value = best_sibling(tf.where(going, group, 0))
        absolute = log_prob + value
        level = absolute + measure if rule == "darknet" else absolute
        going &= level > least
        return (
            tf.where(going, child, at),
            tf.where(going, absolute, log_prob),
            tf.where(going, level, measure),
            going,
        )

    root, value = best_sibling(tf.zeros(tf.shape(conditional)[:1], tf.int32))
    state = (root, value, value, value > least)
    node, log_prob, _, _ = tf.while_loop(lambda *state: tf.reduce_any(state[3]), step, state)
    return node, log_prob


def best_of(
    conditional: tf.Tensor, tables: WalkTables, nodes: NDArray[np.integer[Any]], top: int = 1
) -> tuple[tf.Tensor, tf.Tensor]:
    """The `top` most probable nodes of a list, best first; of equals the one that stands first in the list.

    Args:
        conditional: f32[R, N] log P(node | parent).
        tables: of the tree.
        nodes: i[L].
        top: T, at most L.

    Returns:
        nodes i32[R, T] and their absolute log-probabilities f32[R, T].
    """
    found = tf.math.top_k(absolute_of(conditional, tables, nodes), min(top, len(nodes)))
    return tf.gather(tf.constant(nodes, tf.int32), found.indices), found.values


def absolute_of(conditional: tf.Tensor, tables: WalkTables, nodes: NDArray[np.integer[Any]]) -> tf.Tensor:
    """Absolute log-probabilities of a list of nodes: f32[R, N] and i[L] to f32[R, L].

    Each inner node above the list is summed up once, in log2(depth) steps (each adds what lies twice as far above).
    """
    own = tf.gather(conditional, tf.constant(nodes, tf.int32), axis=1)
    above = _proper_ancestors(tables.parent, nodes)
    if not len(above):
        return own
    place = np.full(len(tables.parent) + 1, -1, np.int32)  # its last entry answers for "no parent", -1
    place[above] = np.arange(len(above), dtype=np.int32)
    total = tf.gather(conditional, tf.constant(above, tf.int32), axis=1)  # [R, I]
    jump = place[tables.parent[above]]
    while (jump >= 0).any():
        total += tf.where(jump >= 0, tf.gather(total, np.maximum(jump, 0), axis=1), 0.0)
        jump = np.where(jump >= 0, jump[jump], -1)
    parent = place[tables.parent[nodes]]
    return own + tf.where(parent >= 0, tf.gather(total, np.maximum(parent, 0), axis=1), 0.0)


def _proper_ancestors(parent: NDArray[np.int32], nodes: NDArray[np.integer[Any]]) -> NDArray[np.int64]:
    marked = np.zeros(len(parent), bool)
    at = parent[np.asarray(nodes)]
    while (at >= 0).any():
        at = np.unique(at[at >= 0])
        marked[at] = True
        at = parent[at]
    return np.flatnonzero(marked)
