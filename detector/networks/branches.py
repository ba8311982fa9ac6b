"""Branches of a .cfg that Keras has no layer for: some channels of a map, and layers that lead nowhere."""

from __future__ import annotations

from typing import Any

import keras


@keras.saving.register_keras_serializable("wordtree")
class ChannelPart(keras.layers.Layer):
    """Channels `start` to `start + count` of [B, H, W, C]: what a [route] with groups takes.

    Args:
        start, count: which channels.
        **options: of every Keras layer.
    """

    def __init__(self, start: int, count: int, **options: Any) -> None:
        super().__init__(**options)
        self.start, self.count = start, count

    def call(self, inputs: Any) -> Any:
        """[B, H, W, count]."""
        return inputs[..., self.start : self.start + self.count]

    def get_config(self) -> dict[str, Any]:
        """What `from_config` takes."""
        return {**super().get_config(), "start": self.start, "count": self.count}


@keras.saving.register_keras_serializable("wordtree")
class Unread(keras.layers.Layer):
    """Of several maps the first. The others belong to layers that nothing reads, as `[route] layers=-2` leaves them.

    darknet keeps their numbers, and its .weights files hold them: so the model must, though nothing depends on them.
    """

    def call(self, inputs: Any) -> Any:
        """The first."""
        return inputs[0]

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Of the first."""
        return input_shape[0]
