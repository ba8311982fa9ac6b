"""What a training step costs: CPU and wall time, memory, and the operations that it asks for.

NumPy alone, since each peer has an environment of its own. Operations are counted in the graph of the whole step,
the same way for everybody: two for each multiply-add of its convolutions and matrix products, those of the backward
pass among them; a layer that is not trained has none there. What is neither, such as normalisation, crops and
suppression, is not counted, but takes its time.
"""

from __future__ import annotations

import json
import math
import resource
import time
from collections.abc import Callable
from typing import Any

import numpy as np

Product = Callable[[Any], int]  # multiply-adds of an operation of a graph


def operations(function: Any) -> dict[str, float]:
    """Billions of operations of a concrete function: convolutions, matrix products, and what could not be counted.

    Raises:
        ValueError: if the shapes of a counted operation are not known.
    """
    counts = {"convolutions": 0, "products": 0}
    library = {name: function.graph._get_function(name) for name in _called(function.graph)}
    graphs = [function.graph, *(found.graph for found in library.values() if hasattr(found, "graph"))]
    for graph in graphs:
        for operation in _live(graph):
            if operation.type in CONVOLUTIONS:
                counts["convolutions"] += 2 * CONVOLUTIONS[operation.type](operation)
            elif operation.type in PRODUCTS:
                counts["products"] += 2 * PRODUCTS[operation.type](operation)
    return {name: round(value / 1e9, 2) for name, value in counts.items()}


def _live(graph: Any) -> list[Any]:
    """The operations that a call runs: what outputs and effects need. Gradients that nobody wants are none of them."""
    effects = [operation for operation in graph.get_operations() if operation.op_def.is_stateful]
    open_ = [*(tensor.op for tensor in graph.outputs), *effects]
    seen = {operation.name: operation for operation in open_}
    while open_:
        here = open_.pop()
        for before in (*(tensor.op for tensor in here.inputs), *here.control_inputs):
            if before.name not in seen:
                seen[before.name] = before
                open_.append(before)
    return list(seen.values())


def _called(graph: Any) -> set[str]:
    """Names of the functions that a graph calls once a step."""
    calls = (op for op in graph.get_operations() if op.type in ("PartitionedCall", "StatefulPartitionedCall"))
    return {op.get_attr("f").name for op in calls}


def _size(operation: Any, shape: Any) -> int:
    if not shape.is_fully_defined():
        raise ValueError(f"{operation.type} {operation.name} has the shape {shape}; expected a known one")
    return math.prod(shape.as_list())


def _kernel_shape(operation: Any) -> list[int]:
    """[height, width, in, out] of a convolution's kernel, in either pass."""
    if operation.type.endswith("BackpropFilter"):
        return operation.outputs[0].shape.as_list()
    return operation.inputs[1].shape.as_list()


def _convolution(operation: Any) -> int:
    places = operation.outputs[0] if operation.type == "Conv2D" else operation.inputs[2]
    height, width, channels, filters = _kernel_shape(operation)
    return _size(operation, places.shape) // filters * height * width * channels * filters


def _depthwise(operation: Any) -> int:
    places = operation.outputs[0] if operation.type == "DepthwiseConv2dNative" else operation.inputs[2]
    height, width, _, _ = _kernel_shape(operation)
    return _size(operation, places.shape) * height * width


def _product(operation: Any) -> int:
    left = operation.inputs[0].shape
    across = left[-2] if operation.get_attr(_transposed(operation)) else left[-1]
    return _size(operation, operation.outputs[0].shape) * int(across)


def _transposed(operation: Any) -> str:
    return "transpose_a" if operation.type == "MatMul" else "adj_x"


def _einsum(operation: Any) -> int:
    inputs = operation.get_attr("equation").decode().split("->")[0]
    if "," not in inputs:
        return 0
    sizes: dict[str, int] = {}
    for letters, tensor in zip(inputs.split(","), operation.inputs, strict=True):
        _size(operation, tensor.shape)
        plain = letters.replace("...", "")
        sizes |= dict(zip(plain, tensor.shape.as_list()[-len(plain) :], strict=True))
        if letters.startswith("..."):
            sizes["."] = math.prod(tensor.shape.as_list()[: -len(plain)])
    return math.prod(sizes.values())


CONVOLUTIONS: dict[str, Product] = {
    **dict.fromkeys(("Conv2D", "Conv2DBackpropInput", "Conv2DBackpropFilter"), _convolution),
    **dict.fromkeys(
        ("DepthwiseConv2dNative", "DepthwiseConv2dNativeBackpropInput", "DepthwiseConv2dNativeBackpropFilter"),
        _depthwise,
    ),
}
PRODUCTS: dict[str, Product] = {
    **dict.fromkeys(("MatMul", "BatchMatMul", "BatchMatMulV2", "BatchMatMulV3"), _product),
    "Einsum": _einsum,
}


def random_boxes(batch: int, count: int = 7, classes: int = 80) -> tuple[np.ndarray, np.ndarray]:
    """The same for everybody: boxes f32[B, count, 4] (top, left, bottom, right in [0, 1]) and classes i32[B, count]."""
    rng = np.random.default_rng(0)
    corner = rng.uniform(0, 0.6, (batch, count, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(0.05, 0.4, (batch, count, 2))], -1)
    return boxes.astype(np.float32), rng.integers(0, classes, (batch, count)).astype(np.int32)


def clock(step: Callable[[], object], steps: int) -> dict[str, float]:
    """The least CPU and wall milliseconds of a call, after one to warm up, and the peak of memory."""
    cpu, wall = [], []
    step()
    for _ in range(steps):
        began, used = time.perf_counter(), time.process_time()
        step()
        cpu.append(time.process_time() - used)
        wall.append(time.perf_counter() - began)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"cpu_ms": round(1000 * min(cpu)), "wall_ms": round(1000 * min(wall)), "peak_mb": round(peak)}


def show(step: Callable[[], object], function: Any, steps: int, **facts: Any) -> None:
    """Measure and print one JSON line.

    Args:
        step: does the whole of it.
        function: the concrete function that it calls.
        steps: to be measured.
        **facts: to be printed too.
    """
    counted = operations(function)
    gflop = round(sum(counted.values()), 1)
    print(json.dumps({**clock(step, steps), "gflop": gflop, **counted, **facts}), flush=True)
