"""Classes that are gathered equal classes that are all computed: values and gradients, for deep and for flat trees."""

from __future__ import annotations

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

from detector.region.classes import FullClasses, gathered_classes  # noqa: E402
from detector.region.head import RegionHead  # noqa: E402
from detector.tree_softmax import tree_tables  # noqa: E402
from wordtree.tree import WordTree  # noqa: E402

IMAGES, HEIGHT, WIDTH, PRIORS, FEATURES = 2, 2, 3, 2, 6
SLOTS = HEIGHT * WIDTH * PRIORS
DEEP = [-1, -1, 0, 0, 0, 1, 1, 2, 2, 7, 10 - 1]
TREES = {"deep": DEEP, "flat": [-1] * 9, "chain": [-1, 0, 1, 2]}


def make(name, spread=3.0):
    parents = TREES[name]
    tree = WordTree([f"n{k:08d}" for k in range(len(parents))], parents)
    rng = np.random.default_rng(len(parents))
    head = RegionHead(PRIORS, len(tree))
    features = tf.constant(rng.normal(size=(IMAGES, HEIGHT, WIDTH, FEATURES)), tf.float32)
    head(features)
    head.class_kernel.assign(rng.normal(scale=spread, size=head.class_kernel.shape))
    head.class_bias.assign(rng.normal(size=head.class_bias.shape))
    slots = tf.constant(rng.integers(0, SLOTS, (IMAGES, 4)), tf.int32)
    nodes = tf.constant(rng.integers(0, len(tree), (IMAGES, 4)), tf.int32)
    mask = tf.constant([[True, True, False, True], [False, True, True, True]])
    return tree, head, features, tree_tables(tree), slots, nodes, mask


def both(name, ask):
    """`ask` of both forms: value, gradient of the features, of the table and of its biases."""
    _, head, features, tables, slots, nodes, mask = make(name)
    results = []
    for gathered in (False, True):
        with tf.GradientTape() as tape:
            tape.watch(features)
            if gathered:
                scores = gathered_classes(features, head, tables)
            else:
                scores = FullClasses(head.class_logits(features), tables)
            value = ask(scores, slots, nodes, mask)
            weights = tf.reshape(tf.cos(tf.range(tf.size(value), dtype=tf.float32)), tf.shape(value))
            total = tf.reduce_sum(value * weights)
        sources = [features, head.class_kernel.value, head.class_bias.value]
        gradients = [tf.convert_to_tensor(g).numpy() for g in tape.gradient(total, sources)]
        results.append([value.numpy(), *gradients])
    return results


QUESTIONS = {
    "levels": lambda scores, slots, nodes, mask: scores.levels(slots, nodes, mask),
    "smoothed levels": lambda scores, slots, nodes, mask: scores.levels(slots, nodes, mask, 0.2),
    "paths": lambda scores, slots, nodes, mask: scores.path_log_probs(nodes, mask),
    "all paths": lambda scores, slots, nodes, mask: scores.path_log_probs(nodes),
    "conditional": lambda scores, slots, nodes, mask: scores.conditional(slots),
    "fixed": lambda scores, slots, nodes, mask: scores.fixed(np.array([3, 0, 2], np.int32)),
}


@pytest.mark.parametrize("question", QUESTIONS)
@pytest.mark.parametrize("name", TREES)
def test_gathered_equals_full(name, question):
    full, gathered = both(name, QUESTIONS[question])
    for a, b in zip(full, gathered, strict=True):
        np.testing.assert_allclose(b, a, atol=2e-5)


def test_values_equal_a_loop_in_float64():
    tree, head, features, tables, slots, nodes, mask = make("deep", spread=30.0)  # logits hundreds apart
    found = gathered_classes(features, head, tables).levels(slots, nodes, mask).numpy()
    cells = features.numpy().reshape(IMAGES, -1, FEATURES).astype(np.float64)
    for b in range(IMAGES):
        for m in range(4):
            expected = np.zeros(found.shape[-1])
            cell, prior = divmod(int(slots[b, m]), PRIORS)
            logits = head.class_kernel.numpy()[prior] @ cells[b, cell] + head.class_bias.numpy()[prior]
            node = int(nodes[b, m]) if mask[b, m] else -1
            while node >= 0:
                group = logits[tree.group == tree.group[node]]
                expected[tree.depth[node]] = logits[node] - group.max() - np.log(np.exp(group - group.max()).sum())
                node = tree.parent[node]
            np.testing.assert_allclose(found[b, m], expected, rtol=1e-4, atol=1e-3)


def test_nothing_supervised_gives_zeros_and_no_gradient():
    _, head, features, tables, slots, nodes, mask = make("deep")
    scores = gathered_classes(features, head, tables)
    with tf.GradientTape() as tape:
        tape.watch(features)
        value = scores.levels(slots, nodes, tf.zeros_like(mask)), scores.path_log_probs(nodes, tf.zeros_like(mask))
        total = tf.add_n([tf.reduce_sum(part) for part in value])
    gradients = tape.gradient(total, [features, head.class_kernel.value], unconnected_gradients="zero")
    assert all(np.all(part.numpy() == 0) for part in value)
    assert all(np.all(tf.convert_to_tensor(g).numpy() == 0) for g in gradients)
