"""Predictions to detections: prune by objectness, name the boxes that are left, suppress, cut to the canvas.

Shape shorthand: B images, S slots, K slots that are looked at, N nodes, T names for a box, D detections kept.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import tensorflow as tf

from detector.api import Detections
from detector.config import DecodeConfig
from detector.content import cut_to_picture
from detector.decode.options import check_decode
from detector.decode.prune import likely_slots
from detector.decode.tables import WalkTables, walk_tables
from detector.decode.walks import best_of, descend
from detector.nms import suppress
from detector.tree_softmax import TreeTables


class Classes(Protocol):
    """What is asked of `detector.region.classes.ClassScores`."""

    @property
    def tables(self) -> TreeTables:
        """Of the tree."""
        ...

    def conditional(self, slots: tf.Tensor) -> tf.Tensor:
        """Conditional log-probabilities in chosen slots: i32[B, K] to f32[B, K, N]."""
        ...


class Slots(Protocol):
    """What is asked of `detector.region.slots.Predictions`."""

    @property
    def object_logits(self) -> tf.Tensor:
        """f32[B, S]."""
        ...

    @property
    def boxes(self) -> tf.Tensor:
        """f32[B, S, 4] `rel_yxyx`."""
        ...

    @property
    def classes(self) -> Any:
        """`Classes`."""
        ...


def decode_detections(predictions: Slots, options: DecodeConfig, *, candidates: int | None = None) -> Detections:
    """Detections of a batch, best first, cut to the canvas. Works in a graph with any batch size.

    Args:
        predictions: of the network.
        options: which rule names a box, the thresholds, and which boxes suppress each other.
        candidates: slots that get classes, for graphs with fixed shapes; None: all that can reach the threshold, which
            gives the same detections as looking at every slot.

    Returns:
        D = options.limit rows an image, masked.

    Raises:
        ConfigError: if the options make no sense for this tree.
    """
    tables = walk_tables(predictions.classes.tables)
    check_decode(options, len(tables.parent))
    slots, likely = likely_slots(predictions.object_logits, options.threshold, candidates)
    conditional = predictions.classes.conditional(slots)  # [B, K, N]
    batch, count = tf.shape(slots)[0], tf.shape(slots)[1]
    nodes, log_probs = name_boxes(tf.reshape(conditional, [batch * count, len(tables.parent)]), options, tables)
    names = int(nodes.shape[1])
    object_logits = tf.gather(predictions.object_logits, slots, batch_dims=1)[..., None]  # [B, K, 1]
    log_probs = tf.reshape(log_probs, [batch, count, names])
    if options.walk == "darknet":  # its score is the objectness alone
        log_probs = tf.zeros_like(log_probs)
    scores = tf.sigmoid(object_logits) * tf.exp(log_probs)
    scores = tf.where(likely[..., None], scores, 0.0)
    boxes = tf.gather(predictions.boxes, slots, batch_dims=1)
    found = suppress(
        tf.repeat(boxes, names, axis=1),
        tf.reshape(nodes, [batch, count * names]),
        tf.reshape(scores, [batch, count * names]),
        threshold=options.threshold,
        iou_threshold=options.iou_threshold,
        limit=options.limit,
        suppression=options.suppression,
        tables=tables,
    )
    return cut_to_picture(found)


def name_boxes(conditional: tf.Tensor, options: DecodeConfig, tables: WalkTables) -> tuple[tf.Tensor, tf.Tensor]:
    """Names of boxes by the rule of the options: f32[R, N] to nodes i32[R, T] and log P(node) f32[R, T], best first.

    "map" takes the best of `options.nodes`, "leaves" the best leaf, "topk" the `options.top` best of `options.nodes`,
    or of all leaves where there are none.
    """
    if options.walk == "thesis" or options.walk == "darknet":
        node, log_prob = descend(conditional, tables, options.walk_threshold, rule=options.walk)
        return node[:, None], log_prob[:, None]
    listed = options.nodes if options.walk == "map" or (options.walk == "topk" and options.nodes) else tables.leaves
    top = options.top if options.walk == "topk" else 1
    return best_of(conditional, tables, np.asarray(listed, np.int32), top)
