"""Faster R-CNN as a SavedModel: as every detector, and told where the picture lies on a canvas that it is given."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from detector.export.serving import ServedDetector


class ServedTwoStage(ServedDetector):
    """What the SavedModel of a detector with proposals holds.

    Signatures as in `ServedDetector`, but `pixels` and `scores` take one more input: `content` f32[B, 4] `rel_yxyx`,
    where the picture lies on the canvas; [0, 0, 1, 1] where it fills it. In `scores` the slots are the proposals.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        content = tf.TensorSpec([None, 4], tf.float32, name="content")
        nodes = tf.TensorSpec([None], tf.int32, name="nodes")
        self.serve_pixels = tf.function(self._pixels_within, input_signature=[self._pixels_spec, content])
        self.serve_scores = tf.function(self._scores_within, input_signature=[self._pixels_spec, nodes, content])

    def _pixels_within(self, pixels: tf.Tensor, content: tf.Tensor) -> dict[str, tf.Tensor]:
        return self._named(self._trained.detect(pixels, self._options, content))

    def _scores_within(self, pixels: tf.Tensor, nodes: tf.Tensor, content: tf.Tensor) -> dict[str, tf.Tensor]:
        return self._scores_of(self._trained.predict(pixels, training=False, content=content), nodes)
