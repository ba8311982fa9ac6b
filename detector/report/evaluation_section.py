"""What an evaluation tells beside AP: figures by group, kinds of errors, names in the tree, all figures of all classes.

Each part stands where the evaluation has its numbers. An older evaluation has none of them: it is named, with the
command that makes them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from html import escape
from typing import Any

from detector.evaluation_table import TOP
from detector.metrics.errors import KINDS
from detector.metrics.metric import all_figures, all_metrics
from detector.report.evaluation_plots import group_bars, legend, stacked_bars, unit_plot
from detector.report.inputs import Inputs, Missing

GROUPS = {"boxed": "boxed", "unboxed": "never boxed", "unboxed_near": "… below a boxed class", "unboxed_far": "… far"}
NAME_GROUPS = ("all", "boxed", "unboxed", "untrained")
MOST_CLASSES = 60
Row = Mapping[str, Any]


def groups_html(inputs: Inputs) -> str:
    """Figures by group, kinds of errors, and a folded table of classes, for each evaluation."""
    return _for_each(inputs, "figures by group", (_coco_numbers, _group_figures, _error_kinds, _class_table))


def names_html(inputs: Inputs) -> str:
    """How right names are in the tree, for each evaluation."""
    return _for_each(inputs, "names in the tree", (_names,))


def _for_each(inputs: Inputs, what: str, builders: tuple[Callable[[Row, str], str], ...]) -> str:
    if isinstance(inputs.evaluations, Missing):
        return inputs.evaluations.html()
    parts = []
    for number, evaluation in enumerate(inputs.evaluations):
        found = [_safely(build, evaluation, f"plot-{number}") for build in builders]
        name = str(evaluation["dataset"])
        if any(found):
            parts.append(f"<h3>{escape(name)}</h3>{''.join(found)}")
        else:
            missing = Missing(f"The evaluation of {name} has no {what}.", f"wordtree evaluate {inputs.run.name} {name}")
            parts.append(missing.html())
    return "".join(parts)


def _safely(build: Callable[[Row, str], str], evaluation: Row, key: str) -> str:
    try:
        return build(evaluation, key)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError):
        return ""


def _coco_numbers(evaluation: Row, key: str) -> str:
    """COCO's numbers of all classes and of the groups."""
    summary = evaluation["summary"]
    coco = {figure.key: figure.page_name for figure in all_metrics()["coco"].figures}
    names = [name for name in coco if name in summary]
    if "AP_S" not in names:
        return ""
    parts = {"": "all", **{f"_{group}": title for group, title in GROUPS.items()}}
    head = "".join(f'<th scope="col" class="num">{escape(coco[name])}</th>' for name in names)
    body = "".join(
        f'<tr><th scope="row">{escape(title)}</th>'
        f"{_cells([_percent(_number(summary.get(name + part))) for name in names])}</tr>"
        for part, title in parts.items()
        if any(_number(summary.get(name + part)) is not None for name in names)
    )
    rules = (
        "LVIS's rules: only some classes were looked for in each image. " if evaluation.get("rules") == "LVIS" else ""
    )
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="COCO\'s numbers on '
        f'{escape(str(evaluation["dataset"]))}"><table><thead><tr><th scope="col">classes</th>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div><p class='note'>{rules}AP: mean over overlaps 0.50:0.95. AR: the share of "
        "true boxes that the best detections of their class find, averaged over the same overlaps. Small: up to "
        "32 x 32 pixels of the picture, medium: up to 96 x 96.</p>"
    )


