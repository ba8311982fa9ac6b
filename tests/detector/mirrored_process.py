"""Two logical CPUs train like one device: run by test_cluster_mirrored.py in a process of its own.

TensorFlow takes the number of devices before it starts, so a test that shares its process cannot ask for two.
"""

from __future__ import annotations

import sys

import numpy as np
import pytest
import tensorflow as tf

DEVICES = 2
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * DEVICES)
tf.config.experimental.enable_op_determinism()

import keras  # noqa: E402

from detector.api import Batch  # noqa: E402
from detector.cluster.batch_norm import synchronise  # noqa: E402
from detector.cluster.shares import offsets_of  # noqa: E402
from detector.cluster.strategy import open_cluster  # noqa: E402
from detector.cluster.trainer import ClusterTrainer  # noqa: E402
from detector.training import step as step_module  # noqa: E402
from detector.training.guard import NotFiniteError  # noqa: E402
from detector.training.step import Trainer  # noqa: E402
from tests.detector.cluster_runs import small_experiment  # noqa: E402
from tests.detector.conftest import TREE  # noqa: E402
from tests.detector.edgeless import check_edgeless, without_edges  # noqa: E402
from tests.detector.train_stub import Stub, stub_batch, stub_experiment  # noqa: E402

cluster = open_cluster("mirrored", lambda line: None)
assert (cluster.replicas, cluster.local, cluster.workers) == (2, 2, 1)


def copies(variable):
    """The values of a variable on each device."""
    return [value.numpy() for value in cluster.strategy.experimental_local_results(variable.value)]


def worker_order(batch, config):
    """The images as a worker gets them."""
    order = offsets_of(0, 1, cluster.local, config.batch_size, config.subdivisions)
    return Batch(*(None if field is None else tf.gather(field, order) for field in batch))


def start_equal(one, two):
    with two.scope():
        for name, variable in two.variables().items():
            variable.assign(np.asarray(one.variables()[name]))


def compare(config, tolerance=1e-5, steps=3, synced=False):
    """Train both, and compare terms, weights, optimizer and averages; the devices must agree to the bit.

    `synced`: the one device computes its statistics as several would.
    """
    one, two = Trainer(config, TREE), ClusterTrainer(config, TREE, cluster=cluster)
    if synced:
        synchronise(one.model)
    start_equal(one, two)
    for number in range(steps):
        batch = real_batch(config, number) if step_module.build_detector is not Stub else stub_batch(8, seed=number)
        expected = one.train_step(batch, number)
        found = two.train_step(worker_order(batch, config.train), number)
        assert expected.keys() == found.keys()
        for name, value in expected.items():
            np.testing.assert_allclose(found[name], value, rtol=tolerance, atol=tolerance, err_msg=name)
    for name, variable in two.variables().items():
        here = copies(variable)
        np.testing.assert_array_equal(here[0], here[1], err_msg=name)
        expected = np.asarray(one.variables()[name])
        np.testing.assert_allclose(here[0], expected, rtol=tolerance, atol=tolerance, err_msg=name)
    return one, two


def real_batch(config, seed):
    rng = np.random.default_rng(seed)
    size, count = config.model.input_size, config.train.batch_size
    corner = rng.uniform(0, 0.5, [count, 2, 2])
    return Batch(
        images=tf.constant(rng.uniform(size=[count, size, size, 3]), tf.float32),
        boxes=tf.constant(np.concatenate([corner, corner + 0.4], axis=-1), tf.float32),
        nodes=tf.zeros([count, 2], tf.int32),
        box_mask=tf.constant(rng.uniform(size=[count, 2]) < 0.7),
        has_boxes=tf.constant(np.arange(count) % 2 == 0),
        image_nodes=tf.fill([count, 1], 2),
        image_node_sign=tf.ones([count, 1], tf.int8),
        image_node_weight=tf.ones([count, 1]),
        source=tf.zeros([count], tf.int32),
    )


PLAIN = {"batch_size": 8, "learning_rate": 0.05, "schedule": "constant", "weight_decay": 0.1, "ema": 0.9}


def stubs():
    """Every optimizer, parts, a teacher and half precision, on a detector with Keras's own batch normalisation."""
    compare(stub_experiment(optimizer="sgd", clip_norm=0.5, weak_teacher=True, **PLAIN))
    compare(stub_experiment(optimizer="adamw", **(PLAIN | {"learning_rate": 1e-3})))
    compare(stub_experiment(optimizer="sgd", subdivisions=2, **PLAIN))
    compare(stub_experiment(optimizer="sgd", subdivisions=4, **PLAIN))


def statistics_apart():
    """Without synchronisation each replica normalises by its own images: as parts do on one device."""
    apart = {**PLAIN, "optimizer": "sgd", "ema": 0.0}
    parts = Trainer(stub_experiment(subdivisions=2, **apart), TREE)
    two = ClusterTrainer(stub_experiment(sync_batch_norm=False, **apart), TREE, cluster=cluster)
    start_equal(parts, two)
    before = [np.asarray(value) for value in two.model.non_trainable_variables]
    batch = stub_batch(8)
    assert abs(parts.train_step(batch, 0)["fit"] - two.train_step(batch, 0)["fit"]) < 1e-5
    for one, other in zip(parts.model.trainable_variables, two.model.trainable_variables, strict=True):
        np.testing.assert_allclose(np.asarray(other), np.asarray(one), atol=1e-5)
    pooled = tf.reduce_mean(batch.images, axis=[1, 2]).numpy()
    halves = [pooled[:4], pooled[4:]]
    means = np.mean([half.mean(axis=0) for half in halves], axis=0)
    variances = np.mean([half.var(axis=0) for half in halves], axis=0)
    for value, old, new in zip(two.model.non_trainable_variables, before, (means, variances), strict=True):
        here = copies(value)
        np.testing.assert_array_equal(here[0], here[1])
        np.testing.assert_allclose(here[0], 0.9 * old + 0.1 * new, atol=1e-6)
    in_parts = stub_experiment(sync_batch_norm=False, subdivisions=2, **apart)  # a loop in the graph of each replica
    four = Trainer(stub_experiment(subdivisions=4, **apart), TREE)
    two = ClusterTrainer(in_parts, TREE, cluster=cluster)
    start_equal(four, two)
    shuffled = worker_order(batch, in_parts.train)
    assert abs(four.train_step(batch, 0)["fit"] - two.train_step(shuffled, 0)["fit"]) < 1e-5
    for one, other in zip(four.model.trainable_variables, two.model.trainable_variables, strict=True):
        np.testing.assert_allclose(np.asarray(other), np.asarray(one), atol=1e-5)


