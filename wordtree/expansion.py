"""Labels spread through a hierarchy, by the rules of the Open Images Challenge.

* What is a terrier is a dog: a positive label holds for every class above it, and a box counts for them too.
* What is no dog is no terrier: a verified negative holds for every class below it.

The public script for Open Images keeps ancestors in lists and so copies a box twice to a class that is reached by two
parents. Here they are sets: a copy that exists already, same class and same box, is not made again.

A positive label below (or at) a verified negative one contradicts it. Such a `Conflict` is told, and both labels are
kept unless asked otherwise: how many there are says how noisy the labels are.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from schemas.errors import LabelError, TreeError
from wordtree.build import CutEdge
from wordtree.open_images_hierarchy import ClassHierarchy
from wordtree.suggestions import did_you_mean
from wordtree.tree import WordTree

Box = TypeVar("Box", bound=Hashable)


class Ancestry:
    """What is above and below every class, by name: a tree, or a graph where classes have several parents.

    Args:
        parents: class -> its parents, which are classes themselves.

    Raises:
        TreeError: a class stands above itself.
    """

    def __init__(self, parents: Mapping[str, Iterable[str]]) -> None:
        self._parents = {name: tuple(dict.fromkeys(above)) for name, above in parents.items()}
        self._above: dict[str, frozenset[str]] = {}
        for name in self._parents:
            self._climb(name)
        below: dict[str, set[str]] = {name: set() for name in self._parents}
        for name, above in self._above.items():
            for parent in above:
                below[parent].add(name)
        self._below = {name: frozenset(children) for name, children in below.items()}

    def __contains__(self, name: object) -> bool:
        return name in self._above

    def __len__(self) -> int:
        return len(self._above)

    def ancestors(self, name: str) -> frozenset[str]:
        """All classes above, without `name` itself.

        Raises:
            LabelError: there is no such class.
        """
        self._check(name)
        return self._above[name]

    def descendants(self, name: str) -> frozenset[str]:
        """All classes below, without `name` itself.

        Raises:
            LabelError: there is no such class.
        """
        self._check(name)
        return self._below[name]

    def _check(self, name: str) -> None:
        if name not in self._above:
            raise LabelError(
                f"{name!r} is no class of the hierarchy ({len(self)} classes){did_you_mean(name, self._above)}"
            )

    def _climb(self, start: str) -> None:
        stack, entered = [start], set[str]()
        while stack:
            name = stack[-1]
            missing = [parent for parent in self._parents[name] if parent not in self._above]
            if missing and name not in self._above:
                if not entered.isdisjoint(missing):
                    raise TreeError(f"class {name!r} stands above itself; expected a hierarchy without cycles")
                entered.add(name)
                stack.extend(missing)
                continue
            stack.pop()
            parents = self._parents[name]
            self._above[name] = frozenset(parents).union(*(self._above[parent] for parent in parents))


def tree_ancestry(tree: WordTree, cut_edges: Iterable[CutEdge] = ()) -> Ancestry:
    """The classes of a tree; with its cut edges, the is-a relations that the tree leaves out count too."""
    parents: dict[str, list[str]] = {
        name: [] if above < 0 else [tree.names[above]]
        for name, above in zip(tree.names, tree.parent.tolist(), strict=True)
    }
    for edge in cut_edges:
        parents[edge.child].append(edge.hypernym)
    return Ancestry(parents)


def hierarchy_ancestry(hierarchy: ClassHierarchy) -> Ancestry:
    """The classes of an Open Images hierarchy, without its root."""
    return Ancestry({name: [up for up in above if up != hierarchy.root] for name, above in hierarchy.parents.items()})


@dataclass(frozen=True, slots=True, order=True)
class Conflict:
    """`positive` is said to be present and `negative`, which is the same or above it, verified to be absent."""

    positive: str
    negative: str


@dataclass(frozen=True)
class ExpandedLabels:
    """The labels of one image, spread.

    Attributes:
        positives: present classes.
        negatives: classes verified to be absent.
        conflicts: contradictions among the labels given, ascending.
    """

    positives: frozenset[str]
    negatives: frozenset[str]
    conflicts: tuple[Conflict, ...]

    def without_conflicts(self) -> ExpandedLabels:
        """Classes that are both become unknown."""
        both = self.positives & self.negatives
        return ExpandedLabels(self.positives - both, self.negatives - both, self.conflicts)


def expand_labels(positives: Collection[str], negatives: Collection[str], ancestry: Ancestry) -> ExpandedLabels:
    """Spread the labels of one image: positives up, verified negatives down.

    Raises:
        LabelError: a label is no class of the hierarchy.
    """
    no = frozenset(negatives)
    up = frozenset(positives).union(*(ancestry.ancestors(name) for name in positives))
    down = no.union(*(ancestry.descendants(name) for name in no))
    conflicts = {
        Conflict(name, above) for name in positives for above in (ancestry.ancestors(name) | {name}) if above in no
    }
    return ExpandedLabels(up, down, tuple(sorted(conflicts)))


def expand_boxes(boxes: Sequence[tuple[str, Box]], ancestry: Ancestry) -> list[tuple[str, Box]]:
    """Copy every box of one image to all classes above its own; the same (class, box) stands there once.

    Args:
        boxes: (class, box); a box is anything hashable, such as its four numbers and flags.
        ancestry: the hierarchy.

    Returns:
        (class, box): each box followed by its copies, classes ascending.

    Raises:
        LabelError: a box has a class that is not in the hierarchy.
    """
    found: dict[tuple[str, Box], None] = {}
    for name, box in boxes:
        found[name, box] = None
        for above in sorted(ancestry.ancestors(name)):
            found[above, box] = None
    return list(found)
