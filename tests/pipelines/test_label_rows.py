"""Label rows against a slow loop over the same rows; odd rows, odd files, every format."""

from __future__ import annotations

import csv
import json
import math
import random
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.label_rows import tables
from pipelines.label_rows.layout import Layout
from pipelines.rows import ImageRow, LabelRow, Member, Rejected, sort_key
from pipelines.sources.base import Packing
from pipelines.sources.labels import Source
from schemas.errors import ConfigError, FormatError, InputError

Table = list[dict[str, Any]]
COLUMNS = ("image", "label", "confidence", "source")


def source(*words: object) -> Source:
    parser = ArgumentParser()
    Source.add_arguments(parser)
    return Source.from_args(parser.parse_args([str(word) for word in words]))


def random_rows(count: int, seed: int) -> Table:
    """Few images and labels, so that duplicates come; and some rows of every fault."""
    draw = random.Random(seed)
    rows: Table = []
    for _ in range(count):
        rows.append(
            {
                "image": draw.choice(["", *(f"dir/é{i}.jpg" for i in range(25))]),
                "label": draw.choice(["", "dog", "cat", "n02084071", "a, b"]),
                "confidence": draw.choice([0.0, 0.25, 0.5, 0.5, 1.0, 1.5, -0.1, math.nan, None]),
                "source": draw.choice(["web", "clicks", ""]),
            }
        )
    return rows


def expected(rows: Table, name: str, unit: str, first: int = 1, seed: int = 0) -> tuple[list[Any], list[Any]]:
    """(image, [labels]) in order, and (reason, image, where): one row after the other."""
    rejects: list[Any] = []
    good: dict[str, dict[tuple[str, str], tuple[float, int]]] = {}
    for line, row in enumerate(rows, start=first):
        confidence = math.nan if row["confidence"] is None else row["confidence"]
        reason = ""
        if not row["image"]:
            reason = "label:no_image"
        elif not row["label"]:
            reason = "label:no_label"
        elif not 0 <= confidence <= 1:
            reason = "label:bad_confidence"
        if row["image"]:
            good.setdefault(row["image"], {})
        if reason:
            rejects.append((reason, row["image"], f"{name} {unit} {line}"))
            continue
        said, key = good[row["image"]], (row["label"], row["source"])
        other = said.get(key)
        if other is None:
            said[key] = confidence, line
        else:
            better, worse = ((confidence, line), other) if confidence > other[0] else (other, (confidence, line))
            said[key] = better
            rejects.append(("label:duplicate", row["image"], f"{name} {unit} {worse[1]}"))
    images: list[Any] = []
    for image in sorted(good, key=lambda image: sort_key(image, seed)):
        labels = sorted((line, label, who, c) for (label, who), (c, line) in good[image].items())
        if labels:
            images.append((image, [(label, c, who, f"{name} {unit} {line}") for line, label, who, c in labels]))
        else:
            rejects.append(("image:no_label", image, image))
    return images, sorted(rejects)


def read(found: Source) -> tuple[list[Any], list[Any]]:
    """What a source reads, in the form of `expected`."""
    images: list[Any] = []
    rejects: list[Any] = []
    for row in found.read():
        if isinstance(row, Rejected):
            rejects.append((row.reason, row.image_id, row.where))
        else:
            assert isinstance(row, ImageRow)
            labels = [(label.class_key, label.confidence, label.source, label.where) for label in row.labels]
            images.append((row.image_id, labels))
            assert row.uri == row.image_id
    return images, sorted(rejects)


def write_parquet(rows: Table, path: Path, **options: Any) -> Path:
    pq.write_table(pa.Table.from_pylist(rows), path, **options)
    return path


def write_text(rows: Table, path: Path) -> Path:
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, COLUMNS, delimiter="\t" if path.suffix == ".tsv" else ",")
        writer.writeheader()
        writer.writerows(rows)
    return path


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
    monkeypatch.setattr(tables, "ranges", lambda path, what: whole(path, what, 1000))
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
        "e.jpg": [("d\ufffdg", 1.0, "", "rows.csv line 7")],
    }
    assert rejects == [
        ("image:no_label", "d.jpg", "d.jpg"),
        ("image:no_label", "f.jpg", "f.jpg"),
        ("label:bad_confidence", "d.jpg", "rows.csv line 6"),
        ("label:bad_confidence", "f.jpg", "rows.csv line 8"),
        ("label:bad_row", "", "rows.csv line 4"),
    ]


def test_low_confidences_are_rejected_on_request(tmp_path: Path) -> None:
    rows = [{"image": "a", "label": "x", "confidence": c, "source": "s"} for c in (0.2, 0.6, 0.59)]
    path = write_parquet(rows, tmp_path / "rows.parquet")
    images, rejects = read(source("--rows", path, "--min-confidence", "0.59"))
    assert images == [("a", [("x", 0.6, "s", "rows.parquet row 2")])]
    assert [reason for reason, _, _ in rejects] == ["label:duplicate", "label:low_confidence"]


