"""A run and decode options as one compiled function from canvases to what was found on the images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from detector.augment import content_box, unplace_boxes
from detector.config import DecodeConfig
from detector.decode import check_decode
from detector.decode.tables import walk_tables
from detector.infer.canvas import Fit, fit_of, placement
from detector.infer.reading import Sight
from detector.nms import greedy, related_nodes
from detector.tree_softmax import tree_tables


class Found(NamedTuple):
    """What was found on one image, best first.

    Attributes:
        boxes: f32[K, 4] `rel_yxyx` of the stored pixels.
        nodes: i32[K].
        scores: f32[K].
    """

    boxes: NDArray[np.float32]
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
        self.tables = walk_tables(tree_tables(run.tree))
        signature = [tf.TensorSpec([None, *self.canvas, 3], tf.float32), tf.TensorSpec([None, 4], tf.float32)]
        self._detect = tf.function(
            lambda images, content: run.detector.detect(images, options, content), input_signature=signature
        )

    def __call__(self, sights: Sequence[Sight]) -> list[Found]:
        """What was found on each image, its boxes cut to the image."""
        if not sights:
            return []
        places = [placement(sight.image.height, sight.image.width, self.canvas, self.fit) for sight in sights]
        canvases = np.stack([sight.canvas for sight in sights])
        found = self._detect(tf.constant(canvases), tf.constant(np.stack([content_box(place) for place in places])))
        boxes, nodes, scores, mask = (part.numpy() for part in found)
        rows: list[Found] = []
        for k in range(len(sights)):
            keep = mask[k]
            here = np.clip(unplace_boxes(boxes[k][keep], places[k]), 0, 1).astype(np.float32)
            related = related_nodes(nodes[k][keep], self.options.suppression, self.tables)
            # Once more: what lay in the letterbox's bands was cut off just now, so boxes came closer.
            rest = greedy(here, scores[k][keep], self.options.iou_threshold, related)
            rows.append(Found(here[rest], nodes[k][keep][rest], scores[k][keep][rest]))
        return rows
