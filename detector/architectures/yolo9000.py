"""YOLO9000: YOLOv2's region layer over a WordTree, trained jointly on boxed and on merely labelled images.

Thesis section 2.4. A boxed image takes the whole detection loss, with the class part at and above the level of its
label; a labels-only image takes the class part alone, by one of the rules of `detector.weak_loss`.
"""

from __future__ import annotations

import keras
import tensorflow as tf

from detector.api import Batch, Detections
from detector.architectures import yolov2
from detector.backbones.darknet19 import output_stride
from detector.config import Experiment
from detector.nms import suppress_any_class
from detector.tree_softmax import TreeTables, all_log_probs, group_log_softmax, path_log_prob, tree_tables, walk
from detector.weak_loss import weak_losses
from wordtree.tree import WordTree


class Yolo9000:
    """The `Detector` of `detector.api` for this architecture."""

    def __init__(self, experiment: Experiment, tree: WordTree) -> None:
        config = experiment.model
        self.experiment = experiment
        self.tree = tree
        self.tables: TreeTables = tree_tables(tree)
        self.anchors = yolov2.anchors_tensor(config)
        cells = config.input_size // output_stride(config)
        self.grid = (cells, cells)
        self.model: keras.Model = yolov2.build_network(config, len(tree))

    def predict(self, images: tf.Tensor, *, training: bool) -> yolov2.Predictions:
        """Raw predictions of every slot."""
        return yolov2.decode(self.model(images, training=training), self.anchors)

    def losses(
        self, batch: Batch, *, training: bool, images_seen: tf.Tensor, weak_on: tf.Tensor | float = 1.0
    ) -> dict[str, tf.Tensor]:
        """Named terms, each the mean over the batch's images; their sum is what is trained.

        Args:
            batch: of the joint stream.
            training: whether batch normalisation uses the batch's own statistics.
            images_seen: images up to and with this batch.
            weak_on: multiplies the terms of labels-only images; 0 switches them off.
        """
        predictions = self.predict(batch.images, training=training)
        config = self.experiment.loss
        terms = yolov2.detection_losses(
            predictions,
            batch,
            config=config,
            anchors=self.anchors,
            grid=self.grid,
            tables=self.tables,
            images_seen=images_seen,
        )
        if config.weak != "off":
            weak = weak_losses(predictions, batch, config=config, tables=self.tables)
            terms |= {name: value * weak_on for name, value in weak.items()}
        return {name: tf.reduce_mean(value) for name, value in terms.items()}

    def score_nodes(self, images: tf.Tensor, nodes: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Boxes f32[B, S, 4] and scores f32[B, S, len(nodes)] = P(object) P(node), for a fixed list of nodes."""
        predictions = self.predict(images, training=False)
        log_probs = group_log_softmax(predictions.class_logits, self.tables)
        batch = tf.shape(images)[0]
        chosen = path_log_prob(log_probs, tf.broadcast_to(nodes[None], [batch, tf.shape(nodes)[0]]), self.tables)
        return predictions.boxes, tf.exp(chosen + tf.math.log_sigmoid(predictions.object_logits)[..., None])

    def detect(
        self,
        images: tf.Tensor,
        *,
        threshold: float,
        walk_threshold: float,
        iou_threshold: float = 0.45,
        limit: int = 100,
    ) -> Detections:
        """Walk down the tree in every slot and suppress what overlaps.

        Args:
            images: f32[B, S, S, 3].
            threshold: least objectness times probability of the node.
            walk_threshold: descend to the best child while its absolute probability is above this (thesis rule).
            iou_threshold: of the suppression, whatever the class.
            limit: detections kept per image.
        """
        predictions = self.predict(images, training=False)
        absolute = all_log_probs(group_log_softmax(predictions.class_logits, self.tables), self.tables)
        nodes, log_prob = walk(absolute, self.tables, walk_threshold)
        scores = tf.exp(log_prob + tf.math.log_sigmoid(predictions.object_logits))
        return suppress_any_class(
            predictions.boxes, nodes, scores, threshold=threshold, iou_threshold=iou_threshold, limit=limit
        )


def build(experiment: Experiment, tree: WordTree) -> Yolo9000:
    """The detector for an experiment and a tree."""
    return Yolo9000(experiment, tree)
