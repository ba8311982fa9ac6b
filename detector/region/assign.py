"""Which slot answers for which truth: the cell that holds its centre, and the prior whose shape fits best.

As darknet does it: truths come in order, and the last one that lands in a slot has it; of the sibling groups, a later
truth overwrites only those that it touches.

Shape shorthand: B images, S slots, A priors, M truths, D depth of the tree.
"""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from detector import box_ops
from detector.region.slots import Predictions


class Assignment(NamedTuple):
    """Which slot answers for which truth.

    Attributes:
        slot: i32[B, M]; 0 where the truth is not there.
        owner: bool[B, M] the truth is there and no later one took its slot (darknet: the last writer wins).
        class_target: bool[B, M, D] the sibling group at this depth of the truth's path is supervised by this truth:
            a later truth in the same slot overwrites only the groups that it touches.
        taken: bool[B, S] slots that answer for a truth.
    """

    slot: tf.Tensor
    owner: tf.Tensor
    class_target: tf.Tensor
    taken: tf.Tensor


def assign(
    predictions: Predictions,
    boxes: tf.Tensor,
    nodes: tf.Tensor,
    mask: tf.Tensor,
    *,
    bias_match: bool,
) -> Assignment:
    """The cell that holds the truth's centre, and the prior whose shape fits best.

    Args:
        predictions: of the batch.
        boxes: f32[B, M, 4] `rel_yxyx`.
        nodes: i32[B, M], valid where mask is.
        mask: bool[B, M].
        bias_match: compare the truth's shape with the prior's instead of with the prediction's.
    """
    tables, anchors = predictions.classes.tables, predictions.priors
    height, width = predictions.grid[0], predictions.grid[1]
    truth = box_ops.yxyx_to_center_xywh(boxes)
    i = tf.clip_by_value(tf.cast(truth[..., 0] * tf.cast(width, tf.float32), tf.int32), 0, width - 1)
    j = tf.clip_by_value(tf.cast(truth[..., 1] * tf.cast(height, tf.float32), tf.int32), 0, height - 1)
    priors = int(anchors.shape[0])
    first_slot = (j * width + i) * priors
    shapes = tf.broadcast_to(anchors, [*tf.unstack(tf.shape(boxes)[:2]), priors, 2])
    if not bias_match:
        slots = first_slot[..., None] + tf.range(priors)
        sizes = tf.gather(predictions.sizes, slots, batch_dims=1)
        shapes = tf.stop_gradient(anchors * tf.exp(tf.minimum(sizes, 20.0)))
    inter = tf.reduce_prod(tf.minimum(shapes, truth[..., None, 2:]), axis=-1)
    union = tf.reduce_prod(shapes, axis=-1) + tf.reduce_prod(truth[..., 2:], axis=-1)[..., None] - inter
    prior = tf.argmax(tf.math.divide_no_nan(inter, union), axis=-1, output_type=tf.int32)
    slot = tf.where(mask, first_slot + prior, 0)

    count = tf.shape(boxes)[1]
    later = tf.range(count)[None, :, None] < tf.range(count)[None, None, :]  # [1, M, M]: second comes after first
    same_slot = (slot[:, :, None] == slot[:, None, :]) & mask[:, None, :] & later
    owner = mask & ~tf.reduce_any(same_slot, axis=2)
    groups = tf.gather(tables.path_group, nodes)  # [B, M, D]
    same_group = (groups[:, :, None, :] == groups[:, None, :, :]) & same_slot[..., None]
    class_target = (groups >= 0) & mask[..., None] & ~tf.reduce_any(same_group, axis=2)

    slots = tf.shape(predictions.object_logits)[1]
    taken = tf.reduce_any(tf.one_hot(tf.where(owner, slot, -1), slots, on_value=True, off_value=False), axis=1)
    return Assignment(slot=slot, owner=owner, class_target=class_target, taken=taken)
