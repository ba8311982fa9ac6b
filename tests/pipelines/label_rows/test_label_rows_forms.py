"""The forms in which label rows come, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.label_rows.layout import Layout
from pipelines.rows import ImageRow, LabelRow, Member, Rejected
from schemas.errors import ConfigError, FormatError, InputError
from tests.pipelines.label_row_tables import read, source


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
        "0\tn00002452\t-1\tthing\n1\tn00020827\t-1\tmatter\n2\tn00002684\t-1\tobject\n3\tn02084071\t2\tdog\n"
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


def test_lists_of_different_lengths_are_rejected_with_their_row(tmp_path: Path) -> None:
    lists = {"label": [["x", "y"], ["u", "v"], ["x"], []], "score": [[0.5], [0.25, 1.0], None, [0.5, 0.5]]}
    pq.write_table(pa.table({"path": ["a", "b", "c", "d"], **lists}), tmp_path / "lists.parquet")
    found = source("--rows", tmp_path / "lists.parquet")
    images, rejects = read(found)
    assert images == [("b", [("u", 0.25, "", "lists.parquet row 2"), ("v", 1.0, "", "lists.parquet row 2")])]
    assert [reject for reject in rejects if reject[0] != "image:no_label"] == [
        ("label:bad_row", "a", "lists.parquet row 1"),
        ("label:bad_row", "c", "lists.parquet row 3"),
        ("label:bad_row", "d", "lists.parquet row 4"),
    ]
    told = {row.where: row.found for row in found.read() if isinstance(row, Rejected)}
    assert told["lists.parquet row 4"] == "0 of 'label' and 2 of 'score'"


def test_lists_of_a_fixed_size_are_lists(tmp_path: Path) -> None:
    labels = pa.array([["x", "y"], ["", "z"], ["u", "v"]], pa.list_(pa.string(), 2))
    scores = pa.array([[0.5, 1.0], [1.0, 2.0], [0.25, -0.0]], pa.list_(pa.float32(), 2))
    pq.write_table(pa.table({"path": ["a", "b", "c"], "label": labels, "score": scores}), tmp_path / "lists.parquet")
    images, rejects = read(source("--rows", tmp_path / "lists.parquet"))
    assert {image: [label[:2] for label in said] for image, said in images} == {
        "a": [("x", 0.5), ("y", 1.0)],
        "c": [("u", 0.25), ("v", 0.0)],
    }
    assert ("label:no_label", "b", "lists.parquet row 2") in rejects


def test_confidences_far_outside_and_below_zero_by_a_sign(tmp_path: Path) -> None:
    table = pa.table({"path": ["a", "b"], "label": ["x", "x"], "score": pa.array([2**64 - 1, 1], pa.uint64())})
    pq.write_table(table, tmp_path / "rows.parquet")
    images, rejects = read(source("--rows", tmp_path / "rows.parquet"))
    assert images == [("b", [("x", 1.0, "", "rows.parquet row 2")])]
    assert ("label:bad_confidence", "a", "rows.parquet row 1") in rejects
    (tmp_path / "rows.csv").write_text("image,label,confidence\na,x,-0.0\n")
    [row] = source("--rows", tmp_path / "rows.csv").read()
    assert isinstance(row, ImageRow)
    assert str(row.labels[0].confidence) == "0.0"


def test_what_is_said_of_another_image_is_rejected(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("key,file,label\n1,,w\n1,a.jpg,x\n1,b.jpg,y\n1,a.jpg,z\n2,b.jpg,x\n1,b.jpg,\n")
    rows = list(source("--rows", path, "--id-column", "key", "--image-column", "file").read())
    images = {row.image_id: row for row in rows if isinstance(row, ImageRow)}
    assert {name: (row.uri, [said.class_key for said in row.labels]) for name, row in images.items()} == {
        "1": ("a.jpg", ["x", "z"]),
        "2": ("b.jpg", ["x"]),
    }
    assert sorted((row.reason, row.where, row.found) for row in rows if isinstance(row, Rejected)) == [
        ("label:no_image", "rows.csv line 2", "the image is empty"),
        ("label:no_label", "rows.csv line 7", "the label is empty"),
        ("label:other_image", "rows.csv line 4", "image 'b.jpg'; the first row of its id says another"),
    ]


def test_the_order_in_which_tables_are_named_does_not_count(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("key,file,label\n1,a.jpg,x\n1,a.jpg,y\n")
    (tmp_path / "b.csv").write_text("key,file,label\n1,b.jpg,x\n1,a.jpg,y\n")
    names = [tmp_path / "a.csv", tmp_path / "b.csv"]
    found = [source("--rows", *files, "--id-column", "key", "--image-column", "file") for files in (names, names[::-1])]
    assert list(found[0].read()) == list(found[1].read())
    assert found[0].options() == found[1].options()


def test_text_that_is_no_utf8_is_told_apart(tmp_path: Path) -> None:
    names = [b"caf\xe9", b"caf\xe8", b"caf\xc3\xa9"]
    (tmp_path / "rows.csv").write_bytes(b"image,label\n" + b"".join(b"a,%b\n" % name for name in names) + b"b\xe9,x\n")
    (tmp_path / "rows.txt").write_bytes(b"".join(b"a\t%b:1\n" % name for name in names) + b"b\xe9\tx:1\n")
    binary = pa.array([*names, b"x"], pa.binary())
    table = pa.table({"image": pa.array([b"a", b"a", b"a", b"b\xe9"], pa.binary()).view(pa.string()), "label": binary})
    pq.write_table(table, tmp_path / "rows.parquet")
    for name, unit, first in (("rows.csv", "line", 2), ("rows.txt", "line", 1), ("rows.parquet", "row", 1)):
        found = source("--rows", tmp_path / name)
        images, rejects = read(found)
        assert images == [("a", [("café", 1.0, "", f"{name} {unit} {first + 2}")])], name
        assert sorted((reason, where) for reason, _, where in rejects) == [
            ("label:not_utf8", f"{name} {unit} {first + number}") for number in (0, 1, 3)
        ]
        assert {entry.key for entry in found.survey().classes} == ({"café"} if name == "rows.txt" else {"café", "x"})
        assert any("caf\\xe9" in row.found for row in found.read() if isinstance(row, Rejected))
    (tmp_path / "classes.txt").write_bytes(b"dog\ncaf\xe9\n")
    with pytest.raises(FormatError, match=r"classes.txt line 2: .*no UTF-8"):
        source("--rows", tmp_path / "rows.csv", "--classes", tmp_path / "classes.txt").survey()


def test_a_row_of_too_many_cells_may_be_no_utf8_too(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_bytes(b"image,label\na,x\nb,caf\xe9,y\nc,z\n")
    images, rejects = read(source("--rows", tmp_path / "rows.csv"))
    assert sorted(image for image, _ in images) == ["a", "c"]
    assert rejects == [("label:bad_row", "", "rows.csv line 3")]


def test_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("image,label,label\na,x,y\n")
    table = pa.Table.from_arrays([pa.array(["a"]), pa.array(["x"]), pa.array(["y"])], names=["image", "label", "label"])
    pq.write_table(table, tmp_path / "rows.parquet")
    (tmp_path / "old.csv").write_bytes(b"image,label\ra,x\r")
    for name in ("rows.csv", "rows.parquet"):
        with pytest.raises(FormatError, match="column 'label' stands there twice"):
            source("--rows", tmp_path / name).survey()
    with pytest.raises(FormatError, match=r"old.csv line 1: lines that end in CR alone"):
        source("--rows", tmp_path / "old.csv").survey()


def test_a_column_of_images_must_be_there(tmp_path: Path) -> None:
    pq.write_table(pa.table({"image": [{"bytes": b"x", "path": "p"}], "label": ["dog"]}), tmp_path / "rows.parquet")
    for name, told in (
        ("nope", r"no column 'nope' \(--bytes-column\); found image, label, image.bytes"),
        ("image.nope", "no column 'image.nope'"),
        ("label", "'label' holds string; expected bytes"),
    ):
        with pytest.raises(FormatError, match=told):
            source("--rows", tmp_path / "rows.parquet", "--bytes-column", name).survey()
    assert source("--rows", tmp_path / "rows.parquet", "--bytes-column", "image.bytes").survey().images == 1


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
    table = pa.table(
        {"image": [{"bytes": b"x", "path": "p"}] * 3, "label": ["dog", "cat", "dog"], "key": ["a", "b", "a"]}
    )
    pq.write_table(table, tmp_path / "rows.parquet")
    rows = list(
        source("--rows", tmp_path / "rows.parquet", "--bytes-column", "image.bytes", "--id-column", "key").read()
    )
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
    with pytest.raises(
        FormatError, match=r"which column is the label\? Say it with --label-column; found picture, name"
    ):
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


def test_bytes_are_text_and_structures_are_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({"image": [b"a", b"b"], "label": [b"d\xffg", None]}), tmp_path / "rows.parquet")
    images, _ = read(source("--rows", tmp_path / "rows.parquet"))
    assert images == []
    pq.write_table(pa.table({"image": [{"x": "a"}], "label": ["dog"]}), tmp_path / "odd.parquet")
    with pytest.raises(FormatError, match=r"column 'image' holds struct<x: string>; expected text or numbers"):
        read(source("--rows", tmp_path / "odd.parquet"))


def test_a_damaged_table_is_told_with_its_row_groups(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"image": [f"{i}" for i in range(999)], "label": ["dog"] * 999}), path, compression="zstd")
    data = bytearray(path.read_bytes())
    data[4:600] = bytes(596)
    path.write_bytes(data)
    with pytest.raises(FormatError, match=r"row groups 0-0: .*damaged"):
        read(source("--rows", path))
    path.write_bytes(data[:-9])
    with pytest.raises(FormatError, match="expected a Parquet file"):
        source("--rows", path).survey()
