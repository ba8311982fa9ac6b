"""One step: parts, darknet's momentum, precision, averages, and what is not finite."""

from __future__ import annotations

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

import keras  # noqa: E402

from detector.config import TrainConfig  # noqa: E402
from detector.training.guard import NotFiniteError, check_gradients, check_terms  # noqa: E402
from detector.training.optimizer import DarknetSgd, LossScale, clipped, squared_norms  # noqa: E402
from detector.training.step import Trainer  # noqa: E402
from tests.detector.train_stub import first, stub_batch, stub_experiment, use_stub  # noqa: E402


@pytest.fixture(autouse=True)
def stub(monkeypatch):
    """Every trainer here trains the stub."""
    use_stub(monkeypatch)
    before = keras.mixed_precision.dtype_policy()
    yield
    keras.mixed_precision.set_dtype_policy(before)


def values(variables):
    return {variable.path: variable.numpy().astype(np.float64) for variable in variables}


def eager_gradients(trainer, batch, seen):
    """Of the sum over images, told without the trainer's graph."""
    variables = trainer.model.trainable_variables
    with tf.GradientTape() as tape:
        terms = trainer.detector.losses(batch, training=True, images_seen=tf.constant(seen))
        loss = tf.reduce_sum(tf.add_n(list(terms.values())))
    return [g.numpy().astype(np.float64) for g in tape.gradient(loss, [v.value for v in variables])]


@pytest.mark.parametrize("parts", [1, 2, 4])
def test_parts_add_up_to_the_mean_over_images_with_batch_normalisation_of_the_part(tree, parts):
    config = stub_experiment(
        batch_size=8, subdivisions=parts, optimizer="sgd", learning_rate=0.5, weight_decay=0.1, schedule="constant"
    )
    trainer, twin = Trainer(config, tree), Trainer(config, tree)
    batch, size = stub_batch(8), 8 // parts
    before = values(trainer.model.trainable_variables)
    sums = [np.zeros(v.shape) for v in twin.model.trainable_variables]
    for k in range(parts):  # the twin's running statistics move part by part
        for total, gradient in zip(
            sums, eager_gradients(twin, first(batch, k * size, k * size + size), 0), strict=True
        ):
            total += gradient
    means = trainer.train_step(batch, 2)
    for variable, total in zip(trainer.model.trainable_variables, sums, strict=True):
        decay = 0.1 if variable.path.endswith("kernel") else 0.0
        expected = before[variable.path] - 0.5 * (total / 8 + decay * before[variable.path])
        np.testing.assert_allclose(variable.numpy(), expected, atol=2e-6, err_msg=variable.path)
    running, expected_running = trainer.model.non_trainable_variables, twin.model.non_trainable_variables
    for one, two in zip(running, expected_running, strict=True):
        np.testing.assert_allclose(one.numpy(), two.numpy(), atol=1e-6, err_msg=one.path)
    # step 2 begins after 16 images; each part has seen its own too, as darknet counts
    assert means["seen"] == np.mean([16 + (k + 1) * size for k in range(parts)])
    norm = np.sqrt(sum(np.sum((total / 8) ** 2) for total in sums))
    assert means["gradient_norm"] == pytest.approx(norm, rel=1e-5)
    assert means["loss"] == pytest.approx(means["fit"] + means["seen"] + means["guide"])


def test_parts_leave_the_terms_in_the_order_of_the_loss(tree):
    whole, parts = (Trainer(stub_experiment(subdivisions=count), tree) for count in (1, 2))
    batch = stub_batch(4)
    names = ["fit", "seen", "guide", "loss", "gradient_norm"]
    assert list(whole.train_step(batch, 0)) == list(parts.train_step(batch, 0)) == names


