"""Read label spaces: the ones that ship with the package, lists of wnids, and the user's own tables.

`load_label_map` takes one word, as the command line does:

    coco, coco91, voc    shipped and reviewed: 80 (or 91, with those of the paper) and 20 classes
    openimages           shipped and reviewed: the 601 classes with boxes, by MID or by English name
    det200, ilsvrc1000   the wnids of ImageNet's detection and classification tasks
    imagenet21k          the 21,842 wnids of ImageNet
    imagenet, wnid       every wnid is its own label
    imagenet:FILE        the wnids listed in FILE, one a line; what follows on the line is a name for people
    FILE                 a table (TSV or CSV) with a header; needs a column label, name, category_name or class, and a
                         column wnid (`none` for a label without synset); may have relation, display_name, aliases
                         (separated by |) and note
    NAME=FILE            the same, with a name of its own instead of the file's
"""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path

from schemas.errors import ConfigError, FormatError, InputError
from wordtree.csv_lines import csv_rows
from wordtree.label_space import NO_SYNSET, LabelMap, LabelRow, check_relation, check_wnids
from wordtree.senses import imagenet_wnids
from wordtree.suggestions import did_you_mean
from wordtree.text_files import read_text, split_lines
from wordtree.wordnet import load_wordnet

SHIPPED = ("coco", "voc", "coco91", "openimages", "det200", "ilsvrc1000", "imagenet21k")
WNID_LISTS = ("det200", "ilsvrc1000")
EVERY_WNID = ("imagenet", "wnid")
LABEL_COLUMNS = ("label", "name", "category_name", "class")

WNID_LINE = re.compile(r"n\d{8}(\s|$)")
NAMED = re.compile(r"([A-Za-z0-9_.-]+)=(.+)")


def load_label_map(spec: str) -> LabelMap:
    """The label space that a word names; see the head of this module.

    Raises:
        ConfigError: the word names neither a shipped space nor a file.
        InputError: the file cannot be read or is empty.
        FormatError: the file does not follow its format; with the line.
        LabelError: the file has wnids that WordNet 3.0 does not know; with the lines.
    """
    if spec in SHIPPED:
        return _shipped(spec)
    if spec in EVERY_WNID:
        return LabelMap(spec, (), every_wnid=True)
    named = None if Path(spec).exists() else NAMED.fullmatch(spec)
    name, rest = (named.group(1), named.group(2)) if named else ("", spec)
    listed = rest.startswith("imagenet:")
    path = Path(rest.removeprefix("imagenet:"))
    if not path.is_file() and not listed and not path.suffix and len(path.parts) == 1:
        near = did_you_mean(spec, (*SHIPPED, *EVERY_WNID))
        raise ConfigError(
            f"label space {spec!r} is neither a file nor one of {', '.join((*SHIPPED, *EVERY_WNID))}; expected one of "
            f"these, imagenet:FILE or a TSV or CSV file with columns label and wnid{near}"
        )
    text = read_text(path)
    name = name or ("imagenet" if listed else re.sub(r"[^\w.-]", "_", path.stem))
    return (parse_wnid_list if listed else parse_label_table)(text, name=name, where=str(path))


def _shipped(name: str) -> LabelMap:
    if name == "imagenet21k":
        return parse_wnid_list("\n".join(imagenet_wnids()), name=name, where=name)
    listed = name in WNID_LISTS
    file = f"{name}.txt" if listed else f"{name}.tsv"
    text = (files("wordtree") / "data" / "labels" / file).read_text(encoding="utf-8")
    return (parse_wnid_list if listed else parse_label_table)(text, name=name, where=file)


def parse_wnid_list(text: str, *, name: str, where: str) -> LabelMap:
    """A label space from lines `wnid [name]`; empty lines and lines that start with # are skipped."""
    rows: list[tuple[int, LabelRow]] = []
    first: dict[str, int] = {}
    wordnet = load_wordnet()
    for line, words in enumerate(split_lines(text), 1):
        if not words.strip() or words.startswith("#"):
            continue
        wnid, *rest = words.split(maxsplit=1)
        if first.setdefault(wnid, line) != line:
            raise FormatError(f"{where} line {line}: wnid {wnid!r} stands on line {first[wnid]} already")
        shown = rest[0].strip() if rest else (wordnet.name(wnid) if wnid in wordnet else "")
        rows.append((line, LabelRow(wnid, wnid, display_name=shown)))
    if not rows:
        raise InputError(f"{where}: the file lists no wnids")
    check_wnids(rows, where, wordnet)
    return LabelMap(name, (row for _, row in rows), where=where)


def parse_label_table(text: str, *, name: str, where: str) -> LabelMap:
    """A label space from a table with a header; tabs make it a TSV, else it is a CSV.

    Raises:
        FormatError: a column is missing, a label is empty or stands there twice; with the line.
    """
    lines = split_lines(text)
    skip = 0
    while skip < len(lines) and (lines[skip].startswith("#") or not lines[skip].strip()):
        skip += 1
    if skip == len(lines):
        raise InputError(f"{where}: the file has no table")
    header_line = lines[skip]
    tabs = "\t" in header_line
    body = "\n".join(lines[skip:])
    table = csv_rows(body, where, "\t" if tabs else ",", first=skip + 1, quoted=not tabs)
    columns = [column.strip().casefold() for column in next(table)[1]]
    label_column = next((columns.index(column) for column in LABEL_COLUMNS if column in columns), None)
    if label_column is None or "wnid" not in columns:
        missing = "wnid" if label_column is not None else f"label (or {', '.join(LABEL_COLUMNS[1:])})"
        if WNID_LINE.match(header_line):
            hint = f"; for a list of wnids write imagenet:{where}"
        elif len(columns) == 1:
            hint = f"; for a list of names, run `wordtree tree map {where} --out maps` first"
        else:
            hint = f"; `wordtree tree map {where}` proposes wnids" if missing == "wnid" else ""
        raise FormatError(
            f"{where} line {skip + 1}: found columns {', '.join(columns)}; column {missing} is missing{hint}"
        )

    wordnet = load_wordnet()
    rows: list[tuple[int, LabelRow]] = []
    unmapped: dict[str, str] = {}
    first: dict[str, int] = {}
    for line, cells in table:
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) > len(columns):
            raise FormatError(f"{where} line {line}: found {len(cells)} cells; expected {len(columns)}")
        cell = dict(zip(columns, (cell.strip() for cell in cells), strict=False))
        label = cells[label_column].strip() if label_column < len(cells) else ""
        wnid = cell.get("wnid", "")
        if not label or not wnid:
            raise FormatError(f"{where} line {line}: {'wnid' if label else 'label'} is empty")
        if first.setdefault(label, line) != line:
            raise FormatError(f"{where} line {line}: label {label!r} stands on line {first[label]} already")
        if wnid.casefold() == NO_SYNSET:
            unmapped[label] = cell.get("note", "")
            continue
        shown = cell.get("display_name", "") or (wordnet.name(wnid) if wnid in wordnet else "")
        aliases = tuple(alias.strip() for alias in cell.get("aliases", "").split("|") if alias.strip())
        relation = check_relation(cell.get("relation", ""), f"{where} line {line}")
        rows.append((line, LabelRow(label, wnid, relation, shown, cell.get("note", ""), aliases)))
    if not rows:
        found = f"{len(unmapped)} rows, all without synset" if unmapped else "no rows"
        raise InputError(f"{where}: the table has a header and {found}")
    check_wnids(rows, where, wordnet)
    return LabelMap(name, (row for _, row in rows), unmapped=unmapped, where=where)
