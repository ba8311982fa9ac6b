"""A network at a smaller stride than it was published for: steps of 2 become 1, and what follows is dilated.

A kernel behind a dropped step reads every second cell ("atrous", Chen et al. 2015; Huang et al. 2017, section 3.5), so
that at every second place the map is the published network's, and its weights fit.
"""

from __future__ import annotations

import math
from typing import Any

import keras

from detector.two_stage.normalisation import FusedNormalization
from schemas.errors import ConfigError

SIDE = 512  # pixels at which the published strides are read off; any large power of 2


def published_strides(model: Any) -> dict[str, tuple[int, int]]:
    """Of each layer of a network from images [B, h, w, 3] the strides of its input and its output, by name.

    Read off the shapes for an image of 512 pixels, to the nearest power of two: convolutions without padding lose
    some cells at the edges. What has no places any more, such as the squeezed mean of a block, has stride 512.
    """
    probe = keras.Model(model.inputs, [layer.output for layer in model.layers])
    shapes = probe.compute_output_spec(keras.KerasTensor((1, SIDE, SIDE, 3)))
    shapes = shapes if isinstance(shapes, list) else [shapes]
    after = {
        layer.name: 2 ** round(math.log2(SIDE / shape.shape[1])) if len(shape.shape) == 4 else SIDE
        for layer, shape in zip(model.layers, shapes, strict=True)
    }
    strides = {}
    for layer in model.layers:
        before = [after[layer_before.name] for layer_before in layers_before(layer) if layer_before.name in after]
        strides[layer.name] = (min(before, default=1), after[layer.name])
    return strides


def layers_before(layer: Any) -> list[Any]:
    """The layers whose outputs a layer of a functional model reads."""
    return [node.operation for node in layer._inbound_nodes[0].parent_nodes]


def dilated(model: Any, stride: int, strides: dict[str, tuple[int, int]] | None = None, *, dilate: bool = True) -> Any:
    """A copy of a functional network in which no map is beyond `stride`; new weights of the same names and shapes.

    Its batch normalisations are `FusedNormalization`: the same numbers in fewer passes.

    Args:
        model: from images, or a part of such a network.
        stride: largest stride of any map.
        strides: of a part: `published_strides` of the whole network.
        dilate: whether kernels behind a dropped step read every second cell; not where crops take the place of maps.

    Raises:
        ConfigError: if a layer beyond it has no dilated form.
    """
    strides = published_strides(model) if strides is None else strides
    layers = [layer for layer in model.layers if layer.name in strides]
    changed = {layer.name: new for layer in layers if (new := _settings(layer, strides[layer.name], stride, dilate))}
    unpadded = {
        before.name
        for layer in layers
        if layer.name in changed
        for before in layers_before(layer)
        if isinstance(before, keras.layers.ZeroPadding2D)
    }

    def copy(layer: Any) -> Any:
        settings = layer.get_config() | changed.get(layer.name, {})
        if layer.name in unpadded:  # "same" now pads instead
            settings["padding"] = ((0, 0), (0, 0))
        kind = FusedNormalization if type(layer) is keras.layers.BatchNormalization else type(layer)
        return kind.from_config(settings)

    return keras.models.clone_model(model, clone_function=copy)


def _settings(layer: Any, strides: tuple[int, int], most: int, dilate: bool) -> dict[str, Any]:
    """What changes of a layer; nothing where its map stays as published."""
    before, after = strides
    kinds = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D, keras.layers.SeparableConv2D)
    pools = (keras.layers.MaxPooling2D, keras.layers.AveragePooling2D)
    if isinstance(layer, kinds):
        steps = max(layer.strides) > 1 and after > most
        rate = max(before // most, 1) if dilate and max(layer.kernel_size) > 1 else 1
        if not steps and rate == 1:
            return {}
        return {
            "strides": (1, 1) if steps else layer.strides,
            "dilation_rate": (rate, rate),
            "padding": "same" if max(layer.kernel_size) > 1 else layer.padding,
        }
    if isinstance(layer, pools):
        return {"strides": (1, 1), "padding": "same"} if max(layer.strides) > 1 and after > most else {}
    if after > max(before, most) and after < SIDE:
        raise ConfigError(
            f"layer {layer.name!r} of this network halves a map beyond stride {most}, which model.output_stride or "
            "two_stage.tail_stride=1 asks for, and has no dilated form; expected a larger stride or another network"
        )
    return {}
