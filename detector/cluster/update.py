"""An optimizer's update of one replica's own copy of the weights, without a word with the others.

Every replica has the same summed gradients and the same weights, so all come to the same new ones. Keras's own way
would sum the gradients once more, and cannot stand inside a condition (float16 skips steps).
"""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf


def apply_in_replica(optimizer: keras.optimizers.Optimizer, gradients: list[Any], variables: list[Any]) -> None:
    """What `optimizer.apply` does for an optimizer of `detector.training.optimizer`, in a replica's context.

    Args:
        optimizer: built.
        gradients: summed over the replicas, and clipped.
        variables: Keras variables.
    """
    rate = tf.convert_to_tensor(optimizer.learning_rate)
    own = [variable.value for variable in variables]
    if optimizer.weight_decay is not None:
        for variable in own:
            if optimizer._use_weight_decay(variable):
                variable.assign_sub(variable * tf.cast(optimizer.weight_decay * rate, variable.dtype))
    for gradient, variable in zip(gradients, own, strict=True):
        optimizer.update_step(gradient, variable, rate)
    iterations: Any = optimizer.iterations
    counter = iterations.value
    tf.raw_ops.AssignAddVariableOp(resource=counter.handle, value=tf.constant(1, counter.dtype))
