"""Shards again from a view: the same records byte by byte where rows did not change, the rows where they did."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apache_beam as beam
import pyarrow.parquet as pq
import pytest

from pipelines.beam_options import beam_options
from pipelines.planes import pixel_steps, shuffled_pixels
from pipelines.row_plane.assemble import assemble, build, make_job
from pipelines.row_plane.relabel import RelabelOptions, relabel
from pipelines.row_plane.row_elements import read_element, row_elements
from pipelines.row_plane.split import parse_parts, split
from pipelines.row_plane.view import Rows, open_rows
from pipelines.rows import shard_of, sort_key
from schemas.errors import ConfigError, FormatError, InputError, OutputError
from schemas.record import ImageRecord
from schemas.tfexample import decode_record
from tests.pipelines.row_plane_datasets import raw_records, rejects, rich_records, rows, write_dataset


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    return write_dataset(tmp_path / "data", rich_records())


def decoded(folder: Path) -> dict[str, ImageRecord]:
    return {name: decode_record(data) for name, data in raw_records(folder).items()}


def test_an_unchanged_view_gives_the_same_records_byte_by_byte(dataset: Path, tmp_path: Path) -> None:
    relabel(str(dataset), str(tmp_path / "v"), RelabelOptions())
    done = assemble(make_job(str(tmp_path / "v"), str(tmp_path / "out"), shards=4, seed=3))
    assert raw_records(tmp_path / "out") == raw_records(dataset)
    assert done.copied == 43, "all, though rows have numbers of 64 bits where records have 32"
    assert assemble(make_job(str(tmp_path / "v"), str(tmp_path / "out"), shards=4, seed=3)).copied is None
    manifest = done.manifest
    assert not manifest.is_view
    assert [shard.name for shard in manifest.shards] == [f"train-{k:05d}-of-00004.tfrecord" for k in range(4)]
    for number, shard in enumerate(manifest.shards):
        keys = [sort_key(row["image_id"], 3) for row in rows(tmp_path / "out", "index") if row["shard"] == shard.name]
        assert keys == sorted(keys)
        assert {shard_of(key, 4) for key in keys} <= {number}
    old = {row["image_id"]: row for row in rows(dataset, "index")}
    for row in rows(tmp_path / "out", "index"):
        moved = {"shard": row["shard"], "offset": row["offset"]}
        assert {**old[row["image_id"]], **moved} == row
    key = lambda row: (row["image_id"], row["kind"], row["number"])  # noqa: E731
    theirs, ours = (sorted(rows(folder, "annotations"), key=key) for folder in (dataset, tmp_path / "out"))
    assert theirs == ours
    assert (tmp_path / "out" / "source.json").exists()
    assert not (tmp_path / "out" / ".work").exists()


def test_the_detector_reads_what_was_assembled(dataset: Path, tmp_path: Path) -> None:
    from detector.dataset import open_dataset

    split(str(dataset), str(tmp_path / "parts"), parts=parse_parts("train=0.6,val=0.4"))
    found: dict[str, ImageRecord] = {}
    for part in ("train", "val"):
        assemble(make_job(str(tmp_path / "parts" / part), str(tmp_path / part)))
        opened = open_dataset(str(tmp_path / part))
        found |= {opened.image_ids[row]: opened.record(row) for row in range(len(opened))}
    assert found == decoded(dataset)


def test_changed_rows_are_in_the_records_and_masks_stay_with_their_boxes(dataset: Path, tmp_path: Path) -> None:
    table = tmp_path / "labels.tsv"
    table.write_text("label\twnid\ndog\tn02083346\nSpätzle\tn07695965\n")
    factors = tmp_path / "factors.tsv"
    factors.write_text("label\tsource\tfactor\n*\tmachine\t0.5\n")
    options = RelabelOptions(labels=str(table), on_unknown_class="reject", confidences=str(factors))
    relabel(str(dataset), str(tmp_path / "v"), options)
    assemble(make_job(str(tmp_path / "v"), str(tmp_path / "out")))
    wnids = {1: "n02083346", 7: "n07695965"}

    def expected(record: ImageRecord) -> ImageRecord:
        def said(items: Any) -> Any:
            return tuple(
                item._replace(
                    wnid=wnids[item.class_id],
                    confidence=item.confidence * (0.5 if item.source == "machine" else 1),
                )
                for item in items
                if item.class_id in wnids
            )

        left = tuple(number for number in record.not_exhaustive if number in wnids)
        return record._replace(boxes=said(record.boxes), labels=said(record.labels), not_exhaustive=left)

    want = {name: expected(record) for name, record in decoded(dataset).items()}
    assert decoded(tmp_path / "out") == want
    assert [box.mask for box in want["everything"].boxes] == [b"", b"another mask"]


def test_records_are_read_behind_the_only_shuffle(dataset: Path, tmp_path: Path) -> None:
    job = make_job(str(dataset), str(tmp_path / "out"))
    pipeline = beam.Pipeline(options=beam_options([]))
    build(pipeline, job)
    assert pixel_steps(pipeline) == ["write shards"]
    assert shuffled_pixels(pipeline) == []


def test_what_is_shuffled_is_every_row_once_and_no_pixel(dataset: Path) -> None:
    found = open_rows(str(dataset))
    elements = [element for _, element in row_elements(found, shards=3, seed=0)]
    images, annotations = [], []
    for element in elements:
        image, said = read_element(element)
        images.append(image)
        annotations += [{k: v for k, v in row.items() if k != "origin"} for row in said]
        assert b"bytes of" not in element
    assert images == rows(dataset, "index")
    assert annotations == rows(dataset, "annotations")


def test_rows_out_of_order_are_an_error_not_a_loss(dataset: Path, tmp_path: Path) -> None:
    path = dataset / "train.annotations.parquet"
    table = pq.read_table(path)
    pq.write_table(table.take(list(range(table.num_rows))[::-1]), path)
    with pytest.raises(FormatError, match="do not stand in the order of the index"):
        list(row_elements(open_rows(str(dataset)), shards=3, seed=0))


def test_rows_of_one_image_in_two_batches_are_put_together(dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import pipelines.row_plane.view as view

    whole = [element for _, element in row_elements(open_rows(str(dataset)), shards=3, seed=0)]
    monkeypatch.setattr(view, "ROWS_AT_ONCE", 2)
    assert [element for _, element in row_elements(open_rows(str(dataset)), shards=3, seed=0)] == whole


def test_two_workers_write_the_same_bytes(dataset: Path, tmp_path: Path, digests: Callable[[Path], Any]) -> None:
    for name, workers in (("one", 1), ("two", 2)):
        assemble(make_job(str(dataset), str(tmp_path / name), shards=5), workers=workers)
    assert digests(tmp_path / "one") == digests(tmp_path / "two")


def test_an_assembly_that_was_killed_is_resumed(
    dataset: Path, tmp_path: Path, digests: Callable[[Path], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    import pipelines.row_plane.assemble as module

    job = make_job(str(dataset), str(tmp_path / "out"), shards=5)
    real = module._finish
    monkeypatch.setattr(module, "_finish", lambda job: (_ for _ in ()).throw(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        assemble(job)
    out = tmp_path / "out"
    assert not (out / "manifest.json").exists()
    shards = sorted(out.glob("*.tfrecord"))
    assert len(shards) == 5
    shards[0].write_bytes(shards[0].read_bytes()[:-1])
    Path(job.work_path(1, "report.json")).unlink()
    before = {path: path.stat().st_mtime_ns for path in shards}
    monkeypatch.setattr(module, "_finish", real)
    assemble(job)
    assert {path for path in shards if path.stat().st_mtime_ns == before[path]} == set(shards[2:])
    assemble(make_job(str(dataset), str(tmp_path / "undisturbed"), shards=5))
    assert digests(out) == digests(tmp_path / "undisturbed")
    assert assemble(job).was_complete
    with pytest.raises(OutputError, match="made differently"):
        assemble(make_job(str(dataset), str(out), shards=4))
    assert len(assemble(make_job(str(dataset), str(out), shards=4), force=True).manifest.shards) == 4
    assert len(list(out.glob("*.tfrecord"))) == 4


def test_a_damaged_record_is_rejected_with_all_that_is_said_of_it(dataset: Path, tmp_path: Path) -> None:
    place = next(row for row in rows(dataset, "index") if row["image_id"] == "everything")
    shard = dataset / place["shard"]
    data = bytearray(shard.read_bytes())
    data[place["offset"] + 200] ^= 1
    shard.write_bytes(data)
    manifest = assemble(make_job(str(dataset), str(tmp_path / "out"))).manifest
    told = sorted((line["kind"], line["record"], line["reason"]) for line in rejects(tmp_path / "out"))
    assert told == [
        ("box", "a1", "box:image_rejected"),
        ("box", "a2", "box:image_rejected"),
        ("box", "everything#3", "box:image_rejected"),
        ("caption", "c1", "caption:image_rejected"),
        ("caption", "everything#caption2", "caption:image_rejected"),
        ("image", "everything", "image:damaged_record"),
        ("label", "everything#label1", "label:image_rejected"),
        ("label", "everything#label2", "label:image_rejected"),
    ]
    assert manifest.counts.rejected_by_reason["image:damaged_record"] == 1
    assert {**raw_records(tmp_path / "out"), "everything": b""}.keys() == {
        row["image_id"] for row in rows(dataset, "index")
    }


def test_a_job_is_refused_before_anything_is_written(dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--shards is -1"):
        make_job(str(dataset), str(tmp_path / "out"), shards=-1)
    with pytest.raises(ConfigError, match=r"where .* is read from; give another folder"):
        make_job(str(dataset), str(dataset) + "/")
    (dataset / "train-00000-of-00003.tfrecord").unlink()
    with pytest.raises(InputError, match="is missing"):
        make_job(str(dataset), str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_rows_travel_to_workers_without_their_tables(dataset: Path) -> None:
    import pickle

    found = open_rows(str(dataset))
    assert found.index.num_rows == 43
    again: Rows = pickle.loads(pickle.dumps(found))
    assert again == found
    assert "index" not in vars(again)


def test_an_empty_part_is_a_dataset_too(dataset: Path, tmp_path: Path) -> None:
    listed = tmp_path / "list.tsv"
    listed.write_text("".join(f"{row['image_id']}\t-\n" for row in rows(dataset, "index")[1:]))
    listed.write_text(listed.read_text() + f"{rows(dataset, 'index')[0]['image_id']}\tone\n")
    split(str(dataset), str(tmp_path / "parts"), list_path=str(listed))
    manifest = assemble(make_job(str(tmp_path / "parts" / "one"), str(tmp_path / "out"), shards=3)).manifest
    assert sorted(shard.records for shard in manifest.shards) == [0, 0, 1]
    assert (
        json.loads((tmp_path / "out" / "manifest.json").read_text())["options"]["of"]["options"]["command"] == "split"
    )
