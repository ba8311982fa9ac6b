"""`convert labels`, with pixels and without: the same rows, counted the same way; and what R3, R5 and R11 ask."""

from __future__ import annotations

import json
import logging
from argparse import ArgumentParser
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import apache_beam as beam
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.cli import add_convert
from pipelines.files import parquet_images
from pipelines.label_rows import job as rows_job
from pipelines.label_rows.job import convert_rows
from pipelines.plan import Options, make_plan
from pipelines.planes import pixel_steps, shuffled_pixels
from pipelines.sources.labels import Source
from schemas.arrow import ANNOTATIONS_SCHEMA, INDEX_SCHEMA
from schemas.errors import OutputError, RecordError

MAP = "label,wnid\ndog,n02084071\ncat,n02121620\n"


@pytest.fixture
def tables(tmp_path: Path, jpeg: Callable[..., bytes]) -> Path:
    """Forty images with labels of every kind; some images are missing, some labels unknown."""
    (tmp_path / "photos").mkdir()
    rows: list[dict[str, Any]] = []
    for i in range(40):
        name = f"{i:02d}.jpg"
        if i % 10:
            (tmp_path / "photos" / name).write_bytes(jpeg(seed=i))
        labels = [("dog", 0.5, "web"), ("cat", 0.25, "web"), ("yeti", 0.9, "web"), ("dog", 1.0, "clicks")]
        for label, confidence, who in labels[i % 3 : 1 + i % 5]:
            rows.append({"image": name, "label": label, "confidence": confidence, "source": who})
        rows.append({"image": name, "label": "yeti", "confidence": 0.5, "source": "web"})
        if i % 7 == 0:
            rows.append({"image": name, "label": "dog", "confidence": 2.0, "source": "web"})
            rows.append({"image": name, "label": "dog", "confidence": 0.75, "source": "web"})
            rows.append({"image": name, "label": "dog", "confidence": 0.7, "source": "web"})
    rows.append({"image": "", "label": "dog", "confidence": 1.0, "source": "web"})
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "rows.parquet", row_group_size=20)
    (tmp_path / "map.csv").write_text(MAP)
    return tmp_path


def words(folder: Path) -> list[object]:
    where = ["--rows", folder / "rows.parquet", "--images", folder / "photos", "--labels", folder / "map.csv"]
    return [*where, "--on-unknown-class", "reject"]


def rows_only(out: Path, *given: object, workers: int = 1, force: bool = False) -> Any:
    """The job without pixels."""
    parser = ArgumentParser()
    add_convert(parser.add_subparsers())
    args = parser.parse_args(["convert", "labels", str(out), *map(str, given), "--rows-only"])
    found = Source.from_args(args)
    options = Options(labels=args.labels, shards=args.shards, limit=args.limit, on_unknown_class=args.on_unknown_class)
    return convert_rows(make_plan(found, str(out), options), workers=workers, force=force)


def rejects(out: Path) -> list[list[tuple[str, str]]]:
    """The lines, in any order."""
    return sorted(sorted(json.loads(line).items()) for line in (out / "rejects.jsonl").read_text().splitlines())


