"""What detectors over slots share: a detector is its network, `predict` and `losses`; the rest follows from slots.

A slot is whatever may hold an object: a cell and prior of YOLO9000, a proposal of Faster R-CNN, an anchor of SSD. Each
has a box, P(object) and classes (`detector.region.slots.Predictions`), so that scoring, walks down the tree,
suppression and the rules for labels-only images need not know where it came from.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from detector.api import Batch, Detections
from detector.config import DecodeConfig, Experiment
from detector.given_images import check_images
from detector.region.slots import Predictions
from detector.supervision import Supervision, no_supervision
from detector.tree_softmax import TreeTables, tree_tables
from detector.weak.guidance import Guidance
from schemas.errors import ConfigError
from wordtree.tree import WordTree

# Above so many nodes gathering is cheaper than computing every class (benchmarks/step_cost.py).
GATHER_FROM = 256


class SlotDetector(ABC):
    """A `Localizer` of `detector.api`; who extends it sets `model` and writes `predict` and `losses`.

    Attributes:
        model: the network.
        overlap: IoU above which two of its boxes are one object, where nothing else is asked for.
        guidance: the rules for labels-only images.

    Args:
        experiment: with its anchors filled in.
        tree: the classes.
    """

    model: keras.Model
    overlap: float = DecodeConfig.iou_threshold
    proposals: int = 0

    def __init__(self, experiment: Experiment, tree: WordTree) -> None:
        self.experiment, self.tree = experiment, tree
        self.tables: TreeTables = tree_tables(tree)
        kind = experiment.model.class_head
        self.gathered = kind == "gathered" or (kind == "auto" and len(tree) >= GATHER_FROM)
        self.supervise(no_supervision(tree))

    def supervise(self, supervision: Supervision) -> None:
        """Tell the rules what the training data says of each node."""
        self.guidance = Guidance(supervision, self.tree)

    @abstractmethod
    def predict(self, images: tf.Tensor, *, training: bool, content: tf.Tensor | None = None) -> Predictions:
        """What every slot says of images f32[B, h, w, 3].

        Args:
            images: RGB in [0, 1].
            training: whether batch normalisation uses the batch's own statistics.
            content: f32[B, 4] where the pictures lie, as in `Batch`; None: everywhere.
        """

    @abstractmethod
    def losses(
        self, batch: Batch, *, training: bool, images_seen: tf.Tensor, teacher: Any = None
    ) -> dict[str, tf.Tensor]:
        """Named terms f32[B], one value an image; the mean of their sum is what is trained. See `Learner.losses`."""

    def set_proposals(self, count: int) -> None:
        """There is one stage.

        Raises:
            ConfigError: always.
        """
        raise ConfigError(f"{self.experiment.model.architecture!r} has no proposals; leave the number out")

    def stages(self) -> dict[str, Callable[[Any], Any]]:
        """See `Localizer`."""
        return {"network": lambda images: self.model(images, training=False)}

    def step_of(self, images_seen: tf.Tensor) -> tf.Tensor:
        """i64: the number of the step, from 0."""
        return (tf.cast(images_seen, tf.int64) - 1) // self.experiment.train.batch_size

    def score_nodes(
        self, images: tf.Tensor, nodes: Any, content: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Boxes f32[B, S, 4] and scores f32[B, S, len(nodes)] = P(object) P(node), for a fixed list of nodes."""
        check_images(images)
        predictions = self.predict(images, training=False, content=content)
        wanted = np.asarray(tf.get_static_value(nodes) if tf.is_tensor(nodes) else nodes, np.int32)
        chosen = predictions.classes.fixed(wanted)
        return predictions.boxes, tf.exp(chosen + tf.math.log_sigmoid(predictions.object_logits)[..., None])

    def detect(self, images: tf.Tensor, options: DecodeConfig, content: tf.Tensor | None = None) -> Detections:
        """Names for likely boxes by `options.walk`, and suppression of what overlaps; `content` as in `predict`.

        Raises:
            InputError: outside of a graph, if the images are no floats from 0 to 1.
        """
        from detector.decode import decode_detections

        check_images(images)
        return decode_detections(self.predict(images, training=False, content=content), options)
