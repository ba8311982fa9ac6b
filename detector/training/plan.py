"""What a run will do, before it begins: how a batch is filled, passes over the data, the schedule in words, and what
looks odd in it.

`detector.training.memory` estimates what it holds.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from detector.architectures import traits_of
from detector.config import Experiment, TrainConfig
from detector.dataset import Dataset
from detector.networks.applications import BACKBONES
from detector.training.schedule import learning_rate, peak_rate

UNNORMALISED = ("VGG", "ConvNeXt")  # networks without batch normalisation


def mix_line(experiment: Experiment, datasets: Sequence[Dataset]) -> str:
    """How a batch is filled, for the plan."""
    kinds = [dataset.has_boxes for dataset in datasets]
    if len(set(kinds)) < 2:
        return "  mix:  " + ("boxed images alone" if kinds[0] else "labelled images alone")
    labelled, boxed = (share / sum(experiment.data.shares) for share in experiment.data.shares)
    size = experiment.train.batch_size
    return f"  mix:  {size * boxed:.3g} boxed and {size * labelled:.3g} only labelled images a step (data.shares)"


def passes(experiment: Experiment, datasets: Sequence[Dataset]) -> dict[str, float]:
    """How often the run sees the images of each kind, "boxed" and "only labelled"."""
    total = experiment.train.steps * experiment.train.batch_size
    sizes = {
        kind: sum(len(dataset) for dataset in datasets if dataset.has_boxes == boxed)
        for kind, boxed in (("labels-only", False), ("boxed", True))
    }
    present = [kind for kind, size in sizes.items() if size]
    shares = dict(zip(sizes, experiment.data.shares, strict=True)) if len(present) == 2 else dict.fromkeys(present, 1.0)
    whole = sum(shares[kind] for kind in present)
    return {kind: total * shares[kind] / whole / sizes[kind] for kind in present}


def recipe_lines(experiment: Experiment, datasets: Sequence[Dataset]) -> list[str]:
    """The schedule in words."""
    config = experiment.train
    often = ", ".join(
        f"the {kind} images {count:,.0f} times" if count >= 100 else f"the {kind} images {count:.3g} times"
        for kind, count in passes(experiment, datasets).items()
    )
    lines = [f"  seen: {often} ({sum(map(len, datasets)):,} images in all)"]
    rate = f"  rate: {peak_rate(config):g}, {config.schedule}"
    if config.warmup_steps:
        rate += f", after a rise over {config.warmup_steps} steps to the power {config.warmup_power:g}"
    if config.reference_batch:
        rate += f" ({config.learning_rate:g} for {config.reference_batch} images a step)"
    lines.append(f"{rate}; {config.optimizer}, {config.precision}")
    if drop := _drop_out_of_reach(config):
        lines.append(f"        it never falls: the first drop is at step {drop:,}, the run has {config.steps:,}")
    if config.subdivisions > 1:
        lines.append(f"        {config.subdivisions} parts of {config.batch_size // config.subdivisions} images a step")
    if config.multi_scale:
        lines.append(
            f"  size: {', '.join(map(str, config.multi_scale))}, a new one every {config.multi_scale_every} steps"
        )
    model = experiment.model
    if model.network in BACKBONES and not model.cfg and (model.stages, model.depth) != (6, 1.0):
        lines.append(
            f"  net:  {model.network} does not read model.stages and model.depth, which are of darknet19 and tiny"
        )
    return lines


def recipe_warnings(experiment: Experiment, has_weights: bool) -> list[str]:
    """What of the recipe is seldom meant.

    Args:
        experiment: any.
        has_weights: it begins with weights, given by --init, or goes on.
    """
    config, lines = experiment.train, []
    if config.warmup_steps >= config.steps:
        lines.append(
            f"train.warmup_steps is {config.warmup_steps} and train.steps {config.steps}: the rate only rises, to "
            f"{learning_rate(config, config.steps - 1):.3g} of {peak_rate(config):.3g} at the last step; give "
            f"--set train.warmup_steps={config.steps // 10}, say"
        )
    if not has_weights and (frozen := _frozen(experiment)):
        names, settings = zip(*frozen, strict=True)
        lines.append(
            f"frozen without --init: {' and '.join(names)} would stay as they begin, untrained; give weights with "
            f"--init, or train them: {' '.join(f'--set {setting}' for setting in settings)}"
        )
    return lines


def _frozen(experiment: Experiment) -> list[tuple[str, str]]:
    """What of the network is not trained, and the setting that trains it."""
    model, settings = experiment.model, experiment.two_stage
    if not traits_of(model.architecture).two_stages:
        return []
    found = []
    if settings.frozen_stride > 0:
        found.append((f"the layers up to stride {settings.frozen_stride}", "two_stage.frozen_stride=0"))
    if settings.frozen_norm and not model.network.startswith(UNNORMALISED):
        found.append(("scale and statistics of batch normalisation", "two_stage.frozen_norm=false"))
    return found


def _drop_out_of_reach(config: TrainConfig) -> int:
    """The step of the first drop of the schedule "steps", where the run ends before it; else 0."""
    if config.schedule != "steps":
        return 0
    listed = list(zip(config.schedule_steps, config.schedule_scales, strict=False))
    reached = list(itertools.takewhile(lambda entry: entry[0] <= config.steps, listed))
    drops = [step for step, scale in listed[len(reached) :] if scale < 1]
    return drops[0] if drops and all(scale >= 1 for _, scale in reached) else 0
