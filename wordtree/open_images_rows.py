"""Open Images' CSV files of boxes and of image labels, spread through a hierarchy.

Columns go by name, since the files of different years differ: ImageID and LabelName, for boxes XMin, XMax, YMin, YMax,
for labels Confidence (0 is verified absent, above 0 is present). All other columns are copied with their row.

Rows of one image are taken together. Files whose rows stand image by image, as the published ones do, are read as a
stream; others are held in memory.
"""

from __future__ import annotations

import codecs
import csv
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TextIO

from schemas.errors import FormatError, InputError
from schemas.numbers import parse_number
from wordtree.csv_lines import blocks, csv_records, csv_rows, is_record
from wordtree.expansion import Ancestry, Conflict, expand_boxes, expand_labels

BOX_COLUMNS = ("ImageID", "LabelName", "XMin", "XMax", "YMin", "YMax")
LABEL_COLUMNS = ("ImageID", "LabelName", "Confidence")
BLOCK_BYTES, LONGEST_HEAD = 4 << 20, 1 << 16
CONFLICT_COLUMNS = ("ImageID", "Positive", "PositiveFrom", "Negative")

Row = list[str]


@dataclass
class Counts:
    """What happened to the rows of one file: read = written - copies + merged + dropped.

    Attributes:
        images: images with rows.
        read: rows read.
        written: rows written.
        copies: rows written for other classes than their own.
        merged: rows read that are the same class and box, or label, as another row of their image.
        dropped: rows not written because of a conflict.
        unknown: class -> rows whose class is not in the hierarchy; they are copied as they are.
    """

    images: int = 0
    read: int = 0
    written: int = 0
    copies: int = 0
    merged: int = 0
    dropped: int = 0
    unknown: dict[str, int] = field(default_factory=dict[str, int])


class RowFile:
    """One CSV file: its header, and its rows by image.

    Raises:
        InputError: there is no such file, or it has no header.
        FormatError: a column is missing.
    """

    def __init__(self, path: Path, needed: Sequence[str]) -> None:
        self.path = path
        if not path.is_file():
            raise InputError(f"{path}: no such file")
        with path.open("rb") as stream:
            head = stream.readline(LONGEST_HEAD).removeprefix(codecs.BOM_UTF8).decode("utf-8", "replace")
        self.columns = next(csv_rows(head, str(path)), (1, []))[1]
        missing = [name for name in needed if name not in self.columns]
        if missing:
            raise FormatError(
                f"{path} line 1: column {missing[0]} is missing; found {', '.join(self.columns) or 'nothing'}"
            )
        self.at = {name: self.columns.index(name) for name in needed}

    def rows(self) -> Iterator[tuple[int, Row]]:
        """(line, cells) without the header.

        Raises:
            FormatError: a row has another number of cells than the header, a quote at a wrong place, or bytes that are
                no UTF-8; with the line.
        """
        wide = len(self.columns)
        with self.path.open("rb") as stream:
            for line, data in blocks(stream, BLOCK_BYTES, partial(is_record, cells=wide)):
                try:
                    data.decode()
                except UnicodeDecodeError as error:
                    line += data.count(b"\n", 0, error.start)
                    raise FormatError(f"{self.path} line {line}: found bytes that are no UTF-8") from error
                for number, row, wrong in csv_records(data, wide):
                    if line + number == 1:
                        continue
                    if wrong or len(row) != wide:
                        told = f"{wrong}: {row[0][:60]!r}" if wrong else f"found {len(row)} cells; expected {wide}"
                        raise FormatError(f"{self.path} line {line + number}: {told}")
                    yield line + number, row

    def images(self) -> Iterator[tuple[str, list[tuple[int, Row]]]]:
        """(image, its rows), in the order in which images first appear."""
        at = self.at["ImageID"]
        if self._stand_together():
            image, rows = "", list[tuple[int, Row]]()
            for line, row in self.rows():
                if rows and row[at] != image:
                    yield image, rows
                    rows = []
                image = row[at]
                rows.append((line, row))
            if rows:
                yield image, rows
            return
        grouped: dict[str, list[tuple[int, Row]]] = {}
        for line, row in self.rows():
            grouped.setdefault(row[at], []).append((line, row))
        yield from grouped.items()

    def number(self, row: Row, name: str, line: int) -> float:
        """The number in [0, 1] of a column.

        Raises:
            FormatError: it is none; with the line.
        """
        text = row[self.at[name]]
        try:
            value = parse_number(text)
        except ValueError:
            value = -1.0
        if not 0 <= value <= 1:
            raise FormatError(f"{self.path} line {line}: found {name} {text!r}; expected a number from 0 to 1")
        return value

    def _stand_together(self) -> bool:
        at, seen, last = self.at["ImageID"], set[str](), None
        for _, row in self.rows():
            if row[at] != last:
                last = row[at]
                if last in seen:
                    return False
                seen.add(last)
        return True


