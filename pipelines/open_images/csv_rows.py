"""Rows of a CSV file, as a stream: cells, and the line on which they begin."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pipelines.files.csv_ranges import Range, read_range
from pipelines.open_images.columns import Header
from wordtree.csv_lines import csv_records
from wordtree.text_files import is_utf8

NAMES = ("ImageID", "LabelName", "Source", "MaskPath")  # cells that tell things apart
Row = tuple[int, list[str], str]  # line, cells, and what is wrong with them or ""


def read_rows(path: str, header: Header, found: Range) -> Iterator[Row]:
    """The records of a stretch of a file, the header left out; empty lines are passed over.

    A record with another number of cells than the header, or with a quote at the wrong place (`wordtree.csv_lines`),
    comes with a word about it; so does one whose image, class or file is not named in UTF-8, since what differs would
    look the same. Other cells, such as titles, may hold such bytes: they are replaced by U+FFFD.
    """
    data = read_range(path, found)
    line = found.line
    if not found.start:
        data, line = data.partition(b"\n")[2], line + 1
    named = () if is_utf8(data) else [header.at[name] for name in NAMES if name in header.at]
    for number, cells, wrong in csv_records(data, header.cells):
        if wrong:
            yield line + number, [_shown(cells[0])], wrong
        elif len(cells) == header.cells and not named:
            yield line + number, cells, ""
        else:
            yield _checked(line + number, cells, header, named)


def _checked(line: int, cells: list[str], header: Header, named: Sequence[int]) -> Row:
    if len(cells) != header.cells:
        return line, [_shown(cell) for cell in cells], f"{len(cells)} cells; expected {header.cells}"
    if not named:
        return line, cells, ""
    odd = next((cells[i] for i in named if not is_utf8(_bytes(cells[i]))), None)
    cells = [_shown(cell) if is_utf8(_bytes(cell)) or i not in named else "" for i, cell in enumerate(cells)]
    return line, cells, "" if odd is None else f"{_bytes(odd)[:40]!r} is no UTF-8; write the file again in it"


def _bytes(cell: str) -> bytes:
    return cell.encode("utf-8", "surrogateescape")


def _shown(cell: str) -> str:
    return _bytes(cell).decode("utf-8", "replace")
