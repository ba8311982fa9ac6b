"""`train_config { ... }` as settings: the length, the optimizer, averages, limits and the augmentation.

`momentum_optimizer` is the update that ours is too: the rate stands outside of the velocity. `adam_optimizer` is AdamW
with the decay of the file, 0 where it has none. There is no RMSProp here: with an epsilon as large as the API's own, 1,
it divides by numbers near 1 and is momentum; with a small one it is nearer to Adam.
"""

from __future__ import annotations

from detector.pipeline_config.fields import Fields
from detector.pipeline_config.rates import read_rate

OPTIMIZERS = ("momentum_optimizer", "rms_prop_optimizer", "adam_optimizer")
WITHOUT_END = 1_000_000  # steps where num_steps is 0, which means without end
LARGE_EPSILON = 0.1
UNUSED = {
    "weights come from --init: a run, a .weights file or a Keras file": (
        "fine_tune_checkpoint fine_tune_checkpoint_type fine_tune_checkpoint_version from_detection_checkpoint "
        "load_all_detection_checkpoint_vars"
    ),
    "names of their variables; see two_stage.frozen_stride and two_stage.frozen_norm": (
        "freeze_variables update_trainable_variables"
    ),
    "--strategy says where it is computed": "sync_replicas startup_delay_steps replicas_to_aggregate",
    "images are read ahead without a setting here": (
        "batch_queue_capacity num_batch_queue_threads prefetch_queue_capacity"
    ),
    "see train.checkpoint_every and --keep": "keep_checkpoint_every_n_hours",
    "gradients of biases are not scaled here": "bias_grad_multiplier",
    "with two_stage.classes=sigmoid equal boxes share their labels here": "merge_multiple_label_boxes",
    "labels are taken as they are here": "use_multiclass_scores",
    "truths are masked here": "unpad_groundtruth_tensors",
    "see `wordtree inspect`": "retain_original_images",
    "not here": "summarize_gradients",
    "has no counterpart here": "data_augmentation_options",
}
OPTIONS = {
    "has no counterpart here; augment.exposure is near": "random_adjust_brightness random_adjust_contrast",
    "has no counterpart here; augment.hue, saturation and exposure are near": "random_distort_color",
    "has no counterpart here; augment.scale is near": "random_image_scale",
    "has no counterpart here; augment.scale and shift are near": (
        "random_crop_image random_pad_image random_crop_pad_image random_square_crop_by_scale"
    ),
    "has no counterpart here": (
        "random_horizontal_flip random_rgb_to_gray random_adjust_hue random_adjust_saturation normalize_image "
        "random_pixel_value_scale random_jitter_boxes random_absolute_pad_image random_crop_to_aspect_ratio "
        "random_black_patches random_resize_method scale_boxes_to_pixel_coordinates resize_image "
        "subtract_channel_mean ssd_random_crop ssd_random_crop_pad ssd_random_crop_fixed_aspect_ratio "
        "ssd_random_crop_pad_fixed_aspect_ratio random_vertical_flip random_rotation90 rgb_to_gray "
        "convert_class_logits_to_softmax random_self_concat_image autoaugment_image drop_label_probabilistically "
        "remap_labels random_jpeg_quality random_downscale_to_target_pixels random_patch_gaussian "
        "random_scale_crop_and_pad_to_square adjust_gamma"
    ),
}
CHANGES = (  # theirs, its field and that one's default, the setting of ours, a remark
    ("random_horizontal_flip", "probability", 0.5, "augment.flip", ""),
    ("random_rgb_to_gray", "probability", 0.1, "augment.grey", ""),
    ("random_adjust_hue", "max_delta", 0.02, "augment.hue", "in turns, as theirs"),
)


