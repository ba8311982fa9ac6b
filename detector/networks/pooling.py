"""Max-pooling with darknet's padding: `padding` rows and columns in all, the smaller half above and to the left.

How many windows that makes: `detector.networks.shapes.cells`. TensorFlow's "same" puts the odd pixel elsewhere for
sizes above 2 when the stride is above 1.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from detector.networks.shapes import cells


@keras.saving.register_keras_serializable("wordtree")
class DarknetMaxPool(keras.layers.Layer):
    """[B, H, W, C] to [B, H', W', C].

    Args:
        size: of the window.
        stride: step, or steps from row to row and along a row.
        padding: rows, and columns, added in all.
        **options: of every Keras layer.
    """

    def __init__(self, size: int, stride: int | tuple[int, int], padding: int, **options: Any) -> None:
        super().__init__(**options)
        self.size, self.padding = size, padding
        self.stride = (stride, stride) if isinstance(stride, int) else (int(stride[0]), int(stride[1]))

    def call(self, inputs: Any) -> Any:
        """Maxima; the padding never wins."""
        sides = (self.padding // 2, self.padding - self.padding // 2)
        padded = ops.pad(inputs, ((0, 0), sides, sides, (0, 0)), constant_values=float("-inf"))
        return ops.max_pool(padded, self.size, self.stride, padding="valid")

    def compute_output_shape(self, input_shape: Any) -> Any:
        """[B, H', W', C]."""
        batch, height, width, channels = input_shape
        sides = zip((height, width), self.stride, strict=True)
        found = [None if side is None else cells(side, self.size, step, self.padding) for side, step in sides]
        return (batch, *found, channels)

    def get_config(self) -> dict[str, Any]:
        """What `from_config` takes."""
        return {**super().get_config(), "size": self.size, "stride": self.stride, "padding": self.padding}
