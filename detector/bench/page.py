"""bench.html: the figures and the table on one page that needs no network, in the report's style."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

from detector.bench.arms import size_words
from detector.bench.busy import is_busy, warnings
from detector.bench.figures import Mark, scatter, small_symbol, two_curves
from detector.bench.frontier import frontier
from detector.bench.stage_bars import stage_bars, unresolved
from detector.report.evaluation_plots import legend
from detector.report.page import page
from detector.report.sections import Section
from wordtree.files import write_text_file

Row = Mapping[str, Any]


class Clock(NamedTuple):
    """The time that is compared: by the wall, or of the CPU where other work disturbed the wall's.

    Attributes:
        key: of an arm's time.
        stages: key of its stages' times.
        unit: for people.
    """

    key: str
    stages: str
    unit: str


WALL_CLOCK = Clock("ms_least", "stages_ms", "ms")
CPU_CLOCK = Clock("cpu_ms_least", "stages_cpu_ms", "CPU ms")
# key of an arm, what divides it, words at the axis, the heading, id in the page
COSTS = (
    ("ms_least", 1.0, "ms for one image by the clock, least", "Time by the clock", "time"),
    ("cpu_ms_least", 1.0, "CPU ms for one image, least", "CPU time", "cpu"),
    ("memory_mb", 1.0, "MB of memory, beyond TensorFlow's own", "Memory", "memory"),
    ("parameters", 1e6, "million parameters", "Parameters", "parameters"),
    ("flops", 1e9, "GFLOPs for one image", "Operations", "operations"),
)


def _clock(rows: Sequence[Row]) -> Clock:
    return CPU_CLOCK if is_busy(rows) else WALL_CLOCK


def write_page(path: Path, result: Mapping[str, Any]) -> None:
    """Write the page of what bench.json holds, whole."""
    rows = result["arms"]
    runs = list(dict.fromkeys(row["name"] for row in rows))
    parts = [Section("summary", "Summary", _summary(result, runs, _clock(rows)))]
    scored = [row for row in rows if row["summary"].get("AP") is not None]
    warned = "".join(f'<p class="missing">Warning: {escape(line)}.</p>' for line in warnings(rows))
    costs = [COSTS[1], COSTS[0], *COSTS[2:]] if warned else COSTS
    for key, unit, words, heading, place in costs:
        before = warned if key == "ms_least" else ""
        parts.append(Section(place, heading, before + _scatter(scored, runs, key, unit, words, place)))
    if any(row["proposals"] is not None for row in rows):
        parts.append(Section("proposals", "Proposals", _proposals(scored, runs, _clock(rows))))
    parts.append(Section("stages", "Where the time goes", _stages(rows, _clock(rows))))
    parts.append(Section("arms", "All arms", _table(rows)))
    parts.append(Section("how", "How it was measured", _how(result)))
    write_text_file(path, page(f"WordTree bench: {result['dataset']}", parts), force=True)


def _summary(result: Mapping[str, Any], runs: Sequence[str], clock: Clock) -> str:
    rows = [row for row in result["arms"] if row["summary"].get("AP") is not None]
    cards = [(f"{len(result['arms'])}", "arms", f"{len(runs)} runs")]
    if rows:
        best = max(rows, key=lambda row: row["summary"]["AP"])
        fast = min(rows, key=lambda row: row[clock.key])
        small = min(rows, key=lambda row: row["memory_mb"])
        cards += [
            (
                f"{100 * best['summary']['AP']:.1f} %",
                "the best AP",
                f"{best['title']}: {best[clock.key]:.1f} {clock.unit}",
            ),
            (
                f"{fast[clock.key]:.1f} {clock.unit}",
                "the fastest",
                f"{fast['title']}: AP {100 * fast['summary']['AP']:.1f} %",
            ),
            (f"{small['memory_mb']:,.0f} MB", "the least memory", small["title"]),
        ]
    items = "".join(
        f'<li><b>{escape(value)}</b><span>{escape(name)}</span><small class="note">{escape(more)}</small></li>'
        for value, name, more in cards
    )
    note = (
        f"AP is COCO's, the mean over IoU 0.50 to 0.95 and over the classes, on {escape(str(result['dataset']))}, "
        f"{result['images']:,} images. Marks with a ring lie on the frontier: nothing measured here is as good for "
        "less."
    )
    missing = "".join(f'<p class="missing">Warning: {escape(line)}.</p>' for line in warnings(result["arms"]))
    missing += "" if rows else '<p class="missing">No class of the dataset has truths: there is no AP.</p>'
    return f'<ul class="cards">{items}</ul>{missing}<p class="note">{note}</p>{_legend(result["arms"], runs)}'


def _legend(rows: Sequence[Row], runs: Sequence[str]) -> str:
    """Colours of runs, one line an architecture; shapes of sizes."""
    lines = []
    for architecture in dict.fromkeys(row["architecture"] for row in rows):
        own = dict.fromkeys(row["name"] for row in rows if row["architecture"] == architecture)
        marks = " ".join(
            f'<span class="key-item">{small_symbol(runs.index(name), 0)} {escape(name)}</span>' for name in own
        )
        lines.append(f'<p class="keys"><span>{escape(architecture)}:</span> {marks}</p>')
    sizes = _sizes(rows)
    if len(sizes) > 1:
        marks = " ".join(
            f'<span class="key-item">{small_symbol(None, number)} {size}</span>' for number, size in enumerate(sizes)
        )
        lines.append(f'<p class="keys"><span>images of</span> {marks} <span>pixels</span></p>')
    return "".join(lines)


def _scatter(rows: Sequence[Row], runs: Sequence[str], key: str, unit: float, words: str, place: str) -> str:
    sizes = _sizes(rows)
    marks = []
    for row in rows:
        cost, ap, size = row[key] / unit, 100 * row["summary"]["AP"], _size(row)
        line = f"{row['name']}/{size}" if row["proposals"] is not None else ""
        label = row["name"]
        if row["proposals"] is not None:  # the number at each mark, the run's name at the last of its line
            last = [other for other in rows if (other["name"], _size(other)) == (row["name"], size)][-1]
            label = f"{row['name']} · {row['proposals']}" if row is last else str(row["proposals"])
        title = f"{row['title']}: AP {ap:.1f} %, {cost:,.4g} {words}"
        marks.append(Mark(cost, ap, runs.index(row["name"]), sizes.index(size), title, line, label))
    about = f"AP in percent against {words}, one mark an arm; lines join numbers of proposals"
    plot = scatter(f"plot-{place}", marks, cost=words, value="AP, %", about=about)
    counts = "Numbers beside marks: proposals. " if any(row["proposals"] is not None for row in rows) else ""
    return f'{plot}<p class="note">{counts}Dashed: the frontier.</p>' if marks else plot


def _proposals(rows: Sequence[Row], runs: Sequence[str], clock: Clock) -> str:
    """AP and time over the number of proposals, a figure for each size."""
    parts = []
    most = max([100 * row["summary"]["AP"] for row in rows if row["proposals"] is not None], default=0.0)
    for number, size in enumerate(_sizes(rows)):
        own = [row for row in rows if row["proposals"] is not None and _size(row) == size]
        names = list(dict.fromkeys(row["name"] for row in own))
        if not own:
            continue

        def curves(value: Any, own: Sequence[Row] = own, names: Sequence[str] = names) -> dict[str, Any]:
            return {
                name: sorted((float(row["proposals"]), value(row)) for row in own if row["name"] == name)
                for name in names
            }

        plot = two_curves(
            f"plot-proposals-{number}",
            curves(lambda row: 100 * row["summary"]["AP"]),
            curves(lambda row: row[clock.key]),
            colours={name: runs.index(name) for name in names},
            words=("proposals, at most", "AP, %", f"{clock.unit} for one image, least"),
            about=f"AP and {clock.unit} over the number of proposals, images of {size} pixels",
            most=most,
        )
        shown = " ".join(f'<span class="key-item">{small_symbol(runs.index(n), 0)} {escape(n)}</span>' for n in names)
        parts.append(f'<h3>Images of {size} pixels</h3>{plot}<p class="keys">{shown}</p>')
    note = (
        f'<p class="note">Solid, with circles: AP in percent, left axis, the same in all panels. Dashed, with '
        f"diamonds: least {clock.unit} for one image, right axis, each panel's own. Both start at 0.</p>"
    )
    return note + "".join(parts) if parts else '<p class="note">No arm with proposals has an AP.</p>'


def _stages(rows: Sequence[Row], clock: Clock) -> str:
    kinds = list(dict.fromkeys(name for row in rows for name in row[clock.stages]))
    order = [
        name for name in ("network", "first stage", "proposals", "second stage", "names", "photo") if name in kinds
    ]
    bars = [(_short(row), row[clock.stages]) for row in rows]
    about = f"Share of the stages of an inference, with their sum in {clock.unit}, one bar an arm"
    holes = "; ".join(unresolved(bars))
    missing = (
        f'<p class="note">Not resolved on this busy machine, less than its noise: {escape(holes)}.</p>' if holes else ""
    )
    return (
        f"{legend(order)}{stage_bars(bars, order, unit=clock.unit, about=about)}{missing}"
        f'<p class="note">At the right: least {clock.unit} for one image, the sum of its stages. Each stage is the '
        "difference of two computations that end before and behind it, the least of rounds in which all had their "
        "turn. Behind the dot: proposals. Names: which box is called what, and suppression. Photo: boxes from the "
        "canvas to the photo, and all that is around the network's call.</p>"
    )


def _table(rows: Sequence[Row]) -> str:
    heads = (
        "run", "image", "proposals", "AP %", "AP50 %", "AP75 %", "least ms", "least CPU ms", "memory, MB",
        "process, MB", "M parameters", "GFLOPs", "frontier of",
    )  # fmt: skip
    head = "".join(f'<th scope="col"{" class=num" if number else ""}>{name}</th>' for number, name in enumerate(heads))
    best = {
        "CPU" if figure == "cpu" else figure: {
            rows[place]["title"] for place in frontier([(row[key], row["summary"].get("AP")) for row in rows])
        }
        for key, _, _, _, figure in COSTS
    }
    body = []
    for row in rows:
        accuracy = [row["summary"].get(name) for name in ("AP", "AP50", "AP75")]
        cells = [
            _size(row),
            "" if row["proposals"] is None else str(row["proposals"]),
            *("–" if value is None else f"{100 * value:.1f}" for value in accuracy),
            f"{row['ms_least']:.1f}",
            f"{row['cpu_ms_least']:.1f}",
            f"{row['memory_mb']:,.0f}",
            f"{row['peak_mb']:,.0f}",
            f"{row['parameters'] / 1e6:,.2f}",
            f"{row['flops'] / 1e9:,.2f}",
            ", ".join(name for name, titles in best.items() if row["title"] in titles),
        ]
        numbers = "".join(f'<td class="num">{escape(cell)}</td>' for cell in cells)
        body.append(f'<tr><th scope="row">{escape(row["name"])}</th>{numbers}</tr>')
    return (
        '<div class="scroll" tabindex="0" role="region" aria-label="all arms"><table>'
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody></table></div>"
        '<p class="note">AP in percent. Sizes are height x width where they differ. Files beside this page: bench.csv, '
        "bench.json.</p>"
    )


def _how(result: Mapping[str, Any]) -> str:
    rows, options = result["arms"], result["options"]
    places = {json.dumps(row["machine"], sort_keys=True): row["machine"] for row in rows}.values()
    versions = {json.dumps(row["versions"], sort_keys=True): row["versions"] for row in rows}.values()
    where = "; ".join(f"{p['processor']}, {p['cores']} cores, {p['gpus']} GPUs" for p in places)
    software = "; ".join(", ".join(f"{name} {number}" for name, number in each.items()) for each in versions)
    holes = sorted({kind for row in rows for kind in row["flops_not_counted"]})
    lines = [
        f"Machine: {where}; {software}.",
        f"Milliseconds: the least of {options['repeats']} inferences of one image, on {rows[0]['timed_images']} images "
        "in turns, after a warm-up: from the image on its canvas to boxes with names on the photo, as wordtree detect "
        f"does it at a threshold of {options['threshold']:g}. Reading, decoding and scaling of files is not in it. "
        "CPU ms: of all cores together, the least as well. Other work on the machine disturbs the least of the rounds "
        "least, and CPU time less still; medians are in bench.csv and bench.json.",
        "Memory: the peak of the arm's own process up to there, with the weights, less what it had when TensorFlow was "
        "loaded and nothing done; beside it the whole process.",
        "Parameters: all numbers of the network. FLOPs: 2 for each multiply-add of convolutions and products of "
        "matrices at the shapes that they had on the timed images, on average.",
        "AP counts all detections above 0.001, as wordtree evaluate does, and no threshold.",
    ]
    if holes:
        lines.append(f"Not in the FLOPs: {', '.join(holes)} inside of loops or branches.")
    items = "".join(f"<p>{escape(line)}</p>" for line in lines)
    text = json.dumps(options, indent=2, ensure_ascii=False)
    return f"{items}<details><summary>options</summary><pre>{escape(text)}</pre></details>"


def _short(row: Row) -> str:
    """Beside a bar: run, size, proposals."""
    return f"{row['name']} {_size(row)}" + ("" if row["proposals"] is None else f" · {row['proposals']}")


def _size(row: Row) -> str:
    return size_words((row["height"], row["width"]))


def _sizes(rows: Sequence[Row]) -> list[str]:
    """By rising area."""
    canvases = sorted({(row["height"] * row["width"], row["height"], row["width"]) for row in rows})
    return [size_words((height, width)) for _, height, width in canvases]
