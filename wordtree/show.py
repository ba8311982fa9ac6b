"""A tree as text for a terminal, and as Graphviz dot. (The HTML page is in `show_html.py`.)"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from wordtree.tree import WordTree

Counts = Mapping[str, int] | Sequence[int] | NDArray[np.integer]


def node_counts(tree: WordTree, counts: Counts | None) -> list[int] | None:
    """One number per node, from a mapping of node name to number or from N numbers.

    Raises:
        ValueError: the number of entries differs from N.
        LabelError: the mapping has a name that is no node.
    """
    if counts is None:
        return None
    if isinstance(counts, Mapping):
        values = [0] * len(tree)
        for name, count in counts.items():
            values[tree.index(name)] += int(count)
        return values
    if len(counts) != len(tree):
        raise ValueError(f"found {len(counts)} counts for {len(tree)} nodes")
    return [int(count) for count in counts]


def subtree_sums(tree: WordTree, values: Sequence[int]) -> list[int]:
    """For every node the sum over itself and all below."""
    total = list(values)
    for node in range(len(tree) - 1, -1, -1):
        parent = int(tree.parent[node])
        if parent >= 0:
            total[parent] += total[node]
    return total


def tree_lines(
    tree: WordTree,
    *,
    root: int | None = None,
    max_depth: int | None = None,
    counts: Counts | None = None,
    marked: Sequence[int] = (),
    most: int | None = None,
) -> list[str]:
    """The tree as lines with branches.

    Args:
        root: show this node and what is below it; all roots if left out.
        max_depth: levels below the top ones; what is deeper is summed up in a line's end.
        counts: numbers per node; shown with the sum over the node and all below.
        marked: nodes to mark with a `*`, such as labels.
        most: the most lines; the rest is told in one line more.

    Returns:
        Lines such as `├── bird  n01503061 *  120 (340)`.
    """
    own = node_counts(tree, counts)
    total = None if own is None else subtree_sums(tree, own)
    sizes = subtree_sums(tree, [1] * len(tree))
    stars = frozenset(marked)
    lines: list[str] = []
    tops = list(tree.roots()) if root is None else [root]
    stack: list[tuple[int, int, str, str]] = [(node, 0, "", "") for node in reversed(tops)]
    left = 0
    while stack:
        node, depth, before, branch = stack.pop()
        if most is not None and len(lines) >= most:
            left += 1
            stack.extend((child, depth + 1, "", "") for child in tree.children(node))
            continue
        text = f"{before}{branch}{tree.display_names[node]}"
        if tree.names[node] != tree.display_names[node]:
            text += f"  {tree.names[node]}"
        text += " *" if node in stars else ""
        if own is not None and total is not None:
            text += f"  {own[node]:,} ({total[node]:,})" if not tree.is_leaf[node] else f"  {own[node]:,}"
        children = tree.children(node)
        if max_depth is not None and depth >= max_depth:
            text += f"  … {sizes[node] - 1:,} below" if children else ""
            children = range(0)
        lines.append(text)
        inside = before + ({"├── ": "│   ", "└── ": "    "}.get(branch, ""))
        below = [(child, depth + 1, inside, "├── ") for child in children]
        if below:
            below[-1] = (*below[-1][:3], "└── ")
        stack.extend(reversed(below))
    if left:
        lines.append(f"… and {left:,} nodes more")
    return lines


def fitting_depth(tree: WordTree, most: int) -> int:
    """The largest `max_depth` at which `tree_lines` shows at most so many lines; at least 0."""
    lines = np.cumsum(np.bincount(tree.depth))
    return max(int((lines <= most).sum()) - 1, 0)


def tree_dot(tree: WordTree, *, root: int | None = None, marked: Sequence[int] = ()) -> str:
    """Graphviz text: `wordtree tree export DIR --format dot | dot -Tsvg > tree.svg`. Marked nodes are filled."""
    stars = frozenset(marked)
    shown = range(len(tree)) if root is None else [root, *tree.descendants(root).tolist()]
    lines = ["digraph wordtree {", "  rankdir=LR;", "  node [shape=box, fontname=Helvetica, fontsize=10];"]
    for node in shown:
        style = ', style=filled, fillcolor="#dcecff"' if node in stars else ""
        lines.append(f"  {node} [label={_quote(tree.display_names[node])}, tooltip={_quote(tree.names[node])}{style}];")
    lines.extend(f"  {tree.parent[node]} -> {node};" for node in shown if node != root and tree.parent[node] >= 0)
    return "\n".join((*lines, "}", ""))


def _quote(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
