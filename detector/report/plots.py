"""Plots as inline SVG: loss curves and the long tail. Colours are CSS variables, so that light and dark both work.

Pure functions from numbers to text. Every plot has a title and a description for screen readers, and the same numbers
stand in a table or in the page's data for those who do not see it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

NUM_COLOURS = 8
WIDTH, HEIGHT = 860, 340
LEFT, RIGHT, TOP, BOTTOM = 56, 12, 12, 36
Series = Mapping[str, Sequence[tuple[float, float]]]


def smoothed(values: Sequence[float], *, window: float) -> list[float]:
    """Exponential mean that forgets within about `window` values; the start is not pulled to zero.

    Law: constant values stay; the result lies between the least and the greatest value so far.
    """
    keep = max(0.0, 1 - 1 / max(window, 1.0))
    out: list[float] = []
    total = weight = 0.0
    for value in values:
        total, weight = keep * total + value, keep * weight + 1
        out.append(total / weight)
    return out


def nice_ticks(low: float, high: float, *, count: int = 6, log: bool = False) -> list[float]:
    """Round numbers from `low` to `high`: 1, 2, 5 times powers of ten."""
    if log:
        decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        steps = (1,) if len(decades) > 5 else (1, 2, 5)
        return [m * 10.0**d for d in decades for m in steps if low * 0.999 <= m * 10.0**d <= high * 1.001]
    if high <= low:
        return [low]
    raw = (high - low) / max(count - 1, 1)
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [k * step for k in range(first, math.floor(high / step + 1e-9) + 1)]


def line_plot(name: str, series: Series, *, about: str, log: bool = True, window: float = 1.0) -> str:
    """Curves over the step: thin as logged, thick smoothed.

    Args:
        name: id of the plot in the page.
        series: by name, (step, value) by rising step.
        about: what it shows, in a sentence.
        log: logarithmic values; values of 0 and less leave a gap.
        window: of the smoothing, in points.
    """
    kept = {
        key: [(x, y) for x, y in points if math.isfinite(y) and (y > 0 or not log)] for key, points in series.items()
    }
    points = [point for curve in kept.values() for point in curve]
    if not points:
        return '<p class="note">Nothing to plot yet.</p>'
    x_low, x_high = 0.0, max(x for x, _ in points)
    values = sorted(y for _, y in points)
    y_low, y_high = values[0], values[-1]
    if log and y_high / y_low > 1e4:
        y_low = max(y_low, values[len(values) // 50], y_high / 1e5)
    if y_high <= y_low:
        y_low, y_high = (y_low / 2, y_high * 2) if log else (y_low - 1, y_high + 1)
    elif not log:
        y_low = min(0.0, y_low)

    def px(x: float) -> float:
        return LEFT + (x - x_low) / max(x_high - x_low, 1e-9) * (WIDTH - LEFT - RIGHT)

    def py(y: float) -> float:
        y = min(max(y, y_low), y_high)
        low, high, at = (math.log(y_low), math.log(y_high), math.log(y)) if log else (y_low, y_high, y)
        return HEIGHT - BOTTOM - (at - low) / (high - low) * (HEIGHT - TOP - BOTTOM)

    parts = [
        f'<svg class="plot lines" id="{escape(name)}" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-labelledby="{escape(name)}-t" data-left="{LEFT}" data-right="{WIDTH - RIGHT}" data-xmax="{x_high:g}">'
        f'<title id="{escape(name)}-t">{escape(about)}</title>'
    ]
    for tick in nice_ticks(y_low, y_high, log=log):
        parts.append(
            f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{py(tick):.1f}" y2="{py(tick):.1f}"/>'
            f'<text class="tick" x="{LEFT - 7}" y="{py(tick) + 4:.1f}" text-anchor="end">{tick:.4g}</text>'
        )
    for tick in nice_ticks(x_low, x_high, count=8):
        anchor = "end" if px(tick) > WIDTH - RIGHT - 20 else "middle"
        parts.append(
            f'<text class="tick" x="{px(tick):.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="{anchor}">'
            f"{tick:,.0f}</text>"
        )
    parts.append(
        f'<text class="tick" x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 3}" text-anchor="middle">step</text>'
    )
    for number, (key, curve) in enumerate(kept.items()):
        if not curve:
            continue
        colour = f"var(--c{number % NUM_COLOURS})"
        soft = smoothed([y for _, y in curve], window=window)
        thin = _path([(px(x), py(y)) for x, y in curve])
        thick = _path([(px(x), py(y)) for (x, _), y in zip(curve, soft, strict=True)])
        bold = ' class="total"' if key == "loss" else ""
        only = f'<circle cx="{px(curve[0][0]):.1f}" cy="{py(curve[0][1]):.1f}" r="3.5" fill="{colour}"/>'
        parts.append(
            f'<g data-series="{escape(key)}"><path class="raw" d="{thin}" stroke="{colour}"/>'
            f'<path{bold} d="{thick}" stroke="{colour}"/>{only if len(curve) == 1 else ""}</g>'
        )
    parts.append(f'<line class="cursor" y1="{TOP}" y2="{HEIGHT - BOTTOM}" x1="-9" x2="-9"/></svg>')
    return "".join(parts)


def tail_bars(rows: Sequence[tuple[str, int, int]], *, about: str) -> str:
    """One pair of horizontal bars per class: boxes and image labels, on one scale.

    Args:
        rows: (name, boxes, labels).
    """
    line, left, width = 30, 190, 860
    height = line * len(rows) + 8
    most = max((max(boxes, labels) for _, boxes, labels in rows), default=0) or 1
    room = width - left - 70
    parts = [f'<svg class="plot" viewBox="0 0 {width} {height}" role="img"><title>{escape(about)}</title>']
    for number, (name, boxes, labels) in enumerate(rows):
        top = number * line + 4
        shown = name if len(name) <= 26 else name[:25] + "…"
        parts.append(
            f'<text class="name" x="{left - 8}" y="{top + 17}" text-anchor="end">{escape(shown)}'
            f"<title>{escape(name)}</title></text>"
        )
        both = boxes and labels
        for offset, value, kind in ((2 if both else 7, boxes, "boxes"), (13 if both else 7, labels, "labels")):
            if not value:
                continue
            long = value / most * room
            parts.append(
                f'<rect class="{kind}" x="{left}" y="{top + offset}" width="{max(long, 1.5):.1f}" '
                f'height="10" rx="2"><title>{escape(name)}: {value:,} {kind}</title></rect>'
            )
            parts.append(f'<text class="tick" x="{left + long + 6:.1f}" y="{top + offset + 9}">{value:,}</text>')
    return "".join([*parts, "</svg>"])


def tail_curve(boxes: Sequence[int], labels: Sequence[int], *, about: str) -> str:
    """Many classes: counts by falling rank, both axes logarithmic."""
    curves = {"boxes": sorted(boxes, reverse=True), "labels": sorted(labels, reverse=True)}
    curves = {kind: [v for v in values if v > 0] for kind, values in curves.items()}
    most = max((values[0] for values in curves.values() if values), default=1)
    ranks = max((len(values) for values in curves.values()), default=1)

    def px(rank: int) -> float:
        return LEFT + math.log(rank) / math.log(max(ranks, 2)) * (WIDTH - LEFT - RIGHT)

    def py(value: float) -> float:
        return HEIGHT - BOTTOM - math.log(value) / math.log(max(most, 2)) * (HEIGHT - TOP - BOTTOM)

    parts = [f'<svg class="plot" viewBox="0 0 {WIDTH} {HEIGHT}" role="img"><title>{escape(about)}</title>']
    for tick in nice_ticks(1, max(most, 2), log=True):
        parts.append(
            f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{py(tick):.1f}" y2="{py(tick):.1f}"/>'
            f'<text class="tick" x="{LEFT - 7}" y="{py(tick) + 4:.1f}" text-anchor="end">{tick:,.0f}</text>'
        )
    for decade in range(math.floor(math.log10(max(ranks, 2))) + 1):
        parts.append(
            f'<text class="tick" x="{px(10**decade):.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">'
            f"{10**decade:,}</text>"
        )
    parts.append(
        f'<text class="tick" x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 3}" text-anchor="middle">'
        "rank of the class</text>"
    )
    for kind, values in curves.items():
        wanted = sorted({round(len(values) ** (k / 200)) for k in range(201)}) if values else []
        path = _path([(px(rank), py(values[rank - 1])) for rank in wanted])
        parts.append(f'<path class="{kind} total" d="{path}"/>')
    return "".join([*parts, "</svg>"])


def _path(points: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points) if points else ""
