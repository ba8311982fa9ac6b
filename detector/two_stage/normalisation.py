"""Batch normalisation of the networks of keras.applications, with the batch's statistics by the library's own kernel.

The numbers are those of `keras.layers.BatchNormalization`, which the layer is and remains for everything else: frozen,
in inference, over several replicas. Keras takes mean, variance, product and sum, and their gradients, each in passes of
its own over the map: a step on ResNet-50 took 1.2 times the CPU time with them, in another run (docs/training-cost.md).
"""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

LEAST_EPSILON = 1.001e-5  # the kernel raises smaller ones


@keras.saving.register_keras_serializable("wordtree")
class FusedNormalization(keras.layers.BatchNormalization):
    """The same layer; in training the kernel does it where it can."""

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """Normalised maps; in training the moving mean and (biased) variance are updated."""
        if not (training and self.trainable and mask is None and self._fits(inputs)):
            return super().call(inputs, training=training, mask=mask)
        maps = tf.cast(inputs, tf.float32)
        channels = [maps.shape[-1]]
        outputs, mean, variance, *_ = tf.compat.v1.nn.fused_batch_norm(
            maps,
            tf.cast(self.gamma, tf.float32) if self.scale else tf.ones(channels),
            tf.cast(self.beta, tf.float32) if self.center else tf.zeros(channels),
            epsilon=self.epsilon,
            is_training=True,
        )
        count = tf.cast(tf.size(maps) // tf.shape(maps)[-1], tf.float32)
        biased = variance * ((count - 1) / count)  # the kernel's is over one fewer
        moving: Any
        for moving, batch in ((self.moving_mean, mean), (self.moving_variance, biased)):
            moving.assign(moving.value * self.momentum + tf.stop_gradient(batch) * (1 - self.momentum))
        return tf.cast(outputs, self.compute_dtype)

    def _fits(self, inputs: Any) -> bool:
        return (
            len(inputs.shape) == 4
            and self.axis in (-1, 3)
            and not self.synchronized
            and not self.renorm
            and self.epsilon >= LEAST_EPSILON
        )
