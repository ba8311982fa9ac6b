"""How a text table is written: what parts its cells, and whether its first line is a header.

The separator is the one with which the columns are found: that of the format first, then `,`, `;`, tab and `|`. A table
without header is read where `--columns` names its columns, with a blank between them too: `train/a.jpg 3`. What is no
table of UTF-8 is told by what it is.
"""

from __future__ import annotations

import csv
import re
from typing import NamedTuple

from pipelines.files.csv_ranges import first_line
from pipelines.label_rows.layout import Columns, Layout, find_columns
from schemas.errors import FormatError

SEPARATORS = (",", ";", "\t", "|")
_DATA = re.compile(r".*(/|\\|\.(jpe?g|png|gif|bmp|webp))|-?\d+([.,]\d+)?", re.IGNORECASE)
_KINDS = (
    (b"PK\x03\x04", "an Excel workbook or another zip file; save it as CSV in UTF-8"),
    (b"\xd0\xcf\x11\xe0", "an Excel workbook; save it as CSV in UTF-8"),
    (b"\x1f\x8b", "compressed by gzip; unpack it"),
    (b"PAR1", "a Parquet file; give --table-format parquet"),
)


class Dialect(NamedTuple):
    """How a table is written.

    Attributes:
        names: of all columns.
        separator: of cells.
        header: whether the first line holds the names.
        columns: which column means what.
    """

    names: list[str]
    separator: str
    header: bool
    columns: Columns

    @property
    def usual(self) -> bool:
        """Whether there is nothing to tell about it."""
        return self.separator in ",\t" and self.header


def read_dialect(path: str, kind: str, layout: Layout) -> Dialect:
    """Look at the first line of a table.

    Args:
        path: of the table.
        kind: "csv" or "tsv".
        layout: what the user said.

    Raises:
        InputError: if it cannot be read.
        FormatError: if it is no table, or a column is missing.
    """
    data = first_line(path, "label rows")
    told = next((what for start, what in _KINDS if data.startswith(start)), "")
    if not told and (data.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in data[:200]):
        told = "no UTF-8 but UTF-16 or no text at all; write it again in UTF-8"
    if told:
        raise FormatError(f"{path} is {told}")
    line = data.decode("utf-8", "replace")
    if line.startswith("sep=") and len(line) == 5:
        raise FormatError(f"{path} line 1 is {line!r}, which is for Excel alone; leave the line out")
    usual = "\t" if kind == "tsv" else ","
    faults: list[tuple[int, FormatError]] = []
    others = (*SEPARATORS, " ") if layout.columns else SEPARATORS
    for separator in dict.fromkeys((usual, *others)):
        names = _cells(path, line, separator)
        try:
            if layout.columns:
                return _without_header(path, names, separator, layout)
            return Dialect(names, separator, True, find_columns(path, names, layout))
        except FormatError as error:
            faults.append((len(names), error))
    fault = max(faults, key=lambda found: found[0])[1]  # the separator that is there; else the usual one
    if layout.columns or not any(map(_DATA.fullmatch, _cells(path, line, usual))):
        raise fault
    raise FormatError(
        f"{fault}. Is that a row, and the table without header? Name its columns with --columns"
    ) from fault


def check_tencent(path: str) -> None:
    """See that a file has lines as tencent-ml-images, by its first one.

    Raises:
        InputError: if it cannot be read.
        FormatError: if the line has no INDEX:CONFIDENCE.
    """
    line = first_line(path, "label rows").decode("utf-8", "replace").strip()
    words = line.split()[1:]
    if words and not any(":" in word for word in words):
        raise FormatError(
            f"{path} line 1: found {line[:80]!r}; expected PATH<TAB>INDEX:CONFIDENCE<TAB>..., as tencent-ml-images. "
            "Lines of path and label are read with --columns image,label, other tables with --table-format"
        )


def _without_header(path: str, cells: list[str], separator: str, layout: Layout) -> Dialect:
    if len(cells) != len(layout.columns):
        raise FormatError(
            f"{path} line 1 has {len(cells)} cells: {', '.join(cells)[:120]}; --columns names {len(layout.columns)}"
        )
    if repeated := [cell for cell in cells if cell in layout.columns]:
        raise FormatError(f"{path} line 1 has the cell {repeated[0]!r}: it is a header; leave out --columns")
    return Dialect(list(layout.columns), separator, False, find_columns(path, layout.columns, layout))


def _cells(path: str, line: str, separator: str) -> list[str]:
    try:
        return next(csv.reader([line], delimiter=separator), [])
    except csv.Error as error:
        told = "lines that end in CR alone" if "\r" in line else str(error)
        raise FormatError(f"{path} line 1: {told}; expected lines that end in LF or CRLF; write it again") from error
