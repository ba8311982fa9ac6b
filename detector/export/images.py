"""From an encoded image to the network's canvas, in the graph: the twins of what `wordtree detect` does beforehand.

The ways to lay an image on the canvas are those of `detector.infer.canvas`: "plain" as our own training does, with or
without a limit of the shorter side, "darknet" and "stretched" as the networks with a .cfg know it. In the graph the law
is `detector.augment`'s, step by step in the same arithmetic.
"""

from __future__ import annotations

import tensorflow as tf

from detector.augment import place_image
from detector.infer.canvas import Fit, fit_of

__all__ = ["Fit", "decode", "draw", "fit_of", "letterbox", "resize_darknet"]


def draw(encoded: tf.Tensor, canvas: tuple[int, int], fit: Fit) -> tuple[tf.Tensor, tf.Tensor]:
    """An encoded JPEG, PNG, BMP or GIF (its first frame) on the canvas.

    Args:
        encoded: string[].
        canvas: (height, width) in pixels.
        fit: how.

    Returns:
        f32[H, W, 3] in [0, 1], and f64[4] scale_y, scale_x, shift_y, shift_x: a place of the image, in shares of its
        sides, times scale plus shift is the place on the canvas.
    """
    image = decode(encoded)
    rows, columns = tf.shape(image)[0], tf.shape(image)[1]
    if fit == "darknet":
        return _letterbox_darknet(image, rows, columns, canvas)
    if fit == "stretched":
        drawn = resize_darknet(tf.cast(image, tf.float32) / 255.0, *map(tf.constant, canvas))
        return tf.ensure_shape(drawn, [*canvas, 3]), tf.constant([1.0, 1.0, 0.0, 0.0], tf.float64)
    placement = letterbox(rows, columns, canvas, 0 if fit == "plain" else fit)
    row = tf.concat([tf.cast(placement, tf.float32), [0.0]], axis=0)
    return tf.ensure_shape(place_image(image, row, canvas), [*canvas, 3]), placement


def decode(encoded: tf.Tensor) -> tf.Tensor:
    """string[] to u8[h, w, 3] RGB, with the exact cosine transform for a JPEG, as Pillow takes."""
    image = tf.cond(
        tf.io.is_jpeg(encoded),
        lambda: tf.io.decode_jpeg(encoded, channels=3, dct_method="INTEGER_ACCURATE"),
        lambda: tf.io.decode_image(encoded, channels=3, expand_animations=False),
    )
    return tf.ensure_shape(image, [None, None, 3])


def letterbox(rows: tf.Tensor, columns: tf.Tensor, canvas: tuple[int, int], shorter: int = 0) -> tf.Tensor:
    """The twin of `detector.augment.letterbox` for an image of i32[] rows and columns: f64[4] scales and shifts."""
    aspect = tf.cast(columns, tf.float64) / tf.cast(rows, tf.float64)
    relative = aspect * canvas[0] / canvas[1]
    one = tf.ones_like(relative)
    scale = tf.where(relative < 1, tf.stack([one, relative]), tf.stack([1 / relative, one]))
    if shorter:
        drawn = tf.reduce_min(scale * tf.constant(canvas, tf.float64))
        scale *= tf.minimum(shorter / drawn, one)
    return tf.concat([scale, (1 - scale) / 2], axis=0)


def _letterbox_darknet(
    image: tf.Tensor, rows: tf.Tensor, columns: tf.Tensor, canvas: tuple[int, int]
) -> tuple[tf.Tensor, tf.Tensor]:
    """The twin of `darknet_letterbox`, and the placement that `correct_region_boxes` takes for boxes."""
    tall, wide = canvas
    by_width = wide / tf.cast(columns, tf.float32) < tall / tf.cast(rows, tf.float32)
    height = tf.where(by_width, tf.maximum(rows * wide // columns, 1), tall)
    width = tf.where(by_width, wide, tf.maximum(columns * tall // rows, 1))
    drawn = resize_darknet(tf.cast(image, tf.float32) / 255.0, height, width)
    top, left = (tall - height) // 2, (wide - width) // 2
    edges = tf.stack(
        [tf.stack([top, tall - height - top]), tf.stack([left, wide - width - left]), tf.zeros([2], tf.int32)]
    )
    drawn = tf.ensure_shape(tf.pad(drawn, edges, constant_values=0.5), [*canvas, 3])
    scale = tf.cast(tf.stack([height, width]), tf.float64) / tf.constant([tall, wide], tf.float64)
    return drawn, tf.concat([scale, (1 - scale) / 2], axis=0)


def resize_darknet(image: tf.Tensor, height: tf.Tensor, width: tf.Tensor) -> tf.Tensor:
    """The twin of `detector.augment.resize_darknet`: f32[h, w, c] to f32[height, width, c], corners on corners."""
    rows, columns = tf.shape(image)[0], tf.shape(image)[1]
    low, share = _corners(columns, width)
    low = tf.minimum(low, tf.maximum(columns - 2, 0))
    share = share[None, :, None]
    after = tf.gather(image, tf.minimum(low + 1, columns - 1), axis=1)
    part = (1 - share) * tf.gather(image, low, axis=1) + share * after
    part = tf.concat([part[:, :-1], image[:, -1:]], axis=1)
    low, share = _corners(rows, height)
    low = tf.minimum(low, rows - 1)
    share = share[:, None, None]
    after = tf.gather(part, tf.minimum(low + 1, rows - 1), axis=0)
    # The last row takes nothing of the row after it: darknet's own oddity.
    more = tf.where((tf.range(height) < height - 1)[:, None, None], share * after, 0.0)
    return (1 - share) * tf.gather(part, low, axis=0) + more


def _corners(source: tf.Tensor, target: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """For each target pixel the source pixel before it, i32[target], and the share of the next one, f32[target]."""
    step = tf.cast(source - 1, tf.float32) / tf.cast(tf.maximum(target - 1, 1), tf.float32)
    at = tf.cast(tf.range(target), tf.float32) * step
    low = tf.cast(at, tf.int32)
    return low, at - tf.cast(low, tf.float32)
