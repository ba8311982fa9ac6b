"""The rules of labels-only images against slow loops over slots."""

from __future__ import annotations

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

from detector.api import Batch  # noqa: E402
from detector.config import LossConfig  # noqa: E402
from detector.region.classes import FullClasses  # noqa: E402
from detector.region.slots import Predictions  # noqa: E402
from detector.supervision import Supervision  # noqa: E402
from detector.tree_softmax import tree_tables  # noqa: E402
from detector.weak.rules import RULES, weak_losses  # noqa: E402
from wordtree.tree import WordTree  # noqa: E402

PARENTS = [-1, -1, 0, 0, 1, 1, 2, 2]
TREE = WordTree([f"n{k:08d}" for k in range(len(PARENTS))], PARENTS)
IMAGES, SLOTS, LABELS = 3, 7, 2
BOXED = np.isin(np.arange(len(PARENTS)), [2])
NEAREST = Supervision(BOXED, BOXED[None]).nearest_boxed(TREE)


def case(seed=0):
    rng = np.random.default_rng(seed)
    object_logits = rng.normal(size=(IMAGES, SLOTS)).astype(np.float32) - 1
    class_logits = rng.normal(scale=2, size=(IMAGES, SLOTS, len(TREE))).astype(np.float32)
    sign = np.array([[1, 0], [1, 1], [1, 0]], np.int8)
    nodes = np.array([[6, 0], [4, 3], [5, 0]], np.int32)
    weight = np.array([[1, 0], [0.5, 1], [1, 0]], np.float32)
    has_boxes = np.array([False, False, True])  # the third image is boxed: its label teaches nothing here
    return object_logits, class_logits, nodes, sign, weight, has_boxes


def boxes_of(seed=5):
    corner = np.random.default_rng(seed).uniform(0, 0.6, (IMAGES, SLOTS, 2))
    side = np.random.default_rng(seed + 1).uniform(0.05, 0.9, (IMAGES, SLOTS, 2))  # some reach beyond the image
    return np.concatenate([corner, corner + side], -1).astype(np.float32)


def predictions_of(object_logits, class_logits):
    zeros = tf.zeros([IMAGES, SLOTS, 2])
    classes = FullClasses(class_logits, tree_tables(TREE))
    return Predictions(zeros, zeros, object_logits, tf.constant(boxes_of()), classes, None, None)


def run(rule, arrays, guide=None, **options):
    object_logits, class_logits, nodes, sign, weight, has_boxes = arrays
    logits = tf.Variable(object_logits), tf.Variable(class_logits)
    batch = Batch(None, None, None, None, *map(tf.constant, (has_boxes, nodes, sign, weight)))
    config = LossConfig(weak=rule, **options)
    with tf.GradientTape() as tape:
        predictions = predictions_of(logits[0].value(), logits[1].value())
        terms = weak_losses(predictions, batch, config=config, nearest_boxed=NEAREST, guide=guide)
        total = tf.reduce_sum(tf.add_n(list(terms.values())))
    gradients = tape.gradient(total, logits, unconnected_gradients="zero")
    return {name: value.numpy() for name, value in terms.items()}, [tf.convert_to_tensor(g).numpy() for g in gradients]


def sigmoid(x):
    return 1 / (1 + np.exp(-np.float64(x)))


def label_prob(logits, node):
    """P(node) of one slot: the product of softmaxes along the path."""
    prob = 1.0
    while node >= 0:
        siblings = [k for k, parent in enumerate(PARENTS) if parent == PARENTS[node]]
        values = np.exp(np.float64(logits[siblings]))
        prob *= values[siblings.index(node)] / values.sum()
        node = PARENTS[node]
    return prob


def chosen_slot(rule, objectness, class_logits, boxes, node):
    """The slot of one label, in words."""
    probs = np.array([label_prob(class_logits[s], node) for s in range(SLOTS)])
    if rule == "paper":
        return int(np.argmax(probs)), probs
    if rule == "objectness":
        return int(np.argmax(objectness)), probs
    if rule == "size":  # fewer slots than candidates: the largest of all, as far as it lies in the image
        height, width = (np.clip(boxes[:, k + 2], 0, 1) - np.clip(boxes[:, k], 0, 1) for k in (0, 1))
        return int(np.argmax(height * width)), probs
    if rule == "ancestor":
        while node >= 0 and node not in (0, 2):  # node 2 is boxed; its parent 0 is taught by the same boxes
            node = PARENTS[node]
        kind = np.array([label_prob(class_logits[s], node) for s in range(SLOTS)])  # 1 where there is no such ancestor
        return int(np.argmax(objectness * kind)), probs
    return int(np.argmax(objectness * probs)), probs


