"""The figures of the bench as inline SVG: accuracy against a cost, and accuracy and time over the proposals.

Pure functions from numbers to text, as `detector.report.plots`: colours are CSS variables, shapes tell sizes apart
without colour, every mark has a title, and the same numbers stand in the page's table.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import NamedTuple

from detector.bench.frontier import frontier
from detector.bench.labels import Box, label_svg, place_labels
from detector.report.plots import NUM_COLOURS, nice_ticks

WIDTH, HEIGHT = 860, 360
LEFT, RIGHT, TOP, BOTTOM = 56, 64, 18, 44
SHAPES = 5
LOG_FROM = 10.0  # a logarithmic axis where the most is so many times the least
Scale = Callable[[float], float]


class Mark(NamedTuple):
    """An arm in a figure.

    Attributes:
        cost, value: its place.
        series: number of its run, which is its colour.
        shape: number of its size.
        title: said on pointing at it.
        line: marks of one line are joined by rising cost of the arms' order; "" stands alone.
        label: written beside it.
    """

    cost: float
    value: float
    series: int
    shape: int
    title: str
    line: str = ""
    label: str = ""


def scatter(name: str, marks: Sequence[Mark], *, cost: str, value: str, about: str) -> str:
    """Accuracy against a cost; the dashed steps are the optimality frontier.

    Args:
        name: id in the page.
        marks: in the order in which lines join them.
        cost, value: words at the axes.
        about: what it shows, in a sentence.
    """
    if not marks:
        return '<p class="note">Nothing to plot.</p>'
    px, x_ticks = axis([mark.cost for mark in marks], LEFT, WIDTH - RIGHT)
    py, y_ticks = axis([mark.value for mark in marks], HEIGHT - BOTTOM, TOP, log=False)
    words = cost + scale_words([mark.cost for mark in marks])
    parts = [_open(name, about), _grid(py, y_ticks), _below(px, x_ticks, words), _words_left(value)]
    best = [marks[place] for place in frontier([(mark.cost, mark.value) for mark in marks])]
    steps = [(px(best[0].cost), py(best[0].value))]
    for before, after in itertools.pairwise(best):
        steps += [(px(after.cost), py(before.value)), (px(after.cost), py(after.value))]
    steps.append((float(WIDTH - RIGHT), steps[-1][1]))
    parts.append(f'<path d="{_path(steps)}" stroke="var(--soft)" stroke-dasharray="5 4"><title>frontier</title></path>')
    places, drawn = [(px(mark.cost), py(mark.value)) for mark in marks], [steps]
    for line in dict.fromkeys(mark.line for mark in marks if mark.line):
        own = [mark for mark in marks if mark.line == line]
        drawn.append([place for place, mark in zip(places, marks, strict=True) if mark.line == line])
        parts.append(f'<path d="{_path(drawn[-1])}" stroke="{colour(own[0].series)}" opacity=".65"/>')
    for mark, (x, y) in zip(marks, places, strict=True):
        parts.append(symbol(x, y, mark.series, mark.shape, mark.title, ring=mark in best))
    room = Box(LEFT, 0, WIDTH, HEIGHT - BOTTOM)
    parts.extend(map(label_svg, place_labels([mark.label for mark in marks], places, drawn, room)))
    return "".join([*parts, "</svg>"])


def two_curves(
    name: str,
    first: Mapping[str, Sequence[tuple[float, float]]],
    second: Mapping[str, Sequence[tuple[float, float]]],
    *,
    colours: Mapping[str, int],
    words: tuple[str, str, str],
    about: str,
    most: float,
) -> str:
    """Two figures over the same numbers: the first solid, to the left axis, the second dashed, to the right one.

    Both axes start at 0.

    Args:
        name: id in the page.
        first, second: (x, y) by name, by rising x.
        colours: number of each name's colour.
        words: at the axis below, the left and the right one.
        about: what it shows, in a sentence.
        most: at the end of the left axis, the same in figures that are compared.
    """
    ends = [x for curve in first.values() for x, _ in curve]
    if not ends:
        return '<p class="note">Nothing to plot.</p>'
    px, _ = axis(ends, LEFT, WIDTH - RIGHT)
    parts = [_open(name, about), _below(px, sorted(set(ends)), words[0] + scale_words(ends)), _words_left(words[1])]
    for number, (curves, dash) in enumerate(((first, ""), (second, ' stroke-dasharray="6 4"'))):
        values = [y for curve in curves.values() for _, y in curve]
        if not values:
            continue
        py, ticks = axis([*values, 0.0] if number else [0.0, most], HEIGHT - BOTTOM, TOP, log=False)
        parts.append(_grid(py, ticks) if not number else _right(py, ticks, words[2]))
        for key, curve in curves.items():
            points = [(px(x), py(y)) for x, y in curve]
            parts.append(f'<path d="{_path(points)}" stroke="{colour(colours[key])}"{dash}/>')
            for (x, y), (at_x, at_y) in zip(curve, points, strict=True):
                title = f"{key}, {x:g} proposals: {words[1 + number]} {y:.4g}"
                parts.append(symbol(at_x, at_y, colours[key], 3 * number, title))
    return "".join([*parts, "</svg>"])


def axis(values: Sequence[float], start: float, end: float, *, log: bool | None = None) -> tuple[Scale, list[float]]:
    """Where a value stands between two places of the picture, and the round numbers there.

    Args:
        values: all that must be shown.
        start, end: pixels of the least and the greatest.
        log: logarithmic or not; None: where the values are positive and far apart.
    """
    low, high = min(values), max(values)
    if log is None:
        log = is_logarithmic(values)
    if log:
        low, high = low / 1.15, high * 1.15
        span = math.log(high / low) or 1.0
        return (lambda value: start + math.log(value / low) / span * (end - start)), nice_ticks(low, high, log=True)
    room = 0.06 * (high - low) or abs(high) * 0.1 or 0.1
    if low >= 0 and low < 0.5 * high:
        low = room = 0.0
        room = 0.06 * high
    else:
        low -= room
    high += room
    return (lambda value: start + (value - low) / (high - low) * (end - start)), nice_ticks(low, high)


def is_logarithmic(values: Sequence[float]) -> bool:
    """Whether an axis of these is logarithmic: they are above 0 and far apart."""
    return min(values) > 0 and max(values) / min(values) >= LOG_FROM


def scale_words(values: Sequence[float]) -> str:
    """Behind an axis' words: an axis that is not linear says so."""
    return " (logarithmic)" if is_logarithmic(values) else ""


