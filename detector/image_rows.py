"""From an encoded image to the canvas of a batch: the part of the stream that TensorFlow runs, one image a call.

A JPEG that will be drawn at half its size or less is decoded at 1/2, 1/4 or 1/8: the decoder then leaves out most of
the inverse transform and all of the memory. The rest of the way is `detector.augment.pixels`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from detector.augment import Colour, Placement
from detector.augment.colour import never_distorts
from detector.augment.pixels import MOST_HALVINGS, finish_fused, sample_source
from detector.config import AugmentConfig, DataConfig
from detector.training_row import TrainingRow

JPEG = b"\xff\xd8\xff"


class ImageRow(NamedTuple):
    """An encoded image and what to do to it.

    Attributes:
        encoded: the file.
        halvings: i32, how often the decoder halves it.
        extent: f32[2], its height and width in pixels of the decoded picture, whose last ones may be covered in part.
        placement: f32[5], the numbers of a `Placement`.
        colour: f32[4], the numbers of a `Colour`.
        canvas: i32[2], (height, width) of the batch.
    """

    encoded: Any
    halvings: Any
    extent: Any
    placement: Any
    colour: Any
    canvas: Any


def image_row(
    row: TrainingRow, placement: Placement, colour: Colour, canvas: tuple[int, int], *, may_shrink: bool
) -> ImageRow:
    """What to do to the image of a row. Pure.

    Args:
        row: of the dataset.
        placement, colour: as chosen.
        canvas: (height, width).
        may_shrink: whether the law of sampling allows a smaller decoding.
    """
    halvings = 0
    if may_shrink and row.encoded[:3] == JPEG:
        shrinks = min(row.height / (placement.scale_y * canvas[0]), row.width / (placement.scale_x * canvas[1]))
        halvings = sum(shrinks >= 2**k for k in range(1, MOST_HALVINGS + 1))
    ratio = 2**halvings
    return ImageRow(
        row.encoded,
        np.int32(halvings),
        np.array([row.height / ratio, row.width / ratio], np.float32),
        np.array(placement, np.float32),
        np.array(colour, np.float32),
        np.array(canvas, np.int32),
    )


def signature(data: DataConfig, batch: int) -> tuple[tf.TensorSpec, ...]:
    """The arrays of a batch of rows: the fields of `ImageRow` and of `detector.targets.Targets`."""
    boxes, labels = data.max_boxes, data.max_labels
    shapes: list[tuple[list[int], Any]] = [
        ([], tf.string),
        ([], tf.int32),
        ([2], tf.float32),
        ([5], tf.float32),
        ([4], tf.float32),
        ([2], tf.int32),
        ([boxes, 4], tf.float32),
        ([boxes], tf.int32),
        ([boxes], tf.bool),
        ([], tf.bool),
        ([labels], tf.int32),
        ([labels], tf.int8),
        ([labels], tf.float32),
        ([], tf.int32),
        ([4], tf.float32),
    ]
    return tuple(tf.TensorSpec([batch, *shape], kind) for shape, kind in shapes)


def draw(row: ImageRow, augment: AugmentConfig | None, canvas: tuple[int, int] | None) -> tf.Tensor:
    """The picture of a row: f32[height, width, 3] in [0, 1].

    Args:
        row: tensors.
        augment: says the law of sampling, and whether colours can change at all.
        canvas: (height, width) where all batches have the same, so that shapes are known; None takes the row's.
    """
    law = "zoom" if augment is None else augment.mode
    decoders = [lambda: decode_pixels(row.encoded)]
    decoders += [lambda ratio=2**k: tf.io.decode_jpeg(row.encoded, 3, ratio) for k in range(1, MOST_HALVINGS + 1)]
    image = tf.switch_case(row.halvings, decoders if law == "zoom" else decoders[:1])
    image.set_shape([None, None, 3])
    extent = tf.where(row.halvings > 0, row.extent, tf.cast(tf.shape(image)[:2], tf.float32))
    drawn, rows, columns = sample_source(image, row.placement, canvas or row.canvas, law, extent)
    plain = augment is None or never_distorts(augment)
    return finish_fused(drawn, rows, columns, None if plain else row.colour, 1 / 255)


def decode_image(encoded: tf.Tensor) -> tf.Tensor:
    """Encoded JPEG, PNG, GIF (first frame) or BMP to f32[h, w, 3] in [0, 1]; grey and CMYK become RGB."""
    return tf.cast(decode_pixels(encoded), tf.float32) / 255.0


def decode_pixels(encoded: tf.Tensor) -> tf.Tensor:
    """The same as u8[h, w, 3]."""
    image = tf.io.decode_image(encoded, channels=3, expand_animations=False)
    image.set_shape([None, None, 3])
    return image


def first_line(error: tf.errors.OpError) -> str:
    """What TensorFlow says went wrong, without its graph."""
    text = str(error.message).split("[Op:")[0].split("{{")[-1].split("}}")[-1]
    return text.strip().splitlines()[0].strip() if text.strip() else "unreadable"
