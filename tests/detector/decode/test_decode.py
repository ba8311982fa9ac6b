"""Whole decoding: pruning changes nothing, every rule equals a loop over boxes, and the original program agrees."""

from __future__ import annotations

import dataclasses
import json
from typing import NamedTuple

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

from detector.config import DecodeConfig  # noqa: E402
from detector.decode import check_decode, decode_detections  # noqa: E402
from detector.decode.prune import likely_slots  # noqa: E402
from detector.region.classes import FullClasses, gathered_classes  # noqa: E402
from detector.region.head import RegionHead  # noqa: E402
from detector.region.slots import decode_slots  # noqa: E402
from detector.tree_softmax import tree_tables  # noqa: E402
from schemas.boxes import pairwise_iou  # noqa: E402
from schemas.errors import ConfigError  # noqa: E402
from tests.reference_data import oracle_cases  # noqa: E402
from wordtree import probability  # noqa: E402
from wordtree.tree import WordTree  # noqa: E402

PARENTS = [-1, -1, 0, 0, 2, 2, 1, 1, 1, 4, 4]
TREE = WordTree([f"n{k:08d}" for k in range(len(PARENTS))], PARENTS)
GRID, PRIORS = (3, 4), 2


class Slots(NamedTuple):
    """Predictions as decoding needs them."""

    object_logits: object
    boxes: object
    classes: object


def random_slots(seed, batch=2, spread=2.0):
    rng = np.random.default_rng(seed)
    slots = GRID[0] * GRID[1] * PRIORS
    low = rng.random((batch, slots, 2)) * 0.7 - 0.05
    boxes = np.concatenate([low, low + 0.1 + 0.4 * rng.random((batch, slots, 2))], axis=2).astype(np.float32)
    logits = rng.normal(scale=2, size=(batch, slots, len(TREE))).astype(np.float32)
    objects = rng.normal(-1, spread, size=(batch, slots)).astype(np.float32)
    return Slots(tf.constant(objects), tf.constant(boxes), FullClasses(tf.constant(logits), tree_tables(TREE)))


def related(a, b, suppression):
    if suppression == "class":
        return a == b
    return suppression == "any" or a in TREE.path(b) or b in TREE.path(a)


def slow_decode(slots, image, options):
    """Every slot, one at a time; then every pair of boxes."""
    tree = TREE
    conditional = probability.group_log_softmax(slots.classes.logits.numpy()[image].astype(np.float64), tree)
    absolute = np.exp(probability.path_log_probs(conditional, tree))
    boxes = slots.boxes.numpy()[image]
    found = []
    for slot, logit in enumerate(slots.object_logits.numpy()[image]):
        objectness = 1 / (1 + np.exp(-np.float64(logit)))
        probs = absolute[slot]
        if options.walk in ("thesis", "darknet"):
            node, _ = probability.walk(probs[None], tree, options.walk_threshold, rule=options.walk)
            names = [int(node[0])]
        else:
            chosen = options.walk in ("map", "topk") and options.nodes
            listed = options.nodes if chosen else np.flatnonzero(tree.is_leaf)
            names = sorted(listed, key=lambda node: -probs[node])[: options.top if options.walk == "topk" else 1]
        for node in names:
            score = objectness if options.walk == "darknet" else objectness * probs[node]
            if score > options.threshold:
                found.append((score, int(node), boxes[slot]))
    found.sort(key=lambda row: -row[0])
    kept = []
    for row in found:
        if len(kept) < options.limit and all(
            not related(row[1], other[1], options.suppression)
            or pairwise_iou(row[2][None], other[2][None])[0, 0] <= options.iou_threshold
            for other in kept
        ):
            kept.append(row)
    cut = [(score, node, np.clip(box, 0, 1)) for score, node, box in kept]
    return [row for row in cut if (row[2][2:] > row[2][:2]).all()]


