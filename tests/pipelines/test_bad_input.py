"""Odd files, names and options: a bad record costs itself, a user's mistake is one error of our own, nothing hangs."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import pipelines.convert
from pipelines.files import storage
from schemas.errors import ConfigError, FormatError, InputError, OutputError, RecordError, WordTreeError

Coco = Any
Convert = Callable[..., Any]


def reasons(done: Any) -> list[tuple[str, str]]:
    return [(reject["record"], reject["reason"]) for reject in done.rejects]


# One image


def test_a_name_that_cannot_be_opened_costs_one_image(coco: Coco, convert: Convert) -> None:
    coco.image(1)
    images = coco.folder / "images"
    for number, name in enumerate(("x" * 300, "a\0b", "\ud800.jpg", "loop", "pipe", "dangling"), start=2):
        coco.images.append({"id": number, "file_name": name})
    (images / "loop").symlink_to(images / "loop")
    (images / "dangling").symlink_to(images / "nowhere")
    os.mkfifo(images / "pipe")
    coco.images.append({"id": 8, "file_name": "../../../../../../../../../dev/zero"})
    coco.box("1", id="\ud800")
    done = convert("coco", *coco.write())
    assert list(done.records) == ["1"]
    assert reasons(done) == [
        ("annotations[0]", "box:malformed"),
        ("2", "image:unreadable"),
        ("3", "image:bad_path"),
        ("4", "image:malformed"),
        ("5", "image:unreadable"),
        ("6", "image:not_a_file"),
        ("7", "image:missing"),
        ("8", "image:bad_path"),
    ]


def test_a_device_is_no_file() -> None:
    with pytest.raises(RecordError) as caught:
        storage.read_item("/dev/zero")
    assert caught.value.reason == "image:not_a_file"


def test_file_names_that_are_not_utf8_cost_one_image(
    tmp_path: Path, jpeg: Callable[..., bytes], convert: Convert
) -> None:
    folder = tmp_path / "train" / "n02084071"
    folder.mkdir(parents=True)
    (folder / "good.jpg").write_bytes(jpeg())
    Path(os.fsdecode(os.fsencode(folder) + b"/caf\xe9.jpg")).write_bytes(jpeg())
    done = convert("imagenet", "--images", tmp_path / "train")
    assert list(done.records) == ["n02084071/good"]
    assert reasons(done) == [("n02084071/caf\\udce9.jpg", "image:bad_name")]
    folder.rename(Path(os.fsdecode(os.fsencode(tmp_path / "train") + b"/\xe9")))
    with pytest.raises(InputError, match="no Unicode name"):
        convert("imagenet", "--images", tmp_path / "train", "--labels", "none", out="other")


def test_voc_lists_and_folders_with_odd_names(tmp_path: Path, jpeg: Callable[..., bytes], convert: Convert) -> None:
    kit = tmp_path / "VOCdevkit" / "VOC2012"
    for name in ("Annotations", "JPEGImages", "ImageSets/Main"):
        (kit / name).mkdir(parents=True)
    corners = "<xmin>1</xmin><ymin>1</ymin><xmax>4</xmax><ymax>4</ymax>"
    text = f"<annotation><object><name>dog</name><bndbox>{corners}</bndbox></object></annotation>"
    (kit / "Annotations" / "a.xml").write_text(text)
    os.mkfifo(kit / "Annotations" / "pipe.xml")
    (kit / "JPEGImages" / "a.jpg").write_bytes(jpeg())
    (kit / "ImageSets" / "Main" / "trainval.txt").write_text(f"a\npipe\nnul\0\n{'x' * 300}\n")
    done = convert("voc", "--devkit", kit)
    assert list(done.records) == ["a"]
    assert reasons(done) == [
        ("nul\0", "image:bad_path"),
        ("pipe", "image:not_a_file"),
        ("x" * 300, "image:unreadable"),
    ]
    with pytest.raises(InputError, match=r"did you mean --devkit .*VOCdevkit/VOC2012\?"):
        convert("voc", "--devkit", kit.parent, out="other")
    Path(os.fsdecode(os.fsencode(kit) + b"/Annotations/\xe9.xml")).write_text(text)
    (kit / "Annotations" / "pipe.xml").unlink()
    words = ["--annotations", kit / "Annotations", "--images", kit / "JPEGImages"]
    assert reasons(convert("voc", *words, out="folders")) == [("\\udce9", "image:bad_name")]


# Paths


@pytest.mark.parametrize(
    ("out", "message"),
    [
        ("", "OUT is empty"),
        ("a\0b", "without NUL"),
        ("{file}", "Not a directory"),
        ("{file}/below", "Not a directory"),
        ("{folder}/" + "x" * 300, "File name too long"),
        ("nosuch://x/y", "no file system that fsspec knows"),
    ],
)
@pytest.mark.parametrize("force", [False, True])
def test_an_output_that_can_be_none_is_one_line(
    coco: Coco, tmp_path: Path, out: str, message: str, force: bool
) -> None:
    from tests.pipelines.conftest import run_words

    (tmp_path / "file").write_text("mine")
    coco.image(1)
    path = out.format(file=tmp_path / "file", folder=tmp_path)
    with pytest.raises(WordTreeError, match=message):
        run_words("coco", path, *coco.write(), *(["--force"] * force))
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("path", ["nosuch://x", "x" * 300, "a\0b", "/dev/null/x"])
@pytest.mark.parametrize("option", ["--annotations", "--images"])
def test_inputs_that_can_be_none_are_one_line(coco: Coco, convert: Convert, option: str, path: str) -> None:
    coco.image(1)
    words = coco.write()
    words[words.index(option) + 1] = path
    with pytest.raises((InputError, ConfigError)):
        convert("coco", *words)


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (["coco", "--images", "{images}", "--annotations"], "a.json"),
        (["labels", "--rows"], "a.csv"),
        (["labels", "--rows"], "a.txt"),
        (["labels", "--rows"], "a.parquet"),
        (["imagenet", "--images"], "a.tar"),
        (["imagenet", "--images"], "a.zip"),
        (["imagenet", "--images", "{images}", "--unlabelled", "--list"], "a.txt"),
        (["imagenet", "--images", "{images}", "--ground-truth"], "a.txt"),
        (["openimages", "--images", "{images}", "--boxes"], "a.csv"),
        (["voc", "--annotations", "{xml}", "--images", "{images}", "--classes"], "a.txt"),
        (["coco", "--images", "{images}", "--annotations", "{coco}", "--labels"], "a.csv"),
        (["coco", "--images", "{images}", "--annotations", "{coco}", "--tree"], "a.tree"),
    ],
)
def test_a_pointer_of_git_lfs_is_called_so(
    coco: Coco, tmp_path: Path, convert: Convert, words: list[str], name: str
) -> None:
    """Whatever file a clone without `git lfs` has in its place."""
    coco.image(1)
    _, annotations, _, images = coco.write()
    (tmp_path / "xml").mkdir()
    corners = "<xmin>1</xmin><ymin>1</ymin><xmax>4</xmax><ymax>4</ymax>"
    (tmp_path / "xml" / "1.xml").write_text(
        f"<annotation><object><name>dog</name><bndbox>{corners}</bndbox></object></annotation>"
    )
    path = tmp_path / name
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n")
    found = [word.format(images=images, coco=annotations, xml=tmp_path / "xml") for word in words]
    with pytest.raises((InputError, FormatError), match=f"{name}.* a Git LFS pointer in place of the file; fetch it"):
        convert(*found, path)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import fsspec.core

    def fail(path: str) -> None:
        raise ImportError("Install gcsfs to access Google Storage") from ModuleNotFoundError(name="gcsfs")

    monkeypatch.setattr(fsspec.core, "url_to_fs", fail)
    with pytest.raises(ConfigError, match=r"pip install gcsfs$"):
        storage.exists("gs://bucket/x")


def test_a_long_split_is_refused(coco: Coco, convert: Convert) -> None:
    coco.image(1)
    with pytest.raises(ConfigError, match="--split has 300 characters"):
        convert("coco", *coco.write(), "--split", "a" * 300)


# Running


@pytest.mark.parametrize(
    ("word", "message"),
    [("Nope", "Unexpected pipeline runner"), ("no.such.Runner", "No module"), ("DataflowRunner", "project")],
)
def test_a_runner_is_tried_before_the_output_is_begun(
    coco: Coco, tmp_path: Path, convert: Convert, word: str, message: str
) -> None:
    coco.image(1)
    with pytest.raises(ConfigError, match=f"after `--`: .*{message}"):
        convert("coco", *coco.write(), "--", f"--runner={word}")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EFBIG])
@pytest.mark.parametrize("kind", [".tfrecord", ".parquet"])
def test_a_full_disk_is_one_line(
    coco: Coco, convert: Convert, monkeypatch: pytest.MonkeyPatch, number: int, kind: str
) -> None:
    coco.image(1)
    kept = storage.writing

    def full(path: str, folder: str) -> Any:
        if path.endswith(kind):
            raise OSError(number, os.strerror(number))
        return kept(path, folder)

    with monkeypatch.context() as patch:
        patch.setattr(storage, "writing", full)
        with pytest.raises(OutputError, match=f"cannot write to .*{os.strerror(number)}"):
            convert("coco", *coco.write())
    assert convert("coco", *coco.write()).counts["images_written"] == 1


def test_other_errors_stay_what_they_are(coco: Coco, convert: Convert, monkeypatch: pytest.MonkeyPatch) -> None:
    coco.image(1)
    monkeypatch.setattr(pipelines.convert, "build", lambda pipeline, job, spooled: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        convert("coco", *coco.write())


# A finished output


@pytest.mark.parametrize("harm", ["gone", "cut"])
@pytest.mark.parametrize(
    "name",
    ["train-00001-of-00002.tfrecord", "train.index.parquet", "train.annotations.parquet", "labels.pbtxt"],
)
def test_a_finished_output_that_lost_a_file_is_made_again(
    coco: Coco,
    convert: Convert,
    digests: Callable[[Path], Any],
    harm: str,
    name: str,
) -> None:
    for number in range(1, 7):
        coco.image(number)
        coco.box(number)
    words = [*coco.write(), "--shards", 2]
    first = convert("coco", *words)
    before = digests(first.out)
    path = first.out / name
    if harm == "gone":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-1] if name != "labels.pbtxt" else b"")
    again = convert("coco", *words)
    assert f"{name} " in again.stderr
    assert "converting again" in again.stderr
    assert "complete already" not in again.stdout
    assert digests(first.out) == before


def test_lost_rejects_are_made_again_and_told_again(coco: Coco, convert: Convert) -> None:
    for number in range(1, 6):
        coco.image(number, data=b"" if number > 1 else None)
    words = coco.write()
    first = convert("coco", *words)
    (first.out / "rejects.jsonl").unlink()
    assert "complete already" not in convert("coco", *words).stdout
    told = convert("coco", *words).stdout
    assert "complete already" in told
    assert "rejected          4  image:empty" in told
    assert f"… and 1 more in {first.out}/rejects.jsonl" in told


# Annotations


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"categories": [{"id": 1, "name": "person"}, {"id": 1.0, "name": "dog"}]},
            r"id 1 stands twice \('person', 'd",
        ),
        ({"categories": [{"id": 1, "name": "\ud800"}]}, "no Unicode text"),
        ({"categories": [{"id": 2**31, "name": "dog"}]}, "2147483648 is too large"),
        ({"annotations": None}, "`annotations` is null; expected a list"),
        ({"annotations": {"1": {}}}, "`annotations` is an object; expected a list"),
        ({"images": None}, "`images` is null; expected a list"),
        ({"images": {}}, "`images` is an object; expected a list"),
        ({"categories": None}, "`categories` is null; expected a list"),
        ({"categories": 5}, "`categories` is 5; expected a list"),
    ],
)
def test_a_wrong_coco_file_is_one_line(
    coco: Coco, tmp_path: Path, convert: Convert, change: dict[str, Any], message: str
) -> None:
    coco.image(1)
    words = coco.write()
    path = Path(words[1])
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(WordTreeError, match=message):
        convert("coco", *words)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b'"1.jpg"', b'"\xff"', "not UTF-8"),
        (b'"dog"', b'"\xff"', "not UTF-8"),
    ],
    ids=["file name", "class name"],
)
def test_bytes_that_no_reader_takes_are_one_line(
    coco: Coco, convert: Convert, old: bytes, new: bytes, message: str
) -> None:
    coco.image(1)
    words = coco.write()
    path = Path(words[1])
    path.write_bytes(path.read_bytes().replace(old, new, 1))
    with pytest.raises(WordTreeError, match=message):
        convert("coco", *words, "--dry-run")


@pytest.mark.parametrize(
    "entry",
    [b'"id": ' + b"1" * 5000, b'"id": 1, "x": ' + b"[" * 100_000 + b"]" * 100_000],
    ids=["long number", "deep list"],
)
def test_an_entry_that_no_reader_takes_costs_itself_alone(coco: Coco, convert: Convert, entry: bytes) -> None:
    coco.image(1)
    coco.image(2)
    words = coco.write()
    path = Path(words[1])
    path.write_bytes(path.read_bytes().replace(b'"id": 1', entry, 1))
    done = convert("coco", *words)
    assert set(done.records) == {"2"}
    assert [r["reason"] for r in done.rejects] == ["image:malformed"]


def test_category_ids_of_odd_digits_are_text(coco: Coco, convert: Convert) -> None:
    coco.categories = [{"id": "²", "name": "dog"}, {"id": "7", "name": "cat"}]
    coco.image(1)
    coco.box(1, category="²")
    assert [box.class_id for box in convert("coco", *coco.write()).records["1"].boxes] == [1]
