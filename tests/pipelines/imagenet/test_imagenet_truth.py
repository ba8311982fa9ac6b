"""Ground truths of ImageNet's validation sets, in every form."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.imagenet.lines import lines_of
from pipelines.rows import ImageRow, Rejected
from pipelines.sources.imagenet import BoxedSource
from schemas.errors import ConfigError, FormatError, InputError
from tests.pipelines.imagenet_sets import (
    CAT,
    CLASSES,
    DOG,
    FISH,
    STEMS,
    TRUE,
    TRUTHS,
    all_rows,
    corners,
    images,
    make_pictures,
    make_val,
    source_of,
    write_class_folders,
)


@pytest.fixture(name="pictures")
def pictures_fixture(jpeg: Callable[..., bytes]) -> dict[str, dict[str, bytes]]:
    return make_pictures(jpeg)


@pytest.fixture
def val(tmp_path: Path, jpeg: Callable[..., bytes]) -> Path:
    return make_val(tmp_path, jpeg)


def test_options_that_fit_the_other_kind_are_refused(val: Path) -> None:
    with pytest.raises(ConfigError, match="below a folder"):
        source_of("--images", val / "val.tar", "--list", val / "list.txt")
    with pytest.raises(ConfigError, match="give that folder itself"):
        source_of("--images", val / "val", "--inside", "x/")


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


def test_lines_are_read_in_stretches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.imagenet.lines.AT_ONCE", 7)
    lines = ["\u00fcber alles", "", "x" * 30, "\u20ac" * 9, "last"]
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbf" + "\r\n".join(lines).encode())
    assert list(lines_of(str(tmp_path / "a.txt"), "list")) == lines
    with pytest.raises(InputError, match=r"list .*none\.txt' does not exist"):
        list(lines_of(str(tmp_path / "none.txt"), "list"))


def test_an_image_that_a_ground_truth_names_again_is_a_reject(val: Path) -> None:
    lines = [f"{stem}.JPEG {TRUE[stem]}" for stem in STEMS]
    (val / "truth").write_text("\n".join([*lines, f"{STEMS[0]}.JPEG {FISH}"]) + "\n")
    rows = all_rows(source_of("--images", val / "val", "--ground-truth", val / "truth"))
    found = {row.image_id: [label.class_key for label in row.labels] for row in rows if isinstance(row, ImageRow)}
    assert found == {stem: [TRUE[stem]] for stem in STEMS}
    (reject,) = (row for row in rows if isinstance(row, Rejected))
    where = f"truth:{len(STEMS) + 1}"
    assert (reject.reason, reject.image_id, reject.where) == ("label:duplicate", STEMS[0], where)
    assert reject.found == f"{STEMS[0]} a second time; truth:1 was taken"


def test_an_id_with_two_wnids_is_refused(val: Path) -> None:
    (val / "truth").write_text(TRUTHS["ids"])
    (val / "synsets.txt").write_text(f"1 {DOG}\n2 {CAT}\n3 {FISH}\n01 {CAT}\n")
    source = source_of("--images", val / "val", "--ground-truth", val / "truth", "--synsets", val / "synsets.txt")
    with pytest.raises(FormatError, match=r"line 4: id 01 stands there a second time, with another wnid"):
        source.survey()
