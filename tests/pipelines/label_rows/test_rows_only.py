"""Datasets of rows alone: what is made of them is such a set again, and what needs pixels says so in one line."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from pipelines.cli_duplicates import add_duplicates
from pipelines.cli_export import add_to_coco
from pipelines.cli_rows import add_assemble, add_relabel, add_split
from pipelines.cli_stats import add_stats
from pipelines.row_plane.view import open_rows
from schemas.arrow import ANNOTATIONS_SCHEMA, INDEX_SCHEMA
from schemas.errors import InputError

ROWS = [
    (f"{n:02d}.jpg", label, confidence, who)
    for n in range(30)
    for label, confidence, who in [("dog", n % 2, "human"), ("cat", 0.5, "web"), ("yeti", 1, "web")][: 1 + n % 3]
]


def run(*words: object) -> int:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    subparsers = parser.add_subparsers(dest="command")
    for add in (add_relabel, add_split, add_assemble, add_duplicates, add_stats, add_to_coco):
        add(subparsers)
    args = parser.parse_args([str(word) for word in words])
    args.beam_args = []
    return args.run(args)


@pytest.fixture
def given(tmp_path: Path) -> list[object]:
    lines = [",".join(map(str, row)) for row in ROWS]
    (tmp_path / "rows.csv").write_text("\n".join(["image,label,confidence,source", *lines]) + "\n")
    return ["--rows", tmp_path / "rows.csv", "--rows-only"]


@pytest.fixture
def data(given: list[object], tmp_path: Path, convert: Callable[..., Any]) -> Path:
    assert convert("labels", *given, "--people", "human", out="data").code == 0
    return tmp_path / "data"


def table(folder: Path, kind: str) -> list[dict[str, Any]]:
    (path,) = folder.glob(f"*.{kind}.parquet")
    return pq.read_table(path).to_pylist()


def check_rows_only(folder: Path) -> None:
    """A set of rows alone, as the conversion itself writes it."""
    rows = open_rows(str(folder))
    assert rows.rows_only
    assert not rows.manifest.base
    (index,), (annotations,) = folder.glob("*.index.parquet"), folder.glob("*.annotations.parquet")
    assert pq.read_schema(index).names == INDEX_SCHEMA.names
    assert pq.read_schema(annotations).names == ANNOTATIONS_SCHEMA.names
    assert {row["shard"] for row in table(folder, "index")} == {""}
    assert not (folder / ".work").exists()


def test_parts_have_each_image_and_row_once(
    data: Path, tmp_path: Path, digests: Callable[[Path], Any], capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["split", data, tmp_path / "parts", "--parts", "a=0.5,b=0.5"]
    assert run(*words) == 0
    parts = [tmp_path / "parts" / name for name in "ab"]
    for part in parts:
        check_rows_only(part)
        ids = {row["image_id"] for row in table(part, "index")}
        for kind in ("index", "annotations"):
            assert table(part, kind) == [row for row in table(data, kind) if row["image_id"] in ids]
    counts = [len(table(part, "index")) for part in parts]
    assert sum(counts) == 30
    assert min(counts) > 0
    before = digests(tmp_path / "parts")
    capsys.readouterr()
    assert run(*words) == 0
    assert "is complete already" in capsys.readouterr().out
    assert digests(tmp_path / "parts") == before
    assert run("split", parts[0], tmp_path / "again", "--parts", "c=0.5,d=0.5") == 0
    check_rows_only(tmp_path / "again" / "c")


def test_new_labels_are_what_a_new_conversion_gives(
    data: Path, given: list[object], tmp_path: Path, convert: Callable[..., Any]
) -> None:
    (tmp_path / "map.csv").write_text("label,wnid\ndog,n02084071\ncat,n02121620\n")
    new = ["--labels", tmp_path / "map.csv", "--on-unknown-class", "reject"]
    assert convert("labels", *given, "--people", "human", *new, out="wanted").code == 0
    assert run("relabel", data, tmp_path / "view", *new) == 0
    check_rows_only(tmp_path / "view")
    for kind in ("index", "annotations"):
        keep = [row | {"number": 0} for row in table(tmp_path / "view", kind)]
        assert keep == [row | {"number": 0} for row in table(tmp_path / "wanted", kind)]


@pytest.mark.parametrize(
    "words",
    [
        ["duplicates", "DATA"],
        ["duplicates", "DATA", "--policy", "drop", "--out", "OUT"],
        ["assemble", "DATA", "OUT"],
        ["split", "DATA", "OUT", "--parts", "a=0.5,b=0.5", "--by", "duplicates"],
    ],
)
def test_what_needs_pixels_says_so_and_leaves_nothing(data: Path, tmp_path: Path, words: list[str]) -> None:
    run("relabel", data, tmp_path / "view")
    for folder in (data, tmp_path / "view"):
        with pytest.raises(InputError, match="holds rows and no pixels") as told:
            run(*({"DATA": folder, "OUT": tmp_path / "out"}.get(word, word) for word in words))
        assert "\n" not in str(told.value)
        assert not (tmp_path / "out").exists()


def test_the_detector_says_so_too(data: Path, tmp_path: Path) -> None:
    from detector.dataset import open_dataset

    run("relabel", data, tmp_path / "view")
    for folder in (data, tmp_path / "view"):
        with pytest.raises(InputError, match="holds rows and no pixels"):
            open_dataset(str(folder))


def test_what_is_unknown_is_left_out_of_statistics(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("stats", data, "--out", tmp_path / "card.html") == 0
    told = capsys.readouterr().out
    assert "30 with " in told
    assert "formats" not in told
    assert "?" not in told
    page = (tmp_path / "card.html").read_text()
    assert "Different sizes" not in page
    assert "not stated" not in page
    assert "by chance" not in page, "there are no pictures"


def test_labels_go_to_image_labels_of_coco(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("to-coco", data, "--out", tmp_path / "coco.json") == 0
    told = capsys.readouterr().out
    labels = len(table(data, "annotations"))
    assert f"{labels} image labels" in told
    assert "`image_labels`" in told
    assert "30 images have width and height 0" in told
    images = json.loads((tmp_path / "coco.json").read_text())["images"]
    assert sum(len(image["image_labels"]) for image in images) == labels


def test_the_summary_speaks_of_rows(given: list[object], convert: Callable[..., Any]) -> None:
    told = convert("labels", *given).stdout
    assert f"\n{len(ROWS)} rows in " in told
    assert "rows/s; no shards" in told
    assert "MB in" not in told


def test_a_confidence_of_0_that_no_people_gave_is_a_note(
    given: list[object], tmp_path: Path, convert: Callable[..., Any]
) -> None:
    told = convert("labels", *given, "--dry-run").stdout
    assert "15 rows of 'human' with confidence 0 will say present" in told
    assert "give --people human" in told
    assert "no image is read;" in told, "of the cost"
    assert "rows, one an image and file, of " in told
    for more in (["--people", "human"], ["--min-confidence", "0.1"]):
        assert "confidence 0" not in convert("labels", *given, *more, "--dry-run").stdout
    (tmp_path / "rows.csv").write_text("image,label,confidence\na,x,0\nb,x,1\nc,x,0.5\n")
    told = convert("labels", *given, "--dry-run").stdout
    assert "1 row without a source with confidence 0" in told
    assert "give --source NAME --people NAME" in told
