"""Backbones of keras.applications in place of Darknet-19: which there are, and where they are cut.

A backbone is cut by `model.output_stride` (8, 16 or 32) at a named layer: the last block before the map is halved
again, or the end. `TAPS` lists them; other meta-architectures cut at the same places.

- Images come as RGB in [0, 1] and are scaled as each family was published, so published weights fit.
- Inception and Xception have convolutions without padding, whose grid is not input / stride (320 pixels: 35, 17, 8
  cells). Here these are padded ("same"), so that cells are squares of `output_stride` pixels as for every network. The
  weights have the same shapes.
- Keras numbers nameless layers anew for each model of a process; here they are numbered within the backbone, so that
  checkpoints find their variables.
- EfficientNet's input statistics are constants here, not variables.
- `model.width` is alpha of the MobileNets; the others have no width. `model.stages` and `model.depth` are of Darknet-19
  and mean nothing here. NASNet is not here: its branches are cropped and fit together at few input sizes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import keras
from keras import ops

from detector.config import ModelConfig
from detector.networks.published import Map
from schemas.errors import ConfigError

END = ""  # the tap at the end of the network

# ImageNet's statistics of RGB in [0, 1]; and of BGR in [0, 255] as the VGG and first ResNet weights take them.
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
BGR_MEAN = (103.939, 116.779, 123.68)


class Backbone(NamedTuple):
    """One network of keras.applications.

    Attributes:
        scaling: what its input is: see `ImageScaling`.
        taps: stride to the layer that gives the map of that stride.
        alpha: it has a width multiplier.
        pad: its convolutions without padding are padded.
    """

    scaling: str
    taps: Mapping[int, str]
    alpha: bool = False
    pad: bool = False


def _resnet(third: int, fourth: int) -> Backbone:
    return Backbone("bgr", {8: f"conv3_block{third}_out", 16: f"conv4_block{fourth}_out", 32: END})


def _resnet_v2(third: int, fourth: int) -> Backbone:
    # Halved inside its last block, whose input is still to be normalised: the tap is after that.
    return Backbone(
        "symmetric", {8: f"conv3_block{third}_preact_relu", 16: f"conv4_block{fourth}_preact_relu", 32: END}
    )


def _blocks(eight: str, sixteen: str, scaling: str = "bytes") -> Backbone:
    return Backbone(scaling, {8: f"block{eight}_add", 16: f"block{sixteen}_add", 32: END})


def _convnext(size: str, third: int) -> Backbone:
    stage = f"convnext_{size}_stage"
    return Backbone("bytes", {8: f"{stage}_1_block_2_identity", 16: f"{stage}_2_block_{third}_identity", 32: END})


DENSENET = Backbone("statistics", {8: "pool3_relu", 16: "pool4_relu", 32: END})
VGG = {8: "block4_conv{}", 16: "block5_conv{}", 32: END}

BACKBONES: dict[str, Backbone] = {
    "ConvNeXtTiny": _convnext("tiny", 8),
    "ConvNeXtSmall": _convnext("small", 26),
    "ConvNeXtBase": _convnext("base", 26),
    "ConvNeXtLarge": _convnext("large", 26),
    "ConvNeXtXLarge": _convnext("xlarge", 26),
    "DenseNet121": DENSENET,
    "DenseNet169": DENSENET,
    "DenseNet201": DENSENET,
    "EfficientNetB0": _blocks("3b", "5c"),
    "EfficientNetB1": _blocks("3c", "5d"),
    "EfficientNetB2": _blocks("3c", "5d"),
    "EfficientNetB3": _blocks("3c", "5e"),
    "EfficientNetB4": _blocks("3d", "5f"),
    "EfficientNetB5": _blocks("3e", "5g"),
    "EfficientNetB6": _blocks("3f", "5h"),
    "EfficientNetB7": _blocks("3g", "5j"),
    "EfficientNetV2B0": _blocks("3b", "5e"),
    "EfficientNetV2B1": _blocks("3c", "5f"),
    "EfficientNetV2B2": _blocks("3c", "5f"),
    "EfficientNetV2B3": _blocks("3c", "5g"),
    "EfficientNetV2S": _blocks("3d", "5i"),
    "EfficientNetV2M": _blocks("3e", "5n"),
    "EfficientNetV2L": _blocks("3g", "5s"),
    "InceptionResNetV2": Backbone("symmetric", {8: "block35_10_ac", 16: "block17_20_ac", 32: END}, pad=True),
    "InceptionV3": Backbone("symmetric", {8: "mixed2", 16: "mixed7", 32: END}, pad=True),
    "MobileNet": Backbone("symmetric", {8: "conv_pw_5_relu", 16: "conv_pw_11_relu", 32: END}, alpha=True),
    "MobileNetV2": Backbone("symmetric", {8: "block_5_add", 16: "block_12_add", 32: END}, alpha=True),
    "MobileNetV3Large": Backbone("bytes", {8: "expanded_conv_5_add", 16: "expanded_conv_11_add", 32: END}, alpha=True),
    "MobileNetV3Small": Backbone("bytes", {8: "expanded_conv_2_add", 16: "expanded_conv_7_add", 32: END}, alpha=True),
    "ResNet50": _resnet(4, 6),
    "ResNet101": _resnet(4, 23),
    "ResNet152": _resnet(8, 36),
    "ResNet50V2": _resnet_v2(4, 6),
    "ResNet101V2": _resnet_v2(4, 23),
    "ResNet152V2": _resnet_v2(8, 36),
    "VGG16": Backbone("bgr", {stride: name.format(3) for stride, name in VGG.items()}),
    "VGG19": Backbone("bgr", {stride: name.format(4) for stride, name in VGG.items()}),
    "Xception": Backbone(
        "symmetric", {8: "block4_sepconv2_bn", 16: "block13_sepconv2_bn", 32: "block14_sepconv2_act"}, pad=True
    ),
}


def backbone_maps(images: Any, config: ModelConfig) -> tuple[Map | None, Map, list[Any]]:
    """The maps of a backbone that a neck reads.

    Returns:
        The map at half the output stride (None without a passthrough), the map at the output stride, and the tensors
        that their `layer` counts.

    Raises:
        ConfigError: if the backbone cannot be made as asked for.
    """
    strides = (config.output_stride // 2, config.output_stride) if config.passthrough else (config.output_stride,)
    taps = tap_backbone(images, config, strides)
    maps = [Map(k, int(tensor.shape[-1]), stride) for k, (stride, tensor) in enumerate(taps.items())]
    return maps[0] if config.passthrough else None, maps[-1], list(taps.values())


def tap_backbone(images: Any, config: ModelConfig, strides: tuple[int, ...]) -> dict[int, Any]:
    """Maps of the backbone `config.network` by stride, from images [B, h, w, 3], RGB in [0, 1].

    Raises:
        ConfigError: if there is no tap of a stride, or the backbone has no such width.
    """
    backbone = BACKBONES[config.network]
    _check(config, backbone, strides)
    published = published_backbone(config)
    names = own_names(published)

    def copy(layer: Any) -> Any:
        if layer.name not in names:  # an operation such as x + 3
            return type(layer).from_config(layer.get_config())
        settings = layer.get_config() | {"name": names[layer.name]}
        if backbone.pad and settings.get("padding") == "valid":
            settings["padding"] = "same"
        if isinstance(layer, keras.layers.BatchNormalization):
            settings["momentum"] = config.batch_norm_momentum
        if isinstance(layer, keras.layers.Normalization) and settings["mean"] is None:
            settings |= {"mean": MEAN, "variance": tuple(value**2 for value in DEVIATION)}
        return type(layer).from_config(settings)

    inside = keras.Input(images.shape[1:], dtype="float32", name="backbone_images")
    made = keras.models.clone_model(published, input_tensors=inside, clone_function=copy)
    ends = [made.get_layer(tap).output if tap else made.outputs[0] for tap in (backbone.taps[s] for s in strides)]
    scaled = ImageScaling(backbone.scaling, dtype="float32", name="image_scaling")(images)
    maps = keras.Model(made.inputs, ends, name="backbone")(scaled)
    return dict(zip(strides, maps, strict=True))


def published_backbone(config: ModelConfig) -> Any:
    """The network `config.network` as keras.applications builds it, without its top, with random weights."""
    options = {"alpha": config.width} if BACKBONES[config.network].alpha else {}
    build = getattr(keras.applications, config.network)
    return build(weights=None, include_top=False, input_shape=(None, None, 3), **options)


def own_names(published: Any) -> dict[str, str]:
    """The names of its layers in our networks, by their own."""
    return {layer.name: _own_name(layer, index) for index, layer in enumerate(published.layers)}


def _check(config: ModelConfig, backbone: Backbone, strides: tuple[int, ...]) -> None:
    """Refuse what the backbone does not have."""
    name = config.network
    for stride in strides:
        if stride not in backbone.taps:
            why = f" and model.passthrough is {config.passthrough}" if config.passthrough else ""
            raise ConfigError(
                f"model.output_stride is {config.output_stride}{why}, which needs a map of stride {stride}; "
                f"{name} has {', '.join(map(str, backbone.taps))}"
            )
    if config.width != 1.0 and not backbone.alpha:
        raise ConfigError(
            f"model.width is {config.width:g}; {name} has no width to choose: expected 1 (--set model.width=1)"
        )


def _own_name(layer: Any, index: int) -> str:
    """The layer's name, or, where Keras counted it, one that does not depend on what the process built before."""
    kind = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", type(layer).__name__).lower()
    bare = kind.replace("_", "")
    counted = re.fullmatch(r"(.*?)(_\d+)?", layer.name)
    if counted and counted[1].replace("_", "") == bare:
        return f"{kind}_at_{index:03d}"
    return layer.name


@keras.saving.register_keras_serializable("wordtree")
class ImageScaling(keras.layers.Layer):
    """RGB in [0, 1] to what a backbone was trained on.

    Args:
        form: "bytes" [0, 255]; "symmetric" [-1, 1]; "statistics" less the mean of ImageNet, over its deviation;
            "bgr" [0, 255] in the order blue, green, red, less their means.
        **options: of every Keras layer.
    """

    def __init__(self, form: str, **options: Any) -> None:
        super().__init__(**options)
        self.form = form

    def call(self, inputs: Any) -> Any:
        """Scaled images of the same shape."""
        if self.form == "bytes":
            return inputs * 255.0
        if self.form == "symmetric":
            return inputs * 2.0 - 1.0
        if self.form == "statistics":
            return (inputs - ops.convert_to_tensor(MEAN)) / ops.convert_to_tensor(DEVIATION)
        reverse: Any = ops.flip(inputs, axis=-1)
        return reverse * 255.0 - ops.convert_to_tensor(BGR_MEAN)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The input's."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """What `from_config` takes."""
        return {**super().get_config(), "form": self.form}
