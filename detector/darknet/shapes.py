"""The shapes of a .cfg's layers (`detector.networks.shapes`), told with the file's lines."""

from __future__ import annotations

from detector.darknet.cfg import DarknetCfg
from detector.networks.shapes import ConvShape, LayerShape, trace_layers


def trace(cfg: DarknetCfg, where: str = "net.cfg") -> list[LayerShape]:
    """The shape after every layer, the head's convolution included.

    Raises:
        FormatError: as `trace_layers`, with the line of the layer's section.
    """
    image = (cfg.net.height, cfg.net.width, cfg.net.channels)
    return trace_layers(cfg.all_layers, image, lambda index: f"{where} line {cfg.sections[index + 1].line}: ")


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
