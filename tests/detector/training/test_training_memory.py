"""The estimate of a step's memory, by hand; what it is beside measured peaks stands in docs/clusters.md."""

from __future__ import annotations

from math import prod

import pytest

pytest.importorskip("tensorflow")

import keras

from detector.architectures import build_detector
from detector.config import Experiment, ModelConfig, TrainConfig
from detector.training.memory import activation_shapes, layer_outputs, memory_estimate, memory_line
from detector.two_stage.stage import StageLayer
from tests.detector.cluster_runs import small_experiment


def network():
    images = keras.Input((None, None, 3))
    x = keras.layers.Conv2D(4, 3, padding="same", use_bias=False)(images)
    x = keras.layers.BatchNormalization()(x)
    return keras.Model(images, keras.layers.MaxPool2D(2)(x))


def test_a_small_network_by_hand():
    train = TrainConfig(batch_size=12, subdivisions=3, optimizer="sgd", ema=0.9, multi_scale=(8, 16))
    experiment = Experiment(name="t", model=ModelConfig(architecture="classifier", input_size=8), train=train)
    memory = memory_estimate(experiment, network(), replicas=2)
    kernel, norm = 3 * 3 * 3 * 4, 4
    assert memory.weights == 4 * (kernel + 4 * norm) * 2
    assert memory.optimizer == 4 * (kernel + 2 * norm) * 2
    pixels = 16 * 16 * 2
    assert memory.activations == 4 * (pixels * (3 + 4 + 4) + pixels // 4 * 4 + 2 * pixels * 4)
    assert memory.total == memory.weights + memory.optimizer + memory.activations
    assert "about 0 MiB a device beside the program (750 MiB)" in memory_line(memory, 2)
    assert "a device" not in memory_line(memory)


def test_networks_that_are_layers_are_walked_through():
    plain = network()
    images = keras.Input((None, None, 3))
    x = keras.layers.Rescaling(2.0)(images)
    nested = keras.Model(images, StageLayer(keras.Model(images, plain(images)), name="outer")(x))
    shape = (2, 8, 8, 3)
    found = [(type(layer).__name__, each) for layer, each in layer_outputs(nested, shape)]
    assert found == [  # nothing below the first weight is kept
        ("InputLayer", (2, 8, 8, 3)),
        ("Conv2D", (2, 8, 8, 4)),
        ("BatchNormalization", (2, 8, 8, 4)),
        ("MaxPooling2D", (2, 4, 4, 4)),
    ]


def test_what_no_gradient_reads_is_not_kept():
    """A block of a residual network: with its normalisation frozen, only what the rectifiers give."""
    images = keras.Input((None, None, 3))
    x = keras.layers.ZeroPadding2D()(images)
    stem = keras.layers.Conv2D(4, 3, name="stem")
    first = keras.layers.Activation("relu", name="first")(stem(x))
    norm = keras.layers.BatchNormalization(name="norm")
    y = norm(keras.layers.Conv2D(4, 1, name="conv")(first))
    model = keras.Model(images, keras.layers.Activation("relu", name="last")(keras.layers.Add(name="sum")([first, y])))

    def kept():
        return [layer.name for layer, _ in layer_outputs(model, (1, 8, 8, 3))][1:]

    assert kept() == ["first", "conv", "last"]
    norm.trainable = False
    assert kept() == ["first", "last"]
    stem.trainable = False
    assert kept() == ["last"]


def test_a_second_stage_counts_the_rois_that_are_trained(tree):
    experiment = small_experiment("faster_rcnn", two_stage={"proposals": 50, "roi_batch": 6})
    detector = build_detector(experiment, tree)
    shapes = activation_shapes(experiment, detector.model, (2, 32, 32, 3))
    rows = {shape[0] for shape in shapes} | {shape[:2] for shape in shapes}
    assert {2, 12, (2, 6)} <= rows
    assert not {100, (2, 50)} & rows
    channels = 32  # of stage 4, at an eighth of the width of Darknet-19
    assert (12, 4, 4, channels) in shapes  # crops before they are pooled, and after
    assert (12, 2, 2, channels) in shapes
    assert (2, 6, 1, 1, len(tree)) in shapes  # all classes of a small tree
    more = activation_shapes(
        small_experiment("faster_rcnn", two_stage={"proposals": 50, "roi_batch": 12}), detector.model, (2, 32, 32, 3)
    )
    assert sum(map(prod, more)) > sum(map(prod, shapes))
