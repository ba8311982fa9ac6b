"""Where the picture lies on its canvas: what is beyond it is padding, neither background nor object.

Grey fills the rest of the canvas. Faster R-CNN is told where it begins (`Batch.content`): no anchor out there is
trained, proposals and boxes are cut to the picture, and what is cut to nothing falls. The features are left as they
are: cells near the picture's edge see grey within their receptive field, as those at the canvas's edge see zeros. (The
TensorFlow Object Detection API does the same with zeros in place of grey.)

Shape shorthand: B images, S boxes or anchors.
"""

from __future__ import annotations

import tensorflow as tf

from detector.api import Detections

LEAST_SIDE = 1e-6  # of the picture: what is thinner has nothing to show
EDGE = 1e-5  # of the canvas, a hundredth of a pixel of 1000: an anchor along the edge is inside, whatever the rounding


def content_of(places: tf.Tensor) -> tf.Tensor:
    """f32[B, 4] `rel_yxyx` of pictures on their canvas, as far as they are on it.

    Args:
        places: f[B, 4] scale_y, scale_x, shift_y, shift_x of a `Placement` each, not flipped.
    """
    low, high = places[:, 2:4], places[:, 2:4] + places[:, 0:2]
    return tf.clip_by_value(tf.cast(tf.concat([low, high], axis=1), tf.float32), 0.0, 1.0)


def clip_to_content(boxes: tf.Tensor, content: tf.Tensor | None) -> tf.Tensor:
    """Boxes f32[B, S, 4] cut to the picture, content f32[B, 4], or to the canvas for None.

    A box beyond it has no area left.
    """
    if content is None:
        return tf.clip_by_value(boxes, 0.0, 1.0)
    low = tf.tile(content[:, None, :2], [1, 1, 2])
    high = tf.tile(content[:, None, 2:], [1, 1, 2])
    return tf.minimum(tf.maximum(boxes, low), high)


def trainable_anchors(anchors: tf.Tensor, content: tf.Tensor | None, *, cross_boundary: bool) -> tf.Tensor:
    """bool[B, S], or bool[S] without content: anchors that may be taken for an object or for background.

    Args:
        anchors: f32[S, 4] `rel_yxyx`.
        content: f32[B, 4] the picture; None: all of the canvas.
        cross_boundary: those whose centre lies in the picture; else those that lie in it with all of their box (Ren et
            al. 2015, section 3.3).
    """
    low = 0.0 if content is None else content[:, None, :2]
    high = 1.0 if content is None else content[:, None, 2:]
    first, last = anchors[..., :2], anchors[..., 2:]
    if cross_boundary:
        first = last = (first + last) / 2
    return tf.reduce_all((first >= low - EDGE) & (last <= high + EDGE), axis=-1)


def cut_to_picture(found: Detections, places: tf.Tensor | None = None) -> Detections:
    """Detections on the picture, cut to it after suppression; what nothing is left of falls, the others move up.

    Args:
        found: best first, boxes of the canvas.
        places: f64[B, 4] scale_y, scale_x, shift_y, shift_x of the pictures on their canvas; None: they fill it.
    """
    boxes = found.boxes
    if places is not None:
        scale, shift = tf.tile(places[:, None, 0:2], [1, 1, 2]), tf.tile(places[:, None, 2:4], [1, 1, 2])
        boxes = tf.cast((tf.cast(boxes, places.dtype) - shift) / scale, tf.float32)
    boxes = tf.clip_by_value(boxes, 0.0, 1.0)
    there = found.mask & tf.reduce_all(boxes[..., 2:] - boxes[..., :2] > LEAST_SIDE, axis=-1)
    order = tf.argsort(tf.cast(~there, tf.int32), axis=1, stable=True)
    boxes, nodes, scores, mask = (
        tf.gather(part, order, batch_dims=1) for part in (boxes, found.nodes, found.scores, there)
    )
    return Detections(
        boxes=tf.where(mask[..., None], boxes, 0.0),
        nodes=tf.where(mask, nodes, 0),
        scores=tf.where(mask, scores, 0.0),
        mask=mask,
    )
