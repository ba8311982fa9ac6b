"""A network as the text of a .cfg that darknet reads, and that parses back to the same layers and settings."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from detector.darknet.settings import NetSettings, RegionSettings, SoftmaxSettings
from detector.networks.layers import AvgPool, Conv, Dropout, Layer, Layers, MaxPool, Reorg, Route


def cfg_text(
    net: NetSettings,
    layers: Layers,
    head: Conv | None = None,
    *,
    region: RegionSettings | None = None,
    softmax: SoftmaxSettings | None = None,
    comments: Sequence[str] = (),
) -> str:
    """The text of a .cfg.

    Args:
        net: the first section.
        layers: before the head.
        head: the head's convolution.
        region: of a detector.
        softmax: of a classifier.
        comments: lines for people at the start.
    """
    parts = ["".join(f"# {line}\n" for line in comments) + _section("net", _net_rows(net))]
    parts += [_layer_text(layer, index) for index, layer in enumerate(layers)]
    if head is not None:
        parts.append(_layer_text(head, len(layers)))
    if region is not None:
        parts.append(_section("region", _region_rows(region)))
    if softmax is not None:
        tree = [("tree", softmax.tree)] if softmax.tree else []
        parts += [_section("avgpool", ()), _section("softmax", [("groups", 1), *tree])]
        if softmax.cost:
            parts.append(_section("cost", [("type", softmax.cost)]))
    return "\n".join(parts)


def _section(kind: str, rows: Iterable[tuple[str, Any]]) -> str:
    return f"[{kind}]\n" + "".join(f"{key}={_value(value)}\n" for key, value in rows)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, tuple):
        return ",".join(_value(part) for part in value)
    if isinstance(value, float) and value == int(value) and abs(value) < 1e9:
        return str(int(value))
    return repr(value) if isinstance(value, float) else str(value)


def _net_rows(net: NetSettings) -> list[tuple[str, Any]]:
    """What every file says, and what differs from darknet's own values."""
    always = {"batch", "subdivisions", "width", "height", "channels", "momentum", "decay", "learning_rate", "policy"}
    defaults = NetSettings._field_defaults
    rows = [(name, value) for name, value in net._asdict().items() if name in always or value != defaults.get(name)]
    if net.policy == "poly" and ("power", net.power) not in rows:
        rows.append(("power", net.power))
    return rows


def _region_rows(region: RegionSettings) -> list[tuple[str, Any]]:
    values = region._asdict()
    anchors = values.pop("anchors")
    files = [(name, values.pop(name)) for name in ("tree", "map")]
    return [
        ("anchors", tuple(side for anchor in anchors for side in anchor)),
        ("coords", 4),
        ("num", len(anchors)),
        ("softmax", 1),
        *values.items(),
        *((name, path) for name, path in files if path),
    ]


def _layer_text(layer: Layer, index: int) -> str:
    if isinstance(layer, Conv):
        norm = [("batch_normalize", 1)] if layer.batch_norm else []
        pad = [("pad", 1)] if layer.pad is None else [("padding", layer.pad)]
        dilation = [("dilation", layer.dilation)] if layer.dilation > 1 else []
        rows = [("filters", layer.filters), ("size", layer.size), *_steps(layer), *dilation]
        return _section("convolutional", [*norm, *rows, *pad, ("activation", layer.activation)])
    if isinstance(layer, MaxPool):
        padding = [] if layer.padding is None else [("padding", layer.padding)]
        return _section("maxpool", [("size", layer.size), *_steps(layer), *padding])
    if isinstance(layer, Route):
        groups = [("groups", layer.groups), ("group_id", layer.group)] if layer.groups > 1 else []
        return _section("route", [("layers", tuple(source - index for source in layer.layers)), *groups])
    if isinstance(layer, Reorg):
        return _section("reorg", [("stride", layer.stride)])
    if isinstance(layer, Dropout):
        return _section("dropout", [("probability", layer.probability)])
    assert isinstance(layer, AvgPool)
    return _section("avgpool", ())


def _steps(layer: Conv | MaxPool) -> list[tuple[str, int]]:
    along = [] if layer.stride_x is None else [("stride_x", layer.stride_x)]
    return [("stride", layer.stride), *along]
