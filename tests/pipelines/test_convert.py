"""`wordtree convert` from end to end on tiny data: what is written, what is counted, what is refused."""

from __future__ import annotations

import json
import random
from base64 import b64encode
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import google_crc32c
import pyarrow.parquet as pq
import pytest

import pipelines.fetching
import pipelines.writing
from pipelines.plan import Options, Plan, make_plan
from pipelines.sources.base import Packing
from pipelines.sources.coco import Source
from schemas.arrow import ANNOTATIONS_SCHEMA, INDEX_SCHEMA, annotations_table
from schemas.errors import ConfigError, InputError, LabelError, OutputError
from schemas.label_map import parse_label_map
from schemas.manifest import manifest_from_json
from schemas.tfexample import decode_record
from schemas.tfrecord import unframe

Coco = Any
Convert = Callable[..., Any]
Digests = Callable[[Path], dict[str, str]]


@pytest.fixture
def mixed(coco: Coco) -> Coco:
    """Twenty images with two boxes each, and one of every trouble."""
    for number in range(1, 21):
        coco.image(number)
        coco.box(number, category=1)
        coco.box(number, [0, 0, 4, 3])
    coco.image(21, file_name="gone.jpg", data=b"")
    (coco.folder / "images" / "gone.jpg").unlink()
    coco.box(21)
    coco.image(22, data=b"")
    coco.image(23, data=b"<html>not found</html>")
    coco.image(24, width=80)
    coco.box(24, [1, 1, 30, 2])
    coco.image(25)
    coco.box(25, [1, 1, -2, 2])
    coco.box(25, [1, 1, 0, 2])
    coco.box(25, [100, 1, 2, 2])
    coco.box(99)
    coco.box(1, category=44)
    coco.image(1, file_name="1.jpg")
    coco.box(2, [1, "one", 2, 2])
    return coco


def test_everything_that_comes_in_is_written_or_rejected_with_a_reason(mixed: Coco, convert: Convert) -> None:
    done = convert("coco", *mixed.write(), "--shards", 3)
    counts = done.counts
    assert counts == {
        "images_in": 26,
        "images_written": 22,
        "images_rejected": 4,
        "annotations_in": 48,
        "annotations_written": 41,
        "annotations_rejected": 7,
        "rejected_by_reason": {
            "box:image_rejected": 1,
            "box:malformed": 1,
            "box:outside": 1,
            "box:reversed": 1,
            "box:unknown_category": 1,
            "box:unknown_image": 1,
            "box:zero_area": 1,
            "image:duplicate_id": 1,
            "image:empty": 1,
            "image:html": 1,
            "image:missing": 1,
        },
        "fixed_by_reason": {"box:clipped": 1, "image:size_mismatch": 1},
        "kept_by_reason": {},
        "captions_in": 0,
        "captions_written": 0,
        "captions_rejected": 0,
    }
    assert Counter(r["reason"] for r in done.rejects) == counts["rejected_by_reason"]
    assert all(set(r) == {"source", "record", "kind", "reason", "found", "where", "image_id"} for r in done.rejects)
    repairs = [json.loads(line) for line in (done.out / "repairs.jsonl").read_text().splitlines()]
    assert Counter(r["reason"] for r in repairs) == counts["fixed_by_reason"]
    assert {r["action"] for r in repairs} == {"fixed"}
    assert done.records["25"].boxes == ()
    assert done.records["25"].has_boxes


def test_the_summary_names_every_reason_with_examples(mixed: Coco, convert: Convert) -> None:
    told = convert("coco", *mixed.write()).stdout
    assert "images   25 below" in told
    assert "images                26          22           4" in told.replace(",", "")
    assert "1  image:html" in told
    assert "23 (23.jpg): a web page in place of an image" in told
    assert "--on-size-mismatch scale" in told