def symbol(x: float, y: float, series: int, shape: int, title: str, *, ring: bool = False) -> str:
    """A mark: circle, square, triangle, diamond or triangle on its tip, in its run's colour; a ring on the frontier."""
    paint = f'fill="{colour(series)}"' + (' stroke="var(--ink)" stroke-width="2"' if ring else "")
    said = f"<title>{escape(title)}</title>"
    r = 5.5
    corners = {
        1: [(-r, -r), (r, -r), (r, r), (-r, r)],
        2: [(0, -r - 1), (r + 1, r), (-r - 1, r)],
        3: [(0, -r - 1.5), (r + 1.5, 0), (0, r + 1.5), (-r - 1.5, 0)],
        4: [(0, r + 1), (r + 1, -r), (-r - 1, -r)],
    }.get(shape % SHAPES)
    if corners is None:
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{r}" {paint}>{said}</circle>'
    points = " ".join(f"{x + dx:.1f},{y + dy:.1f}" for dx, dy in corners)
    return f'<polygon points="{points}" {paint}>{said}</polygon>'


def small_symbol(series: int | None, shape: int) -> str:
    """A mark for a legend, in the middle of 16 pixels; without a run in the colour of the text."""
    mark = symbol(8, 8, series or 0, shape, "")
    if series is None:
        mark = mark.replace(colour(0), "var(--ink)")
    return (
        '<svg width="16" height="16" viewBox="0 0 16 16" aria-hidden="true" style="vertical-align:-.2rem">'
        f"{mark.replace('<title></title>', '')}</svg>"
    )


def colour(series: int) -> str:
    """A run's; the first of the page's colours is that of the text and is not used."""
    return f"var(--c{1 + series % (NUM_COLOURS - 1)})"


def _open(name: str, about: str) -> str:
    return (
        f'<svg class="plot" id="{escape(name)}" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-labelledby="{escape(name)}-t"><title id="{escape(name)}-t">{escape(about)}</title>'
    )


def _grid(py: Scale, ticks: Sequence[float]) -> str:
    return "".join(
        f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{py(tick):.1f}" y2="{py(tick):.1f}"/>'
        f'<text class="tick" x="{LEFT - 7}" y="{py(tick) + 4:.1f}" text-anchor="end">{tick:.4g}</text>'
        for tick in ticks
    )


def _right(py: Scale, ticks: Sequence[float], words: str) -> str:
    x, middle = WIDTH - RIGHT + 7, (TOP + HEIGHT - BOTTOM) / 2
    marks = "".join(f'<text class="tick" x="{x}" y="{py(tick) + 4:.1f}">{tick:.4g}</text>' for tick in ticks)
    return (
        f'{marks}<text class="tick" x="{WIDTH - 8}" y="{middle}" text-anchor="middle" '
        f'transform="rotate(90 {WIDTH - 8} {middle})">{escape(words)}</text>'
    )


def _below(px: Scale, ticks: Sequence[float], words: str) -> str:
    bottom = HEIGHT - BOTTOM
    marks = "".join(
        f'<line class="grid" x1="{px(tick):.1f}" x2="{px(tick):.1f}" y1="{bottom}" y2="{bottom + 4}"/>'
        f'<text class="tick" x="{px(tick):.1f}" y="{bottom + 18}" text-anchor="middle">{tick:,.6g}</text>'
        for tick in ticks
    )
    return (
        f'{marks}<text class="tick" x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 6}" text-anchor="middle">'
        f"{escape(words)}</text>"
    )


def _words_left(words: str) -> str:
    middle = (TOP + HEIGHT - BOTTOM) / 2
    return (
        f'<text class="tick" x="13" y="{middle}" text-anchor="middle" transform="rotate(-90 13 {middle})">'
        f"{escape(words)}</text>"
    )


def _path(points: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