def read_training(file: Fields) -> None:
    """Read the message `train_config` into the book; the decay of the model must be in it already.

    Raises:
        FormatError: if a value is none of its field, or out of its range.
    """
    train = file.message("train_config")
    steps = train.integer("num_steps", 0)
    remark = "" if steps else "theirs goes on without end"
    train.take("num_steps", {"train.steps": steps or WITHOUT_END}, remark, default=0)
    train.take("batch_size", {"train.batch_size": train.integer("batch_size", 32)}, default=32)
    _optimizer(train.message("optimizer"), steps or WITHOUT_END)
    norm = train.number("gradient_clipping_by_norm", 0.0)
    remark = "of all gradients together; before the API used Keras theirs was of each" if norm else ""
    train.take("gradient_clipping_by_norm", {"train.clip_norm": norm}, remark, default=0)
    boxes = train.integer("max_number_of_boxes", 100)
    train.take("max_number_of_boxes", {"data.max_boxes": boxes}, default=100)
    small = train.flag("use_bfloat16", False)
    train.take("use_bfloat16", {"train.precision": "mixed_bfloat16" if small else "float32"}, default=False)
    regular = train.flag("add_regularization_loss", True)
    if not regular:
        train.take("add_regularization_loss", {"train.weight_decay": 0.0})
    train.leave("add_regularization_loss", "as it is here")
    _augmentation(train)
    train.leave_all(UNUSED)


def _optimizer(optimizer: Fields, steps: int) -> None:
    kind = optimizer.one_of(*OPTIMIZERS) or OPTIMIZERS[0]
    inside = optimizer.message(kind)
    if kind == "adam_optimizer":
        ours, remark = "adamw", "with the decay of this file"
        inside.leave("epsilon", "1e-7 here")
    elif kind == "momentum_optimizer":
        ours, remark = "sgd", "the same update"
    else:
        epsilon = inside.number("epsilon", 1.0)
        ours = "sgd" if epsilon >= LARGE_EPSILON else "adamw"
        remark = f"no RMSProp here; with an epsilon of {epsilon:g} this is near: check the rate"
        inside.leave_all({"no RMSProp here": "decay epsilon"})
    if kind in optimizer:
        optimizer.take(kind, {"train.optimizer": ours}, remark)
    else:
        optimizer.take(kind, {"train.optimizer": ours}, default="no optimizer is named")
    read_rate(inside.message("learning_rate"), steps)
    if kind != "adam_optimizer":
        momentum = inside.number("momentum_optimizer_value", 0.9)
        inside.take("momentum_optimizer_value", {"train.momentum": momentum}, default=0.9)
    averaged = optimizer.flag("use_moving_average", True)
    decay = optimizer.number("moving_average_decay", 0.9999) if averaged else 0.0
    ema = {"train.ema": decay if averaged else 0.0}
    optimizer.take("use_moving_average", ema, "the averages are what is evaluated" if averaged else "", default=True)
    if averaged:
        optimizer.take("moving_average_decay", ema, default=0.9999)
    optimizer.leave("moving_average_decay", "use_moving_average is false")


def _augmentation(train: Fields) -> None:
    """The four that are here; without them the picture stays as it is."""
    settings = train.book.settings
    settings |= {"augment.flip": 0.0, "augment.grey": 0.0, "augment.hue": 0.0, "augment.saturation": 1.0}
    settings["augment.jitter"] = 0.0  # the mode here does not read it; so nobody takes it for jitter
    for option in train.messages("data_augmentation_options"):
        option.one_of(*" ".join(OPTIONS.values()).split())
        if "random_horizontal_flip" in option:
            option.message("random_horizontal_flip").leave("keypoint_flip_permutation", "no points are read here")
        for name, inner, default, setting, remark in CHANGES:
            if name in option:
                inside = option.message(name)
                option.take(name, {setting: inside.number(inner, default)}, remark)
                inside.leave(inner, f"see {setting}")
        if "random_adjust_saturation" in option:
            factors = option.message("random_adjust_saturation")
            least, most = factors.number("min_delta", 0.8), factors.number("max_delta", 1.25)
            if not 0 < least <= most:
                raise factors.error(f"found factors from {least:g} to {most:g}; expected numbers above 0, rising")
            widest = round(max(most, 1 / least), 6)
            option.take("random_adjust_saturation", {"augment.saturation": widest}, "a factor, or one over it")
            factors.leave_all({"see augment.saturation": "min_delta max_delta"})
        option.leave_all(OPTIONS)
