"""What each layer gives: height, width, channels; how many numbers it holds, and what it costs. Pure arithmetic.

    convolution   (n + 2 pad - size) / stride + 1      whatever its dilation
    max-pool      (n + padding - size) / stride + 1
    reorg         n / stride, and stride^2 times the channels

All rounded down, as darknet does since 2017. These laws stand here alone: tables, .weights files, the grid of a head
and the layers of Keras ask here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from detector.networks.layers import AvgPool, Conv, Dropout, Layer, Layers, MaxPool, Reorg, Route
from schemas.errors import FormatError

MOST_NUMBERS = 2**31 - 1  # of one output or one kernel: TensorFlow counts them with 32 bits


class ConvShape(NamedTuple):
    """The numbers of one convolution in a .weights file, in the order of the file.

    Attributes:
        name: of the convolution, by its order: conv01; for messages and for Keras.
        filters, channels, size: of its kernel [filters][channels][size][size].
        batch_norm: whether scales, means and variances stand behind the biases.
    """

    name: str
    filters: int
    channels: int
    size: int
    batch_norm: bool

    @property
    def kernel(self) -> int:
        """Numbers of the kernel."""
        return self.filters * self.channels * self.size * self.size

    @property
    def numbers(self) -> int:
        """All numbers of the layer."""
        return self.filters * (4 if self.batch_norm else 1) + self.kernel

    def __str__(self) -> str:
        return f"{self.name} ({self.filters} filters {self.size}x{self.size}x{self.channels})"


class LayerShape(NamedTuple):
    """One layer's output and cost.

    Attributes:
        layer: of the list.
        height, width, channels: of its output.
        conv: its numbers, where it is a convolution.
        multiply_adds: of its convolution for one image.
    """

    layer: Layer
    height: int
    width: int
    channels: int
    conv: ConvShape | None = None
    multiply_adds: int = 0

    @property
    def output(self) -> tuple[int, int, int]:
        """(height, width, channels)."""
        return self.height, self.width, self.channels


def cells(side: int, size: int, stride: int, border: int) -> int:
    """Places of a window of `size` pixels along a side with `border` pixels added in all."""
    return (side + border - size) // stride + 1


def trace_layers(
    layers: Layers, image: tuple[int, int, int], where: Callable[[int], str] = lambda index: ""
) -> list[LayerShape]:
    """The shape after every layer.

    Args:
        layers: the first reads the image.
        image: (height, width, channels).
        where: what an error about layer `index` begins with.

    Raises:
        FormatError: if a layer has nothing left to work on, a route joins maps of different sizes, a map cannot be
            reorganised or cut into groups, or a layer is too large to be computed.
    """
    rows: list[LayerShape] = []
    convolutions = 0
    for index, layer in enumerate(layers):
        height, width, channels = rows[-1].output if rows else image
        conv, cost, at = None, 0, f"{where(index)}layer {index}"
        if isinstance(layer, Conv):
            convolutions += 1
            conv = ConvShape(f"conv{convolutions:02d}", layer.filters, channels, layer.size, layer.batch_norm)
            height, width = _windows((height, width), layer.size, layer.steps, 2 * layer.border)
            channels, cost = layer.filters, conv.kernel * max(height, 0) * max(width, 0)
        elif isinstance(layer, MaxPool):
            height, width = _windows((height, width), layer.size, layer.steps, layer.border)
        elif isinstance(layer, Reorg):
            s = layer.stride
            if height % s or width % s or channels % (s * s):
                raise FormatError(
                    f"{at} [reorg] gets {height} x {width} x {channels}, no multiple of its stride; expected height "
                    f"and width that are multiples of {s}, and channels that are a multiple of {s * s}"
                )
            height, width, channels = height // s, width // s, channels * s * s
        elif isinstance(layer, AvgPool):
            height = width = 1
        elif not isinstance(layer, Dropout):
            sources = [rows[source] for source in layer.layers]
            height, width, channels = sources[0].height, sources[0].width, sum(row.channels for row in sources)
            if any((row.height, row.width) != (height, width) for row in sources):
                sizes = ", ".join(f"{row.height} x {row.width}" for row in sources)
                raise FormatError(f"{at} [route] joins maps of {sizes}; expected one size")
            if any(row.channels % layer.groups for row in sources):
                found = ", ".join(str(row.channels) for row in sources)
                raise FormatError(f"{at} [route] cuts {found} channels into {layer.groups} groups; expected a multiple")
            channels //= layer.groups
        if height < 1 or width < 1:
            raise FormatError(
                f"{where(index)}nothing is left of the image at layer {index}; the input is too small for it"
            )
        numbers = max(height * width * channels, conv.kernel if conv else 0)
        if numbers > MOST_NUMBERS:
            raise FormatError(
                f"{at} has an output of {height} x {width} x {channels} numbers"
                f"{f' and a kernel of {conv.kernel}' if conv else ''}; expected at most {MOST_NUMBERS} each. Is one of "
                "the file's numbers wrong?"
            )
        rows.append(LayerShape(layer, height, width, channels, conv, cost))
    return rows


def unread(layers: Layers) -> list[int]:
    """Layers, the last not counted, whose outputs no layer reads: branches that lead nowhere."""
    read: set[int] = set()
    for index, layer in enumerate(layers):
        read |= set(layer.layers) if isinstance(layer, Route) else {index - 1}
    return [index for index in range(len(layers) - 1) if index not in read]


def _windows(sides: tuple[int, int], size: int, steps: tuple[int, int], border: int) -> tuple[int, int]:
    height, width = (cells(side, size, step, border) for side, step in zip(sides, steps, strict=True))
    return height, width
