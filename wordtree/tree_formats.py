"""A tree as text, and back: darknet's files, JSON, and the TensorFlow Object Detection API's label map.

    .tree    one line per node, `name parent`; parent is a line number from 0, or -1 (darknet)
    .names   one line per node, the word for people; names may repeat, so they are no keys (darknet)
    .labels  one line per node, the wnid (darknet)
    .map     one line per class of a data set, its node (darknet)
    .json    everything about the tree in one file, one node per line
    .pbtxt   `StringIntLabelMap`: id = node + 1, with ancestor_ids and descendant_ids

Writing is the inverse of reading: a file that was written here is written again with the same bytes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from typing import Any

from schemas.errors import FormatError, TreeError
from schemas.label_map import LabelMapItem, parse_label_map, write_label_map
from wordtree.open_images_hierarchy import read_json
from wordtree.text_files import split_lines
from wordtree.tree import WordTree

JSON_FORMAT = "wordtree"
JSON_VERSION = 1


def tree_text(tree: WordTree) -> str:
    """The .tree file. Its sha256 is the tree's digest."""
    return "".join(f"{name} {parent}\n" for name, parent in zip(tree.names, tree.parent.tolist(), strict=True))


def names_text(tree: WordTree) -> str:
    """The .names file: the display name of every node."""
    return "".join(f"{name}\n" for name in tree.display_names)


def labels_text(tree: WordTree) -> str:
    """The .labels file: the name (wnid) of every node."""
    return "".join(f"{name}\n" for name in tree.names)


def map_text(nodes: Iterable[int]) -> str:
    """A .map file: the node of every class."""
    return "".join(f"{node}\n" for node in nodes)


def parse_tree(text: str, *, where: str, names: Sequence[str] | None = None) -> WordTree:
    """A tree from the text of a .tree file.

    Args:
        text: the file.
        where: its name, for messages.
        names: display names, one per node.

    Raises:
        FormatError: a line is not `name parent`, or the number of display names differs.
        TreeError: the lines make no valid tree.
    """
    keys: list[str] = []
    parents: list[int] = []
    for number, line in enumerate(split_lines(text), 1):
        words = line.split()
        if len(words) != 2 or not re.fullmatch(r"-?[0-9]{1,9}", words[1]):
            raise FormatError(
                f"{where} line {number}: found {line[:60]!r}; expected `name parent` such as 'n02084071 7'"
            )
        keys.append(words[0])
        parents.append(int(words[1]))
    if names is not None and len(names) != len(keys):
        raise FormatError(f"{where}: the tree has {len(keys)} nodes, but its .names file has {len(names)} lines")
    return _checked(keys, parents, names, where)


def parse_names(text: str, *, where: str, num_nodes: int) -> tuple[str, ...]:
    """The display names of a .names file.

    Raises:
        FormatError: a line is empty, or there is not one for each node.
    """
    names = split_lines(text)
    empty = next((number for number, name in enumerate(names, 1) if not name.strip()), None)
    if empty is not None:
        raise FormatError(f"{where} line {empty}: the line is empty; expected a name")
    if len(names) != num_nodes:
        raise FormatError(f"{where}: found {len(names)} lines; expected one for each of the tree's {num_nodes} nodes")
    return tuple(names)


def check_labels(text: str, tree: WordTree, *, where: str) -> None:
    """Check that a .labels file names the nodes of a tree in order.

    Raises:
        FormatError: a line is missing, or there are too many.
        TreeError: a line names another node.
    """
    labels = split_lines(text)
    for number, (label, name) in enumerate(zip(labels, tree.names, strict=False), 1):
        if label.strip() != name:
            raise TreeError(f"{where} line {number}: found {label[:60]!r}; expected {name!r} as in the tree")
    if len(labels) != len(tree):
        raise FormatError(f"{where}: found {len(labels)} lines; expected one for each of the tree's {len(tree)} nodes")


def parse_map(text: str, *, where: str, num_nodes: int) -> tuple[int, ...]:
    """The nodes of a .map file.

    Raises:
        FormatError: a line is no node of a tree with this many nodes.
    """
    nodes: list[int] = []
    for number, line in enumerate(split_lines(text), 1):
        if not re.fullmatch(r"[ \t]*[0-9]{1,9}[ \t]*", line) or int(line) >= num_nodes:
            raise FormatError(f"{where} line {number}: found {line[:60]!r}; expected a node from 0 to {num_nodes - 1}")
        nodes.append(int(line))
    return tuple(nodes)


def tree_json(tree: WordTree) -> str:
    """The tree as JSON: format, version, digest, and nodes as [name, parent, display name]."""
    rows = zip(tree.names, tree.parent.tolist(), tree.display_names, strict=True)
    nodes = ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    head = json.dumps({"format": JSON_FORMAT, "version": JSON_VERSION, "digest": tree.digest()})
    return f'{head[:-1]}, "nodes": [\n{nodes}\n]}}\n'


