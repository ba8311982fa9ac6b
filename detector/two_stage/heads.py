"""The layers with weights beside the network itself: proposals from features, and one vector a crop.

The second stage's last layer is `detector.region.head.RegionHead` over vectors in place of cells, with one prior: four
numbers of the box, P(object), and a table of classes that is read where a label needs it.
"""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from detector.two_stage.stage import StageLayer
from schemas.errors import ConfigError

ENTRIES = 5  # codes x, y, w, h, objectness
LARGEST_SOUGHT = 32  # cells of a crop's side: what no crop of so many fits is told without a number
DEVIATION = 0.01  # of the first weights (Ren et al. 2015, section 3.1.3)


@keras.saving.register_keras_serializable("wordtree")
class ProposalHead(keras.layers.Layer):
    """Features [B, H, W, F] to entries f32[B, H, W, A, 5]: a 3x3 convolution, and one 1x1 for all that it gives.

    Weights: conv/kernel, conv/bias, kernel f32[width, A 5], bias f32[A 5].

    Args:
        shapes: A.
        width: channels of the 3x3 convolution.
        **options: of every Keras layer.
    """

    def __init__(self, shapes: int, width: int, **options: Any) -> None:
        super().__init__(**options)
        self.shapes, self.width = shapes, width
        normal: Any = keras.initializers.TruncatedNormal(stddev=DEVIATION)
        self.conv = keras.layers.Conv2D(
            width, 3, padding="same", activation="relu", kernel_initializer=normal, name="conv"
        )

    def build(self, input_shape: Any) -> None:
        """Small weights, biases 0: at first every box is its anchor, and P(object) 1/2."""
        self.conv.build(input_shape)
        entries = self.shapes * ENTRIES
        small = keras.initializers.TruncatedNormal(stddev=DEVIATION)
        self.kernel: Any = self.add_weight(
            shape=(self.width, entries), initializer=small, dtype="float32", autocast=False, name="kernel"
        )
        self.bias: Any = self.add_weight(
            shape=(entries,), initializer="zeros", dtype="float32", autocast=False, name="bias"
        )

    def call(self, features: Any) -> Any:
        """Entries, whatever the precision of the features."""
        hidden = self.conv(features)
        shape = tf.shape(hidden)
        kernel = tf.cast(self.kernel.value, hidden.dtype)
        rows = tf.cast(tf.matmul(tf.reshape(hidden, [-1, self.width]), kernel), tf.float32) + self.bias.value
        return tf.reshape(rows, [shape[0], shape[1], shape[2], self.shapes, ENTRIES])

    def compute_output_shape(self, input_shape: Any) -> Any:
        """[B, H, W, A, 5]."""
        return (*input_shape[:-1], self.shapes, ENTRIES)

    def get_config(self) -> dict[str, Any]:
        """What `from_config` takes."""
        return {**super().get_config(), "shapes": self.shapes, "width": self.width}


def second_stage(rest: Any, crop: tuple[int, int], *, width: int, dropout: float) -> Any:
    """Crops [n, s, s, C] to vectors [n, F], as one layer.

    Args:
        rest: a model from crops to a map, whose mean over all places is the vector; None: two dense layers.
        crop: (s, C).
        width: F of the dense layers.
        dropout: share of a vector's numbers dropped in training.

    Raises:
        ConfigError: if crops are so small that nothing of them would be left.
    """
    side, channels = crop
    crops = keras.Input((side, side, channels), name="crops")
    if rest is not None:
        if not _fits(rest, side, channels):
            least = next((more for more in range(side + 1, LARGEST_SOUGHT + 1) if _fits(rest, more, channels)), 0)
            raise ConfigError(
                f"two_stage.crop / two_stage.pool is {side}: of crops of {side} x {side} cells nothing is left in the "
                f"second stage; expected {f'{least} or more' if least else 'more'}: a larger two_stage.crop, "
                "two_stage.pool=1, or two_stage.tail_stride=1, which does not halve them"
            )
        x = keras.layers.GlobalAveragePooling2D(dtype="float32", name="roi_mean")(rest(crops))
    else:
        x = keras.layers.Flatten(name="roi_flat")(crops)
        for number in (1, 2):
            x = keras.layers.Dense(width, activation="relu", kernel_initializer="he_normal", name=f"roi_dense{number}")(
                x
            )
    if dropout:
        x = keras.layers.Dropout(dropout, name="roi_dropout")(x)
    return StageLayer(keras.Model(crops, x), name="second_stage")


def _fits(rest: Any, side: int, channels: int) -> bool:
    """Whether a network makes a map of crops of a size."""
    try:
        shape = rest.compute_output_shape((1, side, side, channels))
    except ValueError:  # Keras: the size of a layer's output would be zero or negative
        return False
    return all(shape[1:3])
