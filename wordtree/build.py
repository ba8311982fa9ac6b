"""Build a WordTree from WordNet, as YOLO9000 does (section 4, "Hierarchical classification").

WordNet is a graph: "dog" is both a canine and a domestic animal. The paper's tree is grown in steps. First every label
with one single path to the root is placed with that path. Then, in passes, a label with several paths is placed by the
path that adds the fewest nodes. The paper leaves open what happens on ties and in which order labels are taken; both
are fixed here, so that the result is the same whatever the order of the labels (docs/decisions/0003-tree-builder.md):

* a pass places every label whose best path adds at most `level` nodes, in ascending order of wnid; `level` starts at 1
  and grows by one when a pass places nothing;
* among paths that add the same number `BuildOptions.tie` decides; by default the one with the smallest wnids wins, read
  from the label upwards.

Labels below a concept in `BuildOptions.exclude` are left out: by default those below person, which ImageNet has
mostly withdrawn (docs/decisions/0008-people.md). `BuiltTree.left_out` lists them.

The edges of WordNet that the tree leaves out are kept in `BuiltTree.cut_edges`: "dog" is still a domestic animal, so a
box of a dog must not be punished for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from schemas.errors import ConfigError, LabelError
from wordtree.build_options import PERSON, ROOT, BuildOptions, tie_order
from wordtree.tree import WordTree, from_parents
from wordtree.wordnet import WordNet, unknown_wnid

MOST_UNKNOWN_TOLD = 10

_Path = tuple[str, ...]


@dataclass(frozen=True)
class BuildReport:
    """Numbers about one build.

    Attributes:
        num_labels: labels placed.
        single_path: labels with one path to the root.
        several_paths: labels with more than one.
        chosen: of those, the ones whose path had to be chosen (the others were in the tree already).
        passes: passes over the labels left.
        grown: nodes before collapsing.
        collapsed: nodes left out because they had one child.
        hoisted: leaves made siblings of their only parent.
        left_out: labels left out.
    """

    num_labels: int
    single_path: int
    several_paths: int
    chosen: int
    passes: int
    grown: int
    collapsed: int
    hoisted: int
    left_out: int


@dataclass(frozen=True, order=True)
class CutEdge:
    """`child` is a kind of `hypernym` in WordNet, both are nodes, but the tree hangs `child` elsewhere."""

    child: str
    hypernym: str


@dataclass(frozen=True, order=True)
class LeftOut:
    """A label that is no node: it lies below the excluded concept `below`, or is a single thing if that is empty."""

    wnid: str
    below: str


@dataclass(frozen=True)
class BuiltTree:
    """A tree, the labels that it was built for, and what was left out.

    Attributes:
        tree: the tree.
        labels: the labels' wnids, ascending; each is a node of the tree.
        cut_edges: tree edges + cut edges together give every is-a relation of WordNet between nodes of the tree.
        options: what was asked for.
        report: numbers for people.
        left_out: labels that were asked for and are no nodes, ascending.
    """

    tree: WordTree
    labels: tuple[str, ...]
    cut_edges: tuple[CutEdge, ...]
    options: BuildOptions
    report: BuildReport
    left_out: tuple[LeftOut, ...] = ()


def build_tree(wordnet: WordNet, wnids: Iterable[str], options: BuildOptions | None = None) -> BuiltTree:
    """The WordTree of some labels. Every label is a node unless it is left out; their order does not matter.

    Args:
        wordnet: where hypernyms and names come from.
        wnids: the labels; repeats do not matter.
        options: see `BuildOptions`.

    Raises:
        LabelError: wnids that WordNet does not know, or no labels at all, or none that is not left out.
        ConfigError: an option names an unknown wnid or tie rule, or the patches make a cycle.
    """
    options = options or BuildOptions()
    given = list(wnids)
    _check_known(wordnet, given)
    tie = tie_order(options.tie)
    paths = _Paths(wordnet, options, frozenset(given))
    left_out = _left_out(sorted(set(given)), paths, wordnet, options)
    labels = sorted(paths.labels.difference(left.wnid for left in left_out))
    if not labels:
        told = ", ".join(sorted({f"{left.below} ({wordnet.name(left.below)})" for left in left_out if left.below}))
        raise LabelError(f"all {len(left_out)} labels are left out: they lie below {told or 'no class'}")
    parent_of, counts = _grow(labels, paths, tie)
    grown = len(parent_of)
    if options.collapse:
        _collapse(parent_of, paths.labels)
    collapsed = grown - len(parent_of)
    hoisted = _hoist(parent_of, paths.labels) if options.hoist_only_leaves else 0
    if options.one_root:
        _put_under_one_root(parent_of, wordnet)
    tree = from_parents(parent_of, {name: wordnet.name(name) for name in parent_of})
    report = BuildReport(
        num_labels=len(labels), grown=grown, collapsed=collapsed, hoisted=hoisted, left_out=len(left_out), **counts
    )
    return BuiltTree(tree, tuple(labels), _cut_edges(tree, wordnet, options), options, report, left_out)


def _check_known(wordnet: WordNet, wnids: list[str]) -> None:
    if not wnids:
        raise LabelError("no labels were given; a tree needs at least one")
    unknown = [wnid for wnid in dict.fromkeys(wnids) if wnid not in wordnet]
    if len(unknown) == 1:
        raise LabelError(unknown_wnid(wordnet, unknown[0]))
    if unknown:
        told = ", ".join(repr(wnid) for wnid in unknown[:MOST_UNKNOWN_TOLD])
        more = f" and {len(unknown) - MOST_UNKNOWN_TOLD} more" if len(unknown) > MOST_UNKNOWN_TOLD else ""
        raise LabelError(f"{len(unknown)} labels are no noun synsets of WordNet 3.0: {told}{more}")


class _Paths:
    """Paths from a label upwards, with the patches applied and the dropped top left out."""

    def __init__(self, wordnet: WordNet, options: BuildOptions, labels: frozenset[str]) -> None:
        for child, parent in options.patches.items():
            for wnid in (child, parent):
                if wnid not in wordnet:
                    raise ConfigError(f"patch {child} -> {parent}: {unknown_wnid(wordnet, wnid)}")
        for option, wnids in (("drop_top", options.drop_top), ("exclude", options.exclude)):
            for wnid in wnids:
                if wnid not in wordnet and wnid != PERSON:
                    raise ConfigError(f"{option}: {unknown_wnid(wordnet, wnid)}")
        self.labels = labels
        self._wordnet = wordnet
        self._patches = options.patches
        self._instances = options.instances
        self._dropped = frozenset(options.drop_top) - labels
        self._found: dict[str, tuple[_Path, ...]] = {}
        self._open: list[str] = []

    def above(self, wnid: str) -> _Path:
        """One step up."""
        patch = self._patches.get(wnid)
        if patch is not None:
            return (patch,)
        return self._wordnet.parents(wnid) if self._instances else self._wordnet.hypernyms(wnid)

    def of(self, wnid: str) -> tuple[_Path, ...]:
        """All different paths, each from `wnid` upwards; never empty."""
        found = self._found.get(wnid)
        if found is not None:
            return found
        if wnid in self._open:
            raise ConfigError(f"the patches make a cycle: {' -> '.join([*self._open[self._open.index(wnid) :], wnid])}")
        self._open.append(wnid)
        here = () if wnid in self._dropped else (wnid,)
        tails = [path for parent in self.above(wnid) for path in self.of(parent)] or [()]
        found = tuple(dict.fromkeys((*here, *tail) for tail in tails))
        self._open.pop()
        self._found[wnid] = found
        return found


def _left_out(labels: list[str], paths: _Paths, wordnet: WordNet, options: BuildOptions) -> tuple[LeftOut, ...]:
    """The labels below excluded concepts, and single things if instance hypernyms are not followed."""
    excluded, kept = frozenset(options.exclude), frozenset(options.keep)
    reason: dict[str, str | None] = {}

    def below(wnid: str) -> str | None:
        """The excluded concept above, "" for a single thing, None if `wnid` may stay."""
        if wnid not in reason:
            above = paths.above(wnid)
            found = next((parent for parent in above if parent in excluded), None)
            if found is None:
                found = next((why for parent in above if (why := below(parent)) is not None), None)
            if found is None and not above and wordnet.parents(wnid):
                found = ""
            reason[wnid] = found
        return reason[wnid]

    for label in labels:
        paths.of(label)  # tells of cycles among the patches before they are followed here
    found = ((label, below(label)) for label in labels if label not in kept)
    return tuple(LeftOut(label, why) for label, why in found if why is not None)


def _grow(
    labels: list[str], paths: _Paths, tie: Callable[[_Path], Any]
) -> tuple[dict[str, str | None], dict[str, int]]:
    """The uncollapsed tree as name -> parent, and counts for the report."""
    parent_of: dict[str, str | None] = {}

    def place(path: _Path) -> None:
        for step, name in enumerate(path):
            if name in parent_of:
                return
            parent_of[name] = path[step + 1] if step + 1 < len(path) else None

    waiting: list[str] = []
    for label in labels:
        ways = paths.of(label)
        if len(ways) == 1:
            place(ways[0])
        else:
            waiting.append(label)
    single = len(labels) - len(waiting)
    several, chosen, passes, level = len(waiting), 0, 0, 1
    while waiting:
        passes += 1
        left: list[str] = []
        for label in waiting:
            if label in parent_of:
                continue
            growths = [(_growth(path, parent_of), path) for path in paths.of(label)]
            least = min(growth for growth, _ in growths)
            if least <= level:
                place(min((path for growth, path in growths if growth == least), key=tie))
                chosen += 1
            else:
                left.append(label)
        if len(left) == len(waiting):
            level += 1
        waiting = left
    return parent_of, {"single_path": single, "several_paths": several, "chosen": chosen, "passes": passes}


def _growth(path: _Path, parent_of: dict[str, str | None]) -> int:
    """How many nodes a path adds: its steps below the first one that is in the tree."""
    for step, name in enumerate(path):
        if name in parent_of:
            return step
    return len(path)


def _children_of(parent_of: dict[str, str | None]) -> dict[str, list[str]]:
    children: dict[str, list[str]] = {}
    for name, above in parent_of.items():
        if above is not None:
            children.setdefault(above, []).append(name)
    return children


def _collapse(parent_of: dict[str, str | None], labels: frozenset[str]) -> None:
    """Take out nodes that are no labels and have one child; the child moves up, so no other count changes."""
    children = _children_of(parent_of)
    out = {name for name, below in children.items() if len(below) == 1 and name not in labels}
    for name in [name for name in parent_of if name not in out]:
        above = parent_of[name]
        while above in out:
            above = parent_of[above]
        parent_of[name] = above
    for name in out:
        del parent_of[name]


def _hoist(parent_of: dict[str, str | None], labels: frozenset[str]) -> int:
    """Make every leaf that is the only child of a label a sibling of that label."""
    children = _children_of(parent_of)
    alone = [(below[0], name) for name, below in children.items() if len(below) == 1 and name in labels]
    moves = [(leaf, parent_of[name]) for leaf, name in alone if leaf not in children]
    parent_of.update(moves)
    return len(moves)


def _put_under_one_root(parent_of: dict[str, str | None], wordnet: WordNet) -> None:
    roots = [name for name, above in parent_of.items() if above is None and name != ROOT]
    if len(roots) + (ROOT in parent_of) < 2:
        return
    if ROOT not in wordnet:
        raise ConfigError(f"one_root: {unknown_wnid(wordnet, ROOT)}")
    parent_of.update(dict.fromkeys(roots, ROOT))
    parent_of[ROOT] = None


def _cut_edges(tree: WordTree, wordnet: WordNet, options: BuildOptions) -> tuple[CutEdge, ...]:
    """For every node, the nearest nodes above it in WordNet that are not above it in the tree."""
    nearest: dict[str, frozenset[str]] = {}

    def above(wnid: str) -> frozenset[str]:
        """The nearest nodes of the tree above `wnid`, over all edges of WordNet and the patches."""
        found = nearest.get(wnid)
        if found is None:
            nearest[wnid] = frozenset()  # patches may close a circle with WordNet's own edges
            patch = options.patches.get(wnid)
            parents = (*wordnet.parents(wnid), *(() if patch is None else (patch,)))
            found = frozenset[str]().union(*({p} if p in tree else above(p) for p in parents))
            nearest[wnid] = found
        return found

    cut: list[CutEdge] = []
    parents = tree.parent.tolist()
    for node, name in enumerate(tree.names):
        elsewhere = above(name) - ({tree.names[parents[node]]} if parents[node] >= 0 else set[str]())
        if elsewhere:
            elsewhere -= {tree.names[step] for step in tree.ancestors(node)}
            cut.extend(CutEdge(name, hypernym) for hypernym in elsewhere)
    return tuple(sorted(cut))
