"""Non-maximum suppression: greedy, by falling score.

Shape shorthand: B images, S slots, C classes, K kept.
"""

# pyright: reportArgumentType=false, reportOperatorIssue=false, reportOptionalOperand=false
# (TensorFlow's own annotations know neither slices with an ellipsis nor operators of tensors.)

from __future__ import annotations

import numpy as np
import tensorflow as tf

from detector.api import Detections
from schemas.boxes import pairwise_iou


def suppress_any_class(
    boxes: tf.Tensor, nodes: tf.Tensor, scores: tf.Tensor, *, threshold: float, iou_threshold: float, limit: int
) -> Detections:
    """Keep the best box of each overlapping heap, whatever its class.

    In a tree "dog" and "terrier" may name one object, so boxes of different nodes suppress each other.

    Args:
        boxes: f32[B, S, 4] `rel_yxyx`.
        nodes: i32[B, S].
        scores: f32[B, S].
        threshold: least score.
        iou_threshold: above this two boxes are one object.
        limit: K.
    """
    limit = min(limit, int(boxes.shape[1])) if boxes.shape[1] is not None else limit
    boxes = tf.clip_by_value(boxes, 0.0, 1.0)  # before the overlaps are measured, since clipped boxes come closer

    def one(args: tuple[tf.Tensor, tf.Tensor, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
        box, node, score = args
        kept, count = tf.image.non_max_suppression_padded(
            box, score, limit, iou_threshold=iou_threshold, score_threshold=threshold, pad_to_max_output_size=True
        )
        mask = tf.range(limit) < count
        return (
            tf.where(mask[:, None], tf.gather(box, kept), 0.0),
            tf.where(mask, tf.gather(node, kept), 0),
            tf.where(mask, tf.gather(score, kept), 0.0),
            mask,
        )

    signature = (tf.float32, tf.int32, tf.float32, tf.bool)
    return Detections(*tf.map_fn(one, (boxes, nodes, scores), fn_output_signature=signature))


def suppress_per_class(
    boxes: np.ndarray, scores: np.ndarray, *, threshold: float, iou_threshold: float, limit: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Suppress within each class of one image.

    Args:
        boxes: f32[S, 4] `rel_yxyx`.
        scores: f32[S, C].
        threshold, iou_threshold: as above.
        limit: kept in all, the best by score.

    Returns:
        boxes f32[K, 4], classes i64[K], scores f32[K], by falling score.
    """
    found: list[tuple[float, int, int]] = []
    for column in range(scores.shape[1]):
        likely = np.flatnonzero(scores[:, column] > threshold)
        likely = likely[np.argsort(-scores[likely, column], kind="stable")][: 4 * limit]
        for row in likely[greedy(boxes[likely], scores[likely, column], iou_threshold)]:
            found.append((float(scores[row, column]), int(row), column))
    found.sort(key=lambda item: (-item[0], item[1], item[2]))
    found = found[:limit]
    rows = np.array([item[1] for item in found], np.int64)
    classes = np.array([item[2] for item in found], np.int64)
    return boxes[rows], classes, np.array([item[0] for item in found], np.float32)


def greedy(boxes: np.ndarray, scores: np.ndarray, iou_threshold: float) -> np.ndarray:
    """Which boxes stay: i64[K] rows of `boxes` f32[N, 4] by falling score, no two with a greater IoU."""
    order = np.argsort(-scores, kind="stable")
    kept: list[int] = []
    while len(order):
        best, rest = order[0], order[1:]
        kept.append(int(best))
        order = rest[pairwise_iou(boxes[best][None], boxes[rest])[0] <= iou_threshold]
    return np.array(kept, np.int64)
