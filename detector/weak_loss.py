"""What a labels-only image teaches: one readable function a rule.

The thesis and the released programs differ in which slot a label supervises and in what happens to objectness; the last
rule is ours to offer (a marginal likelihood over slots, so that no early mistake locks in):

    rule          slot chosen            objectness of the chosen slot   objectness of the others
    paper         max P(label)           up to 0.3                       untouched
    release2017   max P(object) P(label) up to 0.3                       down to 0
    head          max P(object) P(label) untouched                       down to 0
    marginal      all, as a mixture      through the mixture             through the mixture

`paper` is the thesis, section 2.4: "back-propagate loss only ... at the box that predicts the highest probability for
that class", with the assumption that it overlaps the object by 0.3. `release2017` is darknet of 2017-01, `head` its
last version, which computes the 0.3 and overwrites it.

Shape shorthand: B images, S slots, L labels, N nodes, D depth.
"""

from __future__ import annotations

import tensorflow as tf

from detector.api import Batch
from detector.architectures.yolov2 import Predictions
from detector.config import LossConfig
from detector.tree_softmax import TreeTables, group_log_softmax, path_log_prob

ASSUMED_IOU = 0.3


def weak_losses(
    predictions: Predictions, batch: Batch, *, config: LossConfig, tables: TreeTables
) -> dict[str, tf.Tensor]:
    """Named terms f32[B] of the labels of labels-only images; 0 for boxed images and where no label is present."""
    present = (batch.image_node_sign > 0) & ~batch.has_boxes[:, None]
    weights = tf.where(present, batch.image_node_weight, 0.0)
    nodes = tf.where(present, batch.image_nodes, 0)
    log_probs = group_log_softmax(predictions.class_logits, tables)
    label_log_probs = path_log_prob(log_probs, nodes, tables)  # [B, S, L]
    if config.weak == "marginal":
        return _marginal(predictions, label_log_probs, weights, config)
    return _one_slot(predictions, label_log_probs, weights, config)


def _marginal(
    predictions: Predictions, label_log_probs: tf.Tensor, weights: tf.Tensor, config: LossConfig
) -> dict[str, tf.Tensor]:
    """-log sum_s softmax_s(objectness) P_s(label): the object is in one slot, which one is not known."""
    slot_log_probs = tf.nn.log_softmax(predictions.object_logits, axis=1)[..., None]
    likelihood = tf.reduce_logsumexp(slot_log_probs + label_log_probs, axis=1)  # [B, L]
    return {"weak_class": -config.weak_scale * tf.reduce_sum(weights * likelihood, axis=1)}


def _one_slot(
    predictions: Predictions, label_log_probs: tf.Tensor, weights: tf.Tensor, config: LossConfig
) -> dict[str, tf.Tensor]:
    """Choose one slot for each label and train the path of the label there."""
    choice = label_log_probs
    if config.weak != "paper":
        choice += tf.math.log_sigmoid(predictions.object_logits)[..., None]
    slot = tf.argmax(tf.stop_gradient(choice), axis=1, output_type=tf.int32)  # [B, L]
    chosen = tf.gather(tf.transpose(label_log_probs, [0, 2, 1]), slot, batch_dims=2)
    terms = {"weak_class": -config.weak_scale * tf.reduce_sum(weights * chosen, axis=1)}
    objectness = tf.sigmoid(predictions.object_logits)
    chosen_object = tf.gather(objectness, slot, batch_dims=1)
    scale = 0.5 * config.weak_object_scale
    if config.weak in ("paper", "release2017"):
        error = tf.where(chosen_object < ASSUMED_IOU, (ASSUMED_IOU - chosen_object) ** 2, 0.0)
        terms["weak_object"] = scale * config.object_scale * tf.reduce_sum(weights * error, axis=1)
    if config.weak in ("release2017", "head"):
        slots = tf.shape(objectness)[1]
        active = weights > 0
        taken = tf.reduce_any(tf.one_hot(tf.where(active, slot, -1), slots, on_value=True, off_value=False), axis=1)
        empty = tf.reduce_any(active, axis=1)[:, None] & ~taken
        no_object = tf.reduce_sum(tf.where(empty, objectness**2, 0.0), axis=1)
        terms["weak_no_object"] = scale * config.noobject_scale * no_object
    return terms
