"""What is a function of the step alone: the learning rate, the decay of the averages, the size of the input.

Steps count from 0. darknet counts finished batches when it asks for the rate (`seen` grows before the update), so its
batch number is b = step + 1 here:

    b < burn_in            lr (b / burn_in)^power               (burn-in; `warmup_steps`, `warmup_power`)
    constant               lr
    steps                  lr times the scale of every listed step before the first that is > b
    poly                   lr (1 - b / max)^power
    cosine (ours)          lr (1 + cos(pi t)) / 2, t from 0 after the burn-in to 1 at the end

lr is `learning_rate`, times batch_size / reference_batch where that is given.

Multi-scale: a new size before step 0 and then every `multi_scale_every` steps, drawn evenly by a hash of (seed, number
of the block); a block that begins within the last 200 steps of the run takes the largest (darknet's rule; in a run of
less than 1,000 steps, within its last fifth). A resumed run sees the same sizes: nothing is drawn in turn.
"""

from __future__ import annotations

import hashlib
import itertools
import math

from detector.config import Experiment, TrainConfig
from schemas.errors import ConfigError

LAST_STEPS_AT_LARGEST = 200


def peak_rate(config: TrainConfig) -> float:
    """`learning_rate`, in proportion to the batch where `reference_batch` says which batch it is meant for."""
    return config.learning_rate * (config.batch_size / config.reference_batch if config.reference_batch else 1)


def learning_rate(config: TrainConfig, step: int) -> float:
    """The rate of the update of `step`, which counts from 0."""
    done, peak = step + 1, peak_rate(config)
    if done < config.warmup_steps:
        return peak * (done / config.warmup_steps) ** config.warmup_power
    if config.schedule == "constant":
        return peak
    if config.schedule == "steps":
        listed = zip(config.schedule_steps, config.schedule_scales, strict=True)
        reached = itertools.takewhile(lambda entry: entry[0] <= done, listed)
        return peak * math.prod(scale for _, scale in reached)
    if config.schedule == "poly":
        return peak * max(1 - done / config.steps, 0.0) ** config.schedule_power
    share = (step - config.warmup_steps) / max(config.steps - config.warmup_steps, 1)
    return peak * 0.5 * (1 + math.cos(math.pi * min(max(share, 0.0), 1.0)))


def average_decay(config: TrainConfig, step: int) -> float:
    """The decay of the averaged weights at `step`: low at the start, so that the random weights are soon forgotten."""
    return min(config.ema, (1 + step) / (10 + step))


def input_size_at(experiment: Experiment, step: int) -> int:
    """The width of the input at `step`, or the model's own where there is one size."""
    config = experiment.train
    if not config.multi_scale:
        return experiment.model.input_size
    block = step // config.multi_scale_every
    last = min(LAST_STEPS_AT_LARGEST, config.steps // 5)
    if block * config.multi_scale_every + last > config.steps:
        return max(config.multi_scale)
    text = f"{config.seed}/multi-scale/{block}"
    drawn = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")
    return config.multi_scale[drawn % len(config.multi_scale)]


def check_recipe(experiment: Experiment, stride: int) -> None:
    """Refuse options that contradict each other.

    Args:
        experiment: any.
        stride: pixels per cell of its network.

    Raises:
        ConfigError: naming the option, what was found and what is expected.
    """
    config = experiment.train
    if config.batch_size % config.subdivisions:
        raise ConfigError(
            f"train.subdivisions is {config.subdivisions}; expected a divisor of train.batch_size, {config.batch_size}"
        )
    if len(config.schedule_steps) != len(config.schedule_scales):
        raise ConfigError(
            f"train.schedule_steps has {len(config.schedule_steps)} numbers, train.schedule_scales "
            f"{len(config.schedule_scales)}; expected one factor a step"
        )
    if config.schedule == "steps" and not config.schedule_steps:
        raise ConfigError("train.schedule is 'steps'; name them with train.schedule_steps and train.schedule_scales")
    wrong = [size for size in config.multi_scale if size < stride or size % stride]
    if wrong:
        raise ConfigError(f"train.multi_scale has {wrong[0]}; expected multiples of the output stride {stride}")
    if experiment.loss.weak_teacher and not config.ema:
        raise ConfigError("loss.weak_teacher needs averaged weights; set train.ema, to 0.999 for instance")
