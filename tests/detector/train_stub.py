"""A detector that compiles in a moment, for tests of what the trainer does around it.

Its loss is a linear layer behind a batch normalisation; every image's terms are known by heart:

    fit     half the squared distance between its two outputs and the first two numbers of its first box
    seen    images_seen as the loss was told, times 0 in the gradient
    guide   the teacher's first output, without gradient; 0 without a teacher
"""

from __future__ import annotations

import keras
import tensorflow as tf

from detector.config import Experiment, LossConfig, ModelConfig, TrainConfig

SIZE = 8


class Stub:
    """A `Learner` of `detector.api`."""

    overlap = 0.45

    def __init__(self, experiment, tree):
        self.experiment, self.tree = experiment, tree
        images = keras.Input((None, None, 3), name="images")
        x = keras.layers.GlobalAveragePooling2D(name="pool")(images)
        x = keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-3, name="norm01")(x)
        x = keras.layers.Dense(4, name="conv01")(x)
        if experiment.model.dropout:
            x = keras.layers.Dropout(experiment.model.dropout, name="dropout")(x)
        out = keras.layers.Dense(2, name="region", dtype="float32")(x)
        self.model = keras.Model(images, out)

    def supervise(self, supervision):
        pass

    def losses(self, batch, *, training, images_seen, teacher=None):
        out = self.model(batch.images, training=training)
        count = tf.shape(out)[0]
        guide = tf.zeros(count)
        if teacher is not None:
            guide = tf.stop_gradient(teacher.model(batch.images, training=False)[:, 0])
        return {
            "fit": 0.5 * tf.reduce_sum((out - batch.boxes[:, 0, :2]) ** 2, axis=1)
            + 0.0 * tf.reduce_sum(batch.image_node_weight, axis=1),
            "seen": tf.fill([count], tf.cast(images_seen, tf.float32)),
            "guide": guide,
        }


def use_stub(monkeypatch):
    """Let the trainer build stubs."""
    monkeypatch.setattr("detector.training.step.build_detector", Stub)


def stub_experiment(*, dropout=0.0, weak_teacher=False, **train):
    """A short run of the stub."""
    options = {"steps": 12, "batch_size": 4, "warmup_steps": 0, "checkpoint_every": 4, "log_every": 2, "clip_norm": 0.0}
    return Experiment(
        name="stub",
        model=ModelConfig(
            input_size=SIZE, stages=1, output_stride=1, anchors=((0.4, 0.4),), dropout=dropout, width=0.25
        ),
        loss=LossConfig(weak="paper", prior_images=0, weak_teacher=weak_teacher),
        train=TrainConfig(**(options | train)),
    )


def stub_batch(numbers, seed=0):
    """B images of 8 x 8 pixels, with a box each."""
    from detector.api import Batch

    rng = tf.random.Generator.from_seed(seed)
    return Batch(
        images=rng.uniform([numbers, SIZE, SIZE, 3]),
        boxes=rng.uniform([numbers, 2, 4]),
        nodes=tf.zeros([numbers, 2], tf.int32),
        box_mask=tf.ones([numbers, 2], tf.bool),
        has_boxes=tf.ones([numbers], tf.bool),
        image_nodes=tf.zeros([numbers, 1], tf.int32),
        image_node_sign=tf.zeros([numbers, 1], tf.int8),
        image_node_weight=tf.zeros([numbers, 1]),
        source=tf.zeros([numbers], tf.int32),
        content=tf.tile([[0.0, 0.0, 0.5, 1.0]], [numbers, 1]),
    )


def first(batch, start, stop):
    """Some of the images of a batch."""
    return type(batch)(*(None if field is None else field[start:stop] for field in batch))
