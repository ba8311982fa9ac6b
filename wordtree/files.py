"""Trees on disk: read any kind of tree file, and write and read *tree directories*.

    DIR/
      wordtree.tree  wordtree.names  wordtree.labels    as darknet reads them
      wordtree.json  wordtree.pbtxt                     the same tree for other programs
      cut_edges.tsv                                     is-a relations of WordNet that the tree leaves out, with names
      labels/SPACE.tsv  labels/SPACE.map                where the classes of a data set stand in the tree
      left_out.tsv                                      classes that were asked for and are no nodes
      lint.tsv                                          what a person should look at
      build.json                                        options, version of WordNet, counts

A space with classes that have no node has no .map, since every line of a .map is a class.

A directory is written whole or not at all: under a temporary name first. One that exists is left alone if it has the
same content, and is never overwritten unless asked.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import os
import re
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from schemas.errors import ConfigError, FormatError, InputError, OutputError, TreeError
from wordtree.build import BuiltTree, CutEdge
from wordtree.csv_lines import csv_rows
from wordtree.label_space import LabelMap, check_relation
from wordtree.lint import LINT_COLUMNS, lint, lint_rows
from wordtree.mapping import PlacedLabel, place_labels
from wordtree.open_images_hierarchy import is_hierarchy, parse_hierarchy, read_json, to_tree
from wordtree.text_files import read_text, split_lines
from wordtree.tree import WordTree
from wordtree.tree_formats import (
    check_labels,
    labels_text,
    map_text,
    names_text,
    parse_tree,
    parse_tree_json,
    parse_tree_pbtxt,
    tree_json,
    tree_pbtxt,
    tree_text,
)
from wordtree.wordnet import WordNet, load_wordnet

STEM = "wordtree"
SPACE_COLUMNS = ("label", "wnid", "node", "node_wnid", "relation", "display_name", "aliases")
LEFT_OUT_COLUMNS = ("space", "label", "wnid", "below", "display_name")
CUT_COLUMNS = ("child", "hypernym", "child_node", "hypernym_node")
CUT_NAMES = ("child_name", "hypernym_name")  # for people; not read back


@dataclass(frozen=True)
class TreeDirectory:
    """What a tree directory holds.

    Attributes:
        tree: the tree.
        cut_edges: is-a relations between nodes that the tree leaves out.
        spaces: by name of the label space, its labels and their nodes, in the data set's order.
        aliases: by name of the label space, other spelling -> label.
    """

    tree: WordTree
    cut_edges: tuple[CutEdge, ...]
    spaces: dict[str, tuple[PlacedLabel, ...]]
    aliases: dict[str, dict[str, str]]


def read_tree(path: str | os.PathLike[str]) -> WordTree:
    """A tree from a tree directory, or from a .tree (with the .names beside it), .json or .pbtxt file.

    A .json file may be an Open Images hierarchy, if no class in it has several parents.

    Raises:
        InputError: there is no such file or directory, or its kind is unknown.
        FormatError: the file does not follow its format; with the line.
        TreeError: the file makes no valid tree; with the line.
    """
    place = Path(path)
    if place.is_dir():
        inside = place / f"{STEM}.tree"
        if not inside.is_file():
            raise InputError(f"{place}: no {inside.name} in this directory; write one with `wordtree tree build`")
        tree = read_tree(inside)
        labels = place / f"{STEM}.labels"
        if labels.is_file():
            check_labels(read_text(labels), tree, where=str(labels))
        written = place / f"{STEM}.json"
        if written.is_file() and tree != parse_tree_json(read_text(written), where=str(written)):
            raise TreeError(
                f"{place}: {inside.name} and {written.name} hold different trees; build the directory again"
            )
        return tree
    if not place.is_file():
        raise InputError(
            f"{place}: no such file or directory; expected a tree directory or a .tree, .json or .pbtxt file"
        )
    if place.suffix == ".json":
        text = read_text(place)
        if is_hierarchy(read_json(text, str(place))):
            return to_tree(parse_hierarchy(text, where=str(place)), where=str(place))
        return parse_tree_json(text, where=str(place))
    if place.suffix == ".pbtxt":
        return parse_tree_pbtxt(read_text(place), where=str(place))
    if place.suffix != ".tree":
        raise InputError(
            f"{place}: kind {place.suffix or 'without suffix'!r} is unknown; expected .tree, .json or .pbtxt"
        )
    beside = place.with_suffix(".names")
    names = split_lines(read_text(beside)) if beside.is_file() else None
    return parse_tree(read_text(place), where=str(place), names=names)


def read_tree_directory(path: str | os.PathLike[str]) -> TreeDirectory:
    """Everything in a tree directory.

    Raises:
        InputError, FormatError, TreeError: as `read_tree`, for every file in it.
    """
    place = Path(path)
    if not place.is_dir():
        raise InputError(f"{place}: no such directory; expected the --out of `wordtree tree build`")
    tree = read_tree(place)
    cut = _read_cut_edges(place / "cut_edges.tsv", tree)
    spaces: dict[str, tuple[PlacedLabel, ...]] = {}
    aliases: dict[str, dict[str, str]] = {}
    for file in sorted((place / "labels").glob("*.tsv")):
        placed: list[PlacedLabel] = []
        spellings: dict[str, str] = {}
        for line, row in _read_table(file, SPACE_COLUMNS):
            node = int(row["node"]) if re.fullmatch(r"[0-9]{1,9}", row["node"]) else -1
            if not 0 <= node < len(tree) or tree.names[node] != row["node_wnid"]:
                raise TreeError(f"{file} line {line}: node {row['node']} is not {row['node_wnid']!r} in {STEM}.tree")
            relation = check_relation(row["relation"], f"{file} line {line}")
            placed.append(PlacedLabel(row["label"], row["wnid"], node, relation, row["display_name"]))
            spellings.update({alias: row["label"] for alias in row["aliases"].split("|") if alias})
        spaces[file.stem], aliases[file.stem] = tuple(placed), spellings
    return TreeDirectory(tree, cut, spaces, aliases)


def _read_cut_edges(file: Path, tree: WordTree) -> tuple[CutEdge, ...]:
    edges: list[CutEdge] = []
    for line, row in _read_table(file, CUT_COLUMNS, more=CUT_NAMES):
        for name, node in ((row["child"], row["child_node"]), (row["hypernym"], row["hypernym_node"])):
            if name not in tree or node != str(tree.index(name)):
                raise TreeError(f"{file} line {line}: node {node} is not {name!r} in {STEM}.tree")
        edges.append(CutEdge(row["child"], row["hypernym"]))
    return tuple(edges)


def write_tree_directory(
    built: BuiltTree,
    spaces: Sequence[LabelMap],
    out: str | os.PathLike[str],
    *,
    wordnet: WordNet | None = None,
    force: bool = False,
    extra: Mapping[str, str] | None = None,
) -> bool:
    """Write a tree directory, whole or not at all.

    Args:
        built: the tree and what was left out of it.
        spaces: label spaces whose labels get nodes; names must differ.
        out: the directory; its parent must exist.
        wordnet: where hypernyms come from; the shipped nouns if left out.
        force: replace a tree directory that has another content.
        extra: more files by name.

    Returns:
        False if `out` had this very content already.

    Raises:
        OutputError: `out` has another content, or is something else than a tree directory.
        ConfigError: two spaces have one name.
        LabelError: a label has no place in the tree.
    """
    target = Path(os.path.abspath(out))
    content = directory_content(built, spaces, wordnet or load_wordnet(), extra)
    if target.exists() or target.is_symlink():
        if _has_content(target, content):
            return False
        empty = target.is_dir() and not any(target.iterdir())
        if not empty and not (target / f"{STEM}.tree").is_file():
            raise OutputError(f"{target}: exists and is no tree directory; choose another --out")
        if not empty and not force:
            raise OutputError(f"{target}: exists with another content; choose another --out or replace it with --force")
    if not target.parent.is_dir():
        raise OutputError(f"{target}: the directory {target.parent} does not exist; create it first")
    fresh = target.with_name(f".{target.name}.new-{os.getpid()}")
    old = target.with_name(f".{target.name}.old-{os.getpid()}")
    shutil.rmtree(fresh, ignore_errors=True)
    try:
        for name, data in content.items():
            file = fresh / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data)
        if target.exists():
            target.rename(old)
        fresh.rename(target)
    except OSError as error:
        if old.exists() and not target.exists():
            old.rename(target)
        raise OutputError(f"{target}: cannot write it ({error.strerror})") from error
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)
    return True


def placed_spaces(built: BuiltTree, spaces: Sequence[LabelMap], wordnet: WordNet) -> dict[str, tuple[PlacedLabel, ...]]:
    """By name of the space, its labels and their nodes, without those left out of the tree.

    Raises:
        ConfigError: two spaces have one name.
        LabelError: a label has no place in the tree.
    """
    placed: dict[str, tuple[PlacedLabel, ...]] = {}
    for space in spaces:
        if space.name in placed:
            raise ConfigError(f"two label spaces are called {space.name!r}; give one another name with NAME=FILE")
        placed[space.name] = place_labels(_without_left_out(space, built), built.tree, wordnet)
    return placed


def _without_left_out(space: LabelMap, built: BuiltTree) -> LabelMap:
    left = {label.wnid for label in built.left_out}
    return LabelMap(space.name, (row for row in space.rows if row.wnid not in left), where=space.where)


def directory_content(
    built: BuiltTree, spaces: Sequence[LabelMap], wordnet: WordNet, extra: Mapping[str, str] | None = None
) -> dict[str, bytes]:
    """The files of a tree directory by relative path: a pure function of its arguments."""
    tree = built.tree
    placed = placed_spaces(built, spaces, wordnet)
    below = {label.wnid: label.below for label in built.left_out}
    left_out = [(space.name, row) for space in spaces for row in space.rows if row.wnid in below]
    texts = {
        **(extra or {}),
        f"{STEM}.tree": tree_text(tree),
        f"{STEM}.names": names_text(tree),
        f"{STEM}.labels": labels_text(tree),
        f"{STEM}.json": tree_json(tree),
        f"{STEM}.pbtxt": tree_pbtxt(tree),
        "lint.tsv": table(LINT_COLUMNS, lint_rows(lint(tree, placed, built.cut_edges), tree)),
        "left_out.tsv": table(
            LEFT_OUT_COLUMNS,
            ((name, row.label, row.wnid, below[row.wnid], row.display_name) for name, row in left_out),
        ),
        "cut_edges.tsv": table(
            CUT_COLUMNS + CUT_NAMES,
            (_cut_cells(edge.child, edge.hypernym, tree) for edge in built.cut_edges),
        ),
    }
    for space in spaces:
        labels = placed[space.name]
        texts[f"labels/{space.name}.tsv"] = space_table(_without_left_out(space, built), labels, tree)
        if len(labels) == len(space) and not space.unmapped:
            texts[f"labels/{space.name}.map"] = map_text(p.node for p in labels)
    about = {
        "format": "wordtree-build",
        "version": 1,
        "digest": tree.digest(),
        "wordnet": {"version": "3.0", "synsets": len(wordnet), "digest": wordnet.digest},
        "options": dataclasses.asdict(built.options),
        "report": dataclasses.asdict(built.report),
        "nodes": len(tree),
        "cut_edges": len(built.cut_edges),
        "spaces": {space.name: len(space) for space in spaces},
    }
    texts["build.json"] = json.dumps(about, indent=2, sort_keys=True) + "\n"
    return {name: text.encode() for name, text in texts.items()}


def _cut_cells(child: str, hypernym: str, tree: WordTree) -> tuple[str, ...]:
    nodes = tree.index(child), tree.index(hypernym)
    return child, hypernym, *map(str, nodes), *(tree.display_names[node] for node in nodes)


def space_table(space: LabelMap, placed: Sequence[PlacedLabel], tree: WordTree) -> str:
    """`labels/SPACE.tsv`: label, its wnid, its node and that node's wnid, relation of label to node."""
    return table(
        SPACE_COLUMNS,
        (
            (p.label, p.wnid, str(p.node), tree.names[p.node], p.relation, p.display_name, "|".join(row.aliases))
            for row, p in zip(space.rows, placed, strict=True)
        ),
    )


