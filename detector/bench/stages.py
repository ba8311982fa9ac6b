"""A detector's inference up to the end of each of its stages, for the stopwatch: the difference of two is a stage.

two stages   first stage | proposals | second stage | names      first map and anchors' boxes; suppression; crops
one stage    network     | names                                 and what is said of them; walk and suppression

The last stage, photo, ends with the whole inference and is added by the stopwatch's user (`detector.bench.one_arm`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from detector.api import Finder, Localizer
from detector.config import DecodeConfig

Compute = Callable[[Any], Any]


def inference(detector: Finder, options: DecodeConfig) -> Compute:
    """Images f32[1, H, W, 3] to detections."""
    return lambda images: list(detector.detect(images, options))


def cumulative_stages(detector: Localizer, options: DecodeConfig) -> dict[str, Compute]:
    """By name, in the order in which they run; each is computed from the images on."""
    return {**detector.stages(), "names": inference(detector, options)}


def compiled(compute: Compute, canvas: tuple[int, int]) -> Callable[[Any], None]:
    """A call on an image f32[1, H, W, 3] that returns when everything is computed."""
    signature = [tf.TensorSpec([1, *canvas, 3], tf.float32)]

    def tensors(images: tf.Tensor) -> list[tf.Tensor]:
        return [part for part in tf.nest.flatten(compute(images)) if tf.is_tensor(part)]

    function = tf.function(tensors, input_signature=signature)

    def call(image: Any) -> None:
        for part in function(image):
            part.numpy()

    return call
