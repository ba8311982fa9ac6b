"""Damaged dataset directories: every command that works on rows says so in one line, before it writes anything."""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.cli_duplicates import add_duplicates
from pipelines.cli_export import add_to_coco
from pipelines.cli_rows import add_assemble, add_relabel, add_split
from pipelines.cli_stats import add_stats
from schemas.dataset_files import open_dataset_files
from schemas.errors import FormatError
from schemas.table_checks import open_checked
from tests.pipelines.row_plane_datasets import rich_records, write_dataset

COMMANDS: list[list[str]] = [
    ["relabel", "DATASET", "OUT", "--classes-only"],
    ["split", "DATASET", "OUT", "--parts", "a=0.5,b=0.5"],
    ["assemble", "DATASET", "OUT"],
    ["duplicates", "DATASET"],
    ["stats", "DATASET"],
    ["to-coco", "DATASET", "--out", "OUT"],
]


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    return write_dataset(tmp_path / "d", rich_records())


def run(*words: object) -> int:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    subparsers = parser.add_subparsers(dest="command")
    for add in (add_relabel, add_split, add_assemble, add_duplicates, add_stats, add_to_coco):
        add(subparsers)
    args = parser.parse_args([str(word) for word in words])
    args.beam_args = []
    return args.run(args)


def change(path: Path, name: str, values: Callable[[list[Any]], Any] | None) -> None:
    """A column with other values, or without it."""
    table = pq.read_table(path)
    if values is None:
        pq.write_table(table.drop_columns([name]), path)
        return
    at = table.schema.get_field_index(name)
    pq.write_table(table.set_column(at, name, values(table[name].to_pylist())), path)


def first(value: object) -> Callable[[list[Any]], Any]:
    return lambda old: pa.array([value, *old[1:]])


DAMAGE: dict[str, tuple[str, str, Callable[[list[Any]], Any] | None, str]] = {
    "far offset": ("index", "offset", first(10**15), r"byte 1000000000000000, .* in 'train-00000"),
    "negative offset": ("index", "offset", first(-1), "byte -1,"),
    "long record": ("index", "length", first(2**40), "1099511627776 bytes long"),
    "wrapped sum": ("index", "length", first(2**63 - 1), "9223372036854775807 bytes long"),
    "absolute shard": ("index", "shard", first("/etc/passwd"), "'/etc/passwd', which is no shard of the manifest"),
    "other shard": ("index", "shard", first("train-9"), "'train-9', which is no shard"),
    "text for numbers": ("index", "offset", lambda old: pa.array(map(str, old)), "'offset' holds string; expected int"),
    "bytes for text": ("annotations", "label", lambda old: pa.array([b"x"] * len(old)), "'label' holds binary"),
    "no class": ("annotations", "class_id", None, "no column 'class_id'"),
    "no place": ("index", "shard", None, "no column 'shard'"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damaged_columns_are_told(name: str, dataset: Path) -> None:
    kind, column, values, told = DAMAGE[name]
    open_checked(str(dataset), every_column=True)
    path = dataset / f"train.{kind}.parquet"
    change(path, column, values)
    with pytest.raises(FormatError, match=told) as caught:
        open_checked(str(dataset), every_column=False)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def shorten(dataset: Path) -> None:
    path = dataset / "train.annotations.parquet"
    pq.write_table(pq.read_table(path).slice(1), path)


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: words[0])
def test_rows_that_are_missing_end_every_command(words: list[str], dataset: Path, tmp_path: Path) -> None:
    table = pq.read_table(dataset / "train.annotations.parquet")
    shorten(dataset)
    given = [{"DATASET": str(dataset), "OUT": str(tmp_path / "out")}.get(word, word) for word in words]
    if words[0] == "relabel":
        (tmp_path / "labels.tsv").write_text("label\twnid\ndog\tn02084071\n")
        given[-1:] = ["--labels", str(tmp_path / "labels.tsv")]
    told = f"train.annotations.parquet: {table.num_rows - 1} rows, but the manifest counts {table.num_rows}; convert"
    with pytest.raises(FormatError, match=told):
        run(*given)
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != "labels.tsv") == ["d"]


def test_label_maps_that_are_no_text_and_shards_elsewhere(dataset: Path, tmp_path: Path) -> None:
    other = tmp_path / "e"
    shutil.copytree(dataset, other)
    (dataset / "labels.pbtxt").write_bytes(b'item {\n  name: "caf\xe9"\n}\n')
    with pytest.raises(FormatError, match=r"labels.pbtxt: byte 19 is no UTF-8"):
        open_checked(str(dataset), every_column=True)
    manifest = json.loads((other / "manifest.json").read_text())
    manifest["shards"][0]["name"] = "../d/train-00000-of-00003.tfrecord"
    (other / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(FormatError, match="expected the plain name of a file"):
        open_checked(str(other), every_column=True)


def test_origins_of_views_lie_in_their_shards(dataset: Path, tmp_path: Path) -> None:
    assert run("split", dataset, tmp_path / "s", "--parts", "all=1") == 0
    view = tmp_path / "s" / "all"
    shard = pq.read_table(view / "all.index.parquet")["shard"][0].as_py()
    path = view / "all.annotations.parquet"
    change(path, "origin", first(f"{shard}@0+20"))
    open_checked(str(view), every_column=True)
    for origin in ("/etc/passwd@0+20", f"{shard}@0+999999999", f"{shard}@-1+2", f"{shard}@{10**30}+2", "x"):
        change(path, "origin", first(origin))
        with pytest.raises(FormatError, match="is said to lie at"):
            open_checked(str(view), every_column=True)


def test_a_place_outside_of_its_shard_is_told_when_it_is_read(dataset: Path) -> None:
    change(dataset / "train.index.parquet", "offset", lambda old: pa.array([10**15] * len(old)))
    files = open_dataset_files(str(dataset))
    place = files.small_examples(1, small=100, max_bytes=10**6)[1][0]
    with pytest.raises(FormatError, match="the shard has"):
        files.read(place)


def test_a_split_that_leaves_all_out_is_written_and_told(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    parts = tmp_path / "parts.tsv"
    parts.write_text("".join(f"{record.image_id}\t-\n" for record in rich_records()))
    assert run("split", dataset, tmp_path / "out", "--by", parts) == 0
    assert json.loads((tmp_path / "out" / "split.json").read_text())["images_left_out"] == len(rich_records())
    assert "43 images are in no part" in capsys.readouterr().out
