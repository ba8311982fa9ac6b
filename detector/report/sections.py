"""The sections of a report, each a function from the inputs to HTML. All text from outside is escaped here."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from detector.report.data_section import data_html
from detector.report.evaluation_section import groups_html, names_html
from detector.report.inputs import Inputs, Missing
from detector.report.pictures import pictures_html
from detector.report.plots import NUM_COLOURS, line_plot, tail_bars, tail_curve
from wordtree.tree import WordTree

MOST_BARS = 40
MOST_PRECISION_CARDS = 4
SHORT_RUN = 300  # steps
HEADLINE = ("boxed", "unboxed")
CARD_NAMES = {"boxed": "boxed", "unboxed": "never boxed"}
GROUP_NAMES = {
    "boxed": "boxed in training",
    "unboxed": "never boxed, only labelled",
    "untrained": "not in the training data",
}
HEAD = (
    '<thead><tr><th scope="col">class</th><th scope="col">path</th><th scope="col" class="num wide">AP50</th>'
    '<th scope="col" class="num">AP</th><th scope="col" class="num">AP75</th>'
    '<th scope="col" class="num">truths</th><th scope="col" class="num">boxes in training</th>'
    '<th scope="col" class="num">labels in training</th></tr></thead>'
)
NOT_LOSSES = ("step", "images", "learning_rate", "gradient_norm", "seconds", "images_per_second")


@dataclass(frozen=True)
class Section:
    """A heading, its id in the page, and the HTML below it."""

    key: str
    heading: str
    html: str


def title(inputs: Inputs) -> str:
    """Of the page: the experiment's name, else the run's."""
    name = inputs.run.name if isinstance(inputs.config, Missing) else str(inputs.config.get("name", inputs.run.name))
    return f"WordTree report: {name}"


def sections(inputs: Inputs) -> list[Section]:
    """All sections, in reading order."""
    return [
        Section("summary", "Summary", summary_html(inputs)),
        Section("precision", "Average precision", precision_html(inputs)),
        Section("groups", "Groups and errors", groups_html(inputs)),
        Section("names", "Names in the tree", names_html(inputs)),
        Section("pictures", "Detections", pictures_html(inputs)),
        Section("tree", "The tree", tree_html(inputs)),
        Section("tail", "The long tail", tail_html(inputs)),
        Section("losses", "Losses", losses_html(inputs)),
        Section("data", "Data", data_html(inputs)),
        Section("configuration", "Configuration", configuration_html(inputs)),
    ]


def summary_html(inputs: Inputs) -> str:
    """Cards, a sentence on what the numbers mean, and what not to conclude from them."""
    cards = _precision_cards(inputs)
    if len(cards) > MOST_PRECISION_CARDS:
        more = f'<p class="note">Only {MOST_PRECISION_CARDS} of {len(cards)} means are shown; all stand below.</p>'
    else:
        more = ""
    cards = cards[:MOST_PRECISION_CARDS]
    if inputs.trained:
        written, sets = sum(part.images for part in inputs.trained), len(inputs.trained)
    else:
        evaluated = () if isinstance(inputs.evaluations, Missing) else [e["dataset"] for e in inputs.evaluations]
        known = [facts for facts in inputs.datasets if not isinstance(facts, Missing)]
        known = [facts for facts in known if facts.path.name not in evaluated]
        written, sets = sum(facts.manifest.counts.images_written for facts in known), len(known)
    if sets:
        cards.append((f"{written:,}", "training images", f"in {_count(sets, 'dataset')}"))
    if not isinstance(inputs.tree, Missing):
        tree = inputs.tree
        cards.append((f"{len(tree):,}", "nodes", f"{int(tree.is_leaf.sum()):,} leaves, {tree.num_groups:,} groups"))
    if not isinstance(inputs.metrics, Missing):
        last = inputs.metrics[-1]
        images = f"{last['images']:,.0f} images seen" if "images" in last else ""
        cards.append((f"{last['step']:,.0f}", "steps", images))
    if inputs.minutes is not None:
        how = "of training" if inputs.timed else "by the times of the run's files"
        cards.append((f"{inputs.minutes:.1f}", "minutes", how))
    items = "".join(
        f'<li><b>{escape(value)}</b><span>{escape(name)}</span><small class="note">{escape(more)}</small></li>'
        for value, name, more in cards
    )
    parts = [_short_run(inputs), f'<ul class="cards">{items}</ul>', more, _story(inputs), _warnings(inputs)]
    if isinstance(inputs.evaluations, Missing):
        parts.append(inputs.evaluations.html())
    return "".join(parts)


def _precision_cards(inputs: Inputs) -> list[tuple[str, str, str]]:
    """One for each current evaluation and each group of classes that has a mean in its summary."""
    cards = []
    for evaluation in inputs.current():
        means = []
        for group in HEADLINE:
            mean = evaluation["summary"].get(f"AP50_{group}")
            if mean is not None:
                count = _count(len(_scored(evaluation, group)), "class")
                about = f"AP50, {CARD_NAMES[group]} classes — {evaluation['dataset']}"
                means.append((f"{_percent(mean)} %", about, f"mean of {count}"))
        if "top1" in evaluation["summary"]:
            five = f"{_percent(evaluation['summary'].get('top5'))} % among the best five"
            means.append((f"{_percent(evaluation['summary']['top1'])} %", f"top 1 — {evaluation['dataset']}", five))
        cards += means or [("–", f"AP50 — {evaluation['dataset']}", "no class of the training has truths there")]
    return cards


def _short_run(inputs: Inputs) -> str:
    train = {} if isinstance(inputs.config, Missing) else inputs.config.get("train")
    steps = train.get("steps") if isinstance(train, dict) else None
    if not isinstance(steps, int) or steps >= SHORT_RUN:
        return ""
    return f'<p class="missing">A short run of {_count(steps, "step")}: the figures mean little.</p>'


def _warnings(inputs: Inputs) -> str:
    """Evaluations of another step, and of training data."""
    parts = []
    for evaluation in inputs.stale():
        name, command = evaluation["dataset"], f"wordtree evaluate {inputs.run.name} {evaluation['dataset']}"
        parts.append(
            f'<p class="missing">{escape(name)} was evaluated at step {evaluation["step"]:,}, the run is at '
            f"{inputs.newest():,}; run <code>{escape(command)}</code> again.</p>"
        )
    for evaluation in inputs.current():
        if inputs.was_trained_on(evaluation):
            name = escape(evaluation["dataset"])
            parts.append(f'<p class="missing">{name} was trained on: its figures say nothing about new images.</p>')
    return "".join(parts)


def _story(inputs: Inputs) -> str:
    if isinstance(inputs.boxes, Missing) or isinstance(inputs.labels, Missing):
        return ""
    boxed = [wnid for wnid, count in inputs.boxes.items() if count]
    covered = set(boxed)
    if not isinstance(inputs.tree, Missing):
        tree = inputs.tree
        covered.update(tree.names[k] for wnid in boxed if wnid in tree for k in tree.ancestors(tree.index(wnid)))
    only = {wnid: count for wnid, count in inputs.labels.items() if count and wnid not in covered}
    return (
        f"<p>In training {_count(len(boxed), 'class')} had boxes ({sum(inputs.boxes.values()):,} of them) and "
        f"{_count(len(only), 'class')} had image labels alone ({sum(only.values()):,} of them): nobody drew a box for "
        "any of these, nor for anything below them in the tree, which ties them all together. AP50 is the average "
        "precision where a detection counts if it overlaps a true box by at least half (IoU ≥ 0.5). A class is called "
        "boxed if it, or anything below it, had boxes in training, and never boxed if it had image labels alone; "
        "classes with neither are in none of these means.</p>"
    )


def precision_html(inputs: Inputs) -> str:
    """One table per evaluated dataset: classes with boxes, without, and, folded, those not in the training data."""
    if isinstance(inputs.evaluations, Missing):
        return inputs.evaluations.html()
    return _warnings(inputs) + "".join(_precision_table(evaluation) for evaluation in inputs.evaluations)


def _precision_table(evaluation: Mapping[str, Any]) -> str:
    summary = evaluation["summary"]
    step = evaluation["step"]
    if "top1" in summary:
        shares = f"top 1 {_percent(summary['top1'])}, top 5 {_percent(summary.get('top5'))}"
        return f"<h3>{escape(evaluation['dataset'])}</h3><p class='note'>whole images, no boxes: {shares}</p>"
    facts = [f"{_count(int(evaluation.get('images', 0)), 'image')}, step {'unknown' if step is None else f'{step:,}'}"]
    means = ", ".join(f"{name} {_percent(summary.get(name))}" for name in ("AP", "AP50", "AP75"))
    facts.append(f"all classes with truths: {means}")
    if "seconds" in evaluation:
        facts.append(f"{float(evaluation['seconds']):.0f} s")
    bodies = "".join(_precision_body(evaluation, group) for group in HEADLINE)
    rest = _precision_body(evaluation, "untrained")
    name = escape(evaluation["dataset"])
    parts = [f"<h3>{name}</h3><p class='note'>{' · '.join(facts)}</p>"]
    if bodies:
        parts.append(_scrolling(bodies, f"precision on {name}"))
    if rest:
        count = _count(sum(row["group"] == "untrained" for row in evaluation["classes"]), "class")
        table = _scrolling(rest, f"precision on {name} of classes not in the training data")
        parts.append(f"<details><summary>{GROUP_NAMES['untrained']}: {count}</summary>{table}</details>")
    return "".join(parts)


def _scrolling(bodies: str, about: str) -> str:
    return f'<div class="scroll" tabindex="0" role="region" aria-label="{about}"><table>{HEAD}{bodies}</table></div>'


def _precision_body(evaluation: Mapping[str, Any], group: str) -> str:
    """The rows of one group below its mean, best first; "" if it has none."""
    rows = [row for row in evaluation["classes"] if row["group"] == group]
    if not rows:
        return ""
    rows.sort(key=lambda row: (-1 if row.get("AP50") is None else row["AP50"], row["label"]), reverse=True)
    scored = len(_scored(evaluation, group))
    count = _count(len(rows), "class") + ("" if scored == len(rows) else f", {scored:,} with truths here")
    mean = f"<b>{_percent(evaluation['summary'].get(f'AP50_{group}'))}</b>" if group in HEADLINE else ""
    return (
        f'<tbody class="{group}"><tr class="group"><th scope="rowgroup" colspan="2">{GROUP_NAMES[group]}: {count}</th>'
        f'<td class="num">{mean}</td><td colspan="5"></td></tr>{"".join(_precision_row(row) for row in rows)}</tbody>'
    )


def _scored(evaluation: Mapping[str, Any], group: str) -> list[dict[str, Any]]:
    return [row for row in evaluation["classes"] if row["group"] == group and row.get("AP50") is not None]


def _precision_row(row: Mapping[str, Any]) -> str:
    ap50 = row.get("AP50")
    bar = "" if ap50 is None else f'<i class="meter" style="--v:{max(0.0, min(1.0, ap50)):.4f}"></i>'
    numbers = "".join(f'<td class="num">{int(row.get(key) or 0):,}</td>' for key in ("truths", "training_boxes"))
    return (
        f'<tr><th scope="row">{escape(row["label"])}</th>'
        f'<td class="path">{escape(str(row.get("path", "")))} <span class="key">{escape(row["wnid"])}</span></td>'
        f'<td class="num wide">{bar}{_percent(ap50)}</td><td class="num">{_percent(row.get("AP"))}</td>'
        f'<td class="num">{_percent(row.get("AP75"))}</td>{numbers}'
        f'<td class="num">{int(row.get("training_labels") or 0):,}</td></tr>'
    )


def tree_html(inputs: Inputs) -> str:
    """A place for the tree and its data; the page's script draws rows as they are opened."""
    if isinstance(inputs.tree, Missing):
        return inputs.tree.html()
    tree = inputs.tree
    facts = (
        f"{len(tree):,} nodes, {int(tree.is_leaf.sum()):,} leaves, {tree.num_groups:,} groups of siblings, depth "
        f"{tree.max_depth}, digest {tree.digest()[:12]}"
    )
    note = "" if not isinstance(inputs.boxes, Missing) else inputs.boxes.html()
    return (
        f'<p class="note">{escape(facts)}. One softmax covers each group. Boxes and image labels are those of the '
        "training data: “2 of 9” is 2 at the node itself, 9 with all below it. AP50 stands where it was evaluated; of "
        "a class evaluated on several datasets, that of the first of them.</p>"
        f'{note}<p><input id="find" type="search" placeholder="search a word or a wnid" aria-label="search the tree"> '
        '<button type="button" id="fold">fold all</button> <span id="told" class="note" role="status"></span></p>'
        '<ul id="tree-rows"></ul><noscript><p class="missing">The tree needs JavaScript.</p></noscript>'
        f'<script type="application/json" id="tree-data">{script_json(_tree_data(tree, inputs))}</script>'
    )


