"""What data sets call the nodes of a tree: names to show beside WordNet's words, and to find a node by."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from schemas.errors import LabelError
from wordtree.mapping import PlacedLabel
from wordtree.suggestions import bare, did_you_mean
from wordtree.tree import WordTree
from wordtree.wordnet import FIND_HINT, LONGEST_TOLD

_ID = re.compile(r"n[0-9]{8}|/[mg]/[0-9a-z_]+|[0-9]+")


def name_of(label: PlacedLabel) -> str:
    """The label itself or, if it is a wnid, a MID or a number, its word for people."""
    return label.display_name if label.display_name and _ID.fullmatch(label.label) else label.label


def own_names(tree: WordTree, spaces: Mapping[str, Sequence[PlacedLabel]]) -> dict[int, tuple[str, ...]]:
    """By node, what its labels are called if that is another word than the node's: `bag` has `handbag`.

    Labels that only stand below a node, because the tree lacks their own synset, do not name it.
    """
    names: dict[int, dict[str, str]] = {}
    for labels in spaces.values():
        for label in labels:
            name = name_of(label)
            if label.wnid == tree.names[label.node] and bare(name) != bare(tree.display_names[label.node]):
                names.setdefault(label.node, {}).setdefault(bare(name), name)
    return {node: tuple(found.values()) for node, found in names.items()}


def find_node(
    tree: WordTree,
    word: str,
    spaces: Mapping[str, Sequence[PlacedLabel]] | None = None,
    aliases: Mapping[str, Mapping[str, str]] | None = None,
) -> int:
    """The node that a person means: a wnid, a node's number, a node's word, or a label or alias of a data set.

    Raises:
        LabelError: there is none, or several; the message tells what WordNet knows of the word.
    """
    if word in tree:
        return tree.index(word)
    if word.isdecimal() and len(word) < 10 and int(word) < len(tree):
        return int(word)
    nodes = [node for node, shown in enumerate(tree.display_names) if bare(shown) == bare(word)] if bare(word) else []
    if not nodes and bare(word):
        nodes = sorted(set(_labelled(word, spaces or {}, aliases or {})))
    if len(nodes) == 1:
        return nodes[0]
    if nodes:
        told = ", ".join(f"{tree.names[node]} ({tree.describe_path(node)})" for node in nodes[:5])
        raise LabelError(f"{word!r} is the word of {len(nodes)} nodes; expected one of {told}")
    return _by_wordnet(tree, word, spaces or {})


def _labelled(
    word: str, spaces: Mapping[str, Sequence[PlacedLabel]], aliases: Mapping[str, Mapping[str, str]]
) -> Iterable[int]:
    for space, labels in spaces.items():
        meant = {label for alias, label in aliases.get(space, {}).items() if bare(alias) == bare(word)}
        for label in labels:
            if label.label in meant or bare(word) in (bare(label.label), bare(label.display_name), label.wnid):
                yield label.node


def _by_wordnet(tree: WordTree, word: str, spaces: Mapping[str, Sequence[PlacedLabel]]) -> int:
    """The one node that a synonym or a plural means; or why there is none."""
    from wordtree.senses import load_senses

    shown = word if len(word) <= LONGEST_TOLD else word[:LONGEST_TOLD] + "…"
    senses = load_senses()
    if any(name in senses.wordnet for name in tree.names[:3]):
        wnids = [word] if word in senses.wordnet else []
        for form in () if wnids else senses.singulars(word):
            wnids += [wnid for wnid, _ in senses.ranked(form) if wnid not in wnids]
        inside = [tree.index(wnid) for wnid in wnids if wnid in tree]
        if len(inside) == 1:
            return inside[0]
        if inside:
            told = ", ".join(f"{tree.names[node]} ({tree.display_names[node]})" for node in inside[:5])
            raise LabelError(f"{shown!r} may mean {len(inside)} nodes; expected one of {told}")
        if wnids:
            told = ", ".join(f"{wnid} {senses.wordnet.name(wnid)}" for wnid in wnids[:5])
            more = " …" if len(wnids) > 5 else ""
            raise LabelError(f"{shown!r} is in WordNet ({told}{more}) but not in this tree")
    known = (*tree.names, *tree.display_names, *(name_of(label) for labels in spaces.values() for label in labels))
    raise LabelError(f"{shown!r} is no node of this tree{did_you_mean(word[:100], known) or '; ' + FIND_HINT}")
