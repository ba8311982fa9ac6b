"""One update: the loss terms of a batch, their gradients in parts, the optimizer, the averaged weights.

Shape shorthand: B images of a batch, n parts, V trainable variables.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from detector.api import Batch
from detector.architectures import build_detector
from detector.config import Experiment
from detector.networks.build import output_stride
from detector.supervision import Supervision
from detector.training.guard import check_gradients, check_terms, check_weights
from detector.training.optimizer import LossScale, clipped, make_optimizer, squared_norms
from detector.training.schedule import average_decay, check_recipe, learning_rate
from wordtree.tree import WordTree


class Trainer:
    """Model, optimizer and averaged weights, and one step over a batch, on one device.

    `detector.cluster.trainer` is the same on several. The weights are float32 in every precision. With `train.ema` a
    second such detector holds the averages. It is what is evaluated, and with `loss.weak_teacher` it chooses the boxes
    of labels-only images.

    Args:
        experiment: with its anchors filled in.
        tree: the classes.
        log: told when the step is compiled for a new size of input.
        supervision: what the training data says of each node, for detectors that want it.

    Attributes:
        replicas: copies of the network among which the images of a step are shared.

    Raises:
        ConfigError: if the experiment's options contradict each other.
    """

    replicas = 1

    def __init__(
        self,
        experiment: Experiment,
        tree: WordTree,
        log: Callable[[str], None] | None = None,
        *,
        supervision: Supervision | None = None,
    ) -> None:
        config = experiment.train
        keras.utils.set_random_seed(config.seed)
        keras.mixed_precision.set_global_policy(config.precision)
        check_recipe(experiment, output_stride(experiment.model))
        self.experiment, self.tree, self.log = experiment, tree, log
        self.detector = build_detector(experiment, tree)
        if supervision is not None:
            self.detector.supervise(supervision)
        self.model = self.detector.model
        self.optimizer = make_optimizer(config)
        self.optimizer.build(self.model.trainable_variables)
        self.loss_scale = LossScale(config)
        self.averaged = build_detector(experiment, tree) if config.ema else None
        self.start_averages()
        self.teacher = self.averaged if experiment.loss.weak_teacher else None
        self.step_function: Any = tf.function(self._step)
        self.compiled: set[tuple[int, ...]] = set()

    @property
    def evaluated(self) -> Any:
        """The detector that is evaluated: the averaged one where there is one."""
        return self.averaged or self.detector

    def scope(self) -> AbstractContextManager[Any]:
        """Where the variables may be set."""
        return nullcontext()

    def asked_to_stop(self, signal: int) -> int:
        """The signal that ends the run after the last step, 0 for none.

        Args:
            signal: that this process got so far.
        """
        return signal

    def start_averages(self) -> None:
        """Set the averages to the weights as they are now."""
        if self.averaged:
            for average, weight in zip(self.averaged.model.weights, self.model.weights, strict=True):
                average.assign(weight.value)

    def variables(self) -> dict[str, Any]:
        """Everything that a checkpoint holds, by name: a step is a function of it and of the step's batch."""
        named = {f"model/{weight.path}": weight for weight in self.model.weights}
        if self.averaged:
            averages = zip(self.model.weights, self.averaged.model.weights, strict=True)
            named |= {f"average/{weight.path}": average for weight, average in averages}
        known = {id(weight) for weight in self.model.weights}
        seeds = [variable for variable in self.model.variables if id(variable) not in known]  # of dropout
        named |= {f"random/{number}": variable for number, variable in enumerate(seeds)}  # paths count up in a process
        named |= {f"optimizer/{variable.path}": variable for variable in self.optimizer.variables}
        return named | self.loss_scale.variables()

    def train_step(self, batch: Batch, step: int, name_image: Callable[[int], str] | None = None) -> dict[str, float]:
        """One update; `step` counts from 0.

        Args:
            batch: B images.
            step: decides rate, decay and what the losses make of it.
            name_image: what to call image b of the batch in an error.

        Returns:
            The means over images of the loss terms, their sum `loss`, and `gradient_norm`.

        Raises:
            NotFiniteError: if a term or a gradient is not finite.
        """
        config = self.experiment.train
        self.optimizer.learning_rate = learning_rate(config, step)
        shape = tuple(batch.images.shape)
        if shape not in self.compiled:
            if self.log and len(self.compiled) + 1 <= max(len(config.multi_scale), 1):
                self.log(f"compiling for {shape[2]}x{shape[1]}")
            self.compiled.add(shape)
        before = tf.constant(step * config.batch_size)
        decay = tf.constant(average_decay(config, step), tf.float32)
        terms, squared = self.step_function(batch, before, decay)
        values = {name: value.numpy() for name, value in terms.items()}
        if not all(np.isfinite(value).all() for value in values.values()):
            check_terms(values, step, name_image, self._inputs(batch))
        squared = squared.numpy()
        if not self.loss_scale.active:  # there a step that overflows is skipped
            check_gradients(squared, [variable.path for variable in self.model.trainable_variables], step)
        means = {name: float(value.mean(dtype=np.float64)) for name, value in values.items()}
        norm = float(np.sqrt(np.sum(squared, dtype=np.float64)))
        return means | {"loss": sum(means.values()), "gradient_norm": norm if np.isfinite(norm) else 0.0}

    def _inputs(self, batch: Batch) -> list[np.ndarray]:
        """[B, ...] each, what the terms of a step's images are computed from."""
        return [np.asarray(field) for field in (batch.images, batch.boxes, batch.image_node_weight)]

    def check_weights(self, done: int) -> None:
        """Refuse to keep weights that are not finite.

        Raises:
            NotFiniteError: naming the first such weight.
        """
        check_weights([*self.model.weights, *(self.averaged.model.weights if self.averaged else [])], done)

    def _step(self, batch: Batch, before: Any, decay: Any) -> tuple[dict[str, Any], Any]:
        """Loss terms f32[B] by name, and f32[V] squared norms of the gradients."""
        terms, gradients = self._shares(batch, before)
        return terms, self._update(gradients, decay)

    def _shares(self, batch: Batch, before: Any) -> tuple[dict[str, Any], list[Any]]:
        """Loss terms of the images at hand, and their share of the gradient of the batch's mean."""
        if self.experiment.train.subdivisions == 1:
            return self._part(batch, before + self.experiment.train.batch_size)
        return self._in_parts(batch, before)

    def _update(self, gradients: list[Any], decay: Any) -> Any:
        """Clip and apply the gradient of the batch's mean; f32[V] its squared norms."""
        squared = squared_norms(gradients)
        gradients = clipped(gradients, tf.sqrt(tf.reduce_sum(squared)), self.experiment.train.clip_norm)
        if self.loss_scale.active:
            finite = tf.reduce_all(tf.math.is_finite(squared))
            tf.cond(finite, lambda: self._apply(gradients, decay), lambda: tf.constant(False))
            self.loss_scale.update(finite)
        else:
            self._apply(gradients, decay)
        return squared

    def _apply(self, gradients: list[Any], decay: Any) -> Any:
        self._apply_gradients(gradients)
        if self.averaged:
            for average, weight in zip(self.averaged.model.weights, self.model.weights, strict=True):
                average.assign(average.value + (1 - decay) * (weight.value - average.value))
        return tf.constant(True)

    def _apply_gradients(self, gradients: list[Any]) -> None:
        self.optimizer.apply(gradients, self.model.trainable_variables)

    def _part(self, part: Batch, images_seen: Any) -> tuple[dict[str, Any], list[Any]]:
        """Loss terms of a part's images, and its share of the gradient of the batch's mean over images."""
        config = self.experiment.train
        variables = self.model.trainable_variables
        scale = self.loss_scale.scale.value
        with tf.GradientTape() as tape:
            terms = self.detector.losses(part, training=True, images_seen=images_seen, teacher=self.teacher)
            loss = tf.add_n([tf.reduce_sum(term) for term in terms.values()]) / config.batch_size
            if self.loss_scale.active:
                loss = loss * scale
        gradients = tape.gradient(
            loss, [variable.value for variable in variables], unconnected_gradients=tf.UnconnectedGradients.ZERO
        )
        gradients = [tf.convert_to_tensor(gradient) for gradient in gradients]  # rows of a gathered kernel: made dense
        if self.loss_scale.active:
            gradients = [gradient / scale for gradient in gradients]
        return terms, gradients

    def _in_parts(self, batch: Batch, before: Any) -> tuple[dict[str, Any], list[Any]]:
        """`_part` for each part in turn, within the memory of one; batch normalisation sees the part, as in darknet."""
        config = self.experiment.train
        size = config.batch_size // (config.subdivisions * self.replicas)

        def cut(first: Any) -> Batch:
            return Batch(*(None if field is None else field[first : first + size] for field in batch))

        def spec(field: Any) -> Any:
            return None if field is None else tf.TensorSpec([size, *field.shape[1:]], field.dtype)

        part = tf.function(self._part).get_concrete_function(Batch(*map(spec, batch)), tf.TensorSpec([], before.dtype))
        names = list(part.structured_outputs[0])

        def body(number: Any, gradients: list[Any], terms: list[Any]) -> tuple[Any, list[Any], list[Any]]:
            found, added = part(with_shape(cut(number * size), size), before + (number + 1) * size * self.replicas)
            sums = [total + gradient for total, gradient in zip(gradients, added, strict=True)]
            rows = [array.write(number, found[name]) for name, array in zip(names, terms, strict=True)]
            return number + 1, sums, rows

        zeros = [tf.zeros(variable.shape, variable.dtype) for variable in self.model.trainable_variables]
        arrays = [tf.TensorArray(tf.float32, config.subdivisions, element_shape=[size]) for _ in names]
        _, gradients, arrays = tf.while_loop(
            lambda number, *_: number < config.subdivisions,
            body,
            [tf.constant(0), zeros, arrays],
            parallel_iterations=1,
        )
        return {name: array.concat() for name, array in zip(names, arrays, strict=True)}, gradients


def with_shape(part: Batch, size: int) -> Batch:
    """The same tensors with their number of images known."""
    return Batch(*(None if field is None else tf.ensure_shape(field, [size, *field.shape[1:]]) for field in part))
