"""The loss of a boxed image: objectness, coordinates, classes on the paths of labels, and the pull to the priors.

It is written so that its gradient with respect to the logits is darknet's `-delta`, to 1e-5: squared errors of the
activations times 1/2, and a cross-entropy for each sibling group on the path of a label. What darknet treats as a
constant target (the IoU, who is assigned where) is behind a stop_gradient. A flat class list is a tree with one group.

Shape shorthand: B images, S slots, A priors, M truths, D depth of the tree.
"""

from __future__ import annotations

import tensorflow as tf

from detector import box_ops
from detector.api import Batch
from detector.config import LossConfig
from detector.region.assign import Assignment, assign
from detector.region.slots import Predictions


def detection_losses(
    predictions: Predictions,
    batch: Batch,
    *,
    config: LossConfig,
    images_seen: tf.Tensor,
    empty_weight: tf.Tensor | None = None,
) -> dict[str, tf.Tensor]:
    """Named terms of the loss of boxed images, each f32[B], 0 where an image has no boxes to learn from.

    Args:
        predictions: of the batch.
        batch: boxes, nodes, masks; rows with node -1 are regions to ignore.
        config: scales and switches.
        images_seen: images before and in this batch (darknet's `seen`), for the pull to the priors.
        empty_weight: f32[B, S] weight of "no object" at each slot, or None for 1.

    Returns:
        object, no_object, coordinates, class, prior.
    """
    boxed = batch.has_boxes
    truth_mask = batch.box_mask & (batch.nodes >= 0) & boxed[:, None]
    nodes = tf.maximum(batch.nodes, 0)
    assignment = assign(predictions, batch.boxes, nodes, truth_mask, bias_match=config.bias_match)
    objectness = tf.sigmoid(predictions.object_logits)

    overlap = box_ops.pairwise_iou(tf.stop_gradient(predictions.boxes), batch.boxes)  # [B, S, M]
    near_mask = batch.box_mask & boxed[:, None]
    best = tf.reduce_max(tf.where(near_mask[:, None, :], overlap, 0.0), axis=2)
    empty = boxed[:, None] & ~assignment.taken & (best <= config.ignore_iou)
    error = objectness**2 if empty_weight is None else empty_weight * objectness**2
    no_object = 0.5 * config.noobject_scale * tf.reduce_sum(tf.where(empty, error, 0.0), axis=1)

    owner = tf.cast(assignment.owner, tf.float32)
    slot_boxes = tf.stop_gradient(tf.gather(predictions.boxes, assignment.slot, batch_dims=1))
    target = box_ops.iou(slot_boxes, batch.boxes) if config.rescore else tf.ones_like(owner)
    object_error = (target - tf.gather(objectness, assignment.slot, batch_dims=1)) ** 2
    object_loss = 0.5 * config.object_scale * tf.reduce_sum(owner * object_error, axis=1)

    levels = predictions.classes.levels(assignment.slot, nodes, truth_mask, config.label_smoothing)
    # Groups below the label and off its path have no target: a "dog" box says nothing of breeds.
    class_loss = -config.class_scale * tf.reduce_sum(tf.where(assignment.class_target, levels, 0.0), axis=[1, 2])

    pull = tf.reduce_sum((0.5 - predictions.offsets) ** 2 + predictions.sizes**2, axis=-1)
    free = boxed[:, None] & ~assignment.taken
    prior = 0.5 * config.prior_scale * tf.reduce_sum(tf.where(free, pull, 0.0), axis=1)
    prior *= tf.cast(images_seen < config.prior_images, tf.float32)
    return {
        "object": object_loss,
        "no_object": no_object,
        "coordinates": coordinate_loss(predictions, batch.boxes, assignment, config),
        "class": class_loss,
        "prior": prior,
    }


def coordinate_loss(
    predictions: Predictions, boxes: tf.Tensor, assignment: Assignment, config: LossConfig
) -> tf.Tensor:
    """f32[B]: squared errors of the centre inside its cell and of the logarithm of the size, where a slot has a truth.

    Args:
        predictions: of the batch.
        boxes: f32[B, M, 4] `rel_yxyx` truths.
        assignment: of the truths.
        config: coord_scale, and whether small boxes weigh more, 2 - w h (darknet since 2017-03; in no paper).
    """
    owner = assignment.owner
    truth = box_ops.yxyx_to_center_xywh(boxes)
    cells = tf.cast(tf.stack([predictions.grid[1], predictions.grid[0]]), tf.float32)
    scaled = truth[..., :2] * cells
    cell = tf.clip_by_value(tf.floor(scaled), 0.0, cells - 1)
    prior_shape = tf.gather(predictions.priors, assignment.slot % int(predictions.priors.shape[0]))
    safe_shape = tf.where(owner[..., None], truth[..., 2:], prior_shape)
    shape_target = tf.math.log(tf.maximum(safe_shape, 1e-9) / prior_shape)

    def at_slot(values: tf.Tensor) -> tf.Tensor:
        return tf.gather(values, assignment.slot, batch_dims=1)

    error = tf.reduce_sum((scaled - cell - at_slot(predictions.offsets)) ** 2, axis=-1)
    error += tf.reduce_sum((shape_target - at_slot(predictions.sizes)) ** 2, axis=-1)
    weight = tf.cast(owner, tf.float32) * config.coord_scale
    if config.small_box_weight:
        weight *= 2 - tf.reduce_prod(truth[..., 2:], axis=-1)
    return 0.5 * tf.reduce_sum(weight * error, axis=1)
