"""What a training step holds in memory, before it begins: an estimate from the shapes of the layers.

    weights        and their averages
    optimizer      gradients and the optimizer's own variables, one set for each trained weight
    activations    the outputs of the layers that the backward pass reads, for the images that one device computes at
                   once; twice the largest of them, for the gradients that run through it

Nothing below the first trained layer is kept, nor what goes into a sum, a frozen normalisation or padding alone. Layers
of networks that are layers themselves are counted, and of a second stage the RoIs that are trained, not all proposals.
Not counted: the program with its compiled step, some 750 MiB on a CPU; the input stream; what kernels need.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import Any

from detector.architectures import traits_of
from detector.config import Experiment

SLOTS = {"sgd": 1, "adamw": 2}  # variables of the optimizer per weight
BYTES = {"float32": 4, "mixed_bfloat16": 2, "mixed_float16": 2}
GATHERED_FROM = 256  # nodes; of smaller trees every class of every slot is computed
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Memory:
    """Bytes on one device.

    Attributes:
        weights: and their averages.
        optimizer: gradients and the optimizer's own variables.
        activations: of one part of a batch at the largest input.
    """

    weights: int
    optimizer: int
    activations: int

    @property
    def total(self) -> int:
        """All of it."""
        return self.weights + self.optimizer + self.activations


def memory_estimate(experiment: Experiment, model: Any, replicas: int = 1) -> Memory:
    """Of one training step.

    Args:
        experiment: batch, parts, precision, optimizer.
        model: Keras model with a free or fixed size of input.
        replicas: devices that share a batch.
    """
    config = experiment.train
    weights = 4 * model.count_params()
    trained = 4 * sum(prod(weight.shape) for weight in model.trainable_weights)
    height, width = (max([side, *config.multi_scale]) for side in experiment.model.canvas)
    part = max(config.batch_size // (config.subdivisions * replicas), 1)
    counts = [prod(shape) for shape in activation_shapes(experiment, model, (part, height, width, 3))]
    return Memory(
        weights=weights * (2 if config.ema else 1),
        optimizer=trained * (1 + SLOTS[config.optimizer]),
        activations=(sum(counts) + 2 * max(counts)) * BYTES[config.precision],
    )


def activation_shapes(experiment: Experiment, model: Any, images: Shape) -> list[Shape]:
    """The shapes of what is kept of the layers in training, the images' own first.

    Args:
        experiment: of which detector and tree it is.
        model: of the detector.
        images: [B, h, w, 3].
    """
    from detector.region.head import RegionHead
    from detector.two_stage.crop import CropLayer

    settings, batch = experiment.two_stage, images[0]
    rows = {batch * settings.proposals: batch * settings.roi_batch}
    shapes = []
    for layer, shape in layer_outputs(model, images):
        if traits_of(experiment.model.architecture).two_stages:
            if shape[:2] == (batch, settings.proposals):
                shape = (batch, settings.roi_batch, *shape[2:])
            elif shape[0] != batch:
                shape = (rows.get(shape[0], shape[0]), *shape[1:])
        shapes.append(shape)
        if isinstance(layer, CropLayer):  # as they are before they are pooled, and in float32
            shapes.append((shape[0], shape[1] * layer.pool, shape[2] * layer.pool, shape[3]))
        if isinstance(layer, RegionHead) and _all_classes(experiment, layer.nodes):
            shapes += [(*shape[:-1], layer.nodes)] * 3  # logits, their probabilities, the gradient
    return shapes


def _all_classes(experiment: Experiment, nodes: int) -> bool:
    kind = experiment.model.class_head
    if traits_of(experiment.model.architecture).two_stages and experiment.two_stage.classes == "sigmoid":
        return True
    return kind == "full" or (kind == "auto" and nodes < GATHERED_FROM)


def layer_outputs(model: Any, shape: Shape, trained: bool = False, inner: bool = False) -> Iterator[tuple[Any, Shape]]:
    """The layers whose outputs are kept, and their shapes; networks that are layers are walked through.

    Args:
        model: functional, of one input.
        shape: of its input.
        trained: whether something before it is trained.
        inner: it is a layer of another.
    """
    import keras

    # a layer may stand in several models, so what it gives in this one is asked of the model's own graph
    nodes = [node for depth in sorted(model._nodes_by_depth, reverse=True) for node in model._nodes_by_depth[depth]]
    networks = [_network_of(node.operation) for node in nodes]
    given = [
        node.outputs if network is None else node.input_tensors[:1]
        for node, network in zip(nodes, networks, strict=True)
    ]
    shapes = keras.Model(model.inputs, given).compute_output_spec(keras.KerasTensor(shape))
    readers: dict[int, list[Any]] = {}
    for node in nodes:
        for tensor in node.input_tensors:
            readers.setdefault(id(tensor), []).append(node.operation)
    above = {id(tensor) for tensor in model.inputs if trained}
    for node, network, found in zip(nodes, networks, shapes, strict=True):
        before = any(id(tensor) in above for tensor in node.input_tensors)
        if before or getattr(node.operation, "trainable_weights", None):
            above |= {id(tensor) for tensor in node.outputs}
        if network is not None:
            yield from layer_outputs(network, tuple(found[0].shape), before, inner=True)
            continue
        for tensor, each in zip(node.outputs, found, strict=True):
            if node.is_input:
                keep = not inner
            else:
                keep = id(tensor) in above and not _passes(node.operation, readers.get(id(tensor), []))
            if keep:
                yield node.operation, tuple(each.shape)


def _passes(layer: Any, readers: list[Any]) -> bool:
    """Whether no gradient reads what a layer gives: not its own, and not those of the layers that read it."""
    import keras

    from detector.darknet.normalisation import DarknetNormalization

    norms = (keras.layers.BatchNormalization, DarknetNormalization)

    def fixed(each: Any) -> bool:
        return isinstance(each, norms) and not each.trainable

    kinds = (keras.layers.Add, keras.layers.ZeroPadding2D, keras.layers.Conv2D, keras.layers.DepthwiseConv2D, *norms)
    keeps = [
        fixed(each) or isinstance(each, keras.layers.Add | keras.layers.ReLU) or _is_relu(each) for each in readers
    ]
    return bool(readers) and all(keeps) and isinstance(layer, kinds)


def _is_relu(layer: Any) -> bool:
    return getattr(getattr(layer, "activation", None), "__name__", "") == "relu" and not layer.weights


def _network_of(layer: Any) -> Any:
    """The functional network that a layer is or holds, if it is one or holds one."""
    import keras

    for network in (layer, getattr(layer, "inner", None)):
        if isinstance(network, keras.Model) and len(network.inputs) == 1:
            return network
    return None


def memory_line(memory: Memory, replicas: int = 1) -> str:
    """For the plan."""

    def mega(count: int) -> str:
        return f"{count / 2**20:,.0f} MiB"

    return (
        f"  memory: about {mega(memory.total)}{' a device' if replicas > 1 else ''} beside the program (750 MiB): "
        f"weights {mega(memory.weights)}, optimizer and gradients {mega(memory.optimizer)}, activations "
        f"{mega(memory.activations)}"
    )
