"""A network of the oracle in float64, written for itself: gradients, steps of training, and what rounding decides.

A rectifier whose input is 0 but for rounding, and a max-pool whose two largest values are equal but for rounding, send
their gradient one way or the other. The network's definition does not say which, and two right programs may differ.
Such a choice is listed as `Undecided`, and the reference can take its other way (`turned`). Numbers are right if they
are the reference's for some way of taking these choices, to the full tolerance in every entry (`assert_equal`).

Maps are [B, H, W, C]. What the loss says of the logits comes from the project's own loss, which the cases R* hold to
the programs' numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from detector.darknet.shapes import ConvShape
from detector.darknet.weights import read_weights
from detector.networks.layers import AvgPool, Conv, Dropout, Layer, MaxPool, Reorg, Route

EDGE = 2e-5  # rounding of float32 through ten normalised layers, whose values are of the size of 1
MOST_TURNED = 4  # more of them would be a fault, not rounding
SLOPE = 0.1
FAR_BELOW = -1e30  # what a max-pool finds outside of a map

Numbers = dict[str, np.ndarray]


class Undecided(NamedTuple):
    """A choice that rounding takes: at `unit` of the output of layer `layer`, in the pass of `step`."""

    step: int
    layer: int
    unit: tuple[int, ...]


Turned = frozenset[Undecided]
Effects = dict[Undecided, Numbers]  # what changes where a choice is taken the other way; keys left out: nothing
Result = tuple[Numbers, Effects]


class Choice(NamedTuple):
    """A layer that chooses: its output, what the other way adds to it, and how far each unit is from the edge."""

    output: tf.Tensor
    swing: tf.Tensor
    margin: np.ndarray


class ReferenceNetwork:
    """The layers of a case with its first weights; keys are Lxx_w, _b, _scale, _mean and _var, in darknet's layout.

    Args:
        case: of darknet_cases.
        shapes: of its convolutions.
        loss: the summed loss of logits f32[B, H, W, C], given the images seen.
    """

    def __init__(self, case: Any, shapes: Sequence[ConvShape], loss: Callable[[tf.Tensor, int], tf.Tensor]) -> None:
        self.layers, self.loss, self.facts = case.cfg.all_layers, loss, case.facts
        self.images = tf.constant(case.images.transpose(0, 2, 3, 1).astype(np.float64))
        self.first = numbers_of(case.folder / "init.weights", shapes, self.layers)

    def gradients(self, turned: Turned = frozenset()) -> Result:
        """Of every parameter at the first weights, with darknet's sign; batch normalisation as in training."""
        gradients, _, effects = self._run(self.first, 0, self.facts["batch"], turned)
        return _as_deltas(gradients), {choice: _as_deltas(effect) for choice, effect in effects.items()}

    def trained(self, turned: Turned = frozenset()) -> Result:
        """Weights and statistics after the case's steps; effects to first order."""
        batch, seen = self.facts["batch"], self.facts.get("seen_before_first_step", 0)
        rate, momentum, steps = self.facts["lr"], self.facts["momentum"], self.facts["sgd_steps"]
        state, speed, effects = dict(self.first), {}, {}
        for step in range(steps):
            gradients, moments, swings = self._run(state, step, seen + (step + 1) * batch, turned)
            for key, gradient in gradients.items():
                pull = gradient / batch + (self.facts["decay"] * state[key] if key.endswith("_w") else 0.0)
                speed[key] = momentum * speed.get(key, 0.0) - rate * pull
                state[key] = state[key] + speed[key]
            state |= {key: 0.99 * state[key] + 0.01 * value for key, value in moments.items()}
            share = -rate / batch * sum(momentum**k for k in range(steps - step))
            effects |= {
                choice: {key: share * value for key, value in swing.items()} for choice, swing in swings.items()
            }
        return state, effects

    def _run(self, state: Numbers, step: int, images_seen: int, turned: Turned) -> tuple[Numbers, Numbers, Effects]:
        """Gradients of the summed loss, statistics of the batch, and, where nothing is turned, effects."""
        values = {key: tf.constant(value) for key, value in state.items() if not key.endswith(("_mean", "_var"))}
        moments: Numbers = {}
        choices: dict[int, Choice] = {}
        outputs: list[tf.Tensor] = []
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(values)
            for index, layer in enumerate(self.layers):
                x = outputs[-1] if outputs else self.images
                other = [choice.unit for choice in turned if (choice.step, choice.layer) == (step, index)]
                if isinstance(layer, Conv):
                    x = convolution(x, layer, f"L{index:02d}", values, moments)
                    if layer.activation == "leaky":
                        choices[index] = rectifier(x, other)
                elif isinstance(layer, MaxPool):
                    choices[index] = pool(x, layer, other)
                else:
                    x = plain(x, layer, outputs)
                outputs.append(choices[index].output if index in choices else x)
        logits = tf.cast(outputs[-1], tf.float32)
        with tf.GradientTape() as head:
            head.watch(logits)
            loss = self.loss(logits, images_seen)
        at_logits = tf.cast(head.gradient(loss, logits), tf.float64)
        effects: Effects = {}
        for index, choice in choices.items() if not turned else ():
            flow = tape.gradient(outputs[-1], choice.output, output_gradients=at_logits).numpy()
            for unit in map(tuple, np.argwhere(np.abs(choice.margin) < EDGE)):
                at_unit = np.zeros_like(flow)
                at_unit[unit] = flow[unit]
                effect = tape.gradient(choice.swing, values, output_gradients=tf.constant(at_unit))
                effects[Undecided(step, index, tuple(int(k) for k in unit))] = _numbers(effect)
        return _numbers(tape.gradient(outputs[-1], values, output_gradients=at_logits)), moments, effects