def test_the_directory_holds_what_the_manifest_says(mixed: Coco, convert: Convert, digests: Digests) -> None:
    done = convert("coco", *mixed.write(), "--shards", 3, "--split", "val")
    found = digests(done.out)
    assert sorted(found) == [
        "dataset_info.json",
        "features.json",
        "image.class.label.labels.txt",
        "image.object.class.label.labels.txt",
        "labels.pbtxt",
        "manifest.json",
        "rejects.jsonl",
        "repairs.jsonl",
        "source.json",
        "val-00000-of-00003.tfrecord",
        "val-00001-of-00003.tfrecord",
        "val-00002-of-00003.tfrecord",
        "val.annotations.parquet",
        "val.index.parquet",
    ]
    manifest = manifest_from_json((done.out / "manifest.json").read_text())
    files = {name: (done.out / name).read_bytes() for name in sorted(found) if name.endswith(".tfrecord")}
    assert [(s.name, s.crc32c, s.bytes) for s in manifest.shards] == [
        (name, b64encode(google_crc32c.value(data).to_bytes(4, "big")).decode(), len(data))
        for name, data in files.items()
    ]
    assert sum(shard.records for shard in manifest.shards) == manifest.counts.images_written
    assert manifest.source_files[0].path.endswith("instances.json")
    assert manifest.options["on box:past_edge"] == "fix"


def test_the_index_leads_to_every_record(mixed: Coco, convert: Convert) -> None:
    done = convert("coco", *mixed.write(), "--shards", 3)
    table = pq.read_table(done.out / "train.index.parquet")
    assert table.schema.equals(INDEX_SCHEMA)
    records = done.records
    assert table.num_rows == len(records)
    for entry in table.to_pylist():
        data = (done.out / entry["shard"]).read_bytes()[entry["offset"] : entry["offset"] + entry["length"]]
        record = decode_record(unframe(data))
        assert record == records[entry["image_id"]]
        assert (record.sha256, record.width, record.height) == (entry["sha256"], entry["width"], entry["height"])


def test_the_annotation_rows_are_those_of_the_records(mixed: Coco, convert: Convert) -> None:
    done = convert("coco", *mixed.write(), "--shards", 3)
    table = pq.read_table(done.out / "train.annotations.parquet")
    order = pq.read_table(done.out / "train.index.parquet")["image_id"].to_pylist()
    assert table.schema.equals(ANNOTATIONS_SCHEMA)
    assert table.equals(annotations_table(done.records[image_id] for image_id in order))


def test_the_label_map_has_wnids_as_names_and_the_dataset_s_words_to_show(mixed: Coco, convert: Convert) -> None:
    done = convert("coco", *mixed.write())
    items = parse_label_map((done.out / "labels.pbtxt").read_text())
    assert [(item.name, item.id, item.display_name) for item in items] == [
        ("n00007846", 1, "person"),
        ("n02084071", 18, "dog"),
    ]


def test_with_no_label_map_classes_keep_their_names_even_twice(coco: Coco, convert: Convert) -> None:
    coco.categories = [{"id": 3, "name": "crane"}, {"id": 5, "name": "crane"}]
    coco.image(1)
    coco.box(1, category=3)
    coco.box(1, category=5)
    words = coco.write()
    with pytest.raises(LabelError, match="several classes named 'crane'"):
        convert("coco", *words)
    done = convert("coco", *words, "--labels", "none")
    assert [(box.class_id, box.label, box.wnid) for box in done.records["1"].boxes] == [
        (3, "crane", ""),
        (5, "crane", ""),
    ]


def test_classes_without_a_concept_are_listed(coco: Coco, convert: Convert) -> None:
    coco.categories += [{"id": 30, "name": "blorb"}, {"id": 31, "name": "zweep"}]
    coco.image(1)
    coco.box(1, category=30)
    words = coco.write()
    with pytest.raises(LabelError, match=r"does not know 'blorb', 'zweep' of the dataset's 4 classes"):
        convert("coco", *words)
    done = convert("coco", *words, "--on-unknown-class", "reject")
    assert done.counts["rejected_by_reason"] == {"box:unknown_class": 1}
    assert [entry["label"] for entry in done.manifest["classes"]] == ["person", "dog"]


