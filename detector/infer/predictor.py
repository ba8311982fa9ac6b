"""A run and decode options as one compiled function from canvases to what was found on the images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from detector.api import Detections
from detector.config import DecodeConfig
from detector.content import content_of, cut_to_picture
from detector.decode import check_decode
from detector.infer.canvas import Fit, fit_of, placement
from detector.infer.reading import Sight


class Found(NamedTuple):
    """What was found on one image, best first.

    Attributes:
        boxes: f32[K, 4] `rel_yxyx` of the stored pixels; None where the whole image was named.
        nodes: i32[K].
        scores: f32[K].
    """

    boxes: NDArray[np.float32] | None
    nodes: NDArray[np.int32]
    scores: NDArray[np.float32]


class Predictor:
    """Detects on batches of any length; compiled once.

    A network that came from a .cfg sees images as darknet shows them.
    """

    def __init__(self, run: Any, options: DecodeConfig) -> None:
        """Nothing is compiled before the first batch.

        Raises:
            ConfigError: if the options make no sense for the run's tree.
        """
        self.options = check_decode(options, len(run.tree))
        self.canvas: tuple[int, int] = run.experiment.model.canvas
        self.fit: Fit = fit_of(run.experiment.model)

        def find(images: tf.Tensor, places: tf.Tensor) -> Detections:
            return cut_to_picture(run.detector.detect(images, options, content_of(places)), places)

        signature = [tf.TensorSpec([None, *self.canvas, 3], tf.float32), tf.TensorSpec([None, 4], tf.float64)]
        self._detect = tf.function(find, input_signature=signature)

    def __call__(self, sights: Sequence[Sight]) -> list[Found]:
        """What was found on each image, its boxes cut to the image."""
        if not sights:
            return []
        places = [placement(sight.image.height, sight.image.width, self.canvas, self.fit)[:4] for sight in sights]
        canvases = np.stack([sight.canvas for sight in sights])
        boxes, nodes, scores, mask = (
            part.numpy() for part in self._detect(tf.constant(canvases), tf.constant(places, tf.float64))
        )
        return [Found(boxes[k][mask[k]], nodes[k][mask[k]], scores[k][mask[k]]) for k in range(len(sights))]


class ClassPredictor:
    """Names whole images with a classifier; otherwise as `Predictor`."""

    def __init__(self, run: Any, options: DecodeConfig) -> None:
        """Nothing is compiled before the first batch.

        Raises:
            ConfigError: if the options make no sense for the run's tree.
        """
        self.options = check_decode(options, len(run.tree))
        self.canvas: tuple[int, int] = run.experiment.model.canvas
        self.fit: Fit = fit_of(run.experiment.model)
        signature = [tf.TensorSpec([None, *self.canvas, 3], tf.float32)]
        self._name = tf.function(lambda images: run.detector.name(images, options), input_signature=signature)

    def __call__(self, sights: Sequence[Sight]) -> list[Found]:
        """The names of each image whose probability is above the threshold."""
        if not sights:
            return []
        nodes, scores = (part.numpy() for part in self._name(tf.constant(np.stack([s.canvas for s in sights]))))
        keep = scores > self.options.threshold
        return [Found(None, nodes[k][keep[k]], scores[k][keep[k]]) for k in range(len(sights))]
