"""What a run will do, before it begins: how a batch is filled, passes over the data, the schedule in words.

`detector.training.memory` estimates what it holds.
"""

from __future__ import annotations

from collections.abc import Sequence

from detector.config import Experiment
from detector.dataset import Dataset
from detector.training.schedule import peak_rate


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
    if config.subdivisions > 1:
        lines.append(f"        {config.subdivisions} parts of {config.batch_size // config.subdivisions} images a step")
    if config.multi_scale:
        lines.append(
            f"  size: {', '.join(map(str, config.multi_scale))}, a new one every {config.multi_scale_every} steps"
        )
    return lines
