"""Build a WordTree from WordNet, as YOLO9000 does (section 4, "Hierarchical classification").

WordNet is a graph: "dog" is both a canine and a domestic animal. The paper's tree is grown in steps. First every label
with one single path to the root is placed with that path. Then, in passes, a label with several paths is placed by the
path that adds the fewest nodes. The paper leaves open what happens on ties and in which order labels are taken; both
are fixed here, so that the result is the same whatever the order of the labels (docs/decisions/0003-tree-builder.md):

* a pass places every label whose best path adds at most `level` nodes, in ascending order of wnid; `level` starts at 1
  and grows by one when a pass places nothing;
* among paths that add the same number, the one with the smallest wnids wins, read from the label upwards.

The edges of WordNet that the tree leaves out are kept in `BuiltTree.cut_edges`: "dog" is still a domestic animal, so a
box of a dog must not be punished for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from schemas.errors import ConfigError, LabelError
from wordtree.tree import WordTree, from_parents
from wordtree.wordnet import WordNet, unknown_wnid

TOP = ("n00001740", "n00001930", "n00002137")  # entity, physical entity, abstraction

MOST_UNKNOWN_TOLD = 10


@dataclass(frozen=True)
class BuildOptions:
    """What may differ between trees of the same labels.

    Attributes:
        drop_top: wnids to leave out although paths go through them; what hangs below them becomes a root. Labels are
            never dropped.
        collapse: leave out nodes that are no labels and have one child: no softmax is needed to choose one of one.
        hoist_only_leaves: make a leaf that is the only child of a label its sibling, as in the published 9k tree.
            It removes groups of one, but makes a concept exclude its own kind.
        patches: child -> parent: edges that replace all of WordNet's edges above the child. A patched child need not
            be a label.
    """

    drop_top: tuple[str, ...] = TOP
    collapse: bool = True
    hoist_only_leaves: bool = False
    patches: Mapping[str, str] = field(default_factory=dict[str, str])


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
    """

    num_labels: int
    single_path: int
    several_paths: int
    chosen: int
    passes: int
    grown: int
    collapsed: int
    hoisted: int


@dataclass(frozen=True, order=True)
class CutEdge:
    """`child` is a kind of `hypernym` in WordNet, both are nodes, but the tree hangs `child` elsewhere."""

    child: str
    hypernym: str


@dataclass(frozen=True)
class BuiltTree:
    """A tree, the labels that it was built for, and what was left out.

    Attributes:
        tree: the tree.
        labels: the labels' wnids, ascending; each is a node of the tree.
        cut_edges: tree edges + cut edges together give every is-a relation of WordNet between nodes of the tree.
        options: what was asked for.
        report: numbers for people.
    """

    tree: WordTree
    labels: tuple[str, ...]
    cut_edges: tuple[CutEdge, ...]
    options: BuildOptions
    report: BuildReport


def build_tree(wordnet: WordNet, wnids: Iterable[str], options: BuildOptions | None = None) -> BuiltTree:
    """The WordTree of some labels. Every label is a node; the same labels in any order give the same tree.

    Args:
        wordnet: where hypernyms and names come from.
        wnids: the labels; repeats do not matter.
        options: see `BuildOptions`.

    Raises:
        LabelError: wnids that WordNet does not know, or no labels at all.
        ConfigError: a patch names an unknown wnid or makes a cycle.
    """
    options = options or BuildOptions()
    given = list(wnids)
    _check_known(wordnet, given)
    labels = sorted(set(given))
    paths = _Paths(wordnet, options, frozenset(labels))
    parent_of, counts = _grow(labels, paths)
    grown = len(parent_of)
    if options.collapse:
        _collapse(parent_of, paths.labels)
    collapsed = grown - len(parent_of)
    hoisted = _hoist(parent_of, paths.labels) if options.hoist_only_leaves else 0
    tree = from_parents(parent_of, {name: wordnet.name(name) for name in parent_of})
    report = BuildReport(num_labels=len(labels), grown=grown, collapsed=collapsed, hoisted=hoisted, **counts)
    return BuiltTree(tree, tuple(labels), _cut_edges(tree, wordnet, options), options, report)


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
        for wnid in options.drop_top:
            if wnid not in wordnet:
                raise ConfigError(f"drop_top: {unknown_wnid(wordnet, wnid)}")
        self.labels = labels
        self._wordnet = wordnet
        self._patches = options.patches
        self._dropped = frozenset(options.drop_top) - labels
        self._found: dict[str, tuple[tuple[str, ...], ...]] = {}
        self._open: list[str] = []

    def of(self, wnid: str) -> tuple[tuple[str, ...], ...]:
        """All different paths, each from `wnid` upwards; never empty."""
        found = self._found.get(wnid)
        if found is not None:
            return found
        if wnid in self._open:
            raise ConfigError(f"the patches make a cycle: {' -> '.join([*self._open[self._open.index(wnid) :], wnid])}")
        self._open.append(wnid)
        patch = self._patches.get(wnid)
        above = self._wordnet.parents(wnid) if patch is None else (patch,)
        here = () if wnid in self._dropped else (wnid,)
        tails = [path for parent in above for path in self.of(parent)] or [()]
        found = tuple(dict.fromkeys((*here, *tail) for tail in tails))
        self._open.pop()
        self._found[wnid] = found
        return found


def _grow(labels: list[str], paths: _Paths) -> tuple[dict[str, str | None], dict[str, int]]:
    """The uncollapsed tree as name -> parent, and counts for the report."""
    parent_of: dict[str, str | None] = {}

    def place(path: tuple[str, ...]) -> None:
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
            growth, best = min((_growth(path, parent_of), path) for path in paths.of(label))
            if growth <= level:
                place(best)
                chosen += 1
            else:
                left.append(label)
        if len(left) == len(waiting):
            level += 1
        waiting = left
    return parent_of, {"single_path": single, "several_paths": several, "chosen": chosen, "passes": passes}


def _growth(path: tuple[str, ...], parent_of: dict[str, str | None]) -> int:
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


def _cut_edges(tree: WordTree, wordnet: WordNet, options: BuildOptions) -> tuple[CutEdge, ...]:
    """For every node, the nearest nodes above it in WordNet that are not above it in the tree."""
    nearest: dict[str, frozenset[str]] = {}

    def above(wnid: str) -> frozenset[str]:
        """The nearest nodes of the tree above `wnid`, over all edges of WordNet and the patches."""
        found = nearest.get(wnid)
        if found is None:
            patch = options.patches.get(wnid)
            parents = (*wordnet.parents(wnid), *(() if patch is None else (patch,)))
            found = frozenset[str]().union(*({p} if p in tree else above(p) for p in parents))
            nearest[wnid] = found
        return found

    cut: list[CutEdge] = []
    for node, name in enumerate(tree.names):
        over = {tree.names[step] for step in tree.ancestors(node)}
        cut.extend(CutEdge(name, hypernym) for hypernym in above(name) - over)
    return tuple(sorted(cut))
