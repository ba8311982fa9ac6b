"""Which slot a label supervises: one function a rule, each i32[B, L], without gradient.

    rule                                    slot
    paper                                   max P(label)
    release2017, release2017_07, head       max P(object) P(label)
    ancestor                                max P(object) P(nearest boxed ancestor of the label)
    size                                    the largest of the 16 likeliest objects
    objectness                              max P(object)

The thesis (section 2.4) takes "the bounding box that predicts the highest probability for that class"; darknet since
2017-01 takes objectness times probability. `size` is Detic's rule (Zhou et al. 2022) for a one-stage head. `ancestor`
needs a tree: the best dog box is the box of a Norfolk terrier. The last three do not look at the score that is being
learnt, so that an early mistake does not confirm itself.

Shape shorthand: B images, S slots, L labels.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from detector.region.slots import Predictions
from detector.weak.labels import Labels, best_slot, object_log_prob

SIZE_CANDIDATES = 16


def by_class(predictions: Predictions, labels: Labels) -> tf.Tensor:
    """Thesis, section 2.4: the highest probability of the label, whatever the objectness."""
    return best_slot(predictions.classes.path_log_probs(labels.nodes, labels.mask))


def by_object_and_class(predictions: Predictions, labels: Labels) -> tf.Tensor:
    """darknet since 2017-01 (region_layer.c, `scale * get_hierarchy_probability`)."""
    scores = predictions.classes.path_log_probs(labels.nodes, labels.mask)
    return best_slot(scores + object_log_prob(predictions)[..., None])


def by_objectness(predictions: Predictions, labels: Labels) -> tf.Tensor:
    """The likeliest object, whatever its class."""
    return best_slot(tf.broadcast_to(object_log_prob(predictions)[..., None], _shape(predictions, labels)))


def by_size(predictions: Predictions, labels: Labels) -> tf.Tensor:
    """The largest box, inside the image, of the likeliest objects."""
    count = tf.minimum(SIZE_CANDIDATES, tf.shape(predictions.object_logits)[1])
    best = tf.math.top_k(predictions.object_logits, count).indices  # [B, K]
    boxes = tf.clip_by_value(tf.gather(predictions.boxes, best, batch_dims=1), 0.0, 1.0)
    area = tf.reduce_prod(boxes[..., 2:] - boxes[..., :2], axis=-1)
    slot = tf.gather(best, tf.argmax(area, axis=1, output_type=tf.int32), batch_dims=1)
    return tf.stop_gradient(tf.broadcast_to(slot[:, None], tf.shape(labels.nodes)))


def by_ancestor(predictions: Predictions, labels: Labels, nearest_boxed: np.ndarray) -> tf.Tensor:
    """The likeliest object of the nearest kind that boxes have taught; any object where there is no such kind."""
    ancestor = tf.gather(tf.constant(nearest_boxed, tf.int32), labels.nodes)
    known = labels.mask & (ancestor >= 0)
    scores = predictions.classes.path_log_probs(tf.where(known, ancestor, 0), known)  # 0 where not known
    return best_slot(scores + object_log_prob(predictions)[..., None])


def _shape(predictions: Predictions, labels: Labels) -> tf.Tensor:
    shape = tf.shape(predictions.object_logits)
    return tf.stack([shape[0], shape[1], tf.shape(labels.nodes)[1]])