def _tree_data(tree: WordTree, inputs: Inputs) -> dict[str, Any]:
    precision = {row["wnid"]: row["AP50"] for row in inputs.class_rows()}

    def known(counts: dict[str, int] | Missing) -> list[int] | None:
        return None if isinstance(counts, Missing) else [counts.get(name, 0) for name in tree.names]

    return {
        "names": tree.names,
        "words": tree.display_names,
        "parent": tree.parent.tolist(),
        "boxes": known(inputs.boxes),
        "labels": known(inputs.labels),
        "ap": {str(tree.index(wnid)): round(value, 4) for wnid, value in precision.items() if wnid in tree},
    }


def tail_html(inputs: Inputs) -> str:
    """Bars for few classes, a rank plot for many."""
    if isinstance(inputs.boxes, Missing) or isinstance(inputs.labels, Missing):
        return next(part.html() for part in (inputs.boxes, inputs.labels) if isinstance(part, Missing))
    rows = [
        (_name(wnid, inputs.tree), inputs.boxes.get(wnid, 0), inputs.labels.get(wnid, 0))
        for wnid in sorted(set(inputs.boxes) | set(inputs.labels))
    ]
    rows = sorted((row for row in rows if row[1] or row[2]), key=lambda row: (-max(row[1:]), row[0]))
    if not rows:
        return '<p class="note">The training data had neither boxes nor labels.</p>'
    legend = '<p class="legend"><span class="boxes">boxes</span> <span class="labels">image labels</span></p>'
    about = f"Boxes and image labels of {_count(len(rows), 'class')} in the training data, the most frequent first"
    if len(rows) <= MOST_BARS:
        return f"{legend}{tail_bars(rows, about=about)}"
    plot = tail_curve([row[1] for row in rows], [row[2] for row in rows], about=about)
    top = tail_bars(rows[:15], about=f"The 15 most frequent of {len(rows)} classes")
    return f"{legend}{plot}<h3>The 15 most frequent</h3>{top}"


