"""Non-maximum suppression: greedy, by falling score, as a graph of few large steps.

Which boxes can suppress each other is a relation of their nodes: "any" whatever they are, "class" equal nodes,
"subtree" nodes of which one is the other or stands above it ("dog" and "terrier" may be one object, "dog" and "sofa"
are two). Greedy: from the best box down, a box stays unless a related one that stays overlaps it too much.

Overlaps are those of whole boxes, as in darknet. Who cuts them to the picture does it afterwards (`detector.content`):
cut boxes come closer, and one of two objects at the edge would be lost.

Shape shorthand: B images, M boxes, K kept, T boxes of a block.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import tensorflow as tf

from detector import box_ops
from detector.api import Detections

if TYPE_CHECKING:
    from detector.decode.tables import WalkTables

Suppression = Literal["any", "class", "subtree"]
BLOCK = 256


def suppress(
    boxes: tf.Tensor,
    nodes: tf.Tensor,
    scores: tf.Tensor,
    *,
    threshold: float,
    iou_threshold: float,
    limit: int,
    suppression: Suppression = "any",
    tables: WalkTables | None = None,
) -> Detections:
    """Keep the best box of each heap of related boxes that overlap; equal to the greedy loop, box by box.

    The boxes are taken by falling score in blocks: first what the kept ones suppress falls, then a block settles
    itself. Inside a block "stays unless a better one that stays overlaps it" is repeated until nothing changes: box n
    is right after n rounds at the latest, in practice after a few. It ends when every image has its K boxes.

    Args:
        boxes: f32[B, M, 4] `rel_yxyx`.
        nodes: i32[B, M].
        scores: f32[B, M].
        threshold: boxes with a score above this are looked at.
        iou_threshold: above this two boxes are one object.
        limit: K.
        suppression: which boxes are related.
        tables: of the tree, needed by "subtree".

    Returns:
        K rows an image; those with mask False are zeros.

    Raises:
        ValueError: if "subtree" has no tables.
    """
    # One box more, which is none: so that there is something to gather where there are no boxes at all.
    boxes, nodes = tf.pad(boxes, [[0, 0], [0, 1], [0, 0]]), tf.pad(nodes, [[0, 0], [0, 1]])
    scores = tf.pad(scores, [[0, 0], [0, 1]], constant_values=-1.0)
    scores, order = tf.math.top_k(scores, tf.shape(scores)[1])
    boxes, nodes = tf.gather(boxes, order, batch_dims=1), tf.gather(nodes, order, batch_dims=1)
    related = _relation(suppression, tables)
    count = tf.shape(scores)[1]
    batch = tf.shape(scores)[0]

    def conflict(box_a: tf.Tensor, node_a: tf.Tensor, box_b: tf.Tensor, node_b: tf.Tensor) -> tf.Tensor:
        over = box_ops.pairwise_iou(box_a, box_b) > iou_threshold
        return over if related is None else over & related(node_a[:, :, None], node_b[:, None, :])

    def unfinished(start: tf.Tensor, kept: tf.Tensor, filled: tf.Tensor) -> tf.Tensor:
        head = scores[:, start : start + 1] > threshold  # empty at the end
        return tf.reduce_any(head & (filled < limit)[:, None])

    def settle(start: tf.Tensor, kept: tf.Tensor, filled: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Keep what stays of the next BLOCK boxes."""
        end = tf.minimum(start + BLOCK, count)
        box, node = boxes[:, start:end], nodes[:, start:end]
        there = kept >= 0
        safe = tf.maximum(kept, 0)
        better = conflict(
            tf.gather(boxes, safe, batch_dims=1), tf.gather(nodes, safe, batch_dims=1), box, node
        )  # [B, K, T]
        alive = (scores[:, start:end] > threshold) & ~tf.reduce_any(better & there[:, :, None], axis=1)
        row = tf.range(end - start)
        inside = conflict(box, node, box, node) & (row[:, None] < row[None, :])  # [B, T, T]: the first is better
        stays = _settled(alive, tf.cast(inside, tf.float32))
        place = filled[:, None] + tf.cumsum(tf.cast(stays, tf.int32), axis=1) - 1
        at = tf.cast(tf.where(stays & (place < limit)), tf.int32)  # [n, 2]
        into = tf.stack([at[:, 0], tf.gather_nd(place, at)], axis=1)
        kept = tf.tensor_scatter_nd_update(kept, into, start + at[:, 1])
        return end, kept, tf.reduce_sum(tf.cast(kept >= 0, tf.int32), axis=1)

    _, kept, _ = tf.while_loop(
        unfinished,
        settle,
        (tf.constant(0), tf.fill([batch, limit], -1), tf.zeros([batch], tf.int32)),
        shape_invariants=(tf.TensorShape([]), tf.TensorShape([None, limit]), tf.TensorShape([None])),
    )
    mask = kept >= 0
    row = tf.maximum(kept, 0)
    return Detections(
        boxes=tf.where(mask[..., None], tf.gather(boxes, row, batch_dims=1), 0.0),
        nodes=tf.where(mask, tf.gather(nodes, row, batch_dims=1), 0),
        scores=tf.where(mask, tf.gather(scores, row, batch_dims=1), 0.0),
        mask=mask,
    )


def _settled(alive: tf.Tensor, conflicts: tf.Tensor) -> tf.Tensor:
    """The one set in which a box of `alive` bool[B, T] stays unless a better one that stays conflicts with it.

    Args:
        alive: which boxes are there.
        conflicts: f32[B, T, T] 1 where the first is better than the second and they are one object.
    """

    def again(stays: tf.Tensor, _: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        beaten = tf.matmul(tf.cast(stays, tf.float32)[:, None, :], conflicts)[:, 0] > 0
        now = alive & ~beaten
        return now, tf.reduce_any(now != stays)

    return tf.while_loop(lambda _, changed: changed, again, (alive, tf.constant(True)))[0]


def _relation(suppression: Suppression, tables: WalkTables | None):
    """A function of two broadcast tensors of nodes, or None where all are related."""
    if suppression == "any":
        return None
    if suppression == "class":
        return tf.equal
    if tables is None:
        raise ValueError("suppression 'subtree' needs the tables of the tree")
    enter, leave = tf.constant(tables.enter), tf.constant(tables.leave)

    def one_above_the_other(a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
        first, second = tf.gather(enter, a), tf.gather(enter, b)
        down = (first <= second) & (second < tf.gather(leave, a))
        return down | ((second <= first) & (first < tf.gather(leave, b)))

    return one_above_the_other