# The same bytes, whatever the way


@dataclass(frozen=True)
class Shuffled(Source):
    """COCO's rows arriving in another order."""

    seed: int = 0

    def pack(self, number: int, piece: str, packing: Packing) -> Iterator[tuple[int, bytes]]:
        payloads = list(super().pack(number, piece, packing))
        random.Random(self.seed).shuffle(payloads)
        yield from payloads


def shuffled(plan: Plan, seed: int, out: Path) -> Plan:
    source = Shuffled(**plan.job.source.options(), seed=seed)
    return replace(plan, job=replace(plan.job, source=source, out=str(out)))


def test_two_processes_give_the_same_bytes_as_one(mixed: Coco, convert: Convert, digests: Digests) -> None:
    words = [*mixed.write(), "--shards", 4]
    one, two = convert("coco", *words, out="one"), convert("coco", *words, "--workers", 2, out="two")
    assert digests(one.out) == digests(two.out)
    assert "INFO" not in two.stderr


def test_the_order_of_arrival_does_not_matter(mixed: Coco, tmp_path: Path, digests: Digests) -> None:
    from pipelines.convert import convert

    _, annotations, _, images = mixed.write()
    options = Options(shards=3)
    plan = make_plan(Source(annotations, images), str(tmp_path / "plain"), options)
    convert(plan)
    for seed in (1, 2):
        convert(shuffled(plan, seed, tmp_path / f"shuffled{seed}"))
        assert digests(tmp_path / f"shuffled{seed}") == digests(tmp_path / "plain")


def test_shards_do_not_depend_on_where_the_images_lie(mixed: Coco, convert: Convert, digests: Digests) -> None:
    first = convert("coco", *mixed.write(), out="first")
    mixed.folder = mixed.folder.rename(mixed.folder.with_name("moved"))
    second = convert("coco", *mixed.write(), out="second")
    different = {name for name, value in digests(first.out).items() if digests(second.out)[name] != value}
    assert different == {"manifest.json"}


def test_the_seed_changes_the_order_and_nothing_else(mixed: Coco, convert: Convert) -> None:
    words = mixed.write()
    first, second = convert("coco", *words, out="a"), convert("coco", *words, "--seed", 1, out="b")
    assert list(first.records) != list(second.records)
    assert first.records == second.records
    assert first.counts == second.counts


def test_a_limit_takes_the_same_images_whatever_the_shards(mixed: Coco, convert: Convert) -> None:
    words = mixed.write()
    whole = convert("coco", *words, out="whole")
    some = convert("coco", *words, "--limit", 10, out="a")
    more = convert("coco", *words, "--limit", 10, "--shards", 5, out="b")
    assert some.records == more.records
    assert some.counts == more.counts
    images = {r["record"] for r in some.rejects if r["kind"] == "image"} | set(some.records)
    assert len(images) == 10
    assert list(whole.records)[: len(some.records)] == list(some.records)


def test_the_rejects_are_sorted_and_do_not_depend_on_the_shards(mixed: Coco, convert: Convert) -> None:
    words = mixed.write()
    one, many = convert("coco", *words, out="one"), convert("coco", *words, "--shards", 7, out="many")
    assert (
        one.rejects == many.rejects == sorted(one.rejects, key=lambda row: (row["kind"], row["record"], row["reason"]))
    )
    assert one.counts == many.counts


def test_shards_without_images_are_written_too(coco: Coco, convert: Convert) -> None:
    coco.image(1)
    done = convert("coco", *coco.write(), "--shards", 4)
    assert sorted(shard["records"] for shard in done.manifest["shards"]) == [0, 0, 0, 1]
    assert len(list(done.out.glob("*.tfrecord"))) == 4


# What stands in the way