def write_text_file(out: str | os.PathLike[str], text: str, *, force: bool = False) -> bool:
    """`write_file` of a text in UTF-8; bytes that `read_text` kept with errors="surrogateescape" are as they were."""
    return write_file(out, text.encode(errors="surrogateescape"), force=force)


def write_file(out: str | os.PathLike[str], data: bytes, *, force: bool = False) -> bool:
    """Write one file, whole or not at all. Returns False if it had this content already.

    Raises:
        OutputError: the file has another content and `force` is not set, or it cannot be written.
    """
    target = Path(out)
    if target.is_file() and target.read_bytes() == data:
        return False
    if target.exists() and not force:
        raise OutputError(f"{target}: exists with another content; choose another --out or replace it with --force")
    fresh = target.with_name(f".{target.name}.new-{os.getpid()}")
    try:
        fresh.write_bytes(data)
        fresh.replace(target)
    except OSError as error:
        raise OutputError(f"{target}: cannot write it ({error.strerror})") from error
    finally:
        fresh.unlink(missing_ok=True)
    return True


def _has_content(target: Path, content: dict[str, bytes]) -> bool:
    if not target.is_dir():
        return False
    found = {file.relative_to(target).as_posix() for file in target.rglob("*") if not file.is_dir()}
    return found == set(content) and all((target / name).read_bytes() == data for name, data in content.items())


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table with tabs, as `_read_table` reads it."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, delimiter="\t", lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return buffer.getvalue()


def _read_table(file: Path, columns: Sequence[str], more: Sequence[str] = ()) -> list[tuple[int, dict[str, str]]]:
    """(line, row) of a table written by `table`; the columns `more` may be missing, in older directories."""
    found = csv_rows(read_text(file), str(file), "\t")
    header = next(found, (0, []))[1]
    if tuple(header) not in (tuple(columns), (*columns, *more)):
        raise FormatError(f"{file} line 1: found columns {', '.join(header)}; expected {', '.join((*columns, *more))}")
    rows: list[tuple[int, dict[str, str]]] = []
    for line, cells in found:
        if len(cells) != len(header):
            raise FormatError(f"{file} line {line}: found {len(cells)} cells; expected {len(header)}")
        rows.append((line, dict(zip(header, cells, strict=True))))
    return rows
