"""A classifier over the tree: what YOLO9000's network is trained as before it learns boxes (thesis section 2.4).

The network, the mean over all places, a 1x1 convolution to N nodes, and one softmax for each sibling group. (darknet
takes the mean behind the convolution: the same logits at as many times the cost as there are places.) A label
supervises the groups on its path, "dog" says nothing of breeds: the other groups have no target, as in darknet's masked
cost (truth -1234). A flat list of classes is a tree with one group, and the loss the ordinary cross-entropy.

Shape shorthand: B images, L labels kept per image, N nodes, K classes among which the best are looked for.
"""

from __future__ import annotations

from typing import Any, NoReturn

import keras
import tensorflow as tf

from detector.api import Batch
from detector.config import DecodeConfig, Experiment, LossConfig
from detector.decode.decoding import name_boxes
from detector.decode.tables import walk_tables
from detector.given_images import check_images
from detector.networks.build import build_features
from detector.tree_softmax import TreeTables, all_log_probs, group_log_softmax, tree_tables
from schemas.errors import ConfigError
from wordtree.tree import WordTree

NO_BOXES = "this run is a classifier (model.architecture=classifier) and finds no boxes; "


class TreeClassifier:
    """The `Classifier` of `detector.api` for pre-training; it classifies and does not detect.

    Attributes:
        model: images f32[B, h, w, 3] to logits f32[B, N].
        tree: the classes.
    """

    def __init__(self, experiment: Experiment, tree: WordTree) -> None:
        self.experiment, self.tree = experiment, tree
        self.tables: TreeTables = tree_tables(tree)
        config = experiment.model
        images: Any = keras.Input((None, None, 3), name="images")
        x = build_features(images, config)
        if config.dropout:
            x = keras.layers.SpatialDropout2D(config.dropout, name="dropout")(x)
        x = keras.layers.GlobalAveragePooling2D(keepdims=True, dtype="float32", name="mean")(x)
        x = keras.layers.Conv2D(len(tree), 1, kernel_initializer="he_normal", dtype="float32", name="classes")(x)
        self.model = keras.Model(images, keras.layers.Flatten(dtype="float32", name="logits")(x), name="classifier")

    def supervise(self, supervision: Any) -> None:
        """The rules of this loss need nothing of the training data as a whole."""

    def losses(self, batch: Batch, *, training: bool, images_seen: Any, teacher: Any = None) -> dict[str, tf.Tensor]:
        """class: of present labels; absent: of verified absent ones. f32[B] each, 0 for images without such labels.

        Args:
            batch: of which images and image labels count; boxes are not read.
            training: whether batch normalisation uses the batch's own statistics.
            images_seen: not used.
            teacher: not used.
        """
        logits = tf.cast(self.model(batch.images, training=training), tf.float32)
        return label_losses(logits, batch, self.tables, self.experiment.loss)

    def classify(self, images: Any) -> tf.Tensor:
        """Absolute probability of every node: f32[B, h, w, 3] to f32[B, N]; the leaves sum to 1."""
        return tf.exp(all_log_probs(self._conditional(images), self.tables))

    def name(self, images: Any, options: DecodeConfig) -> tuple[tf.Tensor, tf.Tensor]:
        """Names of whole images by the walk of the options: nodes i32[B, T] and P(node) f32[B, T], best first."""
        nodes, log_probs = name_boxes(self._conditional(images), options, walk_tables(self.tables))
        return nodes, tf.exp(log_probs)

    def _conditional(self, images: Any) -> tf.Tensor:
        check_images(images)
        return group_log_softmax(tf.cast(self.model(images, training=False), tf.float32), self.tables)

    def score_nodes(self, images: Any, nodes: Any, content: Any = None) -> NoReturn:
        """There are no boxes.

        Raises:
            ConfigError: always.
        """
        raise ConfigError(NO_BOXES + "evaluate it by the classes of whole images, or train a detector with --init RUN")

    def detect(self, images: Any, options: DecodeConfig, content: Any = None) -> NoReturn:
        """There are no boxes.

        Raises:
            ConfigError: always.
        """
        raise ConfigError(NO_BOXES + "train a detector that begins with its weights: wordtree train ... --init RUN")


def label_losses(logits: tf.Tensor, batch: Batch, tables: TreeTables, config: LossConfig) -> dict[str, tf.Tensor]:
    """The loss of image labels over a tree.

    A present label costs -log P(node), the sum of cross-entropies of the groups on its path; several labels of one
    image share its weight, so that the target of a group is their mixture. A verified absent one costs
    -log(1 - P(node)). Both are multiplied by the label's own weight.

    Args:
        logits: f32[B, N].
        batch: its image labels.
        tables: of the tree.
        config: class_scale, label_smoothing, weak_robust and weak_negative_scale.
    """
    conditional = group_log_softmax(logits, tables)
    weight = tf.cast(batch.image_node_weight, tf.float32)
    present = tf.cast(tf.equal(batch.image_node_sign, 1), tf.float32)
    absent = tf.cast(tf.equal(batch.image_node_sign, -1), tf.float32)
    nodes = tf.maximum(batch.image_nodes, 0)
    path, mask = tf.gather(tables.path, nodes), tf.gather(tables.path_mask, nodes)  # [B, L, D]
    steps = tf.where(mask, tf.gather(conditional, path, batch_dims=1), 0.0)
    log_prob = tf.reduce_sum(steps, axis=-1)  # [B, L] log P(node)
    if config.label_smoothing:
        groups = tf.maximum(tf.gather(tables.path_group, nodes), 0)
        sums = tf.transpose(tf.math.segment_sum(tf.transpose(conditional), tables.group))  # [B, G]
        means = tf.gather(sums / tf.cast(tables.group_size, tf.float32), groups, batch_dims=1)
        spread = tf.reduce_sum(tf.where(mask, means, 0.0), axis=-1)
        log_prob_smooth = (1 - config.label_smoothing) * log_prob + config.label_smoothing * spread
    else:
        log_prob_smooth = log_prob
    cost = -log_prob_smooth
    if config.weak_robust:  # generalised cross-entropy (1 - P^q) / q
        cost = -tf.math.expm1(config.weak_robust * log_prob_smooth) / config.weak_robust
    shared = tf.maximum(tf.reduce_sum(present, axis=1), 1.0)
    below = tf.minimum(log_prob, -1e-6)
    not_there = -tf.math.log(-tf.math.expm1(below))
    return {
        "class": config.class_scale * tf.reduce_sum(present * weight * cost, axis=1) / shared,
        "absent": config.weak_negative_scale * tf.reduce_sum(absent * weight * not_there, axis=1),
    }


def build(experiment: Experiment, tree: WordTree) -> TreeClassifier:
    """The classifier for an experiment and a tree."""
    return TreeClassifier(experiment, tree)
