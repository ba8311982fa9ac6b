"""What a labels-only image teaches: one readable function a rule.

The thesis and the released programs differ in which slot a label supervises and in what happens to objectness:

    rule             slot chosen (choose.py)   objectness of the chosen slot   of the others    labels used
    paper            max P(label)              up to 0.3                       untouched        all
    release2017      max P(object) P(label)    up to 0.3                       down to 0        the first
    release2017_07   max P(object) P(label)    untouched                       untouched        the first
    head             max P(object) P(label)    untouched                       down to 0        the first
    marginal         all, as a mixture         through the mixture             through it       all
    ancestor         best boxed ancestor       untouched                       untouched        all
    size             largest likely object     untouched                       untouched        all
    objectness       likeliest object          untouched                       untouched        all

`modern` is another name for the best of them, today `marginal`.

`paper` is the thesis, section 2.4; `release2017` is darknet of 2017-01 (d2dece3d) and 2017-03; `release2017_07` of
2017-07 (616e6305); `head` its last version (f6afaabc), which computes the 0.3 and overwrites it with 0. The others are
ours to offer. The terms have darknet's scales, so that their gradients are its deltas.

Shape shorthand: B images, S slots, L labels.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from detector.api import Batch
from detector.config import LossConfig
from detector.region.slots import Predictions
from detector.weak import choose
from detector.weak.labels import (
    Labels,
    absent_labels,
    first_label,
    label_log_prob,
    object_log_prob,
    present_labels,
)

ASSUMED_IOU = 0.3
Terms = dict[str, tf.Tensor]


class Rule(NamedTuple):
    """What every rule works on.

    Attributes:
        predictions: of the network that learns.
        guide: predictions that choose the slots: of the averaged weights with `weak_teacher`, else the same.
        config: scales and switches.
        nearest_boxed: i32[N], see `detector.supervision`.
    """

    predictions: Predictions
    guide: Predictions
    config: LossConfig
    nearest_boxed: np.ndarray


def paper(rule: Rule, batch: Batch) -> tuple[Terms, Labels, tf.Tensor]:
    """Thesis, section 2.4: class loss at the box with the highest probability of the label, taken to overlap by 0.3."""
    labels = present_labels(batch)
    slot = choose.by_class(rule.guide, labels)
    return class_term(rule, labels, slot) | assumed_overlap(rule, labels, slot), labels, slot


def release2017(rule: Rule, batch: Batch) -> tuple[Terms, Labels, tf.Tensor]:
    """darknet of 2017-01: objectness in the choice, and every other box pushed to "no object"."""
    labels = first_label(batch)
    slot = choose.by_object_and_class(rule.guide, labels)
    terms = class_term(rule, labels, slot) | assumed_overlap(rule, labels, slot)
    return terms | no_other_object(rule, labels, slot), labels, slot


def release2017_07(rule: Rule, batch: Batch) -> tuple[Terms, Labels, tf.Tensor]:
    """darknet of 2017-07: the class alone."""
    labels = first_label(batch)
    slot = choose.by_object_and_class(rule.guide, labels)
    return class_term(rule, labels, slot), labels, slot


def head(rule: Rule, batch: Batch) -> tuple[Terms, Labels, tf.Tensor]:
    """darknet's last version: as 2017-01, but the chosen box's objectness is left alone."""
    labels = first_label(batch)
    slot = choose.by_object_and_class(rule.guide, labels)
    return class_term(rule, labels, slot) | no_other_object(rule, labels, slot), labels, slot


def marginal(rule: Rule, batch: Batch) -> tuple[Terms, Labels, tf.Tensor]:
    """-log sum_s softmax_s(objectness) P_s(label): the object is in one slot, which one is not known.

    With a teacher its responsibilities take the place of the sum: the M step of expectation maximisation.
    """
    labels = present_labels(batch)
    joint = _joint(rule.predictions, labels)
    if rule.guide is rule.predictions:
        likelihood = tf.reduce_logsumexp(joint, axis=1)  # [B, L]
        best = joint
    else:
        best = _joint(rule.guide, labels)
        likelihood = tf.reduce_sum(tf.stop_gradient(tf.nn.softmax(best, axis=1)) * joint, axis=1)
    slot = tf.argmax(tf.stop_gradient(best), axis=1, output_type=tf.int32)
    return {"weak_class": _negative(likelihood, labels, rule.config)}, labels, slot


def ancestor(rule: Rule, batch: Batch) -> tuple[Terms, Labels, tf.Tensor]:
    """The class at the likeliest object of the nearest boxed kind."""
    labels = present_labels(batch)
    slot = choose.by_ancestor(rule.guide, labels, rule.nearest_boxed)
    return class_term(rule, labels, slot), labels, slot


def size(rule: Rule, batch: Batch) -> tuple[Terms, Labels, tf.Tensor]:
    """The class at the largest likely object (Detic, Zhou et al. 2022)."""
    labels = present_labels(batch)
    slot = choose.by_size(rule.guide, labels)
    return class_term(rule, labels, slot), labels, slot


def objectness(rule: Rule, batch: Batch) -> tuple[Terms, Labels, tf.Tensor]:
    """The class at the likeliest object."""
    labels = present_labels(batch)
    slot = choose.by_objectness(rule.guide, labels)
    return class_term(rule, labels, slot), labels, slot


RULES = {
    "modern": marginal,  # the best one known so far: docs/weak-supervision.md
    "paper": paper,
    "release2017": release2017,
    "release2017_07": release2017_07,
    "head": head,
    "marginal": marginal,
    "ancestor": ancestor,
    "size": size,
    "objectness": objectness,
}


def weak_losses(
    predictions: Predictions,
    batch: Batch,
    *,
    config: LossConfig,
    nearest_boxed: np.ndarray,
    guide: Predictions | None = None,
    pseudo_on: tf.Tensor | float = 1.0,
) -> Terms:
    """Named terms f32[B] of the labels of labels-only images, and of verified absent labels of any image.

    Args:
        predictions: of the batch.
        batch: labels, signs, weights.
        config: the rule's name, scales and switches.
        nearest_boxed: i32[N] for the rule `ancestor`.
        guide: predictions that choose in place of the network's own.
        pseudo_on: 0 before pseudo-objectness begins, then 1.
    """
    rule = Rule(predictions, predictions if guide is None else guide, config, nearest_boxed)
    terms, labels, slot = RULES[config.weak](rule, batch)
    if config.weak_pseudo:
        terms["weak_pseudo"] = pseudo_objectness(rule, labels, slot) * pseudo_on
    if config.weak_negative_scale:
        terms["weak_absent"] = absent_term(rule, batch)
    return terms


def class_term(rule: Rule, labels: Labels, slot: tf.Tensor) -> Terms:
    """The cross-entropies on the label's path in the chosen slot."""
    likelihood = label_log_prob(rule.predictions, slot, labels)
    return {"weak_class": _negative(likelihood, labels, rule.config)}


