"""Likely boxes of the first stage, without their doubles: what the second stage looks at.

Boxes are cut to the picture (`detector.content`), empty ones fall, the likeliest go into greedy suppression, and the
best that stay are the proposals, best first. The shapes are fixed: rows beyond the last proposal are empty boxes
(zeros). No gradient.

Shape shorthand: B images, S anchors, C candidates, P proposals.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import keras
import tensorflow as tf

from detector.content import clip_to_content
from detector.two_stage.box_coder import decode
from detector.two_stage.grid_anchors import grid_anchors

LEAST_SIDE = 1e-4  # of the canvas; what is smaller holds nothing to look at


class Proposals(NamedTuple):
    """Best first.

    Attributes:
        boxes: f32[B, P, 4] `rel_yxyx` inside the picture; zeros where there is none.
        scores: f32[B, P] P(object) of the first stage, 0 where there is none.
        mask: bool[B, P] which are there.
        anchors: i32[B, P] the anchor that each comes from.
    """

    boxes: tf.Tensor
    scores: tf.Tensor
    mask: tf.Tensor
    anchors: tf.Tensor


def propose(
    boxes: tf.Tensor,
    object_logits: tf.Tensor,
    *,
    count: int,
    iou_threshold: float = 0.7,
    candidates: int = 6000,
    content: tf.Tensor | None = None,
) -> Proposals:
    """Suppress and keep the best.

    Args:
        boxes: f32[B, S, 4] `rel_yxyx` of the first stage.
        object_logits: f32[B, S].
        count: P.
        iou_threshold: above this overlap the less likely box falls.
        candidates: C, how many of the likeliest boxes go into suppression.
        content: f32[B, 4] the picture; None: all of the canvas.
    """
    boxes = clip_to_content(tf.stop_gradient(boxes), content)
    there = tf.reduce_all(boxes[..., 2:] - boxes[..., :2] >= LEAST_SIDE, axis=-1)
    scores = tf.where(there, tf.sigmoid(tf.stop_gradient(object_logits)), -1.0)
    scores, order = tf.math.top_k(scores, tf.minimum(candidates, tf.shape(scores)[1]))
    boxes = tf.gather(boxes, order, batch_dims=1)
    rows, valid = tf.image.non_max_suppression_padded(
        boxes,
        scores,
        count,
        iou_threshold=iou_threshold,
        score_threshold=-0.5,
        pad_to_max_output_size=True,
        sorted_input=True,
        canonicalized_coordinates=True,
        tile_size=256,
    )
    mask = tf.range(count)[None] < valid[:, None]
    return Proposals(
        boxes=tf.where(mask[..., None], tf.gather(boxes, rows, batch_dims=1), 0.0),
        scores=tf.where(mask, tf.gather(scores, rows, batch_dims=1), 0.0),
        mask=mask,
        anchors=tf.gather(order, rows, batch_dims=1),
    )


def filled(boxes: tf.Tensor) -> tf.Tensor:
    """bool[...]: which of boxes f32[..., 4] are no empty rows."""
    return tf.reduce_all(boxes[..., 2:] > boxes[..., :2], axis=-1)


@keras.saving.register_keras_serializable("wordtree")
class ProposalLayer(keras.layers.Layer):
    """Entries of the first stage f32[B, H, W, A, 5] (codes x, y, w, h, and objectness) to boxes f32[B, P, 4].

    As a layer it takes all of the canvas for the picture; `choose` may be told better.

    Args:
        shapes: width and height of the anchors in cells.
        count: P.
        iou_threshold, candidates: see `propose`.
        middle: see `grid_anchors`.
        **options: of every Keras layer.
    """

    def __init__(
        self,
        shapes: list[list[float]] | tuple[tuple[float, float], ...],
        count: int,
        iou_threshold: float = 0.7,
        candidates: int = 6000,
        middle: float = 0.5,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.shapes = [[float(width), float(height)] for width, height in shapes]
        self.count, self.iou_threshold, self.candidates, self.middle = count, iou_threshold, candidates, middle

    def call(self, inputs: Any) -> Any:
        """Proposals, best first."""
        shape = tf.shape(inputs)
        anchors = grid_anchors(tf.constant(self.shapes, tf.float32), (shape[1], shape[2]), self.middle)
        entries = tf.reshape(inputs, [shape[0], -1, 5])
        return self.choose(decode(entries[..., :4], anchors), entries[..., 4]).boxes

    def choose(
        self, boxes: tf.Tensor, object_logits: tf.Tensor, count: int = 0, content: tf.Tensor | None = None
    ) -> Proposals:
        """`propose` with the settings of this layer, or another `count`."""
        return propose(
            boxes,
            object_logits,
            count=count or self.count,
            iou_threshold=self.iou_threshold,
            candidates=self.candidates,
            content=content,
        )

    def compute_output_shape(self, input_shape: Any) -> Any:
        """[B, P, 4]."""
        return (input_shape[0], self.count, 4)

    def get_config(self) -> dict[str, Any]:
        """What `from_config` takes."""
        settings = {"shapes": self.shapes, "count": self.count, "middle": self.middle}
        return {**super().get_config(), **settings, "iou_threshold": self.iou_threshold, "candidates": self.candidates}
