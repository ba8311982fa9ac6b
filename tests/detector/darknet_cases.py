"""Runs whole networks of the oracle: its .cfg and .weights read, its numbers by layer, by parameter, by step."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from detector.api import Batch
from detector.config import Experiment
from detector.darknet.cfg import DarknetCfg, parse_cfg
from detector.darknet.classes import classes_of
from detector.darknet.experiment import experiment_from_cfg
from detector.darknet.keras_weights import load_into
from detector.darknet.run import build_network
from detector.darknet.shapes import conv_shapes
from detector.darknet.weights import read_weights
from detector.networks.layers import AvgPool, Conv, Dropout, MaxPool, Reorg
from detector.region.classes import FullClasses
from detector.region.detection_loss import detection_losses
from detector.region.slots import decode_slots
from detector.tree_softmax import tree_tables
from detector.weak.rules import weak_losses
from wordtree.tree import WordTree

PROGRAMS = {"rel": "release2017", "head": "head", "headgpu": "head"}
IMAGE_LABEL = 100_000  # a row of a label without a box has coordinates beyond this
LAYER_ATOL, LOGIT_ATOL, GRADIENT_OF_MAX, WEIGHT_ATOL = 5e-5, 5e-5, 1e-3, 1e-4  # from the program's numbers


class Case(NamedTuple):
    """One folder of the oracle, read."""

    folder: Path
    facts: dict[str, Any]
    cfg: DarknetCfg
    experiment: Experiment
    tree: WordTree
    to_node: np.ndarray
    images: np.ndarray
    numbers: dict[str, np.ndarray]


def read_case(folder: Path, program: str) -> Case:
    """A case as one program computed it."""
    facts = json.loads((folder / "case.json").read_text())
    text = (folder / "net.cfg").read_text()
    experiment, _ = experiment_from_cfg(text, where=str(folder / "net.cfg"), program=PROGRAMS[program])
    cfg = parse_cfg(text)
    tree, _ = classes_of(cfg, str(folder / "net.cfg"))
    steps = {"learning_rate": facts["lr"], "momentum": facts["momentum"], "weight_decay": facts["decay"]}
    seen = facts.get("seen_before_first_step", 0)
    prior_images = max(experiment.loss.prior_images - seen, 0)  # a run here counts from 0
    experiment = replace(
        experiment,
        train=replace(experiment.train, batch_size=facts["batch"], checkpoint_every=20, **steps),
        loss=replace(experiment.loss, prior_images=prior_images),
    )
    with_map = facts["tree"] and cfg.region is not None
    to_node = np.array((folder / "mini.map").read_text().split(), int) if with_map else np.arange(len(tree))
    with np.load(folder / f"{program}.npz") as file:
        numbers = dict(file)
    return Case(folder, facts, cfg, experiment, tree, to_node, np.load(folder / "input.npy"), numbers)


def load_detector(case: Case) -> Any:
    """The case's network with its first weights."""
    detector = build_network(case.experiment, case.tree, str(case.folder))
    load_into(detector, case.folder / "init.weights")
    return detector


def divide_as_on_a_cpu(detector: Any) -> None:
    """Shift the variances so that sqrt(v + 1e-5) becomes sqrt(v) + 1e-6, as the programs have it on a CPU."""
    for layer in detector.model.layers:
        if layer.name.startswith("norm"):
            variance = np.asarray(layer.moving_variance, np.float64)
            layer.moving_variance.assign((np.sqrt(variance) + 1e-6) ** 2 - 1e-5)


def batch_of(case: Case) -> Batch:
    """The images and the truth: boxes and image labels of a detector, labels of a classifier."""
    images = tf.constant(case.images.transpose(0, 2, 3, 1))
    count = len(case.images)
    if case.cfg.region is None:
        labels = np.array(case.facts["labels"], np.int32)[:, None]
        nowhere = np.zeros((count, 1, 4), np.float32)
        return _batch(images, nowhere, np.zeros((count, 1)), np.zeros((count, 1), bool), labels, labels >= 0)
    truth = np.load(case.folder / "truth.npy")
    mask = np.cumprod(truth[..., 0] != 0, axis=1).astype(bool)  # the list ends at the first x == 0
    label = mask & (truth[..., 0] > IMAGE_LABEL)
    boxed = mask & ~label
    x, y, w, h = np.moveaxis(truth[..., :4], -1, 0)
    boxes = np.where(boxed[..., None], np.stack([y - h / 2, x - w / 2, y + h / 2, x + w / 2], -1), 0)
    classes = np.where(mask, truth[..., 4], 0).astype(int)
    nodes = np.where(boxed, case.to_node[np.where(boxed, classes, 0)], 0)
    return _batch(images, boxes, nodes, boxed, np.where(label, classes, 0), label)


def _batch(images: Any, boxes: Any, nodes: Any, box_mask: Any, image_nodes: Any, label: Any) -> Batch:
    return Batch(
        images=images,
        boxes=tf.constant(boxes, tf.float32),
        nodes=tf.constant(nodes, tf.int32),
        box_mask=tf.constant(box_mask),
        has_boxes=tf.constant(~label.any(axis=1)),
        image_nodes=tf.constant(image_nodes, tf.int32),
        image_node_sign=tf.constant(label.astype(np.int8)),
        image_node_weight=tf.constant(label.astype(np.float32)),
        source=tf.zeros([len(boxes)], tf.int32),
    )


def head_logits(detector: Any, features: Any) -> np.ndarray:
    """What darknet's last convolution gives for features [B, H, W, F]: [B, C, H, W]."""
    layers = {layer.name: layer for layer in detector.model.layers}
    if region := layers.get("region"):
        raw = region(features)
        batch, height, width, priors, _ = raw.shape
        classes = tf.reshape(region.class_logits(features), [batch, height, width, priors, -1])
        logits = tf.reshape(tf.concat([raw, classes], axis=-1), [batch, height, width, -1])
    else:
        logits = layers["classes"](features)
    return logits.numpy().transpose(0, 3, 1, 2)


