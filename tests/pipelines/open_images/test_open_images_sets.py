"""Sets of Open Images as a whole: their classes, their images, pieces of files, and real files item by item."""

from __future__ import annotations

import csv
import json
import tarfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from pipelines.files import csv_ranges
from pipelines.rows import ImageRow, Rejected, encode_row
from pipelines.sources.base import Packing
from pipelines.sources.openimages import Source
from schemas.errors import ConfigError, FormatError, InputError
from schemas.record import ImageRecord
from tests.pipelines.open_images_files import (
    ANIMAL,
    CAT,
    DOG,
    HEADS,
    LABELS,
    MASKS,
    A,
    B,
    C,
    Maker,
)


@pytest.fixture
def oi(tmp_path: Path) -> Maker:
    return Maker(tmp_path)


@pytest.mark.parametrize("head", ["", "LabelName,DisplayName\n", "label,name\n"])
def test_descriptions_with_and_without_header(head: str, oi: Maker) -> None:
    rows = "".join(f"{A},{mid},0,1,0,1,0\n" for mid in (DOG, "/m/01s", "/m/02wvth"))
    oi.file("--boxes", f"{HEADS[7]}\n{rows}")
    described = f'{head}{DOG},Dog\n/m/02wvth,"Fiat 500 ""topolino"""\n/m/01s,Spätzle\n/m/99zz,"named nowhere"\n'
    oi.file("--class-descriptions", described)
    survey = oi.source().survey()
    ids = {c.key: c.id for c in survey.classes}
    assert 1 <= ids[DOG] <= 601
    assert (ids["/m/02wvth"], ids["/m/01s"]) == (602, 603), "behind the 601, in the order of the descriptions"
    assert "/m/99zz" not in ids
    assert json.loads(survey.head)["classes"][1:] == [
        {"LabelName": "/m/02wvth", "DisplayName": 'Fiat 500 "topolino"'},
        {"LabelName": "/m/01s", "DisplayName": "Spätzle"},
        {"LabelName": "/m/99zz", "DisplayName": "named nowhere"},
    ]


def test_classes_without_descriptions_have_the_same_ids_in_every_set(oi: Maker) -> None:
    oi.file("--boxes", f"{HEADS[7]}\n{A},{DOG},0,1,0,1,0\n")
    few = {entry.key: entry.id for entry in oi.source().survey().classes}
    oi.file("--image-labels", f"{LABELS}\n{A},machine,/m/02d9qx,1\n{A},machine,/m/not_boxable,1\n")
    more = {entry.key: entry.id for entry in oi.source().survey().classes}
    assert len(few) == 595
    assert few.items() <= more.items()
    assert sorted(set(more) - set(few)) == ["/m/02d9qx", "/m/not_boxable"]  # Whiteboard has no synset


