"""Only boxes that can still reach the threshold get classes.

A score is P(object) times a probability, or P(object) itself: never above P(object). So a box with
P(object) <= threshold has no detection under any rule, and leaving it out changes nothing.

Shape shorthand: B images, S slots, K slots kept.
"""

from __future__ import annotations

import tensorflow as tf


def likely_slots(
    object_logits: tf.Tensor, threshold: float, candidates: int | None = None
) -> tuple[tf.Tensor, tf.Tensor]:
    """The slots with sigmoid(logit) > threshold, in their own order.

    Args:
        object_logits: f32[B, S].
        threshold: in [0, 1].
        candidates: K for graphs whose shapes must be known; the best by objectness, so that with more likely slots
            than that some are lost. None: as many as the batch's fullest image has, at least one; nothing is lost.

    Returns:
        slots i32[B, K], rising, and bool[B, K] which of them are likely.
    """
    likely = tf.sigmoid(object_logits) > threshold
    if candidates is None:
        count = tf.maximum(tf.reduce_max(tf.reduce_sum(tf.cast(likely, tf.int32), axis=1)), 1)
    else:
        count = tf.minimum(candidates, tf.shape(object_logits)[1])
    best = tf.math.top_k(object_logits, count, sorted=False).indices
    slots = tf.sort(best, axis=1)
    return slots, tf.gather(likely, slots, batch_dims=1)