def assumed_overlap(rule: Rule, labels: Labels, slot: tf.Tensor) -> Terms:
    """The chosen box is taken to overlap the object by 0.3: its objectness is pulled up to that, never down."""
    chosen = tf.gather(tf.sigmoid(rule.predictions.object_logits), slot, batch_dims=1)
    error = tf.where(chosen < ASSUMED_IOU, (ASSUMED_IOU - chosen) ** 2, 0.0)
    scale = 0.5 * rule.config.weak_object_scale * rule.config.object_scale
    return {"weak_object": scale * tf.reduce_sum(labels.weights * error, axis=1)}


def no_other_object(rule: Rule, labels: Labels, slot: tf.Tensor) -> Terms:
    """Every slot but the chosen one holds no object, says darknet."""
    probability = tf.sigmoid(rule.predictions.object_logits)
    slots = tf.shape(probability)[1]
    chosen = tf.one_hot(tf.where(labels.mask, slot, -1), slots, on_value=True, off_value=False)
    empty = tf.reduce_any(labels.mask, axis=1)[:, None] & ~tf.reduce_any(chosen, axis=1)
    scale = 0.5 * rule.config.weak_object_scale * rule.config.noobject_scale
    return {"weak_no_object": scale * tf.reduce_sum(tf.where(empty, probability**2, 0.0), axis=1)}


def pseudo_objectness(rule: Rule, labels: Labels, slot: tf.Tensor) -> tf.Tensor:
    """A chosen box that gives the label more than `weak_pseudo` is taken for an object."""
    sure = label_log_prob(rule.guide, slot, labels) > np.log(rule.config.weak_pseudo)
    chosen = tf.gather(tf.sigmoid(rule.predictions.object_logits), slot, batch_dims=1)
    error = tf.where(tf.stop_gradient(sure) & labels.mask, (1 - chosen) ** 2, 0.0)
    scale = 0.5 * rule.config.weak_object_scale * rule.config.object_scale
    return scale * tf.reduce_sum(labels.weights * error, axis=1)


def absent_term(rule: Rule, batch: Batch) -> tf.Tensor:
    """-log(1 - max_s P(object) P(node)): a verified absent class, and with it all below it, is nowhere."""
    labels = absent_labels(batch)
    slot = choose.by_object_and_class(rule.predictions, labels)
    chosen = tf.gather(object_log_prob(rule.predictions), slot, batch_dims=1)
    probability = tf.exp(label_log_prob(rule.predictions, slot, labels) + chosen)
    loss = -tf.math.log1p(-tf.minimum(probability, 1 - 1e-6))
    return rule.config.weak_negative_scale * tf.reduce_sum(labels.weights * loss, axis=1)


def _joint(predictions: Predictions, labels: Labels) -> tf.Tensor:
    """log of softmax_s(objectness) P_s(label): f32[B, S, L]."""
    slots = tf.nn.log_softmax(predictions.object_logits, axis=1)[..., None]
    return slots + predictions.classes.path_log_probs(labels.nodes, labels.mask)


def _negative(likelihood: tf.Tensor, labels: Labels, config: LossConfig) -> tf.Tensor:
    """The weighted loss f32[B] of log-likelihoods f32[B, L]: -log P, or (1 - P^q) / q (Zhang and Sabuncu 2018)."""
    q = config.weak_robust
    loss = (1 - tf.exp(q * likelihood)) / q if q else -likelihood
    return config.weak_scale * tf.reduce_sum(labels.weights * loss, axis=1)
