"""The pictures of a report: detections, and the truth dashed where a dataset knows it."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from PIL import Image

from detector.draw import STEP, DrawnBox, draw_detections
from detector.report.inputs import Inputs, Missing
from detector.report.truths import VERDICTS, Truth, Verdict, judge, truths_of_images
from schemas.boxes import Box

MOST_PICTURES = 48
LONGEST_SIDE = 640
MARKS = {"right": "✓", "finer": "✓", "coarser": "↑", "wrong": "≠", "false": "+", "missed": "○"}
MEANING = {
    "right": "the true class",
    "finer": "below the true class: the truth does not go so far down",
    "coarser": "above the true class: right, but not all the way down",
    "wrong": "another class",
    "false": "nothing is there",
    "missed": "a truth that nobody found; dashed, with its name",
}
ERRORS = ("wrong", "false", "missed")
UNREADABLE = (OSError, ValueError, SyntaxError, Image.DecompressionBombError)


def pictures_html(inputs: Inputs) -> str:
    """At most MOST_PICTURES pictures, taken evenly from all, with what was right and wrong in them."""
    found = inputs.detections
    if isinstance(found, Missing):
        return found.html()
    entries = found["images"]
    step = max(1, -(-len(entries) // MOST_PICTURES))  # images of one class often stand together: take every n-th
    shown = entries[::step]
    verdicts, notes = _verdicts(shown, inputs)
    figures = "".join(_figure(entry, verdicts.get(number), inputs) for number, entry in enumerate(shown))
    total: dict[str, int] = {}
    for verdict in verdicts.values():
        for word, count in verdict.counts().items():
            total[word] = total.get(word, 0) + count
    legend = "".join(
        f'<li><span class="chip {word}">{MARKS[word]} {total.get(word, 0):,} {word}</span> {escape(MEANING[word])}</li>'
        for word in VERDICTS
    )
    parts = [f'<p class="note">{escape(note)}</p>' for note in notes]
    if verdicts:
        parts.append(
            '<p class="note">A dashed frame is the truth. A detection belongs to the truth that it overlaps most, if '
            f'IoU ≥ 0.5.</p><ul class="verdicts">{legend}</ul><p class="filter" role="group" '
            'aria-label="which pictures"><button type="button" aria-pressed="true" data-show="">all</button> '
            '<button type="button" aria-pressed="false" data-show="clean">without errors</button> '
            '<button type="button" aria-pressed="false" data-show="errors">with errors</button></p>'
        )
    if len(entries) > len(shown):
        parts.append(f'<p class="note">{len(shown)} of {len(entries):,} pictures, evenly taken.</p>')
    return "".join([*parts, f'<div class="pictures">{figures}</div>'])


def _verdicts(entries: Sequence[Mapping[str, Any]], inputs: Inputs) -> tuple[dict[int, Verdict], list[str]]:
    """By number of the entry; and what to tell if truths are not known."""
    if isinstance(inputs.tree, Missing):
        return {}, ["Without the tree detections cannot be compared with the truth."]
    known = [facts for facts in inputs.datasets if not isinstance(facts, Missing)]
    try:
        truths = truths_of_images((Path(str(entry["image"])) for entry in entries), known, inputs.tree)
    except (OSError, ValueError, KeyError) as error:
        return {}, [f"The truth could not be read ({error})."]
    verdicts = {}
    for number, entry in enumerate(entries):
        here = truths.get(Path(str(entry["image"])))
        if here is not None:
            verdicts[number] = judge(entry["detections"], here, inputs.tree)
    if verdicts:
        return verdicts, []
    note = "No dataset given with --data holds these images with boxes, so hits and misses are not known."
    if not isinstance(inputs.evaluations, Missing):
        names = [str(evaluation["dataset"]) for evaluation in inputs.evaluations]
        note += f" The run was evaluated on {', '.join(names)}: give that with --data if these are its images."
    return {}, [note]


def _figure(entry: Mapping[str, Any], verdict: Verdict | None, inputs: Inputs) -> str:
    name = Path(str(entry["image"])).name
    uri = _picture_uri(entry, verdict, inputs.pictures)
    count = len(entry["detections"])
    about = f"{name}: " + ("; ".join(_said(row) for row in entry["detections"]) or "nothing found")
    picture = (
        f'<img src="{uri}" alt="{escape(about)}" loading="lazy">' if uri else '<p class="missing">No picture of it.</p>'
    )
    words = _chips(verdict) if verdict else f'<span class="chip">{count} found</span>'
    kind = "" if verdict is None else ("errors" if set(verdict.counts()) & set(ERRORS) else "clean")
    judged = verdict.of_detections if verdict else ("",) * count
    lines = "".join(
        f"<li>{MARKS.get(word, '·')} {escape(_said(row))}</li>"
        for word, row in zip(judged, entry["detections"], strict=True)
    )
    details = f"<details><summary>{count} found</summary><ol>{lines}</ol></details>" if count else ""
    return (
        f'<figure data-kind="{kind}">{picture}<figcaption><b>{escape(name)}</b> {words}{details}</figcaption></figure>'
    )


def _chips(verdict: Verdict) -> str:
    counts = verdict.counts()
    if not counts:
        return '<span class="chip right">✓ nothing to find</span>'
    return " ".join(
        f'<span class="chip {word}" title="{escape(MEANING[word])}">{MARKS[word]} {number} {word}</span>'
        for word, number in counts.items()
    )


def _said(row: Mapping[str, Any]) -> str:
    return f"{row.get('path') or row.get('label', '')} {row['score']:.2f}"


def _picture_uri(entry: Mapping[str, Any], verdict: Verdict | None, folder: Path | None) -> str:
    """The picture as a data URI: drawn anew, with the truth where that is known; else the one that was drawn."""
    image = _redrawn(entry, verdict)
    if image is None and folder is not None and entry.get("picture"):
        try:
            with Image.open(folder / str(entry["picture"])) as drawn:
                image = drawn.convert("RGB")
        except UNREADABLE:
            return ""
    if image is None:
        return ""
    image.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=84)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def _redrawn(entry: Mapping[str, Any], verdict: Verdict | None) -> Image.Image | None:
    """From the image itself, if it can still be read and has the size that it had."""
    try:
        with Image.open(str(entry["image"])) as original:
            if original.size != (entry.get("width", original.width), entry.get("height", original.height)):
                return None
            truths = _dashed(verdict) if verdict else ()
            return draw_detections(original, [_drawn(row) for row in entry["detections"]], truths=truths)
    except UNREADABLE:
        return None


def _drawn(row: Mapping[str, Any]) -> DrawnBox:
    """With its last name alone: the path stands below the picture and would hide much of it."""
    name = str(row.get("label") or row.get("path", "").split(STEP)[-1])
    return DrawnBox(box=Box(*row["box"]), caption=f"{name} {row['score']:.2f}", colour_key=str(row.get("wnid", "")))


def _dashed(verdict: Verdict) -> list[DrawnBox]:
    """Truths; only those that were not found have their name."""

    def caption(truth: Truth, found: bool) -> str:
        return "" if found else f"{truth.label} (crowd)" if truth.crowd else truth.label

    pairs = zip(verdict.truths, verdict.found, strict=True)
    return [DrawnBox(box=truth.box, caption=caption(truth, found), colour_key="") for truth, found in pairs]