def parse_tree_json(text: str, *, where: str) -> WordTree:
    """A tree from `tree_json`.

    Raises:
        FormatError: not JSON, or not of this format.
        TreeError: the nodes make no valid tree, or the digest is that of another tree.
    """
    value: Any = read_json(text, where)
    if not isinstance(value, dict) or value.get("format") != JSON_FORMAT or value.get("version") != JSON_VERSION:
        raise FormatError(f'{where}: expected {{"format": "{JSON_FORMAT}", "version": {JSON_VERSION}, ...}}')
    nodes = value.get("nodes")
    if not isinstance(nodes, list):
        raise FormatError(f"{where}: `nodes` is missing; expected a list of [name, parent, display name]")
    for number, node in enumerate(nodes):
        kinds = [type(cell) for cell in node] if isinstance(node, list) else None
        if kinds != [str, int, str]:
            raise FormatError(f"{where} nodes[{number}]: found {node!r}; expected [name, parent, display name]")
    tree = _checked(
        [node[0] for node in nodes], [node[1] for node in nodes], [node[2] for node in nodes], where, json=True
    )
    if value.get("digest") != tree.digest():
        raise TreeError(
            f"{where}: digest {value.get('digest')!r} is not that of its nodes ({tree.digest()}); was it edited?"
        )
    return tree


def tree_pbtxt(tree: WordTree) -> str:
    """The tree as a label map of the TensorFlow Object Detection API: id = node + 1.

    `ancestor_ids` (nearest first) and `descendant_ids` (ascending) leave out the class itself, as that API expects.
    """
    below: list[list[int]] = [[] for _ in range(len(tree))]
    items: list[LabelMapItem] = []
    above = [tree.ancestors(node) for node in range(len(tree))]
    for node, ancestors in enumerate(above):
        for ancestor in ancestors:
            below[ancestor].append(node + 1)
    for node, name in enumerate(tree.names):
        ancestors = tuple(ancestor + 1 for ancestor in above[node])
        items.append(LabelMapItem(name, node + 1, tree.display_names[node], ancestors, tuple(below[node])))
    return write_label_map(items)


def parse_tree_pbtxt(text: str, *, where: str) -> WordTree:
    """A tree from `tree_pbtxt`: the parent is the ancestor that has the most ancestors.

    Raises:
        FormatError: not a label map, ids are not 1..N, or an ancestor is missing.
        TreeError: the nodes make no valid tree.
    """
    items = sorted(parse_label_map(text, where), key=lambda item: item.id)
    if [item.id for item in items] != list(range(1, len(items) + 1)):
        raise FormatError(f"{where}: ids must be 1 to {len(items)} without gaps, since id = node + 1")
    depth = {item.id: len(set(item.ancestor_ids)) for item in items}
    for item in items:
        lost = [ancestor for ancestor in (*item.ancestor_ids, *item.descendant_ids) if ancestor not in depth]
        if lost:
            raise FormatError(f"{where}: class {item.name!r} has relative id {lost[0]}, which is no class")
    parents = [max(item.ancestor_ids, key=lambda ancestor: depth[ancestor], default=0) - 1 for item in items]
    tree = _checked([item.name for item in items], parents, [item.display_name or item.name for item in items], where)
    below: dict[int, set[int]] = {item.id: set() for item in items}
    for node, item in enumerate(items):
        above = {ancestor + 1 for ancestor in tree.ancestors(node)}
        if set(item.ancestor_ids) != above:
            raise FormatError(
                f"{where}: class {item.name!r} has ancestors {sorted(set(item.ancestor_ids))}, but its parent leads to "
                f"{sorted(above)}"
            )
        for ancestor in above:
            below[ancestor].add(item.id)
    if any(item.descendant_ids for item in items):  # other writers may leave them out
        for item in items:
            if set(item.descendant_ids) != below[item.id]:
                raise FormatError(
                    f"{where}: the descendants of class {item.name!r} are not the classes that have it as an ancestor"
                )
    return tree


def _checked(
    names: Sequence[str], parents: Sequence[int], display: Sequence[str] | None, where: str, *, json: bool = False
) -> WordTree:
    """A WordTree whose errors say which file they are about."""
    try:
        return WordTree(names, parents, display)
    except TreeError as error:
        told = str(error)
        at = re.match(r"line (\d+)(.*)", told, re.DOTALL)
        if at is None:
            raise TreeError(f"{where}: {told}") from None
        place = f"nodes[{int(at.group(1)) - 1}]" if json else f"line {at.group(1)}"
        raise TreeError(f"{where} {place}{at.group(2)}") from None
