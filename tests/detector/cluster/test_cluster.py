"""Who takes part, whose images are whose, and what is said of a lost worker; all in this process."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

import keras  # noqa: E402

from detector.architectures import build_detector  # noqa: E402
from detector.cluster.batch_norm import moving_normalisations, replicas_batch_norm, synchronise  # noqa: E402
from detector.cluster.description import describe_cluster, expand_counts, expand_hosts  # noqa: E402
from detector.cluster.host_stream import HostStream  # noqa: E402
from detector.cluster.lost import WorkerLostError, watch  # noqa: E402
from detector.cluster.shares import offsets_of  # noqa: E402
from detector.cluster.strategy import Cluster, expected_replicas, open_cluster  # noqa: E402
from detector.config import AugmentConfig, DataConfig, TrainConfig  # noqa: E402
from detector.darknet.normalisation import DarknetNormalization  # noqa: E402
from detector.dataset import open_dataset  # noqa: E402
from detector.input import JointStream  # noqa: E402
from detector.training.directory import begin_run, check_run  # noqa: E402
from detector.training.schedule import learning_rate  # noqa: E402
from detector.two_stage.stage import StageLayer  # noqa: E402
from schemas.errors import ConfigError  # noqa: E402
from tests.detector.cluster_runs import small_experiment  # noqa: E402
from tests.detector.train_stub import stub_experiment  # noqa: E402


def tf_config(cluster, kind, index):
    return {"TF_CONFIG": json.dumps({"cluster": cluster, "task": {"type": kind, "index": index}})}


SLURM = {
    "SLURM_STEP_NODELIST": "gpu[08-10],login",
    "SLURM_STEP_TASKS_PER_NODE": "2(x2),1(x2)",
    "SLURM_PROCID": "4",
    "WORDTREE_PORT": "5000",
}


def test_the_workers_of_tf_config():
    found = describe_cluster(tf_config({"worker": ["a:1", "b:2"]}, "worker", 1))
    assert (found.addresses, found.index, found.workers, found.is_chief) == (("a:1", "b:2"), 1, 2, False)
    cluster = {"chief": ["c:3"], "worker": ["a:1", "b:2"], "ps": ["p:9"]}
    assert describe_cluster(tf_config(cluster, "chief", 0)).is_chief
    found = describe_cluster(tf_config(cluster, "worker", 1))
    assert (found.addresses, found.index) == (("c:3", "a:1", "b:2"), 2)
    assert describe_cluster({"TF_CONFIG": found.tf_config()}) == found


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({}, "neither TF_CONFIG nor Slurm says who the workers are"),
        ({"TF_CONFIG": "{"}, "TF_CONFIG '{' describes no cluster"),
        ({"TF_CONFIG": "[]"}, "describes no cluster"),
        (tf_config({"worker": "a:1"}, "worker", 0), "addresses are no list"),
        (tf_config({"worker": ["a:1"]}, "worker", 1), "this process is worker 1 of 0 chief and 1 workers"),
        (tf_config({"worker": ["a:1"]}, "chief", 0), "this process is chief 0 of 0 chief"),
        (tf_config({"worker": ["a:1"], "evaluator": ["e:1"]}, "evaluator", 0), "evaluators and parameter servers"),
        (tf_config({"worker": ["a:1", "a:1"]}, "worker", 0), "two workers have the address a:1"),
        (tf_config({"worker": ["a"]}, "worker", 0), "the address 'a' has no port"),
        ({"SLURM_PROCID": "0"}, "SLURM_STEP_NODELIST or SLURM_NODELIST is not set"),
        (SLURM | {"SLURM_STEP_TASKS_PER_NODE": "2"}, r"4 hosts with tasks \[2\]"),
        (SLURM | {"SLURM_STEP_NODELIST": "a[1"}, "brackets do not match"),
        (SLURM | {"SLURM_STEP_NODELIST": "a[x-y]"}, "cannot be read at 'x-y'"),
        (SLURM | {"SLURM_STEP_TASKS_PER_NODE": "two"}, "cannot be read at 'two'"),
        (SLURM | {"SLURM_PROCID": "6"}, "this is task 6 of 6"),
        (SLURM | {"SLURM_DISTRIBUTION": "cyclic"}, "laid out by 'cyclic'"),
    ],
)
def test_what_describes_no_workers_is_refused(environment, message):
    with pytest.raises(ConfigError, match=message):
        describe_cluster(environment)


def test_the_workers_of_slurm():
    found = describe_cluster(SLURM)
    assert found.addresses == ("gpu08:5000", "gpu08:5001", "gpu09:5000", "gpu09:5001", "gpu10:5000", "login:5000")
    assert found.index == 4
    assert expand_hosts("n[1-3,007]-x[a],b".replace("[a]", "a")) == ["n1-xa", "n2-xa", "n3-xa", "n007-xa", "b"]
    assert expand_hosts("r[1-2]c[3,4]") == ["r1c3", "r1c4", "r2c3", "r2c4"]
    assert expand_counts("2(x3),1") == [2, 2, 2, 1]


@pytest.mark.parametrize(
    ("workers", "local", "parts", "size"), [(1, 1, 1, 6), (2, 1, 1, 8), (2, 2, 3, 24), (3, 1, 2, 6)]
)
def test_every_image_of_a_step_is_one_workers_and_parts_hold_the_same_images(workers, local, parts, size):
    """Each part of all replicas together is the stretch that one device computes in that part."""
    shares = [offsets_of(worker, workers, local, size, parts) for worker in range(workers)]
    assert sorted(offset for share in shares for offset in share) == list(range(size))
    of_parts = np.array(shares).reshape(workers * local, parts, -1)
    for part in range(parts):
        stretch = np.concatenate(list(of_parts[:, part]))
        np.testing.assert_array_equal(stretch, part * size // parts + np.arange(size // parts))


def test_a_batch_that_cannot_be_shared_is_refused():
    with pytest.raises(ConfigError, match=r"batch_size is 10, for 4 replicas; expected a multiple of 4, such as 12"):
        offsets_of(0, 2, 2, 10, 1)
    with pytest.raises(ConfigError, match=r"for 2 replicas times 3 subdivisions; expected a multiple of 6, such as 12"):
        offsets_of(0, 2, 1, 8, 3)


def test_workers_read_the_images_of_one_stream_and_nothing_twice(detection_set, label_set, tree):
    """Their batches, put together, are the whole stream's, pixel by pixel; sizes change at the same steps."""
    sets = [open_dataset(str(path)) for path in (detection_set, label_set)]
    options = {"data": DataConfig(), "augment": AugmentConfig(hue=0.1, shift=1.0), "size": 32, "seed": 3}
    sizes = {"start": 2, "stop": 5, "size_at": lambda step: (32, 64)[step % 2]}
    whole = list(JointStream(sets, tree, **options).batches(12, **sizes))
    orders = [offsets_of(worker, 3, 1, 12, 2) for worker in range(3)]
    streams = [HostStream(sets, tree, offsets=order, batch_size=12, **options) for order in orders]
    parts = [list(stream.batches(stream.share, **sizes)) for stream in streams]
    for step, batch in enumerate(whole):
        for order, mine in zip(orders, parts, strict=True):
            for field, expected in zip(mine[step], batch, strict=True):
                np.testing.assert_array_equal(field.numpy(), expected.numpy()[order])
    assert sum(stream.counts.images for stream in streams) == 36
    assert streams[1].locate(7) == JointStream(sets, tree, **options).locate(7)


