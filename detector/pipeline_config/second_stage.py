"""The second stage of `faster_rcnn`: its head, its loss, and what becomes of its boxes.

How boxes become detections is no part of an experiment here but of the command that makes them: those fields are told
as flags of `wordtree detect`.
"""

from __future__ import annotations

from detector.pipeline_config.fields import Fields
from detector.pipeline_config.weights import read_hyperparameters
from schemas.errors import ConfigError

PREDICTORS = (
    "mask_rcnn_box_predictor",
    "rfcn_box_predictor",
    "convolutional_box_predictor",
    "weight_shared_convolutional_box_predictor",
)
LOSSES = {
    "weighted_softmax": ("softmax", ""),
    "weighted_sigmoid": ("sigmoid", ""),
    "weighted_sigmoid_focal": ("sigmoid", "without the focus on hard ones, which is not here"),
    "bootstrapped_sigmoid": ("sigmoid", "without the bootstrap, which is not here"),
    "weighted_logits_softmax": ("softmax", "of labels, not of logits"),
}
HEAD_UNUSED = {
    "four numbers a box here": "box_code_size",
    "no masks are predicted here": (
        "mask_prediction_conv_depth mask_prediction_num_conv_layers mask_height mask_width "
        "masks_are_class_agnostic convolve_then_upsample_masks"
    ),
}
SUPPRESSION_UNUSED = {
    "--limit holds for all classes together": "max_detections_per_class",
    "shapes are always static here": "use_static_shapes",
    "see --top of `wordtree detect`": "max_classes_per_detection",
    "boxes are kept or fall here, scores are not lowered": "soft_nms_sigma",
    "the same boxes": "use_partitioned_nms use_combined_nms combined_nms",
    "boxes are always relative to the picture": "change_coordinate_frame",
    "as it is here": "use_hard_nms",
    "where it is computed is decided here": "use_cpu_nms",
}
NAMES_PER_BOX = 5  # `wordtree detect --top`: the likeliest of a box; theirs counts every class of it


def read_second_stage(rcnn: Fields) -> None:
    """Read head, loss and detections into the book.

    Raises:
        ConfigError: if the head is another than Faster R-CNN's, or predicts masks or points.
    """
    _head(rcnn.message("second_stage_box_predictor"))
    processing = rcnn.message("second_stage_post_processing")
    _loss(rcnn, processing)
    _detections(processing.message("batch_non_max_suppression"), rcnn.integer("num_classes", 0))
    processing.leave("logit_scale", "logits are not scaled here")
    processing.leave("calibration_config", "scores are not calibrated here")


def _head(predictor: Fields) -> None:
    kind = predictor.one_of(*PREDICTORS) or PREDICTORS[0]
    where = predictor.place(predictor.message(kind).line)
    if kind != PREDICTORS[0]:
        what = "R-FCN, which is" if kind == "rfcn_box_predictor" else "which is"
        raise ConfigError(f"{where}: found {kind}, {what} not built here; expected mask_rcnn_box_predictor")
    head = predictor.message(kind)
    for name, what in (("predict_instance_masks", "masks"), ("predict_keypoints", "points")):
        if head.flag(name, False):
            raise ConfigError(f"{where}: found {name}: true, but no {what} are predicted here; expected false")
        head.leave(name, "as it is here")
    use = head.flag("use_dropout", False)
    keep = head.number("dropout_keep_probability", 0.5) if use else 1.0
    if not 0 < keep <= 1:
        raise head.error(f"found dropout_keep_probability {keep:g}; expected a number above 0, up to 1")
    share = round(1 - keep, 7) if use else 0.0
    if use:
        head.take("dropout_keep_probability", {"model.dropout": share}, "the share that is dropped", default=0.5)
    else:
        head.leave("dropout_keep_probability", "use_dropout is false")
    head.take("use_dropout", {"model.dropout": share}, default=False)
    shared = head.flag("share_box_across_classes", False)
    head.leave("share_box_across_classes", "as it is here" if shared else "one box for all classes here")
    for name in ("fc_hyperparams", "conv_hyperparams"):
        read_hyperparameters(head, name)
    head.leave_all(HEAD_UNUSED)


def _loss(rcnn: Fields, processing: Fields) -> None:
    """Whether siblings exclude each other: the loss says it, else the converter of scores."""
    converter = processing.word("score_converter", "IDENTITY", ("IDENTITY", "SIGMOID", "SOFTMAX"))
    loss = rcnn.message("second_stage_classification_loss")
    kind = loss.one_of(*LOSSES)
    by_score = "sigmoid" if converter == "SIGMOID" else "softmax"
    classes, remark = LOSSES[kind] if kind else (by_score, "")
    if kind:
        loss.take(kind, {"two_stage.classes": classes}, remark)
        inside = loss.message(kind)
        inside.leave("anchorwise_output", "the loss of each box counts, as theirs does")
        inside.leave_all({"not here": "logit_scale gamma alpha hard_bootstrap"})
    if kind and converter != "IDENTITY" and by_score != classes:
        processing.leave("score_converter", f"the loss decides: {classes}")
    else:
        processing.take("score_converter", {"two_stage.classes": classes}, default="IDENTITY")


def _detections(suppression: Fields, classes: int) -> None:
    """The final suppression: its overlap is a setting, the rest flags of `wordtree detect` in the book."""
    flags = suppression.book.flags
    agnostic = suppression.flag("use_class_agnostic_nms", False)
    top = max(min(classes, NAMES_PER_BOX), 1)
    flags += ["--walk-rule", "leaves"] if agnostic else ["--walk-rule", "topk", "--top", str(top)]
    flags += ["--suppression", "any" if agnostic else "class"]
    suppression.leave("use_class_agnostic_nms", f"wordtree detect --suppression {'any' if agnostic else 'class'}")
    threshold, overlap = suppression.number("score_threshold", 0.0), suppression.number("iou_threshold", 0.6)
    for name, value in (("score_threshold", threshold), ("iou_threshold", overlap)):
        if not 0 <= value <= 1:
            raise suppression.error(f"found {name} {value:g}; expected 0 to 1")
    flags += ["--threshold", f"{threshold:g}"]
    suppression.leave("score_threshold", f"wordtree detect --threshold {threshold:g}")
    suppression.take("iou_threshold", {"two_stage.final_iou": overlap}, default=0.6)
    limit = suppression.integer("max_total_detections", 100)
    if limit < 1:
        raise suppression.error(f"found max_total_detections {limit}; expected 1 or more")
    flags += ["--limit", str(limit)]
    suppression.leave("max_total_detections", f"wordtree detect --limit {limit}")
    suppression.leave_all(SUPPRESSION_UNUSED)
