"""A network as a list of layers: what darknet's .cfg says, and what the builder turns into Keras.

The list runs from the image to the features; layer k reads layer k - 1 unless it is a `Route`. Indices count from 0
over all layers, as darknet counts its sections after [net].
"""

from __future__ import annotations

from typing import NamedTuple


class Conv(NamedTuple):
    """A convolution; with batch normalisation it has no bias of its own (darknet's bias is beta, after the scale).

    Attributes:
        filters: channels out.
        size: of the kernel.
        stride: step.
        pad: pixels of zeros on each side; None: size // 2.
        batch_norm: whether it is normalised.
        activation: "leaky" (slope 0.1), "linear", "relu" or "logistic".
        stride_x: step along a row, where it is another; `stride` is then the one from row to row.
        dilation: pixels between what the kernel reads; above 1 the map keeps its size.
    """

    filters: int
    size: int
    stride: int = 1
    pad: int | None = None
    batch_norm: bool = True
    activation: str = "leaky"
    stride_x: int | None = None
    dilation: int = 1

    @property
    def border(self) -> int:
        """Pixels of zeros on each side, undilated."""
        return self.size // 2 if self.pad is None else self.pad

    @property
    def steps(self) -> tuple[int, int]:
        """From row to row, and along a row."""
        return self.stride, self.stride if self.stride_x is None else self.stride_x


class MaxPool(NamedTuple):
    """Maximum over windows; `padding` rows and columns in all, the odd one at the right and below (darknet).

    `stride_x` is the step along a row where it is another than `stride`.
    """

    size: int
    stride: int
    padding: int | None = None  # None: size - 1
    stride_x: int | None = None

    @property
    def border(self) -> int:
        """Rows, and columns, added in all."""
        return self.size - 1 if self.padding is None else self.padding

    @property
    def steps(self) -> tuple[int, int]:
        """From row to row, and along a row."""
        return self.stride, self.stride if self.stride_x is None else self.stride_x


class Route(NamedTuple):
    """The outputs of earlier layers, one after another along the channels; indices count from 0.

    Of each of them the part `group` of `groups` equal parts of its channels.
    """

    layers: tuple[int, ...]
    groups: int = 1
    group: int = 0


class Reorg(NamedTuple):
    """The passthrough of YOLOv2 in darknet's order of memory: stride^2 times the channels at 1/stride the size."""

    stride: int


class AvgPool(NamedTuple):
    """The mean over all places."""


class Dropout(NamedTuple):
    """Drops single values in training; probability in [0, 1)."""

    probability: float


Layer = Conv | MaxPool | Route | Reorg | AvgPool | Dropout
Layers = tuple[Layer, ...]
