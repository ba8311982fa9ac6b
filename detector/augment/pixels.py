"""Draws the canvas from an image and its placement: bilinear, one law of sampling for each mode.

- "zoom": pixel centres at i + 0.5, the border pixels' outer halves are image too. An image that shrinks to less than
  half is first averaged over blocks of 2, 4 or 8 pixels, which is what a JPEG decoder does when it is asked for a
  smaller picture; so a picture decoded small and one decoded whole look the same.
- "darknet": place_image: pixel x of n shows the source at x * w / n, zero beyond its last pixel; n and the corner are
  rounded down to whole pixels.
- "release2017": crop_image and resize_image: the corners of a window of whole pixels lie on those of the canvas, and
  the image's border goes on outside.

What no pixel covers is grey, 0.5. `detector.augment.darknet` is the oracle of the last two.
"""

from __future__ import annotations

import functools
from typing import Any, Literal

import tensorflow as tf

from detector.augment.colour import distort

Law = Literal["zoom", "darknet", "release2017"]
MOST_HALVINGS = 3
_WHOLE = 1e-3  # a side of 415.9999 pixels is one of 416


def as_canvas(size: Any) -> tuple[Any, Any]:
    """(height, width) from the side of a square, a pair, or i32[2]."""
    if isinstance(size, int):
        return size, size
    if isinstance(size, tuple | list):
        return int(size[0]), int(size[1])
    pair = tf.convert_to_tensor(size)
    return (pair, pair) if pair.shape.rank == 0 else (pair[0], pair[1])


def place_image(image: tf.Tensor, placement: tf.Tensor, size: Any, law: Law = "zoom") -> tf.Tensor:
    """Draw an image on a grey canvas.

    Args:
        image: f32[h, w, 3] in [0, 1], or u8[h, w, 3].
        placement: f32[5], the numbers of a `Placement`.
        size: of the canvas in pixels: a side, (height, width), or i32[2].
        law: of sampling.

    Returns:
        f32[height, width, 3] in [0, 1].
    """
    image = tf.convert_to_tensor(image)
    if tf.executing_eagerly():  # thirty small operations, one by one, would cost as much as the sampling
        canvas = tf.stack([tf.cast(side, tf.int32) for side in as_canvas(size)])
        return _traced(image.dtype, law)(image, tf.convert_to_tensor(placement), canvas)
    return _place(image, placement, size, law)


def _place(image: tf.Tensor, placement: tf.Tensor, size: Any, law: Law) -> tf.Tensor:
    drawn, rows, columns = sample_source(image, placement, size, law)
    return finish(drawn, rows, columns, None, 1 / 255 if image.dtype == tf.uint8 else 1.0)


@functools.cache
def _traced(dtype: tf.DType, law: Law) -> Any:
    """`_place` as one graph for images of all sizes."""
    specs = (tf.TensorSpec([None, None, 3], dtype), tf.TensorSpec([5], tf.float32), tf.TensorSpec([2], tf.int32))
    return tf.function(lambda image, placement, size: _place(image, placement, size, law), input_signature=specs)


def halvings(size: Any, placement: tf.Tensor, canvas: tuple[Any, Any]) -> tf.Tensor:
    """How often the source, f32[2] (height, width), is halved before sampling by the law "zoom": i32 0 to 3."""
    drawn = placement[0:2] * tf.cast(tf.stack(canvas), tf.float32)
    shrinks = tf.reduce_min(size / drawn) * (1 + 1e-6)
    steps = [shrinks >= 2.0**k for k in range(1, MOST_HALVINGS + 1)]
    return tf.add_n([tf.cast(step, tf.int32) for step in steps])


