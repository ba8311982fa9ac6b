"""A small tree as an SVG picture, drawn without other programs: root at the left, one line a leaf.

Every node without shown children takes one line, a parent stands at the middle of its children, and every level has a
column as wide as its longest word. Nothing overlaps, whatever the tree.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

from wordtree.show import shown_nodes
from wordtree.tree import WordTree

LINE, BOX, FONT = 26, 20, 12
PADDING, COLUMN_GAP, MARGIN = 9, 34, 14
_NARROW, _WIDE = frozenset("fijlrt.,:;'|!()[]- "), frozenset("mwMW@%&")

_STYLE = """\
  <style>
    .paper { fill: #ffffff; } .edge { fill: none; stroke: #b4bfcc; stroke-width: 1.3; }
    .box { fill: #f1f4f8; stroke: #c3ccd8; } .label { fill: #dcecff; stroke: #6da3de; }
    text { font: 12px "Helvetica Neue", Helvetica, Arial, sans-serif; fill: #1b2430; }
    .word { text-anchor: middle; } .more { fill: #6b7686; }
    @media (prefers-color-scheme: dark) {
      .paper { fill: #14181d; } .edge { stroke: #4a5665; } .box { fill: #212832; stroke: #3d4856; }
      .label { fill: #1f3f66; stroke: #4c86c6; } text { fill: #e3e8ef; } .more { fill: #94a1b2; }
    }
  </style>"""


@dataclass(slots=True)
class PlacedNode:
    """A node in the picture: column from the left, line from the top (halves between lines), text, nodes left out."""

    node: int
    column: int
    line: float
    text: str
    hidden: int


def tree_svg(
    tree: WordTree, *, root: int | None = None, max_depth: int | None = None, marked: Sequence[int] = ()
) -> str:
    """The picture. Marked nodes are filled; the tooltip of a node is its name and path.

    Args:
        root: draw this node and what is below it; all roots if left out.
        max_depth: levels below the top ones; a number tells how many nodes are left out.
        marked: nodes to fill, such as labels.
    """
    stars = frozenset(marked)
    placed = place_nodes(tree, root=root, max_depth=max_depth)
    columns = 1 + max(item.column for item in placed.values())
    widths = [0.0] * columns
    for item in placed.values():
        widths[item.column] = max(widths[item.column], _text_width(item.text) + 2 * PADDING)
    lefts = [MARGIN + sum(widths[:column]) + COLUMN_GAP * column for column in range(columns)]
    more = 44 if any(item.hidden for item in placed.values()) else 0
    width = lefts[-1] + widths[-1] + MARGIN + more
    height = 2 * MARGIN + LINE * (1 + max(item.line for item in placed.values()))
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" '
        f'viewBox="0 0 {width:.0f} {height:.0f}" role="img">',
        f"  <title>{escape(f'A tree of {len(placed)} concepts')}</title>",
        _STYLE,
        f'  <rect class="paper" width="{width:.0f}" height="{height:.0f}" rx="8"/>',
    ]

    def middle(item: PlacedNode) -> float:
        return MARGIN + LINE * (item.line + 0.5)

    for item in placed.values():
        above = placed.get(int(tree.parent[item.node]))
        if above is None:
            continue
        right = lefts[above.column] + _text_width(above.text) + 2 * PADDING
        left, bend = lefts[item.column], lefts[item.column] - COLUMN_GAP / 2
        lines.append(
            f'  <path class="edge" d="M{right:.1f} {middle(above):.1f}H{bend - 8:.1f}'
            f'C{bend + 4:.1f} {middle(above):.1f} {bend - 4:.1f} {middle(item):.1f} {left:.1f} {middle(item):.1f}"/>'
        )
    for item in placed.values():
        left, top = lefts[item.column], middle(item) - BOX / 2
        box = _text_width(item.text) + 2 * PADDING
        about = escape(f"{tree.names[item.node]}: {tree.describe_path(item.node)}")
        kind = "label" if item.node in stars else "box"
        lines.append(
            f'  <g><title>{about}</title><rect class="{kind}" x="{left:.1f}" y="{top:.1f}" width="{box:.1f}" '
            f'height="{BOX}" rx="5"/><text class="word" x="{left + box / 2:.1f}" y="{top + 14:.1f}">'
            f"{escape(item.text)}</text></g>"
        )
        if item.hidden:
            lines.append(f'  <text class="more" x="{left + box + 6:.1f}" y="{top + 14:.1f}">+{item.hidden:,}</text>')
    return "\n".join((*lines, "</svg>", ""))


def place_nodes(tree: WordTree, *, root: int | None = None, max_depth: int | None = None) -> dict[int, PlacedNode]:
    """Column and line of every node to draw, top down."""
    shown = shown_nodes(tree, root=root, max_depth=max_depth)
    top = 0 if root is None else int(tree.depth[root])
    placed = {
        line.node: PlacedNode(
            line.node, int(tree.depth[line.node]) - top, -1.0, tree.display_names[line.node], line.hidden
        )
        for line in shown
    }
    span: dict[int, tuple[float, float]] = {}
    lines = 0
    for line in shown:
        inner = not line.hidden and not tree.is_leaf[line.node]
        if not inner:
            placed[line.node].line = lines
            lines += 1
    for line in reversed(shown):  # children before their parents
        item = placed[line.node]
        if item.line < 0:
            item.line = sum(span[line.node]) / 2
        parent = int(tree.parent[line.node])
        if parent in placed:
            low, high = span.get(parent, (item.line, item.line))
            span[parent] = (min(low, item.line), max(high, item.line))
    return placed


def _text_width(text: str) -> float:
    """About the width of a line of the sans-serif font, in pixels; a little too wide rather than too narrow."""
    return sum(0.34 if c in _NARROW else 0.9 if c in _WIDE else 0.72 if c.isupper() else 0.585 for c in text) * FONT
