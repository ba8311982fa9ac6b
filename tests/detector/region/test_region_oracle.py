"""The region loss against numbers from the original program: every case R* of the oracle, boxed and labels-only."""

from __future__ import annotations

import json

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

from detector.api import Batch  # noqa: E402
from detector.config import LossConfig  # noqa: E402
from detector.region.classes import FullClasses  # noqa: E402
from detector.region.detection_loss import detection_losses  # noqa: E402
from detector.region.slots import decode_slots  # noqa: E402
from detector.tree_softmax import group_log_softmax, tree_tables  # noqa: E402
from detector.weak.rules import weak_losses  # noqa: E402
from tests.reference_data import oracle_runs  # noqa: E402
from wordtree.tree import WordTree  # noqa: E402

TOLERANCE = 1e-5
RULES = {"rel": "release2017", "headgpu": "head"}
CASES = oracle_runs("region", programs=tuple(RULES))
IMAGE_LABEL = 100_000  # darknet marks a row of a label without a box by coordinates beyond this


def read_tree_and_map(folder, classes):
    """The case's tree, or one group of all classes; and detection id to node."""
    if not (folder / "mini.tree").exists():
        return WordTree([f"c{k}" for k in range(classes)], [-1] * classes), np.arange(classes)
    rows = [line.split() for line in (folder / "mini.tree").read_text().splitlines()]
    tree = WordTree([name for name, _ in rows], [int(parent) for _, parent in rows])
    return tree, np.array((folder / "mini.map").read_text().split(), int)


def read_case(folder, program):
    case = json.loads((folder / "case.json").read_text())
    numbers = np.load(folder / f"{program}.npz")
    tree, to_node = read_tree_and_map(folder, case["classes"])
    grid = (case["grid_h"], case["grid_w"])
    truth = np.load(folder / "truth.npy")
    mask = np.cumprod(truth[..., 0] != 0, axis=1).astype(bool)  # the list ends at the first x == 0
    label = mask & (truth[..., 0] > IMAGE_LABEL)  # the class of such a row is a node of the tree
    boxed = mask & ~label
    x, y, w, h = np.moveaxis(truth[..., :4], -1, 0)
    boxes = np.where(boxed[..., None], np.stack([y - h / 2, x - w / 2, y + h / 2, x + w / 2], -1), 0)
    classes = np.where(mask, truth[..., 4], 0).astype(int)
    count = len(truth)
    batch = Batch(
        images=None,
        boxes=tf.constant(boxes, tf.float32),
        nodes=tf.constant(np.where(boxed, to_node[np.where(boxed, classes, 0)], 0), tf.int32),
        box_mask=tf.constant(boxed),
        has_boxes=tf.constant(~label.any(axis=1)),  # one label turns the whole image into a labels-only one
        image_nodes=tf.constant(np.where(label, classes, 0), tf.int32),
        image_node_sign=tf.constant(label.astype(np.int8)),
        image_node_weight=tf.constant(label.astype(np.float32)),
    )
    cfg = (folder / "net.cfg").read_text()
    config = LossConfig(
        small_box_weight=program != "rel",
        rescore="rescore=1" in cfg,
        bias_match="bias_match=1" in cfg,
        weak=RULES[program],
    )
    raw = np.load(folder / "input.npy").transpose(0, 2, 3, 1)
    logits = tf.constant(raw.reshape(*raw.shape[:3], -1, 5 + case["classes"]))  # [B, H, W, A, 5 + N]
    priors = tf.constant(case["anchors"], tf.float32)
    seen = tf.constant(case["seen_before_step"] + count)
    return logits, batch, config, tf.reshape(priors, [-1, 2]), grid, tree_tables(tree), seen, numbers


def predict(logits, priors, tables):
    shape = logits.shape
    classes = FullClasses(tf.reshape(logits[..., 5:], [shape[0], -1, shape[-1] - 5]), tables)
    return decode_slots(logits[..., :5], priors, classes)


@pytest.mark.parametrize(("name", "program"), CASES)
def test_gradient_of_the_loss_equals_darknets_delta(shared, name, program):
    logits, batch, config, priors, _, tables, seen, numbers = read_case(shared("oracle", name), program)
    nearest = np.full(tables.num_nodes, -1, np.int32)
    with tf.GradientTape() as tape:
        tape.watch(logits)
        predictions = predict(logits, priors, tables)
        terms = detection_losses(predictions, batch, config=config, images_seen=seen)
        terms |= weak_losses(predictions, batch, config=config, nearest_boxed=nearest)
        loss = tf.add_n([tf.reduce_sum(term) for term in terms.values()])
    gradient = tape.gradient(loss, logits).numpy()
    gradient = gradient.reshape(*gradient.shape[:3], -1).transpose(0, 3, 1, 2)
    np.testing.assert_allclose(-gradient, numbers["delta_logits"], atol=TOLERANCE)
    if program == "rel":  # what this program prints is the sum of the squares of these numbers
        np.testing.assert_allclose((gradient**2).sum(), numbers["cost"][0], rtol=1e-4)


@pytest.mark.parametrize(("name", "program"), CASES)
def test_activations_equal_darknets(shared, name, program):
    logits, _, _, priors, _, tables, _, numbers = read_case(shared("oracle", name), program)
    predictions = predict(logits, priors, tables)
    probs = tf.exp(group_log_softmax(predictions.classes.logits, tables))
    objectness = tf.sigmoid(predictions.object_logits)[..., None]
    found = tf.concat([predictions.offsets, predictions.sizes, objectness, probs], axis=-1)
    expected = numbers["train_region"].reshape(found.shape)
    np.testing.assert_allclose(found, expected, atol=TOLERANCE)
