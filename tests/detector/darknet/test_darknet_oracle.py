"""Whole networks against numbers of the original programs: layers, logits, gradients, three steps of training.

`headgpu` normalises as Keras does, so its gradients and steps are compared whole. Both depend on choices that rounding
takes, so ours and the program's are each compared with the network in float64 (`reference_network`). `rel` and `head`
divide by sqrt(variance) + 1e-6 instead of sqrt(variance + 1e-5), which moves a layer by up to 7e-5: in inference the
variances are shifted by as much, and every layer is compared at 5e-5. In training they use variance / (N - 1) for the
normalisation itself: there only what stands behind their own logits is compared.
"""

from __future__ import annotations

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

from detector.architectures.classifier import label_losses  # noqa: E402
from detector.config import LossConfig  # noqa: E402
from detector.darknet.keras_weights import load_into, weights_from  # noqa: E402
from detector.darknet.shapes import conv_shapes  # noqa: E402
from detector.darknet.weights import Header, write_weights  # noqa: E402
from detector.training.step import Trainer  # noqa: E402
from tests.detector.darknet_cases import (  # noqa: E402
    GRADIENT_OF_MAX,
    LAYER_ATOL,
    LOGIT_ATOL,
    WEIGHT_ATOL,
    as_darknets,
    batch_of,
    compare_weights_files,
    divide_as_on_a_cpu,
    head_logits,
    layer_outputs,
    load_detector,
    loss_of_logits,
    parameter_gradients,
    read_case,
)
from tests.detector.reference_network import ReferenceNetwork, assert_equal, numbers_of  # noqa: E402
from tests.reference_data import oracle_runs  # noqa: E402

NETWORKS = oracle_runs("detector", programs=("rel", "head", "headgpu"))
TRAINED = oracle_runs("detector", programs=("headgpu",))
CLASSIFIERS = oracle_runs("classifier", programs=("rel",))
OURS_OF_MAX, OURS_ATOL = 1e-4, 1e-5  # of our own numbers from float64; the program's take the rest of the tolerance


@pytest.mark.parametrize(("name", "program"), [*NETWORKS, *CLASSIFIERS])
def test_every_layer_gives_the_programs_output_in_inference(shared, name, program):
    case = read_case(shared("oracle", name), program)
    detector = load_detector(case)
    if program != "headgpu":
        divide_as_on_a_cpu(detector)
    found = layer_outputs(detector, case, case.images)
    found.append(head_logits(detector, tf.constant(found[-1].transpose(0, 2, 3, 1))))
    compared = 0
    for key, expected in case.numbers.items():
        if key.startswith("infer_L") and int(key[7:9]) < len(found):
            got = found[int(key[7:9])]
            got = got[:1] if key.endswith("_img0") else got
            np.testing.assert_allclose(got, expected.reshape(got.shape), atol=LAYER_ATOL, rtol=0, err_msg=key)
            compared += 1
    assert compared == len(found)
    if "region_input_logits_infer" in case.numbers:
        np.testing.assert_allclose(found[-1], case.numbers["region_input_logits_infer"], atol=LOGIT_ATOL, rtol=0)


@pytest.mark.parametrize(("name", "program"), NETWORKS)
def test_the_region_layer_behind_the_network_gives_the_programs_activations(shared, name, program):
    case = read_case(shared("oracle", name), program)
    if case.facts["tree"] and program == "head":
        pytest.skip("that program's tree softmax on a CPU gives no numbers")
    detector = load_detector(case)
    if program != "headgpu":
        divide_as_on_a_cpu(detector)
    predictions = detector.predict(tf.constant(case.images.transpose(0, 2, 3, 1)), training=False)
    slots = tf.tile(tf.range(predictions.boxes.shape[1])[None], [len(case.images), 1])
    probs = tf.exp(predictions.classes.conditional(slots))
    objectness = tf.sigmoid(predictions.object_logits)[..., None]
    found = tf.concat([predictions.offsets, predictions.sizes, objectness, probs], axis=-1)
    np.testing.assert_allclose(found, case.numbers["infer_region"].reshape(found.shape), atol=LAYER_ATOL, rtol=0)


@pytest.fixture(scope="module", params=TRAINED, ids="-".join)
def trained(request, shared):
    """A case, its batch, and the network in float64, which says what rounding leaves open."""
    name, program = request.param
    case = read_case(shared("oracle", name), program)
    batch = batch_of(case)
    return case, batch, ReferenceNetwork(case, conv_shapes(case.cfg), loss_of_logits(case, batch))


def test_gradients_of_every_parameter_equal_the_programs(trained):
    case, batch, reference = trained
    found = as_darknets(parameter_gradients(load_detector(case), batch, case.facts["batch"]), case)
    expected = {key: value for key, value in case.numbers.items() if key.startswith("grad_")}
    most = {key: float(np.abs(value).max()) for key, value in expected.items()}
    first = reference.gradients()
    for numbers, share in ((found, OURS_OF_MAX), (expected, GRADIENT_OF_MAX - OURS_OF_MAX)):
        shaped = {key: value.reshape(expected[key].shape) for key, value in numbers.items()}
        assert_equal(shaped, reference.gradients, first, {key: share * value for key, value in most.items()})


