"""The class hierarchy of Open Images as JSON: read it, write it, and a WordTree in the same form.

    {"LabelName": "/m/0bl9f", "Subcategory": [{"LabelName": ..., "Subcategory": [...], "Part": [...]}, ...]}

`Subcategory` is "is a kind of", `Part` is not: it says nothing about labels. A class may stand in several places and so
have several parents; such a hierarchy is no tree, and `to_tree` refuses it. The root ("Entity") is no class.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from schemas.errors import FormatError, TreeError
from wordtree.tree import WordTree, from_parents

ENTITY = "n00001740"
KEYS = ("LabelName", "Subcategory", "Part")


@dataclass(frozen=True)
class ClassHierarchy:
    """Classes and their parents; a directed graph without cycles.

    Attributes:
        root: the class above all others, which no picture is labelled with.
        parents: every class but the root, in the file's order -> its parents, nearest first as the file has them.
        parts: (whole, part), in the file's order.
        content: the JSON value itself.
        indent: spaces of one level in the file; None if it has no line breaks.
        newline: the file's line end.
        end: what follows the last bracket.
    """

    root: str
    parents: Mapping[str, tuple[str, ...]]
    parts: tuple[tuple[str, str], ...]
    content: Mapping[str, Any]
    indent: int | None = 4
    newline: str = "\n"
    end: str = ""

    def several_parents(self) -> dict[str, tuple[str, ...]]:
        """The classes that a tree cannot hold."""
        return {name: above for name, above in self.parents.items() if len(above) > 1}


def parse_hierarchy(text: str, *, where: str) -> ClassHierarchy:
    """A hierarchy from the text of its JSON file.

    Raises:
        FormatError: not JSON, or not of this form; with the place.
        TreeError: a class is above itself, or the root has a parent.
    """
    value = read_json(text, where)
    if not is_hierarchy(value):
        raise FormatError(f'{where}: expected {{"LabelName": ..., "Subcategory": [...]}}')
    root = ""
    parents: dict[str, dict[str, None]] = {}
    parts: dict[tuple[str, str], None] = {}
    stack: list[tuple[Any, str, str, str]] = [(value, "", "", "$")]
    while stack:
        entry, above, relation, place = stack.pop()
        if not isinstance(entry, dict):
            raise FormatError(f"{where} {place}: found {str(entry)[:60]!r}; expected an object with LabelName")
        name = entry.get("LabelName")
        if not isinstance(name, str) or not name.strip() or not name.isprintable():
            raise FormatError(f"{where} {place}: found LabelName {name!r}; expected the name of a class")
        unknown = [key for key in entry if key not in KEYS]
        if unknown:
            raise FormatError(f"{where} {place}: found key {unknown[0]!r}; expected {', '.join(KEYS)}")
        if not relation:
            root = name
        else:
            above_here = parents.setdefault(name, {})
            if relation == "Subcategory":
                above_here[above] = None
            else:
                parts[above, name] = None
        below: list[tuple[Any, str, str, str]] = []
        for key in KEYS[1:]:
            children = entry.get(key, [])
            if not isinstance(children, list):
                raise FormatError(f"{where} {place}.{key}: expected a list")
            below.extend((child, name, key, f"{place}.{key}[{at}]") for at, child in enumerate(children))
        stack.extend(reversed(below))
    found = {name: tuple(above) for name, above in parents.items()}
    _check_acyclic(root, found, where)
    first_break = text.find("\n")
    lead = text[first_break + 1 :] if first_break >= 0 else ""
    indent = len(lead) - len(lead.lstrip(" ")) if first_break >= 0 and text.strip() != text.splitlines()[0] else None
    newline = "\r\n" if text[max(first_break - 1, 0) : first_break] == "\r" else "\n"
    return ClassHierarchy(root, found, tuple(parts), value, indent, newline, text[len(text.rstrip()) :])


def hierarchy_text(hierarchy: ClassHierarchy) -> str:
    """The JSON file of a hierarchy: the same bytes as those read, if they were laid out as `json.dumps` does."""
    text = json.dumps(hierarchy.content, indent=hierarchy.indent, ensure_ascii=False)
    return text.replace("\n", hierarchy.newline) + hierarchy.end


def tree_hierarchy_text(tree: WordTree) -> str:
    """A WordTree as such a file. Entity is put above the roots unless it is the only root: the root is no class.

    Raises:
        TreeError: the tree is too deep for nested JSON.
    """
    entries: list[dict[str, Any]] = [{"LabelName": name} for name in tree.names]
    alone = len(tree.roots()) == 1 and tree.names[0] == ENTITY
    top = entries[0] if alone else {"LabelName": ENTITY if ENTITY not in tree else "entity", "Subcategory": []}
    for node, above in enumerate(tree.parent.tolist()):
        if above >= 0 or not alone:
            (entries[above] if above >= 0 else top).setdefault("Subcategory", []).append(entries[node])
    try:
        return json.dumps(top, indent=4, ensure_ascii=False) + "\n"
    except RecursionError:
        raise TreeError(f"the tree has depth {tree.max_depth}, which is too deep for nested JSON") from None


def to_tree(hierarchy: ClassHierarchy, *, where: str) -> WordTree:
    """The hierarchy as a tree without its root; Part is left out.

    Raises:
        TreeError: a class has several parents, or none.
    """
    several = hierarchy.several_parents()
    if several:
        name, above = next(iter(several.items()))
        raise TreeError(
            f"{where}: {len(several)} classes have several parents, which a tree cannot hold; the first is {name!r} "
            f"below {' and '.join(repr(parent) for parent in above)}. `wordtree tree expand` takes this file as it is"
        )
    lost = next((name for name, above in hierarchy.parents.items() if not above), None)
    if lost is not None:
        raise TreeError(f"{where}: class {lost!r} is a part of another one but a subcategory of none")
    above = {name: None if up == (hierarchy.root,) else up[0] for name, up in hierarchy.parents.items()}
    if not above:
        raise TreeError(f"{where}: there are no classes below {hierarchy.root!r}")
    return from_parents(above, order=above)


def is_hierarchy(value: object) -> bool:
    """Whether a JSON value is of this form."""
    return isinstance(value, dict) and "LabelName" in value


def read_json(text: str, where: str) -> Any:
    """A JSON value.

    Raises:
        FormatError: it is no JSON, nested too deep, or holds a number that is too long; with the line if known.
    """
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise FormatError(f"{where} line {error.lineno}: {error.msg}; expected JSON") from error
    except RecursionError:
        raise FormatError(f"{where}: the JSON is nested too deep") from None
    except ValueError as error:
        raise FormatError(f"{where}: {error}; expected JSON") from error


def _check_acyclic(root: str, parents: Mapping[str, tuple[str, ...]], where: str) -> None:
    if root in parents:
        raise TreeError(f"{where}: the root {root!r} stands below another class")
    waiting = {name: len(above) for name, above in parents.items()}
    below: dict[str, list[str]] = {}
    for name, above in parents.items():
        for parent in above:
            below.setdefault(parent, []).append(name)
    free = [root, *(name for name, count in waiting.items() if count == 0)]
    while free:
        for child in below.get(free.pop(), ()):
            waiting[child] -= 1
            if waiting[child] == 0:
                free.append(child)
    stuck = next((name for name, count in waiting.items() if count > 0), None)
    if stuck is not None:
        raise TreeError(f"{where}: class {stuck!r} stands above itself")
