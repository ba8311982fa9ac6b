"""The features that a configuration's network gives: the one entry that heads and architectures know."""

from __future__ import annotations

import keras

from detector.backbones.darknet19 import channels, conv_block, darknet19
from detector.backbones.darknet19 import output_stride as _stride
from detector.config import ModelConfig


def build_features(images: keras.KerasTensor, config: ModelConfig) -> keras.KerasTensor:
    """The feature map [B, H, W, F] of images f32[B, h, w, 3] in [0, 1], RGB."""
    x = darknet19(images, config)
    for number in range(1, config.head_convs + 1):
        filters = channels(config.head_width, config.width)
        x = conv_block(x, filters, 3, name=f"head_{number}", config=config)
    return x


def output_stride(config: ModelConfig) -> int:
    """Pixels of the image per cell of the feature map."""
    return _stride(config)
