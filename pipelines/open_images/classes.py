"""The classes of Open Images: descriptions with and without a header, and the hierarchy.

Classes go by machine id (MID), since names repeat. Ids are the places in this list: the 601 with boxes, in the order of
the shipped label map; the others in the order of the descriptions; then what else stands in the files. So the ids of a
training and of a validation set agree. A class is there if a file of boxes or labels names it, or if it is one of the
601 that has a synset in WordNet.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from pipelines.files import storage
from pipelines.sources.base import DatasetClass
from schemas.errors import FormatError
from wordtree.csv_lines import csv_rows
from wordtree.open_images_hierarchy import ClassHierarchy, parse_hierarchy

MOST_TOLD = 3  # classes that are described twice
_HEADS = ("labelname", "label", "mid", "id", "classname")


def read_descriptions(paths: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """MID -> name, in the order of the files; of a MID that stands there twice the first name.

    Returns:
        The names, and a word for people about MIDs that a file names twice, or that have another name in a later file.

    Raises:
        InputError: if a file cannot be read.
        FormatError: if it has no rows, a row has other than two cells, or a quote stands at a wrong place.
    """
    found: dict[str, str] = {}
    again: list[str] = []
    for path in paths:
        here: set[str] = set()
        for line, cells in csv_rows(storage.text_of(path, "class descriptions"), path):
            if len(cells) != 2 or not cells[0]:
                raise FormatError(f"{path} line {line}: found {cells!r}; expected LabelName,DisplayName")
            if line == 1 and cells[0].strip().lower() in _HEADS:
                continue
            name = found.setdefault(cells[0], cells[1])
            if cells[0] in here or name != cells[1]:
                stays = "" if name == cells[1] else f", as {cells[1]!r}; {name!r} stays"
                again.append(f"{storage.name_of(path)} line {line}: {cells[0]} is described again{stays}")
            here.add(cells[0])
        if not here:
            raise FormatError(f"{path}: there are no classes; expected lines LabelName,DisplayName")
    if len(again) > MOST_TOLD:
        again = [*again[:MOST_TOLD], f"{len(again) - MOST_TOLD} more classes are described again"]
    return found, again


def dataset_classes(described: Mapping[str, str], found: Iterable[str]) -> tuple[DatasetClass, ...]:
    """The classes in the order of their ids.

    Args:
        described: MID -> name; empty where there are no descriptions.
        found: MIDs that stand in the files.
    """
    from wordtree.label_files import load_label_map

    boxable = load_label_map("openimages")
    with_boxes = [row.label for row in boxable.rows]
    there = set(found)
    keys = dict.fromkeys([*with_boxes, *sorted(boxable.unmapped), *described, *sorted(there)])
    kept = there.union(with_boxes)
    return tuple(DatasetClass(key, number, key) for number, key in enumerate(keys, start=1) if key in kept)


def read_hierarchy(path: str) -> ClassHierarchy:
    """The hierarchy of a JSON file.

    Raises:
        InputError, FormatError, TreeError: see `wordtree.open_images_hierarchy.parse_hierarchy`.
    """
    return parse_hierarchy(storage.text_of(path, "hierarchy"), where=path)


def head_json(described: Mapping[str, str], hierarchy: ClassHierarchy | None) -> bytes:
    """What the dataset says about its classes, for source.json; b"" for nothing."""
    head: dict[str, object] = {}
    if described:
        head["classes"] = [{"LabelName": key, "DisplayName": name} for key, name in described.items()]
    if hierarchy is not None:
        head["hierarchy"] = hierarchy.content
    return msgspec.json.encode(head) if head else b""