def test_momentum_is_darknets_when_the_rate_changes():
    """v = m v + sum(delta) - decay B w; w += lr / B v: a loop over single numbers."""
    batch, momentum, decay = 16, 0.9, 0.05
    rng = np.random.default_rng(0)
    kernel = keras.Variable(rng.normal(size=(3, 2)), dtype="float32", name="kernel")
    bias = keras.Variable(rng.normal(size=2), dtype="float32", name="bias")
    optimizer = DarknetSgd(0.1, momentum, decay)
    optimizer.build([kernel, bias])
    told = {v.name: (v.numpy().astype(np.float64), np.zeros(v.shape)) for v in (kernel, bias)}
    for rate in (0.1, 0.1, 0.5, 0.01, 0.01, 0.2):
        deltas = {v.name: rng.normal(size=v.shape) * batch for v in (kernel, bias)}
        optimizer.learning_rate = rate
        optimizer.apply([tf.constant(-deltas[v.name] / batch, tf.float32) for v in (kernel, bias)], [kernel, bias])
        for variable in (kernel, bias):
            weights, velocity = told[variable.name]
            for index in np.ndindex(weights.shape):
                update = velocity[index] * momentum + deltas[variable.name][index]
                if variable.name == "kernel":
                    update -= decay * batch * weights[index]
                velocity[index] = update
                weights[index] += rate / batch * update
            np.testing.assert_allclose(variable.numpy(), weights, rtol=2e-5, atol=1e-6)


def test_clipping_shortens_all_gradients_together():
    gradients = [tf.constant([3.0, 0.0]), tf.constant([[0.0], [4.0]])]
    squared = squared_norms(gradients)
    np.testing.assert_allclose(squared, [9.0, 16.0])
    shorter = clipped(gradients, tf.constant(5.0), 2.5)
    np.testing.assert_allclose(shorter[1], [[0.0], [2.0]])
    np.testing.assert_allclose(clipped(gradients, tf.constant(5.0), 6.0)[0], [3.0, 0.0])
    assert clipped(gradients, tf.constant(5.0), 0.0) is gradients


def test_the_scale_of_float16_halves_on_overflow_and_doubles_after_2000_good_steps():
    scale = LossScale(TrainConfig(precision="mixed_float16"))
    assert float(scale.scale.numpy()) == 2.0**15
    update = tf.function(scale.update)
    update(tf.constant(False))
    assert float(scale.scale.numpy()) == 2.0**14
    for _ in range(1999):
        update(tf.constant(True))
    assert (float(scale.scale.numpy()), int(scale.good.numpy())) == (2.0**14, 1999)
    update(tf.constant(True))
    assert (float(scale.scale.numpy()), int(scale.good.numpy())) == (2.0**15, 0)
    assert LossScale(TrainConfig()).variables() == {}


def test_float16_trains_float32_weights_and_skips_a_step_that_overflows(tree):
    options = {"optimizer": "sgd", "learning_rate": 0.1, "schedule": "constant", "ema": 0.9}
    half, whole = (Trainer(stub_experiment(precision=name, **options), tree) for name in ("mixed_float16", "float32"))
    for one, two in zip(half.model.weights, whole.model.weights, strict=True):
        assert one.dtype == "float32"
        one.assign(two.value)
    keras.mixed_precision.set_dtype_policy("mixed_float16")
    start = values(half.model.weights)
    batch = stub_batch(4)
    half.train_step(batch, 0)
    whole.train_step(batch, 0)
    for one, two in zip(half.model.weights, whole.model.weights, strict=True):
        np.testing.assert_allclose(one.numpy(), two.numpy(), atol=5e-3, err_msg=one.path)
    assert any(np.any(value != start[path]) for path, value in values(half.model.weights).items())
    before = values(half.model.trainable_variables)
    average = values(half.averaged.model.weights)
    half.loss_scale.scale.assign(1e38)
    means = half.train_step(batch, 1)
    assert means["gradient_norm"] == 0.0
    for path, value in values(half.model.trainable_variables).items():
        np.testing.assert_array_equal(value, before[path], err_msg=path)
    for path, value in values(half.averaged.model.weights).items():
        np.testing.assert_array_equal(value, average[path], err_msg=path)
    assert half.loss_scale.scale.numpy() == 2.0**24
    assert {"loss_scale/scale", "loss_scale/good_steps"} <= half.variables().keys()


