"""ImageNet in all its forms: the same images by every way, ground truths, boxes, real sets."""

from __future__ import annotations

import argparse
import csv
import io
import json
import pickle
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from pipelines.archives import read_member
from pipelines.joining import join
from pipelines.rows import ImageRow, Rejected, Row
from pipelines.sources.imagenet import BoxedSource, Source
from schemas.errors import ConfigError, FormatError, InputError

DOG, CAT, FISH = "n02084071", "n02121620", "n02512053"
CLASSES = (DOG, CAT, FISH)


def source_of(*words: object) -> Source:
    parser = argparse.ArgumentParser()
    Source.add_arguments(parser)
    return Source.from_args(parser.parse_args([str(word) for word in words]))


def all_rows(source: Source) -> list[ImageRow | Rejected]:
    """The rows of all pieces, as shards would see them."""
    found: dict[str, list[Row]] = {}
    for piece in source.pieces():
        for row in source.read(piece):
            found.setdefault(row.image_id, []).append(row)
    return list(join(row for _, rows in sorted(found.items()) for row in rows))


def images(source: Source) -> dict[str, ImageRow]:
    rows = all_rows(source)
    assert all(isinstance(row, ImageRow) for row in rows), rows
    return {row.image_id: row for row in rows if isinstance(row, ImageRow)}


def corners(row: ImageRow) -> list[tuple[object, ...]]:
    """Class and corners as 0-based inclusive files state them."""
    return [(b.class_key, b.xmin, b.ymin, b.xmax - 1, b.ymax - 1) for b in row.boxes]


