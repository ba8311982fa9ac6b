"""Views: they name shards of other directories by paths that survive a move, and never look whole when they are not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipelines.row_plane.relabel import RelabelOptions, relabel
from pipelines.row_plane.view import Origin, open_rows, parse_origin, path_from
from pipelines.row_plane.view_writer import ViewWriter
from schemas.dataset_files import RecordPlace, open_dataset_files
from schemas.errors import ConfigError, FormatError, InputError, OutputError
from tests.pipelines.row_plane_datasets import raw_records, rich_records, rows, write_dataset

KEEP = RelabelOptions()


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    return write_dataset(tmp_path / "all" / "data", rich_records())


def test_an_unchanged_view_says_what_the_dataset_says(dataset: Path, tmp_path: Path) -> None:
    out = tmp_path / "all" / "views" / "v"
    manifest = relabel(str(dataset), str(out), KEEP).manifest
    assert manifest.base == ("../../data",)
    assert manifest.is_view
    assert sum(shard.records for shard in manifest.shards) == 43 == manifest.counts.images_written
    assert not list(out.glob("*.tfrecord"))
    theirs, ours = rows(dataset, "index"), rows(out, "index")
    assert [{**row, "shard": f"../../data/{row['shard']}"} for row in theirs] == ours
    assert [{**row, "origin": ""} for row in rows(dataset, "annotations")] == rows(out, "annotations")
    assert (out / "source.json").read_text() == (dataset / "source.json").read_text()
    assert sorted(path.name for path in out.iterdir()) == [
        "labels.pbtxt",
        "manifest.json",
        "rejects.jsonl",
        "source.json",
        "train.annotations.parquet",
        "train.index.parquet",
    ]


def test_records_are_read_through_a_view_also_after_both_were_moved(dataset: Path, tmp_path: Path) -> None:
    relabel(str(dataset), str(tmp_path / "all" / "v"), KEEP)
    (tmp_path / "all").rename(tmp_path / "moved")
    view, raw = tmp_path / "moved" / "v", raw_records(tmp_path / "moved" / "data")
    files = open_dataset_files(str(view))
    for row in rows(view, "index")[::7]:
        place = RecordPlace(row["image_id"], row["shard"], row["offset"], row["length"])
        assert files.read(place).encoded == f"bytes of {row['image_id']}".encode()
        assert row["length"] == len(raw[row["image_id"]]) + 16


def test_a_view_through_a_link_finds_its_dataset(dataset: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere" / "deep").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere" / "deep")
    relabel(str(dataset), str(tmp_path / "link" / "v"), KEEP)
    found = open_rows(str(tmp_path / "link" / "v"))
    found.check_shards()
    assert found.bases() == (str(dataset),)


def test_a_view_of_a_view_refers_to_the_dataset(dataset: Path, tmp_path: Path) -> None:
    relabel(str(dataset), str(tmp_path / "all" / "v"), KEEP)
    manifest = relabel(str(tmp_path / "all" / "v"), str(tmp_path / "w"), KEEP).manifest
    assert manifest.base == ("../all/data",)
    (tmp_path / "all" / "v" / "manifest.json").unlink()
    open_rows(str(tmp_path / "w")).check_shards()


def test_the_manifest_of_a_dataset_has_no_base_and_old_ones_are_read(dataset: Path) -> None:
    text = (dataset / "manifest.json").read_text()
    assert "base" not in json.loads(text)
    assert open_dataset_files(str(dataset)).manifest.base == ()


def test_training_refuses_a_view_and_says_what_to_do(dataset: Path, tmp_path: Path) -> None:
    from detector.dataset import open_dataset

    relabel(str(dataset), str(tmp_path / "v"), KEEP)
    with pytest.raises(InputError, match=r"is a view: .*all/data .*wordtree assemble .*v OUT`"):
        open_dataset(str(tmp_path / "v"))
    assert len(open_dataset(str(dataset))) == 43


def test_a_dataset_that_changed_under_its_view_is_refused(dataset: Path, tmp_path: Path) -> None:
    relabel(str(dataset), str(tmp_path / "v"), KEEP)
    shard = dataset / "train-00001-of-00003.tfrecord"
    shard.write_bytes(shard.read_bytes()[:-1])
    with pytest.raises(InputError, match=r"train-00001.* has \d+ bytes, not \d+; its dataset was changed or moved"):
        open_rows(str(tmp_path / "v")).check_shards()
    shard.unlink()
    with pytest.raises(InputError, match="is missing"):
        open_rows(str(tmp_path / "v")).check_shards()


def test_a_finished_view_is_left_alone_and_another_is_not_overwritten(dataset: Path, tmp_path: Path) -> None:
    out = tmp_path / "v"
    assert not relabel(str(dataset), str(out), KEEP).was_complete
    before = {path: path.stat().st_mtime_ns for path in out.iterdir()}
    assert relabel(str(dataset), str(out), KEEP).was_complete
    assert {path: path.stat().st_mtime_ns for path in out.iterdir()} == before
    with pytest.raises(OutputError, match="made differently"):
        relabel(str(dataset), str(out), RelabelOptions(labels="none"))
    for place in (dataset, out, tmp_path / "all" / ".." / "all" / "data"):
        with pytest.raises(ConfigError, match="is read from; give another folder"):
            relabel(str(out), str(place), KEEP, force=True)
    assert len(raw_records(dataset)) == 43
    relabel(str(dataset), str(out), RelabelOptions(labels="none"), force=True)
    assert {row["wnid"] for row in rows(out, "annotations")} == {""}


def test_a_view_that_lost_a_table_is_written_again(dataset: Path, tmp_path: Path) -> None:
    out = tmp_path / "v"
    relabel(str(dataset), str(out), KEEP)
    text = (out / "train.index.parquet").read_bytes()
    (out / "train.index.parquet").unlink()
    assert not relabel(str(dataset), str(out), KEEP).was_complete
    assert (out / "train.index.parquet").read_bytes() == text


def test_files_of_others_are_not_touched(dataset: Path, tmp_path: Path) -> None:
    out = tmp_path / "v"
    out.mkdir()
    (out / "notes.txt").write_text("mine")
    with pytest.raises(OutputError, match=r"no dataset \(notes.txt\)"):
        relabel(str(dataset), str(out), KEEP)
    relabel(str(dataset), str(out), KEEP, force=True)
    assert (out / "notes.txt").read_text() == "mine"


def test_a_view_that_fails_has_no_manifest_and_the_same_command_ends_it(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, real = tmp_path / "v", ViewWriter.finish

    def fail(self: ViewWriter, *args: object, **words: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(ViewWriter, "finish", fail)
    with pytest.raises(KeyboardInterrupt):
        relabel(str(dataset), str(out), KEEP)
    assert [path.name for path in out.iterdir()] == [".work"]
    monkeypatch.setattr(ViewWriter, "finish", real)
    relabel(str(dataset), str(out), KEEP)
    assert not (out / ".work").exists()
    assert len(rows(out, "annotations")) == 46


def test_annotations_of_unknown_images_are_named(dataset: Path, tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    path = dataset / "train.annotations.parquet"
    table = pq.read_table(path)
    at = table.schema.get_field_index("image_id")
    names = ["nobody", *table["image_id"].to_pylist()[1:]]
    pq.write_table(table.set_column(at, table.schema.field(at), [names]), path)
    with pytest.raises(FormatError, match="name image 'nobody', which the index does not"):
        relabel(str(dataset), str(tmp_path / "v"), KEEP)


def test_tables_of_an_older_version_are_refused_in_one_line(dataset: Path, tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    path = dataset / "train.index.parquet"
    pq.write_table(pq.read_table(path).drop_columns(["has_boxes"]), path)
    with pytest.raises(FormatError, match="no column 'has_boxes'; it was written by an older version"):
        relabel(str(dataset), str(tmp_path / "v"), KEEP)


def test_paths_and_origins() -> None:
    assert path_from("/a/b", "gs://bucket/c") == "gs://bucket/c"
    assert path_from("/a/b", "/a/c/x.tfrecord") == "../c/x.tfrecord"
    assert path_from("gs://bucket/v", "/a/c") == "/a/c"
    place = Origin("../a@b+c/x.tfrecord", 12, 345)
    assert parse_origin(place.text()) == place
    for text in ("", "x", "x@1", "x@1+", "@1+2", "x@-1+2"):
        with pytest.raises(FormatError, match="no place of a record"):
            parse_origin(text)


def test_a_view_is_counted_as_a_dataset_is(dataset: Path, tmp_path: Path) -> None:
    relabel(str(dataset), str(tmp_path / "v"), KEEP)
    theirs, ours = (open_dataset_files(str(path)) for path in (dataset, tmp_path / "v"))
    assert ours.class_counts() == theirs.class_counts()
    found = ours.small_examples(2, small=100, max_bytes=10_000)
    assert {number: [place.image_id for place in places] for number, places in found.items()} == {
        number: [place.image_id for place in places]
        for number, places in theirs.small_examples(2, small=100, max_bytes=10_000).items()
    }
    assert ours.read(found[7][0]).encoded
