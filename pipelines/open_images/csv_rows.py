"""Rows of a CSV file, as a stream: cells, and the line on which they begin."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator

from pipelines.files.csv_ranges import Range, read_range
from pipelines.open_images.columns import Header

NAMES = ("ImageID", "LabelName", "Source", "MaskPath")  # cells that tell things apart
Row = tuple[int, list[str], str]  # line, cells, and what is wrong with them or ""


def read_rows(path: str, header: Header, found: Range) -> Iterator[Row]:
    """The records of a stretch of a file, the header left out; empty lines are passed over.

    A record with another number of cells than the header, or that is no CSV, comes with a word about it; so does one
    whose image, class or file is not named in UTF-8, since what differs would look the same. Other cells, such as
    titles, may hold such bytes: they are replaced by U+FFFD.
    """
    data = read_range(path, found)
    named = () if _is_text(data) else [header.at[name] for name in NAMES if name in header.at]
    stream = io.TextIOWrapper(io.BytesIO(data), "utf-8", errors="surrogateescape", newline="")
    reader = csv.reader(stream)
    expected = header.cells
    before = found.line - 1
    if not found.start:
        next(reader, None)
    while True:
        line = before + reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield line, [], f"no CSV: {error}"
            continue
        if not cells:
            continue
        if len(cells) != expected:
            yield line, [_shown(cell) for cell in cells] if named else cells, f"{len(cells)} cells; expected {expected}"
        elif named:
            odd = next((cells[i] for i in named if not _is_text(_bytes(cells[i]))), None)
            cells = [_shown(cell) if _is_text(_bytes(cell)) or i not in named else "" for i, cell in enumerate(cells)]
            yield line, cells, "" if odd is None else f"{_bytes(odd)[:40]!r} is no UTF-8; write the file again in it"
        else:
            yield line, cells, ""


def _is_text(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _bytes(cell: str) -> bytes:
    return cell.encode("utf-8", "surrogateescape")


def _shown(cell: str) -> str:
    return _bytes(cell).decode("utf-8", "replace")