WALKS = [
    {"walk": "thesis"},
    {"walk": "thesis", "walk_threshold": 0.2},
    {"walk": "darknet", "walk_threshold": 0.3},
    {"walk": "map", "nodes": (9, 2, 6, 3)},
    {"walk": "leaves"},
    {"walk": "topk", "top": 3},
    {"walk": "topk", "top": 2, "nodes": (0, 1, 4)},
]


@pytest.mark.parametrize("suppression", ["any", "class", "subtree"])
@pytest.mark.parametrize("rule", WALKS, ids=lambda rule: "-".join(str(value) for value in rule.values()))
def test_every_rule_equals_a_loop_over_boxes(rule, suppression):
    for seed, threshold, limit in ((0, 0.02, 100), (1, 0.2, 100), (2, 0.0, 100), (3, 0.1, 3)):
        slots = random_slots(seed)
        options = DecodeConfig(**rule, suppression=suppression, threshold=threshold, iou_threshold=0.3, limit=limit)
        found = decode_detections(slots, options)
        for image in range(2):
            expected = slow_decode(slots, image, options)
            keep = found.mask[image].numpy()
            assert keep.sum() == len(expected)
            assert not keep[len(expected) :].any()
            np.testing.assert_array_equal(found.nodes[image].numpy()[keep], [row[1] for row in expected])
            np.testing.assert_allclose(found.scores[image].numpy()[keep], [row[0] for row in expected], rtol=1e-4)
            np.testing.assert_array_equal(
                found.boxes[image].numpy()[keep], np.reshape([row[2] for row in expected], (-1, 4)).astype(np.float32)
            )


def test_gathered_classes_give_the_same_detections_as_all_classes():
    head = RegionHead(PRIORS, len(TREE))
    rng = np.random.default_rng(5)
    features = tf.constant(rng.normal(size=(2, *GRID, 8)).astype(np.float32))
    raw = head(features)
    priors = tf.constant([[1.0, 1.5], [2.0, 1.0]])
    full = FullClasses(head.class_logits(features), tree_tables(TREE))
    gathered = gathered_classes(features, head, tree_tables(TREE))
    for rule in WALKS:
        options = DecodeConfig(**rule, threshold=0.3, suppression="subtree")
        a, b = (decode_detections(decode_slots(raw, priors, classes), options) for classes in (full, gathered))
        assert a.mask.numpy().any()
        for one, other in zip(a, b, strict=True):
            np.testing.assert_allclose(one, other, atol=1e-5)


def test_slots_that_are_not_likely_are_left_out_and_a_cap_keeps_the_likeliest():
    logits = tf.constant([[-3.0, 2.0, -1.0, 3.0, 1.0], [-3.0, -3.0, 0.5, -3.0, -3.0]])
    slots, likely = likely_slots(logits, 0.5)
    np.testing.assert_array_equal(slots[0], [1, 3, 4])
    np.testing.assert_array_equal(slots[1][likely[1]], [2])
    capped, likely = likely_slots(logits, 0.5, candidates=2)
    np.testing.assert_array_equal(capped[0], [1, 3])
    assert likely.numpy().sum() == 3
    none, likely = likely_slots(logits - 10, 0.5)
    assert none.shape == (2, 1)
    assert not likely.numpy().any()


def test_with_fixed_shapes_the_detections_are_the_same_while_the_candidates_suffice():
    slots, options = random_slots(7), DecodeConfig(walk_threshold=0.3)
    whole, capped = decode_detections(slots, options), decode_detections(slots, options, candidates=1000)
    for one, other in zip(whole, capped, strict=True):
        np.testing.assert_array_equal(one, other)


