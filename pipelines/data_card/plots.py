"""Plots as inline SVG: pure functions from numbers to text. Colours are CSS variables, so light and dark both work.

Every plot is an image with a title for screen readers; its numbers stand in a table beside it (`figure`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

COLOURS = 8
WIDTH, HEIGHT = 400, 200
LEFT, RIGHT, TOP, BOTTOM = 42, 12, 8, 36


def colour(number: int) -> str:
    """The CSS colour of the n-th series."""
    return f"var(--c{number % COLOURS})"


def short_number(value: float) -> str:
    """1,234 as 1.2k: at most four characters, for axes."""
    for limit, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= limit:
            return f"{value / limit:.3g}{unit}"
    return f"{value:.3g}"


def ticks(high: float, count: int = 4) -> list[float]:
    """Round numbers from 0 to `high`: 1, 2, 5 times powers of ten."""
    if high <= 0:
        return [0.0]
    power = 10.0 ** math.floor(math.log10(high / count))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= high / count * 0.999)
    return [n * step for n in range(math.floor(high / step + 1e-9) + 1)]


def _open(about: str, width: int = WIDTH, height: int = HEIGHT) -> str:
    return f'<svg class="plot" viewBox="0 0 {width} {height}" role="img"><title>{escape(about)}</title>'


def _tick(x: float, y: float, text: str, anchor: str = "middle") -> str:
    return f'<text class="tick" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def histogram(
    counts: Sequence[int],
    *,
    about: str,
    labels: Sequence[str],
    edges: Mapping[int, str],
    x_name: str,
    series: int = 0,
    widths: Sequence[int] = (),
) -> str:
    """Upright bars.

    Args:
        counts: of the bins.
        about: what it shows, in a sentence.
        labels: of the bins, for the hints.
        edges: text below some edges; edge n stands left of bin n.
        x_name: of the axis.
        series: number of the colour.
        widths: of the bins where they differ; counts are divided by them, so that a wide bin is no peak.
    """
    heights = [count / width for count, width in zip(counts, widths or [1] * len(counts), strict=True)]
    most = max(heights, default=0) or 1
    room, base = WIDTH - LEFT - RIGHT, HEIGHT - BOTTOM
    step = room / max(len(counts), 1)
    parts = [_open(about)]
    for value in ticks(most):
        y = base - value / most * (base - TOP)
        parts.append(f'<line class="gridline" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(_tick(LEFT - 6, y + 4, short_number(value), "end"))
    for n, (count, height, label) in enumerate(zip(counts, heights, labels, strict=True)):
        if count:
            high = max(height / most * (base - TOP), 1.0)
            parts.append(
                f'<rect x="{LEFT + n * step + 0.5:.1f}" y="{base - high:.1f}" width="{max(step - 1, 0.5):.1f}" '
                f'height="{high:.1f}" fill="{colour(series)}"><title>{escape(label)}: {count:,}</title></rect>'
            )
    for edge, text in edges.items():
        parts.append(_tick(LEFT + edge * step, base + 14, text))
    parts.append(_tick(LEFT + room / 2, HEIGHT - 4, x_name))
    return "".join([*parts, "</svg>"])


def bar_chart(
    counts: Mapping[str, int], *, about: str, x_name: str, series: int = 0, widths: Sequence[int] = ()
) -> str:
    """Upright bars, each with its name below; widths as in `histogram`."""
    names, values = list(counts), list(counts.values())
    plot = histogram(values, about=about, labels=names, edges={}, x_name=x_name, series=series, widths=widths)
    step = (WIDTH - LEFT - RIGHT) / max(len(names), 1)
    small = ' style="font-size:10px"' if len(names) > 12 else ""
    below = "".join(
        _tick(LEFT + (n + 0.5) * step, HEIGHT - BOTTOM + 14, name).replace('class="tick"', f'class="tick"{small}')
        for n, name in enumerate(names)
    )
    return plot.removesuffix("</svg>") + below + "</svg>"


def tail_plot(series: Sequence[tuple[str, Sequence[int]]], *, about: str, marks: Mapping[int, str]) -> str:
    """Counts by falling rank: a line for each series; counts logarithmic, ranks too where there are many.

    Args:
        series: (name, counts in any order); zeros are left out.
        marks: dashed levels and what they are called.
    """
    width, height = 960, 300
    curves = [(name, sorted((n for n in counts if n > 0), reverse=True)) for name, counts in series]
    most = max((counts[0] for _, counts in curves if counts), default=1)
    ranks = max((len(counts) for _, counts in curves), default=1)
    log_ranks = ranks > 300
    base, right = height - BOTTOM, width - RIGHT
    decades = max(1, math.ceil(math.log10(max(most, 2))))

    def px(rank: float) -> float:
        share = math.log(rank) / math.log(max(ranks, 2)) if log_ranks else (rank - 1) / max(ranks - 1, 1)
        return LEFT + share * (right - LEFT)

    def py(value: float) -> float:
        return base - math.log10(value) / decades * (base - TOP)

    parts = [_open(about, width, height)]
    for power in range(decades + 1):
        y = py(10**power)
        parts.append(f'<line class="gridline" x1="{LEFT}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(_tick(LEFT - 6, y + 4, short_number(10**power), "end"))
    for level, text in marks.items():
        if 1 <= level <= 10**decades:
            parts.append(f'<line class="mark" x1="{LEFT}" x2="{right}" y1="{py(level):.1f}" y2="{py(level):.1f}"/>')
            parts.append(_tick(right, py(level) - 4, text, "end"))
    shown = [10**n for n in range(len(str(ranks)))] if log_ranks else [round(t) or 1 for t in ticks(ranks, 8)]
    for rank in dict.fromkeys(shown):
        parts.append(_tick(px(rank), base + 15, f"{rank:,}"))
    parts.append(_tick((LEFT + right) / 2, height - 3, "rank of the class"))
    for number, (name, counts) in enumerate(curves):
        if not counts:
            continue
        kept = sorted({max(1, round(len(counts) ** (n / 240))) for n in range(241)})
        kept = kept if len(counts) > 240 else list(range(1, len(counts) + 1))
        points = [(px(rank), py(counts[rank - 1])) for rank in kept]
        path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
        parts.append(f'<path d="{path}" stroke="{colour(number)}"><title>{escape(name)}</title></path>')
        if len(points) <= 60:
            parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour(number)}"/>' for x, y in points]
    return "".join([*parts, "</svg>"])


def heat_map(cells: Sequence[int], side: int, *, about: str, series: int = 0) -> str:
    """A square of cells, the fuller the stronger; the square root is shown, so that weak ones can be seen."""
    most, size = max(cells, default=0) or 1, 240
    step = size / side
    parts = [
        _open(about, size, size),
        f'<rect width="{size}" height="{size}" fill="none" stroke="var(--line)" vector-effect="non-scaling-stroke"/>',
    ]
    for n, count in enumerate(cells):
        if count:
            parts.append(
                f'<rect x="{n % side * step:.1f}" y="{n // side * step:.1f}" width="{step:.1f}" height="{step:.1f}" '
                f'fill="{colour(series)}" fill-opacity="{0.06 + 0.94 * math.sqrt(count / most):.2f}"/>'
            )
    return "".join([*parts, "</svg>"])


def size_plot(sizes: Sequence[tuple[int, int, int]], *, about: str, most: int = 200, series: int = 0) -> str:
    """Width against height of the commonest sizes; a disc's area is the number of images.

    Args:
        sizes: (width, height, images).
        most: how many sizes are drawn.
    """
    chosen = sorted(sizes, key=lambda row: (-row[2], row))[:most]
    largest = max((max(width, height) for width, height, _ in chosen), default=1) * 1.06
    top = max((row[2] for row in chosen), default=1)
    base, room, right = HEIGHT - BOTTOM, HEIGHT - BOTTOM - TOP, WIDTH - RIGHT
    across = right - LEFT
    parts = [_open(about)]
    for value in ticks(largest):
        x, y = LEFT + value / largest * across, base - value / largest * room
        parts.append(f'<line class="gridline" x1="{LEFT}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(_tick(LEFT - 6, y + 4, short_number(value), "end"))
        parts.append(_tick(x, base + 15, short_number(value)))
    parts.append(f'<line class="mark" x1="{LEFT}" y1="{base}" x2="{right}" y2="{TOP}"><title>square</title></line>')
    for width, height, count in chosen:
        parts.append(
            f'<circle cx="{LEFT + width / largest * across:.1f}" cy="{base - height / largest * room:.1f}" '
            f'r="{2.2 + 9 * math.sqrt(count / top):.1f}" fill="{colour(series)}" fill-opacity=".42">'
            f"<title>{width} x {height}: {count:,}</title></circle>"
        )
    parts.append(_tick((LEFT + right) / 2, HEIGHT - 4, "width in pixels; height upwards"))
    return "".join([*parts, "</svg>"])


def sparkline(counts: Sequence[int], *, about: str, series: int = 0) -> str:
    """Small bars without axes."""
    most, width, height = max(counts, default=0) or 1, 160, 26
    step = width / max(len(counts), 1)
    bars = "".join(
        f'<rect x="{n * step + 0.4:.1f}" y="{height - max(count / most * height, 1.2):.1f}" '
        f'width="{step - 0.8:.1f}" height="{max(count / most * height, 1.2):.1f}" fill="{colour(series)}"/>'
        for n, count in enumerate(counts)
        if count
    )
    line = f'<line class="axis" x1="0" x2="{width}" y1="{height}" y2="{height}"/>'
    return (
        f"{_open(about, width, height + 1).replace('<svg ', f'<svg style={chr(34)}max-width:10rem{chr(34)} ', 1)}"
        + (f"{bars}{line}</svg>")
    )


def stacked(parts: Sequence[tuple[str, int]], *, about: str, series: int = 0) -> str:
    """One bar of parts side by side, fainter from part to part; a legend tells numbers and shares."""
    total = sum(count for _, count in parts) or 1
    paints = [f"background:{colour(series)};opacity:{0.62**n:.2f}" for n in range(len(parts))]
    bars = "".join(
        f'<i style="flex:{count};{paint}"></i>' for (_, count), paint in zip(parts, paints, strict=True) if count
    )
    items = "".join(
        f'<li><i style="{paints[n]}"></i>{escape(name)} {count:,} '
        f'<span class="note">{100 * count / total:.3g} %</span></li>'
        for n, (name, count) in enumerate(parts)
    )
    return f'<div class="stack" role="img" aria-label="{escape(about)}">{bars}</div><ul class="legend">{items}</ul>'


def legend(names: Sequence[str]) -> str:
    """The colours of the series; nothing for a single one."""
    if len(names) < 2:
        return ""
    items = "".join(f'<li><i style="background:{colour(n)}"></i>{escape(name)}</li>' for n, name in enumerate(names))
    return f'<ul class="legend">{items}</ul>'