def slow(rule, arrays):
    """Loss of each image, in words: for each label choose a slot, then sum its terms."""
    object_logits, class_logits, nodes, sign, weight, has_boxes = arrays
    losses = np.zeros(IMAGES)
    for b in range(IMAGES):
        if has_boxes[b]:
            continue
        objectness = sigmoid(object_logits[b])
        chosen = set()
        labels = [k for k in range(LABELS) if sign[b, k] > 0]
        for k in labels[:1] if rule in ("release2017", "release2017_07", "head") else labels:
            slot, probs = chosen_slot(rule, objectness, class_logits[b], boxes_of()[b], nodes[b, k])
            if rule in ("marginal", "modern"):
                mixture = np.exp(np.float64(object_logits[b]))
                losses[b] -= weight[b, k] * np.log((mixture / mixture.sum() * probs).sum())
                continue
            chosen.add(slot)
            losses[b] -= weight[b, k] * np.log(probs[slot])
            if rule in ("paper", "release2017") and objectness[slot] < 0.3:
                losses[b] += weight[b, k] * 0.5 * 5 * (0.3 - objectness[slot]) ** 2
        if rule in ("release2017", "head"):
            losses[b] += sum(0.5 * objectness[s] ** 2 for s in range(SLOTS) if s not in chosen)
    return losses


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("seed", range(4))
def test_each_rule_equals_a_loop_over_slots(rule, seed):
    arrays = case(seed)
    terms, _ = run(rule, arrays)
    np.testing.assert_allclose(sum(terms.values()), slow(rule, arrays), atol=1e-5)


@pytest.mark.parametrize("rule", RULES)
def test_gradient_equals_finite_differences_of_the_loop(rule):
    arrays = case(1)
    _, (object_gradient, class_gradient) = run(rule, arrays)
    step = 1e-4
    for place, gradient in ((0, object_gradient), (1, class_gradient)):
        for index in [(0, 2), (1, 4), (2, 0), (0, 5)]:
            index = index if place == 0 else (*index, 6 if index[0] == 0 else 4)
            high, low = (list(arrays) for _ in "ab")
            for arrays_moved, sign in ((high, 1), (low, -1)):
                moved = arrays[place].astype(np.float64)
                moved[index] += sign * step
                arrays_moved[place] = moved
            expected = (slow(rule, high).sum() - slow(rule, low).sum()) / (2 * step)
            assert gradient[index] == pytest.approx(expected, abs=2e-4)


@pytest.mark.parametrize("rule", RULES)
def test_boxed_images_teach_nothing_here(rule):
    arrays = list(case())
    arrays[5] = np.full(IMAGES, True)
    terms, gradients = run(rule, arrays)
    assert all(np.all(value == 0) for value in terms.values())
    assert all(np.all(gradient == 0) for gradient in gradients)


@pytest.mark.parametrize("rule", ["release2017", "release2017_07", "head"])
@pytest.mark.parametrize("seed", range(3))
def test_gradient_is_the_delta_that_the_program_writes(rule, seed):
    """Its steps for an image with a label, one after another, in float64; delta is minus the gradient."""
    arrays = case(seed)
    object_logits, class_logits, nodes, sign, weight, has_boxes = arrays
    weight[:] = 1  # the programs know no confidence
    _, (object_gradient, class_gradient) = run(rule, arrays)
    for b in range(IMAGES):
        object_delta, class_delta = np.zeros(SLOTS), np.zeros((SLOTS, len(TREE)))
        if not has_boxes[b]:
            node = int(nodes[b, np.flatnonzero(sign[b] > 0)[0]])
            obj = sigmoid(object_logits[b])
            if rule != "release2017_07":
                object_delta = 1.0 * (0 - obj) * obj * (1 - obj)
            picked = int(np.argmax([obj[s] * label_prob(class_logits[b, s], node) for s in range(SLOTS)]))
            if rule == "release2017":
                object_delta[picked] = 5.0 * (0.3 - obj[picked]) * obj[picked] * (1 - obj[picked])
                object_delta[picked] = object_delta[picked] if obj[picked] < 0.3 else 0
            else:
                object_delta[picked] = 0
            while node >= 0:
                group = [k for k, parent in enumerate(PARENTS) if parent == PARENTS[node]]
                values = np.exp(np.float64(class_logits[b, picked, group]))
                class_delta[picked, group] = np.equal(group, node) - values / values.sum()
                node = PARENTS[node]
        np.testing.assert_allclose(-object_gradient[b], object_delta, atol=1e-5)
        np.testing.assert_allclose(-class_gradient[b], class_delta, atol=1e-5)


