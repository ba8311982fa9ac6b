"""RoIs of the second stage: which proposals are trained, and what is said of them, as slots.

Of a boxed image a balanced few of the proposals (and the truths) are looked at; of a labels-only image the likeliest
proposals, which are what the rules of `detector.weak` choose among. So one batch of crops serves both.

As slots (`detector.region.slots.Predictions`) RoIs can be decoded, scored and supervised by labels like the slots of a
one-stage head.

Shape shorthand: B images, S anchors, P proposals, M truths, R RoIs, K positive RoIs at most.
"""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from detector.api import Batch
from detector.region.classes import ClassScores
from detector.region.slots import Predictions
from detector.two_stage.matching import match
from detector.two_stage.proposals import Proposals, filled
from detector.two_stage.sampling import balanced_sample

NEVER = -1e4  # logit of what is not there; finite, so that gradients stay so


class Rois(NamedTuple):
    """What the second stage is trained on. Positive ones stand first, so that they are in the first K rows.

    Attributes:
        boxes: f32[B, R, 4] `rel_yxyx`; zeros where there is none.
        positive: bool[B, R] an object of a boxed image.
        negative: bool[B, R] background of a boxed image.
        truth: i32[B, R] row of the truth that it overlaps most, where positive.
    """

    boxes: tf.Tensor
    positive: tf.Tensor
    negative: tf.Tensor
    truth: tf.Tensor


def truth_mask(batch: Batch) -> tf.Tensor:
    """bool[B, M]: rows of a batch's boxes that are truths, not regions to ignore."""
    return batch.box_mask & (batch.nodes >= 0) & batch.has_boxes[:, None]


def ignore_mask(batch: Batch) -> tf.Tensor:
    """bool[B, M]: rows that are regions to ignore."""
    return batch.box_mask & (batch.nodes < 0) & batch.has_boxes[:, None]


def draw_count(anchors: tf.Tensor, truths: int, add_truths: bool) -> tf.Tensor:
    """Draws that `choose_rois` needs an image."""
    return anchors + (truths if add_truths else 0)


def choose_rois(
    proposals: Proposals,
    batch: Batch,
    drawn: tf.Tensor,
    *,
    size: int,
    share: float,
    threshold: float,
    add_truths: bool,
) -> Rois:
    """The RoIs of a training step.

    Args:
        proposals: of the first stage.
        batch: truths, and which images have them.
        drawn: f32[B, S or S + M] in [0, 1), see `sampling.draws`: of each anchor, and of each truth. A proposal's is
            that of its anchor: two that are about as likely change ranks by rounding, which changes no draw.
        size: R.
        share: of the positive ones at most.
        threshold: an overlap (IoU) from here on makes an object, below it background.
        add_truths: the truths are candidates too.
    """
    truths = truth_mask(batch)
    boxes, mask = proposals.boxes, proposals.mask
    by_anchor = drawn
    drawn = tf.gather(by_anchor, proposals.anchors, batch_dims=1)
    if add_truths:
        drawn = tf.concat([drawn, by_anchor[:, -int(batch.boxes.shape[1]) :]], axis=1)
        boxes = tf.concat([boxes, tf.where(truths[..., None], batch.boxes, 0.0)], axis=1)
        mask = tf.concat([mask, truths], axis=1)
    matches = match(
        boxes,
        batch.boxes,
        truths,
        low=threshold,
        high=threshold,
        force=False,
        allowed=mask,
        ignored=ignore_mask(batch),
    )
    boxed = batch.has_boxes[:, None]
    positive, negative = balanced_sample(
        matches.positive & boxed, matches.negative & boxed, drawn, size=size, share=share
    )
    count = tf.shape(boxes)[1]
    rank = tf.cast(tf.range(count), tf.float32) / tf.cast(count, tf.float32)  # proposals come by falling likeliness
    keys = tf.where(positive, 2 + drawn, tf.where(negative, drawn, -1.0))
    keys = tf.where(boxed, keys, tf.where(mask, 1 - rank, -1.0))
    missing = [[0, 0], [0, tf.maximum(size - count, 0)]]
    found = tf.math.top_k(tf.pad(keys, missing, constant_values=-1.0), size)

    def at(values: tf.Tensor) -> tf.Tensor:
        return tf.gather(tf.pad(values, missing + [[0, 0]] * (len(values.shape) - 2)), found.indices, batch_dims=1)

    there = found.values >= 0
    return Rois(
        boxes=tf.stop_gradient(tf.where(there[..., None], at(boxes), 0.0)),
        positive=at(positive) & there,
        negative=at(negative) & there,
        truth=at(matches.truth),
    )


def roi_slots(boxes: tf.Tensor, rois: tf.Tensor, entries: tf.Tensor, classes: ClassScores) -> Predictions:
    """RoIs as slots, in their order.

    Args:
        boxes: f32[B, R, 4] what each slot's box is said to be: the RoI, or the box that the second stage makes of it,
            cut to the picture.
        rois: f32[B, R, 4] as they were cropped. Where either is empty there is never an object.
        entries: f32[B, R, 5] codes x, y, w, h, and objectness.
        classes: of the RoIs.
    """
    return Predictions(
        offsets=entries[..., 0:2],
        sizes=entries[..., 2:4],
        object_logits=tf.where(filled(rois) & filled(boxes), entries[..., 4], NEVER),
        boxes=boxes,
        classes=classes,
        priors=tf.zeros([1, 2]),
        grid=tf.stack([tf.shape(rois)[1], 1]),
    )