def losses_html(inputs: Inputs) -> str:
    """Each named term over the step; learning rate and gradient norm below."""
    if isinstance(inputs.metrics, Missing):
        return inputs.metrics.html()
    names = [name for row in inputs.metrics for name in row]
    terms = [name for name in dict.fromkeys(names) if name not in NOT_LOSSES]
    terms = [name for name in terms if any(row.get(name) for row in inputs.metrics)]  # one that is switched off is 0
    terms.sort(key=lambda name: name != "loss")
    window = max(1.0, len(inputs.metrics) / 25)
    parts = [_curves("loss-terms", terms, inputs.metrics, "Loss terms over the step, logarithmic", window)]
    others = [name for name in ("learning_rate", "gradient_norm") if name in names]
    if others:
        plot = _curves("step-size", others, inputs.metrics, "Learning rate and gradient norm, logarithmic", window)
        parts.append(f"<details><summary>learning rate and gradient norm</summary>{plot}</details>")
    return "".join(parts)


def _curves(key: str, names: Sequence[str], rows: Sequence[Mapping[str, float]], about: str, window: float) -> str:
    series = {name: [(row["step"], row[name]) for row in rows if name in row] for name in names}
    legend = "".join(
        f'<button type="button" aria-pressed="true" data-name="{escape(name)}">'
        f'<i style="background:var(--c{number % NUM_COLOURS})"></i>{escape(name.replace("_", " "))} '
        f"<output>{series[name][-1][1]:.4g}</output></button>"
        for number, name in enumerate(names)
        if series[name]
    )
    return (
        f'<figure class="curves" data-plot="{key}">{line_plot(key, series, about=about, window=window)}'
        f'<figcaption><span class="at note">last step</span>{legend}</figcaption>'
        f'<script type="application/json">{script_json(series)}</script></figure>'
        '<p class="note">Thin: as logged. Thick: smoothed. Press a name to hide its curve; point at the plot to read '
        "it.</p>"
    )


def configuration_html(inputs: Inputs) -> str:
    """The resolved experiment, folded."""
    if isinstance(inputs.config, Missing):
        return inputs.config.html()
    text = json.dumps(inputs.config, indent=2, ensure_ascii=False)
    text = text.encode(errors="backslashreplace").decode()  # a .cfg may hold bytes that are no UTF-8
    return f"<details><summary>config.json, every value resolved</summary><pre>{escape(text)}</pre></details>"


def script_json(value: Any) -> str:
    """JSON that cannot end the script element it stands in."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _name(wnid: str, tree: WordTree | Missing) -> str:
    if isinstance(tree, Missing) or wnid not in tree:
        return wnid
    return tree.display_names[tree.index(wnid)]


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f}"


def _count(number: int, word: str) -> str:
    plural = f"{word}es" if word.endswith("s") else f"{word}s"
    return f"{number:,} {word if number == 1 else plural}"