def test_groups_below_the_label_and_off_its_path_are_not_taught():
    arrays = list(case())
    arrays[2] = np.array([[2, 0], [2, 2], [0, 0]], np.int32)  # an inner node: children 6 and 7
    _, (_, gradient) = run("marginal", arrays)
    assert np.all(gradient[..., [4, 5, 6, 7]] == 0)
    assert np.any(gradient[..., [0, 1, 2, 3]] != 0)


def test_scales_switch_the_parts():
    full, _ = run("release2017", case())
    part, _ = run("release2017", case(), weak_object_scale=0.0, weak_scale=2.0)
    np.testing.assert_allclose(part["weak_class"], 2 * full["weak_class"])
    assert np.all(part["weak_object"] == 0)
    assert np.all(part["weak_no_object"] == 0)
    assert np.any(full["weak_no_object"] > 0)


def test_nearest_boxed_is_the_ancestor_that_boxes_teach():
    # node 2 is boxed: 2 itself and its parent 0 are taught; 6 and 7 lie below 2, 3 below 0; 1, 4 and 5 have none
    np.testing.assert_array_equal(NEAREST, [0, -1, 2, 0, -1, -1, 2, 2])


def test_absent_labels_push_the_likeliest_box_of_the_class_down():
    arrays = list(case())
    arrays[3] = np.array([[-1, 0], [0, 0], [-1, 0]], np.int8)  # one labels-only image and one boxed one
    terms, (_, gradient) = run("marginal", arrays, weak_negative_scale=2.0)
    expected = np.zeros(IMAGES)
    for b in (0, 2):
        objectness = sigmoid(arrays[0][b])
        joint = [objectness[s] * label_prob(arrays[1][b, s], arrays[2][b, 0]) for s in range(SLOTS)]
        expected[b] = -2 * arrays[4][b, 0] * np.log(1 - max(joint))
    np.testing.assert_allclose(terms["weak_absent"], expected, atol=1e-5)
    assert np.all(terms["weak_class"] == 0)
    assert np.all(gradient[1] == 0)
    assert np.any(gradient[2] != 0)


@pytest.mark.parametrize("q", [0.5, 1.0])
def test_robust_loss_is_the_generalised_cross_entropy(q):
    plain, _ = run("objectness", case())
    robust, _ = run("objectness", case(), weak_robust=q)
    first = [0, 2]  # images with one label: the loss is one log-probability
    probability = np.exp(-plain["weak_class"][first])
    np.testing.assert_allclose(robust["weak_class"][first], (1 - probability**q) / q, atol=1e-6)


def test_pseudo_objectness_pulls_sure_boxes_to_1():
    arrays = list(case())
    arrays[1][0, :, [0, 2, 6]] += 20  # the first image is sure of its label everywhere
    terms, (gradient, _) = run("ancestor", arrays, weak_pseudo=0.9)
    slot, _ = chosen_slot("ancestor", sigmoid(arrays[0][0]), arrays[1][0], boxes_of()[0], 6)
    np.testing.assert_allclose(terms["weak_pseudo"][0], 0.5 * 5 * (1 - sigmoid(arrays[0][0, slot])) ** 2, rtol=1e-5)
    assert gradient[0, slot] < 0
    assert np.count_nonzero(gradient[0]) == 1


@pytest.mark.parametrize("rule", ["paper", "head", "ancestor", "size"])
def test_a_teacher_chooses_the_boxes(rule):
    arrays, other = case(0), case(9)
    guide = predictions_of(tf.constant(other[0]), tf.constant(other[1]))
    terms, _ = run(rule, arrays, guide=guide)
    slot, _ = chosen_slot(rule, sigmoid(other[0][0]), other[1][0], boxes_of()[0], 6)
    np.testing.assert_allclose(terms["weak_class"][0], -np.log(label_prob(arrays[1][0, slot], 6)), rtol=1e-5)


def test_a_teachers_responsibilities_weigh_the_boxes_of_the_marginal():
    arrays, other = case(0), case(9)
    guide = predictions_of(tf.constant(other[0]), tf.constant(other[1]))
    terms, _ = run("marginal", arrays, guide=guide)

    def joint(logits, classes):
        mixture = np.exp(np.float64(logits))
        return mixture / mixture.sum() * np.array([label_prob(classes[s], 6) for s in range(SLOTS)])

    theirs = joint(other[0][0], other[1][0])
    expected = -(theirs / theirs.sum() * np.log(joint(arrays[0][0], arrays[1][0]))).sum()
    np.testing.assert_allclose(terms["weak_class"][0], expected, rtol=1e-5)
