"""A .cfg parsed: the layers that `detector.networks` builds, and the settings around them.

    cfg = parse_cfg(text)
    cfg.layers    from the image to the features that the head reads
    cfg.head      the last convolution: 1x1, linear, with a bias; part of the head here, not of `layers`
    cfg.region    or cfg.softmax: what the head does

Law: `all_layers` is one layer a section, from the image to the head's convolution, so indices are darknet's. What
would be computed otherwise is refused with the reason; what merely is not used is a warning.
"""

from __future__ import annotations

from typing import NamedTuple

from detector.darknet.sections import Section, read_sections
from detector.darknet.settings import (
    NetSettings,
    RegionSettings,
    SoftmaxSettings,
    read_cost,
    read_net,
    read_region,
    read_softmax,
)
from detector.networks.layers import AvgPool, Conv, Dropout, Layer, Layers, MaxPool, Reorg, Route
from schemas.errors import FormatError

ACTIVATIONS = ("leaky", "linear", "relu", "logistic")
REFUSED = {
    "crop": "cropping is done by the input pipeline; remove the section",
    "connected": "a fully connected layer has no place in these networks; write it as a 1x1 convolution",
    "shortcut": "residual networks came after YOLOv2; read their weights with another program",
    "upsample": "feature pyramids came after YOLOv2; read their weights with another program",
    "yolo": "that is the head of YOLOv3; only [region] is built here",
    "detection": "that is the head of YOLOv1; only [region] is built here",
    "local": "locally connected layers belong to YOLOv1 and are not built here",
    "deconvolutional": "transposed convolutions are not built here",
    "normalization": "local response normalisation is not built here",
    "batchnorm": "batch normalisation is a key of [convolutional] here: batch_normalize=1",
    "activation": "activations are a key of [convolutional] here",
}
NO_SUCH = "no such key"
# What changes a layer's output, or the numbers that a .weights file holds, and is not built here: what may stand, why.
UNBUILT: dict[str, dict[str, tuple[str, str]]] = {
    "": {
        "dontload": ("0", "a .weights file without this layer is not read here"),
        "dontloadscales": ("0", "a .weights file without its scales is not read here"),
        "numload": ("0", "a .weights file with some of its filters is not read here"),
    },
    "convolutional": {
        "groups": ("1", "grouped convolutions are not built here"),
        "binary": ("0", "binary weights are not built here"),
        "xnor": ("0", "binary weights are not built here"),
        "bin_output": ("0", "binary outputs are not built here"),
        "flipped": ("0", "transposed kernels are not read here"),
        "antialiasing": ("0", "blurred steps are not built here"),
        "share_index": (NO_SUCH, "weights of another layer are not built here"),
        "cbn": ("0", "statistics over several batches are not built here"),
        "sway": ("0", "kernels that are moved are not built here"),
        "rotate": ("0", "kernels that are moved are not built here"),
        "stretch": ("0", "kernels that are moved are not built here"),
        "stretch_sway": ("0", "kernels that are moved are not built here"),
        "coordconv": ("0", "maps of coordinates are not built here"),
    },
    "maxpool": {
        "maxpool_depth": ("0", "maxima over channels are not built here"),
        "antialiasing": ("0", "blurred steps are not built here"),
        "maxpool_zero_nonmax": ("0", "maps that are emptied are not built here"),
    },
    "reorg": {
        "reverse": ("0", "only the passthrough's direction is built here"),
        "flatten": ("0", "only the passthrough's order of memory is built here"),
        "extra": ("0", "only the passthrough's order of memory is built here"),
    },
}
SHORT_NAMES = {
    "network": "net",
    "conv": "convolutional",
    "max": "maxpool",
    "avg": "avgpool",
    "soft": "softmax",
    "conn": "connected",
}


class DarknetCfg(NamedTuple):
    """What a .cfg says.

    Attributes:
        net: the section [net].
        layers: before the head.
        head: the head's convolution; None where the file has no head, or a [region] alone.
        region: of a detector, else None.
        softmax: of a classifier, else None.
        sections: all of them as they were read.
        warnings: what was not used, one line each.
    """

    net: NetSettings
    layers: Layers
    head: Conv | None
    region: RegionSettings | None
    softmax: SoftmaxSettings | None
    sections: tuple[Section, ...]
    warnings: tuple[str, ...]

    @property
    def all_layers(self) -> Layers:
        """With the head's convolution."""
        return self.layers if self.head is None else (*self.layers, self.head)


def parse_cfg(text: str, where: str = "net.cfg") -> DarknetCfg:
    """A .cfg's text, parsed.

    Args:
        text: of the file.
        where: its name, for messages.

    Raises:
        FormatError: naming file, line, section and key, what was found and what was expected.
    """
    sections = read_sections(text, where)
    if not sections or _kind(sections[0]) != "net":
        found = f"[{sections[0].kind}]" if sections else "no section"
        raise FormatError(f"{where}: found {found} at the start; expected [net], as every darknet .cfg has")
    net = read_net(sections[0])
    layers: list[Layer] = []
    region: RegionSettings | None = None
    softmax: SoftmaxSettings | None = None
    for section in sections[1:]:
        kind = _kind(section)
        if region is not None or (softmax is not None and kind != "cost"):
            raise section.error("stands behind the head; expected the file to end there")
        if kind == "region":
            region = read_region(section)
        elif kind == "softmax":
            softmax = read_softmax(section)
        elif kind == "cost":
            if softmax is None:
                raise section.error("stands without a [softmax] before it; expected a classifier or a [region]")
            softmax = read_cost(section, softmax)
        else:
            layers.append(_layer(section, kind, len(layers)))
    body, head = _split_head(layers, region, softmax, sections)
    warnings = [line for section in sections for line in section.warnings()]
    return DarknetCfg(net, body, head, region, softmax, tuple(sections), tuple(warnings))


