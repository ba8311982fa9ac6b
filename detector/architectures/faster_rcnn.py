"""Faster R-CNN over a WordTree (Ren et al. 2015; settings of Huang et al. 2017), trained jointly like YOLO9000.

    images ─► first stage ─► features ─► proposals ─► crops ─► second stage ─► box, P(object), classes of each

Every stage is a part of `detector.two_stage`. The classes are those of YOLO9000's head, over proposals in place of
cells: a tree, or a flat list, which is a tree with one group; background is not one of them but 1 - P(object). Boxes
do not depend on the class. So walks, scores and evaluation are the same, and a labels-only image supervises proposals
by the rules of `detector.weak`.

Where the picture does not fill its canvas, the padding (grey, as in every network of ours) is neither background nor
object: see `detector.content`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from detector.api import Batch
from detector.architectures.slot_detector import SlotDetector
from detector.config import Experiment
from detector.content import clip_to_content, trainable_anchors
from detector.region.classes import ClassScores, FullClasses, gathered_classes
from detector.region.head import RegionHead
from detector.region.slots import Predictions
from detector.two_stage import losses, rois, sampling
from detector.two_stage.backbone import cut_backbone
from detector.two_stage.box_coder import decode
from detector.two_stage.crop import CropLayer, UnfoldLayer
from detector.two_stage.grid_anchors import grid_anchors
from detector.two_stage.heads import ENTRIES, ProposalHead, second_stage
from detector.two_stage.matching import match
from detector.two_stage.multi_label import SigmoidClasses
from detector.two_stage.proposals import ProposalLayer, Proposals
from schemas.errors import ConfigError
from wordtree.tree import WordTree


class FasterRcnn(SlotDetector):
    """The `Localizer` of `detector.api` for this architecture.

    Attributes:
        model: images f32[B, h, w, 3] to the first stage's entries f32[B, H, W, A, 5], the second stage's
            f32[B, P, 1, 1, 5], its vectors [B, P, 1, F] and the proposals f32[B, P, 4].
        proposals: P at inference; may be lowered or raised after training.

    Args:
        experiment: with its anchors filled in.
        tree: the classes.
    """

    def __init__(self, experiment: Experiment, tree: WordTree) -> None:
        super().__init__(experiment, tree)
        settings = experiment.two_stage
        self.proposals, self.overlap = settings.proposals, settings.final_iou
        self.gathered &= settings.classes == "softmax"
        self._build(len(tree))

    def _build(self, nodes: int) -> None:
        config, settings = self.experiment.model, self.experiment.two_stage
        if not config.anchors:
            raise ConfigError("model.anchors is empty; run `wordtree anchors DATASET` or let `wordtree train` do it")
        if settings.crop % settings.pool:
            raise ConfigError(f"two_stage.crop is {settings.crop}; expected a multiple of two_stage.pool")
        images = keras.Input((None, None, 3), name="images")
        features, stride, rest, self.middle = cut_backbone(images, config, settings)
        height, width = config.canvas
        if width % stride or height % stride:
            raise ConfigError(f"model.input_size is {width}, the height {height}; expected multiples of {stride}")
        shapes = [[w * width / stride, h * height / stride] for w, h in config.anchors]  # in cells
        self.shapes = tf.constant(shapes, tf.float32)
        entries = ProposalHead(len(shapes), settings.rpn_width, name="rpn")(features)
        self.first = keras.Model(images, [entries, features], name="first_stage")
        self.propose = ProposalLayer(
            shapes,
            settings.proposals,
            settings.proposal_iou,
            settings.candidates,
            self.middle,
            dtype="float32",
            name="proposals",
        )
        self.crop = CropLayer(
            settings.crop, settings.pool, settings.crop_method, self.middle, dtype="float32", name="crops"
        )
        side = settings.crop // settings.pool
        self.second = second_stage(
            rest, (side, int(features.shape[-1])), width=settings.head_width, dropout=config.dropout
        )
        self.unfold = UnfoldLayer(dtype="float32", name="vectors")
        self.head = RegionHead(1, nodes, name="region")
        boxes = self.propose(entries)
        vectors = self.unfold(self.second(self.crop(features, boxes)), boxes)
        self.model = keras.Model(images, [entries, self.head(vectors), vectors, boxes], name="faster_rcnn")

    def set_proposals(self, count: int) -> None:
        """Look at so many of them from now on, in the Keras model too."""
        self.proposals = self.propose.count = count

    def stages(self) -> dict[str, Callable[[Any], Any]]:
        """See `Localizer`."""

        def first(images: Any) -> Any:
            entries, _, features = self.first_stage(images, training=False)
            return [entries, features]

        def proposals(images: Any) -> Any:
            entries, anchors, features = self.first_stage(images, training=False)
            return [self.proposals_of(entries, anchors, self.proposals).boxes, features]

        def second(images: Any) -> Any:
            return self.predict(images, training=False)

        return {"first stage": first, "proposals": proposals, "second stage": second}

    def first_stage(self, images: tf.Tensor, *, training: bool) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Of images f32[B, h, w, 3]: entries f32[B, S, 5], anchors f32[S, 4] and features [B, H, W, F]."""
        entries, features = self.first(images, training=training)
        shape = tf.shape(entries)
        anchors = grid_anchors(self.shapes, (shape[1], shape[2]), self.middle)
        return tf.reshape(entries, [shape[0], -1, ENTRIES]), anchors, features

    def proposals_of(
        self, entries: tf.Tensor, anchors: tf.Tensor, count: int = 0, content: tf.Tensor | None = None
    ) -> Proposals:
        """What the second stage may look at, best first; `count` or as many as in training."""
        return self.propose.choose(decode(entries[..., :4], anchors), entries[..., 4], count, content)

    def describe(self, features: tf.Tensor, boxes: tf.Tensor, *, training: bool) -> tuple[tf.Tensor, ClassScores]:
        """What the second stage says of boxes f32[B, R, 4]: entries f32[B, R, 5], and their classes."""
        vectors = self.unfold(self.second(self.crop(features, boxes), training=training), boxes)
        entries = tf.reshape(self.head(vectors), [tf.shape(boxes)[0], -1, ENTRIES])
        if self.gathered:
            return entries, gathered_classes(vectors, self.head, self.tables)
        kind = SigmoidClasses if self.experiment.two_stage.classes == "sigmoid" else FullClasses
        return entries, kind(self.head.class_logits(vectors), self.tables)

    def predict(self, images: tf.Tensor, *, training: bool, content: tf.Tensor | None = None) -> Predictions:
        """The proposals of images as slots, with the boxes that the second stage makes of them.

        Args:
            images: f32[B, h, w, 3].
            training: whether batch normalisation uses the batch's own statistics.
            content: f32[B, 4] where the pictures lie, as in `Batch`: boxes are cut to them. None: everywhere.
        """
        entries, anchors, features = self.first_stage(images, training=training)
        found = self.proposals_of(entries, anchors, self.proposals, content).boxes
        entries, classes = self.describe(features, found, training=training)
        boxes = clip_to_content(decode(entries[..., :4], found), content)
        return rois.roi_slots(boxes, found, entries, classes)

    def losses(
        self, batch: Batch, *, training: bool, images_seen: tf.Tensor, teacher: Any = None
    ) -> dict[str, tf.Tensor]:
        """Named terms f32[B], one value an image; the mean of their sum is what is trained. See `Learner.losses`."""
        settings, config = self.experiment.two_stage, self.experiment.loss
        numbers = sampling.image_numbers(images_seen, tf.shape(batch.images)[0])
        entries, anchors, features = self.first_stage(batch.images, training=training)
        terms = self._first_losses(entries, anchors, batch, numbers)
        count = rois.draw_count(tf.shape(anchors)[0], int(batch.boxes.shape[1]), settings.add_truths)
        chosen = rois.choose_rois(
            self.proposals_of(entries, anchors, content=batch.content),
            batch,
            sampling.draws(self.experiment.train.seed, "rois", numbers, count),
            size=settings.roi_batch,
            share=settings.roi_positives,
            threshold=settings.roi_iou,
            add_truths=settings.add_truths,
        )
        found, classes = self.describe(features, chosen.boxes, training=training)
        slots = rois.roi_slots(chosen.boxes, chosen.boxes, found, classes)
        terms |= self._second_losses(slots, found, chosen, batch)
        guide = None
        if config.weak_teacher and teacher is not None:  # of the same RoIs
            _, seen = teacher.first(batch.images, training=False)
            guide = rois.roi_slots(chosen.boxes, chosen.boxes, *teacher.describe(seen, chosen.boxes, training=False))
        return terms | self.guidance.weak_terms(slots, batch, config, self.step_of(images_seen), guide)

    def _first_losses(
        self, entries: tf.Tensor, anchors: tf.Tensor, batch: Batch, numbers: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        settings = self.experiment.two_stage
        matches = match(
            anchors,
            batch.boxes,
            rois.truth_mask(batch),
            low=settings.anchor_iou[0],
            high=settings.anchor_iou[1],
            force=True,
            allowed=trainable_anchors(anchors, batch.content, cross_boundary=settings.cross_boundary),
            ignored=rois.ignore_mask(batch),
        )
        boxed = batch.has_boxes[:, None]
        positive, negative = sampling.balanced_sample(
            matches.positive & boxed,
            matches.negative & boxed,
            sampling.draws(self.experiment.train.seed, "anchors", numbers, tf.shape(anchors)[0]),
            size=settings.anchor_batch,
            share=settings.anchor_positives,
        )
        targets = tf.gather(batch.boxes, matches.truth, batch_dims=1)
        box = losses.box_loss(entries[..., :4], anchors, targets, positive, negative, knee=settings.knee)
        return {
            "rpn_object": settings.rpn_object_weight * losses.object_loss(entries[..., 4], positive, negative),
            "rpn_box": settings.rpn_box_weight * box,
        }

    def _second_losses(
        self, slots: Predictions, entries: tf.Tensor, chosen: rois.Rois, batch: Batch
    ) -> dict[str, tf.Tensor]:
        settings, config = self.experiment.two_stage, self.experiment.loss
        empty = self.guidance.empty_weight(slots, batch, config.federated)
        first = max(int(settings.roi_batch * settings.roi_positives), 1)
        truth = chosen.truth[:, :first]
        targets = tf.gather(batch.boxes, chosen.truth, batch_dims=1)
        sampled = (chosen.positive, chosen.negative)
        box = losses.box_loss(entries[..., :4], chosen.boxes, targets, *sampled, knee=settings.knee)
        named = losses.class_loss(slots.classes, batch, truth, *sampled, config.label_smoothing)
        return {
            "object": settings.object_weight * losses.object_loss(entries[..., 4], *sampled, empty),
            "box": settings.box_weight * box,
            "class": settings.class_weight * named,
        }


def build(experiment: Experiment, tree: WordTree) -> FasterRcnn:
    """The detector for an experiment and a tree."""
    return FasterRcnn(experiment, tree)
