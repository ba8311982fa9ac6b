"""Parts of a dataset: every image in one of them, by its id alone, and copies of a picture together."""

from __future__ import annotations

import json
from hashlib import blake2b
from pathlib import Path

import pytest

from pipelines.row_plane.split import Part, parse_parts, part_of, split, uniform
from schemas.errors import ConfigError, FormatError, InputError, OutputError
from tests.pipelines.row_plane_datasets import box, image, rich_records, rows, write_dataset

PARTS = parse_parts("train=0.7,val=0.2,test=0.1")


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    return write_dataset(tmp_path / "data", rich_records())


def ids(folder: Path) -> list[str]:
    return [row["image_id"] for row in rows(folder, "index")]


def test_every_image_and_annotation_is_in_one_part_in_the_order_that_it_had(dataset: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = split(str(dataset), str(out), parts=PARTS, seed=5)

    def expected(image_id: str) -> str:
        digest = blake2b(image_id.encode(), key=b"wordtree split 5", digest_size=8).digest()
        number = int.from_bytes(digest, "big") / 2**64
        return "train" if number < 0.7 else "val" if number < 0.7 + 0.2 else "test"

    everything = ids(dataset)
    for part in ("train", "val", "test"):
        assert ids(out / part) == [name for name in everything if expected(name) == part]
        want = [row for row in rows(dataset, "annotations") if expected(row["image_id"]) == part]
        assert [{k: v for k, v in row.items() if k != "origin"} for row in rows(out / part, "annotations")] == want
        assert (out / part / f"{part}.index.parquet").exists()
        manifest = done.parts[part]
        assert manifest.split == part
        assert manifest.base == ("../../data",)
        assert manifest.counts.images_in == manifest.counts.images_written == len(ids(out / part))
        assert (out / part / "labels.pbtxt").read_text() == (dataset / "labels.pbtxt").read_text()
    summary = json.loads((out / "split.json").read_text())
    assert sum(summary["images"].values()) == summary["images_in"] == 43
    assert sum(summary["annotations"].values()) == 46


def test_shares_are_met_and_later_images_move_no_others() -> None:
    keys = [f"image {number}" for number in range(20_000)]
    found = [part_of(key, PARTS, 0) for key in keys]
    for part in PARTS:
        assert abs(found.count(part.name) / len(keys) - part.share) < 0.01
    assert [part_of(key, PARTS, 1) for key in keys] != found
    assert all(0 <= uniform(key, 0) < 1 for key in keys)
    bigger = parse_parts("train=0.7,val=0.3")
    moved = [key for key, part in zip(keys, found, strict=True) if part == "train" and part_of(key, bigger, 0) != part]
    assert not moved, "the share of the first part did not change"


def test_a_second_run_finds_all_and_a_lost_part_is_written_again(dataset: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    split(str(dataset), str(out), parts=PARTS)
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    assert split(str(dataset), str(out), parts=PARTS).was_complete
    (out / "val" / "val.index.parquet").unlink()
    (out / "split.json").unlink()
    assert not split(str(dataset), str(out), parts=PARTS).was_complete
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before
    with pytest.raises(OutputError, match="made differently"):
        split(str(dataset), str(out), parts=PARTS, seed=1)
    with pytest.raises(OutputError, match="holds other files"):
        split(str(dataset), str(out), parts=parse_parts("train=0.7,val=0.3"))


def test_a_list_says_where_each_image_goes(dataset: Path, tmp_path: Path) -> None:
    path = tmp_path / "list.tsv"
    everything = ids(dataset)
    chosen = {name: ("a", "b", "-")[number % 3] for number, name in enumerate(everything)}
    path.write_text("# image, part\n" + "".join(f"{name}\t{part}\n" for name, part in chosen.items()))
    done = split(str(dataset), str(tmp_path / "out"), list_path=str(path))
    assert sorted(done.parts) == ["a", "b"]
    for part in ("a", "b"):
        assert ids(tmp_path / "out" / part) == [name for name in everything if chosen[name] == part]
    lines = [json.loads(line) for line in (tmp_path / "out" / "left_out.jsonl").read_text().splitlines()]
    assert [line["record"] for line in lines] == [name for name in everything if chosen[name] == "-"]
    assert {line["reason"] for line in lines} == {"image:in_no_part"}
    assert done.left_out == len(lines)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("everything\ta\n", "names no part for 42 of 43 images"),
        ("everything a\n", "line 1: found 'everything a'; expected image id, tab, part"),
        ("everything\ta\neverything\tb\n", "line 2: image 'everything' stands there a second time"),
        ("nobody\ta\n", "line 1: there is no image 'nobody'"),
    ],
)
def test_a_list_that_is_none_is_named(dataset: Path, tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "list.tsv"
    path.write_text(text)
    with pytest.raises(FormatError, match=message):
        split(str(dataset), str(tmp_path / "out"), list_path=str(path))
    with pytest.raises(InputError, match="list of parts"):
        split(str(dataset), str(tmp_path / "out"), list_path=str(tmp_path / "none"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("train=0.9", "add up to 0.9; expected 1"),
        ("train=0.9,train=0.1", "a name stands there twice"),
        ("train", "expected NAME=SHARE"),
        ("train=x,val=0.1", "expected NAME=SHARE"),
        ("train=1.5,val=-0.5", "expected NAME=SHARE"),
        ("../x=1", "letters, digits"),
        ("=1", "letters, digits"),
    ],
)
def test_parts_that_are_none_are_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_parts(text)
    assert parse_parts("a=0.1,b=0.2,c=0.7") == (Part("a", 0.1), Part("b", 0.2), Part("c", 0.7))


def test_copies_of_a_picture_never_straddle(tmp_path: Path) -> None:
    names = [f"i{number:02d}" for number in range(40)]
    records = [image(name, boxes=[box(1)], data=f"picture {k // 4}".encode()) for k, name in enumerate(names)]
    data = write_dataset(tmp_path / "data", records)
    keys = {name: names[k // 4 * 4] for k, name in enumerate(names)}
    halves = parse_parts("a=0.5,b=0.5")
    split(str(data), str(tmp_path / "out"), parts=halves, keys=keys, keys_told="duplicates")
    for part in "ab":
        found = set(ids(tmp_path / "out" / part))
        assert found
        assert found == {name for name in names if part_of(keys[name], halves, 0) == part}
