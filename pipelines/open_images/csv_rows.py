"""Rows of a CSV file, as a stream: cells, and the line on which they begin."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator

from pipelines.files.csv_ranges import Range, read_range
from pipelines.open_images.columns import Header

Row = tuple[int, list[str], str]  # line, cells, and what is wrong with them or ""


def read_rows(path: str, header: Header, found: Range) -> Iterator[Row]:
    """The records of a stretch of a file, the header left out; empty lines are passed over.

    A record with another number of cells than the header, or that is no CSV, comes with a word about it.
    """
    stream = io.TextIOWrapper(io.BytesIO(read_range(path, found)), "utf-8", errors="replace", newline="")
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
            yield line, cells, f"{len(cells)} cells; expected {expected}"
        else:
            yield line, cells, ""
