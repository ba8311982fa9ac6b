"""YOLO9000: YOLOv2's region layer over a WordTree, trained jointly on boxed and on merely labelled images.

Thesis section 2.4. A boxed image takes the whole detection loss, with the class part at and above the level of its
label; a labels-only image takes the class part alone, by one of the rules of `detector.weak`. A flat list of classes is
a tree with one group, so this is YOLOv2 too.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from detector.api import Batch
from detector.architectures.slot_detector import SlotDetector
from detector.config import Experiment, ModelConfig
from detector.networks.build import build_features, grid_of
from detector.region.classes import ClassScores, FullClasses, gathered_classes
from detector.region.detection_loss import detection_losses
from detector.region.head import RegionHead
from detector.region.slots import Predictions, decode_slots
from schemas.errors import ConfigError
from wordtree.tree import WordTree


class Yolo9000(SlotDetector):
    """The `Localizer` of `detector.api` for this architecture.

    Args:
        experiment: with its anchors filled in.
        tree: the classes.
    """

    def __init__(self, experiment: Experiment, tree: WordTree) -> None:
        super().__init__(experiment, tree)
        config = experiment.model
        rows, columns = grid_of(config)
        self.model, self.head = build_network(config, len(tree))
        self.priors = tf.constant(np.array(config.anchors, np.float32) * [columns, rows], tf.float32)

    def predict(self, images: tf.Tensor, *, training: bool, content: Any = None) -> Predictions:
        """What every slot says of images f32[B, h, w, 3]. As in darknet, padding is background: `content` is not used.

        Whoever takes boxes back to the picture cuts them to it.
        """
        raw, features = self.model(images, training=training)
        return decode_slots(raw, self.priors, self.class_scores(features))

    def class_scores(self, features: tf.Tensor) -> ClassScores:
        """The classes of the slots of a feature map."""
        if self.gathered:
            return gathered_classes(features, self.head, self.tables)
        return FullClasses(self.head.class_logits(features), self.tables)

    def losses(
        self, batch: Batch, *, training: bool, images_seen: tf.Tensor, teacher: Any = None
    ) -> dict[str, tf.Tensor]:
        """Named terms f32[B], one value an image; the mean of their sum is what is trained. See `Learner.losses`."""
        predictions = self.predict(batch.images, training=training)
        config = self.experiment.loss
        terms = detection_losses(
            predictions,
            batch,
            config=config,
            images_seen=images_seen,
            empty_weight=self.guidance.empty_weight(predictions, batch, config.federated),
        )
        guide = teacher.predict(batch.images, training=False) if config.weak_teacher and teacher is not None else None
        step = self.step_of(images_seen)
        return terms | self.guidance.weak_terms(predictions, batch, config, step, guide)


def build_network(config: ModelConfig, nodes: int) -> tuple[keras.Model, RegionHead]:
    """Images f32[B, h, w, 3] to (box entries f32[B, H, W, A, 5], features [B, H, W, F]), and the head with the classes.

    Raises:
        ConfigError: if there are no priors.
    """
    if not config.anchors:
        raise ConfigError("model.anchors is empty; run `wordtree anchors DATASET` or let `wordtree train` do it")
    images: Any = keras.Input((None, None, 3), name="images")
    features = build_features(images, config)
    if config.dropout:
        features = keras.layers.SpatialDropout2D(config.dropout, name="dropout")(features)
    head = RegionHead(len(config.anchors), nodes, name="region")
    return keras.Model(images, [head(features), features], name="yolov2"), head


def build(experiment: Experiment, tree: WordTree) -> Yolo9000:
    """The detector for an experiment and a tree."""
    return Yolo9000(experiment, tree)
