"""Label rows against a slow loop over the same rows."""

from __future__ import annotations

import csv
import random
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from pipelines.files import csv_ranges
from pipelines.label_rows import tables
from pipelines.rows import ImageRow, sort_key
from pipelines.sources.base import Packing
from tests.pipelines.label_row_tables import expected, random_rows, read, source, write_parquet, write_text
from wordtree.csv_lines import is_record


@pytest.mark.parametrize("seed", range(4))
def test_parquet_rows_are_those_of_a_slow_loop(seed: int, tmp_path: Path) -> None:
    rows = random_rows(700, seed)
    path = write_parquet(rows, tmp_path / "rows.parquet", row_group_size=100)
    assert read(source("--rows", path)) == expected(rows, "rows.parquet", "row")


@pytest.mark.parametrize("name", ["rows.csv", "rows.tsv"])
def test_text_rows_are_those_of_a_slow_loop(name: str, tmp_path: Path) -> None:
    rows = random_rows(500, 9)
    path = write_text(rows, tmp_path / name)
    assert read(source("--rows", path)) == expected(rows, name, "line", first=2)


def test_pieces_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = random_rows(900, 3)
    parquet = write_parquet(rows, tmp_path / "rows.parquet", row_group_size=50)
    text = write_text(rows, tmp_path / "rows.csv")
    monkeypatch.setattr(tables, "GROUPS_A_PIECE", 120)
    monkeypatch.setattr(tables, "ROWS_AT_ONCE", 37)
    whole = tables.ranges
    monkeypatch.setattr(tables, "ranges", partial(whole, length=1000))
    for path, unit, first, least in ((parquet, "row", 1, 8), (text, "line", 2, 10)):
        found = source("--rows", path)
        assert len(found.pieces()) >= least
        assert read(found) == expected(rows, path.name, unit, first)


def test_shards_together_hold_what_one_holds(tmp_path: Path) -> None:
    rows = random_rows(400, 5)
    found = source("--rows", write_parquet(rows, tmp_path / "rows.parquet"))
    packing = Packing(shards=7, seed=3)
    shards: dict[int, list[bytes]] = {}
    for number, piece in enumerate(found.pieces()):
        for shard, payload in found.pack(number, piece, packing):
            shards.setdefault(shard, []).append(payload)
    images = {}
    for shard, payloads in shards.items():
        ids = [row.image_id for row in found.unpack(payloads) if isinstance(row, ImageRow)]
        assert ids == sorted(ids, key=lambda name: sort_key(name, 3))
        assert all(int.from_bytes(sort_key(name, 3)[:8], "big") % 7 == shard for name in ids)
        images.update(dict.fromkeys(ids))
    assert sorted(images) == sorted(image for image, _ in expected(rows, "rows.parquet", "row")[0])


def test_a_limit_takes_the_images_with_the_smallest_keys(tmp_path: Path) -> None:
    rows = random_rows(400, 5)
    found = source("--rows", write_parquet(rows, tmp_path / "rows.parquet"))
    keys = sorted(sort_key(image, 0) for image in {row["image"] for row in rows})
    packing = Packing(shards=1, seed=0, limit_key=keys[9])
    payloads = [payload for _, payload in found.pack(0, found.pieces()[0], packing)]
    ids = {row.image_id for row in found.unpack(payloads)}
    assert {sort_key(name, 0) for name in ids} == set(keys[:10])


def test_a_survey_tells_rows_labels_and_images(tmp_path: Path) -> None:
    rows = random_rows(400, 5)
    found = source("--rows", write_parquet(rows, tmp_path / "rows.parquet")).survey()
    assert [entry.label for entry in found.classes] == sorted({row["label"] for row in rows} - {""})
    assert found.images == len({row["image"] for row in rows})  # exact while they are few, the empty one among them
    assert found.image_ids is None
    assert found.notes[0] == "400 rows"
    assert set(source("--rows", tmp_path / "rows.parquet").image_ids()) == {row["image"] for row in rows} - {""}


def test_bad_text_is_rejected_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes(
        b"\xef\xbb\xbfimage,label,confidence\n"
        b"a.jpg,dog,0.5\n"
        b"\n"
        b"b.jpg,dog\n"
        b'"c,1.jpg",dog, 1e-1 \n'
        b"d.jpg,dog,high\n"
        b"e.jpg,d\xffg,1\n"
        b"f.jpg,dog,\n"
    )
    images, rejects = read(source("--rows", path))
    labels = {image: said for image, said in images}
    assert labels == {
        "a.jpg": [("dog", 0.5, "", "rows.csv line 2")],
        "c,1.jpg": [("dog", 0.1, "", "rows.csv line 5")],
    }
    assert rejects == [
        ("image:no_label", "d.jpg", "d.jpg"),
        ("image:no_label", "e.jpg", "e.jpg"),
        ("image:no_label", "f.jpg", "f.jpg"),
        ("label:bad_confidence", "d.jpg", "rows.csv line 6"),
        ("label:bad_confidence", "f.jpg", "rows.csv line 8"),
        ("label:bad_row", "", "rows.csv line 4"),
        ("label:not_utf8", "e.jpg", "rows.csv line 7"),
    ]


def test_low_confidences_are_rejected_on_request(tmp_path: Path) -> None:
    rows = [{"image": "a", "label": "x", "confidence": c, "source": "s"} for c in (0.2, 0.6, 0.59)]
    path = write_parquet(rows, tmp_path / "rows.parquet")
    images, rejects = read(source("--rows", path, "--min-confidence", "0.59"))
    assert images == [("a", [("x", 0.6, "s", "rows.parquet row 2")])]
    assert [reason for reason, _, _ in rejects] == ["label:duplicate", "label:low_confidence"]


def test_tables_may_lie_on_any_file_system(tmp_path: Path) -> None:
    import fsspec

    rows = random_rows(300, 2)
    files: Any = fsspec.filesystem("memory")
    for path in (write_parquet(rows, tmp_path / "rows.parquet"), write_text(rows, tmp_path / "rows.csv")):
        files.pipe(f"/label-rows/{path.name}", path.read_bytes())
        found = source("--rows", f"memory://label-rows/{path.name}")
        assert found.image_root == "memory://label-rows"
        unit, first = ("row", 1) if path.suffix == ".parquet" else ("line", 2)
        assert read(found) == expected(rows, path.name, unit, first)
        assert found.survey().images == len({row["image"] for row in rows})


@pytest.mark.parametrize("length", [1, 7, 64, 1000])
def test_stretches_of_a_text_cut_no_record(length: int, tmp_path: Path) -> None:
    draw = random.Random(length)
    cells = ['"a\nb"', "plain", '"quote "" and\r\nbreak"', "", "é"]
    lines = ["head,of,it", *(",".join(draw.choice(cells) for _ in range(3)) for _ in range(200))]
    path = tmp_path / "text.csv"
    path.write_bytes("\n".join(lines).encode())
    found = csv_ranges.ranges(str(path), "text", length, is_cut=lambda line: is_record(line, 3))
    assert b"".join(csv_ranges.read_range(str(path), part) for part in found) == path.read_bytes()
    records = []
    for part in found:
        text = csv_ranges.read_range(str(path), part).decode()
        assert part.line == 1 + path.read_bytes()[: part.start].count(b"\n")
        records += list(csv.reader(text.splitlines(keepends=True)))
    assert records == list(csv.reader(path.read_bytes().decode().splitlines(keepends=True)))
    assert len(found) > 1 or length > path.stat().st_size
