"""Faster R-CNN as a TFLite file: its two networks, with proposals and crops left to the reader.

What stands between the stages (boxes, their order, suppression, crops) wants floats, and TFLite has no operation for it
that every runtime knows. So the file has two signatures of plain convolutions and dense layers, and the boxes keep
their precision in an integer file too:

    first_stage    images    [1, H, W, 3]      RGB in [0, 1], letterboxed
                   xy, wh    [1, h, w, A, 2]   codes of anchors: `detector.two_stage.box_coder`
                   object    [1, h, w, A]      logits
                   features  [1, h, w, C]
    second_stage   crops     [P, s, s, C]      of the features, max-pooled; P proposals at once
                   xy, wh    [P, 2]            codes of proposals
                   object    [P]               logits
                   classes   [P, N]            logits, before the softmax over each group of siblings, or the sigmoids
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from detector.config import Experiment
from detector.content import clip_to_content
from detector.export.lite_file import LiteSignature, open_interpreter
from detector.export.lite_slots import LiteSlots
from detector.region.classes import FullClasses
from detector.region.slots import Predictions
from detector.tree_softmax import TreeTables, tree_tables
from detector.two_stage.box_coder import decode
from detector.two_stage.crop import CropLayer
from detector.two_stage.grid_anchors import grid_anchors
from detector.two_stage.multi_label import SigmoidClasses
from detector.two_stage.proposals import propose
from detector.two_stage.rois import roi_slots
from wordtree.tree import WordTree

FIRST, SECOND = "first_stage", "second_stage"
OUTPUTS = {FIRST: ("xy", "wh", "object", "features"), SECOND: ("xy", "wh", "object", "classes")}
PARTS = {"xy": slice(0, 2), "wh": slice(2, 4), "object": slice(4, 5)}


class RawTwoStage(tf.Module):
    """Both networks of a trained Faster R-CNN.

    Args:
        detector: `detector.architectures.faster_rcnn.FasterRcnn`.
        canvas: (H, W).
    """

    def __init__(self, detector: Any, canvas: tuple[int, int]) -> None:
        super().__init__(name="two_stage")
        rpn, head = detector.first.get_layer("rpn"), detector.head
        self.weights = [weight.value for weight in detector.model.weights]
        self._detector, self._rpn = detector, rpn
        self._features = keras.Model(detector.first.inputs, detector.first.outputs[1])
        anchors = (rpn.shapes, 5)
        self._anchors = _parts(np.asarray(rpn.kernel).reshape(-1, *anchors), np.asarray(rpn.bias).reshape(anchors))
        self._boxes = _parts(np.asarray(head.box_kernel), np.asarray(head.box_bias))
        self._classes = np.asarray(head.class_kernel)[0].T, np.asarray(head.class_bias)[0]
        side = detector.crop.size // detector.crop.pool
        channels = int(self._features.outputs[0].shape[-1])
        images = tf.TensorSpec([1, *canvas, 3], tf.float32, name="images")
        crops = tf.TensorSpec([detector.proposals, side, side, channels], tf.float32, name="crops")
        self.first = tf.function(self._first, input_signature=[images])
        self.second = tf.function(self._second, input_signature=[crops])

    def signatures(self) -> dict[str, Any]:
        """By name, as `tf.saved_model.save` takes them."""
        return {FIRST: self.first, SECOND: self.second}

    def examples(self, images: Iterable[np.ndarray]) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
        """What both will see, for the scales of an integer file, of images f32[H, W, 3]."""
        detector = self._detector
        for image in images:
            yield FIRST, {"images": image[None]}
            entries, anchors, features = detector.first_stage(tf.constant(image[None]), training=False)
            found = detector.proposals_of(entries, anchors, detector.proposals).boxes
            yield SECOND, {"crops": detector.crop(features, found).numpy().astype(np.float32)}

    def _first(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        features = self._features(images, training=False)
        hidden = tf.cast(self._rpn.conv(features), tf.float32)
        height, width, channels = hidden.shape[1:]
        found = {}
        for name, (kernel, bias) in self._anchors.items():
            filters = tf.constant(kernel.reshape(1, 1, channels, -1))
            raw = tf.nn.bias_add(tf.nn.conv2d(hidden, filters, 1, "VALID"), tf.constant(bias.reshape(-1)))
            more = [] if name == "object" else [2]
            found[name] = tf.reshape(raw, [1, height, width, self._rpn.shapes, *more])
        return found | {"features": tf.cast(features, tf.float32)}

    def _second(self, crops: tf.Tensor) -> dict[str, tf.Tensor]:
        vectors = tf.cast(self._detector.second(crops, training=False), tf.float32)
        found = {}
        for name, (kernel, bias) in self._boxes.items():
            raw = tf.matmul(vectors, tf.constant(kernel.reshape(vectors.shape[1], -1))) + tf.constant(bias.reshape(-1))
            found[name] = tf.reshape(raw, [-1]) if name == "object" else raw
        kernel, bias = self._classes
        return found | {"classes": tf.matmul(vectors, tf.constant(kernel)) + tf.constant(bias)}


def _parts(kernel: np.ndarray, bias: np.ndarray) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """A kernel f32[F, A, 5] and a bias f32[A, 5] as those of x and y, of w and h, and of objectness."""
    return {name: (kernel[..., part], bias[..., part]) for name, part in PARTS.items()}


class LiteTwoStage(LiteSlots):
    """Such a file as a `Finder`: between its networks runs the code of the trained one.

    Args:
        path: of the .tflite file.
        tree: its classes.
        shapes: f32[A, 2] width and height of the anchors in cells.
        experiment: of export.json: what stands in `two_stage` decides between the stages.
        middle: where in its cell a cell looks: see `detector.two_stage.fields`.
        threads: of the interpreter.

    Raises:
        InputError: there is no such file.
        FormatError: it is no TFLite file, or none of such a detector.
    """

    def __init__(
        self,
        path: str | Path,
        tree: WordTree,
        shapes: np.ndarray,
        experiment: Experiment,
        middle: float = 0.5,
        threads: int = 2,
    ) -> None:
        interpreter = open_interpreter(path, threads)
        self.first = LiteSignature(interpreter, path, FIRST, "images", OUTPUTS[FIRST])
        self.second = LiteSignature(interpreter, path, SECOND, "crops", OUTPUTS[SECOND])
        self.path, self.tree, self.settings = Path(path), tree, experiment.two_stage
        self.overlap = self.settings.final_iou
        self.tables: TreeTables = tree_tables(tree)
        self.middle = middle
        self.shapes = tf.constant(np.asarray(shapes, np.float32))
        self.canvas = self.first.shape[1:3]
        self.crop = CropLayer(self.settings.crop, self.settings.pool, "op", middle, dtype="float32")

    def predict(self, images: tf.Tensor, *, training: bool = False, content: Any = None) -> Predictions:
        """The proposals of images f32[B, H, W, 3] as slots; `content` f32[B, 4] as in `Batch`."""
        settings, nodes = self.settings, len(self.tree)
        xy, wh, objects, features = self._run(self.first, images)
        codes = tf.reshape(tf.concat([xy, wh], axis=-1), [tf.shape(images)[0], -1, 4])
        anchors = grid_anchors(self.shapes, (tf.shape(features)[1], tf.shape(features)[2]), self.middle)
        found = propose(
            decode(codes, anchors),
            tf.reshape(objects, [tf.shape(images)[0], -1]),
            count=settings.proposals,
            iou_threshold=settings.proposal_iou,
            candidates=settings.candidates,
            content=content,
        ).boxes
        crops = self.crop(features, found)
        parts = [
            tf.reshape(part, [-1, settings.proposals, size])
            for part, size in zip(self._run(self.second, crops), (2, 2, 1, nodes), strict=True)
        ]
        entries = tf.concat(parts[:3], axis=-1)
        kind = SigmoidClasses if settings.classes == "sigmoid" else FullClasses
        boxes = clip_to_content(decode(entries[..., :4], found), content)
        return roi_slots(boxes, found, entries, kind(parts[3], self.tables))

    def _run(self, signature: LiteSignature, values: tf.Tensor) -> list[tf.Tensor]:
        """A signature on as many of its inputs as there are in `values`, one after another."""
        found = tf.numpy_function(
            lambda given: [signature.run(given)[name] for name in signature.outputs],
            [values],
            [tf.float32] * len(signature.outputs),
        )
        return [
            tf.ensure_shape(part, [None, *signature.output_shape(name)[1:]])
            for name, part in zip(signature.outputs, found, strict=True)
        ]
