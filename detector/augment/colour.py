"""darknet's distortion of colours: a shift of the hue, factors for saturation and value.

The law is darknet's distort_image: RGB to HSV, hue + shift (one turn is 1, wrapping), saturation and value times their
factors and not limited, back to RGB, limited to [0, 1]. In HSV a colour is v (1 - s (1 - c(h))) with c the pure colour
of the hue, so nothing but the hue needs the trip there and back, and no limit before the last is felt.

Known to differ: where hue + shift is exactly 1.0, darknet's wrap lets it stand and its sixth sector paints magenta for
red. Here it is red.
"""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from detector.augment.draws import Uniform
from detector.config import AugmentConfig


class Colour(NamedTuple):
    """darknet's distortion in HSV: hue shift in turns, factors for saturation and value; and whether to drop colour."""

    hue: float
    saturation: float
    exposure: float
    grey: bool


PLAIN_COLOUR = Colour(0.0, 1.0, 1.0, False)


def sample_colour(config: AugmentConfig, rng: Uniform) -> Colour:
    """A random distortion; takes four numbers.

    Factors are log-uniform from 1/S to S in mode "zoom"; in darknet's modes U(1, S) or its inverse, each in half of the
    cases (rand_scale).
    """
    hue, saturation, exposure, coin = (float(number) for number in rng.random(4))
    factor = _log_uniform if config.mode == "zoom" else _darknet_factor
    return Colour(
        config.hue * (2 * hue - 1),
        factor(config.saturation, saturation),
        factor(config.exposure, exposure),
        coin < config.grey,
    )


def never_distorts(config: AugmentConfig) -> bool:
    """Whether `sample_colour` gives `PLAIN_COLOUR` for every image."""
    return config.hue == config.grey == 0 and config.saturation == config.exposure == 1


def _log_uniform(most: float, number: float) -> float:
    return most ** (2 * number - 1)


def _darknet_factor(most: float, number: float) -> float:
    """rand_scale: the first half of [0, 1) for U(1, most), the second for its inverse."""
    upper, share = (number < 0.5, 2 * number % 1)
    factor = 1 + (most - 1) * share
    return factor if upper else 1 / factor


def distort(image: tf.Tensor, colour: tf.Tensor) -> tf.Tensor:
    """Apply a `Colour` f32[4] to an image f32[h, w, 3] in [0, 1]."""
    planes = tf.transpose(tf.convert_to_tensor(image), [2, 0, 1])  # a plane at a time is what vector units can do
    red, green, blue = planes[0], planes[1], planes[2]
    most = tf.maximum(tf.maximum(red, green), blue)
    range_ = most - tf.minimum(tf.minimum(red, green), blue)
    inverse = 1.0 / tf.maximum(range_, 1e-12)
    sector = tf.where(
        red >= most,
        (green - blue) * inverse,
        tf.where(green >= most, 2.0 + (blue - red) * inverse, 4.0 + (red - green) * inverse),
    )
    sector += 6.0 * colour[0]
    value, reach = most * colour[2], range_ * (colour[1] * colour[2] * (1.0 - colour[3]))
    mixed = []
    for turned in (0.0, 4.0, 2.0):  # red, green, blue: the same curve a third of a turn apart
        at = sector + turned
        at -= 6.0 * tf.floor(at / 6.0)
        pure = tf.minimum(tf.maximum(tf.abs(at - 3.0) - 1.0, 0.0), 1.0)
        mixed.append(tf.minimum(tf.maximum(value - reach * (1.0 - pure), 0.0), 1.0))
    return tf.transpose(tf.stack(mixed), [1, 2, 0])
