"""Batch normalisation as darknet has it on a GPU, by the library's own kernel; on a CPU where it is asked for.

    training    y = gamma (x - mean) / sqrt(variance + epsilon) + beta, with the batch's biased variance
                moving = momentum moving + (1 - momentum) batch, with the batch's unbiased variance, N / (N - 1)
    inference   the same with the moving mean and variance

`keras.layers.BatchNormalization` keeps the biased variance as the moving one, and multiplies out x scale + shift, which
loses digits where they cancel. The kernel has neither fault, and is one pass over the map instead of several.

darknet's program on a CPU divides by sqrt(moving variance) + 1e-6 in inference: `as_on_a_cpu`.

Weights are those of the Keras layer: gamma (darknet's scales), beta (darknet's biases), moving_mean, moving_variance,
float32 in every precision.
"""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable("wordtree")
class DarknetNormalization(keras.layers.Layer):
    """[B, H, W, C] to the same shape and type.

    Args:
        momentum: of the moving mean and variance.
        epsilon: added to the variance; the kernel takes at least 1.001e-5.
        **options: of every Keras layer.
    """

    def __init__(self, momentum: float = 0.99, epsilon: float = 1e-5, **options: Any) -> None:
        super().__init__(**options)
        self.momentum, self.epsilon = momentum, epsilon
        self.on_cpu = False  # whether inference takes the formula of darknet's CPU program
        self.batch_norm: Any = fused_batch_norm  # `detector.cluster.batch_norm` has one over all replicas

    def build(self, input_shape: Any) -> None:
        """One number a channel, each."""
        self.gamma = self._weight("gamma", "ones", input_shape, trainable=True)
        self.beta = self._weight("beta", "zeros", input_shape, trainable=True)
        self.moving_mean = self._weight("moving_mean", "zeros", input_shape, trainable=False)
        self.moving_variance = self._weight("moving_variance", "ones", input_shape, trainable=False)

    def _weight(self, name: str, initializer: str, input_shape: Any, *, trainable: bool) -> Any:
        shape = (int(input_shape[-1]),)
        return self.add_weight(
            shape=shape, initializer=initializer, dtype="float32", autocast=False, trainable=trainable, name=name
        )

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Normalised maps; in training the moving mean and variance are updated."""
        if (not training or not self.trainable) and self.on_cpu:  # step by step as there, for the last digits
            centred = inputs - self.moving_mean.value
            return centred / (tf.sqrt(self.moving_variance.value) + 1e-6) * self.gamma.value + self.beta.value
        if not training or not self.trainable:
            return tf.compat.v1.nn.fused_batch_norm(
                inputs,
                self.gamma.value,
                self.beta.value,
                self.moving_mean.value,
                self.moving_variance.value,
                epsilon=self.epsilon,
                is_training=False,
            )[0]
        outputs, mean, variance = self.batch_norm(
            inputs, self.gamma.value, self.beta.value, self.moving_mean.value, self.epsilon
        )
        for moving, batch in ((self.moving_mean, mean), (self.moving_variance, variance)):
            moving.assign(moving.value * self.momentum + tf.stop_gradient(batch) * (1 - self.momentum))
        return outputs

    def compute_output_shape(self, input_shape: Any) -> Any:
        """As the input."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """What `from_config` takes."""
        return {**super().get_config(), "momentum": self.momentum, "epsilon": self.epsilon}


def as_on_a_cpu(model: keras.Model) -> None:
    """Let a network infer with darknet's CPU formula from now on; what was traced before stays as it was."""
    for layer in model.layers:
        if isinstance(layer, DarknetNormalization):
            layer.on_cpu = True


def fused_batch_norm(inputs: Any, gamma: Any, beta: Any, shift: Any, epsilon: float) -> tuple[Any, Any, Any]:
    """Normalised maps, the batch's mean and its unbiased variance, by the library's kernel; `shift` is not used."""
    del shift
    return tf.compat.v1.nn.fused_batch_norm(inputs, gamma, beta, epsilon=epsilon, is_training=True)[:3]
