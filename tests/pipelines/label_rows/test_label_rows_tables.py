"""Tables as people and their programs write them: nothing is dropped unnamed, or taken for something else."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.rows import ImageRow, Rejected
from schemas.errors import ConfigError, FormatError, InputError
from tests.pipelines.label_row_tables import read, source


def said(*words: object) -> dict[str, list[tuple[str, float]]]:
    """Labels and confidences of each image."""
    return {image: [label[:2] for label in labels] for image, labels in read(source("--rows", *words))[0]}


def text(path: Path, *lines: str) -> Path:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


# Separators, headers, numbers


@pytest.mark.parametrize(("name", "separator"), [("a.csv", ";"), ("a.csv", "\t"), ("a.csv", "|"), ("a.tsv", ",")])
def test_another_separator_is_found_and_told(tmp_path: Path, name: str, separator: str) -> None:
    path = text(tmp_path / name, *(separator.join(cells) for cells in (("image", "label"), ("a b.jpg", "dog"))))
    assert said(path) == {"a b.jpg": [("dog", 1.0)]}
    told = [note for note in source("--rows", path).survey().notes if "parted" in note]
    assert told == ([] if separator in ",\t" else [f"{name}: cells parted by {separator!r}"])


def test_decimal_commas_are_read(tmp_path: Path) -> None:
    path = text(tmp_path / "a.csv", "image;label;confidence", "a;x;0,5", "b;x; ,25 ", "c;x;1,0", "d;x;1,5", "e;x;0,5,0")
    assert said(path) == {"a": [("x", 0.5)], "b": [("x", 0.25)], "c": [("x", 1.0)]}
    quoted = text(tmp_path / "b.csv", "image,label,confidence", 'a,x,"0,5"')
    assert said(quoted) == {"a": [("x", 0.5)]}
    lost = {row.record: row.found for row in source("--rows", path).read() if isinstance(row, Rejected)}
    assert lost["e"] in ("confidence '0,5,0' of 'x'; expected 0 to 1", "none of its labels is kept")


def test_a_table_without_header_is_named_and_read_where_its_columns_are_named(tmp_path: Path) -> None:
    path = text(tmp_path / "a.csv", "TRAIN,gs://bucket/a.jpg,dog", "TEST,gs://bucket/b.jpg,cat")
    with pytest.raises(FormatError, match=r"found TRAIN, gs://bucket/a.jpg, dog\. Is that a row.*--columns"):
        source("--rows", path).survey()
    words = [path, "--columns", "set,image,label"]
    assert said(*words) == {"gs://bucket/a.jpg": [("dog", 1.0)], "gs://bucket/b.jpg": [("cat", 1.0)]}
    survey = source("--rows", *words).survey()
    assert survey.notes[0] == "2 rows"
    assert survey.notes[1:] == ("a.csv: column 'set' is not used", "a.csv: cells parted by ',', no header")
    [first, _] = [
        row for row in source("--rows", *words).read() if isinstance(row, ImageRow) and "a.jpg" in row.uri
    ] * 2
    assert first.labels[0].where == "a.csv line 1"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--columns", "image,label"], r"line 1 has 3 cells: x, image, label; --columns names 2"),
        (["--columns", "x,image,label"], r"line 1 has the cell 'x': it is a header"),
        (["--columns", "a,b,c"], "which column is the label"),
    ],
)
def test_columns_that_do_not_fit_are_told(tmp_path: Path, words: list[str], told: str) -> None:
    with pytest.raises(FormatError, match=told):
        source("--rows", text(tmp_path / "a.csv", "x,image,label", "1,a.jpg,dog"), *words).survey()


def test_columns_of_other_tables_cannot_be_named_so(tmp_path: Path) -> None:
    pq.write_table(pa.table({"image": ["a"], "label": ["x"]}), tmp_path / "a.parquet")
    with pytest.raises(FormatError, match="text tables without header; this is parquet"):
        source("--rows", tmp_path / "a.parquet", "--columns", "a,b").survey()


@pytest.mark.parametrize(
    ("data", "told"),
    [
        ("image,label\na,x\n".encode("utf-16"), "UTF-16"),
        ("image,label\na,x\n".encode("utf-16-be"), "UTF-16"),
        (b"PK\x03\x04\x14\0\x06\0xl/workbook.xml", "an Excel workbook"),
        (b"\x1f\x8b\x08\0\0\0\0\0", "gzip; unpack it"),
        (b"PAR1\x15\x04", "--table-format parquet"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n", "git lfs pull"),
        (b"sep=;\nimage;label\na;x\n", "leave the line out"),
    ],
)
def test_a_file_that_is_no_such_table_is_called_by_its_name(tmp_path: Path, data: bytes, told: str) -> None:
    (tmp_path / "a.csv").write_bytes(data)
    with pytest.raises((FormatError, InputError), match=told):
        source("--rows", tmp_path / "a.csv").survey()


def test_blank_cells_are_empty_and_no_class(tmp_path: Path) -> None:
    path = text(tmp_path / "a.csv", "image,label", "a,  ", "a,x", " ,x", "b,\t", "c,\u3000")
    found = source("--rows", path)
    assert [c.label for c in found.survey().classes] == ["x"]
    assert said(path) == {"a": [("x", 1.0)]}
    told = sorted(
        (row.where, row.reason, row.found)
        for row in found.read()
        if isinstance(row, Rejected) and row.where[:5] == "a.csv"
    )
    assert told == [
        ("a.csv line 2", "label:no_label", "the label is empty"),
        ("a.csv line 4", "label:no_image", "the image is empty"),
        ("a.csv line 5", "label:no_label", "the label is empty"),
        ("a.csv line 6", "label:no_label", "the label is empty"),
    ]


def test_several_labels_in_a_cell_are_parted_where_that_is_said(tmp_path: Path) -> None:
    path = text(
        tmp_path / "a.csv", "file,labels,score", "a,haze  primary,0.5", "b,primary,1", "c,haze,1", "d,haze water,1"
    )
    one = source("--rows", path, "--image-column", "file").survey()
    (note,) = [note for note in one.notes if "separator" in note]
    assert note == "labels such as 'haze water' hold ' '; if a cell holds several, give --label-separator ' '"
    words = [path, "--image-column", "file", "--label-separator", " "]
    assert said(*words) == {
        "a": [("haze", 0.5), ("primary", 0.5)],
        "b": [("primary", 1.0)],
        "c": [("haze", 1.0)],
        "d": [("haze", 1.0), ("water", 1.0)],
    }
    lost = [(row.reason, row.where) for row in source("--rows", *words).read() if isinstance(row, Rejected)]
    assert lost == [("label:no_label", "a.csv line 2")]  # between two blanks
    pq.write_table(pa.table({"file": ["a"], "labels": ["x| y"]}), tmp_path / "a.parquet")
    assert said(tmp_path / "a.parquet", "--image-column", "file", "--label-separator", "|") == {
        "a": [("x", 1.0), ("y", 1.0)]
    }


def test_names_of_two_words_are_no_two_labels(tmp_path: Path) -> None:
    path = text(tmp_path / "a.csv", "image,label", "a,hot dog", "b,dog", "c,polar bear")
    assert not [note for note in source("--rows", path).survey().notes if "separator" in note]


# Columns that are not used, columns of boxes


def test_columns_that_are_not_used_are_named_everywhere(tmp_path: Path, convert: Callable[..., Any]) -> None:
    path = text(tmp_path / "a.csv", ",image,label,split,", "0,a.jpg,dog,train,")
    other = text(tmp_path / "b.csv", "image,label", "b.jpg,dog")
    done = convert("labels", "--rows", path, other, "--rows-only", "--json")
    told = {"a.csv": ["", "split", ""], "b.csv": []}
    assert "a.csv: columns '', 'split', '' are not used" in done.stderr
    assert done.manifest["options"]["unused_columns"] == told
    assert json.loads(done.stdout)["unused_columns"] == told
    plain = convert("labels", "--rows", other, "--rows-only", out="plain")
    assert "not used" not in plain.stdout
    assert "unused_columns" not in plain.manifest["options"]


@pytest.mark.parametrize(
    ("header", "told"),
    [
        ("filename,width,height,class,xmin,ymin,xmax,ymax", "(xmin, ymin, xmax, ymax)"),
        ("image,label,x_min,y_min,x_max,y_max", "(x_min, y_min, x_max, y_max)"),
        ("path;x1;y1;x2;y2;class_name", "(x1, y1, x2, y2)"),
        ("image,label,x,y,w,h", "(x, y, w, h)"),
        ("image,label,x,y,width,height", "(x, y, width, height)"),
        ("image_id,width,height,bbox,source,label", "(bbox)"),
        ("image,label,Left,Top,Right,Bottom", "(Left, Top, Right, Bottom)"),
        ("ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax", "wordtree convert openimages --boxes"),
    ],
)
def test_a_table_of_boxes_is_not_taken_for_labels(tmp_path: Path, header: str, told: str) -> None:
    cells = header.replace(";", ",").split(",")
    separator = ";" if ";" in header else ","
    path = text(tmp_path / "a.csv", header, separator.join(f"v{number}" for number in range(len(cells))))
    with pytest.raises(FormatError, match="has columns of boxes") as caught:
        source("--rows", path).survey()
    assert told in str(caught.value)
    words = [path, "--ignore-boxes", *(["--people", "x"] if "ImageID" in header else [])]
    assert len(source("--rows", *words).survey().unused_columns["a.csv"]) >= 1


def test_a_width_alone_is_no_box(tmp_path: Path) -> None:
    path = text(tmp_path / "a.csv", "image,width,height,label", "a,4,3,dog")
    assert said(path) == {"a": [("dog", 1.0)]}


def test_boxes_in_structures_are_boxes(tmp_path: Path) -> None:
    objects = [{"bbox": [[1.0, 2.0, 3.0, 4.0]], "category": [0]}]
    pq.write_table(pa.table({"image": ["a"], "label": ["x"], "objects": objects}), tmp_path / "a.parquet")
    with pytest.raises(FormatError, match=r"columns of boxes \(objects.bbox\)"):
        source("--rows", tmp_path / "a.parquet").survey()
    rows = pa.table({"image": ["a"], "label": ["x"], "objects": [[{"bbox": [1.0, 2.0, 3.0, 4.0]}]]})
    pq.write_table(rows, tmp_path / "b.parquet")
    with pytest.raises(FormatError, match=r"columns of boxes \(objects.bbox\)"):
        source("--rows", tmp_path / "b.parquet").survey()


# Hugging Face


def hugging_face(path: Path, images: list[Any], labels: Any, features: dict[str, Any], image: str = "image") -> Path:
    """A table as the library `datasets` writes it."""
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    told = json.dumps({"info": {"features": {image: {"_type": "Image"}, **features}}})
    table = pa.table({image: pa.array(images, kind), "label": labels}).replace_schema_metadata({"huggingface": told})
    pq.write_table(table, path, row_group_size=2)
    return path


NAMES = {"label": {"names": ["sheep", "goat", "cow"], "_type": "ClassLabel"}}


def test_a_table_of_hugging_face_needs_no_options(
    tmp_path: Path, jpeg: Callable[..., bytes], convert: Callable[..., Any]
) -> None:
    pixels = [jpeg(seed=seed) for seed in range(4)]
    images = [{"bytes": data, "path": None if seed == 1 else f"{seed}.jpg"} for seed, data in enumerate(pixels)]
    path = hugging_face(
        tmp_path / "train.parquet", [*images, {"bytes": None, "path": "x.jpg"}], [1, 0, -1, 7, 1], NAMES
    )
    done = convert("labels", "--rows", path)
    found = {name: (record.encoded, record.labels[0].label) for name, record in done.records.items()}
    assert found == {"train.parquet#1": (pixels[0], "goat"), "train.parquet#2": (pixels[1], "sheep")}
    assert [(c["id"], c["label"]) for c in done.manifest["classes"]] == [(1, "sheep"), (2, "goat"), (3, "cow")]
    assert sorted((r["record"], r["reason"], r["found"].split(";")[0]) for r in done.rejects) == [
        ("train.parquet#3", "image:no_label", "none of its labels is kept"),
        ("train.parquet#3", "label:bad_row", "label -1, which stands for none"),
        ("train.parquet#4", "image:no_label", "none of its labels is kept"),
        ("train.parquet#4", "label:bad_row", "label 7"),
        ("train.parquet#5", "image:empty", "the cell has no bytes"),
        ("train.parquet#5#label1", "label:image_rejected", "image:empty"),
    ]
    for told in (
        "images in the column 'image.bytes'",
        "its metadata names 3 labels",
        "column 'image.path' is not used",
    ):
        assert told in done.stdout
    rows = convert("labels", "--rows", path, "--rows-only", out="rows")
    assert rows.counts["annotations_written"] == 3  # the cell without bytes is not looked into


def test_paths_of_hugging_face_may_be_the_ids(tmp_path: Path) -> None:
    images = [{"bytes": b"x", "path": "a.jpg"}, {"bytes": b"y", "path": "b.jpg"}]
    path = hugging_face(tmp_path / "a.parquet", images, [0, 2], NAMES, "picture")
    assert {
        row.image_id: row.labels[0].class_key
        for row in source("--rows", path, "--id-column", "picture.path").read()
        if isinstance(row, ImageRow)
    } == {"a.jpg": "sheep", "b.jpg": "cow"}
    beside = source("--rows", path, "--image-column", "picture.path")
    assert {row.uri: row.member for row in beside.read() if isinstance(row, ImageRow)} == {"a.jpg": None, "b.jpg": None}


@pytest.mark.parametrize(
    "feature",
    [
        {"feature": NAMES["label"], "_type": "Sequence"},
        {"feature": NAMES["label"], "length": -1, "_type": "List"},
        [NAMES["label"]],
    ],
)
def test_lists_of_numbered_labels_are_named(tmp_path: Path, feature: Any) -> None:
    path = hugging_face(tmp_path / "a.parquet", [{"bytes": b"x", "path": ""}] * 2, [[2, 0], []], {"label": feature})
    rows = [row for row in source("--rows", path).read() if isinstance(row, ImageRow)]
    assert [[label.class_key for label in row.labels] for row in rows] == [["cow", "sheep"]]


def test_a_list_of_classes_goes_before_the_metadata(tmp_path: Path) -> None:
    path = hugging_face(tmp_path / "a.parquet", [{"bytes": b"x", "path": ""}], [1], NAMES)
    numbered = text(tmp_path / "classes.tsv", "0\tram", "1\tbuck")
    found = source("--rows", path, "--classes", numbered)
    assert [(c.key, c.label) for c in found.survey().classes] == [("0", "ram"), ("1", "buck")]
    assert [row.labels[0].class_key for row in found.read() if isinstance(row, ImageRow)] == ["1"]
    by_name = source("--rows", path, "--classes", text(tmp_path / "names.txt", "goat", "sheep", "cow"))
    assert [(c.key, c.id) for c in by_name.survey().classes] == [("goat", 1), ("sheep", 2), ("cow", 3)]
    assert [row.labels[0].class_key for row in by_name.read() if isinstance(row, ImageRow)] == ["goat"]
    by_bytes = source("--rows", path, "--bytes-column", "image.bytes", "--classes", numbered)
    assert by_bytes.survey().images == 1


def test_two_classes_of_one_name_stay_two(tmp_path: Path) -> None:
    names = {"label": {"names": ["crane", "ox", "crane"], "_type": "ClassLabel"}}
    path = hugging_face(tmp_path / "a.parquet", [{"bytes": b"x", "path": ""}] * 3, [0, 1, 2], names)
    labels = [row.labels[0].class_key for row in source("--rows", path).read() if isinstance(row, ImageRow)]
    assert sorted(labels) == ["crane (0)", "crane (2)", "ox"]


def test_tables_that_number_their_labels_differently_are_joined_by_name(tmp_path: Path) -> None:
    first = hugging_face(tmp_path / "a.parquet", [{"bytes": b"x", "path": ""}], [0], NAMES)
    turned = {"label": {"names": ["cow", "sheep"], "_type": "ClassLabel"}}
    second = hugging_face(tmp_path / "b.parquet", [{"bytes": b"x", "path": ""}] * 2, [0, 1], turned)
    found = source("--rows", first, second)
    assert [(c.label, c.id) for c in found.survey().classes] == [("cow", 1), ("sheep", 2)]
    labels = {row.image_id: row.labels[0].class_key for row in found.read() if isinstance(row, ImageRow)}
    assert labels == {"a.parquet#1": "sheep", "b.parquet#1": "cow", "b.parquet#2": "sheep"}


def test_numbers_that_nobody_names_are_told(tmp_path: Path) -> None:
    pq.write_table(pa.table({"image": ["a", "b"], "label": [3, 4]}), tmp_path / "a.parquet")
    assert "all labels are numbers" in " ".join(source("--rows", tmp_path / "a.parquet").survey().notes)


def test_pictures_in_a_plain_column_of_bytes_are_found(tmp_path: Path, jpeg: Callable[..., bytes]) -> None:
    pq.write_table(pa.table({"image": [jpeg()], "label": ["x"]}), tmp_path / "a.parquet")
    assert source("--rows", tmp_path / "a.parquet").layout.bytes == "image"
    pq.write_table(pa.table({"image": [b"BM/a.bmp"], "label": ["x"]}), tmp_path / "b.parquet")
    assert source("--rows", tmp_path / "b.parquet").layout.bytes == ""


def test_tables_of_images_and_tables_of_paths_are_not_mixed(tmp_path: Path) -> None:
    first = hugging_face(tmp_path / "a.parquet", [{"bytes": b"x", "path": ""}], [0], NAMES)
    second = text(tmp_path / "b.csv", "image,label", "b.jpg,cow")
    with pytest.raises(FormatError, match=r"column 'image' holds struct.*--bytes-column image\.bytes"):
        source("--rows", first, second).survey()
    with pytest.raises(ConfigError, match="--bytes-column says where"):
        source("--rows", first, "--bytes-column", "image.bytes", "--rows-only")


def test_a_confidence_that_is_null_is_called_so(tmp_path: Path) -> None:
    table = pa.table({"image": ["a", "b", "c"], "label": ["x"] * 3, "score": [None, float("nan"), 0.5]})
    pq.write_table(table, tmp_path / "a.parquet")
    pq.write_table(table.set_column(2, "score", pa.array([None, "?", "0.5"])), tmp_path / "b.parquet")
    told = {
        name: sorted(
            row.found
            for row in source("--rows", tmp_path / name).read()
            if isinstance(row, Rejected) and row.kind == "label"
        )
        for name in ("a.parquet", "b.parquet")
    }
    assert told == {
        "a.parquet": ["confidence nan of 'x'; expected 0 to 1", "confidence null of 'x'; expected 0 to 1"],
        "b.parquet": ["confidence '?' of 'x'; expected 0 to 1", "confidence null of 'x'; expected 0 to 1"],
    }


def test_boxes_and_lists_as_text_are_no_plain_labels(tmp_path: Path) -> None:
    studio = '"[{""x"": 1, ""y"": 2, ""width"": 3, ""rectanglelabels"": [""dog""]}]"'
    with pytest.raises(FormatError, match="is JSON, such as Label Studio's boxes; convert its COCO export"):
        source("--rows", text(tmp_path / "a.csv", "image,id,label", f"/data/upload/1/a.jpg,1,{studio}")).survey()
    listed = text(tmp_path / "b.csv", "image,label", "a.jpg,\"['dog', 'cat']\"")
    assert "are lists written as text" in " ".join(source("--rows", listed).survey().notes)


def test_a_json_object_names_numbered_classes(tmp_path: Path) -> None:
    path = text(tmp_path / "a.csv", "image,label", "a.jpg,1", "b.jpg,0")
    names = text(tmp_path / "names.json", '{"0": "rust", "1": "mildew"}')
    assert [(c.key, c.label) for c in source("--rows", path, "--classes", names).survey().classes] == [
        ("0", "rust"),
        ("1", "mildew"),
    ]
    for lines in ("0,rust\n1,mildew", "0: rust\n1: mildew\n", "0\trust\n1\tmildew"):
        listed = source("--rows", path, "--classes", text(tmp_path / "names.txt", lines))
        assert [(c.key, c.label) for c in listed.survey().classes] == [("0", "rust"), ("1", "mildew")]
    for content, told in (('{"0": 5}', "expected lines, or a JSON object"), ('{"rust": "0"}', "expected numbers")):
        with pytest.raises(FormatError, match=told):
            source("--rows", path, "--classes", text(tmp_path / "bad.json", content))


@pytest.mark.parametrize(
    "stated",
    ["photos\\a b.jpg", "C:\\me\\photos\\a%20b.jpg", "/data/upload/1/a b.jpg", "/mnt/sets/photos/a b.JPG", "a%20b.jpg"],
)
def test_rows_find_their_images_by_the_paths_of_others(
    tmp_path: Path, jpeg: Callable[..., bytes], convert: Callable[..., Any], stated: str
) -> None:
    folder = tmp_path / "photos"
    (folder / "upload" / "1").mkdir(parents=True)
    for name in ("a b.jpg", "upload/1/a b.jpg"):
        (folder / name).write_bytes(jpeg())
    done = convert("labels", "--rows", text(tmp_path / "a.csv", "image,label", f"{stated},dog"), "--images", folder)
    [record] = done.records.values()
    assert (record.image_id, record.uri) == (stated, "upload/1/a b.jpg" if "upload" in stated else "a b.jpg")
    assert done.counts["fixed_by_reason"] == {"image:name_read": 1}


def test_lists_of_path_and_label_are_not_taken_for_tencents_lines(tmp_path: Path) -> None:
    path = text(tmp_path / "train.txt", "n01/a.JPEG 0", "n02/b.JPEG 1")
    with pytest.raises(
        FormatError, match=r"found 'n01/a.JPEG 0'; expected PATH<TAB>INDEX:CONFIDENCE.*--columns image,label"
    ):
        source("--rows", path).survey()
    words = [path, "--columns", "image,label", "--classes", text(tmp_path / "names.txt", "0,tench", "1,goldfish")]
    assert said(*words) == {"n01/a.JPEG": [("0", 1.0)], "n02/b.JPEG": [("1", 1.0)]}
    boxes = text(tmp_path / "yolo.txt", "0 0.5 0.5 0.2 0.2")
    with pytest.raises(FormatError, match="expected PATH<TAB>INDEX:CONFIDENCE"):
        source("--rows", boxes).survey()


def test_a_word_without_confidence_is_no_label_of_that_confidence(tmp_path: Path) -> None:
    path = text(tmp_path / "rows.txt", "a.jpg\t3:0.5\t1\t0.25")
    assert said(path) == {"a.jpg": [("3", 0.5)]}
    lost = [row.found for row in source("--rows", path).read() if isinstance(row, Rejected)]
    assert lost == ["confidence 'none' of '1'; expected 0 to 1", "confidence 'none' of '0.25'; expected 0 to 1"]
