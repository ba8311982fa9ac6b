"""Which anchor, or proposal, answers for which truth: the one that it overlaps most.

From `high` on it is an object, below `low` background, between them neither. With `force` the best anchor of every
truth is an object too, however little it overlaps, so that no truth is without one (Ren et al. 2015, section 3.1.2).
Where two truths have the same best anchor, the one that overlaps it more has it; of equals the first.

What lies by half in a region to ignore (a crowd) is no background: people did not name what is in there.

Shape shorthand: B images, S anchors, M truths.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import tensorflow as tf

from detector import box_ops

INSIDE = 0.5  # share of an anchor's area in a region to ignore


class Matches(NamedTuple):
    """What each anchor is taken for.

    Attributes:
        truth: i32[B, S] the row of the truth that it overlaps most; 0 where there is none.
        positive: bool[B, S] it is an object.
        negative: bool[B, S] it is background; anchors that are neither are not trained.
    """

    truth: tf.Tensor
    positive: tf.Tensor
    negative: tf.Tensor


def match(
    anchors: tf.Tensor,
    boxes: tf.Tensor,
    mask: tf.Tensor,
    *,
    low: float,
    high: float,
    force: bool,
    allowed: tf.Tensor | None = None,
    ignored: tf.Tensor | None = None,
) -> Matches:
    """Match by the highest overlap, with two thresholds.

    Args:
        anchors: f32[S, 4] or f32[B, S, 4] `rel_yxyx`.
        boxes: f32[B, M, 4] truths, and regions to ignore.
        mask: bool[B, M] rows that are truths.
        low, high: thresholds of the overlap (IoU).
        force: the best allowed anchor of every truth is positive.
        allowed: bool[S] or bool[B, S] anchors that may take part; None: all.
        ignored: bool[B, M] rows that are regions to ignore.
    """
    anchors = anchors if len(anchors.shape) == 3 else anchors[None]
    overlap = box_ops.pairwise_iou(anchors, boxes)  # [B, S, M]
    overlap = tf.where(mask[:, None], overlap, -1.0)
    count = tf.shape(overlap)[1]
    may: Any = allowed if allowed is None or len(allowed.shape) == 2 else allowed[None]
    if may is not None:
        overlap = tf.where(may[..., None], overlap, -1.0)
    best = tf.reduce_max(overlap, axis=2)
    truth = tf.argmax(overlap, axis=2, output_type=tf.int32)
    positive = best >= high
    if force:
        favourite = tf.argmax(overlap, axis=1, output_type=tf.int32)  # [B, M]
        meets = tf.reduce_max(overlap, axis=1) > 0
        forced = tf.one_hot(tf.where(meets, favourite, -1), count, axis=1, on_value=True, off_value=False)  # [B, S, M]
        chosen = tf.argmax(tf.where(forced, overlap, -2.0), axis=2, output_type=tf.int32)
        any_forced = tf.reduce_any(forced, axis=2)
        truth, positive = tf.where(any_forced, chosen, truth), positive | any_forced
    negative = (best < low) & ~positive
    if ignored is not None:
        negative &= ~in_regions(anchors, boxes, ignored)
    if may is not None:
        positive, negative = positive & may, negative & may
    return Matches(tf.where(best >= 0, truth, 0), positive, negative)


def in_regions(anchors: tf.Tensor, boxes: tf.Tensor, ignored: tf.Tensor) -> tf.Tensor:
    """bool[B, S]: anchors of which at least half lies in one of the rows `ignored` bool[B, M] of boxes."""
    low = tf.maximum(anchors[:, :, None, :2], boxes[:, None, :, :2])
    high = tf.minimum(anchors[:, :, None, 2:], boxes[:, None, :, 2:])
    inside = tf.reduce_prod(tf.maximum(high - low, 0.0), axis=-1)
    area = tf.reduce_prod(tf.maximum(anchors[..., 2:] - anchors[..., :2], 0.0), axis=-1)
    share = tf.math.divide_no_nan(inside, area[..., None])
    return tf.reduce_any((share >= INSIDE) & ignored[:, None], axis=2)
