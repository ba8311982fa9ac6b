"""Non-maximum suppression: greedy, by falling score, as a graph of few large steps and in NumPy.

Which boxes can suppress each other is a relation of their nodes: "any" whatever they are, "class" equal nodes,
"subtree" nodes of which one is the other or stands above it ("dog" and "terrier" may be one object, "dog" and "sofa"
are two). Greedy: from the best box down, a box stays unless a related one that stays overlaps it too much.

Shape shorthand: B images, M boxes, K kept, S slots, C classes, T boxes of a block.
"""

# pyright: reportArgumentType=false, reportOperatorIssue=false, reportOptionalOperand=false
# (TensorFlow's own annotations know neither slices with an ellipsis nor operators of tensors.)

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from detector import box_ops
from detector.api import Detections
from schemas.boxes import pairwise_iou

if TYPE_CHECKING:
    from detector.decode.tables import WalkTables

Suppression = Literal["any", "class", "subtree"]
BLOCK = 256


def suppress(
    boxes: tf.Tensor,
    nodes: tf.Tensor,
    scores: tf.Tensor,
    *,
    threshold: float,
    iou_threshold: float,
    limit: int,
    suppression: Suppression = "any",
    tables: WalkTables | None = None,
    clip: bool = True,
) -> Detections:
    """Keep the best box of each heap of related boxes that overlap; equal to the greedy loop, box by box.

    The boxes are taken by falling score in blocks: first what the kept ones suppress falls, then a block settles
    itself. Inside a block "stays unless a better one that stays overlaps it" is repeated until nothing changes: box n
    is right after n rounds at the latest, in practice after a few. It ends when every image has its K boxes.

    Args:
        boxes: f32[B, M, 4] `rel_yxyx`.
        nodes: i32[B, M].
        scores: f32[B, M].
        threshold: boxes with a score above this are looked at.
        iou_threshold: above this two boxes are one object.
        limit: K.
        suppression: which boxes are related.
        tables: of the tree, needed by "subtree".
        clip: cut the boxes to the image before overlaps are measured, since clipped boxes come closer.

    Returns:
        K rows an image; those with mask False are zeros.

    Raises:
        ValueError: if "subtree" has no tables.
    """
    if clip:
        boxes = tf.clip_by_value(boxes, 0.0, 1.0)
    # One box more, which is none: so that there is something to gather where there are no boxes at all.
    boxes, nodes = tf.pad(boxes, [[0, 0], [0, 1], [0, 0]]), tf.pad(nodes, [[0, 0], [0, 1]])
    scores = tf.pad(scores, [[0, 0], [0, 1]], constant_values=-1.0)
    scores, order = tf.math.top_k(scores, tf.shape(scores)[1])
    boxes, nodes = tf.gather(boxes, order, batch_dims=1), tf.gather(nodes, order, batch_dims=1)
    related = _relation(suppression, tables)
    count = tf.shape(scores)[1]
    batch = tf.shape(scores)[0]

    def conflict(box_a: tf.Tensor, node_a: tf.Tensor, box_b: tf.Tensor, node_b: tf.Tensor) -> tf.Tensor:
        over = box_ops.pairwise_iou(box_a, box_b) > iou_threshold
        return over if related is None else over & related(node_a[:, :, None], node_b[:, None, :])

    def unfinished(start: tf.Tensor, kept: tf.Tensor, filled: tf.Tensor) -> tf.Tensor:
        head = scores[:, start : start + 1] > threshold  # empty at the end
        return tf.reduce_any(head & (filled < limit)[:, None])

    def settle(start: tf.Tensor, kept: tf.Tensor, filled: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Keep what stays of the next BLOCK boxes."""
        end = tf.minimum(start + BLOCK, count)
        box, node = boxes[:, start:end], nodes[:, start:end]
        there = kept >= 0
        safe = tf.maximum(kept, 0)
        better = conflict(
            tf.gather(boxes, safe, batch_dims=1), tf.gather(nodes, safe, batch_dims=1), box, node
        )  # [B, K, T]
        alive = (scores[:, start:end] > threshold) & ~tf.reduce_any(better & there[:, :, None], axis=1)
        row = tf.range(end - start)
        inside = conflict(box, node, box, node) & (row[:, None] < row[None, :])  # [B, T, T]: the first is better
        stays = _settled(alive, tf.cast(inside, tf.float32))
        place = filled[:, None] + tf.cumsum(tf.cast(stays, tf.int32), axis=1) - 1
        at = tf.cast(tf.where(stays & (place < limit)), tf.int32)  # [n, 2]
        into = tf.stack([at[:, 0], tf.gather_nd(place, at)], axis=1)
        kept = tf.tensor_scatter_nd_update(kept, into, start + at[:, 1])
        return end, kept, tf.reduce_sum(tf.cast(kept >= 0, tf.int32), axis=1)

    _, kept, _ = tf.while_loop(
        unfinished,
        settle,
        (tf.constant(0), tf.fill([batch, limit], -1), tf.zeros([batch], tf.int32)),
        shape_invariants=(tf.TensorShape([]), tf.TensorShape([None, limit]), tf.TensorShape([None])),
    )
    mask = kept >= 0
    row = tf.maximum(kept, 0)
    return Detections(
        boxes=tf.where(mask[..., None], tf.gather(boxes, row, batch_dims=1), 0.0),
        nodes=tf.where(mask, tf.gather(nodes, row, batch_dims=1), 0),
        scores=tf.where(mask, tf.gather(scores, row, batch_dims=1), 0.0),
        mask=mask,
    )


def _settled(alive: tf.Tensor, conflicts: tf.Tensor) -> tf.Tensor:
    """The one set in which a box of `alive` bool[B, T] stays unless a better one that stays conflicts with it.

    Args:
        alive: which boxes are there.
        conflicts: f32[B, T, T] 1 where the first is better than the second and they are one object.
    """

    def again(stays: tf.Tensor, _: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        beaten = tf.matmul(tf.cast(stays, tf.float32)[:, None, :], conflicts)[:, 0] > 0
        now = alive & ~beaten
        return now, tf.reduce_any(now != stays)

    return tf.while_loop(lambda _, changed: changed, again, (alive, tf.constant(True)))[0]


def _relation(suppression: Suppression, tables: WalkTables | None):
    """A function of two broadcast tensors of nodes, or None where all are related."""
    if suppression == "any":
        return None
    if suppression == "class":
        return tf.equal
    if tables is None:
        raise ValueError("suppression 'subtree' needs the tables of the tree")
    enter, leave = tf.constant(tables.enter), tf.constant(tables.leave)

    def one_above_the_other(a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
        first, second = tf.gather(enter, a), tf.gather(enter, b)
        down = (first <= second) & (second < tf.gather(leave, a))
        return down | ((second <= first) & (first < tf.gather(leave, b)))

    return one_above_the_other


def related_nodes(
    nodes: NDArray[np.integer], suppression: Suppression, tables: WalkTables | None = None
) -> NDArray[np.bool_]:
    """bool[M, M]: which of some nodes i[M] can suppress each other; the NumPy twin of what `suppress` does.

    Raises:
        ValueError: if "subtree" has no tables.
    """
    if suppression == "any":
        return np.ones((len(nodes), len(nodes)), bool)
    if suppression == "class":
        return nodes[:, None] == nodes[None, :]
    if tables is None:
        raise ValueError("suppression 'subtree' needs the tables of the tree")
    enter, leave = tables.enter[nodes], tables.leave[nodes]
    below = (enter[:, None] <= enter[None, :]) & (enter[None, :] < leave[:, None])
    return below | below.T


def greedy(
    boxes: np.ndarray, scores: np.ndarray, iou_threshold: float, related: NDArray[np.bool_] | None = None
) -> np.ndarray:
    """Which boxes stay: i64[K] rows of `boxes` f32[N, 4] by falling score, no two related ones with a greater IoU.

    Args:
        boxes: f32[N, 4].
        scores: f32[N].
        iou_threshold: as above.
        related: bool[N, N]; None: all are.
    """
    order = np.argsort(-scores, kind="stable")
    kept: list[int] = []
    while len(order):
        best, rest = order[0], order[1:]
        kept.append(int(best))
        stays = pairwise_iou(boxes[best][None], boxes[rest])[0] <= iou_threshold
        order = rest[stays if related is None else stays | ~related[best, rest]]
    return np.array(kept, np.int64)


def suppress_per_class(
    boxes: np.ndarray, scores: np.ndarray, *, threshold: float, iou_threshold: float, limit: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Suppress within each class of one image, all classes side by side.

    Each round keeps the best box of every class and drops what it overlaps; a class whose best is below what already
    fills the limit takes no further part.

    Args:
        boxes: f32[S, 4] `rel_yxyx`.
        scores: f32[S, C].
        threshold, iou_threshold: as above.
        limit: kept in all, the best by score; of equals the first box, then the first class.

    Returns:
        boxes f32[K, 4], classes i64[K], scores f32[K], by falling score.
    """
    slots = np.flatnonzero((scores > threshold).any(axis=1))
    classes = np.flatnonzero((scores > threshold).any(axis=0))
    left = scores[np.ix_(slots, classes)].T.astype(np.float32)  # [C, S], a row a class
    left[left <= threshold] = -np.inf
    apart = ~_overlaps(boxes[slots], iou_threshold)
    columns = classes
    found: list[tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.int64]]] = []
    kept, bar = 0, -np.inf
    while len(columns):
        best = left.argmax(axis=1)
        value = left[np.arange(len(best)), best]
        goes_on = (value > -np.inf) & (value >= bar)
        left, columns, best, value = left[goes_on], columns[goes_on], best[goes_on], value[goes_on]
        found.append((value, slots[best], columns))
        kept += len(value)
        left = np.where(apart[best], left, -np.inf)
        left[np.arange(len(best)), best] = -np.inf  # an empty box overlaps not even itself
        if kept >= limit and len(columns):
            so_far = np.concatenate([part[0] for part in found])
            bar = np.partition(so_far, len(so_far) - limit)[len(so_far) - limit]
    if not found:
        return boxes[:0], np.zeros(0, np.int64), np.zeros(0, np.float32)
    values, rows, names = (np.concatenate(parts) for parts in zip(*found, strict=True))
    order = np.lexsort((names, rows, -values))[:limit]
    return boxes[rows[order]], names[order].astype(np.int64), values[order].astype(np.float32)


def _overlaps(boxes: np.ndarray, iou_threshold: float, rows: int = 512) -> NDArray[np.bool_]:
    """bool[S, S] IoU above the threshold, some rows at a time to bound memory."""
    parts = [pairwise_iou(boxes[k : k + rows], boxes) > iou_threshold for k in range(0, len(boxes), rows)]
    return np.concatenate(parts) if parts else np.zeros((0, 0), bool)
