"""What a data set never annotated is not taught as background, and the switches of the weak terms, by a detector."""

from __future__ import annotations

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

from detector.api import Batch  # noqa: E402
from detector.config import LossConfig  # noqa: E402
from detector.region.classes import FullClasses  # noqa: E402
from detector.region.slots import Predictions  # noqa: E402
from detector.supervision import Supervision, no_supervision  # noqa: E402
from detector.tree_softmax import tree_tables  # noqa: E402
from detector.weak.guidance import Guidance  # noqa: E402
from wordtree.tree import WordTree  # noqa: E402

PARENTS = [-1, -1, 0, 0, 1, 1]
TREE = WordTree([f"n{k:08d}" for k in range(len(PARENTS))], PARENTS)
SLOTS = 4


def predictions_of(seed=0):
    rng = np.random.default_rng(seed)
    classes = FullClasses(tf.constant(rng.normal(scale=2, size=(2, SLOTS, len(TREE))), tf.float32), tree_tables(TREE))
    logits = tf.constant(rng.normal(size=(2, SLOTS)), tf.float32)
    zeros = tf.zeros([2, SLOTS, 2])
    return Predictions(zeros, zeros, logits, tf.zeros([2, SLOTS, 4]), classes, None, None)


def probability(logits, node):
    found = 1.0
    while node >= 0:
        siblings = [k for k, parent in enumerate(PARENTS) if parent == PARENTS[node]]
        values = np.exp(np.float64(logits[siblings]))
        found *= values[siblings.index(node)] / values.sum()
        node = PARENTS[node]
    return found


def batch_of(sources=(0, 1)):
    signs = tf.constant([[1], [1]], tf.int8)
    return Batch(
        None, None, None, None, tf.constant([False, False]), tf.constant([[2], [4]]), signs, tf.ones([2, 1]),
        tf.constant(sources),
    )  # fmt: skip


def test_empty_slots_weigh_as_much_as_they_look_annotated():
    annotated = np.zeros((2, len(TREE)), bool)
    annotated[0, [2, 0]] = True  # the first set was searched for node 0 and, below it, node 2
    annotated[1, 5] = True
    guidance = Guidance(Supervision(annotated.any(axis=0), annotated), TREE)
    predictions = predictions_of()
    found = guidance.empty_weight(predictions, batch_of(), 0.1).numpy()
    logits = predictions.classes.logits.numpy()
    for slot in range(SLOTS):
        assert found[0, slot] == pytest.approx(max(0.1, probability(logits[0, slot], 0)), rel=1e-5)
        assert found[1, slot] == pytest.approx(max(0.1, probability(logits[1, slot], 5)), rel=1e-5)


def test_all_slots_weigh_alike_where_nothing_is_known_or_asked():
    assert Guidance(no_supervision(TREE), TREE).empty_weight(predictions_of(), batch_of(), 0.1) is None
    known = np.ones((1, len(TREE)), bool)
    assert Guidance(Supervision(known[0], known), TREE).empty_weight(predictions_of(), batch_of(), 1.0) is None


@pytest.mark.parametrize(("step", "factor"), [(4, 0.0), (5, 1.0), (6, 1.0)])
def test_labels_teach_from_their_first_step_on(step, factor):
    guidance = Guidance(no_supervision(TREE), TREE)
    always = guidance.weak_terms(predictions_of(), batch_of(), LossConfig(weak="head"), tf.constant(step))
    late = guidance.weak_terms(predictions_of(), batch_of(), LossConfig(weak="head", weak_after=5), tf.constant(step))
    for name, value in always.items():
        np.testing.assert_allclose(late[name], factor * value)


def test_off_has_no_terms():
    assert (
        Guidance(no_supervision(TREE), TREE).weak_terms(predictions_of(), batch_of(), LossConfig(weak="off"), 0) == {}
    )