def _numbers(tensors: Mapping[str, tf.Tensor | None]) -> Numbers:
    return {key: tensor.numpy() for key, tensor in tensors.items() if tensor is not None}


def _as_deltas(gradients: Numbers) -> Numbers:
    return {f"grad_{key}": -value for key, value in gradients.items()}


def convolution(x: tf.Tensor, layer: Conv, key: str, values: Mapping[str, Any], moments: Numbers) -> tf.Tensor:
    """With its batch normalisation or bias, before the activation; the unbiased variance goes to the statistics."""
    pad = layer.size // 2 if layer.pad is None else layer.pad
    kernel = tf.transpose(values[f"{key}_w"], (2, 3, 1, 0))
    x = tf.nn.conv2d(x, kernel, layer.stride, [[0, 0], [pad, pad], [pad, pad], [0, 0]])
    if not layer.batch_norm:
        return x + values[f"{key}_b"]
    mean = tf.reduce_mean(x, axis=[0, 1, 2])
    variance = tf.reduce_mean((x - mean) ** 2, axis=[0, 1, 2])
    count = int(np.prod(x.shape[:3]))
    moments |= {f"{key}_mean": mean.numpy(), f"{key}_var": variance.numpy() * count / (count - 1)}
    return (x - mean) / tf.sqrt(variance + 1e-5) * values[f"{key}_scale"] + values[f"{key}_b"]


def rectifier(x: tf.Tensor, other: Sequence[tuple[int, ...]]) -> Choice:
    """The leaky rectifier, with the other slope at the units `other`."""
    slope = np.where(x.numpy() > 0, 1.0, SLOPE)
    for unit in other:
        slope[unit] = 1.0 + SLOPE - slope[unit]
    return Choice(x * slope, x * (1.0 + SLOPE - 2 * slope), x.numpy())


def pool(x: tf.Tensor, layer: MaxPool, other: Sequence[tuple[int, ...]]) -> Choice:
    """Maxima of windows, the second largest at the units `other`."""
    padding = layer.size - 1 if layer.padding is None else layer.padding
    before, after = padding // 2, padding - padding // 2
    x = tf.pad(x, [[0, 0], [before, after], [before, after], [0, 0]], constant_values=FAR_BELOW)
    side, step = [1, layer.size, layer.size, 1], [1, layer.stride, layer.stride, 1]
    windows = tf.image.extract_patches(x, side, step, [1, 1, 1, 1], "VALID")
    windows = tf.reshape(windows, [*windows.shape[:3], layer.size**2, x.shape[-1]])
    first, second = np.moveaxis(np.argsort(-windows.numpy(), axis=3, kind="stable")[:, :, :, :2], 3, 0)
    for unit in other:
        first[unit], second[unit] = second[unit], first[unit]
    largest, next_ = (
        tf.reduce_sum(windows * tf.one_hot(chosen, layer.size**2, axis=3, dtype=tf.float64), axis=3)
        for chosen in (first, second)
    )
    return Choice(largest, next_ - largest, (largest - next_).numpy())


def plain(x: tf.Tensor, layer: Layer, outputs: Sequence[tf.Tensor]) -> tf.Tensor:
    """Layers without weights and without a choice."""
    if isinstance(layer, Route):
        return tf.concat([outputs[number] for number in layer.layers], axis=-1)
    if isinstance(layer, AvgPool):
        return tf.reduce_mean(x, axis=[1, 2], keepdims=True)
    if isinstance(layer, Dropout):
        return x
    if not isinstance(layer, Reorg):
        raise TypeError(f"no reference for {layer!r}")
    batch, height, width, channels = x.shape
    s, part = layer.stride, channels // layer.stride**2
    memory = tf.reshape(tf.transpose(x, (0, 3, 1, 2)), [batch, part, s * height, s * width])
    maps = [memory[:, k % part, k // part // s :: s, k // part % s :: s] for k in range(channels)]
    memory = tf.reshape(tf.stack(maps, axis=1), [batch, channels * s * s, height // s, width // s])
    return tf.transpose(memory, (0, 2, 3, 1))


def numbers_of(path: Path, shapes: Sequence[ConvShape], layers: Sequence[Layer]) -> Numbers:
    """A .weights file in float64 by key."""
    convolutions = [index for index, layer in enumerate(layers) if isinstance(layer, Conv)]
    found: Numbers = {}
    for index, numbers in zip(convolutions, read_weights(path, shapes).layers, strict=True):
        named = {"w": numbers.kernel, "b": numbers.biases, "scale": numbers.scales}
        named |= {"mean": numbers.means, "var": numbers.variances}
        found |= {f"L{index:02d}_{name}": np.asarray(v, np.float64) for name, v in named.items() if v is not None}
    return found


def assert_equal(found: Numbers, reference: Callable[[Turned], Result], first: Result, atol: Numbers) -> None:
    """Every entry is the reference's to `atol`, for some way of taking a few of the undecided choices.

    Choices are turned one at a time, that one first which explains most of the difference. `first`: nothing turned.
    """
    expected, effects = first
    assert found.keys() == expected.keys() == atol.keys()
    turned: Turned = frozenset()
    while len(turned) < MOST_TURNED:
        rest = {key: (found[key] - value) / atol[key] for key, value in expected.items()}
        if max(np.abs(value).max() for value in rest.values()) <= 1:
            break
        gain = {
            choice: sum(float(np.sum(rest[k] ** 2 - (rest[k] - value / atol[k]) ** 2)) for k, value in effect.items())
            for choice, effect in effects.items()
            if choice not in turned
        }
        turned |= {max(gain, key=gain.__getitem__)}
        expected, _ = reference(turned)
    for key, value in expected.items():
        np.testing.assert_allclose(found[key], value, rtol=0, atol=atol[key], err_msg=f"{key}, turned: {turned}")