def layer_outputs(detector: Any, case: Case, images: np.ndarray) -> list[np.ndarray]:
    """The output of every layer of the .cfg before its head, in inference, as [B, C, H, W]."""
    import keras

    layers = {layer.name: layer for layer in detector.model.layers}
    outputs: list[Any] = []
    convolutions = 0
    for index, layer in enumerate(case.cfg.layers):
        if isinstance(layer, Conv):
            convolutions += 1
            names = [f"{part}{convolutions:02d}" for part in ("act", "norm", "conv")]
            outputs.append(next(layers[name].output for name in names if name in layers))
        elif isinstance(layer, MaxPool | Reorg | AvgPool | Dropout):
            kind = {MaxPool: "pool", Reorg: "reorg", AvgPool: "mean", Dropout: "dropout"}[type(layer)]
            outputs.append(layers[f"{kind}_{index:02d}"].output)
        else:
            name = f"route_{index:02d}"
            outputs.append(layers[name].output if name in layers else outputs[layer.layers[0]])
    model = keras.Model(detector.model.inputs, outputs)
    found = model(tf.constant(images.transpose(0, 2, 3, 1)), training=False)
    return [tensor.numpy().transpose(0, 3, 1, 2) for tensor in found]


def parameter_gradients(detector: Any, batch: Batch, images_seen: int) -> dict[str, np.ndarray]:
    """Gradients of the loss summed over the batch, by the variable's path, with batch normalisation in training."""
    variables = detector.model.trainable_variables
    with tf.GradientTape() as tape:
        terms = detector.losses(batch, training=True, images_seen=tf.constant(images_seen))
        loss = tf.add_n([tf.reduce_sum(term) for term in terms.values()])
    gradients = tape.gradient(loss, [variable.value for variable in variables])
    return {variable.path: tf.convert_to_tensor(g).numpy() for variable, g in zip(variables, gradients, strict=True)}


def loss_of_logits(case: Case, batch: Batch) -> Any:
    """The project's loss, summed over the batch, as a function of logits f32[B, H, W, C] and the images seen."""
    tables, priors = tree_tables(case.tree), tf.reshape(tf.constant(case.facts["anchors"], tf.float32), [-1, 2])
    config, nodes = case.experiment.loss, len(case.tree)

    def loss(logits: tf.Tensor, images_seen: int) -> tf.Tensor:
        images, height, width, _ = logits.shape
        raw = tf.reshape(logits, [images, height, width, len(priors), 5 + nodes])
        classes = FullClasses(tf.reshape(raw[..., 5:], [images, -1, nodes]), tables)
        predictions = decode_slots(raw[..., :5], priors, classes)
        terms = detection_losses(predictions, batch, config=config, images_seen=tf.constant(images_seen))
        terms |= weak_losses(predictions, batch, config=config, nearest_boxed=np.full(nodes, -1, np.int32))
        return tf.add_n([tf.reduce_sum(term) for term in terms.values()])

    return loss


def as_darknets(gradients: dict[str, np.ndarray], case: Case) -> dict[str, np.ndarray]:
    """Gradients by darknet's names and in its layout: grad_Lxx_w, _b and _scale, with its sign."""
    found: dict[str, np.ndarray] = {}
    convolutions = [index for index, layer in enumerate(case.cfg.all_layers) if isinstance(layer, Conv)]
    by_end = {path.split("/", 1)[-1] if path.count("/") > 1 else path: value for path, value in gradients.items()}
    for number, index in enumerate(convolutions[:-1], 1):
        conv, norm, key = f"conv{number:02d}", f"norm{number:02d}", f"grad_L{index:02d}"
        found[f"{key}_w"] = -by_end[f"{conv}/kernel"].transpose(3, 2, 0, 1)
        if f"{norm}/beta" in by_end:
            found[f"{key}_b"], found[f"{key}_scale"] = -by_end[f"{norm}/beta"], -by_end[f"{norm}/gamma"]
        else:
            found[f"{key}_b"] = -by_end[f"{conv}/bias"]
    key = f"grad_L{convolutions[-1]:02d}"
    if "region/box_kernel" in by_end:
        boxes, classes = by_end["region/box_kernel"].transpose(1, 2, 0), by_end["region/class_kernel"]
        kernel = np.concatenate([boxes, classes], axis=1)
        found[f"{key}_w"] = -kernel.reshape(-1, kernel.shape[-1], 1, 1)
        found[f"{key}_b"] = -np.concatenate([by_end["region/box_bias"], by_end["region/class_bias"]], axis=1).ravel()
    else:
        found[f"{key}_w"], found[f"{key}_b"] = -by_end["classes/kernel"].transpose(3, 2, 0, 1), -by_end["classes/bias"]
    return found


def compare_weights_files(found: Path, expected: Path, case: Case, *, atol: float, statistics: bool = True) -> float:
    """Compare two .weights files float by float; returns the largest difference."""
    shapes = conv_shapes(case.cfg)
    worst = 0.0
    files = read_weights(found, shapes), read_weights(expected, shapes)
    for mine, theirs in zip(files[0].layers, files[1].layers, strict=True):
        for name in ("biases", "scales", "means", "variances", "kernel"):
            a, b = getattr(mine, name), getattr(theirs, name)
            if a is None or (name in ("means", "variances") and not statistics):
                continue
            np.testing.assert_allclose(a, b, rtol=0, atol=atol, err_msg=f"{mine.shape} {name}")
            worst = max(worst, float(np.abs(a - b).max()))
    return worst
