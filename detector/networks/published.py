"""The networks of YOLOv2 and YOLO9000 as lists of layers: pure arithmetic, no Keras.

- Darknet-19 (thesis section 2.3): six stages of 1, 1, 3, 3, 5 and 5 convolutions, 3x3 and 1x1 bottlenecks in turns;
  before stages 2 to 6 a 2x2 max-pool halves the map.
- The trunk of YOLOv2 tiny: one 3x3 convolution a stage; after the sixth a pool of step 1 and a convolution of 1024.
- After the trunk YOLOv2 has three 3x3 convolutions and before the last of them the passthrough; tiny has one
  convolution; the published YOLO9000 has nothing: its head reads the trunk. (The thesis describes YOLO9000 with the
  passthrough of YOLOv2: the configuration `yolo9000_thesis`.)

The layers stand in the order of the published .cfg files, so convolution k here is convolution k of the .weights file.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from detector.config import ModelConfig
from detector.networks.layers import Conv, Layer, Layers, MaxPool, Reorg, Route
from schemas.errors import ConfigError
from wordtree.suggestions import did_you_mean

HALVE = MaxPool(2, 2)

# What each network computes at stride 2^(k-1), stage k; channels before the width multiplier.
STAGES: dict[str, tuple[Layers, ...]] = {
    "darknet19": (
        (Conv(32, 3),),
        (Conv(64, 3),),
        (Conv(128, 3), Conv(64, 1), Conv(128, 3)),
        (Conv(256, 3), Conv(128, 1), Conv(256, 3)),
        (Conv(512, 3), Conv(256, 1), Conv(512, 3), Conv(256, 1), Conv(512, 3)),
        (Conv(1024, 3), Conv(512, 1), Conv(1024, 3), Conv(512, 1), Conv(1024, 3)),
    ),
    "tiny": (
        (Conv(16, 3),),
        (Conv(32, 3),),
        (Conv(64, 3),),
        (Conv(128, 3),),
        (Conv(256, 3),),
        (Conv(512, 3), MaxPool(2, 1), Conv(1024, 3)),
    ),
}


class Map(NamedTuple):
    """A feature map that later layers may read: which layer gives it, its channels, its stride in pixels."""

    layer: int
    channels: int
    stride: int


def channels(base: int, width: float) -> int:
    """`base` channels times the width multiplier, a multiple of 8, at least 8."""
    return max(8, int(base * width + 4) // 8 * 8)


def layers_of(config: ModelConfig) -> Layers:
    """The network of a configuration up to the features that its head reads.

    Raises:
        ConfigError: if `model.network` is no list of layers (a backbone of keras.applications, or an unknown name).
    """
    if config.cfg:
        from detector.darknet.cfg import parse_cfg

        return parse_cfg(config.cfg).layers
    if config.network not in STAGES:
        raise ConfigError(
            f"model.network is {config.network!r}; expected a network that is a list of layers: {', '.join(STAGES)}"
            f"{did_you_mean(config.network, STAGES)}"
        )
    trunk, finer, last = trunk_layers(config)
    return trunk + neck_layers(config, start=len(trunk), finer=finer, last=last)


def trunk_layers(config: ModelConfig) -> tuple[Layers, Map | None, Map]:
    """The stages: the layers, the last map of the stage before the last (None if there is one stage), and the last map.

    A stage that would run at a larger stride than `output_stride` is not halved before.
    """
    layers: list[Layer] = []
    maps: list[Map] = []
    stride = 1
    for number, stage in enumerate(STAGES[config.network][: config.stages], start=1):
        if number > 1 and 2 ** (number - 1) <= config.output_stride:
            layers.append(HALVE)
            stride *= 2
        for layer in _deepen(stage, config.depth, paired=config.network == "darknet19"):
            wide = layer._replace(filters=channels(layer.filters, config.width)) if isinstance(layer, Conv) else layer
            layers.append(wide)
        maps.append(Map(len(layers) - 1, _filters(layers), stride))
    return tuple(layers), maps[-2] if len(maps) > 1 else None, maps[-1]


def neck_layers(config: ModelConfig, *, start: int, finer: Map | None, last: Map) -> Layers:
    """What stands between a trunk and the head: `head_convs` 3x3 convolutions, before the last one the passthrough.

    Where the passthrough is as wide as the finer map it takes that map whole (the thesis: 26x26x512 to 13x13x2048);
    else a 1x1 convolution makes it narrower first (yolov2.cfg: 64 channels, 256 after the reorganisation).

    Args:
        config: head_convs, head_width, passthrough, width.
        start: index of the first of these layers.
        finer: the map before the trunk's last one.
        last: the trunk's last map.

    Raises:
        ConfigError: if a passthrough is asked for and there is no finer map or no convolution to take it.
    """
    conv = Conv(channels(config.head_width, config.width), 3)
    if not config.passthrough:
        return (conv,) * config.head_convs
    if not config.head_convs or finer is None:
        lacks = "model.head_convs of at least 1" if finer else "a map before the last one: model.stages of at least 2"
        raise ConfigError(f"model.passthrough is {config.passthrough}; it needs {lacks}")
    layers: list[Layer] = [conv] * (config.head_convs - 1)
    coarse = start + len(layers) - 1 if layers else last.layer
    layers.append(Route((finer.layer,)))
    taken = channels(config.passthrough, config.width)
    if taken < finer.channels:
        layers.append(Conv(taken, 1))
    if last.stride > finer.stride:
        layers.append(Reorg(last.stride // finer.stride))
    layers += [Route((start + len(layers) - 1, coarse)), conv]
    return tuple(layers)


def strides(layers: Layers, before: tuple[int, ...] = ()) -> tuple[int, ...]:
    """Pixels of the image per cell of every layer's output; `before` are those of layers before the first one."""
    found = list(before)
    for layer in layers:
        stride = found[-1] if found else 1
        if isinstance(layer, Route):
            stride = found[layer.layers[0]]
        elif isinstance(layer, Conv | MaxPool | Reorg):
            stride *= layer.stride
        found.append(stride)
    return tuple(found)


def _deepen(stage: Layers, depth: float, *, paired: bool) -> Layers:
    """A stage with `depth` times its convolutions: pairs after the first one, or, unpaired, each at least once."""
    if paired:
        pairs = math.floor((len(stage) - 1) / 2 * depth + 0.5)
        return (stage[0], *stage[1:3] * pairs)
    times = max(1, math.floor(depth + 0.5))
    return tuple(copy for layer in stage for copy in ((layer,) * times if isinstance(layer, Conv) else (layer,)))


def _filters(layers: list[Layer]) -> int:
    """Channels that the last convolution gives."""
    return next(layer.filters for layer in reversed(layers) if isinstance(layer, Conv))
