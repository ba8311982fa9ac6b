"""A detector with everything around it as one graph: encoded images in; boxes, names and paths out.

The graph takes the steps of `wordtree detect` in their order: decode, letterbox, network, walk and suppression,
boxes back to the image as it is stored, cut to it. What was decided at export (thresholds, the walk) is part of the
graph.

Shape shorthand: B images, H x W canvas, K detections, L nodes, S slots, N nodes of the tree.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from detector.api import Detections
from detector.content import content_of, cut_to_picture
from detector.export.images import draw
from detector.export.served import ServedModel
from detector.region.slots import Predictions
from detector.tree_softmax import path_log_prob


class ServedDetector(ServedModel):
    """What the SavedModel holds.

    Signatures:
        serving_default: `images` string[B], each an encoded JPEG, PNG, BMP or GIF (its first frame).
        pixels: `pixels` f32[B, H, W, 3] RGB in [0, 1], letterboxed already; boxes are relative to the canvas.
        scores: `pixels`, and `nodes` i32[L]: boxes f32[B, S, 4] of the canvas and scores f32[B, S, L] of these nodes,
            before the walk and suppression: for a class list of one's own, and for evaluation.

    The first two give, best first: boxes f32[B, K, 4] `rel_yxyx`, nodes i32[B, K], wnids, names and paths
    string[B, K], scores f32[B, K], count i32[B]. Rows from `count` on are empty: zeros, node -1, "".
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        nodes = tf.TensorSpec([None], tf.int32, name="nodes")
        self.serve_scores = tf.function(self._scores, input_signature=[self._pixels_spec, nodes])

    def signatures(self) -> dict[str, Any]:
        """By name, as `tf.saved_model.save` takes them."""
        return {**super().signatures(), "scores": self.serve_scores}

    def _images(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        canvases, placement = tf.map_fn(
            lambda encoded: draw(encoded, self._canvas, self._fit),
            images,
            fn_output_signature=(tf.float32, tf.float64),
        )
        canvases = tf.ensure_shape(canvases, [None, *self._canvas, 3])
        found = self._trained.detect(canvases, self._options, content_of(placement))
        return self._named(cut_to_picture(found, placement))

    def _pixels(self, pixels: tf.Tensor) -> dict[str, tf.Tensor]:
        return self._named(self._trained.detect(pixels, self._options))

    def _scores(self, pixels: tf.Tensor, nodes: tf.Tensor) -> dict[str, tf.Tensor]:
        return self._scores_of(self._trained.predict(pixels, training=False), nodes)

    def _scores_of(self, predictions: Predictions, nodes: tf.Tensor) -> dict[str, tf.Tensor]:
        batch, slots = tf.unstack(tf.shape(predictions.object_logits))
        everywhere = tf.broadcast_to(tf.range(slots)[None], [batch, slots])
        conditional = predictions.classes.conditional(everywhere)
        wanted = tf.broadcast_to(nodes[None], [batch, tf.shape(nodes)[0]])
        found = path_log_prob(conditional, wanted, self._tables)
        scores = tf.exp(found + tf.math.log_sigmoid(predictions.object_logits)[..., None])
        return {"boxes": predictions.boxes, "scores": scores}

    def _named(self, found: Detections) -> dict[str, tf.Tensor]:
        mask = found.mask
        words = {name: tf.where(mask, tf.gather(table, found.nodes), "") for name, table in self.words.items()}
        return {
            "boxes": tf.where(mask[..., None], found.boxes, 0.0),
            "nodes": tf.where(mask, found.nodes, -1),
            "scores": tf.where(mask, found.scores, 0.0),
            "count": tf.reduce_sum(tf.cast(mask, tf.int32), axis=1),
            **words,
        }