def test_a_finished_output_is_left_alone(mixed: Coco, convert: Convert, digests: Digests) -> None:
    words = mixed.write()
    first = convert("coco", *words)
    before = {path: path.stat().st_mtime_ns for path in first.out.iterdir()}
    again = convert("coco", *words)
    assert "is complete already" in again.stdout
    assert again.code == 0
    assert before == {path: path.stat().st_mtime_ns for path in first.out.iterdir()}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--shards", 2], "shards was 1, now 2"),
        (["--seed", 9], "seed was 0, now 9"),
        (["--on-bad-box", "reject"], "on box:past_edge was 'fix', now 'reject'"),
        (["--labels", "none"], "the classes changed; labels was 'coco', now 'none'"),
    ],
)
def test_other_options_are_told_and_need_force(mixed: Coco, convert: Convert, change: list[Any], message: str) -> None:
    words = mixed.write()
    first = convert("coco", *words)
    (first.out / "notes.txt").write_text("mine")
    with pytest.raises(OutputError, match=message):
        convert("coco", *words, *change)
    forced = convert("coco", *words, *change, "--force")
    assert forced.counts["images_written"] == 22
    assert (first.out / "notes.txt").read_text() == "mine"
    assert len(list(first.out.glob("*.tfrecord"))) == len(forced.manifest["shards"])


def test_the_same_input_by_another_path_is_the_same(
    mixed: Coco, convert: Convert, digests: Digests, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, annotations, _, images = mixed.write()
    convert("coco", "--annotations", annotations, "--images", images)
    monkeypatch.chdir(mixed.folder.parent)
    for path in (f"{mixed.folder.name}/{{}}", f"./{mixed.folder.name}/../{mixed.folder.name}/{{}}"):
        words = ["--annotations", path.format("instances.json"), "--images", path.format("images")]
        assert "is complete already" in convert("coco", *words).stdout
    other = mixed.folder / "others"
    other.mkdir()
    with pytest.raises(OutputError, match="images was "):
        convert("coco", "--annotations", annotations, "--images", other)


def test_a_changed_annotation_file_is_told(mixed: Coco, convert: Convert) -> None:
    convert("coco", *mixed.write())
    mixed.box(3)
    with pytest.raises(OutputError, match="the source files changed"):
        convert("coco", *mixed.write())


def test_a_folder_of_other_files_is_not_written_to(coco: Coco, tmp_path: Path, convert: Convert) -> None:
    coco.image(1)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("x")
    with pytest.raises(OutputError, match=r"no dataset of `wordtree convert` \(thesis.tex\)"):
        convert("coco", *coco.write())


def test_a_wrong_image_folder_is_an_error_and_no_dataset(coco: Coco, tmp_path: Path, convert: Convert) -> None:
    coco.image(1)
    words = coco.write()
    with pytest.raises(InputError, match="does not exist"):
        convert("coco", *words[:3], tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    done = convert("coco", *words[:3], tmp_path / "empty")
    assert done.code == 1
    assert "no image was written" in done.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--shards", -1], "--shards is -1"),
        (["--limit", -5], "--limit is -5"),
        (["--split", "a/b"], "--split is 'a/b'"),
        (["--workers", 0], "--workers is 0"),
    ],
)
def test_options_out_of_range_are_refused(coco: Coco, convert: Convert, words: list[Any], message: str) -> None:
    coco.image(1)
    with pytest.raises(ConfigError, match=message):
        convert("coco", *coco.write(), *words)


def test_a_dry_run_shows_the_plan_and_writes_nothing(mixed: Coco, convert: Convert) -> None:
    done = convert("coco", *mixed.write(), "--dry-run", "--shards", 3)
    assert "3 shards" in done.stdout
    assert "nothing was written" in done.stdout
    assert not done.out.exists()


def test_json_is_one_line_on_stdout(mixed: Coco, convert: Convert) -> None:
    done = convert("coco", *mixed.write(), "--json")
    result = json.loads(done.stdout)
    assert (result["images_written"], result["images_rejected"], result["was_complete"]) == (22, 4, False)
    assert json.loads(convert("coco", *mixed.write(), "--json").stdout)["was_complete"]
    assert json.loads(convert("coco", *mixed.write(), "--json", "--dry-run").stdout)["dry_run"]