def test_rows_without_pixels_are_those_with_pixels(tables: Path, convert: Any) -> None:
    for i in range(0, 40, 10):  # none is missing
        (tables / "photos" / f"{i:02d}.jpg").write_bytes((tables / "photos" / "01.jpg").read_bytes())
    whole = convert("labels", *words(tables), "--shards", 5)
    done = rows_only(tables / "rows", *words(tables), "--shards", 5)
    counts = done.manifest.counts
    assert json.loads(json.dumps(whole.counts)) == {**whole.counts, "images_in": counts.images_in}
    for name in ("images_written", "images_rejected", "annotations_in", "annotations_written", "annotations_rejected"):
        assert getattr(counts, name) == whole.counts[name], name
    assert dict(counts.rejected_by_reason) == whole.counts["rejected_by_reason"]
    assert set(counts.rejected_by_reason) == {
        "image:no_label",
        "label:bad_confidence",
        "label:duplicate",
        "label:no_image",
        "label:unknown_class",
    }
    with_pixels = pq.read_table(whole.out / "train.annotations.parquet")
    without = pq.read_table(tables / "rows" / "train.annotations.parquet")
    assert without.schema == with_pixels.schema
    assert without.to_pylist() == with_pixels.to_pylist()
    index = pq.read_table(tables / "rows" / "train.index.parquet")
    columns = ["image_id", "uri", "has_boxes", "provenance", "orientation", "rotation", "captions", "extra"]
    assert index.select(columns).equals(pq.read_table(whole.out / "train.index.parquet").select(columns))
    assert index.schema.equals(INDEX_SCHEMA)
    assert rejects(tables / "rows") == rejects(whole.out)


def test_missing_images_cost_their_labels(tables: Path, convert: Any) -> None:
    run = convert("labels", *words(tables))
    assert run.counts["rejected_by_reason"]["image:missing"] == 4
    assert run.counts["images_in"] == 40
    assert not {"00.jpg", "10.jpg", "20.jpg", "30.jpg"} & set(run.records)


