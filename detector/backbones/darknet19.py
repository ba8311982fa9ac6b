"""Darknet-19, the backbone of YOLOv2 and YOLO9000 (thesis section 2.3): 3x3 convolutions and 1x1 bottlenecks.

Six stages of 1, 1, 3, 3, 5 and 5 convolutions; before stages 2 to 6 a 2x2 max-pool halves the map. Each convolution is
followed by batch normalisation and a leaky ReLU of slope 0.1. Width, depth and output stride are configuration.
"""

from __future__ import annotations

import keras

from detector.config import ModelConfig

# (channels, kernel) of every convolution, stage by stage.
STAGES: tuple[tuple[tuple[int, int], ...], ...] = (
    ((32, 3),),
    ((64, 3),),
    ((128, 3), (64, 1), (128, 3)),
    ((256, 3), (128, 1), (256, 3)),
    ((512, 3), (256, 1), (512, 3), (256, 1), (512, 3)),
    ((1024, 3), (512, 1), (1024, 3), (512, 1), (1024, 3)),
)


def channels(base: int, width: float) -> int:
    """`base` channels times the width multiplier, a multiple of 8, at least 8."""
    return max(8, int(base * width + 4) // 8 * 8)


def conv_block(x: keras.KerasTensor, filters: int, kernel: int, *, name: str, config: ModelConfig) -> keras.KerasTensor:
    """Convolution without bias, batch normalisation (darknet's epsilon), leaky ReLU."""
    x = keras.layers.Conv2D(
        filters, kernel, padding="same", use_bias=False, kernel_initializer="he_normal", name=f"{name}_conv"
    )(x)
    momentum = config.batch_norm_momentum
    x = keras.layers.BatchNormalization(momentum=momentum, epsilon=1e-5, name=f"{name}_norm")(x)
    return keras.layers.LeakyReLU(negative_slope=0.1, name=f"{name}_act")(x)


def darknet19(x: keras.KerasTensor, config: ModelConfig) -> keras.KerasTensor:
    """The feature map f32[B, S/stride, S/stride, C] of images f32[B, S, S, 3] in [0, 1]."""
    for number, stage in enumerate(STAGES[: config.stages], start=1):
        if number > 1 and 2 ** (number - 1) <= config.output_stride:
            x = keras.layers.MaxPooling2D(2, name=f"stage{number}_pool")(x)
        for index, (filters, kernel) in enumerate(stage, start=1):
            name = f"stage{number}_{index}"
            x = conv_block(x, channels(filters, config.width), kernel, name=name, config=config)
    return x


def output_stride(config: ModelConfig) -> int:
    """Pixels of the image per cell of the feature map."""
    return min(config.output_stride, 2 ** (config.stages - 1))
