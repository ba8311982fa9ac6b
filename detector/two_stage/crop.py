"""The features inside a box at a fixed size: bilinear, without gradient to the box.

The box is divided into size x size bins, and each bin is read at its middle, between the middles of the four cells
around it (pixel i covers [i, i+1], so the middle of cell i is at i + 1/2). Points beyond the middle of an outermost
cell take that cell's value. `tf.image.crop_and_resize` puts the outermost points on the edges of the box and cell i at
i / (H - 1); here its boxes are moved so that it reads the points above, on a map with one more cell on each side.

Shape shorthand: B images, H x W cells, C channels, R boxes, s the size of a crop.
"""

from __future__ import annotations

from typing import Any, Literal

import keras
import tensorflow as tf

Method = Literal["op", "matmul"]


def crop_and_resize(
    features: tf.Tensor, boxes: tf.Tensor, size: int, method: Method = "op", middle: float = 0.5
) -> tf.Tensor:
    """Crops [B, R, s, s, C] of features [B, H, W, C].

    Args:
        features: of any floating type, which the crops have too.
        boxes: f32[B, R, 4] `rel_yxyx`.
        size: s.
        method: "op" is TensorFlow's operation, in float32; "matmul" two products of matrices, for devices without that
            operation. The numbers are the same up to rounding.
        middle: what a cell stands for is here, in cells from its edge, 0 to 1: see `detector.two_stage.fields`.
    """
    boxes = tf.stop_gradient(tf.cast(boxes, tf.float32))
    if method == "matmul":
        return _by_products(features, boxes, size, middle)
    shape, boxes_shape = tf.shape(features), tf.shape(boxes)
    padded = tf.pad(tf.cast(features, tf.float32), [[0, 0], [1, 1], [1, 1], [0, 0]], "SYMMETRIC")
    cells = tf.cast(tf.stack([shape[1], shape[2], shape[1], shape[2]]), tf.float32)
    half_bin = (boxes[..., 2:] - boxes[..., :2]) * (0.5 / size)
    ends = boxes + tf.concat([half_bin, -half_bin], axis=-1)  # the middles of the first and the last bin
    moved = (ends * cells + 1 - middle) / (cells + 1)  # cell i of the map is cell i + 1 of the padded one, of H + 2
    crops = tf.image.crop_and_resize(
        padded,
        tf.reshape(tf.clip_by_value(moved, 0.0, 1.0), [-1, 4]),
        tf.repeat(tf.range(boxes_shape[0]), boxes_shape[1]),
        [size, size],
    )
    crops = tf.reshape(crops, [boxes_shape[0], boxes_shape[1], size, size, features.shape[-1]])
    return tf.cast(crops, features.dtype)


def _by_products(features: tf.Tensor, boxes: tf.Tensor, size: int, middle: float) -> tf.Tensor:
    shape = tf.shape(features)
    rows = _weights(boxes[..., 0], boxes[..., 2], shape[1], size, middle)
    columns = _weights(boxes[..., 1], boxes[..., 3], shape[2], size, middle)
    half = tf.einsum("brsh,bhwc->brswc", tf.cast(rows, features.dtype), features)
    return tf.einsum("brtw,brswc->brstc", tf.cast(columns, features.dtype), half)


def _weights(low: tf.Tensor, high: tf.Tensor, cells: tf.Tensor, size: int, middle: float) -> tf.Tensor:
    """f32[B, R, s, cells]: how much of each cell the points of one axis take; two of them are not 0."""
    count = tf.cast(cells, tf.float32)
    bins = (tf.range(size, dtype=tf.float32) + 0.5) / size
    points = (low[..., None] + bins * (high - low)[..., None]) * count - middle
    points = tf.clip_by_value(points, 0.0, count - 1)
    return tf.maximum(1 - tf.abs(points[..., None] - tf.range(count)), 0.0)


@keras.saving.register_keras_serializable("wordtree")
class CropLayer(keras.layers.Layer):
    """Features [B, H, W, C] and boxes f32[B, R, 4] to crops [B R, s / pool, s / pool, C], max-pooled.

    Args:
        size: s.
        pool: side of the windows of max-pooling; 1: none.
        method, middle: see `crop_and_resize`.
        **options: of every Keras layer.
    """

    def __init__(self, size: int, pool: int = 2, method: Method = "op", middle: float = 0.5, **options: Any) -> None:
        super().__init__(**options)
        self.size, self.pool, self.middle = size, pool, middle
        self.method: Method = method

    def call(self, features: Any, boxes: Any) -> Any:
        """Crops of all boxes of all images, one after another."""
        crops = crop_and_resize(features, boxes, self.size, self.method, self.middle)
        crops = tf.reshape(crops, [-1, self.size, self.size, features.shape[-1]])
        return tf.nn.max_pool2d(crops, self.pool, self.pool, "VALID") if self.pool > 1 else crops

    def compute_output_shape(self, features_shape: Any, boxes_shape: Any) -> Any:
        """[B R, s / pool, s / pool, C]."""
        batch, boxes = boxes_shape[0], boxes_shape[1]
        side = self.size // self.pool
        return (None if batch is None or boxes is None else batch * boxes, side, side, features_shape[-1])

    def get_config(self) -> dict[str, Any]:
        """What `from_config` takes."""
        settings = {"size": self.size, "pool": self.pool, "method": self.method, "middle": self.middle}
        return {**super().get_config(), **settings}


@keras.saving.register_keras_serializable("wordtree")
class UnfoldLayer(keras.layers.Layer):
    """Vectors [B R, F] to a map [B, R, 1, F], as a head over cells reads it; R as in the boxes f32[B, R, 4]."""

    def call(self, vectors: Any, boxes: Any) -> Any:
        """The same numbers."""
        shape = tf.shape(boxes)
        return tf.reshape(vectors, [shape[0], shape[1], 1, vectors.shape[-1]])

    def compute_output_shape(self, vectors_shape: Any, boxes_shape: Any) -> Any:
        """[B, R, 1, F]."""
        return (boxes_shape[0], boxes_shape[1], 1, vectors_shape[-1])
