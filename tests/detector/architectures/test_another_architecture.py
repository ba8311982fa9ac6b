"""Parts compose: a one-stage detector with anchors (SSD, Liu et al. 2016) is a page, and learns a batch by heart.

Nothing here but the order in which the parts are called: networks, head, anchors, matching, sampling, losses, rules for
labels-only images, decoding and the trainer are the package's own.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

import keras  # noqa: E402

from detector.architectures import Traits, traits_of  # noqa: E402
from detector.architectures.slot_detector import SlotDetector  # noqa: E402
from detector.config import DecodeConfig, Experiment, LossConfig, ModelConfig, TrainConfig  # noqa: E402
from detector.networks.build import build_features, output_stride  # noqa: E402
from detector.region.classes import FullClasses  # noqa: E402
from detector.region.head import RegionHead  # noqa: E402
from detector.training.evaluation import known_metrics  # noqa: E402
from detector.training.step import Trainer  # noqa: E402
from detector.two_stage import losses, rois  # noqa: E402
from detector.two_stage.box_coder import decode  # noqa: E402
from detector.two_stage.grid_anchors import grid_anchors  # noqa: E402
from detector.two_stage.matching import match  # noqa: E402
from detector.two_stage.sampling import balanced_sample  # noqa: E402
from schemas.boxes import pairwise_iou  # noqa: E402
from tests.detector.architectures.test_faster_rcnn import make_batch  # noqa: E402
from tests.detector.conftest import TREE  # noqa: E402

POSITIVES, SAMPLED = 16, 64


class Ssd(SlotDetector):
    """One stage: entries and classes at every cell and anchor; the likeliest background is trained (hard negatives)."""

    def __init__(self, experiment: Experiment, tree: Any) -> None:
        super().__init__(experiment, tree)
        config = experiment.model
        images = keras.Input((None, None, 3), name="images")
        features = build_features(images, config)
        self.head = RegionHead(len(config.anchors), len(tree), name="region")
        self.model = keras.Model(images, [self.head(features), features])
        height, width = config.canvas
        stride = output_stride(config)
        self.shapes = tf.constant([[w * width / stride, h * height / stride] for w, h in config.anchors], tf.float32)

    def answers(self, images, training):
        """Entries f32[B, S, 5], the anchors f32[B, S, 4] that they are relative to, and the slots."""
        raw, features = self.model(images, training=training)
        shape = tf.shape(raw)
        entries = tf.reshape(raw, [shape[0], -1, 5])
        anchors = tf.broadcast_to(grid_anchors(self.shapes, (shape[1], shape[2])), tf.shape(entries[..., :4]))
        boxes = tf.clip_by_value(decode(entries[..., :4], anchors), 0.0, 1.0)
        classes = FullClasses(self.head.class_logits(features), self.tables)
        return entries, anchors, rois.roi_slots(boxes, anchors, entries, classes)

    def predict(self, images, *, training, content=None):
        return self.answers(images, training)[2]

    def losses(self, batch, *, training, images_seen, teacher=None):
        entries, anchors, slots = self.answers(batch.images, training)
        truths, ignored = rois.truth_mask(batch), rois.ignore_mask(batch)
        found = match(anchors, batch.boxes, truths, low=0.4, high=0.5, force=True, ignored=ignored)
        hard = tf.stop_gradient(tf.sigmoid(slots.object_logits))
        boxed = batch.has_boxes[:, None]
        sampled = balanced_sample(found.positive & boxed, found.negative & boxed, hard, size=SAMPLED, share=0.25)
        targets = tf.gather(batch.boxes, found.truth, batch_dims=1)
        chosen = tf.math.top_k(tf.cast(sampled[0], tf.float32), POSITIVES)
        truth = tf.gather(found.truth, chosen.indices, batch_dims=1)
        nodes = tf.where(chosen.values > 0, tf.gather(tf.maximum(batch.nodes, 0), truth, batch_dims=1), 0)
        levels = slots.classes.levels(chosen.indices, nodes, chosen.values > 0)
        terms = {
            "object": losses.object_loss(slots.object_logits, *sampled),
            "box": losses.box_loss(entries[..., :4], anchors, targets, *sampled, knee=1.0),
            "class": -tf.reduce_sum(levels, axis=[1, 2]) / SAMPLED,
        }
        return terms | self.guidance.weak_terms(slots, batch, self.experiment.loss, self.step_of(images_seen), None)


def small(**train) -> Experiment:
    return Experiment(
        name="ssd",
        model=ModelConfig(
            input_size=64,
            width=0.25,
            stages=4,
            output_stride=8,
            anchors=((0.3, 0.3), (0.5, 0.5)),
            batch_norm_momentum=0.9,
        ),
        loss=LossConfig(weak="marginal"),
        train=TrainConfig(**train),
    )


def test_labels_alone_supervise_it_too():
    detector = Ssd(small(batch_size=4), TREE)
    terms = detector.losses(make_batch(), training=True, images_seen=tf.constant(4))
    boxed, labelled = np.array([True, True, False, False]), np.array([False, False, True, True])
    assert ((terms["object"].numpy() > 0) == boxed).all()
    assert ((terms["class"].numpy() > 0) <= boxed).all()
    assert ((terms["weak_class"].numpy() > 0) == labelled).all()


@pytest.mark.slow
def test_it_learns_a_batch_by_heart(monkeypatch):
    monkeypatch.setattr("detector.training.step.build_detector", Ssd)
    rng = np.random.default_rng(0)
    images = rng.uniform(0.2, 0.3, (4, 64, 64, 3)).astype(np.float32)
    boxes, nodes = np.zeros((4, 2, 4), np.float32), np.zeros((4, 2), np.int32)
    for b in range(4):
        for m, (top, left) in enumerate(((4, 4 + 4 * b), (36, 30 - 3 * b))):
            nodes[b, m] = 1 + (b + m) % 3
            images[b, top : top + 22, left : left + 26] = np.eye(3)[nodes[b, m] - 1]
            boxes[b, m] = np.array([top, left, top + 22, left + 26]) / 64
    batch = make_batch()._replace(
        images=tf.constant(images),
        boxes=tf.constant(boxes),
        nodes=tf.constant(nodes),
        box_mask=tf.ones([4, 2], tf.bool),
        has_boxes=tf.ones([4], tf.bool),
        image_node_sign=tf.zeros([4, 2], tf.int8),
        source=tf.zeros([4], tf.int32),
    )
    trainer = Trainer(small(batch_size=4, learning_rate=2e-3, warmup_steps=10, steps=120), TREE)
    for step in range(120):
        trainer.train_step(batch, step)
    found = trainer.detector.detect(batch.images, DecodeConfig(threshold=0.8, walk="leaves"))
    for b in range(4):
        rows = np.flatnonzero(found.mask[b])
        assert sorted(found.nodes.numpy()[b, rows]) == sorted(nodes[b])
        overlap = pairwise_iou(found.boxes.numpy()[b, rows], boxes[b])
        best = overlap.argmax(axis=1)
        assert (overlap.max(axis=1) > 0.6).all()
        assert (nodes[b, best] == found.nodes.numpy()[b, rows]).all()


def test_a_file_of_ones_own_says_what_is_known_before_it_is_built(tmp_path):
    page = tmp_path / "mine.py"
    page.write_text("from detector.architectures import Traits\n\nTRAITS = Traits(finds_boxes=False)\n")
    assert traits_of(str(page)) == Traits(finds_boxes=False)
    assert known_metrics(str(page)) == known_metrics("classifier")
    plain = tmp_path / "plain.py"
    plain.write_text("")
    assert traits_of(str(plain)) == Traits() == traits_of("yolo9000")