def test_three_steps_of_the_trainer_end_with_the_programs_weights(trained, tmp_path):
    case, batch, reference = trained
    trainer = Trainer(case.experiment, case.tree)
    load_into(trainer.detector, case.folder / "init.weights")
    for step in range(case.facts["sgd_steps"]):
        trainer.train_step(batch, step)
    seen = case.facts["seen_before_first_step"] + case.facts["sgd_steps"] * case.facts["batch"]
    write_weights(tmp_path / "after.weights", Header(0, 2, 0, seen), weights_from(trainer.detector))
    expected = case.folder / "headgpu.after_steps.weights"
    assert (tmp_path / "after.weights").read_bytes()[:20] == expected.read_bytes()[:20]
    first = reference.trained()
    for path, atol in ((tmp_path / "after.weights", OURS_ATOL), (expected, WEIGHT_ATOL - OURS_ATOL)):
        numbers = numbers_of(path, conv_shapes(case.cfg), case.cfg.all_layers)
        assert_equal(numbers, reference.trained, first, dict.fromkeys(numbers, atol))


def test_a_step_of_another_rate_is_no_question_of_rounding(trained):
    """The reference forgives nothing but choices: numbers that are off by a thousandth everywhere are refused."""
    _, _, reference = trained
    first = reference.gradients()
    off = {key: 1.003 * value for key, value in first[0].items()}
    atol = {key: GRADIENT_OF_MAX * float(np.abs(value).max()) for key, value in first[0].items()}
    with pytest.raises(AssertionError):
        assert_equal(off, reference.gradients, first, atol)


@pytest.mark.parametrize(("name", "program"), CLASSIFIERS)
def test_the_classifier_gives_the_programs_probabilities(shared, name, program):
    case = read_case(shared("oracle", name), program)
    detector = load_detector(case)
    absolute = detector.classify(tf.constant(case.images.transpose(0, 2, 3, 1))).numpy()
    softmax = case.numbers["infer_L08_softmax"].copy()  # conditional in each group
    for node in range(len(case.tree)):
        if case.tree.parent[node] >= 0:
            softmax[:, node] *= softmax[:, case.tree.parent[node]]
    np.testing.assert_allclose(absolute, softmax, atol=1e-5)


@pytest.mark.parametrize(("name", "program"), CLASSIFIERS)
def test_the_label_loss_has_the_programs_delta_and_masks_what_the_label_does_not_say(shared, name, program):
    case = read_case(shared("oracle", name), program)
    detector = load_detector(case)
    logits = tf.constant(case.numbers["train_L06_conv"].mean(axis=(2, 3)))
    with tf.GradientTape() as tape:
        tape.watch(logits)
        terms = label_losses(logits, batch_of(case), detector.tables, LossConfig())
        loss = tf.add_n([tf.reduce_sum(term) for term in terms.values()])
    delta = -tape.gradient(loss, logits).numpy()
    np.testing.assert_allclose(delta, case.numbers["delta_softmax"], atol=1e-5)
    truth = np.load(case.folder / "truth.npy")
    np.testing.assert_array_equal(delta[truth == case.facts["secret_num"]], 0)
    np.testing.assert_allclose((delta**2).sum(), case.numbers["cost"][0], rtol=1e-4)
    bias = case.numbers["grad_L06_b"]  # every place takes its share of the delta
    np.testing.assert_allclose(delta.sum(axis=0), bias, atol=1e-5)


@pytest.mark.parametrize(("name", "program"), CLASSIFIERS)
def test_the_classifiers_last_convolution_has_the_programs_gradient(shared, name, program):
    """What stands before it goes back through the other normalisation, and differs by up to 2 % of a tensor."""
    case = read_case(shared("oracle", name), program)
    found = as_darknets(parameter_gradients(load_detector(case), batch_of(case), 4), case)
    for key in ("grad_L06_w", "grad_L06_b"):
        expected = case.numbers[key]
        atol = GRADIENT_OF_MAX * np.abs(expected).max()
        np.testing.assert_allclose(found[key].reshape(expected.shape), expected, atol=atol, rtol=0, err_msg=key)


@pytest.mark.parametrize(("name", "program"), CLASSIFIERS)
def test_three_steps_of_a_classifier_end_with_the_programs_weights(shared, name, program, tmp_path):
    """Weights as for detectors; the means and variances, which hold 27 % of the batch's by then, at 5e-4."""
    case = read_case(shared("oracle", name), program)
    trainer = Trainer(case.experiment, case.tree)
    load_into(trainer.detector, case.folder / "init.weights")
    for step in range(case.facts["sgd_steps"]):
        trainer.train_step(batch_of(case), step)
    write_weights(tmp_path / "after.weights", Header(0, 1, 0, 12), weights_from(trainer.detector))
    expected = case.folder / f"{program}.after_steps.weights"
    compare_weights_files(tmp_path / "after.weights", expected, case, atol=WEIGHT_ATOL, statistics=False)
    compare_weights_files(tmp_path / "after.weights", expected, case, atol=5e-4)
