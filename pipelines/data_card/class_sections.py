"""What the datasets hold: overview, classes and their long tail, the tree."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from pipelines.data_card.card import Card
from pipelines.data_card.markup import Section, bar, figure, pictures, table, tiles, used_columns
from pipelines.data_card.plots import legend, stacked, tail_plot
from pipelines.statistics.concepts import ClassRow, NodeCount
from pipelines.statistics.sketches import DISTINCT_ERROR, K
from pipelines.statistics.tail import COMMON, RARE, Tail

FIRST_CLASSES = 30
MOST_CLASSES = 1500
MOST_NODES = 2500
OPEN_DEPTH = 2


def overview(card: Card) -> Section:
    """The main numbers, a row for each dataset, and a few pictures."""
    found = card.statistics.datasets
    boxes = sum(row.total("boxes") for row in card.classes)
    labels = sum(row.total("labels") for row in card.classes)
    absent = sum(row.total("absent") for row in card.classes)
    used = sum(1 for row in card.classes if row.total("boxes") + row.total("labels"))
    rows = [(f"{sum(one.index.images.images for one in found):,}", "images")]
    rows += [(f"{boxes:,}", "boxes")] if boxes else []
    rows += [(f"{labels:,}", "image labels")] if labels else []
    rows += [(f"{absent:,}", "labels “not there”")] if absent else []
    rows += [(f"{used:,} of {len(card.classes):,}", "classes that occur")]
    rejected = sum(files.manifest.counts.images_rejected for files in card.files)
    rejected_rows = sum(files.manifest.counts.annotations_rejected for files in card.files)
    rows.append((f"{rejected:,}", "images rejected"))
    rows.append((f"{rejected_rows:,}", "annotations rejected"))
    parts = [tiles(rows)]
    heads = ("dataset", "made from", "split", "images", "boxes", "labels", "absent", "classes", "kinds", "MB")
    of_datasets = [_dataset_row(card, number) for number in range(len(card.files))]
    parts.append(table(*used_columns(heads, of_datasets, ("boxes", "labels", "absent"))))
    for name, one, shown in zip(card.names, found, card.pictures.samples, strict=True):
        if one.images.orphans:
            parts.append(
                f'<p class="warn">{escape(name)}: {one.images.orphans:,} annotations speak of images that the index '
                "does not have.</p>"
            )
        if shown:
            parts.append(f"<h3>{escape(name)}: {len(shown)} of its images, by chance</h3>{pictures(shown)}")
    return Section("overview", "At a glance", "".join(parts))


def _dataset_row(card: Card, number: int) -> list[str | int | float | None]:
    files, found, tail = card.files[number], card.statistics.datasets[number], card.tails[number]
    classes = found.annotations.classes.values()
    boxes, labels, absent = (sum(row[k] for row in classes) for k in range(3))
    shards = sum(shard.bytes for shard in files.manifest.shards) / 1e6
    view = getattr(files.manifest, "base", ())
    return [
        card.names[number],
        files.manifest.source + (" (view)" if view else ""),
        files.manifest.split,
        found.index.images.images,
        boxes,
        labels,
        absent,
        tail.classes - tail.none,
        "boxes" if files.manifest.has_boxes else "image labels",
        None if view or not files.manifest.shards else round(shards, 1),
    ]


def classes(card: Card) -> Section:
    """The long tail and the table of classes."""
    series = [
        (name, [count.images for row in card.classes if (count := row.counts[number])])
        for number, name in enumerate(card.names)
    ]
    marks = {RARE: f"rare: up to {RARE} images", COMMON: f"common: up to {COMMON}"}
    parts = [
        "<p>Images of each class, the most frequent first. A class counts once in an image, by box or by label.</p>",
        figure(
            tail_plot(series, about="Images of each class by falling rank, logarithmic", marks=marks)
            + legend(card.names),
            "The long tail.",
        ),
        "<h3>How long the tail is</h3>",
        table(
            ("dataset", "classes", "with images", "Gini", "effective number"),
            [
                (name, tail.classes, tail.classes - tail.none, round(tail.gini, 3), round(tail.effective, 1))
                for name, tail in zip(card.names, card.tails, strict=True)
            ],
        ),
        '<p class="note">Gini: 0 when all classes have equally many boxes and labels, near 1 when one has them all. '
        "Effective number: exp of the entropy, as many equally frequent classes would be as uncertain.</p>",
        *(_split(name, tail, n) for n, (name, tail) in enumerate(zip(card.names, card.tails, strict=True))),
        "<h3>Every class</h3>",
        '<input id="find" type="search" placeholder="find a class" aria-label="find a class" hidden>',
        _class_table(card),
    ]
    return Section("classes", "Classes", "".join(parts))


def _split(name: str, tail: Tail, number: int) -> str:
    parts = (
        (f"frequent (over {COMMON} images)", tail.frequent),
        (f"common ({RARE + 1} to {COMMON})", tail.common),
        (f"rare (1 to {RARE})", tail.rare),
        ("without images", tail.none),
    )
    plot = stacked(parts, about=f"{name}: classes by frequency, as LVIS splits them", series=number)
    return f'<h4 class="spaced">{escape(name)}</h4>{plot}'


def _class_table(card: Card) -> str:
    shown = card.classes[:MOST_CLASSES]
    top = max((row.total("images") for row in shown), default=0) or 1
    several = len(card.names) > 1
    heads = ["class", "", "images", "boxes", "labels", "absent"]
    heads += [f"images in {name}" for name in card.names] if several else []
    heads, rows = used_columns(heads, [_class_row(row, top, several) for row in shown], ("boxes", "labels", "absent"))
    html = table(heads, rows, key="classes-table", wide=several)
    if len(rows) > FIRST_CLASSES:
        html = f'<details class="more all"><summary>all {len(card.classes):,} classes</summary>{html}</details>'
        first = table(heads, rows[: FIRST_CLASSES // 2], wide=several)
        html = f"{first}{html}"
    if len(card.classes) > len(shown):
        html += f'<p class="note">The {len(shown):,} most frequent are shown; --json has all.</p>'
    return html


def _class_row(row: ClassRow, top: int, several: bool) -> list[str | int | float | None]:
    shown = f"<span>{escape(row.name)}</span>"
    if row.wnid or row.label != row.name:
        shown += f" <small>{escape(row.wnid if row.label in (row.name, row.wnid) else row.label)}</small>"
    counts = [row.total("images"), row.total("boxes"), row.total("labels"), row.total("absent")]
    each = [count.images if count else None for count in row.counts] if several else []
    return [shown, bar(row.total("images") / top), *counts, *each]


def tree(card: Card) -> Section:
    """The tree, own counts and those with descendants."""
    if card.tree is None:
        return Section("tree", "Tree", f'<p class="note">{escape(card.tree_note)}</p>')
    nodes = card.tree_counts.nodes
    by_images = sorted(nodes, key=lambda node: (-nodes[node].images, node))
    kept = set(by_images[:MOST_NODES])
    estimated = any(not count.exact for count in nodes.values())
    words = [
        f"Counted over {card.tree_note}. Of its {len(card.tree):,} nodes {len(nodes):,} occur. Each line: images, "
        "boxes and labels of the node with all below it; in brackets those of the node itself."
    ]
    if estimated:
        words.append(
            f"Numbers of images with ≈ are estimates with a standard error of {100 * DISTINCT_ERROR:.1f} %; up to "
            f"{K - 1:,} they are exact."
        )
    if len(kept) < len(nodes):
        words.append(f"The {len(kept):,} nodes with the most images are shown; --json has all.")
    if card.tree_counts.without_node:
        words.append(f"{card.tree_counts.without_node:,} annotations have classes without a node in this tree.")
    roots = [root for root in card.tree.roots() if root in kept]
    items = "".join(_node(card, node, kept) for node in _ordered(card, roots))
    return Section("tree", "Tree", f'<p class="note">{escape(" ".join(words))}</p><ul class="tree">{items}</ul>')


def _ordered(card: Card, nodes: Sequence[int]) -> list[int]:
    return sorted(nodes, key=lambda node: (-card.tree_counts.nodes[node].images, node))


def _node(card: Card, node: int, kept: set[int]) -> str:
    """One node and what is below it. Nodes with a single child are told in one line, so that chains stay short."""
    assert card.tree is not None
    names, chain = [card.tree.display_names[node]], node
    count = card.tree_counts.nodes[node]
    below = [child for child in card.tree.children(chain) if child in kept]
    while len(below) == 1 and _own(count) == 0:
        chain = below[0]
        names.append(card.tree.display_names[chain])
        count = card.tree_counts.nodes[chain]
        below = [child for child in card.tree.children(chain) if child in kept]
    text = f"{escape(' › '.join(names))}{_tag(count)}"
    if not below:
        return f'<li class="leaf">{text}</li>'
    inside = "".join(_node(card, child, kept) for child in _ordered(card, below))
    is_open = " open" if card.tree.depth[chain] <= OPEN_DEPTH or len(kept) < 60 else ""
    return f'<li><details class="more"{is_open}><summary>{text}</summary><ul>{inside}</ul></details></li>'


def _own(count: NodeCount) -> int:
    return count.boxes + count.labels + count.absent


def _tag(count: NodeCount) -> str:
    parts = [f"<b>{'' if count.exact else '≈'}{count.images:,}</b> images"]
    for name, own, everything in (
        ("boxes", count.boxes, count.all_boxes),
        ("labels", count.labels, count.all_labels),
        ("absent", count.absent, count.all_absent),
    ):
        if everything:
            parts.append(f"{everything:,} {name}" + (f" ({own:,})" if own != everything else ""))
    return f'<span class="tag">{" · ".join(parts)}</span>'
