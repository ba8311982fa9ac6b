"""Recipes for the trees of YOLO9000, and how near a built tree comes to a published one.

The program that made the published trees, its list of labels and its choice between equally good paths were never
published. The recipes hold the options that come nearest (docs/decisions/0003-tree-builder.md); the labels are given by
the user. `compare_trees` lists every difference, and tells which of them depend on nothing but the choice between
equally good paths: it builds the tree again under other tie rules and looks whether the published parent appears.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Literal

from schemas.errors import ConfigError, FormatError
from wordtree.build import BuiltTree, build_tree
from wordtree.build_options import TIES, BuildOptions
from wordtree.suggestions import did_you_mean
from wordtree.text_files import read_columns
from wordtree.tree import WordTree
from wordtree.wordnet import WordNet

RECIPES = {
    "wordtree1k": "the 1,369 nodes that the paper reports for the 1,000 classes of ILSVRC",
    "yolo9000": "the published tree of 9,418 nodes (9k.tree), from its ImageNet labels",
}
RANDOM_TIES = 16

DIFFERENCE_COLUMNS = ("kind", "wnid", "name", "parent", "published_parent", "tie")

Kind = Literal["missing", "extra", "parent"]


@dataclass(frozen=True, slots=True)
class Difference:
    """One node that differs from a published tree.

    Attributes:
        kind: `missing` (only published), `extra` (only built), or `parent` (both, under different parents).
        wnid: the node.
        parent: its parent in the built tree; "-" for a root, "" if it is missing.
        published: its parent in the published tree; "-" for a root, "" if it is extra.
        tie: a tie rule that agrees with the published tree about this node: the difference is the choice between
            equally good paths. Empty if none of those tried does.
    """

    kind: Kind
    wnid: str
    parent: str
    published: str
    tie: str


@dataclass(frozen=True)
class Comparison:
    """A built tree beside a published one.

    Attributes:
        nodes, published_nodes: how many each has.
        same_parent: nodes of the published tree that have the same parent in the built one.
        differences: all others, ascending by kind and wnid.
        ties_tried: the tie rules that were tried for `Difference.tie`.
    """

    nodes: int
    published_nodes: int
    same_parent: int
    differences: tuple[Difference, ...]
    ties_tried: tuple[str, ...]

    @property
    def share(self) -> float:
        """Share of the published parents that are met, in [0, 1]."""
        return self.same_parent / self.published_nodes

    def count(self, kind: Kind) -> int:
        """Differences of one kind."""
        return sum(difference.kind == kind for difference in self.differences)


def recipe_options(name: str) -> BuildOptions:
    """The options of a recipe.

    Raises:
        ConfigError: there is no such recipe.
    """
    if name not in RECIPES:
        near = did_you_mean(name, RECIPES)
        raise ConfigError(f"recipe {name!r} is unknown; expected one of {', '.join(RECIPES)}{near}")
    # Of the tie rules, wnid-down meets most published parents of 9k.tree, and wnid-up meets the size of the paper's
    # tree of 1,000 classes. Nothing is excluded: both hold people.
    return BuildOptions(
        hoist_only_leaves=True,
        patches=read_patches("darknet"),
        tie="wnid-down" if name == "yolo9000" else "wnid-up",
        exclude=(),
    )


def read_patches(path: str) -> dict[str, str]:
    """child -> parent, from a table with these columns; `darknet` is the table that ships with the package.

    Raises:
        InputError, FormatError: the file cannot be read, or a line is wrong.
    """
    place = files("wordtree") / "data" / "darknet-patches.tsv" if path == "darknet" else Path(path)
    patches: dict[str, str] = {}
    for line, (child, parent) in read_columns(Path(str(place)), ("child", "parent")):
        if patches.setdefault(child, parent) != parent:
            raise FormatError(
                f"{path} line {line}: {child!r} has parent {patches[child]!r} already; expected one parent"
            )
    return patches


def compare_trees(
    built: BuiltTree, published: WordTree, wordnet: WordNet, *, random_ties: int = RANDOM_TIES
) -> Comparison:
    """Every difference between a built tree and a published one, by name of node.

    Args:
        built: what was built.
        published: what it should be.
        wordnet: where `built` comes from; used to build it again under other tie rules.
        random_ties: how many random tie rules are tried after the named ones, for differences still unexplained.
    """
    ours, theirs = _parents(built.tree), _parents(published)
    kinds: dict[str, Kind] = {
        wnid: "missing" if wnid not in ours else "extra" if wnid not in theirs else "parent"
        for wnid in ours.keys() | theirs.keys()
        if ours.get(wnid) != theirs.get(wnid)
    }
    ties = [tie for tie in (*TIES, *(f"random:{seed}" for seed in range(random_ties))) if tie != built.options.tie]
    tried: list[str] = []
    met: dict[str, str] = {}
    for tie in ties:
        unexplained = [wnid for wnid in kinds if wnid not in met]
        if not unexplained:
            break
        tried.append(tie)
        again = _parents(build_tree(wordnet, built.labels, dataclasses.replace(built.options, tie=tie)).tree)
        met.update({wnid: tie for wnid in unexplained if again.get(wnid) == theirs.get(wnid)})
    differences = [
        Difference(kind, wnid, ours.get(wnid, ""), theirs.get(wnid, ""), met.get(wnid, ""))
        for wnid, kind in sorted(kinds.items(), key=lambda item: (item[1], item[0]))
    ]
    same = sum(ours.get(wnid) == parent for wnid, parent in theirs.items())
    return Comparison(len(ours), len(theirs), same, tuple(differences), tuple(tried))


def comparison_lines(comparison: Comparison, wordnet: WordNet, *, most: int = 12) -> list[str]:
    """A comparison for people."""
    found = comparison
    lines = [
        f"compared {found.nodes:,} nodes built, {found.published_nodes:,} published; the parent is the same for "
        f"{found.same_parent:,} ({found.share:.2%})",
        f"         {found.count('missing')} missing, {found.count('extra')} extra, "
        f"{found.count('parent')} with another parent",
    ]
    if found.differences:
        ties = sum(bool(difference.tie) for difference in found.differences)
        lines.append(
            f"         {ties} of these {len(found.differences)} are ties: another choice between equally good paths "
            f"gives what is published ({len(found.ties_tried)} tie rules tried)"
        )

    def told(wnid: str) -> str:
        return "a root" if wnid == "-" else f"{wnid} ({wordnet.name(wnid) if wnid in wordnet else '?'})"

    for difference in sorted(found.differences, key=lambda found: bool(found.tie))[:most]:
        why = f"a tie: as published under {difference.tie}" if difference.tie else "under no tie rule tried"
        if difference.kind == "parent":
            what = f"below {told(difference.parent)}, published below {told(difference.published)}"
        else:
            what = f"{difference.kind}, " + (
                f"published below {told(difference.published)}"
                if difference.kind == "missing"
                else f"below {told(difference.parent)}"
            )
        lines.append(f"differs  {told(difference.wnid)}: {what}; {why}")
    if len(found.differences) > most:
        lines.append(f"differs  … and {len(found.differences) - most} more; all are in comparison.tsv")
    return lines


def comparison_rows(comparison: Comparison, wordnet: WordNet) -> Iterable[tuple[str, ...]]:
    """The differences as rows with `DIFFERENCE_COLUMNS`."""
    for found in comparison.differences:
        name = wordnet.name(found.wnid) if found.wnid in wordnet else ""
        yield found.kind, found.wnid, name, found.parent, found.published, found.tie


def _parents(tree: WordTree) -> dict[str, str]:
    above = ("-" if node < 0 else tree.names[node] for node in tree.parent.tolist())
    return dict(zip(tree.names, above, strict=True))
