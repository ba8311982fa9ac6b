"""The last layer of YOLOv2 and YOLO9000: boxes for every cell and prior, and classes only where they are asked for.

darknet's last 1x1 convolution has A (5 + N) filters: x, y, w, h, objectness and N classes for each of A priors. With
N = 9,418 it holds a third of the network's operations, but a step supervises the classes of a few boxes. So the box
filters are computed everywhere and the class filters are a table, [A, N, F], of which rows are read as needed.
"""

from __future__ import annotations

import math
from typing import Any

import keras
import tensorflow as tf

BOX_ENTRIES = 5  # x, y, w, h, objectness
# A normal law cut at two deviations has 0.8796 times the deviation of the whole one.
CUT = 0.87962566103423978


@keras.saving.register_keras_serializable("wordtree")
class RegionHead(keras.layers.Layer):
    """Features [B, H, W, F] to box entries f32[B, H, W, A, 5]; classes by `class_logits`, or as `classes.py` asks.

    Weights: box_kernel f32[F, A, 5], box_bias f32[A, 5], class_kernel f32[A, N, F], class_bias f32[A, N]. Filter
    a (5 + N) + e of darknet's convolution is entry e of prior a: x, y, w, h, objectness, then the classes.

    Args:
        priors: A.
        nodes: N.
        **options: of every Keras layer.
    """

    def __init__(self, priors: int, nodes: int, **options: Any) -> None:
        super().__init__(**options)
        self.priors, self.nodes = priors, nodes

    def build(self, input_shape: Any) -> None:
        """He's initialisation for a fan-in of F, as for a 1x1 convolution; biases 0."""
        width = int(input_shape[-1])
        he = keras.initializers.TruncatedNormal(stddev=math.sqrt(2 / width) / CUT)
        self.box_kernel: Any = self.add_weight(
            shape=(width, self.priors, BOX_ENTRIES), initializer=he, dtype="float32", autocast=False, name="box_kernel"
        )
        self.box_bias: Any = self.add_weight(
            shape=(self.priors, BOX_ENTRIES), initializer="zeros", dtype="float32", autocast=False, name="box_bias"
        )
        again = keras.initializers.TruncatedNormal(stddev=math.sqrt(2 / width) / CUT)
        self.class_kernel: Any = self.add_weight(
            shape=(self.priors, self.nodes, width),
            initializer=again,
            dtype="float32",
            autocast=False,
            name="class_kernel",
        )
        self.class_bias: Any = self.add_weight(
            shape=(self.priors, self.nodes), initializer="zeros", dtype="float32", autocast=False, name="class_bias"
        )

    def call(self, features: Any) -> Any:
        """Box entries f32[B, H, W, A, 5], whatever the precision of the features."""
        shape = tf.shape(features)
        kernel = tf.cast(tf.reshape(self.box_kernel.value, [-1, self.priors * BOX_ENTRIES]), features.dtype)
        rows = tf.matmul(tf.reshape(features, [-1, kernel.shape[0]]), kernel)
        raw = tf.reshape(tf.cast(rows, tf.float32), [shape[0], shape[1], shape[2], self.priors, BOX_ENTRIES])
        return raw + self.box_bias.value

    def class_logits(self, features: tf.Tensor) -> tf.Tensor:
        """Every class of every slot: [B, H, W, F] to f32[B, H W A, N]."""
        shape = tf.shape(features)
        kernel = tf.cast(tf.reshape(self.class_kernel.value, [self.priors * self.nodes, -1]), features.dtype)
        rows = tf.matmul(tf.reshape(features, [-1, kernel.shape[1]]), kernel, transpose_b=True)
        logits = tf.cast(rows, tf.float32) + tf.reshape(self.class_bias.value, [-1])
        return tf.reshape(logits, [shape[0], shape[1] * shape[2] * self.priors, self.nodes])

    def compute_output_shape(self, input_shape: Any) -> Any:
        """[B, H, W, A, 5]."""
        return (*input_shape[:-1], self.priors, BOX_ENTRIES)

    def get_config(self) -> dict[str, Any]:
        """What `from_config` takes."""
        return {**super().get_config(), "priors": self.priors, "nodes": self.nodes}
