"""The losses of both stages on what was sampled: one number an image, a mean over its sampled anchors or RoIs.

Objectness is a cross-entropy between object and background, the box a smooth L1 on its four codes (both Ren et al.
2015), the class the cross-entropies of the sibling groups on its label's path; with a flat list of classes that is the
softmax over the classes, and P(object) stands for its background. The weights are in `TwoStageConfig`.

Shape shorthand: B images, S anchors, R RoIs, K positive RoIs at most, M truths, D depth.
"""

from __future__ import annotations

import tensorflow as tf

from detector.api import Batch
from detector.region.classes import ClassScores
from detector.two_stage.box_coder import encode
from detector.two_stage.multi_label import SigmoidClasses, box_labels, sigmoid_costs
from detector.two_stage.rois import truth_mask


def smooth_l1(error: tf.Tensor, knee: float = 1.0) -> tf.Tensor:
    """e^2 / (2 knee) up to |e| = knee, beyond it |e| - knee / 2."""
    size = tf.abs(error)
    return tf.where(size < knee, 0.5 * error**2 / knee, size - 0.5 * knee)


def object_loss(
    logits: tf.Tensor, positive: tf.Tensor, negative: tf.Tensor, empty_weight: tf.Tensor | None = None
) -> tf.Tensor:
    """f32[B]: the mean cross-entropy of what was sampled.

    Args:
        logits: f32[B, S].
        positive, negative: bool[B, S] sampled.
        empty_weight: f32[B, S] weight of "background", or None for 1.
    """
    costs = tf.nn.sigmoid_cross_entropy_with_logits(labels=tf.cast(positive, tf.float32), logits=logits)
    if empty_weight is not None:
        costs = tf.where(negative, costs * empty_weight, costs)
    return _mean(tf.where(positive | negative, costs, 0.0), positive, negative)


def box_loss(
    codes: tf.Tensor,
    anchors: tf.Tensor,
    targets: tf.Tensor,
    positive: tf.Tensor,
    negative: tf.Tensor,
    *,
    knee: float,
) -> tf.Tensor:
    """f32[B]: smooth L1 of the positive ones, over the count of all sampled ones.

    Args:
        codes: f32[B, S, 4].
        anchors: f32[S, 4] or f32[B, S, 4] to which they are relative.
        targets: f32[B, S, 4] `rel_yxyx` truths, valid where positive.
        positive, negative: bool[B, S] sampled.
        knee: of `smooth_l1`.
    """
    safe = tf.where(positive[..., None], targets, anchors)
    error = tf.where(positive[..., None], codes - encode(safe, tf.broadcast_to(anchors, tf.shape(safe))), 0.0)
    return _mean(tf.reduce_sum(smooth_l1(error, knee), axis=-1), positive, negative)


def class_loss(
    classes: ClassScores, batch: Batch, truth: tf.Tensor, positive: tf.Tensor, negative: tf.Tensor, smoothing: float
) -> tf.Tensor:
    """f32[B]: of the positive slots, over the count of all sampled ones.

    Args:
        classes: of the slots.
        batch: boxes and nodes.
        truth: i32[B, K] which truth each of the first K slots answers for.
        positive: bool[B, R] sampled; all in the first K.
        negative: bool[B, R] sampled.
        smoothing: of labels.
    """
    nodes = tf.maximum(batch.nodes, 0)
    asked = positive[:, : truth.shape[1]]
    slots = tf.broadcast_to(tf.range(truth.shape[1])[None], tf.shape(truth))
    if isinstance(classes, SigmoidClasses):
        present, known = box_labels(batch.boxes, nodes, truth_mask(batch), truth, classes.tables)
        costs = tf.where(asked, sigmoid_costs(classes, slots, present, known, smoothing), 0.0)
    else:
        own = tf.where(asked, tf.gather(nodes, truth, batch_dims=1), 0)
        costs = -tf.reduce_sum(classes.levels(slots, own, asked, smoothing), axis=-1)
    count = tf.reduce_sum(tf.cast(positive | negative, tf.float32), axis=1)
    return tf.reduce_sum(costs, axis=1) / tf.maximum(count, 1.0)


def _mean(costs: tf.Tensor, positive: tf.Tensor, negative: tf.Tensor) -> tf.Tensor:
    count = tf.reduce_sum(tf.cast(positive | negative, tf.float32), axis=1)
    return tf.reduce_sum(costs, axis=1) / tf.maximum(count, 1.0)
