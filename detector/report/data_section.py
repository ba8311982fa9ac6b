"""The data section: what each dataset holds, what was rejected or repaired, and why."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from detector.report.inputs import DatasetFacts, Inputs, Missing

EXAMPLES = 3


def data_html(inputs: Inputs) -> str:
    """One table of counts, then the reasons dataset by dataset."""
    if not inputs.datasets:
        return (
            '<p class="missing">No datasets were given. Name them: '
            "<code>wordtree report RUN --data DATASET…</code>.</p>"
        )
    known = [facts for facts in inputs.datasets if not isinstance(facts, Missing)]
    parts = []
    for facts in inputs.datasets:
        if isinstance(facts, Missing):
            parts.append(facts.html())
    if known:
        parts.append(_counts_table(known))
        parts.extend(_reasons(facts) for facts in known)
    return "".join(parts)


def _counts_table(known: list[DatasetFacts]) -> str:
    head = "".join(
        f'<th scope="col"{" class=num" if number > 2 else ""}>{name}</th>'
        for number, name in enumerate(
            (
                "dataset",
                "made from",
                "holds",
                "classes",
                "images read",
                "written",
                "rejected",
                "annotations read",
                "written",
                "rejected",
                "MB",
            )
        )
    )
    rows = []
    for facts in known:
        manifest, counts = facts.manifest, facts.manifest.counts
        numbers = (
            len(manifest.classes),
            counts.images_in,
            counts.images_written,
            counts.images_rejected,
            counts.annotations_in,
            counts.annotations_written,
            counts.annotations_rejected,
        )
        cells = "".join(f'<td class="num">{number:,}</td>' for number in numbers)
        size = sum(shard.bytes for shard in manifest.shards) / 1e6
        rows.append(
            f'<tr><th scope="row">{escape(facts.path.name)}</th><td>{escape(manifest.source)}</td>'
            f"<td>{'boxes' if manifest.has_boxes else 'image labels'}</td>{cells}"
            f'<td class="num">{size:,.1f}</td></tr>'
        )
    return (
        '<div class="scroll" tabindex="0" role="region" aria-label="counts of the datasets"><table>'
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
        '<p class="note">Read = written + rejected, for images and for annotations.</p>'
    )


def _reasons(facts: DatasetFacts) -> str:
    counts = facts.manifest.counts
    if not counts.rejected_by_reason and not counts.fixed_by_reason:
        return f'<p class="note">{escape(facts.path.name)}: nothing was rejected or repaired.</p>'
    rows = []
    for kind, reasons in (("rejected", counts.rejected_by_reason), ("repaired", counts.fixed_by_reason)):
        for reason, number in sorted(reasons.items(), key=lambda item: (-item[1], item[0])):
            examples = [row for row in facts.rejects if row.get("reason") == reason] if kind == "rejected" else []
            shown = "<br>".join(_example(row) for row in examples[:EXAMPLES])
            rows.append(
                f'<tr><td>{kind}</td><th scope="row"><code>{escape(reason)}</code></th>'
                f'<td class="num">{number:,}</td><td class="path">{shown}</td></tr>'
            )
    return (
        f'<h3>{escape(facts.path.name)}</h3><div class="scroll"><table class="reasons"><thead><tr>'
        '<th scope="col">what</th><th scope="col">reason</th><th scope="col" class="num">how many</th>'
        f'<th scope="col">the first of them</th></tr></thead><tbody>{"".join(rows)}</tbody></table></div>'
    )


def _example(row: Mapping[str, Any]) -> str:
    text = f"{row.get('record', '')}: {row.get('found', '')}"
    return escape(text if len(text) <= 160 else text[:159] + "…")
