"""The passthrough of YOLOv2 as darknet's memory has it. It is not space-to-depth: trained weights need this order.

darknet holds maps as (C, H, W). With stride s and c = C / s^2 it reads that memory as (c, sH, sW), takes

    out[k, h, w] = view[k mod c, s h + (k div c) div s, s w + (k div c) mod s]    for k < C, h < H, w < W

and reads the result as (C s^2, H / s, W / s).
"""

from __future__ import annotations

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable("wordtree")
class DarknetReorg(keras.layers.Layer):
    """[B, H, W, C] to [B, H / s, W / s, C s^2]; C must be a multiple of s^2, H and W of s.

    Args:
        stride: s.
        **options: of every Keras layer.
    """

    def __init__(self, stride: int, **options: Any) -> None:
        super().__init__(**options)
        self.stride = stride

    def build(self, input_shape: Any) -> None:
        """Refuse sizes that darknet would scramble.

        Raises:
            ValueError: if the channels, or a known height or width, cannot be divided.
        """
        _, height, width, channels = input_shape
        s = self.stride
        if channels % (s * s) or (height or 0) % s or (width or 0) % s:
            raise ValueError(
                f"{self.name}: a map of {height}x{width}x{channels}; a stride of {s} needs height and width that are "
                f"multiples of {s} and channels that are a multiple of {s * s}"
            )

    def call(self, inputs: Any) -> Any:
        """The reorganised map."""
        s = self.stride
        sides: Any = ops.shape(inputs)
        batch, height, width, channels = sides[0], sides[1], sides[2], inputs.shape[-1]
        part = channels // (s * s)
        memory = ops.transpose(inputs, (0, 3, 1, 2))
        view = ops.reshape(memory, (batch, part, height, s, width, s))  # [B, k mod c, h, row, w, column]
        out = ops.transpose(view, (0, 3, 5, 1, 2, 4))  # k = (row s + column) c + k mod c
        out = ops.reshape(out, (batch, channels * s * s, height // s, width // s))
        return ops.transpose(out, (0, 2, 3, 1))

    def compute_output_shape(self, input_shape: Any) -> Any:
        """[B, H / s, W / s, C s^2]."""
        batch, height, width, channels = input_shape
        s = self.stride
        return (batch, height and height // s, width and width // s, channels * s * s)

    def get_config(self) -> dict[str, Any]:
        """What `from_config` takes."""
        return {**super().get_config(), "stride": self.stride}
