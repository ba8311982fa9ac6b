"""Box arithmetic on tensors: the TensorFlow twins of `schemas.boxes`.

Shape shorthand: N, M boxes; `...` leading axes that broadcast.
"""

from __future__ import annotations

import tensorflow as tf


def center_xywh_to_yxyx(boxes: tf.Tensor) -> tf.Tensor:
    """f32[..., 4] (x, y, w, h), centre first, to (ymin, xmin, ymax, xmax)."""
    x, y, w, h = tf.unstack(boxes, axis=-1)
    return tf.stack([y - h / 2, x - w / 2, y + h / 2, x + w / 2], axis=-1)


def yxyx_to_center_xywh(boxes: tf.Tensor) -> tf.Tensor:
    """f32[..., 4] (ymin, xmin, ymax, xmax) to (x, y, w, h), centre first."""
    ymin, xmin, ymax, xmax = tf.unstack(boxes, axis=-1)
    return tf.stack([(xmin + xmax) / 2, (ymin + ymax) / 2, xmax - xmin, ymax - ymin], axis=-1)


def iou(a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    """Intersection over union of boxes that broadcast: f32[..., 4] and f32[..., 4] to f32[...], 0 for empty ones."""
    low = tf.maximum(a[..., :2], b[..., :2])
    high = tf.minimum(a[..., 2:], b[..., 2:])
    inter = tf.reduce_prod(tf.maximum(high - low, 0.0), axis=-1)
    area_a = tf.reduce_prod(tf.maximum(a[..., 2:] - a[..., :2], 0.0), axis=-1)
    area_b = tf.reduce_prod(tf.maximum(b[..., 2:] - b[..., :2], 0.0), axis=-1)
    return tf.math.divide_no_nan(inter, area_a + area_b - inter)


def pairwise_iou(a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    """f32[..., N, 4] and f32[..., M, 4] to f32[..., N, M]."""
    return iou(a[..., :, None, :], b[..., None, :, :])
