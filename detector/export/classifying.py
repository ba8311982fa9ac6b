"""A classifier over the tree as one graph: encoded images in; names and paths out.

Shape shorthand: B images, H x W canvas, T names for an image, N nodes of the tree.
"""

# pyright: reportArgumentType=false, reportOperatorIssue=false, reportOptionalOperand=false, reportCallIssue=false
# (TensorFlow's own annotations know neither slices with an ellipsis nor operators of tensors.)

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf

from detector.config import DecodeConfig
from detector.decode.decoding import name_boxes
from detector.decode.tables import walk_tables
from detector.export.images import Fit, draw
from detector.export.words import word_tables
from detector.tree_softmax import group_log_softmax, tree_tables
from wordtree.tree import WordTree


class ServedClassifier(tf.Module):
    """What the SavedModel of a classifier holds.

    Signatures:
        serving_default: `images` string[B], each an encoded JPEG, PNG, BMP or GIF (its first frame); gives nodes
            i32[B, T], wnids, names and paths string[B, T] and scores f32[B, T], best first, by the walk of the options:
            one name, or with "topk" several. The score is the absolute probability of the node.
        pixels: `pixels` f32[B, H, W, 3] RGB in [0, 1], letterboxed already; gives `probabilities` f32[B, N].

    Args:
        classifier: trained (`detector.architectures.classifier`).
        tree: its classes.
        options: their walk.
        canvas: (height, width) of the network's input.
        fit: how images are laid on it.
        assets: attribute name to a file that goes along.
    """

    def __init__(
        self,
        classifier: Any,
        tree: WordTree,
        options: DecodeConfig,
        canvas: tuple[int, int],
        fit: Fit = "plain",
        assets: Mapping[str, Path] | None = None,
    ) -> None:
        super().__init__(name="wordtree")
        self._classifier = classifier
        self._options, self._canvas, self._fit = options, canvas, fit
        self._tables = tree_tables(tree)
        self.weights = [weight.value for weight in classifier.model.weights]
        self.words = word_tables(tree)
        self.files = {name: tf.saved_model.Asset(str(path)) for name, path in (assets or {}).items()}
        pixels = tf.TensorSpec([None, *canvas, 3], tf.float32, name="pixels")
        self.serve_images = tf.function(self._images, input_signature=[tf.TensorSpec([None], tf.string, name="images")])
        self.serve_pixels = tf.function(self._pixels, input_signature=[pixels])

    def signatures(self) -> dict[str, Any]:
        """By name, as `tf.saved_model.save` takes them."""
        return {"serving_default": self.serve_images, "pixels": self.serve_pixels}

    def _images(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        canvases = tf.map_fn(
            lambda encoded: draw(encoded, self._canvas, self._fit)[0], images, fn_output_signature=tf.float32
        )
        canvases = tf.ensure_shape(canvases, [None, *self._canvas, 3])
        logits = tf.cast(self._classifier.model(canvases, training=False), tf.float32)
        conditional = group_log_softmax(logits, self._tables)
        nodes, log_probs = name_boxes(conditional, self._options, walk_tables(self._tables))
        named = {name: tf.gather(table, nodes) for name, table in self.words.items()}
        return {"nodes": nodes, "scores": tf.exp(log_probs), **named}

    def _pixels(self, pixels: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"probabilities": self._classifier.classify(pixels)}
