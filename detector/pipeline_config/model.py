"""`model { faster_rcnn { ... } }` as settings: what means the same, what means nearly the same, what is not built here.

    keep_aspect_ratio_resizer     a square canvas of the longer side's limit, and `model.shorter_side`
    grid_anchor_generator         `model.anchors`: pixels of the canvas divided by its sides; ratios are width / height
    first_stage_..._loss_weight   the same sums over the same counts, so the weights are taken as they stand
    second_stage_classification_loss_weight
                                  theirs is one softmax over the classes and the background; -log of it is the sum of
                                  our two, P(object) and the class, so both get the weight

Where the file is silent the API's defaults hold, not ours.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from detector.given_text import shortened
from detector.limits import LEAST_SHORTER_SIDE
from detector.pipeline_config.fields import Fields
from detector.pipeline_config.second_stage import read_second_stage
from detector.pipeline_config.weights import read_hyperparameters
from detector.two_stage.config import TwoStageConfig
from schemas.errors import ConfigError

MODELS = ("faster_rcnn", "ssd", "center_net", "experimental_model")
RESIZERS = (
    "keep_aspect_ratio_resizer",
    "fixed_shape_resizer",
    "identity_resizer",
    "conditional_shape_resizer",
    "pad_to_multiple_resizer",
)
GENERATORS = (
    "grid_anchor_generator",
    "ssd_anchor_generator",
    "multiscale_anchor_generator",
    "flexible_grid_anchor_generator",
)
MOST_ANCHORS = 64


class Extractor(NamedTuple):
    """A feature extractor of theirs in our words.

    Attributes:
        network: of `model.network`.
        tail_stride: whether the second stage halves its map: theirs on ResNet did not before they used Keras.
    """

    network: str
    tail_stride: int


EXTRACTORS = {
    "faster_rcnn_resnet50": Extractor("ResNet50", 1),
    "faster_rcnn_resnet101": Extractor("ResNet101", 1),
    "faster_rcnn_resnet152": Extractor("ResNet152", 1),
    "faster_rcnn_resnet50_keras": Extractor("ResNet50", 2),
    "faster_rcnn_resnet101_keras": Extractor("ResNet101", 2),
    "faster_rcnn_resnet152_keras": Extractor("ResNet152", 2),
    "faster_rcnn_inception_resnet_v2": Extractor("InceptionResNetV2", 2),
    "faster_rcnn_inception_resnet_v2_keras": Extractor("InceptionResNetV2", 2),
    "faster_rcnn_mobilenet_v1": Extractor("MobileNet", 2),
}

# Fields that are one setting of ours: name, default, settings.
WHOLE = (
    ("first_stage_box_predictor_depth", 512, ("two_stage.rpn_width",)),
    ("first_stage_minibatch_size", 256, ("two_stage.anchor_batch",)),
    ("first_stage_max_proposals", 300, ("two_stage.proposals",)),
    ("second_stage_batch_size", 64, ("two_stage.roi_batch",)),
)
NUMBERS = (
    ("first_stage_positive_balance_fraction", 0.5, ("two_stage.anchor_positives",)),
    ("first_stage_nms_iou_threshold", 0.7, ("two_stage.proposal_iou",)),
    ("first_stage_localization_loss_weight", 1.0, ("two_stage.rpn_box_weight",)),
    ("first_stage_objectness_loss_weight", 1.0, ("two_stage.rpn_object_weight",)),
    ("second_stage_balance_fraction", 0.25, ("two_stage.roi_positives",)),
    ("second_stage_localization_loss_weight", 1.0, ("two_stage.box_weight",)),
    ("second_stage_classification_loss_weight", 1.0, ("two_stage.object_weight", "two_stage.class_weight")),
)
# Fields whose value is always the same here: name, that value, what to say of another.
FIXED = (
    ("first_stage_atrous_rate", 1, "the convolution before the proposals is not dilated here"),
    ("first_stage_box_predictor_kernel_size", 3, "the convolution before the proposals is 3x3 here"),
    ("first_stage_nms_score_threshold", 0.0, "proposals are limited by their number alone here"),
)
UNUSED = {
    "the classes are the nodes of --tree": "num_classes",
    "no masks are predicted here": "second_stage_mask_prediction_loss_weight resize_masks",
    "statistics are always updated in the step here": "inplace_batchnorm_update",
    "shapes are always static here": "use_static_shapes use_static_shapes_for_eval use_static_balanced_label_sampler",
    "the same numbers; gathered here": "use_matmul_gather_in_matcher",
    "the same boxes; in tiles here": "use_partitioned_nms_in_first_stage use_combined_nms_in_first_stage",
    "decided at export": "return_raw_detections_during_predict output_final_box_features output_final_box_rpn_features",
    "no hard examples are mined here: RoIs are sampled": "hard_example_miner",
}


def read_model(file: Fields) -> None:
    """Read the message `model` into the book.

    Raises:
        ConfigError: if the model is none that is built here.
        FormatError: if a value is none of its field, or out of its range.
    """
    model = file.message("model")
    kind = model.one_of(*MODELS)
    if not kind:
        raise model.error("found no model; expected model { faster_rcnn { ... } }")
    if kind != "faster_rcnn":
        raise _unsupported(model, kind, f"a model {kind}", "faster_rcnn alone")
    rcnn = model.message("faster_rcnn")
    rcnn.book.settings |= {"model.architecture": "faster_rcnn", "loss.weak": "off"}
    _stages(rcnn)
    stride = _extractor(rcnn.message("feature_extractor"))
    canvas = _resizer(rcnn.message("image_resizer"), stride)
    _anchors(rcnn.message("first_stage_anchor_generator"), canvas, stride)
    for name, whole, settings in WHOLE:
        value = rcnn.integer(name, whole)
        own = dict.fromkeys(settings, value)
        if "two_stage.proposals" in own and value > TwoStageConfig().candidates:
            own["two_stage.candidates"] = value  # they are chosen from these
        rcnn.take(name, own, default=whole)
    for name, number, settings in NUMBERS:
        value = rcnn.number(name, number)
        rcnn.take(name, dict.fromkeys(settings, value), default=number)
    for name, here, why in FIXED:
        rcnn.leave(name, "as it is here" if rcnn.number(name, here) == here else why)
    _crops(rcnn)
    clip = rcnn.flag("clip_anchors_to_image", False)
    remark = "theirs are cut at the edge of the picture, ours reach beyond it" if clip else ""
    rcnn.take("clip_anchors_to_image", {"two_stage.cross_boundary": clip}, remark, default=False)
    read_hyperparameters(rcnn, "first_stage_box_predictor_conv_hyperparams")
    read_second_stage(rcnn)
    rcnn.leave_all(UNUSED)


def _unsupported(fields: Fields, name: str, found: str, expected: str) -> ConfigError:
    line = next((field.line for field in fields.fields if field.name == name), 0)
    return ConfigError(f"{fields.place(line)}: found {found}, which is not built here; expected {expected}")


def _stages(rcnn: Fields) -> None:
    if "number_of_stages" in rcnn:
        stages = rcnn.integer("number_of_stages", 2)
        if stages != 2:
            what = {1: "proposals alone", 3: "masks as a third stage"}.get(stages, "as many stages")
            raise _unsupported(rcnn, "number_of_stages", f"number_of_stages {stages}, {what}", "2")
        rcnn.leave("number_of_stages", "as it is here")
    if rcnn.flag("first_stage_only", False):
        raise _unsupported(rcnn, "first_stage_only", "first_stage_only, proposals alone", "false")
    rcnn.leave("first_stage_only", "as it is here")
    if "context_config" in rcnn:
        raise _unsupported(rcnn, "context_config", "context_config, attention over other images", "none")


def _extractor(extractor: Fields) -> int:
    """Read the backbone; returns the stride of the first stage."""
    name = extractor.text("type", "")
    if name not in EXTRACTORS:
        known = ", ".join(EXTRACTORS)
        raise _unsupported(extractor, "type", f"the feature extractor {shortened(repr(name))}", f"one of {known}")
    if "fpn" in extractor:
        raise _unsupported(extractor, "fpn", "a feature pyramid", "one map of one stride")
    network, tail_stride = EXTRACTORS[name]
    extractor.take("type", {"model.network": network, "two_stage.cut": 16, "two_stage.tail_stride": tail_stride})
    stride = extractor.integer("first_stage_features_stride", 16)
    if stride not in (8, 16):
        raise _unsupported(extractor, "first_stage_features_stride", f"a stride of {stride}", "8 or 16")
    extractor.take("first_stage_features_stride", {"model.output_stride": stride}, default=16)
    trained = extractor.flag("batch_norm_trainable", False)
    remark = "" if trained else "it keeps what --init gives: without --init set two_stage.frozen_norm=false"
    extractor.take("batch_norm_trainable", {"two_stage.frozen_norm": not trained}, remark, default=False)
    own = "the backbone is as keras.applications has it"
    extractor.leave_all({own: "conv_hyperparams override_base_feature_extractor_hyperparams"})
    extractor.leave("pad_to_multiple", "sides of the canvas are always multiples of the stride")
    return stride


def _resizer(resizer: Fields, stride: int) -> tuple[int, int]:
    """Read how pictures are resized; returns (height, width) of the canvas."""
    kind = resizer.one_of(*RESIZERS) or "keep_aspect_ratio_resizer"
    if kind not in RESIZERS[:2]:
        raise _unsupported(resizer, kind, kind, f"{RESIZERS[0]} or {RESIZERS[1]}")
    sides = resizer.message(kind)
    if kind == "keep_aspect_ratio_resizer":
        shorter = _side(sides, "min_dimension", 600, LEAST_SHORTER_SIDE)
        longer = _side(sides, "max_dimension", 1024)
        if shorter > longer:
            raise sides.error(f"found min_dimension {shorter} and max_dimension {longer}; expected the second larger")
        height = width = math.ceil(longer / stride) * stride
        remark = f"a square canvas, a multiple of {stride}"
        if width != longer:
            remark += f": long pictures get up to {width} pixels"
        sides.take("max_dimension", {"model.input_size": width, "model.input_height": 0}, remark, default=1024)
        sides.take("min_dimension", {"model.shorter_side": shorter}, default=600)
        sides.leave("pad_to_max_dimension", "pictures are always padded to the canvas here")
    else:
        high, wide = _side(sides, "height", 300), _side(sides, "width", 300)
        height, width = math.ceil(high / stride) * stride, math.ceil(wide / stride) * stride
        remark = "theirs stretches pictures over the canvas, here they keep their proportions and the rest is padding"
        sides.take("width", {"model.input_size": width}, remark, default=300)
        tall = {"model.input_height": 0 if height == width else height}
        sides.take("height", tall, "0: as the width" if height == width else "", default=300)
    method = sides.word("resize_method", "BILINEAR")
    sides.leave("resize_method", "as it is here" if method == "BILINEAR" else "always bilinear here")
    grey = sides.flag("convert_to_grayscale", False)
    sides.leave("convert_to_grayscale", "images stay in colour here" if grey else "as it is here")
    sides.leave("per_channel_pad_value", "the padding is grey here")
    return height, width


def _side(fields: Fields, name: str, default: int, least: int = 8) -> int:
    """A side in pixels."""
    value = fields.integer(name, default)
    if not least <= value <= 8192:
        raise fields.error(f"found {name} {value}; expected {least} to 8192 pixels")
    return value


def _anchors(generator: Fields, canvas: tuple[int, int], stride: int) -> None:
    kind = generator.one_of(*GENERATORS) or "grid_anchor_generator"
    if kind != "grid_anchor_generator":
        raise _unsupported(generator, kind, kind, "grid_anchor_generator")
    grid = generator.message(kind)
    scales, ratios = grid.numbers("scales"), grid.numbers("aspect_ratios")
    for name, values in (("scales", scales), ("aspect_ratios", ratios)):
        if not values or not all(1e-3 <= value <= 1e3 for value in values):
            raise grid.error(f"found {name} {shortened(str(values))}; expected one or more numbers from 0.001 to 1000")
    if len(scales) * len(ratios) > MOST_ANCHORS:
        raise grid.error(
            f"found {len(scales)} scales and {len(ratios)} ratios; expected at most {MOST_ANCHORS} anchors"
        )
    base = [grid.number(name, 256) for name in ("width", "height")]
    if not all(1 <= side <= 8192 for side in base):
        raise grid.error(f"found a width of {base[0]:g} and a height of {base[1]:g}; expected 1 to 8192 pixels")
    high, wide = canvas
    shapes = tuple(
        (base[0] * scale * math.sqrt(ratio) / wide, base[1] * scale / math.sqrt(ratio) / high)
        for scale in scales
        for ratio in ratios
    )
    for width, height in shapes:
        if max(width, height) > 10:
            raise grid.error(
                f"found an anchor of {width * wide:g} x {height * high:g} pixels; expected at most 10 canvases"
            )
    settings: dict[str, Any] = {"model.anchors": shapes, "model.num_anchors": len(shapes)}
    grid.take("scales", settings, "parts of the canvas")
    for name in ("aspect_ratios", "width", "height"):
        if name in grid:
            grid.take(name, {}, "model.anchors, see scales")
    for name in ("height_stride", "width_stride"):
        step = grid.integer(name, 16)
        if step != stride:
            told = "" if name in grid else " (the default)"
            raise grid.error(f"found {name} {step}{told}; expected first_stage_features_stride, {stride}")
        grid.leave(name, "as first_stage_features_stride says: anchors stand in every cell")
    for name in ("height_offset", "width_offset"):
        same = grid.number(name, 0) == stride / 2
        grid.leave(
            name, "as it is here" if same else f"anchors stand in the middle of cells here, {stride // 2} pixels in"
        )


def _crops(rcnn: Fields) -> None:
    """The crops of the second stage."""
    size, pool = rcnn.integer("initial_crop_size", 14), rcnn.integer("maxpool_kernel_size", 2)
    step = rcnn.integer("maxpool_stride", 2 if "maxpool_kernel_size" not in rcnn else pool)
    if pool != step or pool not in (1, 2):
        raise _unsupported(
            rcnn, "maxpool_kernel_size", f"max-pooling of {pool} by steps of {step}", "1 and 1, or 2 and 2"
        )
    if size % pool:
        raise rcnn.error(f"found initial_crop_size {size}; expected a multiple of maxpool_kernel_size, {pool}")
    remark = "theirs puts the outermost points on the edges of a box, ours into the middle of its cells"
    rcnn.take("initial_crop_size", {"two_stage.crop": size}, remark, default=14)
    rcnn.take("maxpool_kernel_size", {"two_stage.pool": pool}, default=2)
    rcnn.leave("maxpool_stride", "as maxpool_kernel_size says")
    matmul = rcnn.flag("use_matmul_crop_and_resize", False)
    rcnn.take("use_matmul_crop_and_resize", {"two_stage.crop_method": "matmul" if matmul else "op"}, default=False)
