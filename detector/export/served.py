"""What every SavedModel of ours holds: weights, words of the tree, files that go along, and the two ways in.

Shape shorthand: B images, H x W canvas.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf

from detector.config import DecodeConfig
from detector.export.images import Fit
from detector.export.words import word_tables
from detector.tree_softmax import tree_tables
from wordtree.tree import WordTree


class ServedModel(tf.Module):
    """A trained network as a module with signatures; subclasses say what `_images` and `_pixels` give.

    Args:
        trained: a detector or a classifier; its `model` holds the weights.
        tree: its classes.
        options: of the walk and of suppression.
        canvas: (height, width) of the network's input.
        fit: how images are laid on it.
        assets: attribute name to a file that goes along.
    """

    def __init__(
        self,
        trained: Any,
        tree: WordTree,
        options: DecodeConfig,
        canvas: tuple[int, int],
        fit: Fit = "plain",
        assets: Mapping[str, Path] | None = None,
    ) -> None:
        super().__init__(name="wordtree")
        self._trained = trained
        self._options, self._canvas = options, canvas
        self._fit: Fit = fit
        self._tables = tree_tables(tree)
        self.weights = [weight.value for weight in trained.model.weights]
        self.words = word_tables(tree)
        self.files = {name: tf.saved_model.Asset(str(path)) for name, path in (assets or {}).items()}
        self._pixels_spec = tf.TensorSpec([None, *canvas, 3], tf.float32, name="pixels")
        self.serve_images = tf.function(self._images, input_signature=[tf.TensorSpec([None], tf.string, name="images")])
        self.serve_pixels = tf.function(self._pixels, input_signature=[self._pixels_spec])

    def signatures(self) -> dict[str, Any]:
        """By name, as `tf.saved_model.save` takes them."""
        return {"serving_default": self.serve_images, "pixels": self.serve_pixels}

    def _images(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        """Of encoded images string[B]."""
        raise NotImplementedError

    def _pixels(self, pixels: tf.Tensor) -> dict[str, tf.Tensor]:
        """Of letterboxed images f32[B, H, W, 3]."""
        raise NotImplementedError
