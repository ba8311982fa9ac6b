"""Counts by concept over several datasets, and over the nodes of a tree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from pipelines.statistics.results import DatasetStatistics
from pipelines.statistics.sketches import distinct, sketch_of, smallest
from schemas.manifest import ClassEntry

if TYPE_CHECKING:
    from wordtree.tree import WordTree


@dataclass(frozen=True, slots=True)
class ClassCount:
    """What one dataset says of one class: boxes, labels that say present, absent; images in which it is present."""

    boxes: int = 0
    labels: int = 0
    absent: int = 0
    images: int = 0


@dataclass(frozen=True, slots=True)
class ClassRow:
    """One concept.

    Attributes:
        name: for people.
        label: in the first dataset that has it.
        wnid: "" where no concept is known.
        counts: one for each dataset; None where the dataset does not know the class.
    """

    name: str
    label: str
    wnid: str
    counts: tuple[ClassCount | None, ...]

    def total(self, what: str) -> int:
        """The sum over the datasets of an attribute of `ClassCount`."""
        return sum(getattr(count, what) for count in self.counts if count)


def class_counts(statistics: DatasetStatistics, class_id: int) -> ClassCount:
    """What a dataset says of a class."""
    boxes, labels, absent = statistics.annotations.classes.get(class_id, (0, 0, 0))
    return ClassCount(boxes, labels, absent, statistics.images.images_of_class.get(class_id, 0))


def class_rows(spaces: Sequence[Sequence[ClassEntry]], statistics: Sequence[DatasetStatistics]) -> tuple[ClassRow, ...]:
    """The classes of all datasets, the most frequent first. Classes with the same wnid are one concept.

    Where a dataset has several classes of one wnid, the classes of that wnid are told apart by their labels. Ids that a
    dataset's rows have and its label space lacks are shown as classes named by their number.
    """
    several = {
        wnid for space in spaces for wnid, n in Counter(entry.wnid for entry in space).items() if n > 1 or not wnid
    }
    rows: dict[tuple[str, str], list[ClassCount | None]] = {}
    known: dict[tuple[str, str], ClassEntry] = {}
    for number, (space, found) in enumerate(zip(spaces, statistics, strict=True)):
        ids = {entry.id for entry in space}
        unknown = sorted({*found.annotations.classes, *found.images.images_of_class} - ids)
        for entry in [*space, *(ClassEntry(id=n, label=f"class id {n}") for n in unknown)]:
            key = (entry.wnid, entry.label if entry.wnid in several or not entry.wnid else "")
            known.setdefault(key, entry)
            rows.setdefault(key, [None] * len(spaces))[number] = class_counts(found, entry.id)
    built = [
        ClassRow(known[key].name, known[key].label, known[key].wnid, tuple(counts)) for key, counts in rows.items()
    ]
    return tuple(
        sorted(built, key=lambda row: (-row.total("images"), -row.total("boxes") - row.total("labels"), row.label))
    )


@dataclass(frozen=True, slots=True)
class NodeCount:
    """What all datasets say of one node: by its own classes, and with those of the nodes below it.

    Attributes:
        boxes, labels, absent: own.
        all_boxes, all_labels, all_absent: with descendants.
        images: in which the node or one below it is present.
        exact: whether `images` is exact; otherwise it has the error of `sketches.DISTINCT_ERROR`.
    """

    boxes: int
    labels: int
    absent: int
    all_boxes: int
    all_labels: int
    all_absent: int
    images: int
    exact: bool


@dataclass(frozen=True)
class TreeCounts:
    """Counts by node, for nodes about which something is said there or below; and statements without a node."""

    nodes: Mapping[int, NodeCount] = field(default_factory=dict)
    without_node: int = 0


def tree_counts(
    tree: WordTree, nodes_of: Sequence[Mapping[int, int]], statistics: Sequence[DatasetStatistics]
) -> TreeCounts:
    """The counts of every node.

    Args:
        tree: the tree.
        nodes_of: for each dataset, class id to node; classes without one are left out.
        statistics: of each dataset.
    """
    own = np.zeros((len(tree), 3), np.int64)
    sketches: dict[int, list[np.ndarray]] = {}
    lost = 0
    for nodes, found in zip(nodes_of, statistics, strict=True):
        for class_id, numbers in found.annotations.classes.items():
            if class_id in nodes:
                own[nodes[class_id]] += numbers
            else:
                lost += sum(numbers)
        for class_id, sketch in found.annotations.class_images.items():
            if class_id in nodes:
                sketches.setdefault(nodes[class_id], []).append(sketch_of(sketch))
    below = own.copy()
    united: dict[int, np.ndarray] = {}
    for node in range(len(tree) - 1, -1, -1):  # children come behind their parents
        if node in sketches:
            united[node] = smallest(np.concatenate(sketches.pop(node)))
        above = int(tree.parent[node])
        if above >= 0:
            below[above] += below[node]
            if node in united:
                sketches.setdefault(above, []).append(united[node])
    empty = np.empty(0, np.uint64)
    return TreeCounts(
        {
            node: _node_count([*own[node].tolist(), *below[node].tolist()], united.get(node, empty))
            for node in np.flatnonzero(below.any(axis=1)).tolist()
        },
        lost,
    )


def _node_count(numbers: Sequence[int], sketch: np.ndarray) -> NodeCount:
    boxes, labels, absent, all_boxes, all_labels, all_absent = numbers
    images, exact = distinct(sketch)
    return NodeCount(boxes, labels, absent, all_boxes, all_labels, all_absent, images, exact)
