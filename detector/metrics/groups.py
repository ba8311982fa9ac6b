"""Which classes were seen with boxes in training, and how far the others are from one that was.

    seen          the class, or something below it in the tree, was boxed
    unseen_near   it was not, but some node above it was boxed itself: people drew boxes that it is a kind of
    unseen_far    neither

A split file states it instead: CSV with the header `wnid,group`. The older words stay beside these: `boxed` is seen;
`unboxed` was labelled, or what lies below it was, but never boxed; `untrained` is in the training data not at all.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from schemas.errors import ConfigError, FormatError, InputError
from wordtree.csv_lines import csv_rows
from wordtree.tree import WordTree

SPLITS = ("seen", "unseen_near", "unseen_far")
GROUPS = ("boxed", "unboxed", "untrained")
Counts = Mapping[str, int]


def split_of(node: int, boxes: Counts, tree: WordTree) -> str:
    """One of `SPLITS`, from how many training boxes each wnid had."""
    names = tree.names
    if boxes.get(names[node], 0) or any(boxes.get(names[below], 0) for below in tree.descendants(node).tolist()):
        return "seen"
    return "unseen_near" if any(boxes.get(names[above], 0) for above in tree.ancestors(node)) else "unseen_far"


def group_of(node: int, boxes: Counts, labels: Counts, tree: WordTree) -> str:
    """One of `GROUPS`, from how many training boxes and image labels each wnid had."""
    below = [tree.names[node], *(tree.names[k] for k in tree.descendants(node).tolist())]
    if any(boxes.get(wnid, 0) for wnid in below):
        return "boxed"
    return "unboxed" if any(labels.get(wnid, 0) for wnid in below) else "untrained"


def split_text(split: Mapping[str, str]) -> str:
    """The text of a split file, by rising wnid."""
    return "wnid,group\n" + "".join(f"{wnid},{split[wnid]}\n" for wnid in sorted(split))


def read_split(path: Path) -> dict[str, str]:
    """Wnid to one of `SPLITS`.

    Raises:
        InputError: the file cannot be read, or a row is not `wnid,group`; with the line.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"--split {path} cannot be read ({error}); expected a CSV file `wnid,group`") from error
    try:
        rows = iter(list(csv_rows(text, f"--split {path},")))
    except FormatError as error:
        raise InputError(f"{error}; expected a CSV file `wnid,group`") from error
    if next(rows, (0, None))[1] != ["wnid", "group"]:
        raise InputError(f"--split {path}, line 1: expected the header `wnid,group`")
    split: dict[str, str] = {}
    for number, row in rows:
        if len(row) != 2 or row[1] not in SPLITS:
            raise InputError(
                f"--split {path}, line {number}: found {','.join(row)!r}; "
                f"expected a wnid and one of {', '.join(SPLITS)}"
            )
        if split.setdefault(row[0], row[1]) != row[1]:
            raise InputError(f"--split {path}, line {number}: {row[0]} is {split[row[0]]} above and {row[1]} here")
    return split


def check_split(split: Mapping[str, str], wnids: Iterable[str], where: str) -> None:
    """Refuse a split that does not name every class of the dataset.

    Raises:
        ConfigError: with the first classes that are missing.
    """
    missing = [wnid for wnid in wnids if wnid not in split]
    if missing:
        shown = ", ".join(missing[:5])
        raise ConfigError(
            f"the split names {len(split)} classes, but not {len(missing)} of {where} ({shown}); add them"
        )
