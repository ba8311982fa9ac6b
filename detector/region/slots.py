"""What each cell and prior of the region layer predicts (thesis section 2.2):

    b_x = (i + sigmoid(t_x)) / W     b_w = p_w exp(t_w)     P(object) = sigmoid(t_o)
    b_y = (j + sigmoid(t_y)) / H     b_h = p_h exp(t_h)

Priors are lengths in cells, as in a .cfg: an input of another size has other cells, and the priors keep their pixels.

Shape shorthand: B images, H x W cells, A priors, S = H W A slots in the order ((j W + i) A + a), N nodes.
"""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from detector import box_ops
from detector.region.classes import ClassScores


class Predictions(NamedTuple):
    """The network's output, slot by slot.

    Attributes:
        offsets: f32[B, S, 2] sigmoid(t_x), sigmoid(t_y): the centre inside its cell.
        sizes: f32[B, S, 2] t_w, t_h.
        object_logits: f32[B, S].
        boxes: f32[B, S, 4] `rel_yxyx`.
        classes: log-probabilities of nodes, where they are asked for.
        priors: f32[A, 2] width and height relative to the image.
        grid: i32[2] (H, W).
    """

    offsets: tf.Tensor
    sizes: tf.Tensor
    object_logits: tf.Tensor
    boxes: tf.Tensor
    classes: ClassScores
    priors: tf.Tensor
    grid: tf.Tensor


def decode_slots(raw: tf.Tensor, priors: tf.Tensor, classes: ClassScores) -> Predictions:
    """Box entries f32[B, H, W, A, 5] to predictions.

    Args:
        raw: x, y, w, h and objectness as the network gives them.
        priors: f32[A, 2] width and height in cells.
        classes: of the same slots.
    """
    shape = tf.shape(raw)
    height, width = shape[1], shape[2]
    offsets, sizes = tf.sigmoid(raw[..., 0:2]), raw[..., 2:4]
    cells = tf.stack(tf.meshgrid(tf.range(width), tf.range(height)), axis=-1)  # [H, W, 2] as (i, j)
    grid = tf.cast(tf.stack([width, height]), tf.float32)
    centers = (offsets + tf.cast(cells, tf.float32)[None, :, :, None, :]) / grid
    relative = priors / grid
    shapes = relative * tf.exp(tf.minimum(sizes, 20.0))  # a limit far outside of any box keeps exp finite
    boxes = box_ops.center_xywh_to_yxyx(tf.concat([centers, shapes], axis=-1))
    flat = [shape[0], height * width * int(priors.shape[0])]
    return Predictions(
        offsets=tf.reshape(offsets, [*flat, 2]),
        sizes=tf.reshape(sizes, [*flat, 2]),
        object_logits=tf.reshape(raw[..., 4], flat),
        boxes=tf.reshape(boxes, [*flat, 4]),
        classes=classes,
        priors=relative,
        grid=tf.stack([height, width]),
    )