def test_pieces_change_nothing_and_lines_stay_right(oi: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = [f"{i % 40:016x}" for i in range(400)]
    oi.file("--boxes", f"{HEADS[7]}\n" + "".join(f"{name},{DOG},0,1,0,0.{i + 100},0\n" for i, name in enumerate(ids)))
    names = "".join(f'{i:016x},"a ""b""\n{i}\n",0\n' for i in range(40))
    oi.file("--image-list", f"ImageID,Title,Rotation\n{names}")
    whole = oi.rows()
    ranges = csv_ranges.ranges
    monkeypatch.setattr("pipelines.sources.openimages.ranges", partial(ranges, length=300))
    assert len(oi.source().pieces()) > 30
    assert oi.rows() == whole
    lines = {box.where: box.ymax for row in whole[0].values() for box in row.boxes}
    assert lines == {f"boxes.csv line {i + 2}": float(f"0.{i + 100}") for i in range(400)}
    assert json.loads(whole[0][f"{7:016x}"].extra)["Title"] == 'a "b"\n7\n'


def test_a_survey_counts_images_of_all_files_once(oi: Maker) -> None:
    oi.file("--boxes", f"{HEADS[7]}\n{A},{DOG},0,1,0,1,0\n{B},{DOG},0,1,0,1,0\n{A},{CAT},0,1,0,1,0\n")
    oi.file("--image-labels", f"{LABELS}\n{A},machine,{DOG},1\n")
    oi.photo(C)
    survey = oi.source().survey()
    assert (survey.images, survey.image_ids) == (3, None)
    assert survey.notes == ("1 files found", "1 of them named by no CSV file")
    assert set(oi.source().image_ids()) == {A, B, C}
    assert oi.source("--only-found").survey().images == 1
    assert len(survey.files) == 2


@pytest.mark.parametrize(
    ("option", "text", "message"),
    [
        ("--boxes", f"{LABELS}\n", "column XMin is missing; found .* for --image-labels"),
        ("--image-labels", f"{HEADS[7]}\n", "column Confidence is missing"),
        ("--boxes", "ImageID,LabelName1,LabelName2,XMin1,RelationshipLabel\n", "a file of relationships"),
        ("--boxes", "ImageId,X,Y,Label,EstimatedYesNo\n", "a file of points"),
        ("--boxes", "", "found nothing"),
        ("--boxes", f"{HEADS[7]},XMin\n", "'XMin' stands there twice"),
    ],
)
def test_files_of_another_kind_are_refused(option: str, text: str, message: str, oi: Maker) -> None:
    oi.file(option, text)
    with pytest.raises(FormatError, match=message):
        oi.source().survey()


def test_contradicting_options_and_missing_files_are_refused(oi: Maker) -> None:
    with pytest.raises(ConfigError, match="none is given"):
        oi.source()
    with pytest.raises(ConfigError, match="--mask-list and --mask-dir"):
        oi.source("--mask-list", "x.csv")
    with pytest.raises(ConfigError, match="needs --hierarchy"):
        oi.source("--boxes", "x.csv", "--expand")
    with pytest.raises(ConfigError, match="two files of one name"):
        oi.source("--boxes", "a/x.csv", "b/x.csv")
    with pytest.raises(InputError, match="does not exist"):
        oi.source("--boxes", str(oi.folder / "none.csv")).survey()
    oi.file("--boxes", f"{HEADS[7]}\n")
    with pytest.raises(InputError, match="found no image"):
        oi.source().survey()


def test_images_in_tars_are_read_in_place(oi: Maker, jpeg: Callable[..., bytes], convert: Any) -> None:
    data = {name: jpeg(seed=i) for i, name in enumerate((A, B))}
    with tarfile.open(oi.images / "train_0.tar", "w") as tar:
        for name, content in data.items():
            path = oi.folder / f"{name}.jpg"
            path.write_bytes(content)
            tar.add(path, f"train_0/{name}.jpg")
    oi.file("--boxes", f"{HEADS[7]}\n{A},{DOG},0,1,0,0.5,0\n")
    run = convert("openimages", "--images", oi.images, *oi.words)
    assert {name: record.encoded for name, record in run.records.items()} == data
    assert run.records[A].filename == f"{A}.jpg"
    assert (run.records[A].has_boxes, run.records[B].has_boxes) == (True, False)


def test_the_rows_of_an_image_with_very_many_boxes_stay_together(oi: Maker) -> None:
    text = "".join(f"{A},{DOG},0,0.{i:06d},0,1,0\n" for i in range(1, 2500))
    oi.file("--boxes", f"{HEADS[7]}\n{text}")
    images, rejected, _ = oi.rows()
    assert len(images[A].boxes) == 2499
    assert not rejected
    assert all(len(encode_row(row, 0, 0)) < 1 << 20 for row in oi.source().read())


def test_masks_and_rotation_reach_the_records(oi: Maker, jpeg: Callable[..., bytes], convert: Any) -> None:
    oi.photo(A, jpeg(8, 6))
    oi.file("--image-list", f"ImageID,Rotation\n{A},90\n")
    oi.file("--boxes", f"{HEADS[7]}\n{A},{DOG},0.25,0.5,0.125,1.0,0\n{A},{CAT},0.9,1.2,0,1,0\n")
    oi.file(
        "--mask-list", f"{MASKS}\n{A}_1.png,{A},{DOG},1,0.25,0.5,0.125,1,0,\n{A}_2.png,{A},{CAT},2,0.9,1.2,0,1,0,\n"
    )
    mask = jpeg(16, 12, kind="PNG")
    (oi.folder / "masks").mkdir()
    (oi.folder / "masks" / f"{A}_1.png").write_bytes(mask)
    run = convert("openimages", "--images", oi.images, *oi.words, "--mask-dir", oi.folder / "masks")
    record: ImageRecord = run.records[A]
    assert record.rotation == 90
    dog, cat = record.boxes
    assert tuple(dog.box) == (0.125, 0.25, 1.0, 0.5)
    assert (dog.wnid, dog.mask, cat.mask) == ("n02084071", mask, b"")
    assert cat.box.xmax == 1
    assert run.counts["fixed_by_reason"] == {"box:clipped": 1}
    assert run.counts["kept_by_reason"] == {"box:mask_missing": 1, "image:stated_rotation": 1}
    turned = convert(
        "openimages",
        *("--images", oi.images, *oi.words, "--mask-dir", oi.folder / "masks"),
        *("--on", "image:stated_rotation=fix"),
        out="turned",
    )
    record = turned.records[A]
    assert (record.height, record.width) == (8, 6)
    assert tuple(record.boxes[0].box) == pytest.approx((0.5, 0.125, 0.75, 1.0))


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def test_the_converted_set_is_what_an_independent_reading_says(shared: Any, convert: Any) -> None:
    folder = shared("data", "openimages", "converted_from_coco")
    boxes = folder / "annotations" / "validation-annotations-bbox.csv"
    labels = folder / "annotations" / "validation-annotations-human-imagelabels-boxable.csv"
    run = convert("openimages", "--images", folder / "validation", "--boxes", boxes, "--image-labels", labels)
    flags = {"IsOccluded": "is_occluded", "IsTruncated": "is_truncated", "IsGroupOf": "is_group_of"}
    flags |= {"IsDepiction": "is_depiction", "IsInside": "is_inside"}
    assert set(run.records) == {path.stem for path in (folder / "validation").iterdir()}
    for image_id, record in run.records.items():
        assert record.encoded == (folder / "validation" / f"{image_id}.jpg").read_bytes()
        expected = [row for row in read_csv(boxes) if row["ImageID"] == image_id]
        assert len(record.boxes) == len(expected)
        for box, row in zip(record.boxes, expected, strict=True):
            corners = [float(row[name]) for name in ("YMin", "XMin", "YMax", "XMax")]
            assert list(box.box) == pytest.approx(corners, abs=1e-6)
            assert (box.label, box.source, box.confidence) == (row["LabelName"], row["Source"], 1)
            assert [getattr(box, flags[name]) for name in flags] == [row[name] == "1" for name in flags]
        expected = [row for row in read_csv(labels) if row["ImageID"] == image_id]
        said = [(label.label, label.present, label.verified, label.source) for label in record.labels]
        assert said == [(row["LabelName"], row["Confidence"] == "1", True, row["Source"]) for row in expected]
    assert not run.rejects


def test_the_real_file_is_read_row_by_row(shared: Any, tmp_path: Path) -> None:
    folder = shared("data", "openimages", "real_csv_no_images")
    path = folder / "test-annotations-bbox.csv"
    names = folder / "class-descriptions-boxable.csv"
    source = Source(str(tmp_path), boxes=(str(path),), class_descriptions=(str(names),))
    payloads = [p for n, piece in enumerate(source.pieces()) for _, p in source.pack(n, piece, Packing(1, 0))]
    found: dict[str, Any] = {}
    rejected = []
    for row in source.unpack(payloads):
        if isinstance(row, Rejected):
            rejected.append(row)
        else:
            assert isinstance(row, ImageRow)
            found |= {box.where: (row.image_id, box) for box in row.boxes}
    expected = read_csv(path)
    repeated = {f"{path.name} line {i}" for i, row in enumerate(expected, start=2) if row in expected[: i - 2]}
    assert {row.where for row in rejected if row.reason == "box:duplicate"} == repeated
    assert len(rejected) == len(repeated)
    assert len(found) == len(expected) - len(repeated) > 2000
    for line, row in enumerate(expected, start=2):
        where = f"{path.name} line {line}"
        if where in repeated:
            continue
        image_id, box = found[where]
        assert (image_id, box.class_key, box.source) == (row["ImageID"], row["LabelName"], row["Source"])
        assert (box.xmin, box.xmax, box.ymin, box.ymax) == tuple(
            float(row[n]) for n in ("XMin", "XMax", "YMin", "YMax")
        )
        assert (box.is_group_of, box.is_inside) == (row["IsGroupOf"] == "1", row["IsInside"] == "1")
    survey = source.survey()
    assert survey.images == len({row["ImageID"] for row in expected})
    assert {c.key for c in survey.classes} >= {row["label"] for row in read_csv(names)}


def test_the_published_files_of_classes_are_read(shared: Any, tmp_path: Path) -> None:
    folder = shared("data", "openimages", "official_meta")
    oi = Maker(tmp_path)
    oi.file("--boxes", f"{HEADS[7]}\n{A},{DOG},0,1,0,1,0\n")
    given = ["--class-descriptions", str(folder / "class-descriptions-boxable.csv")]
    given += ["--hierarchy", str(folder / "bbox_labels_600_hierarchy.json"), "--expand"]
    survey = oi.source(*given).survey()
    lines = (folder / "class-descriptions-boxable.csv").read_text().splitlines()
    listed = [line.split(",")[0] for line in lines]
    assert len(listed) == 601
    found = [entry.key for entry in survey.classes]
    assert found == [key for key in listed if key in set(found)], "in the published order"
    assert len(found) == 595, "six have no synset, and no file names them"
    (tmp_path / "plain").mkdir()
    plain = Maker(tmp_path / "plain")
    plain.file("--boxes", f"{HEADS[7]}\n{A},{DOG},0,1,0,1,0\n")
    assert plain.source().survey().classes == survey.classes, "descriptions change no id"
    head = json.loads(survey.head)
    assert head["hierarchy"] == json.loads((folder / "bbox_labels_600_hierarchy.json").read_text())
    assert {box.class_key for box in oi.rows(*given)[0][A].boxes} >= {DOG, ANIMAL}


def test_spreading_agrees_with_the_expanded_files(shared: Any, tmp_path: Path) -> None:
    """`wordtree tree expand` does the same to the CSV file."""
    import io

    from wordtree.expansion import hierarchy_ancestry
    from wordtree.open_images_hierarchy import parse_hierarchy
    from wordtree.open_images_rows import BOX_COLUMNS, Counts, RowFile, expand_box_rows

    folder = shared("data", "openimages", "converted_from_coco", "annotations")
    path = folder / "validation-annotations-bbox.csv"
    hierarchy = shared("data", "openimages", "official_meta", "bbox_labels_600_hierarchy.json")
    out = io.StringIO()
    ancestry = hierarchy_ancestry(parse_hierarchy(hierarchy.read_text(), where="hierarchy"))
    expand_box_rows(RowFile(path, BOX_COLUMNS), ancestry, out, Counts())
    names = ("ImageID", "LabelName", "XMin", "XMax", "YMin", "YMax", "IsGroupOf")
    expected = {tuple(row[name] for name in names) for row in csv.DictReader(io.StringIO(out.getvalue()))}
    source = Source(str(tmp_path), boxes=(str(path),), hierarchy=str(hierarchy), expand=True)
    payloads = [p for n, piece in enumerate(source.pieces()) for _, p in source.pack(n, piece, Packing(1, 0))]
    found = [
        (row.image_id, box.class_key, box.xmin, box.xmax, box.ymin, box.ymax, box.is_group_of)
        for row in source.unpack(payloads)
        if isinstance(row, ImageRow)
        for box in row.boxes
    ]
    assert set(found) == {(i, label, *map(float, corners), group == "1") for i, label, *corners, group in expected}
    assert len(set(found)) > 2 * 202


def test_classes_that_are_described_twice_are_told(oi: Maker) -> None:
    oi.file("--boxes", f"{HEADS[7]}\n{A},{DOG},0,1,0,1,0\n")
    described = f'{DOG},Dog\n{CAT},"Cat, tame"\n{DOG},Dog\n{CAT},Tiger\n'
    oi.file("--class-descriptions", described, "first.csv")
    oi.words.append(str(oi.file("", f"{DOG},Dog\n{CAT},Lion\n", "second.csv")))
    survey = oi.source().survey()
    assert survey.notes[1:] == (
        f"first.csv line 3: {DOG} is described again",
        f"first.csv line 4: {CAT} is described again, as 'Tiger'; 'Cat, tame' stays",
        f"second.csv line 2: {CAT} is described again, as 'Lion'; 'Cat, tame' stays",
    )
    assert json.loads(survey.head)["classes"][1] == {"LabelName": CAT, "DisplayName": "Cat, tame"}


@pytest.mark.parametrize("at", range(0, 60, 7))
def test_a_quote_in_class_descriptions_is_read_or_refused_with_its_line(oi: Maker, at: int) -> None:
    lines = [f"/m/0{number},Name {number}" for number in range(6)]
    text = "\n".join(lines) + "\n"
    oi.file("--boxes", f"{HEADS[7]}\n{A},{DOG},0,1,0,1,0\n")
    oi.file("--class-descriptions", text[:at] + '"' + text[at:])
    refused, head = "", b""
    try:
        head = oi.source().survey().head
    except FormatError as error:
        refused = str(error)
    if refused:
        assert f"line {text[:at].count(chr(10)) + 1}: " in refused
    else:
        assert len(json.loads(head)["classes"]) == len(lines)