def test_people_say_yes_and_no(tmp_path: Path) -> None:
    path = tmp_path / "train-annotations-machine-imagelabels.csv"
    path.write_text(
        "ImageID,Source,LabelName,Confidence\n"
        "000002b66c9c498e,verification,/m/01g317,1\n"
        "000002b66c9c498e,verification,/m/012yh1,0\n"
        "000002b66c9c498e,crowdsource-verification,/m/012yh1,0.4\n"
        "000002b66c9c498e,machine,/m/012yh1,0.8\n"
    )
    rows = list(source("--rows", path).read())
    [image] = [row for row in rows if isinstance(row, ImageRow)]
    assert (image.image_id, image.uri) == ("000002b66c9c498e", "000002b66c9c498e.jpg")
    where = f"{path.name} line"
    assert image.labels == (
        LabelRow(class_key="/m/01g317", verified=True, source="verification", where=f"{where} 2"),
        LabelRow(class_key="/m/012yh1", present=False, verified=True, source="verification", where=f"{where} 3"),
        LabelRow(class_key="/m/012yh1", verified=False, confidence=0.8, source="machine", where=f"{where} 5"),
    )
    [reject] = [row for row in rows if isinstance(row, Rejected)]
    assert (reject.reason, reject.where) == ("label:bad_confidence", f"{where} 4")
    assert "0 or 1" in reject.found


def test_tencent_lines_and_their_dictionary(tmp_path: Path) -> None:
    lines = tmp_path / "train_urls.txt"
    lines.write_text(
        "https://c4.staticflickr.com/8/7239/6997334729_e5.jpg\t3:1\t1:0.9\n"
        "https://c2.staticflickr.com/4/3035/3033882900_a9.jpg  2:0.8  3:0.7 1:1.7\r\n"
        "\n"
        "train/alone.jpg\n"
        "train/odd.jpg\t2\t:0.5\t99:0.5\n"
    )
    dictionary = tmp_path / "dictionary.txt"
    dictionary.write_text(
        "category_index\tcategory_id\tindex_of_parent_category\tcategory name\n"
        "0\tn00002452\t-1\tthing\n1\tn00020827\t-1\tmatter\n2\tn00002684\t-1\tobject, physical object\n3\tn02084071\t2\tdog\n"
    )
    found = source("--rows", lines, "--classes", dictionary)
    assert [(c.key, c.id, c.label) for c in found.survey().classes] == [
        ("0", 1, "n00002452"),
        ("1", 2, "n00020827"),
        ("2", 3, "n00002684"),
        ("3", 4, "n02084071"),
    ]
    images, rejects = read(found)
    name = lines.name
    assert dict(images) == {
        "https://c4.staticflickr.com/8/7239/6997334729_e5.jpg": [
            ("3", 1.0, "", f"{name} line 1"),
            ("1", 0.9, "", f"{name} line 1"),
        ],
        "https://c2.staticflickr.com/4/3035/3033882900_a9.jpg": [
            ("2", 0.8, "", f"{name} line 2"),
            ("3", 0.7, "", f"{name} line 2"),
        ],
        "train/odd.jpg": [("99", 0.5, "", f"{name} line 5")],
    }
    assert rejects == [
        ("image:no_label", "train/alone.jpg", "train/alone.jpg"),
        ("label:bad_confidence", "https://c2.staticflickr.com/4/3035/3033882900_a9.jpg", f"{name} line 2"),
        ("label:bad_confidence", "train/odd.jpg", f"{name} line 5"),
        ("label:no_label", "train/alone.jpg", f"{name} line 4"),
        ("label:no_label", "train/odd.jpg", f"{name} line 5"),
    ]


def test_lists_in_a_row_are_rows_of_their_own(tmp_path: Path) -> None:
    table = pa.table(
        {
            "path": ["a.jpg", "b.jpg", "c.jpg", "d.jpg"],
            "label": [["dog", "cat"], [], ["cow"], None],
            "score": [[0.5, 0.25], [], [1.0], []],
        }
    )
    pq.write_table(table, tmp_path / "lists.parquet")
    images, rejects = read(source("--rows", tmp_path / "lists.parquet", "--confidence-column", "score"))
    assert dict(images) == {
        "a.jpg": [("dog", 0.5, "", "lists.parquet row 1"), ("cat", 0.25, "", "lists.parquet row 1")],
        "c.jpg": [("cow", 1.0, "", "lists.parquet row 3")],
    }
    assert [(reason, image) for reason, image, _ in rejects if reason.startswith("label")] == [
        ("label:no_label", "b.jpg"),
        ("label:no_label", "d.jpg"),
    ]


