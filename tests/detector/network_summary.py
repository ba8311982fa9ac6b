"""What a network costs: outputs, numbers and operations layer by layer, as darknet counts them.

Numbers ("parameters") are all that a .weights file holds: with batch normalisation four a filter (bias, scale, mean,
variance) and the kernel. Operations: darknet's BFLOPs are 2 multiply-adds of the convolutions alone, the head among
them, and so they are here. For lists of layers this is arithmetic, without TensorFlow.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from detector.config import ModelConfig
from detector.networks.layers import AvgPool, Conv, Dropout, Layer, Layers, MaxPool, Reorg, Route
from detector.networks.published import STAGES, layers_of
from detector.networks.shapes import trace_layers

BOX_ENTRIES = 5  # x, y, w, h, objectness


class Row(NamedTuple):
    """One layer.

    Attributes:
        name: its Keras layer.
        kind: what it does, in a few words.
        output: (height, width, channels).
        parameters: numbers.
        multiply_adds: of its convolution, for one image.
    """

    name: str
    kind: str
    output: tuple[int, int, int]
    parameters: int = 0
    multiply_adds: int = 0


def summarise(config: ModelConfig, num_nodes: int, canvas: tuple[int, int] | None = None) -> list[Row]:
    """The network and its head, a row a layer.

    Args:
        config: its priors, or `num_anchors` where the data is still to give them, decide the head's width.
        num_nodes: classes, or nodes of the tree.
        canvas: (height, width) of the input in pixels; the configuration's if None.
    """
    sides = canvas or config.canvas
    if config.cfg or config.network in STAGES:
        rows = _rows(layers_of(config), (*sides, 3))
    else:
        rows = _keras_rows(config, sides)
    if config.architecture == "classifier":
        head: Layers = (Conv(num_nodes, 1, batch_norm=False, activation="linear"), AvgPool())
        return rows + _rows(head, rows[-1].output, "classes")
    filters = (len(config.anchors) or config.num_anchors) * (BOX_ENTRIES + num_nodes)
    head = (Conv(filters, 1, batch_norm=False, activation="linear"),)
    return rows + _rows(head, rows[-1].output, "region")


def parameters(rows: Iterable[Row]) -> int:
    """All numbers; 4 times as many bytes, and the header, are the .weights file."""
    return sum(row.parameters for row in rows)


def billion_operations(rows: Iterable[Row]) -> float:
    """darknet's BFLOPs for one image."""
    return 2 * sum(row.multiply_adds for row in rows) / 1e9


def format_summary(rows: list[Row]) -> str:
    """A table for people, its last line the sums."""
    lines = [f"{'layer':<14} {'':<24} {'output':>20} {'parameters':>13} {'BFLOPs':>9}"]
    for row in rows:
        output = " x ".join(map(str, row.output))
        flops = f"{2 * row.multiply_adds / 1e9:9.3f}" if row.multiply_adds else ""
        numbers = f"{row.parameters:,}" if row.parameters else ""
        lines.append(f"{row.name:<14} {row.kind:<24} {output:>20} {numbers:>13} {flops:>9}".rstrip())
    lines.append(f"{'sum':<14} {'':<24} {'':>20} {parameters(rows):>13,} {billion_operations(rows):>9.3f}")
    return "\n".join(lines)


def _rows(layers: Layers, image: tuple[int, int, int], names: str = "") -> list[Row]:
    """A row for each layer of a list that reads an image, or a map; `names` of convolutions that are not numbered."""
    return [
        Row(names or shape.conv.name, _words(shape.layer), shape.output, shape.conv.numbers, shape.multiply_adds)
        if shape.conv
        else Row(f"{_KINDS[type(shape.layer)]}_{index:02d}", _words(shape.layer), shape.output)
        for index, shape in enumerate(trace_layers(layers, image))
    ]


_KINDS = {MaxPool: "pool", Route: "route", Reorg: "reorg", AvgPool: "mean", Dropout: "dropout"}


def _words(layer: Layer) -> str:
    """What a layer does."""
    if isinstance(layer, Conv):
        step = f" / {layer.stride}" if layer.stride > 1 else ""
        return f"{layer.size} x {layer.size}{step} {layer.activation}{'' if layer.batch_norm else ', bias'}"
    if isinstance(layer, MaxPool):
        return f"{layer.size} x {layer.size} / {layer.stride}"
    if isinstance(layer, Reorg):
        return f"/ {layer.stride}"
    if isinstance(layer, Route):
        return f"of {', '.join(map(str, layer.layers))}"
    return "of all places" if isinstance(layer, AvgPool) else "in training"


def _keras_rows(config: ModelConfig, canvas: tuple[int, int]) -> list[Row]:
    """The same of a network that only Keras knows: built once, with its weights, to be counted."""
    import keras

    from detector.networks.build import build_features

    images: Any = keras.Input((*canvas, 3))
    model = keras.Model(images, build_features(images, config))
    rows = []
    for layer in (inner for outer in model.layers for inner in getattr(outer, "layers", (outer,))):
        if not isinstance(layer, keras.layers.InputLayer):
            shape = tuple(layer.output.shape[1:])
            output = shape if len(shape) == 3 else (1, 1, int(shape[-1]))
            numbers = layer.count_params()
            rows.append(Row(layer.name, type(layer).__name__, output, numbers, _multiply_adds(layer, output)))
    return rows


def _multiply_adds(layer: Any, output: tuple[int, int, int]) -> int:
    """Of a Keras layer: each number of a kernel is used once for each cell of the output."""
    kernels = [weight for weight in layer.weights if weight.path.endswith("kernel") and len(weight.shape) >= 2]
    numbers = sum(int(weight.value.shape.num_elements()) for weight in kernels)
    return numbers * output[0] * output[1]
