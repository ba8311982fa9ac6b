"""Max-pooling with darknet's padding: `padding` rows and columns in all, the smaller half above and to the left.

The map grows to (H + padding - size) // stride + 1. TensorFlow's "same" puts the odd pixel elsewhere for sizes above
2 when the stride is above 1.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable("wordtree")
class DarknetMaxPool(keras.layers.Layer):
    """[B, H, W, C] to [B, H', W', C].

    Args:
        size: of the window.
        stride: step.
        padding: rows, and columns, added in all.
        **options: of every Keras layer.
    """

    def __init__(self, size: int, stride: int, padding: int, **options: Any) -> None:
        super().__init__(**options)
        self.size, self.stride, self.padding = size, stride, padding

    def call(self, inputs: Any) -> Any:
        """Maxima; the padding never wins."""
        sides = (self.padding // 2, self.padding - self.padding // 2)
        padded = ops.pad(inputs, ((0, 0), sides, sides, (0, 0)), constant_values=float("-inf"))
        return ops.max_pool(padded, self.size, self.stride, padding="valid")

    def compute_output_shape(self, input_shape: Any) -> Any:
        """[B, H', W', C]."""
        batch, height, width, channels = input_shape
        return (batch, self._cells(height), self._cells(width), channels)

    def _cells(self, side: int | None) -> int | None:
        return None if side is None else (side + self.padding - self.size) // self.stride + 1

    def get_config(self) -> dict[str, Any]:
        """What `from_config` takes."""
        return {**super().get_config(), "size": self.size, "stride": self.stride, "padding": self.padding}
