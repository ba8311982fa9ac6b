"""Faster R-CNN as a detector: its losses, its answers, and that it learns."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, replace

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

from detector.api import Batch  # noqa: E402
from detector.architectures import build_detector  # noqa: E402
from detector.cli_train import add_train  # noqa: E402
from detector.config import (  # noqa: E402
    DecodeConfig,
    Experiment,
    LossConfig,
    ModelConfig,
    TrainConfig,
    TwoStageConfig,
    experiment_from_json,
    load_config,
)
from detector.dataset import open_dataset  # noqa: E402
from detector.evaluate import evaluate  # noqa: E402
from detector.run import open_run, write_tree  # noqa: E402
from detector.training.step import Trainer  # noqa: E402
from schemas.boxes import pairwise_iou  # noqa: E402
from schemas.errors import ConfigError  # noqa: E402
from tests.detector.conftest import TREE  # noqa: E402

ANCHORS = ((0.3, 0.3), (0.5, 0.5))
SMALL = ModelConfig(
    architecture="faster_rcnn", input_size=32, width=0.125, stages=4, output_stride=8, anchors=ANCHORS, num_anchors=2
)
DENSE = TwoStageConfig(
    cut=8,
    second_stage="dense",
    head_width=32,
    rpn_width=16,
    proposals=12,
    anchor_batch=16,
    cross_boundary=True,
    roi_batch=10,
    crop=4,
)


def experiment(*, model=None, two_stage=None, **loss):
    return Experiment(
        name="test",
        model=replace(SMALL, **(model or {})),
        loss=LossConfig(**{"weak": "marginal", **loss}),
        train=TrainConfig(batch_size=4, precision="float32"),
        two_stage=replace(DENSE, **(two_stage or {})),
    )


def make_batch(seed=0):
    """Two boxed and two labelled images; a crowd, an absent label."""
    rng = np.random.default_rng(seed)
    return Batch(
        images=tf.constant(rng.random((4, 32, 32, 3)), tf.float32),
        boxes=tf.constant([[[0.1, 0.1, 0.4, 0.5], [0.5, 0.4, 0.9, 0.9], [0, 0, 0, 0]]] * 4, tf.float32),
        nodes=tf.constant([[2, 1, 0], [0, -1, 0], [0, 0, 0], [0, 0, 0]]),
        box_mask=tf.constant([[True, True, False]] * 2 + [[False] * 3] * 2),
        has_boxes=tf.constant([True, True, False, False]),
        image_nodes=tf.constant([[0, 0], [0, 0], [2, 3], [3, 0]]),
        image_node_sign=tf.constant([[0, 0], [0, 0], [1, -1], [1, 0]], tf.int8),
        image_node_weight=tf.constant([[0.0, 0], [0, 0], [1, 1], [0.5, 0]]),
        source=tf.constant([0, 0, 1, 1]),
    )


def build(config, seed=0):
    tf.keras.utils.set_random_seed(seed)
    return build_detector(config, TREE)


def rows(batch, first, last):
    return Batch(*(None if field is None else field[first:last] for field in batch))


def test_losses_are_of_each_image_alone():
    detector, batch = build(experiment()), make_batch()
    whole = detector.losses(batch, training=False, images_seen=tf.constant(8))
    assert set(whole) == {"rpn_object", "rpn_box", "object", "box", "class", "weak_class", "weak_absent"}
    for b in range(4):
        alone = detector.losses(rows(batch, b, b + 1), training=False, images_seen=tf.constant(5 + b))
        for name, value in whole.items():
            assert value.shape == (4,)
            np.testing.assert_allclose(alone[name][0], value[b], rtol=1e-4, atol=1e-6, err_msg=name)
    boxed = ("rpn_object", "rpn_box", "object", "class")
    assert all(whole[name][0] > 0 and not whole[name][2:].numpy().any() for name in boxed)
    assert not whole["weak_class"][:2].numpy().any()
    assert (whole["weak_class"][2:].numpy() > 0).all()
    assert whole["weak_absent"][2] > 0


@pytest.mark.parametrize("weak", ["paper", "head", "ancestor", "size"])
def test_every_kind_of_rule_supervises_proposals(weak):
    detector, batch = build(experiment(weak=weak, weak_pseudo=0.1)), make_batch()
    with tf.GradientTape() as tape:
        terms = detector.losses(rows(batch, 2, 4), training=True, images_seen=tf.constant(2))
        total = tf.add_n([tf.reduce_sum(term) for term in terms.values()])
    variables = {w.path: w.value for w in detector.model.trainable_weights}
    gradients = tape.gradient(total, variables)
    assert np.any(tf.convert_to_tensor(gradients["region/class_kernel"]))
    assert np.any(gradients["conv01/kernel"])
    assert gradients["rpn/kernel"] is None or not np.any(gradients["rpn/kernel"])  # labels say nothing of boxes


def test_classes_on_demand_cost_what_all_classes_cost():
    batch, found = make_batch(), []
    for head in ("full", "gathered"):
        detector = build(experiment(model={"class_head": head}, label_smoothing=0.1, federated=0.5))
        with tf.GradientTape() as tape:
            terms = detector.losses(batch, training=False, images_seen=tf.constant(4))
            total = tf.add_n([tf.reduce_sum(term) for term in terms.values()])
        gradient = tape.gradient(total, detector.head.class_kernel.value)
        scores = detector.score_nodes(batch.images, [0, 3])[1]
        found.append((terms, tf.convert_to_tensor(gradient), scores))
    for name, value in found[0][0].items():
        np.testing.assert_allclose(found[1][0][name], value, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(found[1][1], found[0][1], atol=1e-5)
    np.testing.assert_allclose(found[1][2], found[0][2], atol=1e-5)


def test_a_teacher_chooses_among_the_same_rois():
    config, batch = experiment(weak="size", weak_teacher=True), make_batch()
    detector, teacher = build(config), build(config, seed=1)
    own = detector.losses(batch, training=False, images_seen=tf.constant(4), teacher=detector)
    none = detector.losses(batch, training=False, images_seen=tf.constant(4))
    other = detector.losses(batch, training=False, images_seen=tf.constant(4), teacher=teacher)
    np.testing.assert_allclose(own["weak_class"], none["weak_class"], rtol=1e-5)
    assert np.isfinite(other["weak_class"]).all()


def test_detections_are_the_best_of_the_scored_proposals():
    detector, batch = build(experiment()), make_batch()
    boxes, scores = (x.numpy() for x in detector.score_nodes(batch.images, [0, 1, 2, 3]))
    assert boxes.shape == (4, 12, 4)
    assert boxes.min() >= 0
    assert boxes.max() <= 1
    options = DecodeConfig(walk="map", nodes=(2, 3), threshold=0.01, iou_threshold=0.6, limit=5)
    found = detector.detect(batch.images, options)
    for b in range(4):
        assert found.mask[b, 0]
        best = scores[b, :, 2:].max(axis=1).argmax()
        np.testing.assert_allclose(found.boxes[b, 0], boxes[b, best], atol=1e-5)
        np.testing.assert_allclose(found.scores[b, 0], scores[b, best, 2:].max(), rtol=1e-4)
        assert found.nodes[b, 0] == 2 + scores[b, best, 2:].argmax()
        kept = found.boxes[b].numpy()[found.mask[b]]
        assert np.all(pairwise_iou(kept, kept)[~np.eye(len(kept), dtype=bool)] <= 0.6)


def test_fewer_proposals_at_inference_are_the_best_of_many():
    detector, batch = build(experiment()), make_batch()
    many = detector.predict(batch.images, training=False)
    detector.proposals = 4
    few = detector.predict(batch.images, training=False)
    assert few.boxes.shape == (4, 4, 4)
    np.testing.assert_allclose(few.boxes, many.boxes[:, :4], atol=1e-5)
    compiled = tf.function(
        lambda x: detector.predict(x, training=False).boxes, input_signature=[tf.TensorSpec([None, None, None, 3])]
    )
    np.testing.assert_allclose(compiled(batch.images), few.boxes, atol=1e-4)
    assert compiled(tf.zeros([1, 48, 64, 3])).shape == (1, 4, 4)  # another size of input


def test_the_model_is_one_network_with_all_weights():
    detector, batch = (
        build(experiment(model={"stages": 6, "output_stride": 8}, two_stage={"second_stage": "rest"})),
        make_batch(),
    )
    entries, region, vectors, boxes = detector.model(batch.images)
    found = detector.predict(batch.images, training=False)
    np.testing.assert_allclose(tf.reshape(region, [4, 12, 5])[..., 4], found.object_logits, atol=1e-4)
    assert entries.shape == (4, 4, 4, 2, 5)
    assert vectors.shape[:3] == (4, 12, 1)
    assert boxes.shape == (4, 12, 4)
    paths = [weight.path for weight in detector.model.weights]
    assert len(set(paths)) == len(paths)
    assert {"conv01/kernel", "conv18/kernel", "norm18/gamma", "rpn/kernel", "region/class_kernel"} <= set(paths)


def test_sigmoid_classes_and_sixteen_bits():
    batch = make_batch()
    terms = build(experiment(two_stage={"classes": "sigmoid"})).losses(batch, training=True, images_seen=tf.constant(4))
    assert terms["class"][0] > 0
    assert all(np.isfinite(term).all() for term in terms.values())
    tf.keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        detector = build(experiment())
        terms = detector.losses(batch, training=True, images_seen=tf.constant(4))
        assert all(term.dtype == tf.float32 and np.isfinite(term).all() for term in terms.values())
        assert detector.score_nodes(batch.images, [0])[1].dtype == tf.float32
    finally:
        tf.keras.mixed_precision.set_global_policy("float32")


def test_an_experiment_of_before_loads():
    old = asdict(load_config("tiny64"))
    del old["two_stage"]
    assert experiment_from_json(json.dumps(old)) == load_config("tiny64")
    assert load_config("tiny64", ["two_stage.anchor_iou=.2,.6"]).two_stage.anchor_iou == (0.2, 0.6)
    for words, bad in (("two_stage.cut", "cut=4"), ("two_stage.anchor_iou", "anchor_iou=.7,.3"), ("pool", "pool=3")):
        with pytest.raises(ConfigError, match=words):
            load_config("tiny64", [f"two_stage.{bad}"])


@pytest.mark.parametrize("name", ["faster_rcnn_resnet50", "faster_rcnn_vgg16", "faster_rcnn_resnet101"])
def test_published_settings(name):
    found = load_config(name)
    shapes = np.array(found.model.anchors) * [found.model.input_size, found.model.input_height]
    assert len(shapes) == 12
    np.testing.assert_allclose(sorted({round(float(w * h) ** 0.5) for w, h in shapes}), [64, 128, 256, 512])
    settings = found.two_stage
    assert (settings.proposals, settings.roi_batch, settings.crop, settings.pool) == (300, 64, 14, 2)


def test_what_does_not_fit_is_refused():
    for words, model, two_stage in (
        ("model.anchors", {"anchors": ()}, {}),
        ("two_stage.crop", {}, {"crop": 5}),
        ("multiples of 8", {"input_size": 36}, {}),
    ):
        with pytest.raises(ConfigError, match=words):
            build(experiment(model=model, two_stage=two_stage))


def test_train_and_evaluate_run(detection_set, label_set, fine_set, tree, tmp_path, capsys):
    write_tree(tree, tmp_path / "tree")
    parser = argparse.ArgumentParser()
    add_train(parser.add_subparsers())
    settings = {
        "model.input_size": 32,
        "model.width": 0.125,
        "train.steps": 2,
        "train.batch_size": 4,
        "train.warmup_steps": 0,
        "train.checkpoint_every": 2,
        "train.log_every": 1,
        "two_stage.head_width": 16,
        "two_stage.rpn_width": 16,
        "two_stage.proposals": 8,
    }
    words = ["train", "faster_rcnn_tiny64", "--data", detection_set, label_set, "--tree", tmp_path / "tree"]
    words += [
        "--out",
        tmp_path / "run",
        *(part for key, value in settings.items() for part in ("--set", f"{key}={value}")),
    ]
    for more in ("--dry-run",), ():
        args = parser.parse_args([str(word) for word in (*words, *more)])
        assert args.run(args) == 0
    assert "memory: about" in capsys.readouterr().out
    run = open_run(tmp_path / "run")
    assert run.experiment.two_stage.proposals == 8
    result = evaluate(run, open_dataset(fine_set), batch_size=4, log=lambda line: None)
    assert 0 <= result["summary"]["AP50"] <= 1


@pytest.mark.slow
def test_it_learns_a_batch_by_heart():
    size, rng = 64, np.random.default_rng(0)
    images = np.full((8, size, size, 3), 0.2, np.float32) + rng.random((8, size, size, 3)).astype(np.float32) * 0.1
    boxes, nodes, colours = np.zeros((8, 2, 4), np.float32), np.zeros((8, 2), np.int32), np.eye(3)
    for b in range(8):
        for m, (top, left) in enumerate(((2, 2 + 3 * (b % 4)), (34 - b % 3, 20 + 2 * b))):
            height, width = 18 + (5 * b + 7 * m) % 12, 16 + (3 * b + 4 * m) % 12
            nodes[b, m] = 1 + (b + m) % 3
            images[b, top : top + height, left : left + width] = colours[nodes[b, m] - 1]
            boxes[b, m] = np.array([top, left, min(top + height, size), min(left + width, size)]) / size
    batch = Batch(
        images=tf.constant(images),
        boxes=tf.constant(boxes),
        nodes=tf.constant(nodes),
        box_mask=tf.ones([8, 2], tf.bool),
        has_boxes=tf.ones([8], tf.bool),
        image_nodes=tf.zeros([8, 1], tf.int32),
        image_node_sign=tf.zeros([8, 1], tf.int8),
        image_node_weight=tf.zeros([8, 1]),
        source=tf.zeros([8], tf.int32),
    )
    steps = 200
    config = experiment(
        model={"input_size": size, "width": 0.25, "batch_norm_momentum": 0.9},
        two_stage={"proposals": 30, "roi_batch": 24, "head_width": 64, "rpn_width": 64, "anchor_batch": 32, "crop": 8},
        weak="off",
    )
    config = replace(config, train=TrainConfig(steps=steps, batch_size=8, learning_rate=2e-3, warmup_steps=10))
    trainer = Trainer(config, TREE)
    losses = [trainer.train_step(batch, step)["loss"] for step in range(steps)]
    assert np.mean(losses[-5:]) < losses[0] / 10, (losses[0], losses[-5:])
    found = trainer.detector.detect(batch.images, DecodeConfig(threshold=0.01, iou_threshold=0.5, suppression="class"))
    right, hits, precision = [], 0, []
    rows = [
        (float(found.scores[b, k]), b, int(found.nodes[b, k]), found.boxes[b, k].numpy())
        for b in range(8)
        for k in range(int(tf.reduce_sum(tf.cast(found.mask[b], tf.int32))))
    ]
    for rank, (_, b, node, box) in enumerate(sorted(rows, key=lambda row: -row[0]), start=1):
        overlap = pairwise_iou(box[None], boxes[b])[0]
        truth = int(overlap.argmax())
        if overlap[truth] >= 0.5 and nodes[b, truth] == node and (b, truth) not in right:
            right.append((b, truth))
            hits += 1
            precision.append(hits / rank)
    assert sum(precision) / 16 > 0.9, (len(right), precision)
