"""The labels of a data set as its own files name them, before anybody has said what they mean.

`read_labels` takes a label space that ships (`coco`), or a file:

    names         one name a line (.txt, .names)
    wnids         `n02084071` or `n02084071 dog` a line: the meaning is given
    synset names  `aerosol.n.02` a line, as LVIS writes them: the sense number gives the meaning
    MIDs          `/m/0bt9lr,Dog` a line, with or without the header `LabelName,DisplayName` (Open Images)
    tables        CSV or TSV with a column label (name, category_name, class, LabelName); wnid, synset, relation,
                  display_name, parent (or supercategory), aliases and note are used if they are there
    JSON          a COCO, LVIS or Objects365 file with `categories` (name, supercategory, synset), a list of names, or
                  an object of id -> name
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from schemas.errors import ConfigError, FormatError, InputError
from wordtree.csv_lines import csv_rows
from wordtree.label_files import EVERY_WNID, LABEL_COLUMNS, NAMED, SHIPPED, WNID_LINE, load_label_map
from wordtree.label_space import NO_SYNSET, LabelMap, Relation, check_relation
from wordtree.suggestions import did_you_mean
from wordtree.text_files import read_text, split_lines

LONGEST = 500  # characters; a phrase is read in every way, and that takes time

_MID = re.compile(r"/[mg]/[0-9a-z_]+")
_SYNSET = re.compile(r"(.+)\.n\.([0-9]{1,4})")
_COLUMNS = {"labelname": "label", "displayname": "text", "supercategory": "parent"}


@dataclass(frozen=True, slots=True)
class SourceLabel:
    """One class of a data set.

    Attributes:
        label: the data set's own key.
        text: the words to read; the label itself, or the name that belongs to a MID; "" for a MID alone.
        line: where it stands in the file; 0 if the file has no lines.
        parent: what it is a kind of, by the data set; "" if it does not say.
        wnid: the synset, if the file gives it; `none` if it says that there is none.
        synset: `word.n.number`, if the file gives that.
        relation: how the given synset stands to the label.
        display_name, aliases, note: as in `LabelRow`.
    """

    label: str
    text: str
    line: int = 0
    parent: str = ""
    wnid: str = ""
    synset: str = ""
    relation: Relation = "exact"
    display_name: str = ""
    aliases: tuple[str, ...] = ()
    note: str = ""


@dataclass(frozen=True, slots=True)
class LabelSource:
    """The labels of one data set, in its order. `reviewed`: a map that ships, whose rows a person has read."""

    name: str
    where: str
    labels: tuple[SourceLabel, ...]
    reviewed: bool = False


def read_labels(spec: str) -> LabelSource:
    """The labels that a word or a file names; see the head of this module.

    Raises:
        ConfigError: the word names neither a shipped space nor a file.
        InputError, FormatError, LabelError: the file cannot be read or does not follow its format; with the line.
    """
    if spec in EVERY_WNID:
        raise ConfigError(f"{spec}: this space is all of WordNet; list the wnids with imagenet:FILE")
    if spec in SHIPPED:
        return LabelSource(spec, spec, tuple(_given(load_label_map(spec))), reviewed=True)
    named = None if Path(spec).exists() else NAMED.fullmatch(spec)
    name, file = (named.group(1), named.group(2)) if named else ("", spec)
    if file.startswith("imagenet:"):
        space = load_label_map(spec)
        return LabelSource(space.name, space.where, tuple(_given(space)))
    path = Path(file)
    if not path.is_file() and not path.suffix and len(path.parts) == 1:
        raise ConfigError(
            f"labels {spec!r} are neither a file nor one of {', '.join(SHIPPED)}{did_you_mean(spec, SHIPPED)}"
        )
    text = read_text(path)
    labels = tuple(_read_json(text, str(path)) if path.suffix.casefold() == ".json" else _read_lines(text, str(path)))
    if not labels:
        raise InputError(f"{path}: the file has no labels")
    first: dict[str, SourceLabel] = {}
    for label in labels:
        if max(len(label.label), len(label.text), len(label.parent)) > LONGEST:
            place = f" line {label.line}" if label.line else ""
            longest = max(len(label.label), len(label.text), len(label.parent))
            raise FormatError(f"{path}{place}: found a label of {longest:,} characters; expected at most {LONGEST}")
        if any(sign in label.label for sign in "\t\n\r"):
            raise FormatError(f"{path}: label {label.label!r} has a tab or a line end in it; rename it")
        other = first.setdefault(label.label, label)
        if other is not label:
            place = f" line {label.line}" if label.line else ""
            told = f" on line {other.line}" if other.line else ""
            raise FormatError(f"{path}{place}: label {label.label!r} stands there already{told}; labels must be unique")
    return LabelSource(name or re.sub(r"[^\w.-]", "_", path.stem), str(path), labels)


def _given(space: LabelMap) -> Iterator[SourceLabel]:
    for row in space.rows:
        yield SourceLabel(
            row.label,
            row.label,
            wnid=row.wnid,
            relation=row.relation,
            display_name=row.display_name,
            aliases=row.aliases,
            note=row.note,
        )
    for label, note in space.unmapped.items():
        yield SourceLabel(label, label, wnid=NO_SYNSET, note=note)


def _read_lines(text: str, where: str) -> Iterator[SourceLabel]:
    lines = [(n, line) for n, line in enumerate(split_lines(text), 1) if line.strip() and not line.startswith("#")]
    if not lines:
        return
    first_line, head = lines[0]
    columns = [cell.strip().casefold() for cell in re.split(r"[\t,]", head)]
    if len(columns) > 1 and any(_COLUMNS.get(column, column) in LABEL_COLUMNS for column in columns):
        yield from _read_table(text, first_line, where)
        return
    if all(_MID.match(line) for _, line in lines):
        for number, line in lines:
            yield _mid(number, line, where)
        return
    if len(columns) == 1 and columns[0] in LABEL_COLUMNS and Path(where).suffix.casefold() in (".csv", ".tsv"):
        lines = lines[1:]
    for number, line in lines:
        yield _plain(line.strip(), number)


def _plain(line: str, number: int) -> SourceLabel:
    if WNID_LINE.match(line):
        wnid, _, shown = line.partition(" ") if " " in line else line.partition("\t")
        return SourceLabel(wnid, shown.strip() or wnid, number, wnid=wnid, display_name=shown.strip())
    synset = _SYNSET.fullmatch(line)
    if synset:
        return SourceLabel(line, synset.group(1), number, synset=line)
    return SourceLabel(line, line, number)


def _mid(number: int, line: str, where: str) -> SourceLabel:
    _, cells = next(csv_rows(line, where, "\t" if "\t" in line else ",", first=number))
    if len(cells) > 2:
        raise FormatError(f"{where} line {number}: found {len(cells)} cells; expected a MID and a name")
    name = cells[1].strip() if len(cells) == 2 else ""
    return SourceLabel(cells[0].strip(), name, number, display_name=name)


def _read_table(text: str, first_line: int, where: str) -> Iterator[SourceLabel]:
    lines = split_lines(text)[first_line - 1 :]
    tabs = "\t" in lines[0]
    table = csv_rows("\n".join(lines), where, "\t" if tabs else ",", first=first_line, quoted=not tabs)
    columns = [_COLUMNS.get(cell.strip().casefold(), cell.strip().casefold()) for cell in next(table)[1]]
    key = next(column for column in LABEL_COLUMNS if column in columns)
    for line, cells in table:
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) > len(columns):
            raise FormatError(f"{where} line {line}: found {len(cells)} cells; expected {len(columns)}")
        row = dict(zip(columns, (cell.strip() for cell in cells), strict=False))
        if not row.get(key):
            raise FormatError(f"{where} line {line}: {key} is empty")
        yield _from_columns(row, row[key], line, where)


def _from_columns(row: Mapping[str, str], label: str, line: int, where: str) -> SourceLabel:
    plain = _plain(label, line)
    return SourceLabel(
        label,
        row.get("text", "") or ("" if _MID.fullmatch(label) else plain.text),
        line,
        parent=row.get("parent", ""),
        wnid=row.get("wnid", "") or plain.wnid,
        synset=row.get("synset", "") or plain.synset,
        relation=check_relation(row.get("relation", ""), f"{where} line {line}"),
        display_name=row.get("display_name", ""),
        aliases=tuple(alias.strip() for alias in row.get("aliases", "").split("|") if alias.strip()),
        note=row.get("note", ""),
    )


def _read_json(text: str, where: str) -> Iterator[SourceLabel]:
    try:
        found: Any = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{where}: this is no JSON: {error}") from error
    if isinstance(found, dict) and "categories" in found:
        found = found["categories"]
    elif isinstance(found, dict):
        found = list(found.values())
    if not isinstance(found, Sequence) or isinstance(found, str):
        raise FormatError(f"{where}: found {type(found).__name__}; expected `categories`, a list or an object of names")
    for place, item in enumerate(found):
        row = {"name": item} if isinstance(item, str) else item
        name = row.get("name") if isinstance(row, dict) else None
        if not isinstance(name, str) or not name.strip():
            raise FormatError(f"{where}: category {place} has no name; found {str(item)[:60]!r}")
        fields = {key: row.get(key, "") for key in ("supercategory", "synset", "wnid")}
        if not all(isinstance(value, str) for value in fields.values()):
            raise FormatError(f"{where}: category {place} ({name!r}): supercategory, synset and wnid must be text")
        if any("\ud800" <= sign <= "\udfff" for sign in "".join((name, *fields.values()))):
            raise FormatError(f"{where}: category {place} ({name[:60]!r}) has half a character, which is no text")
        plain = _plain(name.strip(), 0)
        yield SourceLabel(
            name.strip(),
            plain.text,
            parent=fields["supercategory"],
            wnid=fields["wnid"] or plain.wnid,
            synset=fields["synset"] or plain.synset,
        )
