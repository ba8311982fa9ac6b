"""What each layer of a .cfg gives: height, width, channels, and how many numbers it has in a .weights file.

Pure arithmetic, without TensorFlow. Convolution: (n + 2 pad - size) / stride + 1; max-pool: (n + padding - size) /
stride + 1; all rounded down, as darknet does since 2017.
"""

from __future__ import annotations

from typing import NamedTuple

from detector.darknet.cfg import DarknetCfg
from detector.networks.layers import AvgPool, Conv, Dropout, Layer, MaxPool, Reorg
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
        layer: as `parse_cfg` read it.
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


def trace(cfg: DarknetCfg, where: str = "net.cfg") -> list[LayerShape]:
    """The shape after every layer, the head's convolution included.

    Raises:
        FormatError: if a layer has nothing left to work on, a route joins maps of different sizes, or a layer is too
            large to be computed.
    """
    rows: list[LayerShape] = []
    here = LayerShape(AvgPool(), cfg.net.height, cfg.net.width, cfg.net.channels)  # the input
    convolutions = 0
    for index, layer in enumerate(cfg.all_layers):
        height, width, channels = here.height, here.width, here.channels
        conv, cost = None, 0
        if isinstance(layer, Conv):
            convolutions += 1
            conv = ConvShape(f"conv{convolutions:02d}", layer.filters, channels, layer.size, layer.batch_norm)
            pad = layer.size // 2 if layer.pad is None else layer.pad
            height, width = ((n + 2 * pad - layer.size) // layer.stride + 1 for n in (height, width))
            channels = layer.filters
            cost = conv.kernel * max(height, 0) * max(width, 0)
        elif isinstance(layer, MaxPool):
            padding = layer.size - 1 if layer.padding is None else layer.padding
            height, width = ((n + padding - layer.size) // layer.stride + 1 for n in (height, width))
        elif isinstance(layer, Reorg):
            if height % layer.stride or width % layer.stride:
                raise FormatError(f"{where}: layer {index} [reorg] gets {height} x {width}, no multiple of its stride")
            height, width, channels = height // layer.stride, width // layer.stride, channels * layer.stride**2
        elif isinstance(layer, AvgPool):
            height = width = 1
        elif not isinstance(layer, Dropout):
            sources = [rows[source] for source in layer.layers]
            height, width, channels = sources[0].height, sources[0].width, sum(row.channels for row in sources)
            if any((row.height, row.width) != (height, width) for row in sources):
                sizes = ", ".join(f"{row.height} x {row.width}" for row in sources)
                raise FormatError(f"{where}: layer {index} [route] joins maps of {sizes}; expected one size")
        if height < 1 or width < 1:
            raise FormatError(f"{where}: nothing is left of the image at layer {index}; the input is too small for it")
        numbers = max(height * width * channels, conv.kernel if conv else 0)
        if numbers > MOST_NUMBERS:
            raise FormatError(
                f"{where}: layer {index} has an output of {height} x {width} x {channels} numbers"
                f"{f' and a kernel of {conv.kernel}' if conv else ''}; expected at most {MOST_NUMBERS} each. Is one of "
                "the file's numbers wrong?"
            )
        here = LayerShape(layer, height, width, channels, conv, cost)
        rows.append(here)
    return rows


def conv_shapes(cfg: DarknetCfg, where: str = "net.cfg") -> list[ConvShape]:
    """The convolutions in the order of the .weights file, the head's last."""
    return [row.conv for row in trace(cfg, where) if row.conv is not None]


def parameter_count(shapes: list[ConvShape]) -> int:
    """Numbers in the .weights file; the file has 4 times as many bytes, and a header of 16 or 20."""
    return sum(shape.numbers for shape in shapes)


def grid(cfg: DarknetCfg, where: str = "net.cfg") -> tuple[int, int]:
    """(height, width) of the head's cells."""
    rows = trace(cfg, where)
    return (rows[-1].height, rows[-1].width) if rows else (cfg.net.height, cfg.net.width)
