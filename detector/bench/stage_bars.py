"""Where the time of an inference goes: a bar of shares for every arm, with its milliseconds, as inline SVG.

Beside each bar stands the sum of its stages, which is the arm's own time. A stage that costs less than the noise has no
place in its bar and is named below, never drawn as 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from detector.report.plots import NUM_COLOURS

WIDTH, NAME_ROOM, END_ROOM, LINE = 860, 190, 92, 26
Stages = Mapping[str, float | None]


def stage_bars(rows: Sequence[tuple[str, Stages]], kinds: Sequence[str], *, unit: str, about: str) -> str:
    """One bar an arm.

    Args:
        rows: (name, milliseconds of each stage, None where not resolved).
        kinds: stages in order of drawing; colours as `detector.report.evaluation_plots.legend` has them.
        unit: behind numbers, `ms`.
        about: what it shows, in a sentence.
    """
    room = WIDTH - NAME_ROOM - END_ROOM
    parts = [
        f'<svg class="plot" id="plot-stages" viewBox="0 0 {WIDTH} {LINE * len(rows) + 6}" role="img" '
        f'aria-labelledby="plot-stages-t"><title id="plot-stages-t">{escape(about)}</title>'
    ]
    for number, (name, stages) in enumerate(rows):
        top, left = number * LINE + 3, float(NAME_ROOM)
        total = sum(ms for ms in stages.values() if ms is not None)
        shown = name if len(name) <= 26 else name[:25] + "…"
        parts.append(
            f'<text class="name" x="{NAME_ROOM - 8}" y="{top + 15}" text-anchor="end">{escape(shown)}'
            f"<title>{escape(name)}</title></text>"
        )
        for place, kind in enumerate(kinds):
            ms = stages.get(kind)
            if not ms:
                continue
            wide = ms / total * room
            said = f"{name}: {kind} {milliseconds_words(ms)} {unit} of {milliseconds_words(total)} {unit}"
            parts.append(
                f'<rect x="{left:.1f}" y="{top}" width="{wide:.1f}" height="20" '
                f'fill="var(--c{(place + 1) % NUM_COLOURS})"><title>{escape(said)}</title></rect>'
            )
            if wide > 34:
                parts.append(f'<text class="inside" x="{left + 5:.1f}" y="{top + 14}">{100 * ms / total:.0f} %</text>')
            left += wide
        end = f"{milliseconds_words(total)} {unit}"
        parts.append(f'<text class="tick" x="{WIDTH - END_ROOM + 8}" y="{top + 14}">{escape(end)}</text>')
    return "".join([*parts, "</svg>"])


def unresolved(rows: Sequence[tuple[str, Stages]]) -> list[str]:
    """`arm: stage, stage` for every arm with stages that cost less than the noise."""
    found = [(name, [kind for kind, ms in stages.items() if ms is None]) for name, stages in rows]
    return [f"{name}: {', '.join(kinds)}" for name, kinds in found if kinds]


def milliseconds_words(ms: float) -> str:
    """`0.42`, `31.2`, `1,204`: three figures or so."""
    return f"{ms:,.0f}" if ms >= 1000 else f"{ms:.1f}" if ms >= 10 else f"{ms:.2f}"
