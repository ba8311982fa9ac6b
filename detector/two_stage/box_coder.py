"""A box relative to an anchor as four numbers of similar size (Ren et al. 2015; scales of Huang et al. 2017):

    t_x = 10 (x - x_a) / w_a    t_y = 10 (y - y_a) / h_a    t_w = 5 log(w / w_a)    t_h = 5 log(h / h_a)

x, y are centres; all relative to the canvas, so the codes do not depend on its size.
"""

from __future__ import annotations

import math

import tensorflow as tf

from detector import box_ops

SCALES = (10.0, 10.0, 5.0, 5.0)
MOST_GROWTH = math.log(1000.0 / 16.0)  # a limit far outside of any box keeps exp finite
LEAST_SIDE = 1e-6


def encode(boxes: tf.Tensor, anchors: tf.Tensor) -> tf.Tensor:
    """Codes (t_x, t_y, t_w, t_h) of boxes relative to anchors: f32[..., 4] `rel_yxyx` each to f32[..., 4].

    Sides below 1e-6 count as 1e-6, so that empty boxes give finite codes.
    """
    box, anchor = box_ops.yxyx_to_center_xywh(boxes), box_ops.yxyx_to_center_xywh(anchors)
    sides, anchor_sides = tf.maximum(box[..., 2:], LEAST_SIDE), tf.maximum(anchor[..., 2:], LEAST_SIDE)
    shift = (box[..., :2] - anchor[..., :2]) / anchor_sides
    return tf.concat([shift, tf.math.log(sides / anchor_sides)], axis=-1) * tf.constant(SCALES)


def decode(codes: tf.Tensor, anchors: tf.Tensor) -> tf.Tensor:
    """The boxes of codes: f32[..., 4] and anchors f32[..., 4] `rel_yxyx` to f32[..., 4] `rel_yxyx`, not clipped."""
    anchor = box_ops.yxyx_to_center_xywh(anchors)
    plain = codes / tf.constant(SCALES)
    centers = plain[..., :2] * anchor[..., 2:] + anchor[..., :2]
    sides = tf.exp(tf.minimum(plain[..., 2:], MOST_GROWTH)) * anchor[..., 2:]
    return box_ops.center_xywh_to_yxyx(tf.concat([centers, sides], axis=-1))
