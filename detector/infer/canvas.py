"""Where an image lies on the network's canvas: whole, its aspect ratio kept, grey around it.

Two laws: "plain" as in our own training (pixel centres at i + 0.5), "darknet" as in darknet's letterbox, whose drawn
image has whole pixels, which is resized corner to corner and so gives published weights the pixels they know. Both draw
it as large as the canvas allows. A number instead is the plain law where the image's shorter side gets at most so many
pixels (model.shorter_side). "stretched" is darknet's resize over the whole canvas, as its program of 2017 did it.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from detector.augment import Placement, darknet_letterbox, letterbox, place_image, resize_darknet
from detector.augment.darknet import darknet_letterbox_size
from detector.config import ModelConfig

Fit = Literal["plain", "darknet", "stretched"] | int


def fit_of(model: ModelConfig) -> Fit:
    """How a network wants its images: one with a .cfg as darknet shows them."""
    if model.cfg:
        return "stretched" if model.stretched else "darknet"
    return model.shorter_side or "plain"


def placement(height: int, width: int, canvas: tuple[int, int], fit: Fit) -> Placement:
    """Where an image of height x width pixels lies on a canvas (height, width).

    "darknet" follows `correct_region_boxes`: the longer side fills the canvas, the other is cut to whole pixels, and
    the margin on either side is half of what is left, also where that is no whole number.
    """
    if fit == "stretched":
        return Placement(1.0, 1.0, 0.0, 0.0, False)
    if fit != "darknet":
        return letterbox(height, width, canvas, 0 if fit == "plain" else fit)
    tall, wide = canvas
    drawn_h, drawn_w = darknet_letterbox_size(height, width, canvas)
    return Placement(drawn_h / tall, drawn_w / wide, (tall - drawn_h) / 2 / tall, (wide - drawn_w) / 2 / wide, False)


def draw(image: NDArray[np.uint8], canvas: tuple[int, int], fit: Fit) -> NDArray[np.float32]:
    """An image u8[h, w, 3] on its canvas: f32[H, W, 3] in [0, 1]."""
    if fit == "darknet":
        return np.asarray(darknet_letterbox(image.astype(np.float32) / 255.0, canvas), np.float32)
    if fit == "stretched":
        return np.asarray(resize_darknet(image.astype(np.float32) / 255.0, *canvas), np.float32)
    place = placement(image.shape[0], image.shape[1], canvas, fit)
    with tf.device("/CPU:0"):
        drawn = place_image(tf.constant(image), tf.constant(np.array(place, np.float32)), canvas)
    return drawn.numpy()