def _kind(section: Section) -> str:
    return SHORT_NAMES.get(section.kind, section.kind)


def _layer(section: Section, kind: str, index: int) -> Layer:
    """The layer of a section; `index` is its number, from 0 after [net]."""
    for key, (allowed, reason) in {**UNBUILT[""], **UNBUILT.get(kind, {})}.items():
        section.refuse(key, (allowed,), reason)
    if kind == "convolutional":
        return _convolution(section)
    if kind == "maxpool":
        stride, stride_x = _steps(section)
        size = section.integer("size", section.integer("stride", 1), least=1, most=64)
        padding = section.integer("padding", size - 1, most=64)
        return MaxPool(size, stride, None if padding == size - 1 else padding, stride_x)
    if kind == "route":
        groups = section.integer("groups", 1, least=1, most=1 << 20)
        return Route(_sources(section, index), groups, section.integer("group_id", 0, most=groups - 1))
    if kind == "reorg":
        return Reorg(section.integer("stride", 1, least=1, most=64))
    if kind == "avgpool":
        return AvgPool()
    if kind == "dropout":
        return Dropout(section.training(section.number, "probability", 0.5, most=0.999))
    if kind in REFUSED:
        raise section.error(f"is not built here: {REFUSED[kind]}")
    raise section.error(
        "is no section that is known; expected convolutional, maxpool, route, reorg, avgpool, dropout, region, softmax "
        "or cost"
    )


def _convolution(section: Section) -> Conv:
    section.ignore("dot")
    size = section.integer("size", 1, least=1, most=255)
    padding = size // 2 if section.flag("pad", False) else section.integer("padding", 0, most=255)
    if section.flag("pad", False):
        section.ignore("padding")
    stride, stride_x = _steps(section)
    dilation = section.integer("dilation", 1, least=1, most=64)
    if dilation > 1 and size > 1 and ((stride, stride_x) != (1, None) or 2 * padding != size - 1):
        raise section.bad("dilation", "1, or a stride of 1 and a border of size // 2 for a kernel of odd size")
    return Conv(
        filters=section.integer("filters", 1, least=1, most=10_000_000),
        size=size,
        stride=stride,
        pad=None if padding == size // 2 else padding,
        batch_norm=section.flag("batch_normalize", False),
        activation=section.choice("activation", "logistic", allowed=ACTIVATIONS),
        stride_x=stride_x,
        dilation=dilation if size > 1 else 1,
    )


def _steps(section: Section) -> tuple[int, int | None]:
    """From row to row, and along a row where that is another."""
    stride = section.integer("stride", 1, least=1, most=64)
    rows = section.integer("stride_y", stride, least=1, most=64)
    columns = section.integer("stride_x", stride, least=1, most=64)
    return rows, None if columns == rows else columns


def _sources(section: Section, index: int) -> tuple[int, ...]:
    """Absolute indices of a [route]: a negative one counts back from the section itself."""
    numbers = section.integers("layers")
    if not numbers:
        raise section.bad("layers", "numbers of earlier layers, such as -1,-4")
    sources = tuple(number if number >= 0 else index + number for number in numbers)
    if not all(0 <= source < index for source in sources):
        raise section.bad("layers", f"layers before this one, which is number {index}")
    return sources


def _split_head(
    layers: list[Layer], region: RegionSettings | None, softmax: SoftmaxSettings | None, sections: list[Section]
) -> tuple[Layers, Conv | None]:
    """What stands before the head, and the head's convolution."""
    if region is None and softmax is None:
        return tuple(layers), None
    last = sections[-1]
    if softmax is not None:
        if not layers or not isinstance(layers.pop(), AvgPool):
            raise last.error("has no [avgpool] before its softmax; expected [convolutional] [avgpool] [softmax]")
    elif not layers:
        return (), None  # a [region] alone, whose input are the logits
    head = layers.pop() if layers else None
    if not isinstance(head, Conv):
        raise last.error("has no [convolutional] before it; expected a 1x1 convolution that gives its numbers")
    if head._replace(filters=0) != Conv(0, 1, batch_norm=False, activation="linear"):
        raise last.error(
            f"stands behind a convolution of size {head.size}, stride {head.stride}, batch_normalize "
            f"{int(head.batch_norm)}, activation {head.activation}, padding {head.border}; expected 1x1, stride 1, "
            "linear, with a bias alone, without padding"
        )
    if region is not None and head.filters != len(region.anchors) * (5 + region.classes):
        raise last.error(
            f"has num={len(region.anchors)} and classes={region.classes}, but the convolution before it has filters="
            f"{head.filters}; expected num (classes + 5) = {len(region.anchors) * (5 + region.classes)}"
        )
    return tuple(layers), head
