"""One quote too many costs its own line of a table: every other line is read as if it were not there."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pipelines.files import csv_ranges
from pipelines.label_rows import tables
from pipelines.label_rows.layout import GOOD, Layout
from pipelines.rows import ImageRow, Rejected, Statements
from pipelines.sources.openimages import Source
from tests.pipelines.open_images_files import HEADS, LABELS, MASKS

PLACES = 200
ROWS = 40
Said = dict[int, list[Any]]  # by line: what is read of it, or why it is not


def label_rows(mark: str) -> list[str]:
    """A table with cells that need quotes, doubled quotes and a line break now and then."""
    cells = [("a.jpg", "dog", "0.5"), (f'"b{mark} c.jpg"', '"dog ""Rex"""', "0"), ("é.jpg", '"two\nlines"', "1")]
    return [mark.join(("image", "label", "confidence")), *(mark.join(cells[i % 3]) for i in range(ROWS))]


def ids(i: int) -> str:
    return f"{i // 3:016x}"


LISTED = "ImageID,Subset,Title,Author,Rotation"
OPEN_IMAGES = {
    "boxes": ("--boxes", HEADS[8], lambda i: f"{ids(i)},xclick,/m/0bt9lr,1,0.1,0.9,0.{i + 100},0.9"),
    "labels": ("--image-labels", LABELS, lambda i: f"{ids(i)},verification,/m/0{i},1"),
    "masks": (
        "--mask-list",
        MASKS,
        lambda i: f"{i}.png,{ids(i)},/m/0bt9lr,{i},0.1,0.9,0.{i + 100},0.9,0.8,0.5 0.5 1;",
    ),
    "images": ("--image-list", LISTED, lambda i: f'{i:016x},train,"A ""title"", or two",me,{"" if i % 2 else "90.0"}'),
    "titles of two lines": ("--image-list", LISTED, lambda i: f'{i:016x},train,"A title,\nof two lines",me,'),
}


def read_label_rows(path: Path) -> Said:
    layout, said = Layout(), dict[int, list[Any]]()
    for piece in tables.table_pieces(str(path), layout):
        for batch in tables.table_batches(str(path), piece, layout):
            for row in batch.to_pylist():
                what = (row["image_id"], row["label"], row["confidence"]) if row["fault"] == GOOD else row["fault"]
                said.setdefault(row["line"], []).append(what)
    return said


def read_open_images(option: str) -> Callable[[Path], Said]:
    def read(path: Path) -> Said:
        (path.parent / "images").mkdir(exist_ok=True)
        field = option.strip("-").replace("-", "_")
        folder = str(path.parent / "images")
        found = Source(images=folder, mask_dir=folder, **{field: (str(path),)})
        found.survey()
        said: Said = {}
        for where, what in placed(found.read()):
            said.setdefault(int(where.rpartition(" ")[2]), []).append(what)
        return said

    return read


def placed(rows: Iterator[Any]) -> Iterator[tuple[str, Any]]:
    for row in rows:
        if isinstance(row, Rejected):
            yield row.where, row.reason
        elif isinstance(row, ImageRow) and row.filename:
            yield row.filename, (row.image_id, row.rotation, row.extra)
        elif isinstance(row, Statements):
            for part in (*row.boxes, *row.labels):
                yield part.where, (row.image_id, part)


def forms() -> Iterator[Any]:
    """(file name, lines of records, what reads them)."""
    for name, mark in (("rows.csv", ","), ("rows.tsv", "\t")):
        yield pytest.param(name, label_rows(mark), read_label_rows, id=name)
    plain = [f"photos/{i}.jpg\t{i % 7}:0.5\t9:1" for i in range(ROWS)]
    yield pytest.param("rows.txt", ["", *plain], read_label_rows, id="tencent")
    for name, (option, head, line) in OPEN_IMAGES.items():
        yield pytest.param("file.csv", [head, *map(line, range(ROWS))], read_open_images(option), id=name)


@pytest.mark.parametrize("length", [1 << 24, 300], ids=["in one piece", "in pieces"])
@pytest.mark.parametrize(("name", "records", "read"), list(forms()))
def test_a_quote_anywhere_costs_its_own_record_and_no_other(
    name: str,
    records: list[str],
    read: Callable[[Path], Said],
    length: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(csv_ranges.ranges, "__defaults__", (length,))
    path, draw = tmp_path / name, random.Random(name)
    text = "\n".join(records) + "\n"
    path.write_text(text)
    before = read(path)
    start = len(records[0]) + 1
    assert len(before) == len(records) - 1
    for _ in range(PLACES if length > 300 else PLACES // 4):
        at = draw.randrange(start, len(text))
        path.write_text(text[:at] + '"' + text[at:])
        found = read(path)
        record = max(line for line in before if sum(map(len, text.split("\n")[: line - 1])) + line - 1 <= at)
        others = before.keys() - {record}
        assert {line: found.get(line) for line in others} == {line: before[line] for line in others}, text[at - 20 : at]
        assert record in found, text[at - 20 : at]
