"""One softmax per group of siblings, and probabilities along paths of the tree (YOLO9000, thesis section 2.4).

Logits hold one number a node; the softmax over each sibling group gives P(node | parent). The product along the path
from the root is the absolute probability. `wordtree.probability` is the slow reference.

Shape shorthand: N nodes, G sibling groups, D the depth of the deepest node + 1.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from wordtree.tree import WordTree


class TreeTables(NamedTuple):
    """A WordTree as constants of the graph.

    Attributes:
        group: i32[N] sibling group of each node, non-decreasing.
        group_size: i32[G].
        path: i32[N, D] nodes from the root to each node, filled up with 0.
        path_mask: bool[N, D].
        path_group: i32[N, D] groups along the path, filled up with -1. Every group lives at one depth.
        path_start, path_size: i32[N, D] first node and number of siblings of those groups, 0 beyond the path.
    """

    group: tf.Tensor
    group_size: tf.Tensor
    path: tf.Tensor
    path_mask: tf.Tensor
    path_group: tf.Tensor
    path_start: tf.Tensor
    path_size: tf.Tensor

    @property
    def num_groups(self) -> int:
        """G."""
        return int(self.group_size.shape[0])

    @property
    def num_nodes(self) -> int:
        """N."""
        return int(self.group.shape[0])


def tree_tables(tree: WordTree) -> TreeTables:
    """The constants that the functions below take."""
    path = np.asarray(tree.path_table())
    mask = path >= 0
    safe = np.where(mask, path, 0)
    groups = np.asarray(tree.group)[safe]
    return TreeTables(
        group=tf.constant(tree.group, tf.int32),
        group_size=tf.constant(tree.group_size, tf.int32),
        path=tf.constant(safe, tf.int32),
        path_mask=tf.constant(mask),
        path_group=tf.constant(np.where(mask, groups, -1), tf.int32),
        path_start=tf.constant(np.where(mask, np.asarray(tree.group_start)[groups], 0), tf.int32),
        path_size=tf.constant(np.where(mask, np.asarray(tree.group_size)[groups], 0), tf.int32),
    )


def group_log_softmax(logits: tf.Tensor, tables: TreeTables) -> tf.Tensor:
    """Conditional log-probabilities: f32[..., N] logits to f32[..., N]; each sibling group logsumexps to 0.

    Exact for any spread of logits: each group has its own maximum taken away.
    """
    shape = tf.shape(logits)
    columns = tf.transpose(tf.reshape(logits, [-1, tables.num_nodes]))
    top = tf.math.segment_max(tf.stop_gradient(columns), tables.group)
    shifted = columns - tf.gather(top, tables.group)
    total = tf.math.segment_sum(tf.exp(shifted), tables.group)
    return tf.reshape(tf.transpose(shifted - tf.gather(tf.math.log(total), tables.group)), shape)


def path_log_prob(log_probs: tf.Tensor, nodes: tf.Tensor, tables: TreeTables) -> tf.Tensor:
    """Absolute log-probability of chosen nodes: f32[B, S, N] and i32[B, L] to f32[B, S, L]."""
    path = tf.gather(tables.path, nodes)  # [B, L, D]
    mask = tf.cast(tf.gather(tables.path_mask, nodes), log_probs.dtype)
    batch, length = tf.shape(path)[0], tf.shape(path)[1]
    flat = tf.reshape(path, [batch, -1])
    # Nodes first, so that a gather of a few nodes reads whole rows.
    picked = tf.gather(tf.transpose(log_probs, [0, 2, 1]), flat, batch_dims=1)
    picked = tf.reshape(picked, [batch, length, -1, tf.shape(log_probs)[1]])
    return tf.transpose(tf.reduce_sum(picked * mask[..., None], axis=2), [0, 2, 1])


def all_log_probs(log_probs: tf.Tensor, tables: TreeTables) -> tf.Tensor:
    """Absolute log-probability of every node: f32[..., N] conditional to f32[..., N]."""
    depth = int(tables.path.shape[1])
    total = tf.zeros_like(log_probs)
    for level in range(depth):
        picked = tf.gather(log_probs, tables.path[:, level], axis=-1)
        total += tf.where(tables.path_mask[:, level], picked, 0.0)
    return total


def subtree(tables: TreeTables, nodes: np.ndarray) -> tuple[np.ndarray, TreeTables, np.ndarray]:
    """The sibling groups on the paths of some nodes, as a tree of their own with the same probabilities.

    Args:
        tables: of the whole tree, with values (not inside of a graph's placeholders).
        nodes: i32[K].

    Returns:
        columns i32[C] of the whole tree that are kept, the tables of the small tree, places i32[K] of `nodes` in it.
    """
    static = [tf.get_static_value(part) for part in tables]
    group, size, path, mask, path_group, start, path_size = (np.asarray(part) for part in static)
    groups = np.unique(path_group[nodes][mask[nodes]])
    columns = np.flatnonzero(np.isin(group, groups)).astype(np.int32)
    new = np.full(len(group), -1, np.int32)
    new[columns] = np.arange(len(columns), dtype=np.int32)
    number = np.full(len(size), -1, np.int32)
    number[groups] = np.arange(len(groups), dtype=np.int32)
    kept_mask = mask[columns]
    small = TreeTables(
        group=tf.constant(number[group[columns]]),
        group_size=tf.constant(size[groups]),
        path=tf.constant(np.where(kept_mask, new[path[columns]], 0)),
        path_mask=tf.constant(kept_mask),
        path_group=tf.constant(np.where(kept_mask, number[path_group[columns]], -1)),
        path_start=tf.constant(np.where(kept_mask, new[start[columns]], 0)),
        path_size=tf.constant(np.where(kept_mask, path_size[columns], 0)),
    )
    return columns, small, new[nodes]
