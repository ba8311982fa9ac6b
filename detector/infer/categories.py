"""What a node is called in COCO results: its own number, or the category of a file."""

from __future__ import annotations

import json
import re
from pathlib import Path

from schemas.errors import FormatError, LabelError
from schemas.label_map import parse_label_map
from wordtree.text_files import read_columns, read_text
from wordtree.tree import WordTree


def read_categories(path: Path, tree: WordTree) -> dict[int, int]:
    """Node to category id.

    Args:
        path: a `labels.pbtxt` of a dataset directory, a table with the columns wnid and id, or a COCO JSON whose
            categories have a wnid.
        tree: of the detections.

    Raises:
        InputError, FormatError: the file cannot be read.
        LabelError: a class is no node of the tree, or two classes are one node.
    """
    rows = _rows(path)
    known: dict[int, int] = {}
    for wnid, category in rows:
        if wnid not in tree:
            raise LabelError(f"{path}: {wnid!r} (id {category}) is no node of the tree")
        node = tree.index(wnid)
        if known.setdefault(node, category) != category:
            raise LabelError(f"{path}: ids {known[node]} and {category} are both {wnid!r}; expected one class a node")
    return known


def categories_of_nodes(tree: WordTree, known: dict[int, int] | None) -> list[int | None]:
    """The category of every node: its own, else that of the nearest node above it that has one, else None.

    Without a file every node is its own category.
    """
    if known is None:
        return list(range(len(tree)))
    found: list[int | None] = []
    for node, parent in enumerate(tree.parent.tolist()):
        found.append(known.get(node, found[parent] if parent >= 0 else None))
    return found


def image_id(path_stem: str, path: str, frame: int | None) -> int | str:
    """A number where the file's name is one, as in COCO; else the path. Frames are PATH#NUMBER."""
    if frame is not None:
        return f"{path}#{frame}"
    return int(path_stem) if re.fullmatch(r"[0-9]{1,18}", path_stem) else path


def _rows(path: Path) -> list[tuple[str, int]]:
    if path.suffix == ".pbtxt":
        return [(item.name, item.id) for item in parse_label_map(read_text(path), str(path))]
    if path.suffix == ".json":
        try:
            entries = json.loads(read_text(path))["categories"]
            return [(str(entry["wnid"]), int(entry["id"])) for entry in entries]
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise FormatError(
                f"{path}: found no categories with a wnid ({type(error).__name__}: {error}); expected "
                f'{{"categories": [{{"id": 1, "wnid": "n02084071"}}]}}, a labels.pbtxt or a table of wnid and id'
            ) from error
    rows: list[tuple[str, int]] = []
    for line, (wnid, number) in read_columns(path, ("wnid", "id")):
        if not re.fullmatch(r"[0-9]{1,18}", number):
            raise FormatError(f"{path} line {line}: found id {number!r}; expected a number")
        rows.append((wnid, int(number)))
    return rows
