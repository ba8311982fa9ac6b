"""From a configuration to Keras layers: the one entry that heads and architectures know.

Convolution k is the Keras layer `conv01`, `conv02`, ... with the kernel [size, size, in, out]; its batch normalisation
`norm01` has darknet's scales as gamma and darknet's biases as beta. Without normalisation the bias is in `conv01`. The
normalisation divides by sqrt(variance + 1e-5), as darknet does on a GPU (on a CPU: sqrt(variance) + 1e-6).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from detector.config import ModelConfig
from detector.darknet.normalisation import DarknetNormalization
from detector.networks.applications import BACKBONES, backbone_maps
from detector.networks.branches import ChannelPart, Unread
from detector.networks.layers import AvgPool, Conv, Dropout, Layer, Layers, MaxPool, Reorg, Route
from detector.networks.pooling import DarknetMaxPool
from detector.networks.published import STAGES, layers_of, neck_layers, strides
from detector.networks.reorg import DarknetReorg
from detector.networks.shapes import trace_layers, unread
from schemas.errors import ConfigError
from wordtree.suggestions import did_you_mean

__all__ = ["build_features", "build_layers", "check_network", "grid_of", "layers_of", "output_stride"]

EPSILON = 1e-5


def build_features(images: keras.KerasTensor, config: ModelConfig) -> keras.KerasTensor:
    """The feature map [B, H, W, F] of images f32[B, h, w, 3] in [0, 1], RGB.

    Height and width of `images` may be unknown. A network of float16 or bfloat16 gives features of that type.

    Raises:
        ConfigError: if there is no such network, or it cannot be made as asked for.
    """
    check_network(config)
    if config.cfg or config.network in STAGES:
        layers = layers_of(config)
        outputs = build_layers(layers, images, config)
        nowhere = [outputs[index] for index in unread(layers)]
        return Unread(name="unread")([outputs[-1], *nowhere]) if nowhere else outputs[-1]
    finer, last, tensors = backbone_maps(images, config)
    neck = neck_layers(config, start=len(tensors), finer=finer, last=last)
    return build_layers(neck, images, config, earlier=tensors)[-1]


def build_layers(
    layers: Layers, images: keras.KerasTensor, config: ModelConfig, *, earlier: Sequence[Any] = (), first_conv: int = 1
) -> list[Any]:
    """A list of layers as Keras layers.

    Args:
        layers: the first reads the last of `earlier`, or the images.
        images: [B, h, w, C].
        config: for batch_norm_momentum.
        earlier: outputs of what stands before; `Route` counts them first.
        first_conv: number of the first convolution, for the names.

    Returns:
        The outputs of `earlier` and of every layer, so that output k is that of the layer that `Route` calls k.
    """
    outputs = list(earlier)
    conv = first_conv
    for index, layer in enumerate(layers, start=len(outputs)):
        x = outputs[-1] if outputs else images
        if isinstance(layer, Conv):
            outputs.append(_convolution(x, layer, f"{conv:02d}", config))
            conv += 1
        elif isinstance(layer, Route):
            chosen = [_part(outputs[number], layer, f"part_{index:02d}_{k}") for k, number in enumerate(layer.layers)]
            outputs.append(
                chosen[0] if len(chosen) == 1 else keras.layers.Concatenate(name=f"route_{index:02d}")(chosen)
            )
        else:
            outputs.append(_plain(layer, index)(x))
    return outputs


def check_network(config: ModelConfig) -> None:
    """Refuse an unknown `model.network`.

    Raises:
        ConfigError: with the nearest name and all names.
    """
    known = (*STAGES, *BACKBONES)
    if not config.cfg and config.network not in known:
        raise ConfigError(
            f"model.network is {config.network!r}; expected one of {', '.join(known)}"
            f"{did_you_mean(config.network, known)}"
        )


def output_stride(config: ModelConfig) -> int:
    """Pixels of the image per cell of the feature map."""
    check_network(config)
    if config.cfg or config.network in STAGES:
        return strides(layers_of(config))[-1]
    return config.output_stride


def grid_of(config: ModelConfig, canvas: tuple[int, int] | None = None) -> tuple[int, int]:
    """(rows, columns) of cells for a canvas of (height, width) pixels, by default the configuration's.

    A .cfg has the cells that its layers give, whatever its input; other networks have whole strides.

    Raises:
        ConfigError: if a side is no multiple of the output stride of a network without a .cfg.
        FormatError: if the layers of the .cfg cannot work on such a canvas.
    """
    sides = canvas or config.canvas
    if config.cfg:
        return trace_layers(layers_of(config), (*sides, 3))[-1].output[:2]
    stride = output_stride(config)
    for key, side in zip(("model.input_height", "model.input_size"), sides, strict=True):
        if side % stride:
            key = "model.input_size" if canvas is None and not config.input_height else key
            raise ConfigError(f"{key} is {side}; expected a multiple of the output stride {stride}")
    return sides[0] // stride, sides[1] // stride


def _part(map_: Any, route: Route, name: str) -> Any:
    """The group of channels that a route takes of a map."""
    if route.groups == 1:
        return map_
    count = map_.shape[-1] // route.groups
    return ChannelPart(route.group * count, count, name=name)(map_)


def _convolution(x: Any, layer: Conv, number: str, config: ModelConfig) -> Any:
    """Convolution, batch normalisation or bias, activation."""
    same = layer.steps == (1, 1) and layer.size % 2 == 1 and layer.border == layer.size // 2
    if layer.border and not same:
        x = keras.layers.ZeroPadding2D(layer.border, name=f"pad{number}")(x)
    x = keras.layers.Conv2D(
        layer.filters,
        layer.size,
        layer.steps,
        padding="same" if same else "valid",
        dilation_rate=layer.dilation,
        use_bias=not layer.batch_norm,
        kernel_initializer="he_normal",
        name=f"conv{number}",
    )(x)
    if layer.batch_norm:
        momentum = config.batch_norm_momentum
        x = DarknetNormalization(momentum=momentum, epsilon=EPSILON, name=f"norm{number}")(x)
    if layer.activation == "linear":
        return x
    if layer.activation == "leaky":
        return keras.layers.LeakyReLU(negative_slope=0.1, name=f"act{number}")(x)
    names = {"relu": "relu", "logistic": "sigmoid"}
    if layer.activation not in names:
        raise ConfigError(
            f"convolution {number}: activation {layer.activation!r}; expected leaky, linear, relu or logistic"
        )
    return keras.layers.Activation(names[layer.activation], name=f"act{number}")(x)


def _plain(layer: Layer, index: int) -> keras.layers.Layer:
    """The Keras layer of what has no weights."""
    if isinstance(layer, MaxPool):
        if layer.size == 2 and layer.border == 1 and layer.steps in ((1, 1), (2, 2)):  # where "same" is darknet's
            return keras.layers.MaxPooling2D(2, layer.stride, padding="same", name=f"pool_{index:02d}")
        return DarknetMaxPool(layer.size, layer.steps, layer.border, name=f"pool_{index:02d}")
    if isinstance(layer, Reorg):
        return DarknetReorg(layer.stride, name=f"reorg_{index:02d}")
    if isinstance(layer, AvgPool):  # its means are logits or go into them: never rounded to 16 bits
        return keras.layers.GlobalAveragePooling2D(keepdims=True, dtype="float32", name=f"mean_{index:02d}")
    if isinstance(layer, Dropout):
        return keras.layers.Dropout(layer.probability, name=f"dropout_{index:02d}")
    raise TypeError(f"layer {index} is {layer!r}: not of detector.networks.layers")
