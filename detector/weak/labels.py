"""The labels of a batch that a rule works on, and what the network says of them.

Shape shorthand: B images, S slots, L labels.
"""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from detector.api import Batch
from detector.region.slots import Predictions


class Labels(NamedTuple):
    """Labels that teach, in the order of the records.

    Attributes:
        nodes: i32[B, L], 0 where there is none.
        weights: f32[B, L] confidence, 0 where there is none.
        mask: bool[B, L] which are there.
    """

    nodes: tf.Tensor
    weights: tf.Tensor
    mask: tf.Tensor


def present_labels(batch: Batch) -> Labels:
    """All present labels of labels-only images; boxed images teach by their boxes."""
    return _labels(batch, (batch.image_node_sign > 0) & ~batch.has_boxes[:, None])


def first_label(batch: Batch) -> Labels:
    """The first present label of each labels-only image: darknet looks at no other."""
    present = present_labels(batch).mask
    return _labels(batch, present & (tf.cumsum(tf.cast(present, tf.int32), axis=1) == 1))


def absent_labels(batch: Batch) -> Labels:
    """Classes that people verified to be absent, of every image."""
    return _labels(batch, batch.image_node_sign < 0)


def _labels(batch: Batch, mask: tf.Tensor) -> Labels:
    mask &= batch.image_node_weight > 0
    return Labels(tf.where(mask, batch.image_nodes, 0), tf.where(mask, batch.image_node_weight, 0.0), mask)


def best_slot(scores: tf.Tensor) -> tf.Tensor:
    """The slot with the highest score for each label: f32[B, S, L] to i32[B, L]; no gradient."""
    return tf.argmax(tf.stop_gradient(scores), axis=1, output_type=tf.int32)


def label_log_prob(predictions: Predictions, slot: tf.Tensor, labels: Labels) -> tf.Tensor:
    """log P(label) in one slot each: i32[B, L] to f32[B, L], 0 where there is no label."""
    return tf.reduce_sum(predictions.classes.levels(slot, labels.nodes, labels.mask), axis=-1)


def object_log_prob(predictions: Predictions) -> tf.Tensor:
    """log P(object) of every slot, f32[B, S]."""
    return tf.math.log_sigmoid(predictions.object_logits)
