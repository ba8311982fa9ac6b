"""COCO values that no picture has, or that are no JSON: from file to shards and back, none of them ends a run."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.export_coco import export_coco
from pipelines.sources.coco import Source
from schemas.errors import ConfigError, FormatError, OutputError

Convert = Callable[..., Any]
Coco = Any
HALF = "\ud800"


def back(out: Path, name: str = "back.json") -> dict[str, Any]:
    """What the export of a dataset holds."""
    export_coco(str(out), str(out.parent / name), force=True)
    return msgspec.json.decode((out.parent / name).read_bytes())


@pytest.mark.parametrize("odd", [[1, 1, 1e30], [1e300, 1, 2], [1, 10**400, 2], [1, 1, -(2**63)], [1, 1, 2**63]])
def test_keypoints_of_no_picture_stay_in_extra(coco: Coco, convert: Convert, odd: list[float]) -> None:
    coco.image(1)
    coco.box(1, keypoints=odd, num_keypoints=1)
    coco.box(1, keypoints=[1, 2, 2], num_keypoints=1)
    done = convert("coco", *coco.write())
    assert not done.rejects
    first, second = done.records["1"].boxes
    assert (first.keypoints, len(second.keypoints)) == ((), 1)
    assert json.loads(first.extra)["keypoints"] == odd
    text = (done.out.parent / "x.json", export_coco(str(done.out), str(done.out.parent / "x.json")))[0].read_text()
    assert [a["keypoints"] for a in json.loads(text)["annotations"]] == [odd, [1, 2, 2]]


def test_numbers_beyond_every_float_cost_their_box_or_area_alone(coco: Coco, convert: Convert) -> None:
    coco.image(1)
    coco.box(1, area=10**400)
    coco.box(1, area=1e300)
    coco.box(1, [0, 0, 10**400, 2])
    coco.box(1, [0, 0, 10**30, 2])
    done = convert("coco", *coco.write())
    assert [(r["reason"], r["record"]) for r in done.rejects] == [("box:not_finite", "3")]
    assert [box.area for box in done.records["1"].boxes] == [None, None, 6]
    export_coco(str(done.out), str(done.out.parent / "x.json"))
    found = {entry["id"]: entry for entry in json.loads((done.out.parent / "x.json").read_text())["annotations"]}
    assert [found[1]["area"], found[2]["area"], found[4]["bbox"]] == [10**400, 1e300, [0, 0, 10**30, 2]]


def test_half_a_surrogate_pair_becomes_its_escape_as_text(coco: Coco, convert: Convert) -> None:
    coco.image(1, flickr=HALF, mine={HALF: [HALF]})
    coco.image(2, neg_category_ids=[HALF])
    coco.box(1, note=[HALF, float("nan"), 2**70])
    coco.box(1, segmentation=HALF)
    done = convert("coco", *coco.write())
    assert [(r["reason"], r["record"]) for r in done.rejects] == [("image:malformed", "2")]
    found = back(done.out)
    assert (found["images"][0]["flickr"], found["images"][0]["mine"]) == (r"\ud800", {r"\ud800": [r"\ud800"]})
    assert found["annotations"][0]["note"] == [r"\ud800", None, 2**70]
    assert found["annotations"][1]["segmentation"] == r"\ud800"


def test_a_head_that_is_no_json_is_told_and_can_be_exported(coco: Coco, convert: Convert) -> None:
    coco.image(1)
    coco.box(1)
    words = coco.write()
    path = Path(words[1])
    data = json.loads(path.read_text())
    path.write_text(json.dumps({**data, "info": {"x": float("nan"), "y": HALF, "z": 1.5}, "licenses": []}))
    sentences = coco.folder / "captions.json"
    sentences.write_text('{"info": Infinity, "annotations": []}')
    notes = Source(words[1], words[3], captions=str(sentences)).survey().notes
    assert [note.partition(" holds NaN")[0] for note in notes] == [f"{path}: `info`", f"{sentences}: `info`"]
    done = convert("coco", *words, "--captions", sentences)
    assert "holds NaN" in done.stdout + done.stderr
    assert back(done.out)["info"] == {"x": None, "y": r"\ud800", "z": 1.5}
    assert msgspec.json.decode((done.out / "source.json").read_bytes())["other_files"] == {"captions": {"info": None}}


def test_categories_with_ids_that_are_no_numbers_are_refused(coco: Coco) -> None:
    coco.image(1)
    coco.categories = [{"id": float("nan"), "name": "a"}]
    words = coco.write()
    with pytest.raises(FormatError, match="has the id nan"):
        Source(words[1], words[3]).survey()


def test_entries_that_cannot_be_taken_in_cost_only_themselves(coco: Coco, convert: Convert) -> None:
    coco.image(1)
    coco.box(1)
    coco.box(1)
    coco.box(1)
    words = coco.write()
    path = Path(words[1])
    text = path.read_text().replace('"id": 1, "image_id"', f'"id": {"7" * 5000}, "image_id"')
    text = text.replace('"id": 2, "image_id"', f'"deep": {"[" * 3000}{"]" * 3000}, "id": 2, "image_id"')
    path.write_text(text)
    done = convert("coco", *words)
    assert [(r["reason"], r["record"]) for r in done.rejects] == [
        ("box:malformed", "annotations[0]"),
        ("box:malformed", "annotations[1]"),
    ]
    assert [box.annotation_id for box in done.records["1"].boxes] == ["3"]


def test_the_dataset_is_not_written_into(coco: Coco, convert: Convert, tmp_path: Path) -> None:
    coco.image(1)
    coco.box(1)
    done = convert("coco", *coco.write())
    shard = next(done.out.glob("*.tfrecord"))
    before = {path.name: path.read_bytes() for path in done.out.iterdir()}
    (tmp_path / "link").symlink_to(done.out)
    for out in (shard, done.out / "new.json", tmp_path / "link" / shard.name, f"file://{shard}", done.out):
        with pytest.raises(OutputError, match="lies in the dataset"):
            export_coco(str(done.out), str(out), force=True)
    with pytest.raises(OutputError, match="lies in the dataset"):
        export_coco(str(done.out), str(tmp_path / "x.json"), captions=str(shard), force=True)
    with pytest.raises(ConfigError, match="two files"):
        export_coco(str(done.out), str(tmp_path / "x.json"), captions=str(tmp_path / "a" / ".." / "x.json"))
    assert {path.name: path.read_bytes() for path in done.out.iterdir()} == before
    export_coco(str(done.out), f"{done.out}-back.json")


def test_the_datasets_of_a_view_are_not_written_into(coco: Coco, convert: Convert, tmp_path: Path) -> None:
    relabel = pytest.importorskip("pipelines.row_plane.relabel")
    coco.image(1)
    coco.box(1)
    done = convert("coco", *coco.write())
    relabel.relabel(str(done.out), str(tmp_path / "view"), relabel.RelabelOptions(labels="none"))
    with pytest.raises(OutputError, match="lies in the dataset"):
        export_coco(str(tmp_path / "view"), str(next(done.out.glob("*.tfrecord"))), force=True)


def changed(kind: str, change: Callable[[pa.Table], pa.Table]) -> Callable[[Path], None]:
    def run(out: Path) -> None:
        (path,) = out.glob(f"*.{kind}.parquet")
        pq.write_table(change(pq.read_table(path)), path)

    return run


def column(name: str, value: Any, kind: pa.DataType) -> Callable[[pa.Table], pa.Table]:
    """Put one value into every row."""

    def change(table: pa.Table) -> pa.Table:
        at = table.schema.get_field_index(name)
        return table.set_column(at, pa.field(name, kind), pa.array([value] * len(table), kind))

    return change


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            changed("index", lambda t: t.drop_columns(["extra"])),
            "no column 'extra'; it was written by an older version",
        ),
        (changed("annotations", lambda t: t.drop_columns(["keypoints"])), "no column 'keypoints'"),
        (
            changed("annotations", column("class_id", "1", pa.string())),
            "column 'class_id' holds string; expected int32",
        ),
        (changed("index", column("uri", None, pa.string())), "column 'uri' has rows without a value"),
        (changed("annotations", column("ymin", None, pa.float32())), "a box of the tables has no corners"),
        (
            changed("annotations", column("extra", "{", pa.string())),
            "image '1': column 'extra' of the tables is damaged",
        ),
        (changed("annotations", column("extra", '{"bbox":"x"}', pa.string())), "column 'extra'"),
        (changed("annotations", column("segmentation", "[", pa.string())), "column 'segmentation'"),
        (changed("index", column("extra", "[" * 5000, pa.string())), "column 'extra'"),
        (changed("index", column("captions", '[["a"]]', pa.string())), "column 'captions'"),
        (changed("index", column("not_exhaustive", '["a"]', pa.string())), "column 'not_exhaustive'"),
        (lambda out: (out / "source.json").write_text('{"made_from":5}'), "`made_from` is damaged"),
        (lambda out: (out / "source.json").write_text('{"other_files":[]}'), "`other_files` is damaged"),
        (lambda out: (out / "source.json").write_text('{"a":' + "[" * 5000), "no JSON object"),
    ],
)
def test_damaged_tables_are_told_in_one_line(
    coco: Coco, convert: Convert, tmp_path: Path, damage: Callable[[Path], object], message: str
) -> None:
    coco.image(1)
    coco.box(1)
    done = convert("coco", *coco.write())
    damage(done.out)
    with pytest.raises(FormatError) as caught:
        export_coco(str(done.out), str(tmp_path / "x.json"), captions=str(tmp_path / "y.json"))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_paths_on_other_file_systems_are_compared_too(coco: Coco, convert: Convert) -> None:
    coco.image(1)
    coco.box(1)
    done = convert("coco", *coco.write())
    for path in done.out.iterdir():
        fsspec.filesystem("memory").pipe_file(f"/set/{path.name}", path.read_bytes())
    with pytest.raises(OutputError, match="lies in the dataset"):
        export_coco("memory://set", "memory:///set/x/../manifest.json", force=True)
    export_coco("memory://set", "memory://settled/back.json")


def test_masks_of_no_size_are_not_scaled_and_told(coco: Coco, convert: Convert) -> None:
    coco.image(1, width=16, height=12)
    coco.box(1, segmentation={"size": [0, 0], "counts": []})
    done = convert("coco", *coco.write(), "--on-size-mismatch", "scale")
    assert done.counts["kept_by_reason"] == {"box:mask_unreadable": 1}
    assert len(done.records["1"].boxes) == 1