def test_averages_follow_and_the_teacher_is_made_of_them(tree):
    config = stub_experiment(ema=0.9, weak_teacher=True, learning_rate=0.1, optimizer="sgd", schedule="constant")
    trainer, batch = Trainer(config, tree), stub_batch(4)
    told = values(trainer.model.weights)
    for step in range(3):
        expected = trainer.averaged.model(batch.images, training=False)[:, 0].numpy().mean()
        assert trainer.train_step(batch, step)["guide"] == pytest.approx(expected, abs=1e-6)
        decay = min(0.9, (1 + step) / (10 + step))
        for path, value in values(trainer.model.weights).items():
            told[path] += (1 - decay) * (value - told[path])
    for weight in trainer.averaged.model.weights:
        np.testing.assert_allclose(weight.numpy(), told[weight.path], atol=1e-6, err_msg=weight.path)
    assert trainer.evaluated is trainer.averaged
    assert Trainer(stub_experiment(), tree).evaluated.model is not None
    assert Trainer(stub_experiment(ema=0.9), tree).teacher is None


def test_dropouts_random_state_belongs_to_the_checkpoint(tree):
    trainer = Trainer(stub_experiment(dropout=0.5), tree)
    seeds = [name for name in trainer.variables() if name.startswith("random/")]
    assert len(seeds) == 1
    before = trainer.variables()[seeds[0]].numpy().copy()
    trainer.train_step(stub_batch(4), 0)
    assert np.any(trainer.variables()[seeds[0]].numpy().copy() != before)


def test_what_is_not_finite_is_named():
    terms = {"object": np.array([1.0, np.nan, 2.0]), "class": np.array([0.0, np.inf, np.nan]), "fit": np.zeros(3)}
    with pytest.raises(NotFiniteError, match=r"step 7: object, class are not finite in image one; image two; lower"):
        check_terms(terms, 7, ["image zero", "image one", "image two"].__getitem__)
    with pytest.raises(NotFiniteError, match=r"step 7: a is not finite in all 2 images, so the weights have diverged"):
        check_terms({"a": np.array([np.nan, np.inf])}, 7, None, [np.zeros((2, 3))])
    pixels = np.zeros((2, 3, 3))
    pixels[1, 2, 0] = np.nan
    with pytest.raises(NotFiniteError, match=r"in number 1 of the batch, whose pixels, boxes or weights are not"):
        check_terms({"a": np.array([np.nan, np.inf])}, 7, None, [pixels])
    check_terms({"a": np.zeros(2)}, 7)
    with pytest.raises(NotFiniteError, match=r"step 3: the loss is finite, but the gradient of b, c is not finite"):
        check_gradients(np.array([1.0, np.inf, np.nan]), ["a", "b", "c"], 3)


def test_a_broken_image_is_told_from_its_neighbours(tree):
    """Batch normalisation spreads it over the whole batch."""
    trainer = Trainer(stub_experiment(), tree)
    batch = stub_batch(4)
    pixels = batch.images.numpy()
    pixels[2, 0, 0, 1] = np.inf
    with pytest.raises(NotFiniteError, match=r"step 5: fit is not finite in photo 2, whose pixels"):
        trainer.train_step(batch._replace(images=tf.constant(pixels)), 5, lambda b: f"photo {b}")


def test_a_gradient_or_a_weight_that_is_not_finite_is_named(tree):
    trainer = Trainer(stub_experiment(), tree)
    batch = stub_batch(4)
    boxes = batch.boxes.numpy()
    boxes[0, 0, 0] = 1e19  # its square is finite; times the features it is too large for a norm
    trainer.model.get_layer("conv01").bias.assign(np.full(4, 1e3))
    with pytest.raises(NotFiniteError, match=r"step 0: the loss is finite, but the gradient of region/kernel is not"):
        trainer.train_step(batch._replace(boxes=tf.constant(boxes)), 0)
    trainer = Trainer(stub_experiment(ema=0.9), tree)
    trainer.check_weights(1)
    trainer.averaged.model.weights[1].assign(np.array([0.0, np.nan, 0.0]))
    with pytest.raises(NotFiniteError, match=r"step 4: norm01/beta is not finite and was not saved"):
        trainer.check_weights(4)


def test_a_size_is_compiled_once_and_said(tree):
    lines = []
    trainer = Trainer(stub_experiment(multi_scale=(8, 12)), tree, lines.append)
    small, batch = stub_batch(4), stub_batch(4)
    large = batch._replace(images=tf.ones([4, 12, 12, 3]))
    for step, chosen in enumerate((small, large, small, large)):
        trainer.train_step(chosen, step)
    assert lines == ["compiling for 8x8", "compiling for 12x12"]
    assert trainer.step_function.experimental_get_tracing_count() == 2
