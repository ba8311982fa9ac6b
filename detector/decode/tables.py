"""What walks and suppression read of a tree beside `TreeTables`: children, parents, and who stands above whom.

Shape shorthand: N nodes, G sibling groups.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from detector.tree_softmax import TreeTables

IntArray = NDArray[np.int32]


class WalkTables(NamedTuple):
    """Constants, in NumPy: they become constants of the graph where they are used.

    Attributes:
        parent: i32[N], -1 for a root.
        child_group: i32[N] group of a node's children, -1 for a leaf.
        group_start, group_size: i32[G] first node and number of siblings.
        leaves: i32[...] nodes without children.
        enter, leave: i32[N] places in a walk through the tree, parents first: a is b or stands above b if and only if
            enter[a] <= enter[b] < leave[a].
    """

    parent: IntArray
    child_group: IntArray
    group_start: IntArray
    group_size: IntArray
    leaves: IntArray
    enter: IntArray
    leave: IntArray


def walk_tables(tables: TreeTables) -> WalkTables:
    """The constants of a tree; for a flat class list every node is a root and a leaf.

    Raises:
        ValueError: if the tables have no values (a graph's placeholders).
    """
    group, size, path, mask = (
        _values(part) for part in (tables.group, tables.group_size, tables.path, tables.path_mask)
    )
    nodes = np.arange(len(group), dtype=np.int32)
    depth = mask.sum(axis=1)
    parent = np.where(depth > 1, path[nodes, np.maximum(depth - 2, 0)], -1).astype(np.int32)
    start = (np.cumsum(size) - size).astype(np.int32)
    child_group = np.full(len(group), -1, np.int32)
    below = np.flatnonzero(parent[start] >= 0)
    child_group[parent[start[below]]] = below
    enter, leave = _intervals(parent)
    leaves = np.flatnonzero(child_group < 0).astype(np.int32)
    return WalkTables(parent, child_group, start, size.astype(np.int32), leaves, enter, leave)


def _values(part: Any) -> NDArray[Any]:
    values = tf.get_static_value(part)
    if values is None:
        raise ValueError("found tree tables without values; expected constants, made outside of the graph")
    return np.asarray(values)


def _intervals(parent: IntArray) -> tuple[IntArray, IntArray]:
    """Places in a walk with parents first; parents have smaller numbers than their children."""
    below = np.ones(len(parent), np.int32)
    for node in range(len(parent) - 1, -1, -1):
        if parent[node] >= 0:
            below[parent[node]] += below[node]
    enter = np.zeros(len(parent), np.int32)
    free = np.zeros(len(parent) + 1, np.int32)  # next place below each node; the last entry is for the roots
    for node, above in enumerate(parent):
        enter[node] = free[above]
        free[above] += below[node]
        free[node] = enter[node] + 1
    return enter, enter + below