def _group_figures(evaluation: Row, key: str) -> str:
    summary = evaluation["summary"]
    figures = {figure.summary_key: figure.page_name for figure in all_figures() if figure.bars}
    groups = [group for group in GROUPS if any(_number(summary.get(f"{name}_{group}")) is not None for name in figures)]
    counts = {group: int(summary.get(f"classes_{group}") or 0) for group in groups}
    titles = dict(GROUPS)
    for part, word in (("unboxed_near", "all below a boxed class"), ("unboxed_far", "all far")):
        if part in groups and counts[part] == counts.get("unboxed"):  # the same bars twice
            groups.remove(part)
            titles["unboxed"] += f", {word}"
    rows = [
        (title, [_number(summary.get(f"{name}_{group}")) for group in groups])
        for name, title in figures.items()
        if any(_number(summary.get(f"{name}_{group}")) is not None for group in groups)
    ]
    if len(rows) < 2:
        return ""  # AP50 alone stands in the section before
    told = [f"{titles[group]} ({counts[group]:,})" for group in groups]
    about = "Means over classes, by what the training data had of them; the number of classes in brackets"
    how = {"objectness": "by objectness", "best class": "by their best class"}.get(str(evaluation.get("ranked_by")), "")
    note = (
        f"Recall: the share of true boxes that one of the picture's best 1, 10 or 100 boxes{' ' + how if how else ''} "
        "overlaps by half, whatever it is called. CorLoc: in how many pictures of a class its best box lies on one."
    )
    return f"{legend(told)}{group_bars(rows, told, about=about)}<p class='note'>{escape(about)}. {escape(note)}</p>"


def _error_kinds(evaluation: Row, key: str) -> str:
    totals = evaluation["errors"]
    if not any(sum(words.values()) for words in totals.values()):
        return ""
    names = {"all": "all classes", "boxed": "boxed", "unboxed": "never boxed", "untrained": "not in training"}
    top = [(names.get(group, group), _counts(totals[group])) for group in names if group in totals]
    classes = [(str(row["label"]), _counts(row["errors"])) for row in evaluation["classes"] if row.get("errors")]
    classes.sort(key=lambda item: (-item[1]["correct"] / max(sum(item[1].values()), 1), item[0]))
    shown = classes[:MOST_CLASSES]
    about = "What the best detections of each class are, as many as it has true boxes"
    by_class = stacked_bars(shown, KINDS, about=f"{about}, class by class")
    rest = f", the best {MOST_CLASSES} of {len(classes)}" if len(classes) > MOST_CLASSES else ""
    return (
        f"<h4>Kinds of errors</h4>{legend(KINDS)}{stacked_bars(top, KINDS, about=about)}"
        f"<details><summary>class by class{rest}</summary>{by_class}</details>"
        "<p class='note'>Correct: the right class, overlap (IoU) at least 0.5. Localisation: the right class, from 0.1 "
        "on, or a second box. Similar: on an object of a class that shares a node below the roots. Other: on any other "
        "object. Background: on none. On the right, how many were looked at.</p>"
    )


def _counts(words: Row) -> dict[str, int]:
    return {kind: int(words.get(kind, 0)) for kind in KINDS}


def _class_table(evaluation: Row, key: str) -> str:
    rows = evaluation["classes"]
    figures = sorted(all_figures(), key=lambda figure: not figure.bars)
    titles = {figure.key: figure.page_name for figure in (*figures, *TOP)}
    names = [name for name in titles if any(_number(row.get(name)) is not None for row in rows)]
    errors = any(row.get("errors") for row in rows)
    if not set(names) - {"AP50"}:
        return ""
    heads = [titles[name] for name in names] + [*KINDS] * errors
    head = "".join(f'<th scope="col" class="num">{escape(text)}</th>' for text in heads)
    body = []
    for row in rows:
        cells = [_percent(_number(row.get(name))) for name in names]
        words = _counts(row.get("errors") or {})
        cells += [f"{words[kind]:,}" for kind in KINDS] * errors
        body.append(f'<tr><th scope="row">{escape(str(row["label"]))}</th>{_cells(cells)}</tr>')
    count = f"{len(rows):,} {'class' if len(rows) == 1 else 'classes'}"
    return (
        f"<details><summary>every figure of every class: {count}</summary>"
        f'<div class="scroll" tabindex="0" role="region" aria-label="figures of {escape(str(evaluation["dataset"]))}">'
        f'<table><thead><tr><th scope="col">class</th>{head}</tr></thead><tbody>{"".join(body)}</tbody></table></div>'
        "</details>"
    )


