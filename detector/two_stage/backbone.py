"""A network cut in two: the first stage reads images, the second crops of the first one's last map.

    network                       cut at stride 16 (Huang et al. 2017)    the rest
    ResNet, DenseNet, ...         the last block before the map is        the last stage, its step of 2 made 1 (a crop
    (keras.applications)          halved to stride 32                     keeps its size) unless `tail_stride` is 2
    darknet19, tiny               stages 1 to 5                           stage 6
    VGG                           its last convolution                    nothing with weights: dense layers instead

`model.output_stride` is the stride at which the first stage runs; below the cut's own the networks of
keras.applications are dilated, ours are merely not halved. Variables keep the names that they have in a classifier of
the same network, so that its weights fit both parts.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import keras

from detector.config import ModelConfig, TwoStageConfig
from detector.darknet.normalisation import DarknetNormalization
from detector.networks.applications import BACKBONES, ImageScaling, tap_backbone
from detector.networks.build import build_layers, check_network
from detector.networks.layers import Conv
from detector.networks.published import strides, trunk_layers
from detector.two_stage.dilation import dilated, layers_before, published_strides
from detector.two_stage.fields import first_field
from detector.two_stage.stage import StageLayer
from schemas.errors import ConfigError

NORMALISATIONS = (keras.layers.BatchNormalization, DarknetNormalization)


class CutBackbone(NamedTuple):
    """Both parts.

    Attributes:
        features: [B, H, W, C] the last map of the first stage.
        stride: pixels a cell of it.
        rest: crops [B, s, s, C] to the network's last map, or None where the second stage is made of dense layers.
        middle: where in its cell the receptive field has its middle, in cells: see `detector.two_stage.fields`.
    """

    features: Any
    stride: int
    rest: Any
    middle: float = 0.5


def cut_backbone(images: Any, model: ModelConfig, settings: TwoStageConfig) -> CutBackbone:
    """Build both parts from images [B, h, w, 3], RGB in [0, 1], and freeze what is to be frozen.

    Raises:
        ConfigError: if the network cannot be cut or run as asked for.
    """
    check_network(model)
    for key, value in (("cfg", model.cfg), ("head_convs", model.head_convs), ("passthrough", model.passthrough)):
        if value:
            raise ConfigError(f"model.{key} is given; faster_rcnn has no use for it: expected none")
    if model.output_stride > settings.cut:
        raise ConfigError(
            f"model.output_stride is {model.output_stride}, beyond two_stage.cut, {settings.cut}, where the first "
            "stage ends; expected at most that"
        )
    build = _from_applications if model.network in BACKBONES else _from_layers
    return build(images, model, settings)


def _from_layers(images: Any, model: ModelConfig, settings: TwoStageConfig) -> CutBackbone:
    """Darknet-19 and tiny: lists of layers."""
    stages = min(model.stages, settings.cut.bit_length())  # stage k has stride 2^(k-1)
    layers = trunk_layers(replace(model, stages=stages))[0]
    features = build_layers(layers, images, model)[-1]
    first = keras.Model(images, features)
    convs = sum(isinstance(layer, Conv) for layer in layers)
    rest = None
    if settings.second_stage == "rest":
        published = replace(model, output_stride=settings.cut * settings.tail_stride)
        whole = trunk_layers(published)[0]
        tail = whole[len(trunk_layers(replace(published, stages=stages))[0]) :]
        if not tail:
            raise ConfigError(
                f"two_stage.second_stage is 'rest', but nothing of the network (model.stages {model.stages}) lies "
                f"beyond two_stage.cut, {settings.cut}; expected 'dense', or another cut"
            )
        crops: Any = keras.Input((None, None, features.shape[-1]), name="crops")
        rest = keras.Model(crops, build_layers(tail, crops, model, first_conv=convs + 1)[-1], name="rest")
    halved = trunk_layers(replace(model, stages=stages, output_stride=32))[0]
    found = [stride for stride, layer in zip(strides(halved), halved, strict=True) if isinstance(layer, Conv)]
    early = [number for number, stride in enumerate(found, start=1) if stride <= settings.frozen_stride]
    _freeze([first, rest], {f"{part}{k:02d}" for k in early for part in ("conv", "norm")}, settings.frozen_norm)
    return CutBackbone(features, strides(layers)[-1], rest)


def _from_applications(images: Any, model: ModelConfig, settings: TwoStageConfig) -> CutBackbone:
    """The networks of keras.applications, by their taps."""
    cut, wanted = settings.cut, settings.second_stage == "rest"
    if wanted and cut == 32:
        raise ConfigError(
            "two_stage.second_stage is 'rest', but nothing lies beyond two_stage.cut, 32; expected 'dense'"
        )
    end = max(cut, 32) if wanted else cut
    taps = tap_backbone(keras.Input((None, None, 3)), model, (cut, end) if wanted else (cut,))
    whole = taps[cut]._keras_history.operation  # the model whose output it is
    published = published_strides(whole)
    middle = whole.outputs[0]
    if wanted:
        middle = last_bottleneck(whole, middle._keras_history.operation.name, cut, published).output
    first = dilated(keras.Model(whole.inputs, middle), model.output_stride)
    scaled = ImageScaling(BACKBONES[model.network].scaling, dtype="float32", name="image_scaling")(images)
    rest = None
    if wanted:
        tail = keras.Model(middle, whole.outputs[1])
        rest = dilated(tail, cut if settings.tail_stride == 1 else 32, published, dilate=False)
        if not rest.weights:
            raise ConfigError(
                f"two_stage.second_stage is 'rest', but {model.network} has no layers with weights beyond "
                f"two_stage.cut, {cut}; expected 'dense'"
            )
    early = {name for name, (_, stride) in published.items() if stride <= settings.frozen_stride}
    _freeze([first, rest], early, settings.frozen_norm)
    features = StageLayer(first, name="backbone")(scaled)
    return CutBackbone(features, model.output_stride, rest, first_field(first) / model.output_stride)


def last_bottleneck(model: Any, tap: str, stride: int, strides: dict[str, tuple[int, int]]) -> Any:
    """The last layer of a stride, at the tap or before it, through which everything runs: the rest reads nothing else.

    The tap itself in most networks. Where the last block before the tap is halved beside it (ResNet v2, Xception) its
    shortcut would be a second input: there it is the sum before that block.

    Args:
        model: functional, with the network's end as its last output.
        tap: name of a layer.
        stride: of the tap.
        strides: `published_strides` of the model.
    """
    end = model.outputs[-1]._keras_history.operation
    names = [layer.name for layer in model.layers]
    for layer in reversed(model.layers[: names.index(tap) + 1]):
        if strides[layer.name][1] == stride and not _runs_past(layer, end):
            return layer
    raise ConfigError(f"this network has no layer of stride {stride} through which everything runs; choose another cut")


def _runs_past(layer: Any, end: Any) -> bool:
    """Whether a path from the images to the end avoids the layer."""
    seen, open_ = {layer.name}, [end]
    while open_:
        here = open_.pop()
        if isinstance(here, keras.layers.InputLayer):
            return True
        for before in layers_before(here):
            if before.name not in seen:
                seen.add(before.name)
                open_.append(before)
    return False


def _freeze(parts: list[Any], early: set[str], norm: bool) -> None:
    """Take layers out of training: those named, and with `norm` all batch normalisations."""
    for part in parts:
        for layer in part.layers if part is not None else ():
            if layer.name in early or (norm and isinstance(layer, NORMALISATIONS)):
                layer.trainable = False