def test_trouble_of_the_file_system_is_no_reject(coco: Coco, convert: Convert, monkeypatch: pytest.MonkeyPatch) -> None:
    coco.image(1)
    words = coco.write()

    def broken(path: str) -> bytes:
        raise OSError(5, "Input/output error")

    plan = make_plan(Source(words[1], words[3]), str(coco.folder / "out"), Options())
    rows = [element for _, element in plan.job.source.pack(0, "", plan.job.packing)]
    monkeypatch.setattr(pipelines.fetching.storage, "read_item", broken)
    with pytest.raises(OSError, match="Input/output"):
        pipelines.writing.write_shard(plan.job, 0, rows)


def test_rows_that_a_runner_loses_are_noticed(coco: Coco, convert: Convert, monkeypatch: pytest.MonkeyPatch) -> None:
    from pipelines import exchange as module

    for number in range(1, 5):
        coco.image(number)
    kept = module.read_spool
    monkeypatch.setattr(module, "read_spool", lambda *words: list(kept(*words))[1:])
    with pytest.raises(RuntimeError, match="3 of 4 payloads of rows reached the shards"):
        convert("coco", *coco.write())


def test_a_dataset_can_be_written_to_another_file_system(mixed: Coco, tmp_path: Path, digests: Digests) -> None:
    import fsspec

    from pipelines.convert import convert

    _, annotations, _, images = mixed.write()
    memory = fsspec.filesystem("memory")
    source, options = Source(annotations, images), Options(shards=2)
    convert(make_plan(source, str(tmp_path / "local"), options))
    convert(make_plan(source, "memory://bucket/out", options))
    assert convert(make_plan(source, "memory://bucket/out", options)).was_complete
    memory.get("/bucket/out", str(tmp_path / "fetched"), recursive=True)
    assert digests(tmp_path / "fetched") == digests(tmp_path / "local")
    memory.rm("/bucket", recursive=True)


def test_the_command_runs_it_and_tells_mistakes_in_one_line(
    mixed: Coco, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from types import SimpleNamespace

    import wordtree.command
    from pipelines.cli import add_convert

    point = SimpleNamespace(name="convert", load=lambda: add_convert)
    monkeypatch.setattr(wordtree.command, "entry_points", lambda group: [point])
    words = ["convert", "coco", str(tmp_path / "out"), *mixed.write()]
    assert wordtree.command.main([*words, "--", "--direct_running_mode=multi_threading"]) == 2
    told = capsys.readouterr()
    assert told.err.startswith("wordtree convert: --direct_running_mode=multi_threading loses records")
    assert (told.out, told.err.count("\n")) == ("", 1)
    assert wordtree.command.main(words) == 0
    assert (tmp_path / "out" / "manifest.json").exists()


@pytest.mark.parametrize("name", ["coco", "voc", "imagenet"])
def test_every_format_has_help_with_an_example(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    import argparse

    from pipelines.cli import add_convert

    parser = argparse.ArgumentParser(allow_abbrev=False)
    add_convert(parser.add_subparsers())
    with pytest.raises(SystemExit):
        parser.parse_args(["convert", name, "--help"])
    told = capsys.readouterr().out
    assert f"wordtree convert {name} OUT" in told
    assert "manifest.json" in told


def test_dataflow_is_not_given_files_of_this_machine(
    coco: Coco, convert: Convert, monkeypatch: pytest.MonkeyPatch
) -> None:
    from types import SimpleNamespace

    import pipelines.convert

    runner = type("DataflowRunner", (), {})()
    monkeypatch.setattr(pipelines.convert, "make_pipeline", lambda *words, **options: SimpleNamespace(runner=runner))
    coco.image(1)
    with pytest.raises(ConfigError, match=r"OUT is .* on this machine, which Dataflow's workers do not see"):
        convert("coco", *coco.write())
