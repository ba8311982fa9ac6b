"""What a detector says of a whole dataset, in the forms that the metrics take: one pass over the images.

Scores are P(object) P(node). Per class the best boxes are kept after suppression within the class; proposals are boxes
by objectness, suppressed whatever the class; and for truths that a proposal lies on, the chain down the tree.

Shape shorthand: B images, S slots, C classes, K kept, M truths, N nodes.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from detector.api import Predictor
from detector.content import LEAST_SIDE, content_of
from detector.dataset import Dataset
from detector.image_rows import decode_pixels, first_line
from detector.infer.canvas import Fit, draw, fit_of, placement
from detector.metrics.chains import Chains, chains_of, join_chains
from detector.metrics.columns import Found, xywh_of
from detector.metrics.matching import match_batch
from schemas.coco import DIGITS
from schemas.errors import FormatError
from schemas.record import BoxAnnotation, ImageRecord

SCORE_THRESHOLD = 0.001
DETECTIONS_PER_IMAGE = 100
THREADS = 4


class Scored(NamedTuple):
    """What one pass gives; image numbers are rows of `records`.

    Attributes:
        records: without pixels.
        found: detections; classes are positions in the list of nodes that was asked for.
        above: detections of further nodes; classes are positions in their own list.
        best: the best box of every class that the image holds, before any threshold.
        proposals: boxes whatever their class, scored by objectness (or by their best class); all have class 0.
        chains: of proposals that lie on a truth.
        ranked_by: "objectness" or "best class".
    """

    records: list[ImageRecord]
    found: Found
    above: Found
    best: Found
    proposals: Found
    chains: Chains
    ranked_by: str


class Scorer:
    """A detector with a fixed list of nodes as one compiled function."""

    def __init__(
        self,
        detector: Any,
        nodes: tuple[int, ...],
        above: tuple[int, ...],
        chains: bool,
        most: int = DETECTIONS_PER_IMAGE,
    ) -> None:
        """Nothing is compiled before the first batch.

        Args:
            detector: of `detector.api`; with `predict`, proposals have an objectness and truths a chain.
            nodes: the classes, as nodes.
            above: further nodes, suppressed apart so that they take no place from the classes.
            chains: whether to take chains.
            most: detections of an image.
        """
        self.detector, self.classes, self.most = detector, len(nodes), most
        self.nodes = np.asarray([*nodes, *above], np.int32)
        self.has_objectness = isinstance(detector, Predictor)
        self.overlap = float(detector.overlap)
        self.chains = chains and self.has_objectness
        boxes = tf.TensorSpec([None, None, 4], tf.float32)
        places, counts = tf.TensorSpec([None, 4], tf.float32), tf.TensorSpec([None], tf.int32)
        images = tf.TensorSpec([None, None, None, 3], tf.float32)
        self.compiled = tf.function(self._score, input_signature=[images, places, boxes, counts])

    def __call__(self, images: Any, places: Any, truths: Any, counts: Any) -> dict[str, np.ndarray]:
        """One batch; see `_score`."""
        return {name: value.numpy() for name, value in self.compiled(images, places, truths, counts).items()}

    def _score(self, images: tf.Tensor, places: tf.Tensor, truths: tf.Tensor, counts: tf.Tensor) -> dict[str, Any]:
        """Boxes are `rel_yxyx` of the source image.

        Args:
            images: f32[B, H, W, 3] canvases.
            places: f32[B, 4] scale_y, scale_x, shift_y, shift_x of each image on its canvas.
            truths: f32[B, M, 4], of which `counts` i32[B] are there.
        """
        boxes, scores, objectness, classes = self._raw(images, content_of(places))
        boxes = tf.ensure_shape(boxes, [None, None, 4])
        scores = tf.ensure_shape(scores, [None, None, len(self.nodes)])
        scale, shift = tf.tile(places[:, None, :2], [1, 1, 2]), tf.tile(places[:, None, 2:], [1, 1, 2])
        boxes = (boxes - shift) / scale  # whole for suppression, cut to the image behind it
        own = scores[:, :, : self.classes]
        best = tf.argmax(own, axis=1, output_type=tf.int32)  # [B, C]
        rows, valid = _suppress_any_class(boxes, tf.ensure_shape(objectness, [None, None]), self.overlap)
        proposals = _cut(tf.gather(boxes, rows, batch_dims=1))
        result = {
            **_suppress_per_class(boxes, own, self.overlap, self.most, ""),
            "best_boxes": _cut(tf.gather(boxes, best, batch_dims=1)),
            "best_scores": tf.reduce_max(own, axis=1),
            "proposals": proposals,
            "proposal_scores": tf.gather(objectness, rows, batch_dims=1),
            "proposals_valid": valid,
        }
        if len(self.nodes) > self.classes:
            result |= _suppress_per_class(boxes, scores[:, :, self.classes :], self.overlap, self.most, "above_")
        if self.chains:
            taken = tf.numpy_function(match_batch, [truths, counts, proposals, valid], tf.int64)
            taken = tf.cast(tf.ensure_shape(taken, [None, None]), tf.int32)
            result["taken"] = taken
            result["log_probs"] = classes.conditional(tf.gather(rows, tf.maximum(taken, 0), batch_dims=1))
        return result

    def _raw(self, images: tf.Tensor, content: tf.Tensor) -> tuple[Any, Any, Any, Any]:
        """Boxes f32[B, S, 4], scores f32[B, S, C], what ranks proposals f32[B, S], and the classes if there are."""
        if not self.has_objectness:
            boxes, scores = self.detector.score_nodes(images, tf.constant(self.nodes), content)
            return boxes, scores, tf.reduce_max(scores, axis=-1), None
        predictions = self.detector.predict(images, training=False, content=content)
        log_object = tf.math.log_sigmoid(tf.cast(predictions.object_logits, tf.float32))
        scores = tf.exp(predictions.classes.fixed(self.nodes) + log_object[..., None])
        return tf.cast(predictions.boxes, tf.float32), scores, tf.exp(log_object), predictions.classes


@functools.lru_cache(maxsize=2)
def scorer_of(detector: Any, nodes: tuple[int, ...], above: tuple[int, ...], chains: bool, most: int) -> Scorer:
    """The scorer of a detector: compiled once for all evaluations of a training run, whose weights change in place."""
    return Scorer(detector, nodes, above, chains, most)


def _cut(boxes: tf.Tensor) -> tf.Tensor:
    """Boxes within the image."""
    return tf.clip_by_value(boxes, 0.0, 1.0)


def _suppress_per_class(
    boxes: tf.Tensor, scores: tf.Tensor, overlap: float, most: int, name: str
) -> dict[str, tf.Tensor]:
    """The best K = `most` boxes of each image after suppression within each class, by falling score."""
    with tf.device("/CPU:0"):  # one law wherever the network runs
        kept = tf.image.combined_non_max_suppression(
            boxes[:, :, None],
            scores,
            max_output_size_per_class=most,
            max_total_size=most,
            iou_threshold=overlap,
            score_threshold=SCORE_THRESHOLD,
            clip_boxes=False,
        )
    return {
        f"{name}boxes": _cut(kept.nmsed_boxes),
        f"{name}scores": kept.nmsed_scores,
        f"{name}classes": tf.cast(kept.nmsed_classes, tf.int32),
        f"{name}valid": kept.valid_detections,
    }


def _suppress_any_class(boxes: tf.Tensor, scores: tf.Tensor, overlap: float) -> tuple[tf.Tensor, tf.Tensor]:
    """Slots i32[B, K] by falling score, filled up with 0, and how many of them are there, i32[B]."""

    def one(args: tuple[tf.Tensor, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        return tf.image.non_max_suppression_padded(
            *args, DETECTIONS_PER_IMAGE, iou_threshold=overlap, pad_to_max_output_size=True
        )

    with tf.device("/CPU:0"):
        return tf.map_fn(one, (boxes, scores), fn_output_signature=(tf.int32, tf.int32))


def score_dataset(
    run: Any,
    dataset: Dataset,
    nodes: list[int],
    truth_node: Callable[[BoxAnnotation], int | None],
    *,
    above: list[int],
    chains: bool,
    most: int,
    batch_size: int,
    log: Callable[[str], None],
) -> Scored:
    """One pass over a dataset.

    Args:
        run: with detector, tree and experiment.
        dataset: with boxes.
        nodes: the classes, as nodes.
        truth_node: the node of a truth that may be matched with a proposal, None for one that is left out.
        above: further nodes, whose detections are kept apart.
        chains: whether to take chains down the tree.
        most: detections of an image.
        batch_size: images at a time.
        log: takes progress lines.

    Raises:
        FormatError: naming the image that cannot be decoded.
    """
    scorer = scorer_of(run.detector, tuple(nodes), tuple(above), chains, most)
    model = run.experiment.model
    records: list[ImageRecord] = []
    found, higher, best, proposals = _Rows(), _Rows(), _Rows(), _Rows()
    taken: list[Chains] = []
    began = time.monotonic()
    for batch, images, places in batches(dataset, model.canvas, batch_size, fit_of(model)):
        truths = [[(box.box, truth_node(box)) for box in record.boxes] for record in batch]
        wanted = [[(box, node) for box, node in rows if node is not None] for rows in truths]
        padded = np.zeros((len(batch), max(map(len, wanted)), 4), np.float32)
        for row, pairs in enumerate(wanted):
            padded[row, : len(pairs)] = np.array([box for box, _ in pairs], np.float32).reshape(-1, 4)
        out = scorer(images, places, padded, np.array([len(pairs) for pairs in wanted], np.int32))
        for row, record in enumerate(batch):
            number, shown = len(records), slice(int(out["valid"][row]))
            found.add(number, record, out["boxes"][row][shown], out["classes"][row][shown], out["scores"][row][shown])
            if above:
                shown = slice(int(out["above_valid"][row]))
                kept = (out[f"above_{name}"][row][shown] for name in ("boxes", "classes", "scores"))
                higher.add(number, record, *kept)
            here = np.flatnonzero(np.isin(nodes, [node for _, node in wanted[row]]))
            best.add(number, record, out["best_boxes"][row][here], here, out["best_scores"][row][here])
            shown = slice(int(out["proposals_valid"][row]))
            some = out["proposal_scores"][row][shown]
            proposals.add(number, record, out["proposals"][row][shown], np.zeros(len(some), int), some)
            records.append(record._replace(encoded=None))
        if "taken" in out:
            rows, columns = np.nonzero(out["taken"] >= 0)
            true = np.array([wanted[row][column][1] for row, column in zip(rows, columns, strict=True)], np.int64)
            taken.append(chains_of(out["log_probs"][rows, columns], true, run.tree))
        if len(records) % (10 * batch_size) < batch_size:
            rate = len(records) / (time.monotonic() - began)
            log(f"evaluated {len(records)}/{len(dataset)} images, {rate:.0f} images/s")
    how = "objectness" if scorer.has_objectness else "best class"
    return Scored(
        records,
        found.columns(),
        higher.columns(),
        best.columns(),
        proposals.columns(),
        join_chains(taken, run.tree),
        how,
    )


class _Rows:
    """Columns of detections, image by image."""

    def __init__(self) -> None:
        self.parts: list[Found] = []

    def add(self, number: int, record: ImageRecord, boxes: np.ndarray, classes: np.ndarray, scores: np.ndarray) -> None:
        """Boxes `rel_yxyx` of one image, to pixels, rounded as those of COCO results are.

        Of those in the padding around it nothing is left.
        """
        there = (boxes[:, 2:] - boxes[:, :2] > LEAST_SIDE).all(axis=1)
        boxes, classes, scores = boxes[there], classes[there], scores[there]
        sides = np.array([record.width, record.height] * 2, np.float64)
        xywh = xywh_of(boxes[:, [1, 0, 3, 2]].astype(np.float64) * sides).round(DIGITS)
        image = np.full(len(boxes), number, np.int64)
        self.parts.append(Found(image, classes.astype(np.int64), xywh, scores.astype(np.float64)))

    def columns(self) -> Found:
        """All images."""
        empty = Found(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros((0, 4)), np.zeros(0))
        return Found.join([empty, *self.parts])


def batches(
    dataset: Dataset, size: tuple[int, int], batch_size: int, fit: Fit
) -> Iterator[tuple[list[ImageRecord], tf.Tensor, np.ndarray]]:
    """Records, canvases and their places; the next batch is decoded while this one is used. See `canvas`."""
    with ThreadPoolExecutor(THREADS) as pool:

        def begin(start: int) -> tuple[list[ImageRecord], list[Future[np.ndarray]]]:
            rows = range(start, min(start + batch_size, len(dataset)))
            records = [dataset.record(row) for row in rows]
            return records, [pool.submit(canvas, record, size, fit) for record in records]

        following = begin(0)
        for start in range(batch_size, len(dataset) + batch_size, batch_size):
            records, drawn = following
            following = begin(start)
            places = [placement(record.height, record.width, size, fit)[:4] for record in records]
            yield records, tf.stack([image.result() for image in drawn]), np.array(places, np.float32)


def canvas(record: ImageRecord, size: tuple[int, int], fit: Fit) -> np.ndarray:
    """The record's image on the canvas, as `wordtree detect` lays it there: f32[height, width, 3].

    Args:
        record: with its encoded image.
        size: (height, width) in pixels.
        fit: how the network wants its images.

    Raises:
        FormatError: naming the image, if it cannot be decoded.
    """
    try:
        image = decode_pixels(tf.constant(record.encoded or b""))
    except tf.errors.InvalidArgumentError as error:
        raise FormatError(f"image {record.image_id!r} ({record.uri}) cannot be decoded: {first_line(error)}") from error
    return draw(image.numpy(), size, fit)
