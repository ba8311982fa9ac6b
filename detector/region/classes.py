"""The classes of slots: computed for all, or read only where a label supervises them.

A label's loss needs the sibling groups on its path and nothing else: of the published tree's 9,418 nodes at most 221,
110 on average. `FullClasses` makes every logit of every slot, as darknet does; `GatheredClasses` gathers the features
of the slots in question and the rows of the class table on their paths. Both give the same numbers and gradients.

Shape shorthand: B images, S slots, A priors, F features, N nodes, D depth, M truths, L labels, P rows in question,
U table rows in question, G members of all groups on a path.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
import tensorflow as tf

from detector.region.head import RegionHead
from detector.tree_softmax import TreeTables, group_log_softmax, path_log_prob, subtree

NOTHING = -1e30  # a logit that takes no part; finite, so that gradients stay so


class ClassScores(Protocol):
    """What the losses and the decoding ask of the classes."""

    @property
    def tables(self) -> TreeTables:
        """Of the tree."""
        ...

    def levels(self, slots: tf.Tensor, nodes: tf.Tensor, mask: tf.Tensor, smoothing: float = 0.0) -> tf.Tensor:
        """Conditional log-probabilities along the path of one node in one slot each.

        Args:
            slots: i32[B, M].
            nodes: i32[B, M].
            mask: bool[B, M] which are asked for; the others give 0.
            smoothing: share of each group's target that is spread evenly over the group.

        Returns:
            f32[B, M, D], 0 beyond the path.
        """
        ...

    def path_log_probs(self, nodes: tf.Tensor, mask: tf.Tensor | None = None) -> tf.Tensor:
        """Absolute log-probabilities at every slot: i32[B, L] to f32[B, S, L]; 0 where `mask` bool[B, L] is false."""
        ...

    def conditional(self, slots: tf.Tensor) -> tf.Tensor:
        """Conditional log-probabilities of all nodes in chosen slots: i32[B, K] to f32[B, K, N]."""
        ...

    def fixed(self, nodes: np.ndarray) -> tf.Tensor:
        """Absolute log-probabilities of a fixed list of nodes at every slot: i32[K] to f32[B, S, K]."""
        ...


class FullClasses(NamedTuple):
    """Every logit of every slot, f32[B, S, N]."""

    logits: tf.Tensor
    tables: TreeTables

    def levels(self, slots: tf.Tensor, nodes: tf.Tensor, mask: tf.Tensor, smoothing: float = 0.0) -> tf.Tensor:
        """See `ClassScores`."""
        tables = self.tables
        log_probs = group_log_softmax(tf.gather(self.logits, slots, batch_dims=1), tables)
        picked = tf.gather(log_probs, tf.gather(tables.path, nodes), batch_dims=2)
        if smoothing:
            shape = tf.shape(log_probs)
            columns = tf.transpose(tf.reshape(log_probs, [-1, tables.num_nodes]))
            sums = tf.transpose(tf.math.segment_sum(columns, tables.group)) / tf.cast(tables.group_size, tf.float32)
            means = tf.reshape(sums, [shape[0], shape[1], tables.num_groups])
            spread = tf.gather(means, tf.maximum(tf.gather(tables.path_group, nodes), 0), batch_dims=2)
            picked = (1 - smoothing) * picked + smoothing * spread
        return tf.where(mask[..., None] & tf.gather(tables.path_mask, nodes), picked, 0.0)

    def path_log_probs(self, nodes: tf.Tensor, mask: tf.Tensor | None = None) -> tf.Tensor:
        """See `ClassScores`."""
        found = path_log_prob(group_log_softmax(self.logits, self.tables), nodes, self.tables)
        return found if mask is None else tf.where(mask[:, None], found, 0.0)

    def conditional(self, slots: tf.Tensor) -> tf.Tensor:
        """See `ClassScores`."""
        return group_log_softmax(tf.gather(self.logits, slots, batch_dims=1), self.tables)

    def fixed(self, nodes: np.ndarray) -> tf.Tensor:
        """See `ClassScores`."""
        wanted = tf.broadcast_to(tf.constant(nodes, tf.int32)[None], [tf.shape(self.logits)[0], len(nodes)])
        return path_log_prob(group_log_softmax(self.logits, self.tables), wanted, self.tables)


class GatheredClasses(NamedTuple):
    """Features and the head's class table; logits are made when they are asked for.

    Attributes:
        cells: [B, H W, F] features.
        kernel: f32[A N, F] the class table, row prior N + node; one tensor, so that its gradient is made dense once.
        bias: f32[A N].
        head: of the network.
        tables: of the tree.
    """

    cells: tf.Tensor
    kernel: tf.Tensor
    bias: tf.Tensor
    head: RegionHead
    tables: TreeTables

    def levels(self, slots: tf.Tensor, nodes: tf.Tensor, mask: tf.Tensor, smoothing: float = 0.0) -> tf.Tensor:
        """See `ClassScores`. One product of the P features with the U rows of the table that any path needs."""
        at = tf.cast(tf.where(mask), tf.int32)  # [P, 2]
        slot, node = tf.gather_nd(slots, at), tf.gather_nd(nodes, at)
        rows, prior = self._rows(at[:, 0], slot)
        members = path_members(node, self.tables)
        column = tf.where(members.mask, prior[:, None] * self.head.nodes + members.node, 0)
        unique, place = tf.unique(tf.reshape(column, [-1]))
        table, bias = self._table(unique)
        products = tf.cast(tf.matmul(rows, table, transpose_b=True), tf.float32) + bias  # [P, U]
        logits = tf.gather(products, tf.reshape(place, tf.shape(column)), batch_dims=1)  # [P, G]
        found = levels_of(logits, members, smoothing)
        shape = [tf.shape(slots)[0], tf.shape(slots)[1], members.depth]
        return tf.scatter_nd(at, found, shape)

    def path_log_probs(self, nodes: tf.Tensor, mask: tf.Tensor | None = None) -> tf.Tensor:
        """See `ClassScores`. For each label one product of the rows on its path with its image's features."""
        mask = tf.ones_like(nodes, tf.bool) if mask is None else mask
        at = tf.cast(tf.where(mask), tf.int32)  # [P, 2]
        members = path_members(tf.gather_nd(nodes, at), self.tables)
        priors, depth = self.head.priors, members.depth
        column = tf.range(priors)[None, :, None] * self.head.nodes + members.node[:, None, :]  # [P, A, G]
        table, bias = self._table(tf.where(members.mask[:, None], column, 0))
        features = tf.gather(self.cells, at[:, 0])  # [P, H W, F]
        shape, cells = tf.shape(column), tf.shape(features)[1]
        flat = tf.reshape(table, [shape[0], shape[1] * shape[2], features.shape[-1]])
        logits = tf.cast(tf.matmul(flat, features, transpose_b=True), tf.float32)  # [P, A G, H W]
        logits = tf.reshape(logits, [-1, cells]) + tf.reshape(bias, [-1, 1])
        # Rows of one group stand together: group number (p, a, depth), and one more for what is not there.
        path = tf.range(shape[0] * priors)[:, None]
        level = tf.repeat(tf.where(members.mask, members.level, depth), priors, axis=0)  # [P A, G]
        group = tf.reshape(path * (depth + 1) + level, [-1])
        count = shape[0] * priors * (depth + 1)
        top = tf.math.unsorted_segment_max(tf.stop_gradient(logits), group, count)
        total = tf.math.unsorted_segment_sum(tf.exp(logits - tf.gather(top, group)), group, count)
        there = tf.reshape(tf.repeat(tf.pad(members.size > 0, [[0, 0], [0, 1]]), priors, axis=0), [-1, 1])
        height = tf.where(there, top, 0.0) + tf.math.log(tf.where(there, total, 1.0))
        chosen = tf.repeat(members.chosen, priors, axis=0) + path * shape[2]  # [P A, D]
        own = tf.repeat(members.size > 0, priors, axis=0)
        picked = tf.where(own[..., None], tf.gather(logits, chosen), 0.0)
        found = tf.reduce_sum(picked, axis=1) - tf.reduce_sum(tf.reshape(height, [-1, depth + 1, cells]), axis=1)
        found = tf.transpose(tf.reshape(found, [shape[0], priors, cells]), [0, 2, 1])
        slots = cells * priors
        placed = tf.scatter_nd(at, tf.reshape(found, [-1, slots]), [tf.shape(nodes)[0], tf.shape(nodes)[1], slots])
        return tf.transpose(placed, [0, 2, 1])

    def conditional(self, slots: tf.Tensor) -> tf.Tensor:
        """See `ClassScores`. Slots of one prior share one product with its part of the table."""
        batch, count = tf.shape(slots)[0], tf.shape(slots)[1]
        image = tf.repeat(tf.range(batch), count)
        rows, prior = self._rows(image, tf.reshape(slots, [-1]))
        places, parts = [], []
        for number in range(self.head.priors):
            place = tf.cast(tf.where(prior == number)[:, 0], tf.int32)
            kernel = tf.cast(self.head.class_kernel.value[number], rows.dtype)
            product = tf.matmul(tf.gather(rows, place), kernel, transpose_b=True)
            parts.append(tf.cast(product, tf.float32) + self.head.class_bias.value[number])
            places.append(place)
        logits = tf.reshape(tf.dynamic_stitch(places, parts), [batch, count, self.head.nodes])
        return group_log_softmax(logits, self.tables)

    def fixed(self, nodes: np.ndarray) -> tf.Tensor:
        """See `ClassScores`. Only the groups on the paths of these nodes are computed: 1,172 columns for COCO's 80."""
        columns, tables, places = subtree(self.tables, nodes)
        kernel = tf.gather(self.head.class_kernel.value, columns, axis=1)
        bias = tf.gather(self.head.class_bias.value, columns, axis=1)
        cells = self.cells
        shape = tf.shape(cells)
        flat = tf.cast(tf.reshape(kernel, [self.head.priors * len(columns), -1]), cells.dtype)
        logits = tf.matmul(tf.reshape(cells, [-1, flat.shape[1]]), flat, transpose_b=True)
        logits = tf.cast(logits, tf.float32) + tf.reshape(bias, [-1])
        logits = tf.reshape(logits, [shape[0], shape[1] * self.head.priors, len(columns)])
        return FullClasses(logits, tables).fixed(places)

    def _rows(self, image: tf.Tensor, slot: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The features [P, F] of slots, and their priors i32[P]."""
        cell, prior = slot // self.head.priors, slot % self.head.priors
        return tf.gather_nd(self.cells, tf.stack([image, cell], axis=1)), prior

    def _table(self, column: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Rows of the class table [..., F] and their biases f32[...]; column = prior N + node."""
        return tf.cast(tf.gather(self.kernel, column), self.cells.dtype), tf.gather(self.bias, column)


def gathered_classes(features: tf.Tensor, head: RegionHead, tables: TreeTables) -> GatheredClasses:
    """Of a feature map [B, H, W, F]."""
    shape = tf.shape(features)
    return GatheredClasses(
        cells=tf.reshape(features, [shape[0], shape[1] * shape[2], features.shape[-1]]),
        kernel=tf.reshape(head.class_kernel.value, [head.priors * head.nodes, features.shape[-1]]),
        bias=tf.reshape(head.class_bias.value, [-1]),
        head=head,
        tables=tables,
    )


class Members(NamedTuple):
    """All siblings on the paths of P nodes, one path a row.

    Attributes:
        node: i32[P, G], 0 where there is none.
        level: i32[P, G] depth of its group.
        mask: bool[P, G] which are there.
        chosen: i32[P, D] column of the path's own node at each depth.
        size: i32[P, D] siblings at each depth, 0 beyond the path.
        depth: D.
    """

    node: tf.Tensor
    level: tf.Tensor
    mask: tf.Tensor
    chosen: tf.Tensor
    size: tf.Tensor
    depth: int


def path_members(nodes: tf.Tensor, tables: TreeTables) -> Members:
    """The siblings on the paths of nodes i32[P]. Siblings stand side by side, so this is arithmetic, not a table."""
    start, size = tf.gather(tables.path_start, nodes), tf.gather(tables.path_size, nodes)  # [P, D]
    end = tf.cumsum(size, axis=1)
    begin = end - size
    width = tf.reduce_max(tf.concat([end[:, -1], [1]], axis=0))
    column = tf.range(width)[None, :]
    level = tf.reduce_sum(tf.cast(column[:, :, None] >= end[:, None, :], tf.int32), axis=2)  # [P, G]
    mask = column < end[:, -1:]
    level = tf.where(mask, level, 0)
    node = tf.gather(start - begin, level, batch_dims=1) + column
    chosen = begin + tf.gather(tables.path, nodes) - start
    return Members(tf.where(mask, node, 0), level, mask, tf.where(size > 0, chosen, 0), size, int(tables.path.shape[1]))


def levels_of(logits: tf.Tensor, members: Members, smoothing: float = 0.0) -> tf.Tensor:
    """Conditional log-probabilities of the path's nodes: f32[P, G] logits to f32[P, D], 0 beyond the path.

    One softmax a group with its own maximum taken away, so that it is exact for any spread of logits.
    """
    level = tf.where(members.mask, members.level, -1)[:, None, :]
    inside = level == tf.range(members.depth)[None, :, None]  # [P, D, G]
    total = tf.reduce_logsumexp(tf.where(inside, logits[:, None, :], NOTHING), axis=-1)
    picked = tf.gather(logits, members.chosen, batch_dims=1)
    if smoothing:
        count = tf.cast(tf.maximum(members.size, 1), tf.float32)
        mean = tf.reduce_sum(tf.where(inside, logits[:, None, :], 0.0), axis=-1) / count
        picked = (1 - smoothing) * picked + smoothing * mean
    return tf.where(members.size > 0, picked - total, 0.0)
