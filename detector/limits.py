"""What each configuration value may be: refused before anything is built, with the range that is allowed.

The dataclasses of `detector.config` say the types; this table says the ranges. A value that is not listed may be
anything of its type.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from detector.config import Experiment, shortened
from schemas.errors import ConfigError

COUNT = 10**12  # of steps or images: as many times the largest batch still fits into 64 bits

# section.key: (least, most). Both ends are allowed.
RANGES: dict[str, tuple[float, float]] = {
    "model.input_size": (8, 8192),
    "model.input_height": (0, 8192),
    "model.shorter_side": (0, 8192),
    "model.width": (0.01, 16),
    "model.depth": (0.1, 8),
    "model.passthrough": (0, 65536),
    "model.stages": (1, 6),
    "model.output_stride": (1, 32),
    "model.head_convs": (0, 16),
    "model.head_width": (8, 65536),
    "model.num_anchors": (1, 64),
    "model.dropout": (0, 0.95),
    "model.batch_norm_momentum": (0, 0.99999),
    "loss.object_scale": (0, 1e6),
    "loss.noobject_scale": (0, 1e6),
    "loss.coord_scale": (0, 1e6),
    "loss.class_scale": (0, 1e6),
    "loss.ignore_iou": (0, 1),
    "loss.prior_scale": (0, 1e6),
    "loss.prior_images": (0, COUNT),
    "loss.weak_scale": (0, 1e6),
    "loss.weak_object_scale": (0, 1e6),
    "loss.weak_after": (0, COUNT),
    "loss.weak_pseudo": (0, 1),
    "loss.weak_pseudo_after": (0, COUNT),
    "loss.weak_robust": (0, 1),
    "loss.weak_negative_scale": (0, 1e6),
    "loss.federated": (0, 1),
    "loss.label_smoothing": (0, 0.9),
    "augment.jitter": (0, 0.9),
    "augment.scale": (1, 10),
    "augment.aspect": (1, 10),
    "augment.shift": (0, 1),
    "augment.flip": (0, 1),
    "augment.hue": (0, 0.5),
    "augment.saturation": (1, 100),
    "augment.exposure": (1, 100),
    "augment.grey": (0, 1),
    "augment.min_visible": (0, 1),
    "data.max_boxes": (1, 10_000),
    "data.max_labels": (1, 10_000),
    "train.steps": (1, COUNT),
    "train.batch_size": (1, 1_000_000),
    "train.learning_rate": (0, 3.4e38),
    "train.reference_batch": (0, 1_000_000),
    "train.warmup_steps": (0, COUNT),
    "train.warmup_power": (0.1, 16),
    "train.schedule_power": (0.1, 16),
    "train.momentum": (0, 0.9999),
    "train.subdivisions": (1, 100_000),
    "train.multi_scale_every": (1, COUNT),
    "train.evaluate_every": (0, COUNT),
    "train.weight_decay": (0, 100),
    "train.clip_norm": (0, 1e12),
    "train.ema": (0, 0.99999999),
    "train.seed": (0, 2**32 - 1),
    "train.checkpoint_every": (1, COUNT),
    "train.log_every": (1, COUNT),
    "two_stage.head_width": (8, 65536),
    "two_stage.tail_stride": (1, 2),
    "two_stage.frozen_stride": (0, 32),
    "two_stage.rpn_width": (8, 65536),
    "two_stage.proposals": (1, 10_000),
    "two_stage.candidates": (1, 1_000_000),
    "two_stage.proposal_iou": (0, 1),
    "two_stage.anchor_batch": (1, 1_000_000),
    "two_stage.anchor_positives": (0, 1),
    "two_stage.roi_batch": (1, 10_000),
    "two_stage.roi_positives": (0, 1),
    "two_stage.roi_iou": (0, 1),
    "two_stage.final_iou": (0, 1),
    "two_stage.crop": (1, 128),
    "two_stage.pool": (1, 2),
    "two_stage.knee": (1e-6, 1e6),
    "two_stage.rpn_object_weight": (0, 1e6),
    "two_stage.rpn_box_weight": (0, 1e6),
    "two_stage.object_weight": (0, 1e6),
    "two_stage.box_weight": (0, 1e6),
    "two_stage.class_weight": (0, 1e6),
}

MOST_ANCHOR = 1000  # images: priors of a published .cfg are in cells, of which a small input has one
LEAST_SHORTER_SIDE = 16  # pixels of model.shorter_side, where it is not 0

# The same of every number of a list.
EACH: dict[str, tuple[float, float]] = {
    "train.schedule_steps": (-1, COUNT),  # of a published .cfg: "from the start"
    "train.schedule_scales": (0, 1e6),
    "train.multi_scale": (8, 8192),
}


def within_limits(experiment: Experiment, sections: Sequence[str]) -> tuple[Experiment, list[str]]:
    """The experiment with values of some sections at the ends of their ranges where they lie beyond, and what was so.

    For settings that were written for another program, which knows no such limits.
    """
    notes: list[str] = []
    for key, (least, most) in {**RANGES, **EACH}.items():
        section, name = key.split(".")
        part = getattr(experiment, section)
        value = getattr(part, name)
        each = value if key in EACH else (value,)
        held = tuple(type(one)(min(max(one, least), most)) for one in each)
        if section in sections and held != each:
            notes.append(f"{key} is {shortened(repr(value))}, beyond {least:g} to {most:g}; it is held within")
            experiment = replace(experiment, **{section: replace(part, **{name: held if key in EACH else held[0]})})
    return experiment, notes


def check_experiment(experiment: Experiment, where: str) -> Experiment:
    """The experiment, if every value is in its range.

    Raises:
        ConfigError: naming the value, what was found and what is allowed.
    """
    for key, (least, most) in RANGES.items():
        section, name = key.split(".")
        value = getattr(getattr(experiment, section), name)
        if not least <= value <= most:  # false for NaN too
            raise ConfigError(f"{where}: {key} is {shortened(repr(value))}; expected {least:g} to {most:g}")
    for key, (least, most) in EACH.items():
        section, name = key.split(".")
        for value in getattr(getattr(experiment, section), name):
            if not least <= value <= most:
                raise ConfigError(
                    f"{where}: {key} holds {shortened(repr(value))}; expected numbers from {least:g} to {most:g}"
                )
    if experiment.model.shorter_side and (experiment.model.cfg or experiment.augment.mode == "release2017"):
        other = "model.cfg" if experiment.model.cfg else "augment.mode=release2017"
        raise ConfigError(
            f"{where}: model.shorter_side is {experiment.model.shorter_side} beside {other}, which lays pictures on "
            "the canvas in its own way; expected 0"
        )
    if experiment.model.stretched and not experiment.model.cfg:
        raise ConfigError(f"{where}: model.stretched goes with model.cfg, darknet's own networks; expected false")
    if 0 < experiment.model.shorter_side < LEAST_SHORTER_SIDE:
        raise ConfigError(
            f"{where}: model.shorter_side is {experiment.model.shorter_side}; expected {LEAST_SHORTER_SIDE} or more "
            "pixels, or 0 for pictures as large as the canvas allows"
        )
    if experiment.model.output_stride not in (1, 2, 4, 8, 16, 32):
        raise ConfigError(f"{where}: model.output_stride is {experiment.model.output_stride}; expected a power of two")
    if experiment.two_stage.cut not in (8, 16, 32):
        raise ConfigError(f"{where}: two_stage.cut is {experiment.two_stage.cut}; expected 8, 16 or 32")
    stages = experiment.two_stage
    if stages.frozen_stride not in (0, 1, 2, 4, 8, 16, 32):
        raise ConfigError(
            f"{where}: two_stage.frozen_stride is {stages.frozen_stride}; expected 0, which freezes nothing, or a "
            "power of two up to 32"
        )
    if experiment.model.architecture == "faster_rcnn" and stages.candidates < stages.proposals:
        raise ConfigError(
            f"{where}: two_stage.candidates is {stages.candidates}, fewer than two_stage.proposals, "
            f"{stages.proposals}, which are chosen from them; expected as many or more: raise the first or lower the "
            "second"
        )
    low, high = stages.anchor_iou
    if not 0 <= low <= high <= 1:
        raise ConfigError(f"{where}: two_stage.anchor_iou is {low:g}, {high:g}; expected 0 <= first <= second <= 1")
    for anchor in experiment.model.anchors:
        if not all(0 < side <= MOST_ANCHOR for side in anchor):
            raise ConfigError(
                f"{where}: model.anchors holds {shortened(repr(anchor))}; expected widths and heights above 0, at most "
                f"{MOST_ANCHOR} images"
            )
    if not all(0 < share < math.inf for share in experiment.data.shares):
        raise ConfigError(f"{where}: data.shares is {experiment.data.shares!r}; expected two numbers above 0")
    if experiment.train.checkpoint_every % experiment.train.log_every:
        raise ConfigError(
            f"{where}: train.checkpoint_every is {experiment.train.checkpoint_every}; expected a multiple of "
            f"train.log_every, {experiment.train.log_every}, so that a resumed run logs the same means"
        )
    return experiment