def _names(evaluation: Row, key: str) -> str:
    names = evaluation["tree"]["names"]
    groups = [group for group in NAME_GROUPS if group in names]
    if len(groups) == 2 and len({names[group]["walk"]["rows"] for group in groups}) == 1:
        groups = groups[1:]  # all are of that group: the same row and curve twice
    if not groups:
        return ""
    head = "".join(
        f'<th scope="col" class="num">{text}</th>'
        for text in ("boxes", "exact", "at or above", "hP", "hR", "hF", "distance", "severity", "area", "at 95 %")
    )
    body = "".join(_names_row(group, names[group]) for group in groups)
    about = f"names on {escape(str(evaluation['dataset']))}"
    table = (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{about}"><table>'
        f'<thead><tr><th scope="col">true class is</th>{head}</tr></thead><tbody>{body}</tbody></table></div>'
    )
    curves = {group: names[group]["curve"] for group in groups if names[group].get("curve")}
    plot = ""
    if curves:
        about = "Share of names that are the true class or above it, over how special they are, as the walk gets bolder"
        points = {g: list(zip(c["information"], c["correct"], strict=True)) for g, c in curves.items()}
        drawn = unit_plot(f"{key}-names", points, x="how special (information)", y="correct", about=about, level=0.95)
        plot = f"{legend(list(curves))}{drawn}<p class='note'>{about}; the dashed line is 95 %.</p>"
    return f"{table}{plot}{_levels(evaluation, names['all'])}"


def _names_row(group: str, scores: Row) -> str:
    walk, curve = scores["walk"], scores.get("curve") or {}
    shares = [_percent(_number(walk.get(name))) for name in ("exact", "correct", "hP", "hR", "hF")]
    lengths = [f"{walk['distance']:.2f}", "–" if walk.get("severity") is None else f"{walk['severity']:.2f}"]
    told = [_percent(_number(curve.get(name))) for name in ("area", "information_at_95")]
    cells = _cells([f"{int(walk['rows']):,}", *shares, *lengths, *told])
    return f'<tr><th scope="row">{escape(group)}</th>{cells}</tr>'


def _levels(evaluation: Row, scores: Row) -> str:
    """Depth by depth: accuracy, AP at the nodes, and calibration of each softmax and of the product."""
    precision = {row["depth"]: row for row in evaluation["tree"].get("precision", {}).get("by_depth", ())}
    calibrated = {row["depth"]: row for row in scores.get("calibration") or ()}
    rows = []
    for level in scores["walk"]["by_depth"]:
        depth = level["depth"]
        found = calibrated.get(depth) or {}
        own, product = (found.get(name) or {} for name in ("conditional", "product"))
        cells = [f"{int(level['rows']):,}", _percent(_number(level["correct"]))]
        cells.append(_percent(_number((precision.get(depth) or {}).get("AP50"))))
        for part in (own, product):
            cells += [_percent(_number(part.get(name))) for name in ("confidence", "correct", "error")]
        rows.append(f'<tr><th scope="row">{int(depth)}</th>{_cells(cells)}</tr>')
    titles = ["boxes", "correct", "AP50 at nodes"]
    titles += [f"{what}, {name}" for name in ("own softmax", "product") for what in ("sure", "right", "ECE")]
    head = "".join(f'<th scope="col" class="num">{text}</th>' for text in titles)
    return (
        "<details><summary>depth by depth, and calibration</summary>"
        '<div class="scroll" tabindex="0" role="region" aria-label="depth by depth"><table>'
        f'<thead><tr><th scope="col">depth</th>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'
        "<p class='note'>Sure: the mean probability of the best name at that depth. Right: the share that is right. "
        "ECE: the mean gap between both over 15 bins.</p></details>"
    )


def _cells(texts: list[str]) -> str:
    return "".join(f'<td class="num">{text}</td>' for text in texts)


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f}"
