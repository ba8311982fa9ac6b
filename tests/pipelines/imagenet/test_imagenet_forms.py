"""ImageNet in all the ways in which its images lie on disk: the same images by each."""

from __future__ import annotations

import argparse
import io
import pickle
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from pipelines.cli import add_convert
from pipelines.files.archives import read_member
from pipelines.rows import ImageRow, Rejected
from schemas.errors import FormatError, InputError
from tests.pipelines.imagenet_sets import (
    CAT,
    CLASSES,
    DOG,
    FISH,
    FORMS,
    all_rows,
    images,
    make_pictures,
    source_of,
    tar,
    write_tar_of_folders,
    write_tar_of_tars,
)


@pytest.fixture(name="pictures")
def pictures_fixture(jpeg: Callable[..., bytes]) -> dict[str, dict[str, bytes]]:
    return make_pictures(jpeg)


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


def test_a_class_may_have_several_tars_and_a_folder_above(tmp_path: Path, jpeg: Callable[..., bytes]) -> None:
    first, second = tar({"a.JPEG": jpeg()}), tar({"b.JPEG": jpeg(seed=1)})
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for data in (first, second):
            entry = tarfile.TarInfo(f"winter21_whole/{DOG}.tar")
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    (tmp_path / "w.tar").write_bytes(buffer.getvalue())
    assert list(images(source_of("--images", tmp_path / "w.tar"))) == [f"{DOG}/a", f"{DOG}/b"]


def test_tars_in_a_zip_are_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "t.zip", "w") as archive:
        archive.writestr(f"{DOG}.tar", tar({}))
    with pytest.raises(InputError, match="unpack it once"):
        source_of("--images", tmp_path / "t.zip").survey()


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


@pytest.mark.parametrize("page", ["imagenet", "voc"])
def test_the_commands_of_the_documents_are_understood(page: str) -> None:
    lines = (Path(__file__).parents[3] / "docs" / f"{page}.md").read_text().splitlines()
    commands = [line.split() for line in lines if line.startswith(f"wordtree convert {page} ")]
    assert len(commands) >= 3
    parser = argparse.ArgumentParser(allow_abbrev=False)
    add_convert(parser.add_subparsers())
    for words in commands:
        parser.parse_args(words[1:])