def expand_box_rows(file: RowFile, ancestry: Ancestry, out: TextIO, counts: Counts) -> dict[str, tuple[str, ...]]:
    """Write the boxes with a copy for every class above; a class and box that stands there already is not repeated.

    Returns:
        The classes that have boxes, by image; only those of the hierarchy.
    """
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(file.columns)
    group_of = file.columns.index("IsGroupOf") if "IsGroupOf" in file.columns else None
    label_at = file.at["LabelName"]
    classes: dict[str, tuple[str, ...]] = {}
    for image, rows in file.images():
        boxes: list[tuple[str, tuple[object, ...]]] = []
        first: dict[tuple[object, ...], Row] = {}
        own: dict[tuple[str, tuple[object, ...]], Row] = {}
        unknown: list[Row] = []
        for line, row in rows:
            label = row[label_at]
            numbers = (file.number(row, name, line) for name in BOX_COLUMNS[2:])
            box = (*numbers, row[group_of] if group_of is not None else "")
            if label not in ancestry:
                counts.unknown[label] = counts.unknown.get(label, 0) + 1
                unknown.append(row)
                continue
            first.setdefault(box, row)
            own.setdefault((label, box), row)
            boxes.append((label, box))
        expanded = expand_boxes(boxes, ancestry)
        for label, box in expanded:
            row = list(own.get((label, box), first[box]))
            row[label_at] = label
            writer.writerow(row)
        writer.writerows(unknown)
        classes[image] = tuple(sorted({sys.intern(label) for label, _ in boxes}))
        counts.images += 1
        counts.read += len(rows)
        counts.written += len(expanded) + len(unknown)
        counts.copies += len(expanded) - len(own)
        counts.merged += len(boxes) - len(own)
    return classes


def expand_label_rows(
    file: RowFile,
    ancestry: Ancestry,
    out: TextIO,
    counts: Counts,
    *,
    boxed: Mapping[str, Iterable[str]] | None = None,
    drop_conflicts: bool = False,
) -> list[tuple[str, str, str, str]]:
    """Write the labels, positives also for the classes above, verified negatives for those below.

    A copy keeps the confidence of its row; of several the highest counts, so no class is less sure than one below it.

    Args:
        file: the labels.
        ancestry: the hierarchy.
        out: where to write.
        counts: what happened, added to.
        boxed: by image, classes that have boxes: they are positives too when conflicts are looked for.
        drop_conflicts: leave out the rows of classes that are both present and absent.

    Returns:
        The conflicts, with `CONFLICT_COLUMNS`.
    """
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(file.columns)
    label_at, sure_at = file.at["LabelName"], file.at["Confidence"]
    conflicts: list[tuple[str, str, str, str]] = []
    for image, rows in file.images():
        spread: dict[tuple[bool, str, tuple[str, ...]], tuple[float, Row]] = {}
        own: set[tuple[bool, str, tuple[str, ...]]] = set()
        given: dict[bool, dict[str, None]] = {True: {}, False: {}}
        unknown: list[Row] = []
        for line, row in rows:
            label, confidence = row[label_at], file.number(row, "Confidence", line)
            if label not in ancestry:
                counts.unknown[label] = counts.unknown.get(label, 0) + 1
                unknown.append(row)
                continue
            positive = confidence > 0
            given[positive][label] = None
            rest = tuple(cell for at, cell in enumerate(row) if at not in (label_at, sure_at))
            own.add((positive, label, rest))
            relatives = ancestry.ancestors(label) if positive else ancestry.descendants(label)
            for name in (label, *sorted(relatives)):
                before = spread.get((positive, name, rest))
                if before is None or confidence > before[0]:
                    copy = list(row)
                    copy[label_at] = name
                    spread[positive, name, rest] = confidence, copy
        labels = expand_labels(given[True], given[False], ancestry)
        boxes = expand_labels(tuple((boxed or {}).get(image, ())), given[False], ancestry)
        conflicts.extend(_conflict_rows(image, "label", labels.conflicts))
        conflicts.extend(_conflict_rows(image, "box", boxes.conflicts))
        both = (labels.positives | boxes.positives) & labels.negatives if drop_conflicts else frozenset[str]()
        kept = [(key, row) for key, (_, row) in spread.items() if key[1] not in both]
        writer.writerows(row for _, row in kept)
        writer.writerows(unknown)
        kept_own = sum(key in own for key, _ in kept)
        counts.images += 1
        counts.read += len(rows)
        counts.written += len(kept) + len(unknown)
        counts.copies += len(kept) - kept_own
        counts.dropped += len(own) - kept_own
        counts.merged += len(rows) - len(unknown) - len(own)
    return conflicts


def _conflict_rows(image: str, source: str, conflicts: Iterable[Conflict]) -> Iterator[tuple[str, str, str, str]]:
    for conflict in conflicts:
        yield image, conflict.positive, source, conflict.negative