def test_the_image_that_a_worker_cannot_decode_is_named(make_dataset, detection_set, tree, tmp_path):
    dataset = open_dataset(str(detection_set))
    records = [dataset.record(row) for row in range(4)]
    records[2] = records[2]._replace(encoded=records[2].encoded[:60] + bytes(len(records[2].encoded) - 60))
    path = make_dataset(tmp_path / "bad", records, dataset.manifest.classes, has_boxes=True)
    sets = [open_dataset(str(path))]
    options = {"data": DataConfig(), "augment": None, "size": 32, "seed": 0}
    found = []
    for worker in range(2):
        order = offsets_of(worker, 2, 1, 4, 1)
        stream = HostStream(sets, tree, offsets=order, batch_size=4, **options)
        found.append(stream.first_undecodable(0, 2))
    assert sorted(bool(text) for text in found) == [False, True]
    assert any(re.match(rf"image '{records[2].image_id}' \(", text) for text in found)


def test_how_many_replicas_a_dry_run_expects():
    gpus = len(tf.config.list_logical_devices("GPU"))
    both = tf_config({"worker": ["a:1", "b:2"]}, "worker", 1)
    assert expected_replicas("one") == expected_replicas("tpu") == 1
    assert expected_replicas("mirrored") == gpus or len(tf.config.list_logical_devices("CPU"))
    assert expected_replicas("multiworker", both) == 2 * max(gpus, 1)
    assert expected_replicas("multiworker", {}) == max(gpus, 1)


