"""What a run will cost, before it begins: passes over the data, parameters, memory; and what looks odd.

The memory is an estimate: what must be held at once if nothing is shared and nothing is copied.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from detector.config import Experiment
from detector.dataset import Dataset
from detector.training.schedule import peak_rate

SLOTS = {"sgd": 1, "adamw": 2}  # variables of the optimizer per weight
BYTES = {"float32": 4, "mixed_bfloat16": 2, "mixed_float16": 2}


@dataclass(frozen=True)
class Memory:
    """Bytes.

    Attributes:
        weights: and their averages.
        optimizer: gradients and the optimizer's own variables.
        activations: outputs of the layers for one part of a batch at the largest input.
    """

    weights: int
    optimizer: int
    activations: int

    @property
    def total(self) -> int:
        """All of it."""
        return self.weights + self.optimizer + self.activations


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


def memory_estimate(experiment: Experiment, model: Any) -> Memory:
    """Of one training step.

    Args:
        experiment: batch, parts, precision, optimizer.
        model: Keras model with a free or fixed size of input.
    """
    config = experiment.train
    weights = 4 * model.count_params()
    trained = 4 * sum(prod(weight.shape) for weight in model.trainable_weights)
    height, width = (max([side, *config.multi_scale]) for side in experiment.model.canvas)
    part = config.batch_size // config.subdivisions
    numbers = sum(prod(shape) for shape in layer_shapes(model, (part, height, width, 3)))
    return Memory(
        weights=weights * (2 if config.ema else 1),
        optimizer=trained * (1 + SLOTS[config.optimizer]),
        activations=numbers * BYTES[config.precision],
    )


def layer_shapes(model: Any, shape: tuple[int, ...]) -> list[tuple[int, ...]]:
    """The shapes of all outputs of the layers for images of `shape`, the images' own first."""
    import keras

    inner = keras.Model(model.inputs, [layer.output for layer in model.layers if not isinstance(layer.output, list)])
    outputs = inner.compute_output_spec(keras.KerasTensor(shape))
    return [tuple(output.shape) for output in outputs]


def memory_line(memory: Memory) -> str:
    """For the plan."""

    def mega(count: int) -> str:
        return f"{count / 2**20:,.0f} MiB"

    return (
        f"  memory: about {mega(memory.total)}: weights {mega(memory.weights)}, optimizer and gradients "
        f"{mega(memory.optimizer)}, activations {mega(memory.activations)}"
    )
