"""Anchors: boxes of the same few shapes around the middle of every cell.

Shapes may come from scales and ratios (`detector.two_stage.anchor_shapes`), or from the data by k-means: both fill
`model.anchors`. At another size of input they keep their pixels.
"""

from __future__ import annotations

import tensorflow as tf


def grid_anchors(shapes: tf.Tensor, grid: tuple[tf.Tensor, tf.Tensor], middle: float = 0.5) -> tf.Tensor:
    """Anchors f32[H W A, 4] `rel_yxyx`, in the order (j W + i) A + a; those at the edges reach beyond the canvas.

    Args:
        shapes: f32[A, 2] width and height in cells.
        grid: (H, W).
        middle: where in its cell an anchor has its centre, in cells: see `detector.two_stage.fields`.
    """
    height, width = grid
    rows, columns = tf.meshgrid(tf.range(height), tf.range(width), indexing="ij")
    centers = tf.cast(tf.stack([rows, columns], axis=-1), tf.float32)[:, :, None] + middle  # [H, W, 1, 2] as (y, x)
    half = shapes[None, None, :, ::-1] / 2  # (height, width)
    cells = tf.cast(tf.stack([height, width]), tf.float32)
    boxes = tf.concat([(centers - half) / cells, (centers + half) / cells], axis=-1)
    return tf.reshape(boxes, [-1, 4])
