"""Plots of an evaluation as inline SVG: stacked shares, bars by group, correct against special.

Pure functions from numbers to text, as `detector.report.plots`: colours are CSS variables, every mark has a title, and
what is wide enough says its number.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from detector.report.plots import NUM_COLOURS

WIDTH = 860
NAME_ROOM = 190


def stacked_bars(rows: Sequence[tuple[str, Mapping[str, int]]], kinds: Sequence[str], *, about: str) -> str:
    """One bar of shares a row; the kinds stand in the same order and colour in each.

    Args:
        rows: (name, count of each kind); rows without any count are left out.
        kinds: in order of drawing.
        about: what it shows, in a sentence.
    """
    rows = [(name, counts) for name, counts in rows if sum(counts.get(kind, 0) for kind in kinds) > 0]
    line, room = 26, WIDTH - NAME_ROOM - 60
    parts = [_open(line * len(rows) + 6, about)]
    for number, (name, counts) in enumerate(rows):
        top, left = number * line + 3, float(NAME_ROOM)
        total = sum(counts.get(kind, 0) for kind in kinds)
        parts.append(_name(name, top + 15))
        for place, kind in enumerate(kinds):
            count = counts.get(kind, 0)
            if not count:
                continue
            wide = count / total * room
            share = f"{100 * count / total:.0f} %"
            parts.append(
                f'<rect x="{left:.1f}" y="{top}" width="{wide:.1f}" height="20" fill="var(--c{_colour(place)})">'
                f"<title>{escape(name)}: {escape(kind)} {count:,} of {total:,}</title></rect>"
            )
            if wide > 34:
                parts.append(f'<text class="inside" x="{left + 5:.1f}" y="{top + 14}">{share}</text>')
            left += wide
        parts.append(f'<text class="tick" x="{WIDTH - 52}" y="{top + 14}">{total:,}</text>')
    return "".join([*parts, "</svg>"])


def group_bars(rows: Sequence[tuple[str, Sequence[float | None]]], names: Sequence[str], *, about: str) -> str:
    """A bar from 0 to 1 for every figure and group; None leaves its place empty.

    Args:
        rows: (figure, one value for each of `names`).
        names: of the groups.
        about: what it shows, in a sentence.
    """
    line, room = 14, WIDTH - NAME_ROOM - 60
    block = line * len(names) + 10
    parts = [_open(block * len(rows) + 4, about)]
    for number, (figure, values) in enumerate(rows):
        top = number * block + 4
        parts.append(_name(figure, top + line * len(names) / 2 + 4))
        for place, (group, value) in enumerate(zip(names, values, strict=True)):
            if value is None:
                continue
            y = top + place * line
            wide = max(0.0, min(1.0, value)) * room
            parts.append(
                f'<rect x="{NAME_ROOM}" y="{y}" width="{max(wide, 1.5):.1f}" height="11" rx="2" '
                f'fill="var(--c{_colour(place)})"><title>{escape(figure)}, {escape(group)}: {value:.3f}</title></rect>'
                f'<text class="tick" x="{NAME_ROOM + wide + 6:.1f}" y="{y + 9}">{100 * value:.1f}</text>'
            )
    return "".join([*parts, "</svg>"])


def unit_plot(
    name: str, curves: Mapping[str, Sequence[tuple[float, float]]], *, x: str, y: str, about: str, level: float
) -> str:
    """Curves in the unit square, with a line across at `level`.

    Args:
        name: id of the plot in the page.
        curves: by name, (x, y) in drawing order.
        x, y: names of the axes.
        about: what it shows, in a sentence.
        level: of the line, in [0, 1].
    """
    side, left, top, bottom = 300, 56, 10, 40

    def place(point: tuple[float, float]) -> str:
        across, up = (min(max(value, 0.0), 1.0) for value in point)
        return f"{left + across * side * 1.6:.1f} {top + (1 - up) * side:.1f}"

    parts = [
        f'<svg class="plot" id="{escape(name)}" viewBox="0 0 {WIDTH} {top + side + bottom}" role="img">'
        f"<title>{escape(about)}</title>"
    ]
    for tick in range(0, 11, 2):
        at = tick / 10
        low, high = place((0, at)).split(), place((1, at)).split()
        parts.append(
            f'<line class="grid" x1="{low[0]}" y1="{low[1]}" x2="{high[0]}" y2="{high[1]}"/>'
            f'<text class="tick" x="{left - 7}" y="{float(low[1]) + 4:.1f}" text-anchor="end">{at:g}</text>'
            f'<text class="tick" x="{left + at * side * 1.6:.1f}" y="{top + side + 16}" text-anchor="middle">'
            f"{at:g}</text>"
        )
    across = " L".join([place((0, level)), place((1, level))])
    parts.append(f'<path d="M{across}" stroke="var(--soft)" stroke-dasharray="4 4"><title>{level:g}</title></path>')
    for number, (key, points) in enumerate(curves.items()):
        line = " L".join(place(point) for point in points)
        if points:
            parts.append(f'<path d="M{line}" stroke="var(--c{_colour(number)})"><title>{escape(key)}</title></path>')
    middle = left + side * 0.8
    parts.append(
        f'<text class="tick" x="{middle}" y="{top + side + 34}" text-anchor="middle">{escape(x)}</text>'
        f'<text class="tick" x="14" y="{top + side / 2}" text-anchor="middle" '
        f'transform="rotate(-90 14 {top + side / 2})">{escape(y)}</text></svg>'
    )
    return "".join(parts)


def legend(names: Sequence[str]) -> str:
    """The colours that the plots above give to names, in their order."""
    items = "".join(
        f'<span class="key-item"><i style="background:var(--c{_colour(place)})"></i>{escape(name)}</span>'
        for place, name in enumerate(names)
    )
    return f'<p class="keys">{items}</p>'


def _colour(place: int) -> int:
    return (place + 1) % NUM_COLOURS


def _open(height: float, about: str) -> str:
    return f'<svg class="plot" viewBox="0 0 {WIDTH} {height}" role="img"><title>{escape(about)}</title>'


def _name(text: str, y: float) -> str:
    shown = text if len(text) <= 26 else text[:25] + "…"
    return (
        f'<text class="name" x="{NAME_ROOM - 8}" y="{y}" text-anchor="end">{escape(shown)}'
        f"<title>{escape(text)}</title></text>"
    )
