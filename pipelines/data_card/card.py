"""All that a data card tells, gathered: datasets, their statistics, classes, tree, reports of duplicates, pictures."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from pipelines.data_card.pictures import Pictures, no_pictures
from pipelines.files import storage
from pipelines.statistics.concepts import ClassRow, TreeCounts, class_rows, tree_counts
from pipelines.statistics.results import Statistics
from pipelines.statistics.tail import Tail, tail_of
from schemas.dataset_files import DatasetFiles
from schemas.errors import WordTreeError

if TYPE_CHECKING:
    from wordtree.tree import WordTree

DUPLICATES_NAME, LEAKS_NAME = "duplicates.jsonl", "leaks.jsonl"


@dataclass(frozen=True, slots=True)
class DuplicateReport:
    """What a report of `wordtree duplicates` in a dataset directory says.

    Attributes:
        clusters: by kind ("exact" or "near"), how many.
        images: by kind, the images in them.
        leaks: by (evaluation dataset, kind), images that stand there too.
        found: names of the files.
    """

    clusters: Mapping[str, int]
    images: Mapping[str, int]
    leaks: Mapping[tuple[str, str], int]
    found: tuple[str, ...]


@dataclass(frozen=True)
class Card:
    """Everything on the card.

    Attributes:
        names: of the datasets, short and different.
        files: the datasets.
        statistics: of all of them.
        classes: by concept, the most frequent first.
        tails: of each dataset.
        tree, tree_counts: the tree and the counts of its nodes; None where no tree is known.
        tree_note: where the tree comes from, or why there is none.
        reports: of `wordtree duplicates`, None for datasets without.
        pictures: samples, rejects, duplicates.
    """

    names: tuple[str, ...]
    files: tuple[DatasetFiles, ...]
    statistics: Statistics
    classes: tuple[ClassRow, ...]
    tails: tuple[Tail, ...]
    tree: WordTree | None
    tree_counts: TreeCounts
    tree_note: str
    reports: tuple[DuplicateReport | None, ...]
    pictures: Pictures


def make_card(
    files: Sequence[DatasetFiles], statistics: Statistics, *, tree_path: str = "", pictures: bool = True
) -> Card:
    """Gather what the card tells.

    Args:
        files: the datasets that were counted.
        statistics: of `pipelines.statistics.job.count`.
        tree_path: the tree; if left out, the one of the datasets' manifests where it still lies there.
        pictures: whether to read example pictures.

    Raises:
        InputError, FormatError, TreeError: the tree cannot be read.
    """
    spaces = [one.manifest.classes for one in files]
    classes = class_rows(spaces, statistics.datasets)
    tree, note = find_tree(files, tree_path)
    counts = TreeCounts()
    if tree is not None:
        from wordtree.show_data import class_nodes

        counts = tree_counts(tree, [class_nodes(tree, one) for one in files], statistics.datasets)
    names = short_names([one.path for one in files])
    tails = []
    for number in range(len(files)):
        mine = [row.counts[number] for row in classes]
        known = [count for count in mine if count is not None]
        tails.append(tail_of([one.boxes + one.labels for one in known], [one.images for one in known]))
    shown = no_pictures(len(files))
    if pictures:
        from pipelines.data_card.pictures import read_pictures

        shown = read_pictures(files, names, statistics)
    return Card(
        names=names,
        files=tuple(files),
        statistics=statistics,
        classes=classes,
        tails=tuple(tails),
        tree=tree,
        tree_counts=counts,
        tree_note=note,
        reports=tuple(read_report(one.path) for one in files),
        pictures=shown,
    )


def find_tree(files: Sequence[DatasetFiles], path: str) -> tuple[WordTree | None, str]:
    """The tree that was asked for, or else the one that the datasets were converted with, if it is there; and a note.

    Raises:
        InputError, FormatError, TreeError: the tree that was asked for cannot be read.
    """
    from wordtree.files import read_tree

    if path:
        return read_tree(path), f"the tree {path}"
    for one in files:
        stated = str(one.manifest.options.get("tree") or "")
        if not stated:
            continue
        try:
            tree = read_tree(stated)
        except (WordTreeError, OSError):
            continue
        if tree.digest() == one.manifest.tree_digest:
            return tree, f"the tree {stated}, which {one.path} was converted with"
    return None, "No tree is known. Give one: wordtree stats … --tree TREE."


def short_names(paths: Sequence[str]) -> tuple[str, ...]:
    """As many last parts of each path as make all different."""
    parts = [[part for part in path.split("/") if part] for path in paths]
    for kept in range(1, max(map(len, parts), default=0) + 1):
        names = tuple("/".join(part[-kept:]) for part in parts)
        if len(set(names)) == len(paths):
            return names
    return tuple(paths)


def read_report(path: str) -> DuplicateReport | None:
    """The report of `wordtree duplicates` in a dataset directory, if there is one; unknown lines are passed over."""
    clusters: Counter[str] = Counter()
    images: Counter[str] = Counter()
    leaks: Counter[tuple[str, str]] = Counter()
    found = tuple(name for name in (DUPLICATES_NAME, LEAKS_NAME) if storage.size_of(storage.join(path, name)) >= 0)
    for name in found:
        with storage.opened(storage.join(path, name)) as stream:
            for line in stream:
                try:
                    row = json.loads(line)
                except ValueError:
                    continue
                if not isinstance(row, dict):
                    continue
                kind = str(row.get("kind", ""))
                if name == DUPLICATES_NAME:
                    clusters[kind] += 1
                    images[kind] += len(row.get("images") or ())
                else:
                    leaks[str(row.get("evaluation", "")), kind] += 1
    return DuplicateReport(clusters, images, leaks, found) if found else None


def card_json(card: Card) -> dict[str, Any]:
    """The card for programs: all figures, without sketches and pictures."""
    counted = msgspec.to_builtins(card.statistics, str_keys=True)
    for one in counted["datasets"]:
        del one["annotations"]["class_images"], one["index"]["contents"]["sketch"]
    datasets = [
        {
            "name": name,
            "path": files.path,
            "source": files.manifest.source,
            "split": files.manifest.split,
            "counts": msgspec.to_builtins(files.manifest.counts),
            "tail": msgspec.to_builtins(tail),
            **one,
            "duplicates_report": None if report is None else _report_json(report),
        }
        for name, files, tail, one, report in zip(
            card.names, card.files, card.tails, counted["datasets"], card.reports, strict=True
        )
    ]
    nodes = []
    if card.tree is not None:
        for node, count in card.tree_counts.nodes.items():
            names = {"wnid": card.tree.names[node], "name": card.tree.display_names[node]}
            nodes.append({"node": node, **names, **msgspec.to_builtins(count)})
    return {
        "datasets": datasets,
        "classes": msgspec.to_builtins(card.classes),
        "tree": {"note": card.tree_note, "without_node": card.tree_counts.without_node, "nodes": nodes},
        "same_bytes": counted["same_bytes"],
    }


def _report_json(report: DuplicateReport) -> dict[str, Any]:
    leaks = [{"evaluation": name, "kind": kind, "images": n} for (name, kind), n in sorted(report.leaks.items())]
    return {"clusters": dict(report.clusters), "images": dict(report.images), "leaks": leaks}
