"""Where the labels of a data set stand in a tree.

`load_label_map("coco")` tells which synset each label means; `place_labels` finds the node of each: the synset's own
node or, if the tree has none, its nearest hypernym.
"""

from __future__ import annotations

from dataclasses import dataclass

from schemas.errors import LabelError
from wordtree.label_space import LabelMap, Relation
from wordtree.tree import WordTree
from wordtree.wordnet import WordNet


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
