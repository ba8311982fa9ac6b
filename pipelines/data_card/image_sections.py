"""What images and boxes look like: sizes, shapes, places, how many on an image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from itertools import pairwise

from pipelines.data_card.card import Card
from pipelines.data_card.markup import Section, figure, table
from pipelines.data_card.plots import bar_chart, heat_map, histogram, size_plot, stacked
from pipelines.statistics.annotation_figures import DETAIL_NAMES, GRID, SHARE_BINS
from pipelines.statistics.image_figures import ASPECT_EDGES, SHARES, SIDE_EDGES
from pipelines.statistics.results import DatasetStatistics, known_formats, known_sizes
from pipelines.statistics.sketches import ACCURACY
from schemas.features import FLAGS

GROUPS = ((11, 15), (16, 20), (21, 30), (31, 50), (51, 100), (101, 1 << 60))
TOP_SIZES = 12


def grouped(counts: Mapping[int, int]) -> dict[str, int]:
    """Numbers 0 to 10 one by one, larger ones in groups named by their first; the empty end is left out."""
    found = {str(n): counts.get(n, 0) for n in range(11)}
    for low, high in GROUPS:
        found[f"{low}+"] = sum(count for n, count in counts.items() if low <= n <= high)
    names = list(found)
    last = max((k for k, name in enumerate(names) if found[name]), default=0)
    return {name: found[name] for name in names[: max(last + 1, 4)]}


def widths(names: Sequence[str], counts: Mapping[int, int]) -> list[int]:
    """How many numbers each name of `grouped` stands for; the last group ends with the largest number."""
    of_group = {f"{low}+": min(high, max(counts, default=low)) - low + 1 for low, high in GROUPS}
    return [max(of_group.get(name, 1), 1) for name in names]


def group_names(names: Sequence[str]) -> list[str]:
    """The names of `grouped` in full, as a table has them."""
    of_group = {f"{low}+": f"{low} to {high}" if high < GROUPS[-1][1] else f"{low} and more" for low, high in GROUPS}
    return [of_group.get(name, name) for name in names]


def _load_figure(counts: Mapping[int, int], caption: str, *, about: str, what: str, number: int) -> str:
    """Images by how many of something they have."""
    found = grouped(counts)
    names = list(found)
    x_name = f"{what}; from 11 on in groups: their mean" if len(names) > 11 else what
    plot = bar_chart(found, about=about, x_name=x_name, series=number, widths=widths(names, counts))
    rows = zip(group_names(names), found.values(), strict=True)
    return figure(plot, caption, table((what, "images"), rows))


def mean(counts: Mapping[int, int]) -> float:
    """The mean of numbers with counts."""
    total = sum(counts.values())
    return sum(n * count for n, count in counts.items()) / total if total else 0.0


def boxes(card: Card) -> Section:
    """Sizes, shapes and places of boxes; flags."""
    found = card.statistics.datasets
    if not any(sum(one.annotations.shares) for one in found):
        return Section("boxes", "Boxes", '<p class="note">No dataset here has boxes: they hold image labels.</p>')
    blocks = [
        _boxes_of(one, number) if sum(one.annotations.shares) else '<p class="note">No boxes.</p>'
        for number, one in enumerate(found)
    ]
    names = card.names
    parts = [
        f"<h3>{escape(name)}</h3>{block}" if len(names) > 1 else block
        for name, block in zip(names, blocks, strict=True)
    ]
    return Section("boxes", "Boxes", "".join(parts))


def _boxes_of(one: DatasetStatistics, number: int) -> str:
    sizes = one.images.box_sizes
    total = sum(sizes.coco)
    if sizes.stated == total:
        areas = "by the area that the dataset states for its mask or object"
    elif sizes.stated:
        areas = f"by the area that the dataset states where it does ({sizes.stated:,} boxes), else by the box's own"
    else:
        areas = "by the area of the box"
    coco = stacked(
        (("small, under 32²", sizes.coco[0]), ("medium", sizes.coco[1]), ("large, from 96²", sizes.coco[2])),
        about="Boxes by COCO's sizes",
        series=number,
    )
    plots = [
        _sides(sizes.sides, number),
        _aspects(sizes.aspects, number),
        _shares(one.annotations.shares, number),
        figure(
            f'<div style="max-width:15rem">'
            f"{heat_map(one.annotations.centres, GRID, about='Heat map of box centres', series=number)}</div>",
            "Where the centres of boxes lie in the image.",
        ),
        _per_image(one, number),
        f"<div>{_flags(one)}</div>",
    ]
    quantiles = ""
    if sizes.quantiles:
        cells = " · ".join(f"{100 * s:g} %: {v:,.0f}" for s, v in zip(SHARES, sizes.quantiles, strict=True))
        how = "exact" if sizes.exact else f"within {100 * ACCURACY:g} %"
        quantiles = f'<p class="note">Quantiles of the side √area, in pixels: {cells} ({how}).</p>'
    flat = (
        f'<p class="note">{sizes.flat:,} boxes without width, height or known image are in none of these plots.</p>'
        if sizes.flat
        else ""
    )
    return (
        f'<p class="note">COCO\'s sizes, {areas}, in pixels squared.</p>{coco}{quantiles}{flat}'
        f'<div class="grid three" style="margin-top:1rem">{"".join(plots)}</div>'
    )


def _sides(counts: Sequence[int], number: int) -> str:
    names = [f"{low:.4g} to {high:.4g}" for low, high in pairwise(SIDE_EDGES)]
    labels = ["under 1", *names, f"from {SIDE_EDGES[-1]:.0f}"]
    first, last = _ends(counts)
    edges = {n - first: f"{SIDE_EDGES[n - 1]:.0f}" for n in range(first, last + 1) if n and (n - 1) % 4 == 0}
    plot = histogram(
        counts[first : last + 1],
        about="Boxes by the square root of their area",
        labels=labels[first : last + 1],
        edges=edges,
        x_name="side √area in pixels",
        series=number,
    )
    rows = [(label, count) for label, count in zip(labels, counts, strict=True) if count]
    return figure(plot, "How large boxes are.", table(("pixels", "boxes"), rows))


def _aspects(counts: Sequence[int], number: int) -> str:
    labels = ["under 1:16", *(f"{a:.3g} to {b:.3g}" for a, b in pairwise(ASPECT_EDGES)), "from 16:1"]
    marks = {-4: "1:16", -3: "1:8", -2: "1:4", -1: "1:2", 0: "1:1", 1: "2:1", 2: "4:1", 3: "8:1", 4: "16:1"}
    edges = {17 + 4 * n: text for n, text in marks.items()}
    plot = histogram(
        counts, about="Boxes by width to height", labels=labels, edges=edges, x_name="width : height", series=number
    )
    rows = [(label, count) for label, count in zip(labels, counts, strict=True) if count]
    return figure(plot, "Their shapes, in pixels.", table(("width / height", "boxes"), rows))


def _shares(counts: Sequence[int], number: int) -> str:
    labels = [f"{n / SHARE_BINS:.2f} to {(n + 1) / SHARE_BINS:.2f}" for n in range(SHARE_BINS)]
    edges = {n * SHARE_BINS // 4: f"{n / 4:g}" for n in range(5)}
    plot = histogram(
        counts,
        about="Boxes by the share of the image's side that they take",
        labels=labels,
        edges=edges,
        x_name="√(area of the box / area of the image)",
        series=number,
    )
    rows = [(label, count) for label, count in zip(labels, counts, strict=True) if count]
    return figure(plot, "How much of the image they take.", table(("share", "boxes"), rows))


def _per_image(one: DatasetStatistics, number: int) -> str:
    counts = one.images.load.boxes
    caption = (
        f"Boxes on an image where boxes were sought: {mean(counts):.2f} on average, at most {max(counts, default=0)}."
    )
    about = "Images by the number of their boxes"
    return _load_figure(counts, caption, about=about, what="boxes", number=number)


def _flags(one: DatasetStatistics) -> str:
    flags, details = one.annotations.flags[: 3 * len(FLAGS)], one.annotations.flags[3 * len(FLAGS) :]
    rows = [
        (flag.removeprefix("is_").replace("_", " "), flags[3 * n + 2], flags[3 * n + 1], flags[3 * n])
        for n, flag in enumerate(FLAGS)
    ]
    rows = [row for row in rows if row[1] + row[2]]
    html = table(("flag", "yes", "no", "not said"), rows) if rows else '<p class="note">No flags are said.</p>'
    names = {"mask": "a mask as PNG", "segmentation": "polygons or run lengths"}
    more = [f"{count:,} with {names.get(n, n)}" for n, count in zip(DETAIL_NAMES, details, strict=True) if count]
    return html + (f'<p class="note">{"; ".join(more)}.</p>' if more else "")


def _ends(counts: Sequence[int]) -> tuple[int, int]:
    filled = [n for n, count in enumerate(counts) if count]
    return (filled[0], filled[-1]) if filled else (0, len(counts) - 1)


def images(card: Card) -> Section:
    """Sizes and formats of images, labels and classes on an image."""
    blocks = [_images_of(one, number) for number, one in enumerate(card.statistics.datasets)]
    parts = [
        f"<h3>{escape(name)}</h3>{block}" if len(card.names) > 1 else block
        for name, block in zip(card.names, blocks, strict=True)
    ]
    return Section("images", "Images", "".join(parts))


def _images_of(one: DatasetStatistics, number: int) -> str:
    sizes, index, load = known_sizes(one.index), one.index, one.images.load
    top = sorted(sizes, key=lambda row: (-row[2], row))[:TOP_SIZES]
    of_sizes = [
        figure(
            size_plot(sizes, about="Image sizes", series=number),
            f"Different sizes: {len(sizes):,}. A disc's area is the number of images; up to 200 sizes are drawn.",
            table(("width x height", "images"), [(f"{width} x {height}", count) for width, height, count in top]),
        ),
    ]
    plots = [
        *(of_sizes if sizes else ()),
        _load(load.classes, "different classes", "Classes that are present on an image", number),
    ]
    if any(n for n in load.labels):
        plots.append(_load(load.labels, "labels", "Labels of the whole image that say present", number))
    facts = [("format", known_formats(index))]
    turned = [(f"EXIF {turn}", count) for turn, count in _sums(index.turns, 0).items() if turn != 1]
    rotated = [(f"{angle}°", count) for angle, count in _sums(index.turns, 1).items() if angle >= 0]
    facts += [("orientation", turned)] if turned else []
    facts += [("rotation", rotated)] if rotated else []
    rows = [(f"{kind}: {name}", count) for kind, counts in facts for name, count in counts]
    rows.append(("boxes were sought", index.images.boxes_sought))
    if index.images.captioned:
        rows.append(("with captions", index.images.captioned))
    background = load.boxes.get(0, 0)
    if background:
        rows.append(("without a box though they were sought", background))
    plots.append(f"<div>{table(('', 'images'), rows)}</div>")
    return f'<div class="grid three">{"".join(plots)}</div>'


def _load(counts: Mapping[int, int], what: str, caption: str, number: int) -> str:
    text = f"{caption}: {mean(counts):.2f} on average, at most {max(counts, default=0)}."
    return _load_figure(counts, text, about=f"Images by the number of {what}", what=what, number=number)


def _sums(rows: Sequence[tuple[int, int, int]], place: int) -> dict[int, int]:
    found: dict[int, int] = {}
    for row in rows:
        found[row[place]] = found.get(row[place], 0) + row[2]
    return dict(sorted(found.items()))