def sample_source(
    image: tf.Tensor, placement: tf.Tensor, size: Any, law: Law = "zoom", extent: tf.Tensor | None = None
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """The canvas before its last stretch, which `finish` is.

    Args:
        image: u8 or f32[h, w, 3].
        placement, size, law: see `place_image`.
        extent: f32[2] how many of its rows and columns the picture takes, where the last ones are covered in part
            only, as after decoding 375 rows as 47 blocks of 8; None for all.

    Returns:
        f32[height, width, 3] in the image's unit, and which rows, bool[height], and columns, bool[width], are covered.
    """
    canvas = as_canvas(size)
    covered: Any = tf.cast(tf.shape(image)[:2], tf.float32) if extent is None else extent
    if law == "zoom":
        image, covered = _shrunk(image, covered, halvings(covered, placement, canvas))
    side = tf.shape(image)[:2]
    (at_y, rows), (at_x, columns) = (
        _axis(law, canvas[k], covered[k], placement[k], placement[2 + k]) for k in range(2)
    )
    flip = placement[4] > 0.5
    ends = tf.stack([at_y[0], at_x[0], at_y[-1], at_x[-1]])
    before, after = tf.ones([2], tf.int32), tf.ones([2], tf.int32)
    if law == "release2017":
        last = tf.cast(side, tf.float32) - 1
        before += tf.cast(tf.math.ceil(tf.maximum(-tf.minimum(ends[:2], ends[2:]), 0)), tf.int32)
        after += tf.cast(tf.math.ceil(tf.maximum(tf.maximum(ends[:2], ends[2:]) - last, 0)), tf.int32)
    edged = _edged(image, before, after, zero=law == "darknet")
    top, left = tf.unstack(tf.cast(before, tf.float32))
    reach = tf.cast(tf.shape(edged)[:2], tf.float32) - 1
    box = (ends + tf.stack([top, left, top, left])) / tf.concat([reach, reach], 0)
    box = tf.where(flip, tf.gather(box, [0, 3, 2, 1]), box)
    columns = tf.where(flip, columns[::-1], columns)
    drawn = tf.image.crop_and_resize(edged[None], box[None], [0], tf.stack(canvas))[0]
    if all(isinstance(length, int) for length in canvas):
        drawn.set_shape([*canvas, 3])
    return drawn, rows, columns


def _axis(law: Law, length: Any, source: Any, scale: Any, shift: Any) -> tuple[tf.Tensor, tf.Tensor]:
    """Where each pixel of one side of the canvas lies in the source, in pixels, and whether it does."""
    index = tf.range(length, dtype=tf.int32)
    at, size = tf.cast(index, tf.float32), tf.cast(length, tf.float32)
    if law == "zoom":
        relative = ((at + 0.5) / size - shift) / scale
        return relative * source - 0.5, (relative >= 0) & (relative <= 1)
    if law == "darknet":
        drawn = tf.maximum(tf.floor(scale * size + _WHOLE), 1)
        corner = tf.floor(shift * size + _WHOLE)
        return (at - corner) / drawn * source, (at >= corner) & (at < corner + drawn)
    window = tf.round(source / scale)
    corner = tf.round(-shift * window)
    return corner + at * ((window - 1) / tf.maximum(size - 1, 1)), tf.ones_like(index, tf.bool)


def _shrunk(image: tf.Tensor, extent: tf.Tensor, steps: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Averages over blocks of 2^steps pixels; the border goes on where the last blocks are not full."""

    def by(ratio: int) -> Any:
        def shrink() -> tf.Tensor:
            rest = -tf.shape(image)[:2] % ratio
            whole = tf.cast(_edged(image, tf.zeros_like(rest), rest, zero=False), tf.float32)
            mean = tf.nn.avg_pool2d(whole[None], ratio, ratio, "VALID")[0]
            return tf.cast(tf.round(mean), image.dtype) if image.dtype == tf.uint8 else mean

        return shrink

    small = tf.switch_case(steps, [lambda: image, *(by(2**k) for k in range(1, MOST_HALVINGS + 1))])
    return small, extent / tf.cast(2**steps, tf.float32)


def _edged(image: tf.Tensor, before: tf.Tensor, after: tf.Tensor, *, zero: bool) -> tf.Tensor:
    """The image with so many rows and columns more on each side: its border pixels once more, or zeros.

    Joins slices: tf.pad's mirror costs three times the decoding of a JPEG.
    """
    for axis in range(2):
        first, last = (image[:1], image[-1:]) if axis == 0 else (image[:, :1], image[:, -1:])
        if zero:
            first, last = tf.zeros_like(first), tf.zeros_like(last)
        times = [tf.ones([3], tf.int32) + tf.one_hot(axis, 3, dtype=tf.int32) * (n[axis] - 1) for n in (before, after)]
        image = tf.concat([tf.tile(first, times[0]), image, tf.tile(last, times[1])], axis)
    return image


def finish(
    drawn: tf.Tensor, rows: tf.Tensor, columns: tf.Tensor, colour: tf.Tensor | None, unit: float = 1.0
) -> tf.Tensor:
    """The last stretch: unit, grey where nothing was drawn, colours.

    Args:
        drawn, rows, columns: from `sample_source`; what is covered is one rectangle.
        colour: f32[4], the numbers of a `Colour`, or None for none.
        unit: times which the pixels are in [0, 1].

    Returns:
        f32[height, width, 3] in [0, 1].
    """
    shape = tf.shape(drawn)[:2]
    size = tf.stack([tf.reduce_sum(tf.cast(side, tf.int32)) for side in (rows, columns)])
    corner = tf.stack([tf.argmax(side, output_type=tf.int32) for side in (rows, columns)])
    inside = tf.slice(drawn, [corner[0], corner[1], 0], [size[0], size[1], 3]) * unit
    around = tf.pad(tf.stack([corner, shape - corner - size], axis=1), [[0, 1], [0, 0]])
    image = tf.ensure_shape(tf.pad(inside, around, constant_values=0.5), drawn.shape)
    return image if colour is None else distort(image, colour)


@tf.function(jit_compile=True)
def finish_fused(
    drawn: tf.Tensor, rows: tf.Tensor, columns: tf.Tensor, colour: tf.Tensor | None, unit: float
) -> tf.Tensor:
    """`finish` as one loop over the canvas: a tenth of the time. Compiled once for each size of the canvas."""
    image = tf.where((rows[:, None] & columns[None, :])[..., None], drawn * unit, 0.5)
    return image if colour is None else distort(image, colour)
