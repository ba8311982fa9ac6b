"""The classes of a published network: a tree, or a flat list with names as one sibling group."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from detector.darknet.cfg import DarknetCfg
from schemas.errors import ConfigError, FormatError, LabelError, TreeError
from wordtree.files import read_tree
from wordtree.label_files import load_label_map
from wordtree.text_files import read_text, split_lines
from wordtree.tree import WordTree


def class_count(cfg: DarknetCfg) -> int:
    """N, the classes that the head tells apart."""
    if cfg.region is not None:
        return cfg.region.classes
    return cfg.head.filters if cfg.head is not None else 0


def classes_of(
    cfg: DarknetCfg,
    where: str,
    *,
    tree: WordTree | str | Path | None = None,
    names: str | Path | None = None,
    labels: str | None = None,
) -> tuple[WordTree, list[str]]:
    """The tree of a network's classes, and notes.

    Args:
        cfg: of the network.
        where: path of the .cfg; a tree that it names is looked for beside it and in the working directory.
        tree: the tree, or a file or directory of it.
        names: words for people, one a line and class. With a tree they name its nodes; without one the classes are a
            flat list, keyed by these words.
        labels: label space (coco, voc, ...) that knows the words of `names`: the flat list is keyed by their wnids, so
            that data sets of that space fit it.

    Raises:
        InputError, FormatError: if a file cannot be read or has another number of classes.
        TreeError: if the tree has another number of nodes than the network has classes.
        LabelError: if the label space does not know a name.
    """
    count = class_count(cfg)
    if tree is None and (named := (cfg.region or cfg.softmax or _NO_TREE).tree):
        tree = _beside(named, where)
    if tree is not None:
        found = tree if isinstance(tree, WordTree) else read_tree(tree)
        if len(found) != count:
            shown = "the tree" if isinstance(tree, WordTree) else str(tree)
            raise TreeError(
                f"{shown} has {len(found)} nodes, but {where} has {count} classes; give the network's own tree"
            )
        if names is not None:
            found = _tree_of(found.names, found.parent.tolist(), _read_names(Path(names), count, where), names)
        return found, []
    if names is None and labels is None:
        keys = [f"class{number:0{len(str(count - 1))}d}" for number in range(count)]
        return WordTree(keys, [-1] * count), [f"{count} classes without names; give --names or --tree"]
    if names is None:
        rows = load_label_map(str(labels)).rows
        if len(rows) != count:
            raise ConfigError(
                f"--labels {labels} has {len(rows)} classes, but {where} has {count}; give --names as well"
            )
        shown = [row.display_name or row.label for row in rows]
        return WordTree([row.wnid for row in rows], [-1] * count, shown), []
    shown = _read_names(Path(names), count, where)
    keys = _wnids(shown, labels, names) if labels else _keys(shown)
    return _tree_of(keys, [-1] * count, shown, names), []


class _NoTree:
    tree = ""


_NO_TREE = _NoTree()


def read_map(path: str | Path, tree: WordTree) -> tuple[int, ...]:
    """A .map: the tree node of every class of a data set, one a line.

    Raises:
        FormatError: if a line is no node of the tree.
    """
    nodes: list[int] = []
    for number, line in enumerate(split_lines(read_text(Path(path))), 1):
        if not line.strip():
            continue
        if not re.fullmatch(r"[0-9]{1,9}", line.strip()) or int(line) >= len(tree):
            raise FormatError(
                f"{path} line {number}: found {line[:40]!r}; expected a node of the tree, 0 to {len(tree) - 1}"
            )
        nodes.append(int(line))
    return tuple(nodes)


def _tree_of(keys: Sequence[str], parents: list[int], shown: list[str], path: str | Path) -> WordTree:
    """A tree whose names come from a file, which an error names."""
    try:
        return WordTree(keys, parents, shown)
    except TreeError as error:
        raise TreeError(f"{path} {error}") from None


def _beside(named: str, where: str) -> Path:
    """The tree that a .cfg names."""
    for place in (Path(named), Path(where).parent / named, Path(where).parent / Path(named).name):
        if place.is_file():
            return place
    raise ConfigError(f"{where} names the tree {named}, which is not there; give it with --tree")


def _read_names(path: Path, count: int, where: str) -> list[str]:
    names = [line.strip() for line in split_lines(read_text(path))]
    while names and not names[-1]:
        names.pop()
    if len(names) != count:
        raise FormatError(f"{path}: {len(names)} names, but {where} has {count} classes; expected one name a class")
    if "" in names:
        raise FormatError(f"{path} line {names.index('') + 1}: is empty; expected the name of a class")
    return names


def _keys(names: list[str]) -> list[str]:
    """Unique keys without white space."""
    keys: list[str] = []
    taken: set[str] = set()
    for name in names:
        plain = key = "_".join(name.split())
        number = 1
        while key in taken:
            number += 1
            key = f"{plain}-{number}"
        taken.add(key)
        keys.append(key)
    return keys


def _wnids(names: list[str], labels: str, path: str | Path) -> list[str]:
    space = load_label_map(labels)
    wnids: list[str] = []
    for number, name in enumerate(names, 1):
        try:
            wnids.append(space.row(name).wnid)
        except LabelError as error:
            raise LabelError(f"{path} line {number}: {error}") from None
    return wnids