def half_precision():
    """A step that overflows is skipped by all."""
    options = {**PLAIN, "optimizer": "sgd", "precision": "mixed_float16"}
    _, two = compare(stub_experiment(**options), tolerance=5e-3, steps=2)
    before = [np.asarray(weight) for weight in two.model.trainable_variables]
    with two.scope():
        two.loss_scale.scale.assign(1e38)
    assert two.train_step(stub_batch(8), 2)["gradient_norm"] == 0.0
    for old, weight in zip(before, two.model.trainable_variables, strict=True):
        np.testing.assert_array_equal(np.asarray(weight), old)
    assert copies(two.loss_scale.scale) == [2.0**24] * 2
    keras.mixed_precision.set_dtype_policy("float32")


def dropout():
    """Replicas drop differently; the state that is kept is the same in both, and as on one device."""
    two = ClusterTrainer(stub_experiment(dropout=0.5, **PLAIN), TREE, cluster=cluster)
    seed = next(variable for name, variable in two.variables().items() if name.startswith("random/"))
    before = np.asarray(seed).copy()
    half = stub_batch(4)
    batch = Batch(*(tf.concat([field, field], 0) for field in half))
    with two.scope():
        terms, _ = two.step_function(batch, tf.constant(0), tf.constant(0.9))
    fit = terms["fit"].numpy()
    assert np.all(fit[:4] != fit[4:]), fit  # the same images, other masks
    here = copies(seed)
    np.testing.assert_array_equal(here[0], here[1])
    np.testing.assert_array_equal(here[0], before + np.array([0, 1], before.dtype))


def broken_image():
    two = ClusterTrainer(stub_experiment(**PLAIN), TREE, cluster=cluster)
    batch = stub_batch(8)
    pixels = batch.images.numpy()
    pixels[6, 0, 0, 0] = np.inf
    with pytest.raises(NotFiniteError, match="step 5: fit is not finite in photo 6, whose pixels"):
        two.train_step(batch._replace(images=tf.constant(pixels)), 5, lambda b: f"photo {b}")


def signals():
    two = ClusterTrainer(stub_experiment(**PLAIN), TREE, cluster=cluster)
    two.train_step(stub_batch(8), 0)
    assert two.asked_to_stop(15) == 0
    two.train_step(stub_batch(8), 1)
    assert two.asked_to_stop(15) == 15


def real():
    """YOLO9000 in small, with darknet's batch normalisation."""
    compare(small_experiment(subdivisions=2), tolerance=2e-5)


def faster():
    """Faster R-CNN in small, with normalisations in both stages, in parts."""
    compare(small_experiment("faster_rcnn", subdivisions=2), tolerance=2e-5, steps=2)


def faster_half():
    """In bfloat16: the loss as on one device to its precision, the weights in float32, and alike on all devices."""
    small = small_experiment("faster_rcnn", precision="mixed_bfloat16", ema=0.0)
    compare(small, tolerance=0.1, steps=1, synced=True)
    keras.mixed_precision.set_dtype_policy("float32")


NESTED = {"network": "MobileNet", "width": 0.25, "stages": 6, "output_stride": 16}


def nested():
    """Keras's own normalisations, in networks that are layers of the detector.

    With Keras's own moments on the one device the gradients differ by 1e-4 of themselves, so it takes ours.
    """
    config = small_experiment("faster_rcnn", model=NESTED, two_stage={"cut": 16}, ema=0.0)
    compare(config, tolerance=2e-5, steps=2, synced=True)


def frozen():
    """Frozen normalisations say nothing to the other replicas, and keep their statistics to the bit."""
    settings = {"cut": 16, "frozen_norm": True, "frozen_stride": 4}
    config = small_experiment("faster_rcnn", model=NESTED, two_stage=settings, subdivisions=2, ema=0.0)
    two = ClusterTrainer(config, TREE, cluster=cluster)
    assert not two.talking
    assert any(weight.path.endswith("kernel") for weight in two.model.non_trainable_variables)
    before = {name: np.asarray(value) for name, value in two.variables().items()}
    two.train_step(worker_order(real_batch(config, 0), config.train), 0)
    kept = {f"model/{weight.path}" for weight in two.model.non_trainable_variables}
    for name, variable in two.variables().items():
        here = copies(variable)
        np.testing.assert_array_equal(here[0], here[1], err_msg=name)
        if name in kept:
            np.testing.assert_array_equal(here[0], before[name], err_msg=name)


REAL = (real, faster, faster_half, nested, frozen)

if __name__ == "__main__":
    step_module.build_detector = Stub
    for name in sys.argv[1:]:
        if globals()[name] in REAL:
            from detector.architectures import build_detector

            step_module.build_detector = build_detector
            without_edges()
            check_edgeless()
        globals()[name]()
        print("well:", name, flush=True)
