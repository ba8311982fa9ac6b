"""A training step of keras-hub's RetinaNet on ResNet-50, on random images; TensorFlow, float32.

Model, losses and optimizer are the package's and Keras's own; anchors are labelled in the step, as in ours.

    peers/hub/bin/python benchmarks/peers/step_hub.py --size 384 --batch 2

Prints one JSON line, see step_clock.py.
"""

from __future__ import annotations

import argparse
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ["KERAS_BACKEND"] = "tensorflow"

import keras
import keras_hub  # pyright: ignore
import numpy as np
import tensorflow as tf
from step_clock import random_boxes, show


def main() -> None:
    """Build, count and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=384)
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--steps", type=int, default=2)
    args = parser.parse_args()
    shape = (args.size, args.size, 3)
    resnet = keras_hub.models.ResNetBackbone(
        input_conv_filters=[64],
        input_conv_kernel_sizes=[7],
        stackwise_num_filters=[64, 128, 256, 512],
        stackwise_num_blocks=[3, 4, 6, 3],
        stackwise_num_strides=[1, 2, 2, 2],
        block_type="bottleneck_block",
        image_shape=shape,
    )
    body = keras_hub.models.RetinaNetBackbone(
        image_encoder=resnet, min_level=3, max_level=7, use_p5=True, image_shape=shape
    )
    model = keras_hub.models.RetinaNetObjectDetector(backbone=body, num_classes=80, bounding_box_format="yxyx")
    optimizer = keras.optimizers.SGD(0.001, momentum=0.9)
    optimizer.build(model.trainable_variables)
    model.compile(optimizer=optimizer, box_loss="auto", classification_loss="auto")
    boxes, classes = random_boxes(args.batch)
    truths = {"boxes": tf.constant(boxes * args.size), "labels": tf.constant(classes, tf.float32)}
    images = tf.constant(np.random.default_rng(0).normal(size=(args.batch, *shape)), tf.float32)
    variables = model.trainable_variables

    @tf.function
    def step() -> object:
        with tf.GradientTape() as tape:
            found = model(images, training=True)
            loss = model.compute_loss(x=images, y=truths, y_pred=found, sample_weight=None, training=True)
        gradients = tape.gradient(loss, [variable.value for variable in variables])
        optimizer.apply(gradients, variables)
        return loss

    weights = sum(int(np.prod(variable.shape)) for variable in variables)
    show(step, step.get_concrete_function(), args.steps, trained_weights=weights)


if __name__ == "__main__":
    main()
