"""The update of the weights: darknet's momentum, AdamW, clipping, and the scale of the loss under float16.

darknet, for a batch of B images (delta is minus the gradient of the loss summed over images):

    v = momentum v + sum(delta) - decay B w        decay on convolution kernels alone
    w = w + lr / B v

With g the gradient of the mean over images and u = -v / B this is u = momentum u + g + decay w; w = w - lr u. The rate
stands outside of the velocity; in `keras.optimizers.SGD` it stands inside, which is another path as soon as the rate
changes: after a step from lr to lr / 10 Keras goes on for a while at the old pace.
"""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from detector.config import TrainConfig

FIRST_SCALE = 2.0**15
STEPS_TO_DOUBLE = 2000
LEAST_SCALE = 2.0**-14


class DarknetSgd(keras.optimizers.Optimizer):
    """Momentum with decay inside the velocity and the learning rate outside of it.

    Args:
        learning_rate: of the next step.
        momentum: of the velocity.
        kernel_decay: of variables whose name ends in "kernel".
    """

    def __init__(self, learning_rate: float = 1e-3, momentum: float = 0.9, kernel_decay: float = 0.0) -> None:
        super().__init__(learning_rate=learning_rate, name="darknet_sgd")
        self.momentum, self.kernel_decay = momentum, kernel_decay
        self.velocities: Any = []
        self.decayed: list[bool] = []

    def build(self, variables: list[Any]) -> None:
        """Make one velocity a variable."""
        if not self.built:
            super().build(variables)
            self.velocities = self.add_optimizer_variables(variables, "velocity")
            self.decayed = [is_kernel(variable) for variable in variables]

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """One variable's update; `variable` is TensorFlow's own, below Keras's.

        Done by two fused kernels that read and write each number once: with 29 million class weights the passes over
        memory are what an update costs. The decay goes into the velocity as decay / momentum before the momentum.
        """
        index = self._get_variable_index(variable)
        velocity = self.velocities[index].value
        decay = self.kernel_decay if self.decayed[index] else 0.0
        if decay and self.momentum:
            alpha = tf.constant(-decay / self.momentum, variable.dtype)
            tf.raw_ops.ResourceApplyGradientDescent(var=velocity.handle, alpha=alpha, delta=variable)
        elif decay:
            gradient = gradient + decay * variable
        tf.raw_ops.ResourceApplyMomentum(
            var=variable.handle,
            accum=velocity.handle,
            lr=tf.cast(learning_rate, variable.dtype),
            grad=gradient,
            momentum=tf.constant(self.momentum, variable.dtype),
        )


def is_kernel(variable: Any) -> bool:
    """Whether decay applies: kernels of convolutions and of the head; no bias, scale or shift of a normalisation."""
    return variable.path.endswith("kernel")


def make_optimizer(config: TrainConfig) -> keras.optimizers.Optimizer:
    """darknet's momentum, or AdamW with decay on kernels alone."""
    if config.optimizer == "sgd":
        return DarknetSgd(config.learning_rate, config.momentum, config.weight_decay)
    optimizer = keras.optimizers.AdamW(config.learning_rate, weight_decay=config.weight_decay, name="adamw")
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return optimizer


class LossScale:
    """Dynamic scale of the loss, so that small float16 gradients do not vanish; 1 in other precisions.

    A step whose gradients overflow is skipped and halves the scale; STEPS_TO_DOUBLE good ones double it. The variables
    belong to the checkpoint.

    Args:
        config: its precision decides.
    """

    def __init__(self, config: TrainConfig) -> None:
        self.active = config.precision == "mixed_float16"
        self.scale = keras.Variable(FIRST_SCALE if self.active else 1.0, trainable=False, name="loss_scale")
        self.good = keras.Variable(0, dtype="int32", trainable=False, name="good_steps")

    def variables(self) -> dict[str, Any]:
        """By the name in a checkpoint."""
        return {"loss_scale/scale": self.scale, "loss_scale/good_steps": self.good} if self.active else {}

    def update(self, finite: Any) -> None:
        """After a step, in the graph: `finite` says whether its gradients were."""
        good = tf.where(finite, self.good.value + 1, 0)
        double = good >= STEPS_TO_DOUBLE
        factor = tf.where(finite, tf.where(double, 2.0, 1.0), 0.5)
        self.scale.assign(tf.clip_by_value(self.scale.value * factor, LEAST_SCALE, 2.0**24))
        self.good.assign(tf.where(double, 0, good))


def squared_norms(gradients: list[Any]) -> Any:
    """f32[V] the squared norm of each gradient; not finite where the gradient is not."""
    return tf.stack([2.0 * tf.nn.l2_loss(tf.cast(gradient, tf.float32)) for gradient in gradients])


def clipped(gradients: list[Any], norm: Any, limit: float) -> list[Any]:
    """The gradients, shortened together where their common `norm` is above `limit`; 0: as they are."""
    if not limit:
        return gradients
    factor = limit / tf.maximum(norm, limit)
    return [gradient * tf.cast(factor, gradient.dtype) for gradient in gradients]
