"""A tree as text for a terminal, and as Graphviz dot. (`show_html.py` makes the HTML page, `show_svg.py` a picture.)"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from wordtree.tree import WordTree

Counts = Mapping[str, int] | Sequence[int] | NDArray[np.integer]
Sort = Literal["order", "name", "count"]
MOST_NAMES = 3
SORTS: tuple[str, ...] = get_args(Sort)

_DIM, _BOLD, _COUNT, _PLAIN = "\x1b[2m", "\x1b[1m", "\x1b[36m", "\x1b[0m"
_GAP = "  "


class ShownNode(NamedTuple):
    """One line of the text.

    Attributes:
        node: the node.
        branches: the lines to its left, such as `│   ├── `.
        hidden: how many nodes below it are left out because of the depth.
    """

    node: int
    branches: str
    hidden: int


def node_counts(tree: WordTree, counts: Counts) -> list[int]:
    """One number per node, from a mapping of node name to number or from N numbers.

    Raises:
        ValueError: the number of entries differs from N.
        LabelError: the mapping has a name that is no node.
    """
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
    parents = tree.parent.tolist()
    for node in range(len(tree) - 1, -1, -1):
        if parents[node] >= 0:
            total[parents[node]] += total[node]
    return total


def shown_nodes(
    tree: WordTree,
    *,
    root: int | None = None,
    max_depth: int | None = None,
    weight: Sequence[int] | None = None,
    used: bool = False,
    sort: Sort = "order",
) -> list[ShownNode]:
    """The nodes to show, top down.

    Args:
        root: show this node and what is below it; all roots if left out.
        max_depth: levels below the top ones.
        weight: N numbers; a node's own, and all below, decide for `used` and for `sort="count"`.
        used: leave out what has no weight, itself and below. The top ones stay.
        sort: siblings in the tree's order, by their words, or the heaviest first.
    """
    total = subtree_sums(tree, [0] * len(tree) if weight is None else weight)
    kept = [value > 0 for value in total] if used and weight is not None else [True] * len(tree)
    sizes = subtree_sums(tree, [int(keep) for keep in kept])

    def arranged(nodes: Sequence[int]) -> list[int]:
        if sort == "name":
            return sorted(nodes, key=lambda node: (tree.display_names[node].casefold(), node))
        if sort == "count":
            return sorted(nodes, key=lambda node: (-total[node], node))
        return list(nodes)

    tops = arranged(tree.roots()) if root is None else [root]
    stack = [(node, 0, "", "") for node in reversed(tops) if root is not None or kept[node]]
    shown: list[ShownNode] = []
    while stack:
        node, depth, before, branch = stack.pop()
        children = [child for child in tree.children(node) if kept[child]]
        cut = bool(children) and max_depth is not None and depth >= max_depth
        shown.append(ShownNode(node, before + branch, sum(sizes[child] for child in children) if cut else 0))
        if cut or not children:
            continue
        inside = before + {"├── ": "│   ", "└── ": "    "}.get(branch, "")
        below = [(child, depth + 1, inside, "├── ") for child in arranged(children)]
        below[-1] = (*below[-1][:3], "└── ")
        stack.extend(reversed(below))
    return shown


def tree_lines(
    tree: WordTree,
    *,
    root: int | None = None,
    max_depth: int | None = None,
    columns: Mapping[str, Counts] | None = None,
    marked: Sequence[int] = (),
    named: Mapping[int, Sequence[str]] | None = None,
    most: int | None = None,
    used: bool = False,
    sort: Sort = "order",
    width: int | None = None,
    color: bool = False,
) -> list[str]:
    """The tree as lines with branches.

    Args:
        root, max_depth, used, sort: see `shown_nodes`; the weight is the sum of all columns.
        columns: by heading, numbers per node. Each takes two columns of the text: the node's own, and with all below.
        marked: nodes to mark with a `*`, such as labels.
        named: by node, other names to show behind its word in brackets: "bag (handbag)".
        most: the most lines; the rest is told in one line more.
        width: cut names so that no line is longer.
        color: with the escape sequences of terminals.

    Returns:
        Lines such as `├── bird  n01503061 *    120  340`; under a line of headings if there are columns.
    """
    numbers = {heading: node_counts(tree, counts) for heading, counts in (columns or {}).items()}
    weight = [sum(row) for row in zip(*numbers.values(), strict=True)] if numbers else None
    totals = {heading: subtree_sums(tree, own) for heading, own in numbers.items()}
    shown = shown_nodes(tree, root=root, max_depth=max_depth, weight=weight, used=used, sort=sort)
    left = 0 if most is None else max(len(shown) - most, 0)
    shown = shown[: len(shown) - left]

    cells = [_cells(tree, line.node, numbers, totals) for line in shown]
    heads = [head for heading in numbers for head in (heading, "+below")]
    widths = [max(len(text) for text in (head, *(row[i] for row in cells))) for i, head in enumerate(heads)]
    stars = frozenset(marked)
    names = [_name_parts(tree, line, line.node in stars, (named or {}).get(line.node, ())) for line in shown]
    longest = max((sum(map(len, parts)) for parts in names), default=0)
    room = None if width is None else max(width - sum(len(_GAP) + size for size in widths), 12)
    longest = longest if room is None else min(longest, room)

    def line(parts: tuple[str, str, str, str], numbers: Sequence[str], painted: bool) -> str:
        parts = parts if room is None else _cut(parts, room)
        blank = " " * (longest - sum(map(len, parts))) if any(numbers) else ""
        tail = "".join(_GAP + text.rjust(size) for text, size in zip(numbers, widths, strict=True)).rstrip()
        if not painted:
            return "".join(parts) + blank + tail
        branches, word, key, note = parts
        word = f"{_BOLD}{word}{_PLAIN}" if "*" in note else word
        return f"{_DIM}{branches}{_PLAIN}{word}{_DIM}{key}{note}{_PLAIN}{blank}" + (
            f"{_COUNT}{tail}{_PLAIN}" if tail else ""
        )

    lines = [line(("", "", "", ""), heads, False)] if heads else []
    lines.extend(line(parts, row, color) for parts, row in zip(names, cells, strict=True))
    if left:
        lines.append(f"… and {left:,} nodes more")
    return lines


def _cells(
    tree: WordTree, node: int, numbers: Mapping[str, Sequence[int]], totals: Mapping[str, Sequence[int]]
) -> list[str]:
    """Own and with all below, for every column; the second is empty at leaves, where it would say the same."""
    cells: list[str] = []
    for heading, own in numbers.items():
        cells.append(f"{own[node]:,}" if own[node] else "·")
        cells.append("" if tree.is_leaf[node] else f"{totals[heading][node]:,}" if totals[heading][node] else "·")
    return cells


def _name_parts(tree: WordTree, line: ShownNode, star: bool, others: Sequence[str]) -> tuple[str, str, str, str]:
    """Branches, word, key, and what is said behind it."""
    word, key = tree.display_names[line.node], tree.names[line.node]
    note = (" *" if star else "") + (f"  … {line.hidden:,} below" if line.hidden else "")
    key = "" if key == word else f"  {key}"
    if others:
        word += f" ({', '.join(others[:MOST_NAMES])}{', …' if len(others) > MOST_NAMES else ''})"
    return line.branches, word, key, note


def _cut(parts: tuple[str, str, str, str], room: int) -> tuple[str, str, str, str]:
    """The parts in so many columns: first the key is dropped, then the word is cut."""
    branches, word, key, note = parts
    if len(branches + word + key + note) > room:
        key = ""
    if len(branches + word + note) > room:
        note = note if len(branches) + len(note) + 8 <= room else ""
        word = word[: max(room - len(branches) - len(note) - 1, 1)] + "…"
    return branches[: max(room - 2, 0)], word, key, note


def fitting_depth(tree: WordTree, most: int) -> int:
    """The largest `max_depth` at which `tree_lines` shows at most so many lines; at least 0."""
    lines = np.cumsum(np.bincount(tree.depth))
    return max(int((lines <= most).sum()) - 1, 0)


def tree_dot(
    tree: WordTree, *, root: int | None = None, max_depth: int | None = None, marked: Sequence[int] = ()
) -> str:
    """Graphviz text: `wordtree tree export DIR --format dot | dot -Tsvg > tree.svg`. Marked nodes are filled."""
    stars = frozenset(marked)
    shown = sorted(line.node for line in shown_nodes(tree, root=root, max_depth=max_depth))
    lines = ["digraph wordtree {", "  rankdir=LR;", "  node [shape=box, fontname=Helvetica, fontsize=10];"]
    for node in shown:
        style = ', style=filled, fillcolor="#dcecff"' if node in stars else ""
        lines.append(f"  {node} [label={_quote(tree.display_names[node])}, tooltip={_quote(tree.names[node])}{style}];")
    lines.extend(f"  {tree.parent[node]} -> {node};" for node in shown if node != root and tree.parent[node] >= 0)
    return "\n".join((*lines, "}", ""))


def _quote(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
