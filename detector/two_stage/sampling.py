"""A balanced few of many anchors or proposals, drawn at random; the same for the same image of the stream.

The draws are a function of (seed, number of the image in the stream, purpose), whatever the size of the batch, so that
parts of a batch, several workers and a resumed run draw alike.

Shape shorthand: B images, S candidates.
"""

from __future__ import annotations

import tensorflow as tf

PURPOSES = {"anchors": 1, "rois": 2}


def image_numbers(images_seen: tf.Tensor, batch: tf.Tensor) -> tf.Tensor:
    """i64[B] the numbers of a batch's images in the stream.

    Replicas of a `tf.distribute` strategy share a batch in stretches, in their order.

    Args:
        images_seen: up to and with the batch of all replicas.
        batch: B, images of this replica.
    """
    context = tf.distribute.get_replica_context()
    behind = 1 if context is None else context.num_replicas_in_sync - context.replica_id_in_sync_group
    size = tf.cast(batch, tf.int64)
    return tf.cast(images_seen, tf.int64) - tf.cast(behind, tf.int64) * size + tf.range(size)


def draws(seed: int, purpose: str, numbers: tf.Tensor, count: tf.Tensor) -> tf.Tensor:
    """Even draws f32[B, count] in [0, 1), a row a function of (seed, purpose, number).

    Args:
        seed: of the run.
        purpose: of `PURPOSES`.
        numbers: i64[B] of the images.
        count: how many an image.
    """
    first = tf.constant(seed * len(PURPOSES) + PURPOSES[purpose], tf.int64)
    drawn = tf.map_fn(
        lambda number: tf.random.stateless_uniform([count], seed=tf.stack([first, number])),
        numbers,
        fn_output_signature=tf.float32,
    )
    return tf.ensure_shape(drawn, [numbers.shape[0], count if isinstance(count, int) else None])


def balanced_sample(
    positive: tf.Tensor, negative: tf.Tensor, drawn: tf.Tensor, *, size: int, share: float
) -> tuple[tf.Tensor, tf.Tensor]:
    """At most `size` of the candidates: of the positive ones at most `share` of that, the rest negative.

    Args:
        positive, negative: bool[B, S], never both.
        drawn: f32[B, S] in [0, 1); those with the highest draws are taken.
        size: sampled in all.
        share: of the positive ones at most, rounded down to a whole number.

    Returns:
        bool[B, S] sampled positives and bool[B, S] sampled negatives.
    """
    taken = _highest(positive, drawn, tf.constant(int(size * share)), size)
    left = size - tf.reduce_sum(tf.cast(taken, tf.int32), axis=1)
    return taken, _highest(negative, drawn, left[:, None], size)


def _highest(candidates: tf.Tensor, drawn: tf.Tensor, count: tf.Tensor, most: int) -> tf.Tensor:
    """bool[B, S]: the `count` (a number, or i32[B, 1], at most `most`) candidates with the highest draws."""
    keys = tf.where(candidates, drawn, -1.0)
    batch, total = tf.unstack(tf.shape(keys))
    found = tf.math.top_k(keys, tf.minimum(most, total))
    order = tf.range(tf.shape(found.indices)[1])[None]
    taken = (found.values >= 0) & (order < count)
    rows = tf.broadcast_to(tf.range(batch)[:, None], tf.shape(found.indices))
    marks = tf.scatter_nd(tf.stack([rows, found.indices], axis=-1), tf.cast(taken, tf.int32), [batch, total])
    return marks > 0
