"""How many operations an inference takes: 2 for each multiply-add of a convolution or a product of matrices.

The graph of the inference is traced once more with the shapes of these operations' operands as its outputs, and run on
an image: so the counts hold for shapes that are known only then, such as the crops of the proposals or the boxes whose
classes are looked at. Nothing else is counted (normalisation, activations, crops, suppression), as in darknet's BFLOPs
and in the tables of the papers. Zeros of padding count.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import tensorflow as tf

Shape = tuple[int, ...]
COUNTED = frozenset(
    {"Conv2D", "DepthwiseConv2dNative", "MatMul", "BatchMatMul", "BatchMatMulV2", "BatchMatMulV3", "Einsum"}
)


class Operations(NamedTuple):
    """Of one inference.

    Attributes:
        flops: 2 for each multiply-add.
        by_kind: the same by the name of the operation.
        not_counted: kinds inside of loops and branches, whose number cannot be read off the graph.
    """

    flops: int
    by_kind: dict[str, int]
    not_counted: list[str]


def count_operations(compute: Callable[[Any], Any], images: Sequence[Any]) -> list[Operations]:
    """The operations of `compute` on each image.

    Args:
        compute: f32[1, H, W, 3] to any structure of tensors; what its outputs do not need is not counted.
        images: f32[1, H, W, 3], of one size.
    """
    kinds: list[tuple[str, dict[str, Any]]] = []
    hidden: set[str] = set()

    def shapes(batch: tf.Tensor) -> list[tuple[tf.Tensor, tf.Tensor, tf.Tensor]]:
        kinds.clear()
        hidden.clear()
        found = []
        outputs = [part for part in tf.nest.flatten(compute(batch)) if tf.is_tensor(part)]
        needed = _needed([part.op for part in outputs if part.graph is batch.graph])
        hidden.update(_hidden(needed, batch.graph))
        for op in needed:
            if op.type in COUNTED:
                kinds.append((op.type, _attributes(op)))
                found.append((tf.shape(op.inputs[0]), tf.shape(op.inputs[-1]), tf.shape(op.outputs[0])))
        return found

    shape = [1, *images[0].shape[1:]]
    traced = tf.function(shapes, input_signature=[tf.TensorSpec(shape, tf.float32)])
    counts = []
    for image in images:
        by_kind: dict[str, int] = {}
        read = [tuple(tuple(part.numpy().tolist()) for part in row) for row in traced(tf.constant(image))]
        for (kind, attributes), (left, right, out) in zip(kinds, read, strict=True):
            by_kind[kind] = by_kind.get(kind, 0) + flops_of(kind, left, right, out, attributes)
        counts.append(Operations(sum(by_kind.values()), dict(sorted(by_kind.items())), sorted(hidden)))
    return counts


def flops_of(kind: str, left: Shape, right: Shape, out: Shape, attributes: dict[str, Any]) -> int:
    """Two for each multiply-add of one operation.

    Args:
        kind: of `COUNTED`.
        left, right, out: shapes of the operands and of what comes out.
        attributes: transpose_a of products, equation of an einsum.
    """
    if kind == "Conv2D":  # filter [kh, kw, channels of a group, filters]
        return 2 * math.prod(out) * math.prod(right[:3])
    if kind == "DepthwiseConv2dNative":  # filter [kh, kw, channels, multiplier]
        return 2 * math.prod(out) * math.prod(right[:2])
    if kind == "Einsum":
        return 2 * einsum_products(attributes["equation"], left, right)
    return 2 * math.prod(out) * (left[-2] if attributes.get("transpose_a") else left[-1])


def einsum_products(equation: str, left: Shape, right: Shape) -> int:
    """Multiply-adds of an einsum of two operands: one for each setting of all its letters; 0 of a single operand."""
    terms = equation.partition("->")[0].split(",")
    if len(terms) < 2:
        return 0
    sides: dict[str, int] = {}
    for term, shape in zip(terms, (left, right), strict=True):
        before, dots, after = term.partition("...")
        spread = [f"...{number}" for number in range(len(shape) - len(before) - len(after), 0, -1)] if dots else []
        for letter, side in zip([*before, *spread, *after], shape, strict=True):
            sides[letter] = max(sides.get(letter, 1), side)
    return math.prod(sides.values())


def _attributes(op: Any) -> dict[str, Any]:
    if op.type == "Einsum":
        return {"equation": op.get_attr("equation").decode()}
    if op.type == "MatMul":
        return {"transpose_a": op.get_attr("transpose_a")}
    return {"transpose_a": op.get_attr("adj_x")} if op.type.startswith("BatchMatMul") else {}


def _needed(ends: Sequence[Any]) -> list[Any]:
    """The operations that these read from, in the order in which they stand in the graph."""
    seen: dict[str, Any] = {}
    open_ = list(ends)
    while open_:
        op = open_.pop()
        if op.name not in seen:
            seen[op.name] = op
            open_.extend([part.op for part in op.inputs] + list(op.control_inputs))
    if not ends:
        return []
    return [op for op in ends[0].graph.get_operations() if op.name in seen]


def _hidden(ops: Sequence[Any], graph: Any) -> set[str]:
    """Kinds that would be counted, in the functions that these operations call."""
    library = {function.signature.name: function for function in graph.as_graph_def().library.function}
    open_ = [name for op in ops for name in _called(op.node_def)]
    seen: set[str] = set()
    found: set[str] = set()
    while open_:
        name = open_.pop()
        if name in seen or name not in library:
            continue
        seen.add(name)
        for node in library[name].node_def:
            found |= {node.op} & COUNTED
            open_.extend(_called(node))
    return found


def _called(node: Any) -> list[str]:
    values = node.attr.values()
    return [value.func.name for value in values if value.HasField("func")] + [
        function.name for value in values for function in value.list.func
    ]
