"""Records of CSV text: equal to Python's reader on sound text, and cut at lines where a quote would swallow others."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from schemas.errors import FormatError, WordTreeError
from wordtree.csv_lines import JUNK, OPEN, Record, csv_rows, is_record, odd_records
from wordtree.label_files import parse_label_table
from wordtree.label_sources import read_labels
from wordtree.open_images_rows import BOX_COLUMNS, RowFile

CELL = st.text(alphabet='ab",\r\n é', max_size=6)


def read(data: bytes, cells: int) -> list[tuple[bytes, ...] | None]:
    """Every record by the law, None for what is none."""
    odd = {record.first: record for record in odd_records(data, cells)}
    lines = data.splitlines(keepends=True)
    found: list[tuple[bytes, ...] | None] = []
    number = 0
    while number < len(lines):
        record = odd.get(number)
        if record is None:
            plain = next(csv.reader([lines[number].decode()]))
            found.append(tuple(cell.encode() for cell in plain) if len(plain) == cells else None)
        else:
            found.append(None if record.wrong else record.cells)
        number += record.lines if record else 1
    return found


@given(st.lists(st.tuples(CELL, CELL, CELL), min_size=1, max_size=8), st.sampled_from(["\n", "\r\n"]))
def test_text_as_a_writer_quotes_it_is_read_as_it_was(rows: list[tuple[str, str, str]], end: str) -> None:
    texts = []
    for row in rows:
        buffer = io.StringIO(newline="")
        csv.writer(buffer, lineterminator=end, quoting=csv.QUOTE_ALL).writerow(row)
        texts.append(buffer.getvalue().encode())
        assume(not any(is_record(line, 3) for line in texts[-1].splitlines()[1:]))  # one by itself, by the law
    assert read(b"".join(texts), 3) == [tuple(cell.encode() for cell in row) for row in rows]


@given(st.lists(st.sampled_from(["a,b", '"a",b', '"a ""q""",b', "a", '"a', 'b"', 'a"b,c', '"",""', '"a"x,b', ""])))
def test_no_line_is_swallowed_that_is_a_record_by_itself(lines: list[str]) -> None:
    data = "\n".join(lines).encode()
    inside = {n for record in odd_records(data, 2) for n in range(record.first + 1, record.first + record.lines)}
    assert not any(is_record(lines[number].encode(), 2) for number in inside)


@pytest.mark.parametrize(
    ("text", "records"),
    [
        ('a,b\n"c,d\ne,f\n', [Record(1, 1, (), OPEN)]),
        ('"a,b\nc\nd"', [Record(0, 1, (), OPEN), Record(2, 1, (), "1 cells; expected 2")]),
        ('"a\nb,c\nd",e\n', [Record(0, 1, (), OPEN), Record(2, 1, (b'd"', b"e"), "")]),
        ('"a\nb",c\n', [Record(0, 2, (b"a\nb", b"c"), "")]),
        ('"a ""b""\r\nc",d', [Record(0, 2, (b'a "b"\r\nc', b"d"), "")]),
        ('"a"b,c', [Record(0, 1, (), JUNK)]),
        ('5" pipe,c', [Record(0, 1, (b'5" pipe', b"c"), "")]),
        ('a,"b', [Record(0, 1, (), OPEN)]),
        ('"a\n\n\nb",c', [Record(0, 4, (b"a\n\n\nb", b"c"), "")]),
        ('"a","b"\n"c ""d""",e', []),
    ],
)
def test_quotes_at_odd_places(text: str, records: list[Record]) -> None:
    assert odd_records(text.encode(), 2) == records


def test_a_small_table_is_read_or_refused_with_the_line_of_the_quote() -> None:
    assert list(csv_rows('name,note\na,"x, y"\n\nb,"two\nlines"\n', "t")) == [
        (1, ["name", "note"]),
        (2, ["a", "x, y"]),
        (4, ["b", "two\nlines"]),
    ]
    with pytest.raises(FormatError, match=r"table line 3: a quote without its end: 'b,\"late'"):
        list(csv_rows('name,note\na,b\nb,"late\nc,d\n', "table"))


HEADED = ["label,wnid,note", 'dog,n02084071,"a ""pet"", or two"', "cat,n02121620,", 'fish,n02512053,"two\nlines"', ""]
BOXES = ["ImageID,LabelName,XMin,XMax,YMin,YMax", *(f"a{i},/m/1,0.1,0.2,0.3,0.{i + 4}" for i in range(4)), ""]


def label_table(path: Path) -> int:
    return len(parse_label_table(path.read_text(), name="x", where=str(path)).rows)


def sources(path: Path) -> int:
    return len(read_labels(str(path)).labels)


def boxes(path: Path) -> int:
    return len(list(RowFile(path, BOX_COLUMNS).rows()))


@pytest.mark.parametrize(("lines", "read"), [(HEADED, label_table), (HEADED, sources), (BOXES, boxes)])
def test_a_quote_anywhere_in_a_small_table_costs_no_other_row_and_is_told_with_its_line(
    lines: list[str], read: Callable[[Path], int], tmp_path: Path
) -> None:
    text, path = "\n".join(lines), tmp_path / "table.csv"
    path.write_text(text)
    rows = read(path)
    for at in range(len(lines[0]) + 1, len(text)):
        path.write_text(text[:at] + '"' + text[at:])
        line = text[:at].count("\n") + 1
        begins = line - 1 if "lines" in text.split("\n")[line - 1] else line  # of a record of two lines
        refused, found = "", rows
        try:
            found = read(path)
        except WordTreeError as error:
            refused = str(error)
        assert found >= rows, text[at - 9 : at]  # where it closes `"two"`, the second line is a row of one cell
        assert not refused or re.search(f"line ({line}|{begins}|{begins + 1})\\b", refused), refused
