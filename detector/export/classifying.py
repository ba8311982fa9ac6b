"""A classifier over the tree as one graph: encoded images in; names and paths out.

Shape shorthand: B images, H x W canvas, T names for an image, N nodes of the tree.
"""

from __future__ import annotations

import tensorflow as tf

from detector.export.images import draw
from detector.export.served import ServedModel


class ServedClassifier(ServedModel):
    """What the SavedModel of a classifier holds.

    Signatures:
        serving_default: `images` string[B], each an encoded JPEG, PNG, BMP or GIF (its first frame); gives nodes
            i32[B, T], wnids, names and paths string[B, T] and scores f32[B, T], best first, by the walk of the options:
            one name, or with "topk" several. The score is the absolute probability of the node.
        pixels: `pixels` f32[B, H, W, 3] RGB in [0, 1], letterboxed already; gives `probabilities` f32[B, N].
    """

    def _images(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        canvases = tf.map_fn(
            lambda encoded: draw(encoded, self._canvas, self._fit)[0], images, fn_output_signature=tf.float32
        )
        canvases = tf.ensure_shape(canvases, [None, *self._canvas, 3])
        nodes, scores = self._trained.name(canvases, self._options)
        named = {name: tf.gather(table, nodes) for name, table in self.words.items()}
        return {"nodes": nodes, "scores": scores, **named}

    def _pixels(self, pixels: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"probabilities": self._trained.classify(pixels)}
