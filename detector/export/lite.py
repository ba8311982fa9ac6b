"""Reads a .tflite file of `wordtree export` and decodes its raw output as the trained detector would."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from detector.architectures import traits_of
from detector.config import experiment_from_json
from detector.export.lite_file import LiteSignature, open_interpreter
from detector.export.lite_model import OUTPUTS, SIGNATURE
from detector.export.lite_slots import LiteSlots
from detector.export.lite_two_stage import LiteTwoStage
from detector.region.classes import FullClasses
from detector.region.slots import Predictions, decode_slots
from detector.tree_softmax import TreeTables, tree_tables
from schemas.errors import FormatError, InputError, TreeError
from wordtree.files import read_tree
from wordtree.tree import WordTree


class LiteNetwork:
    """The network in one file, behind floats.

    Args:
        path: of the .tflite file.
        threads: of the interpreter.

    Raises:
        InputError: there is no such file.
        FormatError: it is no TFLite file, or none of `wordtree export`.
    """

    def __init__(self, path: str | Path, threads: int = 2) -> None:
        self.path = Path(path)
        self._signature = LiteSignature(open_interpreter(path, threads), path, SIGNATURE, "images", OUTPUTS)
        self.canvas: tuple[int, int] = self._signature.shape[1], self._signature.shape[2]

    def run(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """The raw head of images f32[B, H, W, 3], one after another: `OUTPUTS` as in `detector.export.lite_model`."""
        return self._signature.run(images)


class LiteDetector(LiteSlots):
    """A .tflite file as a `Finder`.

    Args:
        network: the file.
        tree: its classes.
        priors: f32[A, 2] width and height in cells.
    """

    def __init__(self, network: LiteNetwork, tree: WordTree, priors: np.ndarray) -> None:
        self.network, self.tree = network, tree
        self.tables: TreeTables = tree_tables(tree)
        self.priors = tf.constant(np.asarray(priors, np.float32))

    def predict(self, images: tf.Tensor, *, training: bool = False, content: Any = None) -> Predictions:
        """Predictions of every slot for images f32[B, H, W, 3]; `content` is not used, as in YOLO9000."""
        xy, wh, objects, classes = tf.numpy_function(
            lambda pixels: [self.network.run(pixels)[name] for name in OUTPUTS], [images], [tf.float32] * 4
        )
        priors, nodes = int(self.priors.shape[0]), len(self.tree)
        xy, wh = (tf.ensure_shape(part, [None, None, None, priors, 2]) for part in (xy, wh))
        objects = tf.ensure_shape(objects, [None, None, None, priors])
        raw = tf.concat([xy, wh, objects[..., None]], axis=-1)
        logits = tf.reshape(classes, [tf.shape(raw)[0], -1, nodes])
        return decode_slots(raw, self.priors, FullClasses(logits, self.tables))


def open_lite(folder: str | Path, name: str = "model.tflite", threads: int = 2) -> LiteDetector | LiteTwoStage:
    """A .tflite file in a folder of `wordtree export`, with the tree and priors that lie beside it.

    Raises:
        InputError: there is no such folder or file.
        FormatError: a file is damaged.
        TreeError: the tree is not the one that was exported.
    """
    place = Path(folder)
    if not (place / "export.json").is_file():
        raise InputError(f"{place}: no export.json here; expected the --out of `wordtree export`")
    try:
        about = json.loads((place / "export.json").read_text())
        digest, priors = str(about["tree_digest"]), np.asarray(about["priors"], np.float32).reshape(-1, 2)
        two_stages = traits_of(about["experiment"]["model"]["architecture"]).two_stages
        middle = float(about.get("middle", 0.5))
    except (ValueError, KeyError, TypeError) as error:
        raise FormatError(f"{place}/export.json cannot be read ({error!r}); export it again") from error
    tree = read_tree(place / "tree")
    if tree.digest() != digest:
        raise TreeError(f"{place}/tree is {tree.digest()[:12]}, but the model was exported with {digest[:12]}")
    if two_stages:
        experiment = experiment_from_json(json.dumps(about["experiment"]), f"{place}/export.json")
        return LiteTwoStage(place / name, tree, priors, experiment, middle, threads)
    return LiteDetector(LiteNetwork(place / name, threads), tree, priors)
