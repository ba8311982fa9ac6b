"""Exports, loaded again, in the place of the run's detector: how the check sees what a user will get."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from detector.api import Detections
from detector.config import DecodeConfig
from detector.content import content_of, cut_to_picture
from detector.export.compare import Finder, Found
from detector.export.images import Fit, draw


class LoadedModel:
    """A SavedModel directory of `wordtree export`; it scores nodes and finds objects, as `detector.api` says.

    Args:
        path: of the directory.
        overlap: of the detector that was exported: the scores are those before suppression.
    """

    def __init__(self, path: Path, overlap: float) -> None:
        self.overlap = overlap
        self._loaded: Any = tf.saved_model.load(str(path))  # keeps the variables of the signatures
        self._images = self._loaded.signatures["serving_default"]
        self._scores = self._loaded.signatures["scores"]
        self._shape = self._scores.structured_input_signature[1]["pixels"].shape

    def score_nodes(self, images: tf.Tensor, nodes: Any, content: Any = None) -> tuple[tf.Tensor, tf.Tensor]:
        """See `Finder`; a signature without `content` belongs to a network that makes no use of it."""
        given = {"pixels": tf.ensure_shape(images, self._shape), "nodes": tf.cast(nodes, tf.int32)}
        if "content" in self._scores.structured_input_signature[1]:
            everywhere = tf.tile(tf.constant([[0.0, 0.0, 1.0, 1.0]]), [tf.shape(images)[0], 1])
            given["content"] = everywhere if content is None else tf.cast(content, tf.float32)
        found = self._scores(**given)
        return found["boxes"], found["scores"]

    def find(self, encoded: bytes) -> Found:
        """The detections of one encoded image."""
        found = {name: value[0].numpy() for name, value in self._images(images=tf.constant([encoded])).items()}
        count = int(found["count"])
        return Found(found["boxes"][:count], found["nodes"][:count], found["scores"][:count])


def finder_of(detector: Any, canvas: tuple[int, int], fit: Fit, options: DecodeConfig) -> Finder:
    """A function from an encoded image to its detections on the stored image, with a `Finder` on the canvas.

    Args:
        detector: the run's own, or a `LiteDetector`.
        canvas: (height, width) of its input.
        fit: how images are laid on it.
        options: of the walk and of suppression.
    """

    @tf.function(input_signature=[tf.TensorSpec([], tf.string)])
    def find(encoded: tf.Tensor) -> Detections:
        image, placement = draw(encoded, canvas, fit)
        found = detector.detect(image[None], options, content_of(placement[None]))
        return cut_to_picture(found, placement[None])

    def finder(encoded: bytes) -> Found:
        boxes, nodes, scores, mask = (np.asarray(part[0]) for part in find(tf.constant(encoded)))
        return Found(boxes[mask], nodes[mask], scores[mask])

    return finder
