"""One softmax per group of siblings, and probabilities along paths of the tree (YOLO9000, thesis section 2.4).

Logits hold one number a node; the softmax over each sibling group gives P(node | parent). The product along the path
from the root is the absolute probability. `wordtree.probability` is the slow reference.

Shape shorthand: N nodes, G sibling groups, D the depth of the deepest node + 1.
"""

# pyright: reportArgumentType=false, reportOperatorIssue=false, reportOptionalOperand=false
# (TensorFlow's own annotations know neither slices with an ellipsis nor operators of tensors.)

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
        child_start, child_count: i32[N] where a node's children stand; 0 of them for a leaf.
    """

    group: tf.Tensor
    group_size: tf.Tensor
    path: tf.Tensor
    path_mask: tf.Tensor
    path_group: tf.Tensor

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
    return TreeTables(
        group=tf.constant(tree.group, tf.int32),
        group_size=tf.constant(tree.group_size, tf.int32),
        path=tf.constant(safe, tf.int32),
        path_mask=tf.constant(mask),
        path_group=tf.constant(np.where(mask, np.asarray(tree.group)[safe], -1), tf.int32),
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


def walk(absolute: tf.Tensor, tables: TreeTables, threshold: float) -> tuple[tf.Tensor, tf.Tensor]:
    """The deepest node that is likely enough: from the roots to the best child while P(child) > threshold.

    The thesis's rule on absolute probabilities. At the top the best root is returned even below the threshold, so
    every box has a name. darknet multiplies absolute probabilities once more; `wordtree.probability` has that rule.

    Args:
        absolute: f32[..., N] log P(node).
        tables: of the tree.
        threshold: in (0, 1).

    Returns:
        nodes i32[...] and their log-probabilities f32[...].
    """
    # A node is reached when all its path is: P falls along a path, so that is P(node) > threshold and being the best
    # of its group all the way. Best of its group:
    shape = tf.shape(absolute)
    columns = tf.transpose(tf.reshape(absolute, [-1, tables.num_nodes]))  # [N, rows]
    top = tf.gather(tf.math.segment_max(columns, tables.group), tables.group)
    order = tf.range(tables.num_nodes)[:, None]
    first = tf.math.segment_min(tf.where(columns >= top, order, tables.num_nodes), tables.group)  # ties: the first
    best = tf.gather(first, tables.group) == order
    roots = tf.range(tables.num_nodes)[:, None] < tables.group_size[0]
    open_ = best & ((columns > tf.math.log(threshold)) | roots)
    reached = open_
    for level in range(int(tables.path.shape[1])):
        reached &= tf.gather(open_, tables.path[:, level]) | ~tables.path_mask[:, level][:, None]
    depth = tf.reduce_sum(tf.cast(tables.path_mask, tf.int32), axis=1)[:, None]
    node = tf.argmax(tf.where(reached, depth, 0), axis=0, output_type=tf.int32)  # one node a level is reached at most
    log_prob = tf.gather(tf.transpose(columns), node, batch_dims=1)
    return tf.reshape(node, shape[:-1]), tf.reshape(log_prob, shape[:-1])