def test_decoding_is_kept_by_a_saved_model_for_any_batch(tmp_path):
    tables = tree_tables(TREE)
    options = DecodeConfig(walk_threshold=0.3, suppression="subtree", threshold=0.05)

    class Module(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None, None, *last]) for last in ([], [4], [11])])
        def __call__(self, objects, boxes, logits):
            return decode_detections(Slots(objects, boxes, FullClasses(logits, tables)), options)._asdict()

    tf.saved_model.save(Module(), str(tmp_path / "saved"))
    loaded = tf.saved_model.load(str(tmp_path / "saved"))
    for batch in (1, 3):
        slots = random_slots(batch, batch)
        found = loaded(slots.object_logits, slots.boxes, slots.classes.logits)
        assert found["mask"].numpy().any()
        for name, value in decode_detections(slots, options)._asdict().items():
            np.testing.assert_array_equal(found[name], value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"threshold": 1.5}, "threshold is 1.5; expected a number from 0 to 1"),
        ({"limit": 0}, "limit is 0; expected 1 or more"),
        ({"walk": "map"}, "walk 'map' has no nodes"),
        ({"walk": "down"}, "walk is 'down'; expected one of thesis"),
        ({"suppression": "all"}, "suppression is 'all'; expected one of any"),
        ({"nodes": (3, 11)}, "node 11 is not in the tree; expected nodes from 0 to 10"),
        ({"nodes": (3, 3)}, "node 3 is named twice"),
    ],
)
def test_options_that_make_no_sense_are_refused(change, words):
    with pytest.raises(ConfigError, match=words):
        check_decode(dataclasses.replace(DecodeConfig(), **change), 11)


def read_case(folder, program):
    """The case's own logits of image 0, with its tree or a flat one."""
    case = json.loads((folder / "case.json").read_text())
    numbers = np.load(folder / f"{program}.npz")
    classes = case["classes"]
    if (folder / "mini.tree").exists():
        rows = [line.split() for line in (folder / "mini.tree").read_text().splitlines()]
        tree = WordTree([name for name, _ in rows], [int(parent) for _, parent in rows])
    else:
        tree = WordTree([f"c{k}" for k in range(classes)], [-1] * classes)
    name = "region_input_logits" if "region_input_logits" in numbers else "region_input_logits_infer"
    logits = numbers[name][:1].transpose(0, 2, 3, 1)
    priors = np.array(case["anchors"], np.float32).reshape(-1, 2)
    logits = logits.reshape(*logits.shape[:3], len(priors), 5 + classes)
    scores = FullClasses(tf.constant(logits[..., 5:].reshape(1, -1, classes)), tree_tables(tree))
    return case, decode_slots(tf.constant(logits[..., :5]), tf.constant(priors), scores), classes, numbers


CASES = oracle_cases("region", "detector")


@pytest.mark.parametrize("nms", [False, True])
@pytest.mark.parametrize("name", CASES)
def test_detections_equal_the_program_of_the_paper(shared, name, nms):
    """Flat: each class of a box by itself, suppressed per class. Tree: one name a box, suppressed whatever it is."""
    case, slots, classes, numbers = read_case(shared("oracle", name), "rel")
    options = DecodeConfig(
        walk="darknet" if case["tree"] else "topk",
        top=classes,
        threshold=case["dets_thresh"],
        walk_threshold=case["dets_hier"],
        suppression="any" if case["tree"] else "class",
        iou_threshold=case["nms"] if nms else 1.0,
        limit=10_000,
    )
    found = decode_detections(slots, options)
    keep = found.mask[0].numpy()
    kind = "nms" if nms else "raw"
    boxes, probs = numbers[f"dets_img0_boxes_{kind}"], numbers[f"dets_img0_probs_{kind}"]
    rows, nodes = np.nonzero(probs)
    x, y, w, h = boxes[rows, :4].T
    expected = np.stack([y - h / 2, x - w / 2, y + h / 2, x + w / 2], axis=1).clip(0, 1)  # as ours are cut, behind
    assert len(rows) == keep.sum()
    order = np.argsort(-probs[rows, nodes], kind="stable")
    np.testing.assert_array_equal(found.nodes[0].numpy()[keep], nodes[order])
    np.testing.assert_allclose(found.scores[0].numpy()[keep], probs[rows, nodes][order], atol=1e-5)
    np.testing.assert_allclose(found.boxes[0].numpy()[keep], expected[order], atol=1e-5)
