"""Weights between a .weights file and the Keras layers of a detector, bit for bit.

darknet                                  Keras
kernel [n][c][k][k]                      conv01: kernel [k, k, c, n]
biases, scales, means, variances         norm01: beta, gamma, moving_mean, moving_variance
biases without normalisation             conv01: bias
last convolution, filter a (5 + N) + e   region: box_kernel [F, A, 5], box_bias [A, 5] for e < 5, then
                                         class_kernel [A, N, F], class_bias [A, N]
last convolution of a classifier         classes: kernel [1, 1, F, N], bias [N]
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from detector.darknet.weights import LayerWeights, WeightsFile, check_numbers, read_weights
from detector.networks.shapes import ConvShape
from schemas.errors import ConfigError

BOX_ENTRIES = 5


def detector_shapes(detector: Any) -> list[ConvShape]:
    """The convolutions of a detector's network in the order of a .weights file, the head's last.

    Raises:
        ConfigError: if the network holds weights that have no place in such a file.
    """
    layers = {layer.name: layer for layer in detector.model.layers}
    shapes: list[ConvShape] = []
    while conv := layers.get(name := f"conv{len(shapes) + 1:02d}"):
        size, _, channels, filters = conv.kernel.shape
        shapes.append(ConvShape(name, filters, channels, size, f"norm{name[4:]}" in layers))
    if region := layers.get("region"):
        shapes.append(
            ConvShape("region", region.priors * (BOX_ENTRIES + region.nodes), region.box_kernel.shape[0], 1, False)
        )
    elif classes := layers.get("classes"):
        shapes.append(ConvShape("classes", classes.kernel.shape[3], classes.kernel.shape[2], 1, False))
    held, placed = detector.model.count_params(), sum(shape.numbers for shape in shapes)
    if held != placed:
        raise ConfigError(
            f"this network has {held:,} numbers, of which {placed:,} have a place in a .weights file: only networks "
            "that a .cfg can say are written as one"
        )
    return shapes


def load_into(detector: Any, path: str | Path, *, first_part: bool = False) -> WeightsFile:
    """Put a .weights file into a detector's network: all of it, or an error before anything is changed.

    Args:
        detector: with its `model`.
        path: of the file.
        first_part: the file may hold the first layers alone; `missing` of the result names the others.

    Raises:
        InputError, FormatError: as `read_weights` and `check_numbers`.
        ConfigError: if the network is none that a .cfg can say.
    """
    file = read_weights(path, detector_shapes(detector), first_part=first_part)
    for layer in file.layers:
        check_numbers(layer, path)
    for layer in file.layers:
        _assign(detector.model, layer)
    return file


def weights_from(detector: Any) -> Iterator[LayerWeights]:
    """The network's numbers as a .weights file holds them, layer by layer.

    Raises:
        ConfigError: as `detector_shapes`.
    """
    for shape in detector_shapes(detector):
        yield _read(detector.model, shape)


def _assign(model: Any, weights: LayerWeights) -> None:
    name, kernel = weights.shape.name, weights.kernel
    layer = model.get_layer(name)
    if name == "region":
        entries = kernel.reshape(layer.priors, BOX_ENTRIES + layer.nodes, -1)
        biases = weights.biases.reshape(layer.priors, -1)
        _set(layer.box_kernel, entries[:, :BOX_ENTRIES].transpose(2, 0, 1))
        _set(layer.class_kernel, entries[:, BOX_ENTRIES:])
        _set(layer.box_bias, biases[:, :BOX_ENTRIES])
        _set(layer.class_bias, biases[:, BOX_ENTRIES:])
        return
    _set(layer.kernel, kernel.transpose(2, 3, 1, 0))
    if not weights.shape.batch_norm:
        _set(layer.bias, weights.biases)
        return
    norm = model.get_layer(f"norm{name[4:]}")
    _set(norm.beta, weights.biases)
    _set(norm.gamma, weights.scales)
    _set(norm.moving_mean, weights.means)
    _set(norm.moving_variance, weights.variances)


def _set(variable: Any, value: Any) -> None:
    """A copy, since TensorFlow may go on using the memory it is given, and this one belongs to the file."""
    variable.assign(np.array(value, np.float32, order="C"))


def _read(model: Any, shape: ConvShape) -> LayerWeights:
    layer = model.get_layer(shape.name)
    if shape.name == "region":
        kernel = np.concatenate([_get(layer.box_kernel).transpose(1, 2, 0), _get(layer.class_kernel)], axis=1)
        biases = np.concatenate([_get(layer.box_bias), _get(layer.class_bias)], axis=1)
        kernel = kernel.reshape(shape.filters, shape.channels, 1, 1)
        return LayerWeights(shape, biases.reshape(-1), None, None, None, kernel)
    kernel = _get(layer.kernel).transpose(3, 2, 0, 1)
    if not shape.batch_norm:
        return LayerWeights(shape, _get(layer.bias), None, None, None, kernel)
    norm = model.get_layer(f"norm{shape.name[4:]}")
    means, variances = _get(norm.moving_mean), _get(norm.moving_variance)
    return LayerWeights(shape, _get(norm.beta), _get(norm.gamma), means, variances, kernel)


def _get(variable: Any) -> Any:
    return np.asarray(variable, np.float32)