def test_groups_and_workers_change_nothing(
    tables: Path, digests: Callable[[Path], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows_only(tables / "a", *words(tables), "--shards", 6)
    before = {**digests(tables / "a")}
    rows_only(tables / "b", *words(tables), "--shards", 6, workers=2)
    assert digests(tables / "b") == before
    monkeypatch.setattr(rows_job, "ROWS_A_GROUP", 30)
    rows_only(tables / "c", *words(tables), "--shards", 6)
    for name in ("train.annotations.parquet", "train.index.parquet"):
        assert pq.read_table(tables / "c" / name).equals(pq.read_table(tables / "a" / name))
    assert rejects(tables / "c") == rejects(tables / "a")


def test_no_step_reads_pixels_and_rows_are_typed(tables: Path) -> None:
    found = Source((str(tables / "rows.parquet"),), rows_only=True)
    plan = make_plan(found, str(tables / "out"), Options())
    pipeline = beam.Pipeline()
    rows_job.build(pipeline, plan.job, found, 3)
    assert pixel_steps(pipeline) == []
    assert shuffled_pixels(pipeline) == []


def test_a_finished_output_is_found_and_a_different_one_refused(tables: Path) -> None:
    rows_only(tables / "out", *words(tables))
    again = rows_only(tables / "out", *words(tables))
    assert again.was_complete
    with pytest.raises(OutputError, match="min_confidence"):
        rows_only(tables / "out", *words(tables), "--min-confidence", "0.3")
    changed = rows_only(tables / "out", *words(tables), "--min-confidence", "0.3", force=True)
    assert changed.manifest.counts.rejected_by_reason["label:low_confidence"] > 0


def test_an_interrupted_job_goes_on(tables: Path, digests: Callable[[Path], Any], monkeypatch: Any) -> None:
    rows_only(tables / "whole", *words(tables), "--shards", 4)
    written: list[int] = []
    monkeypatch.setattr(rows_job, "ROWS_A_GROUP", 40)
    write = rows_job.write_group

    def failing(job: Any, number: int, *rest: Any) -> Any:
        if len(written) == 2:
            raise MemoryError("no more")
        written.append(number)
        return write(job, number, *rest)

    monkeypatch.setattr(rows_job, "write_group", failing)
    logging.disable(logging.CRITICAL)
    with pytest.raises(Exception, match="no more"):
        rows_only(tables / "out", *words(tables), "--shards", 4)
    logging.disable(logging.NOTSET)
    assert not (tables / "out" / "manifest.json").exists()
    monkeypatch.setattr(rows_job, "write_group", write)
    rows_only(tables / "out", *words(tables), "--shards", 4)
    for name in ("train.annotations.parquet", "train.index.parquet"):
        assert pq.read_table(tables / "out" / name).equals(pq.read_table(tables / "whole" / name))
    assert not (tables / "out" / ".work").exists()


def test_a_limit_holds_without_pixels(tables: Path) -> None:
    done = rows_only(tables / "out", *words(tables), "--limit", "7")
    assert done.manifest.counts.images_in <= 7
    ids = set(pq.read_table(tables / "out" / "train.index.parquet")["image_id"].to_pylist())
    everything = rows_only(tables / "all", *words(tables))
    assert everything.manifest.counts.images_in == 40
    assert ids <= set(pq.read_table(tables / "all" / "train.index.parquet")["image_id"].to_pylist())


def test_schemas_are_whole_even_without_a_row(tables: Path) -> None:
    pq.write_table(pa.table({"image": ["a.jpg"], "label": ["dog"], "confidence": [7.0]}), tables / "bad.parquet")
    done = rows_only(tables / "out", "--rows", tables / "bad.parquet", "--labels", "none")
    assert (done.manifest.counts.images_in, done.manifest.counts.images_rejected) == (1, 1)
    assert pq.read_schema(tables / "out" / "train.annotations.parquet").equals(ANNOTATIONS_SCHEMA)


def test_images_in_a_column_are_written_as_they_are(tmp_path: Path, jpeg: Callable[..., bytes], convert: Any) -> None:
    images = [jpeg(seed=i) for i in range(12)]
    table = {
        "key": [f"k{i}" for i in range(12)] + ["k3", "none"],
        "image": [{"bytes": data, "path": None} for data in images] + [{"bytes": None, "path": None}] * 2,
        "label": ["dog", "cat"] * 6 + ["cow", "cow"],
    }
    pq.write_table(pa.table(table), tmp_path / "rows.parquet", row_group_size=5)
    run = convert("labels", "--rows", tmp_path / "rows.parquet", "--bytes-column", "image.bytes", "--id-column", "key")
    assert {name: record.encoded for name, record in run.records.items()} == {
        f"k{i}": data for i, data in enumerate(images)
    }
    assert [label.label for label in run.records["k3"].labels] == ["cat", "cow"]
    assert run.counts["rejected_by_reason"] == {"image:empty": 1, "label:image_rejected": 1}


def test_rows_of_a_file_that_are_not_there_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = str(tmp_path / "rows.parquet")
    for wanted in ("image:missing",):
        with pytest.raises(RecordError) as told:
            parquet_images.read_row(path, 0, "image")
        assert told.value.reason == wanted
    pq.write_table(pa.table({"image": [b"1", b"22", b""], "text": ["a", "b", "c"]}), path, row_group_size=1)
    assert [parquet_images.read_row(path, row, "image") for row in (1, 0, 1)] == [b"22", b"1", b"22"]
    for row, column, reason in ((3, "image", "bad_member"), (2, "image", "empty"), (0, "text", "bad_member")):
        with pytest.raises(RecordError) as told:
            parquet_images.read_row(path, row, column)
        assert told.value.reason == f"image:{reason}"
    with pytest.raises(RecordError, match="cannot read column"):
        parquet_images.read_row(path, 0, "nothing")
    monkeypatch.setattr(parquet_images, "BYTES_KEPT", 1)
    assert [parquet_images.read_row(path, row, "image") for row in (0, 1, 0)] == [b"1", b"22", b"1"]
    assert len(parquet_images._kept) == 1


def test_several_threads_may_read_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet_images, "BYTES_KEPT", 2000)
    path = str(tmp_path / "rows.parquet")
    images = [bytes([i]) * 400 for i in range(200)]
    pq.write_table(pa.table({"image": images}), path, row_group_size=3)
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda row: parquet_images.read_row(path, row * 37 % 200, "image"), range(200)))
    assert found == [images[row * 37 % 200] for row in range(200)]