def test_a_lost_worker_is_told_from_other_errors():
    text = "Collective ops is aborted by: unhealthy:\n/job:worker/replica:0/task:3\n/job:worker/task:1 [Op:f]"
    with (
        pytest.raises(WorkerLostError, match=r"worker 1 of 4 stops: worker 3 is gone .* the same command"),
        watch(4, 1),
    ):
        raise tf.errors.UnavailableError(None, None, text)
    with pytest.raises(WorkerLostError, match="worker another one is gone"), watch(2, 0):
        raise tf.errors.InternalError(None, None, "Socket closed")
    with pytest.raises(tf.errors.UnavailableError), watch(1, 0):
        raise tf.errors.UnavailableError(None, None, text)
    with pytest.raises(tf.errors.InvalidArgumentError), watch(2, 0):
        raise tf.errors.InvalidArgumentError(None, None, "shapes in /job:worker/task:0")


def test_one_worker_says_things_to_itself():
    cluster = open_cluster("one", print)
    assert (cluster.replicas, cluster.local, cluster.is_chief) == (1, 1, True)
    assert Cluster().gather(7) == [7]
    cluster.check_same({"--tree": "a"})
    with cluster.scope():
        pass
    with pytest.raises(ConfigError, match="no TPU answers"):
        open_cluster("tpu", print)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_synchronised_statistics_of_one_replica_are_numpys(dtype):
    rng = np.random.default_rng(0)
    x = (rng.normal(size=(4, 5, 3, 6)) * 2 + 3).astype(dtype)
    gamma, beta, shift = rng.normal(size=(3, 6)).astype(np.float32)
    out, mean, variance = replicas_batch_norm(tf.constant(x), gamma, beta, shift, 1e-3)
    rows = x.astype(np.float64).reshape(-1, 6)
    expected = (x - rows.mean(0)) / np.sqrt(rows.var(0) + 1e-3) * gamma + beta
    assert out.dtype == dtype
    np.testing.assert_allclose(out, expected, atol=1e-5 if dtype == "float32" else 2e-2)
    np.testing.assert_allclose(mean, rows.mean(0), atol=1e-5)
    np.testing.assert_allclose(variance, rows.var(0, ddof=1), rtol=1e-5)


def test_plain_ground_costs_no_digits():
    """Thousands of equal numbers: a running sum in float32 would round always to the same side.

    The running mean is 0, as in a first step.
    """
    x = np.full((8, 64, 64, 3), 0.3, np.float32)
    x[:4] = (1.7, 0.9, 2.3)
    _, mean, variance = replicas_batch_norm(tf.constant(x), np.ones(3), np.zeros(3), np.zeros(3, np.float32), 1e-5)
    rows = x.astype(np.float64).reshape(-1, 3)
    np.testing.assert_allclose(mean, rows.mean(0), rtol=3e-6)
    np.testing.assert_allclose(variance, rows.var(0, ddof=1), rtol=1e-5)


