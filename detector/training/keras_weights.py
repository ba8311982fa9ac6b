"""A file of Keras's weights for the backbone of a detector: which stored layer belongs to which layer here.

The network is built once more as keras.applications builds it, without its top, and its layers are found in the file:

- in a file with an order, where the first layers have its shapes one after another, by that order: published files have
  names of older versions;
- else in a file of Keras 1 and 2 by name, layers that Keras only counted by their number among their kind;
- in a file of Keras 3 by class and number among the model's layers, as Keras 3 itself does. A network that is one layer
  of the stored model is looked for too.

What lies beyond, such as the top, is not used.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np

from detector.config import ModelConfig
from detector.networks.applications import BACKBONES, DEVIATION, MEAN, own_names, published_backbone
from detector.training.keras_file import StoredLayer, StoredModel, open_keras_file, read_array
from schemas.errors import ConfigError

WIDTHS = (1.0, 0.25, 0.35, 0.5, 0.75, 1.3, 1.4)  # of published MobileNets


@dataclass(frozen=True)
class WantedLayer:
    """A layer of the published network with weights.

    Attributes:
        own: its name in our networks, which begins its variables' paths.
        name: its name, or "" where Keras counted it.
        kind: its class as Keras writes it, such as "conv2d".
        key: where a file of Keras 3 has it.
        variables: their names and shapes.
        constant: it is a constant in our networks.
    """

    own: str
    name: str
    kind: str
    key: str
    variables: list[tuple[str, tuple[int, ...]]]
    constant: bool = False

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        """Of its variables."""
        return [shape for _, shape in self.variables]


@dataclass(frozen=True)
class FileWeights:
    """What a file has for a backbone.

    Attributes:
        arrays: by the path of a variable here.
        unused: names of stored layers that have no place.
    """

    arrays: Mapping[str, np.ndarray]
    unused: list[str]


def read_backbone(path: str | Path, config: ModelConfig) -> FileWeights:
    """The variables of a backbone in a file of Keras.

    Raises:
        ConfigError: `model.network` is none of keras.applications, the file has no layer of it, or its input is scaled
            otherwise.
        FormatError: the file is damaged.
    """
    if config.cfg or config.network not in BACKBONES:
        name = "given by model.cfg" if config.cfg else f"{config.network!r}"
        raise ConfigError(
            f"--init {path} is a weights file of Keras, which fits networks of keras.applications; model.network is "
            f"{name}: give a run of `wordtree train` or a .weights file"
        )
    wanted = list(wanted_layers(config))
    with open_keras_file(path) as models:
        pairs = max((pair_layers(wanted, model) for model in models), key=lambda found: _fitting(found))
        used = {id(stored) for _, stored in pairs}
        unused = [stored.name or stored.key for stored in models[0].layers if id(stored) not in used]
        if not pairs:
            shown = ", ".join(layer.name or layer.key for layer in models[0].layers[:4])
            raise ConfigError(
                f"--init {path} holds no layer of {config.network}: it begins with {shown}; give weights of the same "
                "network, or choose the network that they are of with --set model.network=..."
            )
        arrays = {}
        for layer, stored in pairs:
            values = [read_array(path, array) for array in stored.arrays]
            if layer.constant:
                _check_statistics(path, config.network, values)
                continue
            for k, (variable, _) in enumerate(layer.variables[: len(values)]):
                arrays[f"{layer.own}/{variable}"] = values[k]
    return FileWeights(arrays, unused)


def fitting_width(path: str | Path, config: ModelConfig) -> float | None:
    """The `model.width` whose shapes all layers in the file have, most of the network's being there; None: no width.

    Raises:
        FormatError: the file is damaged.
    """
    if config.cfg or config.network not in BACKBONES or not BACKBONES[config.network].alpha:
        return None
    with open_keras_file(path) as models:
        for width in WIDTHS:
            wanted = list(wanted_layers(replace(config, width=width)))
            pairs = max((pair_layers(wanted, model) for model in models), key=_fitting)
            if _fitting(pairs) == len(pairs) > len(wanted) / 2:
                return width
    return None


def pair_layers(wanted: list[WantedLayer], stored: StoredModel) -> list[tuple[WantedLayer, StoredLayer]]:
    """Which layer of the file is which of the network; layers without one are left out."""
    if stored.ordered:
        first = stored.layers[: len(wanted)]
        if [layer.shapes for layer in first] == [layer.shapes for layer in wanted]:
            return list(zip(wanted, first, strict=True))
        known = dict(zip(_stored_names(stored.layers), stored.layers, strict=True))
        names = _wanted_names(wanted)
    else:
        known = {layer.key: layer for layer in stored.layers}
        names = [layer.key for layer in wanted]
    return [(layer, known[name]) for layer, name in zip(wanted, names, strict=True) if name in known]


def wanted_layers(config: ModelConfig) -> Iterator[WantedLayer]:
    """The layers with weights of a network as keras.applications builds it, in its order."""
    published = published_backbone(config)
    own = own_names(published)
    numbers: Counter[str] = Counter()
    for layer in published.layers:
        kind = _snake_case(type(layer).__name__)
        key = f"{kind}_{numbers[kind]}" if numbers[kind] else kind
        numbers[kind] += 1
        yield from _with_weights(layer, own[layer.name], kind, key)


def _with_weights(layer: Any, own: str, kind: str, key: str) -> Iterator[WantedLayer]:
    if isinstance(layer, keras.Model):
        numbers: Counter[str] = Counter()
        for inner in layer.layers:
            below = _snake_case(type(inner).__name__)
            below_key = f"{below}_{numbers[below]}" if numbers[below] else below
            numbers[below] += 1
            yield from _with_weights(inner, inner.name, below, f"{key}/{below_key}")
    elif layer.weights:
        order = [*layer.trainable_variables, *layer.non_trainable_variables]
        variables = [(variable.path.rpartition("/")[2], tuple(variable.shape)) for variable in order]
        name = layer.name if own == layer.name else ""
        yield WantedLayer(own, name, kind, key, variables, isinstance(layer, keras.layers.Normalization))


def _snake_case(name: str) -> str:
    """The name of a class as Keras writes it in a file: Conv2D is conv2d, BatchNormalization batch_normalization."""
    return re.sub("([a-z])([A-Z])", r"\1_\2", re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)).lower()


def _wanted_names(wanted: list[WantedLayer]) -> list[str]:
    """Names, and for counted layers kind and number among the counted of the kind."""
    numbers: Counter[str] = Counter()
    names = []
    for layer in wanted:
        names.append(layer.name or f"{layer.kind} {numbers[layer.kind]}")
        numbers[layer.kind] += not layer.name
    return names


def _stored_names(stored: list[StoredLayer]) -> list[str]:
    """The same for a file, where a name such as "conv2d_17" is a counted one."""
    kinds = ("conv2d", "batch_normalization", "depthwise_conv2d", "separable_conv2d", "normalization", "dense")
    numbers: Counter[str] = Counter()
    names = []
    for layer in stored:
        kind, _, number = layer.name.rpartition("_")
        kind = kind if number.isdecimal() else layer.name
        counted = kind in kinds
        names.append(f"{kind} {numbers[kind]}" if counted else layer.name)
        numbers[kind] += counted
    return names


def _fitting(pairs: list[tuple[WantedLayer, StoredLayer]]) -> int:
    """How many layers have the shapes that they should have."""
    return sum(layer.shapes == stored.shapes for layer, stored in pairs)


def _check_statistics(path: str | Path, network: str, values: list[np.ndarray]) -> None:
    """Statistics of the input are constants here: ImageNet's, over the deviation or, in the published file, its root.

    Raises:
        ConfigError: the file was trained with others.
    """
    mean, variance = values[0].reshape(-1), values[1].reshape(-1)
    known = [np.array(DEVIATION), np.square(DEVIATION)]
    if not np.allclose(mean, MEAN, atol=1e-3) or not any(np.allclose(variance, one, atol=1e-3) for one in known):
        raise ConfigError(
            f"--init {path} normalises its input with mean {mean.round(4).tolist()} and variance "
            f"{variance.round(4).tolist()}; {network} here takes ImageNet's, {list(MEAN)} and "
            f"{np.square(DEVIATION).round(4).tolist()}: weights trained on another input would not fit"
        )
