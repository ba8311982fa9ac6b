"""An evaluation for people: a table of classes by group with the means, the other figures below it; and as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

from detector.metrics.errors import KINDS
from detector.metrics.metric import Figure, all_figures, all_metrics
from detector.metrics.precision import mean_or_none

GROUPS = {
    "boxed": "boxed in training",
    "unboxed": "never boxed, only labelled",
    "untrained": "not in the training data",
}
FACTS = ("label", "wnid", "node", "path", "group", "split", "training_boxes", "training_labels", "truths")
TOP = (Figure("top1", "top 1"), Figure("top5", "top 5"))  # of whole images


def notes(result: Mapping[str, Any]) -> list[str]:
    """By which rules it was measured, where they are not the usual ones, and what was left out."""
    lines = []
    if result.get("rules") == "LVIS":
        lines.append(
            "AP and AR by LVIS's rules: only some classes were looked for in each image, at most 300 detections of an "
            "image count"
        )
    if doubt := result.get("categories_in_doubt"):
        own = ", ".join(list(doubt)[:3])
        lines.append(
            f"category_id was read as --categories {result['categories']}: the dataset numbers its classes from 1, its "
            f"source calls them {own}; say which one it is"
        )
    words = {
        "unknown_images": "on images that the dataset does not have",
        "unknown_classes": "of classes that the dataset does not have",
        "not_looked_for": "of classes that nobody looked for in their image",
    }
    counts = {name: number for name, number in result.get("left_out", {}).items() if number}
    return lines + [
        f"1 detection {words[name]} is left out" if number == 1 else f"{number} detections {words[name]} are left out"
        for name, number in counts.items()
    ]


def table(result: Mapping[str, Any]) -> str:
    """Classes with boxes, classes without, means; then the figures of the whole."""
    figures = all_figures()
    choice = ("AP50", "VOC10", "VOC07", "OpenImages", "top1", *(figure.key for figure in figures))
    main = next((name for name in choice if _any(result, name)), "AP50")
    usual = tuple(figure.key for figure in figures if figure.usual)
    columns = {"AP50": usual, "top1": ("top1", "top5")}.get(main, (main,))
    head = f"{'class':48}{''.join(f' {name:>5}' for name in columns)}  {'truths':>6} {'boxes':>6} {'labels':>6}"
    mean = "AP: mean over overlaps 0.50:0.95; " if columns == usual else ""
    lines = [f"{head}  ({mean}boxes, labels: in training; figures from 0 to 1)"]
    for group, title in GROUPS.items():
        rows = [row for row in result["classes"] if row["group"] == group]
        scored = [row for row in rows if row.get(main) is not None]
        if not rows:
            continue
        count = f"{len(scored)} classes" if len(scored) == len(rows) else f"{len(scored)} of {len(rows)} classes"
        means = (mean_or_none([row.get(name) for row in scored]) for name in columns)
        lines.append(f"{title + ', ' + count:48}{''.join(f' {_show(mean)}' for mean in means)}")
        lines.extend(
            f"  {_name(row)[:46]:46}{''.join(f' {_show(row.get(name))}' for name in columns)}  {row['truths']:6} "
            f"{row['training_boxes']:6} {row['training_labels']:6}"
            for row in sorted(scored, key=lambda row: -row[main])
        )
        if len(scored) < len(rows):
            lines.append(f"  and {len(rows) - len(scored)} without truths here")
    return "\n".join([*lines, *_means(result), *_errors(result), *_tree(result)])


def _name(row: Mapping[str, Any]) -> str:
    """The dataset's word for the class; the tree's where that is but the wnid, as in folders of ImageNet."""
    return row["path"].rsplit(" > ", 1)[-1] if row["label"] == row["wnid"] and row.get("path") else row["label"]


def _any(result: Mapping[str, Any], name: str) -> bool:
    return any(row.get(name) is not None for row in result["classes"])


def _show(value: float | None) -> str:
    return "    -" if value is None else f"{value:5.3f}"


def _means(result: Mapping[str, Any]) -> list[str]:
    """The means of every figure that was asked for: of all classes, and of the groups."""
    summary = result["summary"]
    columns = ("", "_boxed", "_unboxed", "_unboxed_near", "_unboxed_far")
    titles = ("all", "boxed", "unboxed", "near", "far")
    figures = [figure for metric in all_metrics().values() for figure in metric.figures if figure.has_mean]
    names = {figure.summary_key: figure.title for figure in figures}
    late = {figure.summary_key for figure in figures if figure.late}
    told = [name for name in names if summary.get(name) is not None or (name in late and name in summary)]
    if not told:
        return []
    title = "means, LVIS's rules" if result.get("rules") == "LVIS" else "means over classes"
    head = f"{title:24}" + "".join(f" {title:>7}" for title in titles)
    lines = [
        f"  {names[name]:22}" + "".join(f"   {_show(summary.get(name + column))}" for column in columns)
        for name in told
    ]
    return ["", head, *lines]


def _errors(result: Mapping[str, Any]) -> list[str]:
    """Shares of the kinds of detections, by group."""
    groups = result.get("errors") or {}
    lines = []
    for group, words in groups.items():
        total = sum(words.values())
        shares = "  ".join(f"{word} {100 * words[word] / total:.0f} %" for word in KINDS)
        lines.append(f"  {group:10} {shares}  (of {total})")
    return ["", "what the best detections are, as many of each class as it has truths", *lines] if lines else []


def _tree(result: Mapping[str, Any]) -> list[str]:
    """Names of boxes that lie on truths; of a classifier, those of whole images."""
    tree = result.get("tree") or {}
    whole = "top1" in result["summary"]
    things = "labels" if whole else "boxes"
    lines = []
    for group, scores in tree.get("names", {}).items():
        walk = scores["walk"]
        line = (
            f"  {group:10} {walk['rows']:6} {things}  exact {_show(walk['exact'])}  "
            f"at or above {_show(walk['correct'])}  hP {_show(walk['hP'])}  "
            f"hR {_show(walk['hR'])}  hF {_show(walk['hF'])}  distance {walk['distance']:.2f}"
        )
        if "curve" in scores:
            curve = scores["curve"]
            line += f"  area {_show(curve['area'])}  information at 95 % {_show(curve['information_at_95'])}"
        lines.append(line)
    where = "of whole images" if whole else "where a box lies on a truth"
    return ["", f"names in the tree, {where}", *lines] if lines else []


def csv_text(results: Sequence[Mapping[str, Any]]) -> str:
    """One line for each dataset and class; empty where a figure was not asked for or there is no truth."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    figures = all_figures()
    late = [figure.late for figure in figures].index(True)
    names = [figure.key for figure in (*figures[:late], *TOP, *figures[late:])]
    writer.writerow(["dataset", *FACTS, *names, *KINDS])
    for result in results:
        for row in result["classes"]:
            facts = [row.get(name, "") for name in FACTS]
            figures = ["" if row.get(name) is None else f"{row[name]:.6f}" for name in names]
            words = row.get("errors") or {}
            writer.writerow([result["dataset"], *facts, *figures, *(words.get(word, "") for word in KINDS)])
    return out.getvalue()
