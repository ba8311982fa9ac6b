"""Classes that do not exclude each other: a sigmoid for each node instead of a softmax over siblings.

P(node | parent) = sigmoid(logit) whatever its siblings, and the product along the path is the absolute probability; a
flat list of classes has the plain sigmoids of a multi-label head (Open Images: one box may be a man and an athlete).

A box says of every node on its labels' paths that it is there, and of the siblings of these nodes that they are not.
It says nothing of groups below its labels: unknown is never negative.

Shape shorthand: B images, S slots, K slots in question, M truths, N nodes, D depth.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from detector.tree_softmax import TreeTables, path_log_prob


class SigmoidClasses(NamedTuple):
    """Every logit of every slot, f32[B, S, N]; a `detector.region.classes.ClassScores`."""

    logits: tf.Tensor
    tables: TreeTables

    def levels(self, slots: tf.Tensor, nodes: tf.Tensor, mask: tf.Tensor, smoothing: float = 0.0) -> tf.Tensor:
        """See `ClassScores`; smoothing mixes in log(1 - P) of each node itself."""
        logits = tf.gather(self.logits, slots, batch_dims=1)
        picked = tf.gather(logits, tf.gather(self.tables.path, nodes), batch_dims=2)
        found = (1 - smoothing) * tf.math.log_sigmoid(picked) + smoothing * tf.math.log_sigmoid(-picked)
        return tf.where(mask[..., None] & tf.gather(self.tables.path_mask, nodes), found, 0.0)

    def path_log_probs(self, nodes: tf.Tensor, mask: tf.Tensor | None = None) -> tf.Tensor:
        """See `ClassScores`."""
        found = path_log_prob(tf.math.log_sigmoid(self.logits), nodes, self.tables)
        return found if mask is None else tf.where(mask[:, None], found, 0.0)

    def conditional(self, slots: tf.Tensor) -> tf.Tensor:
        """See `ClassScores`."""
        return tf.math.log_sigmoid(tf.gather(self.logits, slots, batch_dims=1))

    def fixed(self, nodes: np.ndarray) -> tf.Tensor:
        """See `ClassScores`."""
        wanted = tf.broadcast_to(tf.constant(nodes, tf.int32)[None], [tf.shape(self.logits)[0], len(nodes)])
        return path_log_prob(tf.math.log_sigmoid(self.logits), wanted, self.tables)


def box_labels(
    boxes: tf.Tensor, nodes: tf.Tensor, mask: tf.Tensor, truth: tf.Tensor, tables: TreeTables
) -> tuple[tf.Tensor, tf.Tensor]:
    """What boxes say of all nodes; truths with the same four coordinates are one box with several labels.

    Args:
        boxes: f32[B, M, 4] truths.
        nodes: i32[B, M], valid where mask is.
        mask: bool[B, M].
        truth: i32[B, K] which truth is asked for.
        tables: of the tree.

    Returns:
        present bool[B, K, N] and known bool[B, K, N]: nodes on the paths of the labels; they and their siblings.
    """
    own = tf.gather(boxes, truth, batch_dims=1)
    same = tf.reduce_all(tf.abs(own[:, :, None] - boxes[:, None]) < 1e-6, axis=-1) & mask[:, None]  # [B, K, M]
    path = tf.where(tf.gather(tables.path_mask, nodes) & mask[..., None], tf.gather(tables.path, nodes), -1)
    on_path = tf.reduce_max(tf.one_hot(path, tables.num_nodes), axis=2)  # [B, M, N]
    present = tf.matmul(tf.cast(same, tf.float32), on_path) > 0
    shape = tf.shape(present)
    columns = tf.transpose(tf.reshape(tf.cast(present, tf.int32), [-1, tables.num_nodes]))
    touched = tf.gather(tf.math.segment_max(columns, tables.group), tables.group) > 0
    return present, tf.reshape(tf.transpose(touched), shape)


def sigmoid_costs(
    classes: SigmoidClasses, slots: tf.Tensor, present: tf.Tensor, known: tf.Tensor, smoothing: float = 0.0
) -> tf.Tensor:
    """Cross-entropies f32[B, K] of all known nodes in one slot each.

    Args:
        classes: of all slots.
        slots: i32[B, K].
        present, known: bool[B, K, N].
        smoothing: s: the targets are 1 - s / 2 and s / 2.
    """
    logits = tf.gather(classes.logits, slots, batch_dims=1)
    target = tf.where(present, 1 - smoothing / 2, smoothing / 2)
    costs = tf.nn.sigmoid_cross_entropy_with_logits(labels=target, logits=logits)
    return tf.reduce_sum(tf.where(known, costs, 0.0), axis=-1)
