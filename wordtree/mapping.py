"""Where the labels of a data set stand in a tree.

`load_label_map("coco")` tells which synset each label means; `place_labels` finds the node of each: the synset's own
node or, if the tree has none, its nearest hypernym. `lint` lists what a person should look at.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from schemas.errors import LabelError
from wordtree.build import CutEdge
from wordtree.label_files import load_label_map
from wordtree.label_space import LabelMap, LabelRow, Relation
from wordtree.tree import WordTree
from wordtree.wordnet import WordNet

__all__ = [
    "LabelMap",
    "LabelRow",
    "PlacedLabel",
    "Relation",
    "combine",
    "lint",
    "load_label_map",
    "nearest_node",
    "place_labels",
]


@dataclass(frozen=True, slots=True)
class PlacedLabel:
    """A label and its node in one tree. `relation` is between the label and the node."""

    label: str
    wnid: str
    node: int
    relation: Relation
    display_name: str = ""


def nearest_node(tree: WordTree, wordnet: WordNet, wnid: str) -> tuple[int, Relation]:
    """The node of a synset (`exact`), or of its nearest hypernym in the tree (`broader`).

    Nearest is fewest steps up, over hypernyms and instance hypernyms; on a tie the deepest node, then the smallest
    wnid.

    Raises:
        LabelError: WordNet does not know the wnid, or no hypernym of it is in the tree.
    """
    if wnid in tree:
        return tree.index(wnid), "exact"
    seen: set[str] = set()
    level = [wnid]
    while level := sorted({above for below in level for above in wordnet.parents(below)} - seen):
        inside = [tree.index(above) for above in level if above in tree]
        if inside:
            return max(inside, key=lambda node: int(tree.depth[node])), "broader"
        seen.update(level)
    raise LabelError(
        f"neither {wnid} ({wordnet.name(wnid)}) nor anything above it in WordNet is in the tree ({len(tree)} nodes); "
        "build a tree with this label"
    )


def place_labels(label_map: LabelMap, tree: WordTree, wordnet: WordNet) -> tuple[PlacedLabel, ...]:
    """Every label of a space with its node in the tree, in the space's order.

    Raises:
        LabelError: a label has no place; the message names the label.
    """
    placed: list[PlacedLabel] = []
    for row in label_map.rows:
        try:
            node, step = nearest_node(tree, wordnet, row.wnid)
        except LabelError as error:
            raise LabelError(f"{label_map.where}: label {row.label!r}: {error}") from error
        placed.append(PlacedLabel(row.label, row.wnid, node, combine(row.relation, step), row.display_name))
    return tuple(placed)


def combine(first: Relation, second: Relation) -> Relation:
    """The relation over two steps: exact changes nothing, two equal directions stay, all else is `close`."""
    if first == "exact":
        return second
    return first if second in ("exact", first) else "close"


def lint(placed: Sequence[PlacedLabel], tree: WordTree, cut_edges: Iterable[CutEdge] = ()) -> tuple[str, ...]:
    """What to look at in one space whose labels exclude each other: labels on one node, and labels that are kinds of
    other labels, by the tree or by an edge of WordNet that the tree leaves out.

    "hot dog" lies below "sandwich": a box of one is not a negative for the other.
    """
    at: dict[int, list[str]] = {}
    for label in placed:
        at.setdefault(label.node, []).append(label.label)
    found: list[str] = []
    for node, labels in at.items():
        name = f"{tree.names[node]} ({tree.display_names[node]})"
        if len(labels) > 1:
            found.append(f"{' and '.join(repr(label) for label in labels)} share the node {name}")
        above = next((step for step in tree.ancestors(node) if step in at), None)
        if above is not None:
            found.append(f"{labels[0]!r} lies below {at[above][0]!r}: {tree.describe_path(node)}")
    for edge in cut_edges:
        child, hypernym = at.get(tree.index(edge.child)), at.get(tree.index(edge.hypernym))
        if child and hypernym:
            found.append(
                f"{child[0]!r} is a kind of {hypernym[0]!r}, but not below it: the tree lets them exclude each other"
            )
    return tuple(found)