def tar(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()


@pytest.fixture
def pictures(jpeg: Callable[..., bytes]) -> dict[str, dict[str, bytes]]:
    """Two images of each class, by class and file name."""
    return {wnid: {f"{wnid}_{k}.JPEG": jpeg(seed=10 * n + k) for k in (3, 18)} for n, wnid in enumerate(CLASSES)}


def write_class_folders(root: Path, pictures: dict[str, dict[str, bytes]]) -> Path:
    for wnid, files in pictures.items():
        for name, data in files.items():
            (root / "train" / wnid).mkdir(parents=True, exist_ok=True)
            (root / "train" / wnid / name).write_bytes(data)
    return root / "train"


def write_class_tars(root: Path, pictures: dict[str, dict[str, bytes]]) -> Path:
    (root / "tars").mkdir()
    for wnid, files in pictures.items():
        (root / "tars" / f"{wnid}.tar").write_bytes(tar(files))
    return root / "tars"


def write_tar_of_tars(root: Path, pictures: dict[str, dict[str, bytes]]) -> Path:
    inner = {f"./{wnid}.tar": tar(files) for wnid, files in pictures.items()}
    (root / "ILSVRC2012_img_train.tar").write_bytes(tar(inner))
    return root / "ILSVRC2012_img_train.tar"


def write_tar_of_folders(root: Path, pictures: dict[str, dict[str, bytes]]) -> Path:
    flat = {f"/train/{wnid}/{name}": data for wnid, files in pictures.items() for name, data in files.items()}
    (root / "train.tar").write_bytes(tar(flat))
    return root / "train.tar"


def write_zip_of_folders(root: Path, pictures: dict[str, dict[str, bytes]]) -> Path:
    with zipfile.ZipFile(root / "train.zip", "w") as archive:
        archive.writestr("LICENSE", "text")
        for wnid, files in pictures.items():
            for name, data in files.items():
                archive.writestr(f"ILSVRC/Data/CLS-LOC/train/{wnid}/{name}", data)
    return root / "train.zip"


def write_flat_tar(root: Path, pictures: dict[str, dict[str, bytes]]) -> Path:
    (root / "flat.tar").write_bytes(tar({name: data for files in pictures.values() for name, data in files.items()}))
    return root / "flat.tar"


FORMS = [
    *(write_class_folders, write_class_tars, write_tar_of_tars),
    *(write_tar_of_folders, write_zip_of_folders, write_flat_tar),
]


@pytest.mark.parametrize("write", FORMS)
def test_every_form_gives_the_same_images(
    write: Callable[..., Path],
    tmp_path: Path,
    pictures: dict[str, dict[str, bytes]],
    convert: Callable[..., Any],
) -> None:
    path = write(tmp_path, pictures)
    done = convert("imagenet", "--images", path, "--shards", 2)
    expected = {f"{w}/{name[:-5]}": (w, name, data) for w, files in pictures.items() for name, data in files.items()}
    assert {i: (r.labels[0].label, r.filename, r.encoded) for i, r in done.records.items()} == expected
    assert [c["label"] for c in done.manifest["classes"]] == sorted(CLASSES)
    assert done.counts["rejected_by_reason"] == {}
    source = source_of("--images", path)
    assert {row.image_id for piece in source.pieces() for row in source.read(piece)} == set(expected)
    assert list(source.read()) == [row for piece in source.pieces() for row in source.read(piece)]
    assert set(source.image_ids()) == set(source.survey().image_ids or ()) == set(expected)
    assert pickle.loads(pickle.dumps(source)) == source


@pytest.mark.parametrize("write", [*FORMS[:3], write_tar_of_folders])
def test_a_list_of_classes_restricts_every_form(
    write: Callable[..., Path], tmp_path: Path, pictures: dict[str, dict[str, bytes]]
) -> None:
    (tmp_path / "wnids.txt").write_text(f"{FISH} fish\n{DOG}\n")
    source = source_of("--images", write(tmp_path, pictures), "--wnids", tmp_path / "wnids.txt")
    assert {row.labels[0].class_key for row in images(source).values()} == {DOG, FISH}
    assert [(c.label, c.id) for c in source.survey().classes] == [(DOG, 1), (FISH, 2)]


def test_a_tar_is_a_piece(tmp_path: Path, pictures: dict[str, dict[str, bytes]]) -> None:
    source = source_of("--images", write_tar_of_tars(tmp_path, pictures))
    assert len(source.pieces()) == 1 + len(CLASSES)
    rows = list(source.read(source.pieces()[2]))
    assert [row.image_id for row in rows] == [f"{CAT}/{CAT}_3", f"{CAT}/{CAT}_18"]
    for row in rows:
        assert isinstance(row, ImageRow)
        assert row.member is not None
        assert read_member(str(tmp_path / row.uri), row.member) == pictures[CAT][row.filename]


def test_large_tars_are_estimated(
    tmp_path: Path, pictures: dict[str, dict[str, bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.sources.imagenet.COUNTED", 2)
    survey = source_of("--images", write_tar_of_tars(tmp_path, pictures)).survey()
    assert (survey.images, survey.image_ids) == (6, None)
    assert [c.label for c in survey.classes] == sorted(CLASSES)


def test_what_is_no_image_in_a_tar_is_told(tmp_path: Path, jpeg: Callable[..., bytes]) -> None:
    inner = {"a.JPEG": jpeg(), "readme.txt": b"", "x.bin": b"?", "deep/er/b.JPEG": jpeg(), "../c.JPEG": jpeg()}
    (tmp_path / "t.tar").write_bytes(tar({f"{DOG}.tar": tar(inner), "loose.JPEG": jpeg(), "words.txt": b""}))
    rows = all_rows(source_of("--images", tmp_path / "t.tar"))
    assert sorted((row.reason, row.record) for row in rows if isinstance(row, Rejected)) == [
        ("image:bad_name", "t.tar: ../c.JPEG"),
        ("image:not_in_class_folder", "t.tar: deep/er/b.JPEG"),
        ("image:not_in_class_folder", "t.tar: loose.JPEG"),
        ("image:unknown_ending", "t.tar: x.bin"),
    ]
    assert [row.image_id for row in rows if isinstance(row, ImageRow)] == [f"{DOG}/a"]
    assert source_of("--images", tmp_path / "t.tar").survey().notes == ("2 other files ignored",)


def test_a_folder_of_an_archive_can_be_taken_alone(tmp_path: Path, jpeg: Callable[..., bytes]) -> None:
    names = [f"ILSVRC/train/{DOG}/{DOG}_1.JPEG", "ILSVRC/val/v1.JPEG"]
    (tmp_path / "all.tar").write_bytes(tar({name: jpeg() for name in names}))
    source = source_of("--images", tmp_path / "all.tar", "--inside", "ILSVRC/train/")
    assert list(images(source)) == [f"{DOG}/{DOG}_1"]


def test_options_that_fit_the_other_kind_are_refused(val: Path) -> None:
    with pytest.raises(ConfigError, match="below a folder"):
        source_of("--images", val / "val.tar", "--list", val / "list.txt")
    with pytest.raises(ConfigError, match="give that folder itself"):
        source_of("--images", val / "val", "--inside", "x/")


def test_a_compressed_archive_is_refused_with_advice(tmp_path: Path) -> None:
    (tmp_path / "winter21_whole.tar.gz").write_bytes(b"\x1f\x8b\x08" + bytes(600))
    with pytest.raises(FormatError, match=r"gunzip winter21_whole\.tar\.gz"):
        source_of("--images", tmp_path / "winter21_whole.tar.gz").survey()


def test_a_cut_tar_ends_the_conversion_before_it_begins(
    tmp_path: Path, pictures: dict[str, dict[str, bytes]], convert: Callable[..., Any]
) -> None:
    path = write_tar_of_tars(tmp_path, pictures)
    path.write_bytes(path.read_bytes()[:20_000])
    with pytest.raises(FormatError, match="cut short"):
        convert("imagenet", "--images", path)


STEMS = [f"ILSVRC2012_val_0000000{n}" for n in (1, 2, 3, 4)]
TRUE = dict(zip(STEMS, (CAT, DOG, FISH, DOG), strict=True))


@pytest.fixture
def val(tmp_path: Path, jpeg: Callable[..., bytes]) -> Path:
    """A flat validation set of four images, as a folder and as a tar."""
    files = {f"{stem}.JPEG": jpeg(seed=n) for n, stem in enumerate(STEMS)}
    (tmp_path / "val").mkdir()
    for name, data in files.items():
        (tmp_path / "val" / name).write_bytes(data)
    (tmp_path / "val.tar").write_bytes(tar({name: files[name] for name in sorted(files, reverse=True)}))
    return tmp_path


TRUTHS = {
    "wnids": "".join(f"{wnid}\n" for wnid in TRUE.values()),
    "ids": "2\n1\n3\n1\n",
    "kaggle": "ImageId,PredictionString\n" + "".join(f"{s},{TRUE[s]} 0 1 2 3 \n" for s in reversed(STEMS)),
    "names": "".join(f"{s}.JPEG {TRUE[s]}\n" for s in STEMS),
    "tiny": "".join(f"{s}.JPEG\t{TRUE[s]}\t0\t1\t2\t3\n" for s in STEMS),
    "commas": "".join(f"{s},{TRUE[s]}\n" for s in STEMS),
}


@pytest.mark.parametrize("form", TRUTHS)
@pytest.mark.parametrize("place", ["val", "val.tar"])
def test_every_form_of_ground_truth_says_the_same(val: Path, form: str, place: str) -> None:
    (val / "truth").write_text(TRUTHS[form])
    (val / "synsets.txt").write_text(f"ILSVRC2012_ID WNID\n1 {DOG}\n2 {CAT} cat\n3,{FISH}\n")
    words = ["--synsets", val / "synsets.txt"] if form == "ids" else []
    source = source_of("--images", val / place, "--ground-truth", val / "truth", *words)
    found = images(source)
    assert {stem: [x.class_key for x in row.labels] for stem, row in found.items()} == {s: [TRUE[s]] for s in STEMS}
    boxed = form in ("kaggle", "tiny")
    assert source.has_boxes == isinstance(source, BoxedSource) == boxed
    assert {tuple(corners(row)) for row in found.values()} == ({((w, 0, 1, 2, 3),) for w in CLASSES} if boxed else {()})
    assert {row.has_boxes for row in found.values()} == {boxed}
    survey = source.survey()
    assert (survey.images, [c.label for c in survey.classes]) == (4, sorted(CLASSES))
    assert bool(survey.head) == boxed


def test_ids_of_the_development_kit_need_a_table(val: Path) -> None:
    (val / "truth").write_text(TRUTHS["ids"])
    words = ["--images", val / "val", "--ground-truth", val / "truth"]
    with pytest.raises(InputError, match=r"--synsets FILE: both stand in meta\.mat"):
        source_of(*words).survey()
    (val / "synsets.txt").write_text(f"1 {DOG}\n2 {CAT}\n")
    with pytest.raises(FormatError, match="line 3 has id 3, which"):
        source_of(*words, "--synsets", val / "synsets.txt").survey()
    (val / "synsets.txt").write_text(f"{DOG} dog\n")
    with pytest.raises(FormatError, match="not that of the ids"):
        source_of(*words, "--synsets", val / "synsets.txt").survey()
    with pytest.raises(ConfigError, match="give both"):
        source_of("--images", val / "val", "--synsets", val / "synsets.txt")


def test_a_truth_by_order_must_have_a_line_an_image(val: Path) -> None:
    (val / "truth").write_text(TRUTHS["wnids"] + DOG)
    with pytest.raises(InputError, match="5 lines for 4 images"):
        source_of("--images", val / "val", "--ground-truth", val / "truth").survey()


def test_a_truth_by_order_is_no_use_for_class_folders(tmp_path: Path, pictures: dict[str, dict[str, bytes]]) -> None:
    (tmp_path / "truth").write_text(TRUTHS["wnids"])
    with pytest.raises(InputError, match="has class folders"):
        source_of("--images", write_class_folders(tmp_path, pictures), "--ground-truth", tmp_path / "truth").survey()


@pytest.mark.parametrize("text", ["a.JPEG 65\n", "x\ty\n", "Image,Label\na,b\n"])
def test_numbers_beside_names_and_other_tables_are_refused(val: Path, text: str) -> None:
    (val / "truth").write_text(text)
    with pytest.raises(FormatError, match="expected a wnid or an id a line"):
        source_of("--images", val / "val", "--ground-truth", val / "truth").survey()


def test_images_and_lines_without_the_other_are_told(val: Path) -> None:
    lines = f"{STEMS[0]} {DOG} 1 2 3 4\n{STEMS[1]} {DOG} 1 2 x 4\nnone {CAT} 1 2 3 4\n{STEMS[3]} {CAT}\n"
    (val / "truth").write_text(lines)
    rows = all_rows(source_of("--images", val / "val", "--ground-truth", val / "truth"))
    assert [(row.image_id, row.has_boxes) for row in rows if isinstance(row, ImageRow)] == [
        (STEMS[0], True),
        (STEMS[3], False),
    ]
    assert [(row.reason, row.where) for row in rows if isinstance(row, Rejected)] == [
        ("label:malformed", "truth:2"),
        ("image:no_label", f"{STEMS[1]}.JPEG"),
        ("image:no_label", f"{STEMS[2]}.JPEG"),
        ("box:unknown_image", "truth:3 box 1"),
        ("label:unknown_image", "truth:3"),
    ]


def test_images_without_any_class_are_an_error_or_a_test_set(val: Path) -> None:
    with pytest.raises(InputError, match=r"none of its 4 images has a class .* --unlabelled"):
        source_of("--images", val / "val").survey()
    found = images(source_of("--images", val / "val.tar", "--unlabelled"))
    assert {row.image_id: (row.labels, row.has_boxes) for row in found.values()} == dict.fromkeys(STEMS, ((), False))


def xml(*objects: tuple[str, int, int, int, int], name: str = "x") -> str:
    boxes = "".join(
        f"<object><name>{n}</name><bndbox><xmin>{a}</xmin><ymin>{b}</ymin><xmax>{c}</xmax><ymax>{d}</ymax></bndbox></object>"
        for n, a, b, c, d in objects
    )
    return (
        f"<annotation><folder>{DOG}</folder><filename>{name}</filename>"
        f"<size><width>8</width><height>6</height></size>{boxes}</annotation>"
    )


@pytest.mark.parametrize("write", FORMS)
def test_xml_boxes_lie_beside_the_images_of_every_form(
    write: Callable[..., Path], tmp_path: Path, pictures: dict[str, dict[str, bytes]]
) -> None:
    (tmp_path / "boxes" / DOG).mkdir(parents=True)
    for stem in (f"{DOG}_3", f"{DOG}_99"):
        (tmp_path / "boxes" / DOG / f"{stem}.xml").write_text(xml((DOG, 0, 0, 7, 5), (DOG, 1, 1, 1, 1)))
    (tmp_path / "boxes" / DOG / f"{DOG}_18.xml").write_text("<annotation>")
    source = source_of("--images", write(tmp_path, pictures), "--boxes", tmp_path / "boxes")
    rows = all_rows(source)
    found = {row.image_id: row for row in rows if isinstance(row, ImageRow)}
    assert len(found) == 6
    boxed = found[f"{DOG}/{DOG}_3"]
    assert corners(boxed) == [(DOG, 0, 0, 7, 5), (DOG, 1, 1, 1, 1)]
    assert (boxed.has_boxes, boxed.width, boxed.height, json.loads(boxed.extra)["folder"]) == (True, 8, 6, DOG)
    assert [x.class_key for x in boxed.labels] == [DOG]
    assert not any(row.has_boxes for image_id, row in found.items() if image_id != boxed.image_id)
    assert [(row.reason, row.image_id) for row in rows if isinstance(row, Rejected)] == [
        ("box:broken_xml", f"{DOG}/{DOG}_18"),
        ("box:unknown_image", f"{DOG}/{DOG}_99"),
        ("box:unknown_image", f"{DOG}/{DOG}_99"),
    ]


def test_a_validation_set_takes_its_xml_from_a_flat_folder(val: Path) -> None:
    (val / "xml").mkdir()
    (val / "truth").write_text(TRUTHS["wnids"])
    for stem, wnid in TRUE.items():
        (val / "xml" / f"{stem}.xml").write_text(xml((wnid, 0, 0, 7, 5)))
    words = ["--ground-truth", val / "truth", "--boxes", val / "xml"]
    for place in ("val", "val.tar"):
        found = images(source_of("--images", val / place, *words))
        assert {stem: corners(row) for stem, row in found.items()} == {s: [(TRUE[s], 0, 0, 7, 5)] for s in STEMS}
    for stem, wnid in TRUE.items():
        (val / "sorted" / wnid).mkdir(parents=True, exist_ok=True)
        (val / "val" / f"{stem}.JPEG").rename(val / "sorted" / wnid / f"{stem}.JPEG")
    found = images(source_of("--images", val / "sorted", "--boxes", val / "xml"))
    assert {i: corners(row) for i, row in found.items()} == {f"{TRUE[s]}/{s}": [(TRUE[s], 0, 0, 7, 5)] for s in STEMS}


def test_the_detection_set_has_boxes_of_all_classes_and_no_labels(val: Path, convert: Callable[..., Any]) -> None:
    (val / "xml").mkdir()
    (val / "xml" / f"{STEMS[0]}.xml").write_text(xml((DOG, 0, 0, 7, 5), (CAT, 1, 1, 2, 2)))
    (val / "xml" / f"{STEMS[1]}.xml").write_text(xml())
    (val / "val.txt").write_text(f"{STEMS[0]} 1\n{STEMS[1]} 2\n{STEMS[3]} 4\n")
    done = convert("imagenet", "--images", val / "val", "--boxes", val / "xml", "--list", val / "val.txt")
    assert {i: ([b.label for b in r.boxes], r.has_boxes, r.labels) for i, r in done.records.items()} == {
        STEMS[0]: ([DOG, CAT], True, ()),
        STEMS[1]: ([], True, ()),
    }
    assert [(r["reason"], r["record"]) for r in done.rejects] == [("image:no_label", STEMS[3])]
    assert done.manifest["has_boxes"]
    assert tuple(done.records[STEMS[0]].boxes[1].box) == pytest.approx((1 / 6, 1 / 8, 3 / 6, 3 / 8))


def test_lists_name_images_in_deeper_folders(tmp_path: Path, jpeg: Callable[..., bytes]) -> None:
    names = [f"ILSVRC2013_train/{DOG}/{DOG}_1", "ILSVRC2014_train_0000/ILSVRC2014_train_00000001"]
    for name in names:
        for root, ending in (("images", "JPEG"), ("xml", "xml")):
            (tmp_path / root / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / root / f"{name}.{ending}").write_bytes(
                jpeg() if root == "images" else xml((DOG, 0, 0, 1, 1)).encode()
            )
    (tmp_path / "train.txt").write_text("".join(f"{name} 1\n" for name in names) + "gone/away 3\n")
    rows = all_rows(
        source_of("--images", tmp_path / "images", "--list", tmp_path / "train.txt", "--boxes", tmp_path / "xml")
    )
    assert [
        (row.image_id, [x.class_key for x in row.labels], len(row.boxes)) for row in rows if isinstance(row, ImageRow)
    ] == [
        (names[1], [], 1),
        (f"{DOG}/{DOG}_1", [DOG], 1),
    ]
    assert [row.reason for row in rows if isinstance(row, Rejected)] == ["image:no_label"]


def test_kaggle_s_boxes_of_the_training_set_join_their_class_folders(
    tmp_path: Path, pictures: dict[str, dict[str, bytes]]
) -> None:
    lines = f"{DOG}_3,{DOG} 0 0 7 5 {DOG} 1 1 2 2 \n{CAT}_3,{CAT} 0 0 1 1\n{DOG}_77,{DOG} 1 1 2 2\n{DOG}_18,{DOG} 1 1\n"
    (tmp_path / "LOC_train_solution.csv").write_text(f"ImageId,PredictionString\n{lines}")
    for write in (write_class_folders, write_tar_of_tars):
        words = ["--ground-truth", tmp_path / "LOC_train_solution.csv"]
        source = source_of("--images", write(tmp_path, pictures), *words)
        rows = all_rows(source)
        found = {row.image_id: (corners(row), row.has_boxes) for row in rows if isinstance(row, ImageRow)}
        assert found[f"{DOG}/{DOG}_3"] == ([(DOG, 0, 0, 7, 5), (DOG, 1, 1, 2, 2)], True)
        assert found[f"{FISH}/{FISH}_3"] == ([], False)
        assert {len(row.labels) for row in rows if isinstance(row, ImageRow)} == {1}
        assert sorted((row.reason, row.where) for row in rows if isinstance(row, Rejected)) == [
            ("box:unknown_image", "LOC_train_solution.csv:4 box 1"),
            ("label:malformed", "LOC_train_solution.csv:5"),
        ]


def test_boxes_of_tiny_imagenet_lie_in_lists(tmp_path: Path, pictures: dict[str, dict[str, bytes]]) -> None:
    root = write_class_folders(tmp_path, pictures)
    (root / DOG / f"{DOG}_boxes.txt").write_text(f"{DOG}_3.JPEG\t0\t0\t7\t5\nbad line\n{DOG}_9.JPEG 1 1 2 2\n")
    rows = all_rows(source_of("--images", root, "--boxes", root))
    found = {row.image_id: corners(row) for row in rows if isinstance(row, ImageRow) and row.has_boxes}
    assert found == {f"{DOG}/{DOG}_3": [(DOG, 0, 0, 7, 5)]}
    assert sorted((row.reason, row.where) for row in rows if isinstance(row, Rejected)) == [
        ("box:malformed", f"{DOG}_boxes.txt:2"),
        ("box:unknown_image", f"{DOG}_boxes.txt:3"),
    ]


def test_cmyk_images_and_a_png_named_jpeg_are_found_by_their_bytes(
    tmp_path: Path, jpeg: Callable[..., bytes], convert: Callable[..., Any]
) -> None:
    buffer = io.BytesIO()
    Image.new("CMYK", (8, 6), (10, 20, 30, 40)).save(buffer, "JPEG")
    inner = {"n03062245_4620.JPEG": buffer.getvalue(), "n03062245_1.JPEG": jpeg(kind="PNG")}
    (tmp_path / "t.tar").write_bytes(tar({"n03062245.tar": tar(inner)}))
    done = convert("imagenet", "--images", tmp_path / "t.tar")
    assert {i: (r.format, r.encoded) for i, r in done.records.items()} == {
        "n03062245/n03062245_4620": ("jpeg", inner["n03062245_4620.JPEG"]),
        "n03062245/n03062245_1": ("png", inner["n03062245_1.JPEG"]),
    }


def loc_val(path: Path) -> dict[str, list[tuple[object, ...]]]:
    """LOC_val_solution.csv, read another way."""
    with path.open() as stream:
        rows = {row["ImageId"]: row["PredictionString"].split() for row in csv.DictReader(stream)}
    return {
        stem: [(words[i], *map(float, words[i + 1 : i + 5])) for i in range(0, len(words), 5)]
        for stem, words in rows.items()
    }


def test_the_real_validation_set_equals_its_table_item_by_item(
    shared: Callable[..., Path], convert: Callable[..., Any]
) -> None:
    folder = shared("data", "imagenet", "val_loc")
    truth = folder / "LOC_val_solution.csv"
    expected = loc_val(truth)
    done = convert("imagenet", "--images", folder / "images", "--ground-truth", truth)
    files = {path.stem: path for path in (folder / "images").iterdir()}
    assert set(done.records) == set(files) == set(expected)
    assert len(files) == 89
    for stem, record in done.records.items():
        assert record.encoded == files[stem].read_bytes()
        assert {label.label for label in record.labels} == {words[0] for words in expected[stem]}
        size = np.array([record.width, record.height] * 2)
        boxes = [(b.label, *(np.array([b.box.xmin, b.box.ymin, b.box.xmax, b.box.ymax]) * size)) for b in record.boxes]
        for (label, *found), (stated, x0, y0, x1, y1) in zip(boxes, expected[stem], strict=True):
            assert label == stated
            assert found == pytest.approx([x0, y0, x1 + 1, y1 + 1], abs=1e-3)  # type: ignore[operator]
    assert done.counts["annotations_written"] == done.counts["annotations_in"] == 136 + 89
    assert done.counts["rejected_by_reason"] == {}


def test_the_same_boxes_as_xml_are_the_same(shared: Callable[..., Path]) -> None:
    folder = shared("data", "imagenet", "val_loc")
    table = images(source_of("--images", folder / "images", "--ground-truth", folder / "LOC_val_solution.csv"))
    found = images(source_of("--images", folder / "images", "--boxes", folder / "Annotations_CLS-LOC_converted"))
    assert {stem: corners(row) for stem, row in found.items()} == {stem: corners(row) for stem, row in table.items()}
    for stem, row in found.items():
        stated = ElementTree.parse(folder / "Annotations_CLS-LOC_converted" / f"{stem}.xml").findtext("filename")
        assert json.loads(row.extra)["filename"] == stated == stem


def test_real_tiny_imagenet_equals_its_lists(shared: Callable[..., Path]) -> None:
    folder = shared("data", "imagenet", "tiny-imagenet-subset")
    train = images(source_of("--images", folder / "train", "--boxes", folder / "train"))
    expected = {}
    for path in (folder / "train").glob("*/*_boxes.txt"):
        for line in path.read_text().splitlines():
            name, *numbers = line.split("\t")
            expected[f"{path.parent.name}/{name[:-5]}"] = [(path.parent.name, *map(float, numbers))]
    assert {image_id: corners(row) for image_id, row in train.items()} == expected
    assert len(expected) == 300
    val = images(source_of("--images", folder / "val", "--ground-truth", folder / "val" / "val_annotations.txt"))
    rows = [line.split("\t") for line in (folder / "val" / "val_annotations.txt").read_text().splitlines()]
    assert {image_id: corners(row) for image_id, row in val.items()} == {
        name[:-5]: [(wnid, *map(float, numbers))] for name, wnid, *numbers in rows
    }


def test_real_files_named_by_their_wnid_need_no_folders(shared: Callable[..., Path]) -> None:
    folder = shared("data", "imagenet", "sample_images")
    found = images(source_of("--images", folder))
    assert {(row.uri, row.labels[0].class_key, row.labels[0].source) for row in found.values()} == {
        (path.name, path.name[:9], "file_name") for path in folder.iterdir()
    }
    assert len(found) == 59


def test_memory_does_not_grow_with_the_images(tmp_path: Path) -> None:
    """Ten times the images in a tar of tars, and no more memory to read their rows."""
    import tracemalloc

    def peak(count: int) -> int:
        block = tar({f"{DOG}_{n}.JPEG": b"x" for n in range(count)})
        path = tmp_path / f"{count}.tar"
        path.write_bytes(tar({f"{DOG}.tar": block, f"{CAT}.tar": block}))
        source = source_of("--images", path, "--ground-truth", tmp_path / "truth.csv")
        tracemalloc.start()
        rows = sum(1 for piece in source.pieces()[:1] for _ in source.read(piece))
        rows += sum(1 for _ in source._files(source.pieces()[1]))
        size = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert rows == count
        return size

    (tmp_path / "truth.csv").write_text("ImageId,PredictionString\n")
    assert peak(5000) < 1.2 * peak(500) + 100_000