def test_lists_of_different_lengths_are_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({"path": ["a"], "label": [["x", "y"]], "score": [[0.5]]}), tmp_path / "lists.parquet")
    with pytest.raises(FormatError, match="differ in length"):
        read(source("--rows", tmp_path / "lists.parquet"))


def test_numbers_and_dictionaries_are_labels_too(tmp_path: Path) -> None:
    table = pa.table({"image": pa.array(["a", "b"]).dictionary_encode(), "label": [7, 8]})
    pq.write_table(table, tmp_path / "rows.parquet")
    images, _ = read(source("--rows", tmp_path / "rows.parquet", "--source", "web"))
    assert {image: [label[:3] for label in labels] for image, labels in images} == {
        "a": [("7", 1.0, "web")],
        "b": [("8", 1.0, "web")],
    }


def test_ids_and_paths_may_differ(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("key,file,label\n7,x/7.jpg,dog\n")
    [row] = source("--rows", path, "--id-column", "key", "--image-column", "file").read()
    assert isinstance(row, ImageRow)
    assert (row.image_id, row.uri) == ("7", "x/7.jpg")
    [row] = source("--rows", path, "--id-column", "key", "--uri-pattern", "train/{id}.png").read()
    assert isinstance(row, ImageRow)
    assert (row.image_id, row.uri) == ("7", "train/7.png")


def test_images_in_a_column_are_named_by_file_and_row(tmp_path: Path) -> None:
    table = pa.table({"image": [{"bytes": b"x", "path": "p"}] * 3, "label": ["dog", "cat", "dog"], "key": ["a", "b", "a"]})
    pq.write_table(table, tmp_path / "rows.parquet")
    rows = list(source("--rows", tmp_path / "rows.parquet", "--bytes-column", "image.bytes", "--id-column", "key").read())
    images = {row.image_id: row for row in rows if isinstance(row, ImageRow)}
    assert {name: (row.uri, row.member) for name, row in images.items()} == {
        "a": ("rows.parquet", Member(0, 0, "parquet:image.bytes")),
        "b": ("rows.parquet", Member(1, 0, "parquet:image.bytes")),
    }
    alone = source("--rows", tmp_path / "rows.parquet", "--bytes-column", "image.bytes")
    assert {row.image_id for row in alone.read()} == {"rows.parquet#1", "rows.parquet#2", "rows.parquet#3"}


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--label-column", "klass"], "no column 'klass'"),
        (["--image-column", "img"], "no column 'img'"),
        (["--confidence-column", "p"], "no column 'p'"),
        (["--table-format", "parquet"], "expected a Parquet file"),
    ],
)
def test_a_missing_column_is_told_with_those_that_are_there(words: list[str], told: str, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("image,label\na,b\n")
    with pytest.raises(FormatError, match=told):
        source("--rows", tmp_path / "rows.csv", *words).survey()


def test_unusual_columns_must_be_named(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("picture,name\na,b\n")
    with pytest.raises(FormatError, match=r"which column is the label\? Say it with --label-column; found picture, name"):
        source("--rows", tmp_path / "rows.csv").survey()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--min-confidence", "2"], "expected 0 to 1"),
        (["--bytes-column", "b", "--images", "i"], "leave out"),
        (["--uri-pattern", "x.jpg"], "expected {id}"),
    ],
)
def test_contradicting_options_are_refused(words: list[str], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        source("--rows", "a.parquet", *words)


def test_files_of_one_name_missing_and_empty_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="two files of one name"):
        source("--rows", "x/a.csv", "y/a.csv")
    with pytest.raises(InputError, match="do not exist"):
        source("--rows", tmp_path / "none.parquet").survey()
    (tmp_path / "rows.csv").write_text("image,label\n")
    with pytest.raises(InputError, match="found no row"):
        source("--rows", tmp_path / "rows.csv").survey()
    (tmp_path / "rows").write_text("image,label\n")
    with pytest.raises(FormatError, match="--table-format"):
        source("--rows", tmp_path / "rows").survey()


def test_a_list_of_classes_is_checked(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("image,label\na,dog\n")
    for text, told in (("dog\ndog\n", "line 2: class 'dog' stands there twice"), ("\n", "there are no classes")):
        (tmp_path / "classes.txt").write_text(text)
        with pytest.raises(FormatError, match=told):
            source("--rows", tmp_path / "rows.csv", "--classes", tmp_path / "classes.txt").survey()


def test_a_layout_is_part_of_the_options(tmp_path: Path) -> None:
    options = source("--rows", "a.csv", "--min-confidence", "0.5").options()
    assert options["column min_confidence"] == "0.5"
    assert json.dumps(options)
    assert source("--rows", "a.csv").layout == Layout()
