"""The region loss against numbers from the original program (cases R1 to R5)."""

from __future__ import annotations

import json

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

from detector.api import Batch  # noqa: E402
from detector.architectures import yolov2  # noqa: E402
from detector.config import LossConfig  # noqa: E402
from detector.tree_softmax import group_log_softmax, tree_tables  # noqa: E402
from wordtree.tree import WordTree  # noqa: E402

TOLERANCE = 1e-5
CASES = [
    "R1_plain_det",
    "R2_plain_det_warmup",
    "R3_plain_det_norescore_nobiasmatch",
    "R4_tree_det",
    "R5_tree_det_warmup",
]
PROGRAMS = ["rel", "headgpu"]


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
    anchors = np.array(case["anchors"], np.float32).reshape(-1, 2) / [grid[1], grid[0]]
    truth = np.load(folder / "truth.npy")
    mask = np.cumprod(truth[..., 0] != 0, axis=1).astype(bool)  # the list ends at the first x == 0
    x, y, w, h = np.moveaxis(truth[..., :4], -1, 0)
    boxes = np.where(mask[..., None], np.stack([y - h / 2, x - w / 2, y + h / 2, x + w / 2], -1), 0)
    nodes = np.where(mask, to_node[np.where(mask, truth[..., 4], 0).astype(int)], 0)
    count = len(truth)
    batch = Batch(
        images=None,
        boxes=tf.constant(boxes, tf.float32),
        nodes=tf.constant(nodes, tf.int32),
        box_mask=tf.constant(mask),
        has_boxes=tf.constant([True] * count),
        image_nodes=tf.zeros([count, 1], tf.int32),
        image_node_sign=tf.zeros([count, 1], tf.int8),
        image_node_weight=tf.zeros([count, 1]),
    )
    cfg = (folder / "net.cfg").read_text()
    config = LossConfig(small_box_weight=program != "rel", rescore="rescore=1" in cfg, bias_match="bias_match=1" in cfg)
    logits = tf.constant(np.load(folder / "input.npy").transpose(0, 2, 3, 1))
    seen = tf.constant(case["seen_before_step"] + count)
    return logits, batch, config, tf.constant(anchors, tf.float32), grid, tree_tables(tree), seen, numbers


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("name", CASES)
def test_gradient_of_the_region_loss_equals_darknets_delta(shared, name, program):
    logits, batch, config, anchors, grid, tables, seen, numbers = read_case(shared("oracle", name), program)
    with tf.GradientTape() as tape:
        tape.watch(logits)
        predictions = yolov2.decode(logits, anchors)
        terms = yolov2.detection_losses(
            predictions, batch, config=config, anchors=anchors, grid=grid, tables=tables, images_seen=seen
        )
        loss = tf.add_n([tf.reduce_sum(term) for term in terms.values()])
    gradient = tape.gradient(loss, logits).numpy().transpose(0, 3, 1, 2)
    np.testing.assert_allclose(-gradient, numbers["delta_logits"], atol=TOLERANCE)
    if config.small_box_weight is False:  # what this program prints is the sum of the squares of these numbers
        np.testing.assert_allclose((gradient**2).sum(), numbers["cost"][0], rtol=1e-4)


@pytest.mark.parametrize("name", CASES)
def test_activations_equal_darknets(shared, name):
    logits, _, _, anchors, _, tables, _, numbers = read_case(shared("oracle", name), "rel")
    predictions = yolov2.decode(logits, anchors)
    probs = tf.exp(group_log_softmax(predictions.class_logits, tables))
    objectness = tf.sigmoid(predictions.object_logits)[..., None]
    found = tf.concat([predictions.offsets, predictions.sizes, objectness, probs], axis=-1)
    expected = numbers["train_region"].reshape(found.shape)
    np.testing.assert_allclose(found, expected, atol=TOLERANCE)
