"""What was said by whom, what occurs together, what was rejected, what occurs twice, and how all this was counted."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

from pipelines.data_card.card import Card, DuplicateReport
from pipelines.data_card.markup import Section, bar, per_dataset, pictures, table
from pipelines.data_card.pictures import MOST_REASONS, PER_REASON
from pipelines.data_card.plots import sparkline
from pipelines.statistics.annotation_figures import CONFIDENCE_BINS, SourceRow
from pipelines.statistics.index_figures import Contents
from pipelines.statistics.reject_figures import RejectLine
from pipelines.statistics.results import DatasetStatistics
from pipelines.statistics.sketches import ACCURACY, DISTINCT_ERROR, EXACT, K

SHOWN_PAIRS = 15
MOST_SOURCES = 60
_SAYS = {"box": "box", "label": "present", "absent": "absent"}
_VERIFIED = {1: "verified", 0: "not verified", -1: "not stated"}


def labels(card: Card) -> Section:
    """Sources and confidences."""
    parts = [
        "<p>Every statement has a source and a confidence. What nobody spoke of is unknown, and no row. "
        "The small bars are confidences from 0 to 1.</p>"
    ]
    for number, (name, one) in enumerate(zip(card.names, card.statistics.datasets, strict=True)):
        rows = sorted(one.annotations.sources, key=lambda row: (-row.count, row.source, row.what, row.verified))
        shown = [_source_row(row, number) for row in rows[:MOST_SOURCES]]
        heads = ("source", "says", "by a person", "statements", "confidence")
        html = table(heads, shown) if shown else '<p class="note">Nothing is said.</p>'
        if len(rows) > len(shown):
            html += f'<p class="note">{len(rows) - len(shown):,} rarer ones are in --json.</p>'
        parts.append(f"<h3>{escape(name)}</h3>{html}" if len(card.names) > 1 else html)
    return Section("labels", "Sources and confidences", "".join(parts))


def _source_row(row: SourceRow, number: int) -> list[str | int | float | None]:
    line = sparkline(row.bins[:CONFIDENCE_BINS], about=f"confidences of {row.source or 'unnamed'}", series=number)
    filled = [n for n, count in enumerate(row.bins) if count]
    if filled == [CONFIDENCE_BINS - 1]:
        line = "<small>all 0.95 to 1</small>"
    elif filled == [CONFIDENCE_BINS]:
        line = "<small>none in [0, 1]</small>"
    elif row.bins[CONFIDENCE_BINS]:
        line += f" <small>{row.bins[CONFIDENCE_BINS]:,} not in [0, 1]</small>"
    return [row.source or "not stated", _SAYS[row.what], _VERIFIED[row.verified], row.count, line]


def together(card: Card) -> Section:
    """Pairs of classes on one image."""
    parts, blocks = (
        ["<p>Classes that are present on the same image. Share: of the images of either, those of both.</p>"],
        [],
    )
    for one, files in zip(card.statistics.datasets, card.files, strict=True):
        names = {entry.id: entry.name for entry in files.manifest.classes}
        blocks.append(_pairs(one, names))
    parts.append(per_dataset(card.names, blocks))
    return Section("together", "Together", "".join(parts))


def _pairs(one: DatasetStatistics, names: Mapping[int, str]) -> str:
    found = one.images.together
    if not found.pairs:
        return '<p class="note">No image has two classes.</p>'
    rows = []
    for pair in found.pairs[:SHOWN_PAIRS]:
        first, second = (one.images.images_of_class.get(key, 0) for key in (pair.first, pair.second))
        both = pair.images / found.share
        union = max(first + second - both, 1)
        told = f"{names.get(pair.first, pair.first)} + {names.get(pair.second, pair.second)}"
        rows.append([told, bar(both / union), round(both / union, 3), round(both)])
    note = f"{found.different:,} different pairs."
    if found.share < 1:
        note += f" Counted in {100 * found.share:.3g} % of the images, chosen by hash, and scaled."
    if found.left_out:
        note += f" {found.left_out:,} images with very many classes are left out."
    return table(("classes", "", "share", "images"), rows) + f'<p class="note">{note}</p>'


def rejects(card: Card) -> Section:
    """Reasons with examples; repairs."""
    parts = []
    for number, (name, one, files) in enumerate(zip(card.names, card.statistics.datasets, card.files, strict=True)):
        counts = files.manifest.counts
        html = table(
            ("", "read", "written", "rejected"),
            [
                ("images", counts.images_in, counts.images_written, counts.images_rejected),
                ("annotations", counts.annotations_in, counts.annotations_written, counts.annotations_rejected),
            ],
        )
        stated = {reason: n for reason, n in counts.rejected_by_reason.items() if n}
        if {reason.reason: reason.count for reason in one.rejects} != stated:
            html += '<p class="warn">rejects.jsonl and the manifest disagree about what was rejected.</p>'
        shown = card.pictures.rejects[number]
        for reason in one.rejects[:MOST_REASONS]:
            examples = reason.examples[:PER_REASON]
            seen = [shown[line] for line in examples if line in shown]
            lines = "".join(f"<li>{_line(line)}</li>" for line in examples)
            html += (
                f'<div class="reason"><h4><code>{escape(reason.reason)}</code><span class="num">{reason.count:,}</span>'
                f"</h4>{pictures(seen, small=True)}<ul>{lines}</ul></div>"
            )
        done = [("repaired", counts.fixed_by_reason), ("kept as it is", getattr(counts, "kept_by_reason", {}))]
        rows = [(f"{what}: {reason}", count) for what, reasons in done for reason, count in reasons.items()]
        if rows:
            html += f"<h4 class='spaced'>Written all the same</h4>{table(('what', 'how many'), rows)}"
        if not one.rejects and not rows:
            html += '<p class="note">Nothing was rejected or repaired.</p>'
        parts.append(f"<h3>{escape(name)}</h3>{html}" if len(card.names) > 1 else html)
    return Section("rejects", "Rejects", "".join(parts))


def _line(line: RejectLine) -> str:
    text = f"{line.record} ({line.where}): {line.found}" if line.where else f"{line.record}: {line.found}"
    return escape(text if len(text) <= 220 else text[:219] + "…")


def duplicates(card: Card) -> Section:
    """Equal files inside datasets and between them; reports of near duplicates."""
    same, names = card.statistics.same_bytes, card.names
    found = card.statistics.datasets
    rows = []
    for name, one, inside in zip(names, found, same.inside, strict=True):
        known = one.index.images.images - one.index.images.without_content
        different = one.index.contents
        rows.append([name, known, inside.contents, inside.more, _about(different)])
    parts = [
        "<p>Files that are equal byte by byte (sha256).</p>",
        table(("inside", "images", "files that repeat", "images too many", "different files"), rows),
    ]
    if len(names) > 1:
        pairs = [
            (f"{names[p.first]} and {names[p.second]}", p.contents, p.images_first, p.images_second)
            for p in same.between
        ]
        parts.append(
            "<h3>Leaks between the datasets</h3>"
            + (
                table(("datasets", "files in both", "images of the first", "images of the second"), pairs)
                if pairs
                else '<p class="note">No file stands in two of the datasets.</p>'
            )
        )
    examples = [
        f"<div><h4>one file, {images:,} images</h4>{pictures(shown, small=True)}</div>"
        for (images, _), shown in zip(same.examples, card.pictures.equal, strict=False)
    ]
    if examples:
        parts.append(f'<h3>Some of them</h3><div class="grid three">{"".join(examples)}</div>')
    for name, report in zip(names, card.reports, strict=True):
        parts.append(_report(name, report))
    if not any(card.reports):
        parts.append(
            '<p class="note">Near duplicates (resized, recompressed) are not sought here: '
            "<code>wordtree duplicates DATASET --against EVALUATION --out OUT</code> does; its report in a dataset "
            "directory is shown on this card.</p>"
        )
    return Section("duplicates", "Duplicates and leaks", "".join(parts))


def _about(contents: Contents) -> str | int:
    return contents.distinct if contents.exact else f"≈ {contents.distinct:,}"


def _report(name: str, report: DuplicateReport | None) -> str:
    if report is None:
        return ""
    rows: list[tuple[str, int, int | None]] = [
        (f"{kind} duplicates", report.clusters[kind], report.images.get(kind, 0)) for kind in sorted(report.clusters)
    ]
    leaks = [(f"{evaluation}: {kind}", count) for (evaluation, kind), count in sorted(report.leaks.items())]
    html = f"<h3>{escape(name)}: report of <code>wordtree duplicates</code></h3>"
    html += table(("kind", "clusters", "images in them"), rows) if rows else '<p class="note">No duplicates.</p>'
    return html + (table(("leaks into", "images"), leaks) if leaks else "")


def method(card: Card) -> Section:
    """How it was counted, and what the datasets were made of."""
    parts = [
        "<p>Every figure is a combiner over rows of the datasets' tables, so it does not depend on the number of "
        "workers or on any order. All are exact but these:</p><ul>"
        f"<li>images of a tree's node with all below it, and different files: exact up to {K - 1:,}, beyond with a "
        f"standard error of {100 * DISTINCT_ERROR:.1f} % (the {K:,} smallest hashes);</li>"
        f"<li>quantiles: exact up to {EXACT:,} values, beyond within {100 * ACCURACY:g} % of the value;</li>"
        "<li>pairs of classes: exact up to about a million images, beyond counted in as many, chosen by hash.</li></ul>"
    ]
    for name, files in zip(card.names, card.files, strict=True):
        manifest = files.manifest
        options = [(key, str(value)) for key, value in manifest.options.items() if value not in ("", None, 0)]
        versions = [(f"version of {key}", str(value)) for key, value in manifest.versions.items()]
        sources = [(file.path, f"sha256 {file.sha256[:16]}…") for file in manifest.source_files]
        parts.append(
            f'<details class="more"><summary>{escape(name)}: how it was made</summary>'
            f"{table(('option', 'value'), [*options, *versions])}"
            f"{table(('annotation file', ''), sources) if sources else ''}</details>"
        )
    return Section("method", "How it was counted", "".join(parts))
