"""The network as a TFLite file: float32, float16 weights, or integers throughout.

The file holds the layers up to the raw head; `detector.export.lite` decodes what it gives. Four outputs, since in an
integer file each output has one scale: sizes and objectness differ by an order of magnitude, and one scale for both
would lose the finer.

    images   [1, H, W, 3]      RGB in [0, 1], letterboxed
    xy, wh   [1, h, w, A, 2]   t_x, t_y and t_w, t_h
    object   [1, h, w, A]      t_o
    classes  [1, h, w, A, N]   logits, before the softmax over each group of siblings

In the integer file all five are int8 with their scale and zero point in the file, convolution kernels have a scale for
each channel, and scales of what flows between layers come from example images.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import tempfile
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Protocol

import keras
import numpy as np
import tensorflow as tf

from schemas.errors import ConfigError

KINDS = ("float32", "float16", "int8")
OUTPUTS = ("xy", "wh", "object", "classes")
SIGNATURE = "serving_default"


class LiteModule(Protocol):
    """What becomes a TFLite file: `RawNetwork`, or `detector.export.lite_two_stage.RawTwoStage`."""

    def signatures(self) -> dict[str, Any]:
        """By name, as `tf.saved_model.save` takes them."""
        ...

    def examples(self, images: Iterable[np.ndarray]) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
        """Signatures and what goes into them, of images f32[H, W, 3]."""
        ...


class RawNetwork(tf.Module):
    """Images f32[1, H, W, 3] to the raw head, as plain convolutions that every TFLite runtime has.

    Args:
        model: with outputs box entries and features, and a layer "region" (`detector.region.head`).
        canvas: (H, W).
    """

    def __init__(self, model: keras.Model, canvas: tuple[int, int]) -> None:
        super().__init__(name="raw_network")
        head: Any = model.get_layer("region")
        self.weights = [weight.value for weight in model.weights]
        self._model = keras.Model(model.inputs, model.outputs[1])
        self._canvas = canvas
        box, bias = np.asarray(head.box_kernel), np.asarray(head.box_bias)
        classes, class_bias = np.asarray(head.class_kernel), np.asarray(head.class_bias)
        self._kernels = {
            "xy": (box[:, :, 0:2], bias[:, 0:2]),
            "wh": (box[:, :, 2:4], bias[:, 2:4]),
            "object": (box[:, :, 4:5], bias[:, 4:5]),
            "classes": (classes.transpose(2, 0, 1), class_bias),
        }
        images = tf.TensorSpec([1, *canvas, 3], tf.float32, name="images")
        self.run = tf.function(self._run, input_signature=[images])

    def signatures(self) -> dict[str, Any]:
        """By name, as `tf.saved_model.save` takes them."""
        return {SIGNATURE: self.run}

    def examples(self, images: Iterable[np.ndarray]) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
        """What it will see, for the scales of an integer file, of images f32[H, W, 3]."""
        return ((SIGNATURE, {"images": image[None]}) for image in images)

    def _run(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        features = tf.cast(self._model(images, training=False), tf.float32)
        height, width, channels = features.shape[1:]
        found = {}
        for name, (kernel, bias) in self._kernels.items():
            _, priors, entries = kernel.shape
            filters = tf.constant(kernel.reshape(1, 1, channels, priors * entries))
            raw = tf.nn.bias_add(tf.nn.conv2d(features, filters, 1, "VALID"), tf.constant(bias.reshape(-1)))
            shape = [1, height, width, priors] if name == "object" else [1, height, width, priors, entries]
            found[name] = tf.reshape(raw, shape)
        return found


def convert(
    network: LiteModule, kind: str, examples: Iterable[np.ndarray] | None = None, *, scratch: Path | None = None
) -> bytes:
    """The content of a .tflite file.

    Args:
        network: to convert.
        kind: one of `KINDS`.
        examples: of int8: images f32[H, W, 3] as the network will see them; a hundred will do.
        scratch: folder for a temporary SavedModel.

    Raises:
        ConfigError: int8 without examples.
    """
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        signatures = network.signatures()
        tf.saved_model.save(network, folder, signatures=signatures)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=list(signatures))
        if kind != "float32":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if kind == "float16":
            converter.target_spec.supported_types = [tf.float16]
        if kind == "int8":
            images = [] if examples is None else list(examples)
            if not images:
                raise ConfigError("tflite-int8 needs example images to choose its scales; give some with --calibration")
            converter.representative_dataset = lambda: network.examples(images)
            converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
            converter.inference_input_type = tf.int8
            converter.inference_output_type = tf.int8
        with quiet():
            return converter.convert()


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without what the converter and the interpreter tell on standard error; TF_CPP_MIN_LOG_LEVEL=0 shows it."""
    if os.environ.get("TF_CPP_MIN_LOG_LEVEL") == "0":
        yield
        return
    sys.stderr.flush()
    saved = os.dup(2)
    try:
        with open(os.devnull, "wb") as sink, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            os.dup2(sink.fileno(), 2)
            yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)


def write_lite(network: LiteModule, kind: str, path: Path, examples: Iterable[np.ndarray] | None = None) -> None:
    """Write a .tflite file under a temporary name first."""
    partial = path.with_name(f".{path.name}.partial")
    partial.write_bytes(convert(network, kind, examples))
    shutil.move(partial, path)
