"""TensorFlow with smooth rectifiers and with means for max-pools, so that rounding decides nothing; and wordtree on it.

How devices and workers share a step does not depend on which function stands in a layer. With these functions every
number of two right runs is determined, on any CPU. `python -m tests.detector.edgeless train ...` is `wordtree train`.
"""

from __future__ import annotations

import sys

import keras
import tensorflow as tf


def without_edges() -> None:
    """Put them in the place of TensorFlow's own, for this process."""
    tf.nn.relu = tf.nn.softplus
    tf.nn.relu6 = lambda x: 6 * tf.sigmoid((x - 3) / 1.5)
    tf.nn.leaky_relu = lambda x, alpha: alpha * x + (1 - alpha) * tf.nn.softplus(x)
    tf.nn.max_pool, tf.nn.max_pool2d = tf.nn.avg_pool, tf.nn.avg_pool2d


def check_edgeless() -> None:
    """That Keras's layers are made of these functions; a worker, whose devices are not known yet, cannot ask."""
    layers = keras.layers
    for layer in (layers.ReLU(), layers.ReLU(6.0), layers.LeakyReLU(), layers.Activation("relu")):
        assert layer(tf.zeros([1])).numpy() > 0.1, layer
    assert layers.MaxPooling2D()(tf.reshape([0.0, 0.0, 0.0, 4.0], [1, 2, 2, 1])).numpy() == 1


if __name__ == "__main__":
    from wordtree.command import main

    without_edges()
    sys.exit(main())
