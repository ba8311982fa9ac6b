"""Batch normalisation over the images of all replicas, as if one device had computed them.

Each replica sums x - k and its square, k the moving mean, which all share and which is near the true mean: nothing is
lost where they cancel. One sum over the replicas of 2 C numbers forward and one backward for each layer; the gradient
of a sum over replicas is the same sum.
"""

# pyright: reportArgumentType=false, reportOperatorIssue=false, reportOptionalOperand=false
# (TensorFlow's own annotations know no operators of tensors.)

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras
import tensorflow as tf

from detector.darknet.normalisation import DarknetNormalization


def synchronise(model: keras.Model) -> int:
    """Let every batch normalisation of `model` use the statistics of all replicas; returns how many there are.

    Those of `keras.layers` bring their own way of doing so.
    """
    count = 0
    for layer in _layers(model):
        if isinstance(layer, DarknetNormalization):
            layer.batch_norm = replicas_batch_norm
        elif isinstance(layer, keras.layers.BatchNormalization):
            layer.synchronized = True
        else:
            continue
        count += 1
    return count


def replicas_batch_norm(
    inputs: tf.Tensor, gamma: Any, beta: Any, shift: Any, epsilon: float
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Normalise by the mean and the biased variance over the maps of all replicas; runs in a replica's context.

    Args:
        inputs: [B, H, W, C] of this replica; all have as many images.
        gamma, beta: f32[C].
        shift: f32[C] the same in all replicas, near the mean.
        epsilon: added to the variance.

    Returns:
        [B, H, W, C] of the inputs' type, f32[C] mean, f32[C] unbiased variance.
    """
    x = tf.cast(inputs, tf.float32)
    shift = tf.stop_gradient(tf.convert_to_tensor(shift))
    context = tf.distribute.get_replica_context()
    centred = x - shift
    axes = [0, 1, 2]
    own = tf.stack([tf.reduce_mean(centred, axes), tf.reduce_mean(tf.square(centred), axes)])
    replicas = context.num_replicas_in_sync
    mean, square = tf.unstack(context.all_reduce(tf.distribute.ReduceOp.SUM, own) / replicas)
    variance = tf.maximum(square - tf.square(mean), 0.0)
    outputs = (centred - mean) * (gamma * tf.math.rsqrt(variance + epsilon)) + beta
    count = tf.cast(tf.size(x) // tf.shape(x)[-1] * replicas, tf.float32)
    return tf.cast(outputs, inputs.dtype), shift + mean, variance * count / tf.maximum(count - 1.0, 1.0)


def _layers(model: Any) -> Iterator[Any]:
    """All layers, those within models too."""
    for layer in model.layers:
        yield layer
        if hasattr(layer, "layers"):
            yield from _layers(layer)
