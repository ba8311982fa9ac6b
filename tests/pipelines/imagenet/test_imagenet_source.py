"""Class folders."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from schemas.errors import InputError, LabelError
from schemas.record import ImageLabel

DOG, CAT = "n02084071", "n02121620"


@pytest.fixture
def root(tmp_path: Path, jpeg: Callable[..., bytes]) -> Path:
    """Two class folders, two images each."""
    for number, folder in enumerate((DOG, CAT)):
        (tmp_path / "train" / folder).mkdir(parents=True)
        for seed in (1, 2):
            (tmp_path / "train" / folder / f"{folder}_{seed}.JPEG").write_bytes(jpeg(seed=10 * number + seed))
    return tmp_path / "train"


def test_the_folder_s_name_is_the_label(root: Path, convert: Callable[..., Any]) -> None:
    done = convert("imagenet", "--images", root)
    record = done.records[f"{DOG}/{DOG}_1"]
    assert record.labels == (ImageLabel(label=DOG, class_id=1, wnid=DOG, present=True, verified=None, source="folder"),)
    assert (record.has_boxes, record.boxes, record.format, record.uri) == (False, (), "jpeg", f"{DOG}/{DOG}_1.JPEG")
    assert [(c["id"], c["label"], c["relation"]) for c in done.manifest["classes"]] == [
        (1, DOG, "exact"),
        (2, CAT, "exact"),
    ]
    assert not done.manifest["has_boxes"]


def test_a_list_restricts_the_classes(root: Path, tmp_path: Path, convert: Callable[..., Any]) -> None:
    (tmp_path / "wnids.txt").write_text(f"{CAT} cat\n\n")
    done = convert("imagenet", "--images", root, "--wnids", tmp_path / "wnids.txt")
    assert len(done.records) == 2
    assert [c["label"] for c in done.manifest["classes"]] == [CAT]


def test_a_listed_class_without_folder_is_an_error(root: Path, tmp_path: Path, convert: Callable[..., Any]) -> None:
    (tmp_path / "wnids.txt").write_text(f"{CAT}\nn00000001\n")
    with pytest.raises(InputError, match=r"1 have no folder.*n00000001"):
        convert("imagenet", "--images", root, "--wnids", tmp_path / "wnids.txt")


def test_images_may_lie_one_folder_deeper(root: Path, convert: Callable[..., Any]) -> None:
    (root / DOG / "images").mkdir()
    (root / DOG / f"{DOG}_1.JPEG").rename(root / DOG / "images" / "deep.JPEG")
    (root / DOG / "boxes.txt").write_text("0 0 1 1")
    assert f"{DOG}/deep" in convert("imagenet", "--images", root).records
    (root / DOG / "images").rename(root.parent / "elsewhere")
    (root / DOG / "images").symlink_to(root.parent / "elsewhere")
    assert f"{DOG}/deep" in convert("imagenet", "--images", root, out="linked").records


def test_the_format_is_that_of_the_bytes(root: Path, jpeg: Callable[..., bytes], convert: Callable[..., Any]) -> None:
    (root / DOG / f"{DOG}_1.JPEG").write_bytes(jpeg(kind="PNG"))  # as n02105855_2933.JPEG in ImageNet
    assert convert("imagenet", "--images", root).records[f"{DOG}/{DOG}_1"].format == "png"


def test_the_same_stem_twice_is_a_repeated_id(
    root: Path, jpeg: Callable[..., bytes], convert: Callable[..., Any]
) -> None:
    (root / DOG / f"{DOG}_1.png").write_bytes(jpeg(kind="PNG"))
    done = convert("imagenet", "--images", root)
    assert [(r["reason"], r["where"]) for r in done.rejects] == [("image:duplicate_id", f"{DOG}/{DOG}_1.png")]


def test_a_folder_that_is_no_wnid_is_a_label_error(root: Path, convert: Callable[..., Any]) -> None:
    (root / "dogs").mkdir()
    with pytest.raises(LabelError, match="'dogs'"):
        convert("imagenet", "--images", root)


def test_a_folder_that_is_no_wnid_can_be_rejected_image_by_image(
    root: Path, jpeg: Callable[..., bytes], convert: Callable[..., Any]
) -> None:
    (root / "dogs").mkdir()
    (root / "dogs" / "x.jpg").write_bytes(jpeg())
    done = convert("imagenet", "--images", root, "--on-unknown-class", "reject")
    assert done.counts["rejected_by_reason"] == {"image:no_label": 1, "label:unknown_class": 1}
    assert (done.counts["images_in"], done.counts["images_written"]) == (5, 4)


def test_folders_of_other_names_work_with_a_table(root: Path, tmp_path: Path, convert: Callable[..., Any]) -> None:
    (root / DOG).rename(root / "dogs")
    (tmp_path / "map.csv").write_text(f"label,wnid\ndogs,{DOG}\n{CAT},{CAT}\n")
    done = convert("imagenet", "--images", root, "--labels", tmp_path / "map.csv")
    assert {c["label"]: c["wnid"] for c in done.manifest["classes"]} == {"dogs": DOG, CAT: CAT}


@pytest.mark.parametrize("make", ["nothing", "a file", "an empty class"])
def test_a_folder_without_images_is_an_input_error(tmp_path: Path, convert: Callable[..., Any], make: str) -> None:
    root = tmp_path / "train"
    if make != "nothing":
        root.mkdir()
    if make == "a file":
        (root / "x.jpg").write_bytes(b"")
    if make == "an empty class":
        (root / DOG).mkdir()
    with pytest.raises(InputError, match=r"does not exist|no class folder|no image"):
        convert("imagenet", "--images", root)


def test_every_file_is_written_rejected_or_told_to_be_ignored(
    root: Path, jpeg: Callable[..., bytes], convert: Callable[..., Any]
) -> None:
    (root / DOG / "images").mkdir()
    (root / DOG / "deep" / "er").mkdir(parents=True)
    (root / DOG / "deep" / "loop").symlink_to(root)
    for name in ("x.jpg", f"{DOG}/deep/y.jpg", f"{DOG}/deep/er/z.png", f"{DOG}/images/good.jpg"):
        (root / name).write_bytes(jpeg())
    for name in ("a.tiff", "no_ending", "deep/b.tar"):
        (root / DOG / name).write_bytes(b"?")
    ignored = [".DS_Store", "wnids.csv", f"{DOG}/.DS_Store", f"{DOG}/Thumbs.db", f"{CAT}/README", f"{DOG}/boxes.txt"]
    for name in ignored:
        (root / name).write_bytes(b"")
    done = convert("imagenet", "--images", root)
    assert "images   11 below" in done.stdout
    assert f"; {len(ignored)} other files ignored" in done.stdout
    assert len(done.records) == 5
    assert [(r["reason"], r["where"]) for r in done.rejects] == [
        ("image:unknown_ending", f"{DOG}/a.tiff"),
        ("image:unknown_ending", f"{DOG}/deep/b.tar"),
        ("image:not_in_class_folder", f"{DOG}/deep/er/z.png"),
        ("image:not_in_class_folder", f"{DOG}/deep/y.jpg"),
        ("image:unknown_ending", f"{DOG}/no_ending"),
        ("image:not_in_class_folder", "x.jpg"),
    ]
    assert (done.counts["images_in"], done.counts["images_rejected"]) == (11, 6)


def test_options_of_boxes_are_not_offered(root: Path, convert: Callable[..., Any]) -> None:
    with pytest.raises(SystemExit):
        convert("imagenet", "--images", root, "--on-bad-box", "reject")
