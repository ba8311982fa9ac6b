"""Names that say their class, names with blanks, and truths that fit none of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines.imagenet.naming import label_of_name
from pipelines.rows import ImageRow, Rejected
from schemas.errors import InputError
from tests.pipelines.imagenet_sets import CAT, DOG, all_rows, corners, images, source_of, tar

XML = (
    f"<annotation><size><width>8</width><height>6</height></size><object><name>{DOG}</name>"
    "<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>4</xmax><ymax>4</ymax></bndbox></object></annotation>"
)
OF_HUGGING_FACE = {"ILSVRC2012_val_00000293": DOG, "ILSVRC2012_val_00000017": CAT}


@pytest.mark.parametrize(
    ("name", "label"),
    [
        (f"{DOG}_10026", DOG),
        (f"{DOG}_10026_{DOG}", DOG),
        (f"ILSVRC2012_val_00000293_{DOG}", DOG),
        (f"my dog_{DOG}", DOG),
        (f"{DOG}_1_{CAT}", ""),
        (DOG, ""),
        (f"{DOG}-dog", ""),
        (f"x{DOG}_1", ""),
        (f"x_{DOG}_1", ""),
        ("ILSVRC2012_val_00000293", ""),
    ],
)
def test_a_name_says_its_class_at_its_beginning_or_its_end(name: str, label: str) -> None:
    assert label_of_name(name) == label


@pytest.fixture
def val(tmp_path: Path, jpeg: Callable[..., bytes]) -> Path:
    """A validation set as Hugging Face names it, as a folder and as a tar."""
    files = {f"{stem}_{wnid}.JPEG": jpeg() for stem, wnid in OF_HUGGING_FACE.items()}
    (tmp_path / "val").mkdir()
    for name, data in files.items():
        (tmp_path / "val" / name).write_bytes(data)
    (tmp_path / "val.tar").write_bytes(tar(files))
    return tmp_path


@pytest.mark.parametrize("place", ["val", "val.tar"])
def test_images_of_hugging_face_s_archives_have_the_class_of_their_name(val: Path, place: str) -> None:
    found = images(source_of("--images", val / place))
    assert {name: row.labels[0].class_key for name, row in found.items()} == {
        f"{wnid}/{stem}": wnid for stem, wnid in OF_HUGGING_FACE.items()
    }
    assert {row.labels[0].source for row in found.values()} == {"file_name"}


def test_official_truths_and_boxes_find_the_images_of_hugging_face(val: Path) -> None:
    (val / "truth").write_text("".join(f"{stem}.JPEG {wnid}\n" for stem, wnid in OF_HUGGING_FACE.items()))
    (val / "boxes").mkdir()
    (val / "boxes" / "ILSVRC2012_val_00000293.xml").write_text(XML)
    found = images(source_of("--images", val / "val", "--ground-truth", val / "truth", "--boxes", val / "boxes"))
    assert {name: [x.class_key for x in row.labels] for name, row in found.items()} == {
        f"{wnid}/{stem}": [wnid] for stem, wnid in OF_HUGGING_FACE.items()
    }
    assert corners(found[f"{DOG}/ILSVRC2012_val_00000293"]) == [(DOG, 1, 1, 4, 4)]
    (val / "order").write_text(f"{CAT}\n{DOG}\n")  # in the order of the names
    by_order = images(source_of("--images", val / "val", "--ground-truth", val / "order"))
    assert {row.labels[-1].class_key for row in by_order.values() if len(row.labels) == 1} == {CAT, DOG}


def test_training_images_of_hugging_face_have_their_official_ids(tmp_path: Path, jpeg: Callable[..., bytes]) -> None:
    (tmp_path / "train" / DOG).mkdir(parents=True)
    (tmp_path / "train" / DOG / f"{DOG}_18_{DOG}.JPEG").write_bytes(jpeg())
    (row,) = all_rows(source_of("--images", tmp_path / "train"))
    assert isinstance(row, ImageRow)
    assert (row.image_id, row.uri) == (f"{DOG}/{DOG}_18", f"{DOG}/{DOG}_18_{DOG}.JPEG")


def test_a_truth_that_fits_no_image_is_told_as_given(val: Path, jpeg: Callable[..., bytes]) -> None:
    (val / "mine").mkdir()
    (val / "mine" / "photo 1.jpg").write_bytes(jpeg())
    (val / "truth").write_text(f"other.jpg {DOG}\n")
    plain = source_of("--images", val / "mine")
    with pytest.raises(InputError, match="by its name; give --ground-truth FILE"):
        plain.survey()
    given = source_of("--images", val / "mine", "--ground-truth", val / "truth")
    with pytest.raises(
        InputError, match=r"in --ground-truth '.*truth', which names others, such as 'other'.*'photo 1'"
    ):
        given.survey()
    (val / "empty").mkdir()
    boxes = source_of("--images", val / "mine", "--boxes", val / "empty")
    with pytest.raises(InputError, match=r"in --boxes '.*empty', which says nothing about them"):
        boxes.survey()


def test_names_with_blanks_are_whole_in_truths_and_lists(tmp_path: Path, jpeg: Callable[..., bytes]) -> None:
    names = ("my dog (1).jpg", "my dog.jpg", "photo 1.JPEG", "photo.JPEG", "photo 2.JPEG")
    (tmp_path / "flat").mkdir()
    for name in names:
        (tmp_path / "flat" / name).write_bytes(jpeg())
    (tmp_path / "truth").write_text(
        f"my dog (1).jpg {DOG}\nmy dog.jpg,{CAT}\nphoto 1.JPEG\t{DOG} 1 1 4 4\nphoto.JPEG {CAT}\nphoto 2.JPEG  {CAT}\n"
    )
    truth = ["--ground-truth", tmp_path / "truth"]
    found = images(source_of("--images", tmp_path / "flat", *truth))
    assert {name: [label.class_key for label in row.labels] for name, row in found.items()} == {
        "my dog (1)": [DOG],
        "my dog": [CAT],
        "photo 1": [DOG],
        "photo": [CAT],
        "photo 2": [CAT],
    }
    (tmp_path / "list").write_text("my dog (1).jpg\r\nphoto 1\nphoto 7\nphoto 4\nmy dog.jpg -1\n")
    listed = source_of("--images", tmp_path / "flat", *truth, "--list", tmp_path / "list")
    rows = [row for row in all_rows(listed) if isinstance(row, ImageRow) or row.kind == "image"]
    taken = [(row.image_id, row.uri if isinstance(row, ImageRow) else row.where) for row in rows]
    assert taken == [
        ("my dog", "my dog.jpg"),
        ("my dog (1)", "my dog (1).jpg"),
        ("photo", "photo.JPEG"),  # line 4, numbered as lists of ImageNet are
        ("photo 1", "photo 1.JPEG"),
        ("photo 7", "photo 7.JPEG"),  # of which nothing is known, and which is missing
    ]


def test_classes_and_boxes_with_blanks_in_their_names_are_whole(tmp_path: Path, jpeg: Callable[..., bytes]) -> None:
    for folder, name in (("hot dog", "a b.jpg"), ("hot", "c.jpg")):
        (tmp_path / "train" / folder).mkdir(parents=True)
        (tmp_path / "train" / folder / name).write_bytes(jpeg())
    (tmp_path / "classes").write_text("hot dog\n")
    (tmp_path / "boxes" / "hot dog").mkdir(parents=True)
    (tmp_path / "boxes" / "hot dog" / "hot dog_boxes.txt").write_text("a b.jpg 1 1 4 4\nbad 1 1 4\n")
    source = source_of("--images", tmp_path / "train", "--wnids", tmp_path / "classes", "--boxes", tmp_path / "boxes")
    rows = all_rows(source)
    assert [(row.image_id, corners(row)) for row in rows if isinstance(row, ImageRow)] == [
        ("hot dog/a b", [("hot dog", 1, 1, 4, 4)])
    ]
    assert [(row.reason, row.where) for row in rows if isinstance(row, Rejected)] == [
        ("box:malformed", "hot dog_boxes.txt:2")
    ]


def test_lists_of_full_paths_find_images_and_boxes(tmp_path: Path, jpeg: Callable[..., bytes]) -> None:
    (tmp_path / "val" / "a").mkdir(parents=True)
    (tmp_path / "boxes" / "a").mkdir(parents=True)
    for name in ("x 1", "y"):
        (tmp_path / "val" / "a" / f"{name}.JPEG").write_bytes(jpeg())
        (tmp_path / "boxes" / "a" / f"{name}.xml").write_text(XML)
    (tmp_path / "list").write_text(f"{tmp_path}/val/a/x 1.JPEG\nD:\\sets\\val\\a\\y\n")
    source = source_of("--images", tmp_path / "val", "--boxes", tmp_path / "boxes", "--list", tmp_path / "list")
    found = images(source)
    assert {name: (row.uri, corners(row)) for name, row in found.items()} == {
        "a/x 1": ("a/x 1.JPEG", [(DOG, 1, 1, 4, 4)]),
        "a/y": ("a/y.JPEG", [(DOG, 1, 1, 4, 4)]),
    }
