"""What the training data says of each node, in the form that losses take, and the weak terms with their switches.

Every architecture holds one `Guidance`; `supervise` fills it before training.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from detector.api import Batch
from detector.config import LossConfig
from detector.region.slots import Predictions
from detector.supervision import Supervision
from detector.weak.rules import Terms, weak_losses
from wordtree.tree import WordTree


class Guidance:
    """Tables for the rules.

    Args:
        supervision: of the training data, or `no_supervision`.
        tree: the classes.
    """

    def __init__(self, supervision: Supervision, tree: WordTree) -> None:
        self.nearest_boxed = supervision.nearest_boxed(tree)
        topmost = supervision.topmost_annotated(tree)
        self.annotated_nodes = np.flatnonzero(topmost.any(axis=0)).astype(np.int32)
        self.annotated_by = topmost[:, self.annotated_nodes]

    def empty_weight(self, predictions: Predictions, batch: Batch, least: float) -> tf.Tensor | None:
        """f32[B, S]: how much a slot looks like something that its own data set annotates, at least `least`.

        None where all weigh the same: `least` is 1, or nothing is known of the sets.
        """
        if least >= 1 or not len(self.annotated_nodes):
            return None
        probs = tf.exp(predictions.classes.fixed(self.annotated_nodes))  # [B, S, K]
        mine = tf.gather(tf.constant(self.annotated_by, tf.float32), batch.source)  # [B, K]
        looks = tf.reduce_sum(probs * mine[:, None], axis=-1)
        return tf.stop_gradient(tf.maximum(looks, least))

    def weak_terms(
        self,
        predictions: Predictions,
        batch: Batch,
        config: LossConfig,
        step: tf.Tensor,
        guide: Predictions | None = None,
    ) -> Terms:
        """The terms of labels, f32[B] each, from step `weak_after` on; none with the rule "off".

        Args:
            predictions: of the network that learns.
            batch: of the joint stream.
            config: the rule and its switches.
            step: integer, counts from 0.
            guide: predictions that choose in place of the network's own.
        """
        if config.weak == "off":
            return {}
        terms = weak_losses(
            predictions,
            batch,
            config=config,
            nearest_boxed=self.nearest_boxed,
            guide=guide,
            pseudo_on=tf.cast(step >= config.weak_pseudo_after, tf.float32),
        )
        weak_on = tf.cast(step >= config.weak_after, tf.float32)
        return {name: value * weak_on for name, value in terms.items()}