@pytest.mark.parametrize("shape", [(4, 5, 3, 6), (16, 6)])
def test_keras_normalisations_have_the_same_statistics(shape):
    """Mean and variance of NumPy in float64, far from 0 too, where the mean of squares less a square loses digits."""
    x = (np.random.default_rng(1).normal(size=shape) * 0.1 + 30).astype(np.float32)
    model = keras.Sequential([keras.Input(shape[1:]), keras.layers.BatchNormalization(momentum=0.0)])
    layer = model.layers[0]
    layer.moving_mean.assign(np.full(6, 29.5))
    assert synchronise(model) == 1
    rows = x.astype(np.float64).reshape(-1, 6)
    out = model(tf.constant(x), training=True)
    expected = (x - rows.mean(0)) / np.sqrt(rows.var(0) + layer.epsilon)
    np.testing.assert_allclose(out, expected, atol=1e-4)  # Keras multiplies x by the scale before it subtracts
    np.testing.assert_allclose(layer.moving_mean, rows.mean(0), rtol=1e-6)
    np.testing.assert_allclose(layer.moving_variance, rows.var(0), rtol=1e-4)


def test_all_batch_normalisations_are_found():
    """In models, and in layers that hold models; not the frozen ones."""
    images = keras.Input((8, 8, 3))
    inner = keras.Sequential([keras.layers.Conv2D(2, 1), keras.layers.BatchNormalization()])
    crops = keras.Input((8, 8, 2))
    deep, frozen = DarknetNormalization(), keras.layers.BatchNormalization(trainable=False)
    stage = StageLayer(keras.Model(crops, frozen(deep(crops))))
    model = keras.Model(images, DarknetNormalization()(stage(inner(images))))
    assert synchronise(model) == 3
    assert inner.layers[-1].synchronized
    assert not frozen.synchronized
    assert model.layers[-1].batch_norm is deep.batch_norm is replicas_batch_norm


@pytest.mark.parametrize(
    ("model", "settings"),
    [
        ({}, {}),
        ({"network": "MobileNet", "width": 0.25, "stages": 6, "output_stride": 16}, {"cut": 16}),
        ({"network": "MobileNet", "width": 0.25, "stages": 6, "output_stride": 16}, {"cut": 16, "frozen_stride": 4}),
        ({"network": "MobileNet", "width": 0.25, "stages": 6, "output_stride": 16}, {"cut": 16, "frozen_norm": True}),
    ],
    ids=["darknet19", "keras", "frozen early", "frozen norm"],
)
def test_the_normalisations_of_both_stages_of_faster_rcnn_are_found(model, settings, tree):
    """As many as there are trained scales or shifts: a frozen one has none, and keeps its statistics."""
    detector = build_detector(small_experiment("faster_rcnn", model=model, two_stage=settings), tree)
    shifts = [weight.path for weight in detector.model.trainable_weights if weight.path.endswith("/beta")]
    found = moving_normalisations(detector.model)
    assert len({id(layer) for layer in found}) == len(found)
    assert sorted(layer.beta.path for layer in found) == sorted(shifts)
    assert bool(found) != settings.get("frozen_norm", False)
    assert synchronise(detector.model) == len(found)


def test_the_rate_grows_with_the_batch_where_its_batch_is_named():
    plain = TrainConfig(batch_size=64, learning_rate=0.1, warmup_steps=4, schedule="constant")
    scaled = TrainConfig(batch_size=64, learning_rate=0.1, warmup_steps=4, schedule="constant", reference_batch=16)
    for step in (0, 2, 9):
        assert learning_rate(scaled, step) == pytest.approx(4 * learning_rate(plain, step))


def test_a_run_may_go_on_elsewhere(detection_set, tree, tmp_path):
    begin_run(stub_experiment(), tree, [open_dataset(str(detection_set))], tmp_path / "run")
    assert check_run(stub_experiment(strategy="mirrored"), tree, tmp_path / "run") == "begun, without a checkpoint yet"
