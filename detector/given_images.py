"""Images that a Python caller gives to a detector, looked at before they are computed on.

8-bit pixels, or numbers up to 255, would be taken for brightness up to 1: a network sees white and finds nothing, or
nonsense, without a word.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from schemas.errors import InputError

ROUNDING = 1e-3  # beyond [0, 1]: what resizing by other programs may leave


def check_images(images: Any) -> None:
    """Refuse what is not f[B, h, w, 3] in [0, 1]. Inside of a graph, where there are no values yet, it costs nothing.

    Raises:
        InputError: with the type, the shape and the range that was found.
    """
    if tf.is_symbolic_tensor(images):
        return
    kind = tf.as_dtype(images.dtype) if hasattr(images, "dtype") else tf.as_dtype(np.asarray(images).dtype)
    pixels = tf.convert_to_tensor(images)
    shape = tuple(pixels.shape)
    found = f"{kind.name}[{', '.join(map(str, shape))}]"
    right = kind.is_floating and len(shape) == 4 and shape[3] == 3
    if right and pixels.shape.num_elements():
        least, most = float(tf.reduce_min(pixels)), float(tf.reduce_max(pixels))
        found += f" from {least:g} to {most:g}"
        right = least >= -ROUNDING and most <= 1 + ROUNDING and not bool(tf.reduce_any(tf.math.is_nan(pixels)))
    if not right:
        raise InputError(
            f"images: found {found}; expected float32[B, h, w, 3], RGB from 0 to 1: divide pixels of 8 bits by 255, "
            "and put a single image into a batch"
        )
