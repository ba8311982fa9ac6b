"""The commands as users give them, on converted datasets: what was relabelled is what a new conversion would be."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipelines.cli_duplicates import add_duplicates
from pipelines.cli_rows import add_assemble, add_relabel, add_split
from schemas.errors import ConfigError
from tests.pipelines.duplicate_pictures import copies, encoded, scene
from tests.pipelines.row_plane_datasets import raw_records, rich_records, rows, write_dataset
from wordtree.command import held


def run(*words: object) -> int:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    subparsers = parser.add_subparsers(dest="command")
    for add in (add_relabel, add_split, add_assemble, add_duplicates):
        add(subparsers)
    texts = [str(word) for word in words]
    cut = texts.index("--") if "--" in texts else len(texts)
    args = parser.parse_args(texts[:cut])
    args.beam_args = texts[cut + 1 :]
    with held(args):
        return args.run(args)


@pytest.fixture
def animals(coco: Any) -> list[str]:
    """Twenty images of persons and dogs, with polygons, crowds and background."""
    for number in range(1, 21):
        coco.image(number)
        for k in range(number % 4):
            coco.box(number, (k, 1, 3, 2), (1, 18)[k % 2], segmentation=[[k, 1, k + 2, 1, k + 1, 3]], iscrowd=k // 2)
    return coco.write()


def test_relabel_and_assemble_give_what_a_new_conversion_gives(
    animals: list[str], tmp_path: Path, convert: Callable[..., Any], digests: Callable[[Path], Any]
) -> None:
    table = tmp_path / "labels.tsv"
    table.write_text("label\twnid\tdisplay_name\nperson\tn00007846\thuman\ndog\tn02083346\tcanine\n")
    tree = tmp_path / "t.tree"
    tree.write_text("n00001740 -1\nn00007846 0\nn02083346 0\n")
    convert("coco", *animals, "--shards", 3, "--seed", 4, out="old")
    new = ["--labels", table, "--tree", tree]
    convert("coco", *animals, "--shards", 3, "--seed", 4, *new, out="wanted")
    assert run("relabel", tmp_path / "old", tmp_path / "view", *new) == 0
    assert run("assemble", tmp_path / "view", tmp_path / "got", "--shards", 3, "--seed", 4) == 0
    want, got = digests(tmp_path / "wanted"), digests(tmp_path / "got")
    same = [
        "labels.pbtxt",
        "source.json",
        "dataset_info.json",
        "features.json",
        *(f"train-{k:05d}-of-00003.tfrecord" for k in range(3)),
    ]
    assert [got[name] for name in same] == [want[name] for name in same]
    assert rows(tmp_path / "got", "index") == rows(tmp_path / "wanted", "index")
    assert rows(tmp_path / "got", "annotations") == rows(tmp_path / "wanted", "annotations")
    wanted, made = (json.loads((tmp_path / name / "manifest.json").read_text()) for name in ("wanted", "got"))
    for field in ("classes", "shards", "tree_digest", "split", "has_boxes", "source", "source_files"):
        assert made[field] == wanted[field], field
    assert made["options"]["tree"] == wanted["options"]["tree"] == str(tree)


def test_without_a_class_relabel_rejects_what_a_new_conversion_rejects(
    animals: list[str], tmp_path: Path, convert: Callable[..., Any]
) -> None:
    table = tmp_path / "labels.tsv"
    table.write_text("label\twnid\ndog\tn02083346\n")
    new = ["--labels", table, "--on-unknown-class", "reject"]
    convert("coco", *animals, out="old")
    wanted = convert("coco", *animals, *new, out="wanted")
    assert run("relabel", tmp_path / "old", tmp_path / "view", *new) == 0
    assert run("assemble", tmp_path / "view", tmp_path / "got") == 0
    assert raw_records(tmp_path / "got") == raw_records(tmp_path / "wanted")
    told = [json.loads(line) for line in (tmp_path / "view" / "rejects.jsonl").read_text().splitlines()]
    key = lambda row: (row["image_id"], row["record"], row["reason"])  # noqa: E731
    assert sorted(map(key, told)) == sorted(map(key, wanted.rejects))


def test_real_sets_come_back_byte_by_byte(
    shared: Any, tmp_path: Path, convert: Callable[..., Any], digests: Callable[[Path], Any]
) -> None:
    coco, raccoon = shared("data", "coco", "tiny_coco"), shared("data", "voc", "raccoon")
    found = sorted(coco.rglob("*instances*train*.json")) or sorted(coco.rglob("instances*.json"))
    images = next(path for path in sorted(coco.rglob("*")) if path.is_dir() and any(path.glob("*.jpg")))
    convert("coco", "--annotations", found[0], "--images", images, out="coco")
    convert(
        "voc", "--annotations", raccoon / "annotations", "--images", raccoon / "images", "--labels", "none", out="voc"
    )
    for name in ("coco", "voc"):
        assert rows(tmp_path / name, "annotations")
        run("split", tmp_path / name, tmp_path / f"{name}-parts", "--parts", "a=0.5,b=0.5")
        both: dict[str, bytes] = {}
        for part in "ab":
            run("assemble", tmp_path / f"{name}-parts" / part, tmp_path / f"{name}-{part}")
            both |= raw_records(tmp_path / f"{name}-{part}")
        assert both == raw_records(tmp_path / name)
        run("assemble", tmp_path / name, tmp_path / f"{name}-again")
        again, first = digests(tmp_path / f"{name}-again"), digests(tmp_path / name)
        assert {k: v for k, v in again.items() if k.endswith("tfrecord")} == {
            k: v for k, v in first.items() if k.endswith("tfrecord")
        }


def test_split_by_duplicates_keeps_copies_together(
    coco: Any, tmp_path: Path, convert: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(1, 31):
        picture = scene(number // 3)
        data = encoded(picture) if number % 3 == 0 else copies(picture)["half" if number % 3 == 1 else "darker"]
        coco.image(number, data, width=None, height=None)
    convert("coco", *coco.write(), out="data")
    words = ["split", tmp_path / "data", tmp_path / "parts", "--parts", "a=0.5,b=0.5", "--by", "duplicates"]
    assert run(*words) == 0
    parts = [{int(row["image_id"]) for row in rows(tmp_path / "parts" / part, "index")} for part in "ab"]
    assert all(parts)
    assert not {number // 3 for number in parts[0]} & {number // 3 for number in parts[1]}
    assert run(*words) == 0
    assert "complete already" in capsys.readouterr().out
    run("split", tmp_path / "data", tmp_path / "by-image", "--parts", "a=0.5,b=0.5")
    straddling = [{int(row["image_id"]) // 3 for row in rows(tmp_path / "by-image" / part, "index")} for part in "ab"]
    assert straddling[0] & straddling[1], "by image they do straddle"


def test_json_and_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = write_dataset(tmp_path / "data", rich_records())
    run("relabel", data, tmp_path / "v", "--json")
    assert json.loads(capsys.readouterr().out)["annotations_written"] == 46
    run("split", data, tmp_path / "p", "--parts", "a=0.5,b=0.5", "--json")
    assert sum(json.loads(capsys.readouterr().out)["images"].values()) == 43
    run("assemble", tmp_path / "v", tmp_path / "s", "--json")
    told = json.loads(capsys.readouterr().out)
    assert (told["images_written"], told["was_complete"], told["copied"]) == (43, False, 43)
    run("assemble", tmp_path / "v", tmp_path / "s", "--json")
    told = json.loads(capsys.readouterr().out)
    assert (told["was_complete"], told["copied"]) == (True, None)
    run("assemble", tmp_path / "v", tmp_path / "s2")
    told = capsys.readouterr().out
    assert "43 of 43 records are byte by byte as they were" in told
    assert [line.split() for line in told.splitlines() if "read" in line][-2:][0] == [
        *("images", "+", "annotations", "read", "written", "rejected")
    ]
    run("assemble", tmp_path / "v", tmp_path / "none", "--dry-run")
    assert "dry run: nothing was written" in capsys.readouterr().out
    assert not (tmp_path / "none").exists()
    run("duplicates", data, "--near", -1, "--json")
    assert json.loads(capsys.readouterr().out)["clusters"] == 0
    run("duplicates", data, "--against", tmp_path / "v", "--policy", "drop", "--out", tmp_path / "d")
    out = capsys.readouterr().out
    assert "43  into" in out
    assert "kept                   0  of 43" in out
    assert "wordtree assemble" in out


def test_mistakes_are_told(tmp_path: Path) -> None:
    data = write_dataset(tmp_path / "data", rich_records())
    with pytest.raises(ConfigError, match="--parts is missing"):
        run("split", data, tmp_path / "p")
    with pytest.raises(ConfigError, match="names the parts; leave --parts out"):
        run("split", data, tmp_path / "p", "--parts", "a=1", "--by", tmp_path / "list")
    with pytest.raises(ConfigError, match="OUT is ''"):
        run("relabel", data, "")
    with pytest.raises(ConfigError, match="Beam knows no option '--bogus=1'"):
        run("assemble", data, tmp_path / "s", "--", "--bogus=1")
    assert not (tmp_path / "s").exists()


def test_other_file_systems(tmp_path: Path) -> None:
    import fsspec

    data = write_dataset(tmp_path / "data", rich_records())
    fs = fsspec.filesystem("memory")
    fs.put(str(data), "/row-plane/data", recursive=True)
    root = "memory://row-plane"
    try:
        assert run("relabel", f"{root}/data", f"{root}/view") == 0
        manifest = json.loads(fs.cat_file("/row-plane/view/manifest.json"))
        assert manifest["base"] == ["memory://row-plane/data"]
        assert run("assemble", f"{root}/view", f"{root}/shards") == 0
        fs.get("/row-plane/shards", str(tmp_path / "shards"), recursive=True)
        assert raw_records(tmp_path / "shards") == raw_records(data)
        assert run("relabel", f"{root}/data", tmp_path / "local") == 0
        assert run("assemble", tmp_path / "local", tmp_path / "again") == 0
        assert raw_records(tmp_path / "again") == raw_records(data)
        assert run("relabel", data, f"{root}/from-local") == 0
        assert json.loads(fs.cat_file("/row-plane/from-local/manifest.json"))["base"] == [str(data)]
        assert run("split", f"{root}/data", f"{root}/parts", "--parts", "a=0.5,b=0.5") == 0
        assert run("duplicates", f"{root}/data", "--policy", "drop", "--out", f"{root}/clean") == 0
        assert fs.exists("/row-plane/clean/manifest.json")
    finally:
        fs.rm("/row-plane", recursive=True)


def test_what_was_split_and_assembled_names_the_annotation_file_that_it_was_made_from(
    animals: list[str], tmp_path: Path, convert: Callable[..., Any]
) -> None:
    convert("coco", *animals, out="data")
    run("split", tmp_path / "data", tmp_path / "parts", "--parts", "a=0.5,b=0.5")
    run("assemble", tmp_path / "parts" / "b", tmp_path / "val")
    run("duplicates", tmp_path / "data", "--policy", "merge", "--out", tmp_path / "merged")
    files = {
        name: json.loads((tmp_path / name / "manifest.json").read_text())["source_files"]
        for name in ("data", "parts/b", "val", "merged")
    }
    assert files["data"] == files["parts/b"] == files["val"]
    assert [Path(file["path"]).name for file in files["val"]] == ["instances.json"]
    assert len(files["merged"]) == 2, "united boxes are in no annotation file"
