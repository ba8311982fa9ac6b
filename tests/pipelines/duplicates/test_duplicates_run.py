"""`wordtree duplicates` from end to end, against loops over all pairs."""

from __future__ import annotations

import hashlib
import io
import json
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import apache_beam as beam
import pytest
from PIL import Image

from pipelines.beam_options import beam_options
from pipelines.duplicates import hash_job
from pipelines.duplicates.hashing import hash_image
from pipelines.duplicates.run import DuplicateOptions, Outcome, cluster_ids, find_duplicates
from pipelines.planes import pixel_steps, shuffled_pixels
from pipelines.row_plane.assemble import assemble, make_job
from pipelines.row_plane.view import open_rows
from schemas.errors import ConfigError, InputError, OutputError
from schemas.record import ImageRecord
from schemas.tfexample import decode_record
from tests.pipelines.duplicate_pictures import copies, encoded, others, scene
from tests.pipelines.row_plane_datasets import box, image, label, raw_records, rejects, rows, write_dataset

DROP, MERGE = DuplicateOptions(policy="drop"), DuplicateOptions(policy="merge")


def picture(name: str, data: bytes, **fields: Any) -> ImageRecord:
    try:
        with Image.open(io.BytesIO(data)) as opened:
            size = (opened.height, opened.width)
    except OSError:
        size = (10, 10)
    return image(name, data=data, size=size, **fields)


def training() -> list[ImageRecord]:
    """Scenes with copies; scene 2 and a copy of scene 3 stand in the evaluation split."""
    records = [picture(f"scene{k}", encoded(scene(k)), boxes=[box(1 + k % 2)]) for k in range(8)]
    records += [picture(f"a {name} copy of 0", data, boxes=[box(1)]) for name, data in copies(scene(0)).items()]
    records += [picture(f"{name} 1", data, boxes=[box(2)]) for name, data in others(scene(1)).items()]
    records += [picture(f"same{k}", encoded(scene(4)), boxes=[box(1)]) for k in range(3)]
    records += [picture(f"white{k}", encoded(Image.new("RGB", (50 + k, 50), "white"))) for k in range(3)]
    records += [picture("white0 again", encoded(Image.new("RGB", (50, 50), "white"))), picture("broken", b"no image")]
    return records


def evaluation() -> list[ImageRecord]:
    return [
        picture("e2", encoded(scene(2)), boxes=[box(1)]),
        picture("e3", copies(scene(3))["half"], boxes=[box(1)]),
        picture("e100", encoded(scene(100)), boxes=[box(1)]),
        picture("white", encoded(Image.new("RGB", (50, 50), "white"))),
    ]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_dataset(tmp_path / "data", training())


@pytest.fixture
def val(tmp_path: Path) -> Path:
    return write_dataset(tmp_path / "val", evaluation(), split="val")


def run(datasets: Sequence[Path], against: Sequence[Path], out: Path | str, options: DuplicateOptions) -> Outcome:
    return find_duplicates([str(d) for d in datasets], [str(d) for d in against], str(out), options)


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@cache
def hashed(data: bytes) -> int | None:
    return hash_image(data).bits


def same_picture(a: ImageRecord, b: ImageRecord, near: int = 4) -> bool:
    if a.encoded == b.encoded:
        return True
    first, second = (hashed(record.encoded or b"") for record in (a, b))
    return first is not None and second is not None and (first ^ second).bit_count() <= near


def slow_clusters(records: Sequence[ImageRecord], near: int = 4) -> set[frozenset[str]]:
    groups = [{record.image_id} for record in records]
    for i, a in enumerate(records):
        for j, b in enumerate(records[:i]):
            if same_picture(a, b, near) and groups[i] is not groups[j]:
                groups[i] |= groups[j]
                for name_at, record in enumerate(records):
                    if record.image_id in groups[i]:
                        groups[name_at] = groups[i]
    return {frozenset(group) for group in groups if len(group) > 1}


@pytest.mark.parametrize("near", [-1, 0, 4])
def test_clusters_are_those_of_a_loop_over_all_pairs(data: Path, tmp_path: Path, near: int) -> None:
    done = run([data], [], tmp_path / "out", DuplicateOptions(near=near))
    found = lines(tmp_path / "out" / "duplicates.jsonl")
    names = {frozenset(member["image_id"] for member in line["images"]) for line in found}
    assert names == slow_clusters(training(), near)
    sha = {record.image_id: record.sha256 for record in training()}
    for line in found:
        members = [member["image_id"] for member in line["images"]]
        assert line["cluster"] == min(members)
        assert line["kind"] == ("exact" if len({sha[name] for name in members}) == 1 else "near")
    assert done.found["flat"] == 4
    assert done.found["undecodable"] == 1
    assert done.found["surplus"] == sum(len(group) - 1 for group in names)
    assert not done.found["buckets_cut"]


def test_leaks_are_those_of_a_loop_over_all_pairs(data: Path, val: Path, tmp_path: Path) -> None:
    run([data], [val], tmp_path / "out", DuplicateOptions())
    found = {(line["image_id"], line["evaluation_image_id"]): line for line in lines(tmp_path / "out" / "leaks.jsonl")}
    want = {
        (a.image_id, b.image_id): a.encoded == b.encoded for a in training() for b in evaluation() if same_picture(a, b)
    }
    assert {pair: line["kind"] == "exact" for pair, line in found.items()} == want
    assert want == {("scene2", "e2"): True, ("scene3", "e3"): False, ("white0", "white"): True} | {
        ("white0 again", "white"): True
    }
    summary = json.loads((tmp_path / "out" / "duplicates.json").read_text())
    assert summary["against"] == [{"path": str(val), "images": 4, "leaks_exact": 3, "leaks_near": 1, "images_met": 3}]


def test_drop_keeps_the_largest_image_of_each_cluster_and_no_leak(data: Path, val: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = run([data], [val], out, DROP)
    records = {record.image_id: record for record in training()}
    leaks = {"scene2", "scene3", "white0", "white0 again"}
    want = {name: "image:leak" for name in leaks}
    for cluster in slow_clusters([record for name, record in records.items() if name not in leaks]):
        ordered = sorted(cluster, key=lambda name: (-records[name].height * records[name].width, name))
        for name in ordered[1:]:
            exact = records[name].encoded == records[ordered[0]].encoded
            want[name] = "image:duplicate" if exact else "image:near_duplicate"
    told = {line["record"]: line["reason"] for line in rejects(out) if line["kind"] == "image"}
    assert told == want
    assert want["scene0"] == "image:near_duplicate", "its double is larger"
    kept = [record.image_id for number in range(3) for record in training()[number::3] if record.image_id not in want]
    assert [row["image_id"] for row in rows(out, "index")] == kept
    left = [{**row, "origin": ""} for row in rows(data, "annotations") if row["image_id"] not in want]
    assert rows(out, "annotations") == left
    boxes = [(line["image_id"], line["reason"], line["found"]) for line in rejects(out) if line["kind"] == "box"]
    assert sorted(boxes) == sorted(
        (row["image_id"], "box:image_rejected", want[row["image_id"]])
        for row in rows(data, "annotations")
        if row["image_id"] in want
    )
    (dataset,) = done.found["datasets"]
    assert dataset["images"] == dataset["kept"] + sum(dataset["dropped"].values()) == len(records)
    assert "image 'e3' of" in next(line["found"] for line in rejects(out) if line["record"] == "scene3")
    assembled = assemble(make_job(str(out), str(tmp_path / "shards"))).manifest
    assert assembled.counts.images_written == len(kept)
    raw = raw_records(data)
    assert raw_records(tmp_path / "shards") == {name: raw[name] for name in kept}


def merging() -> list[ImageRecord]:
    """One picture five times: as the same file with other boxes and labels, and as near copies."""
    first, small = encoded(scene(1)), copies(scene(1))["half"]
    return [
        picture("z rest", encoded(scene(9)), boxes=[box(1)]),
        picture(
            "b labels only",
            first,
            labels=[label(1, source="machine", confidence=0.5), label(2, present=False, source="people")],
        ),
        picture(
            "c boxes",
            first,
            boxes=[box(1, 0.1, 0.1, 0.5, 0.5, mask=b"a mask"), box(2, 0.1, 0.1, 0.5, 0.5)],
            labels=[label(1, source="machine", confidence=0.5), label(1, source="people")],
        ),
        picture("between", encoded(scene(10)), boxes=[box(2)]),
        picture(
            "d more boxes",
            first,
            boxes=[
                box(1, 0.1, 0.1, 0.5, 0.51),
                box(7, 0.0, 0.0, 0.2, 0.2, mask=b"noodles"),
                box(1, 0.6, 0.6, 0.9, 0.9),
            ],
        ),
        picture("e near", small, boxes=[box(7)], labels=[label(7, source="people")]),
        picture("last", encoded(scene(11))),
    ]


def test_merge_unites_what_was_said_on_the_image_that_stays(tmp_path: Path) -> None:
    data, out = write_dataset(tmp_path / "data", merging(), shards=2), tmp_path / "out"
    run([data], [], out, MERGE)
    assert [row["image_id"] for row in rows(out, "index") if row["image_id"][1] == " "] == ["z rest", "b labels only"]
    index = {row["image_id"]: row for row in rows(out, "index")}
    assert index["b labels only"]["has_boxes"] is True, "boxes of the same file came along"
    assert index["last"]["has_boxes"] is False
    manifest = assemble(make_job(str(out), str(tmp_path / "shards"))).manifest
    found = {name: decode_record(data) for name, data in raw_records(tmp_path / "shards").items()}
    by_name = {record.image_id: record for record in merging()}
    united = found["b labels only"]
    assert [(b.class_id, tuple(round(side, 3) for side in b.box), b.mask) for b in united.boxes] == [
        (1, (0.1, 0.1, 0.5, 0.5), b"a mask"),
        (2, (0.1, 0.1, 0.5, 0.5), b""),
        (7, (0.0, 0.0, 0.2, 0.2), b"noodles"),
        (1, (0.6, 0.6, 0.9, 0.9), b""),
    ]
    assert [(said.class_id, said.present, said.source) for said in united.labels] == [
        (1, True, "machine"),
        (2, False, "people"),
        (1, True, "people"),
        (7, True, "people"),
    ]
    for name in ("z rest", "between", "last"):
        assert found[name].boxes == decode_record(raw_records(data)[name]).boxes
        assert found[name].encoded == by_name[name].encoded
    told = sorted((line["image_id"], line["record"], line["reason"]) for line in rejects(out))
    assert told == [
        ("c boxes", "c boxes", "image:duplicate"),
        ("c boxes", "c boxes#label1", "label:duplicate"),
        ("d more boxes", "d more boxes", "image:duplicate"),
        ("d more boxes", "d more boxes#1", "box:duplicate"),
        ("e near", "e near", "image:near_duplicate"),
        ("e near", "e near#1", "box:image_rejected"),
    ]
    assert manifest.counts.annotations_written == 2 + 4 + 4


def test_a_merged_view_can_be_split_and_merged_rows_keep_their_masks(tmp_path: Path) -> None:
    from pipelines.row_plane.relabel import RelabelOptions, relabel

    data = write_dataset(tmp_path / "data", merging())
    run([data], [], tmp_path / "a" / "merged", MERGE)
    relabel(str(tmp_path / "a" / "merged"), str(tmp_path / "again"), RelabelOptions())
    assemble(make_job(str(tmp_path / "a" / "merged"), str(tmp_path / "one")))
    assemble(make_job(str(tmp_path / "again"), str(tmp_path / "two")))
    assert raw_records(tmp_path / "one") == raw_records(tmp_path / "two")


def test_batches_of_any_size_give_the_same_view(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import pipelines.row_plane.view as view

    data = write_dataset(tmp_path / "data", merging(), shards=1)
    found = []
    for size in (1, 2, 3, 65_536):
        monkeypatch.setattr(view, "ROWS_AT_ONCE", size)
        run([data], [], tmp_path / f"out{size}", MERGE)
        found.append((rows(tmp_path / f"out{size}", "annotations"), sorted(map(str, rejects(tmp_path / f"out{size}")))))
    assert all(other == found[0] for other in found)


def test_several_datasets_are_compared_with_each_other(tmp_path: Path, val: Path) -> None:
    one = write_dataset(tmp_path / "one", [picture("x", encoded(scene(0))), picture("y", encoded(scene(1)))])
    two = write_dataset(tmp_path / "two", [picture("x", encoded(scene(0))), picture("z", copies(scene(1))["double"])])
    done = run([one, two], [val], tmp_path / "out", DROP)
    assert [row["image_id"] for row in rows(tmp_path / "out" / "one", "index")] == ["x"]
    assert [row["image_id"] for row in rows(tmp_path / "out" / "two", "index")] == ["z"]
    assert [line["found"] for line in rejects(tmp_path / "out" / "two") if line["kind"] == "image"] == [
        f"image 'x' of {one} stays"
    ]
    assert [entry["dropped"] for entry in done.found["datasets"]] == [
        {"image:near_duplicate": 1},
        {"image:duplicate": 1},
    ]
    assert run([one, two], [val], tmp_path / "out", DROP).was_complete
    with pytest.raises(ConfigError, match="merge unites the labels of one label space"):
        run([one, two], [], tmp_path / "other", MERGE)


def test_hashes_are_used_again_while_the_dataset_is_the_same(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    run([data], [], out, DuplicateOptions())
    table = rows(out, "hashes")
    want = [hash_image(record.encoded or b"") for number in range(3) for record in training()[number::3]]
    assert [(row["phash"], row["why"]) for row in table] == [tuple(found) for found in want]
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    monkeypatch.setattr(hash_job, "hash_list", lambda *_: pytest.fail("hashed again"))
    run([data], [], out, DuplicateOptions())
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    manifest = json.loads((data / "manifest.json").read_text())
    (data / "manifest.json").write_text(json.dumps({**manifest, "tree_digest": "other"}))
    with pytest.raises(BaseException, match="hashed again"):
        run([data], [], out, DuplicateOptions())


def test_a_killed_run_hashes_only_what_is_missing(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hash_job, "IMAGES_PER_LIST", 5)
    out, real, calls = tmp_path / "out", hash_job.hash_list, []

    def fail_late(found: Any, images: Any) -> Any:
        calls.append(len(images))
        if len(calls) == 4:
            raise OSError("the power went")
        return real(found, images)

    monkeypatch.setattr(hash_job, "hash_list", fail_late)
    with pytest.raises(Exception, match="the power went"):
        run([data], [], out, DROP)
    assert not (out / "manifest.json").exists()
    done = len(list(out.glob(".hashing-*/hashed-*")))
    assert done == 3
    calls.clear()
    monkeypatch.setattr(hash_job, "hash_list", lambda *words: calls.append(0) or real(*words))
    run([data], [], out, DROP)
    unique = len({record.sha256 for record in training()})
    assert len(calls) == -(-unique // 5) - done
    assert not list(out.glob(".hashing-*"))
    run([data], [], tmp_path / "undisturbed", DROP)
    for path in out.iterdir():
        assert path.read_bytes() == (tmp_path / "undisturbed" / path.name).read_bytes(), path.name


def test_workers_and_order_change_nothing(
    data: Path, val: Path, tmp_path: Path, digests: Callable[[Path], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hash_job, "IMAGES_PER_LIST", 7)
    for name, workers in (("one", 1), ("two", 2)):
        find_duplicates([str(data)], [str(val)], str(tmp_path / name), DROP, workers=workers)
    assert digests(tmp_path / "one") == digests(tmp_path / "two")


def test_pictures_are_read_and_not_shuffled(data: Path) -> None:
    pipeline = beam.Pipeline(options=beam_options([]))
    hash_job.build(pipeline, open_rows(str(data)), "nowhere", 5)
    assert pixel_steps(pipeline) == ["read and hash"]
    assert shuffled_pixels(pipeline) == []


def test_the_page_stands_alone_and_shows_pairs(data: Path, val: Path, tmp_path: Path) -> None:
    awkward = write_dataset(
        tmp_path / "<b>&", [picture('"<script>', encoded(scene(2))), picture("<i>", copies(scene(2))["half"])]
    )
    run([awkward], [val], tmp_path / "out", DuplicateOptions())
    page = (tmp_path / "out" / "duplicates.html").read_text()
    assert page.count('<img alt="') == 2 * 2 + 2
    assert page.count("data:image/jpeg;base64,") == page.count("<img ")
    for outside in ("http:", "https:", "<script", "<link", "@import", "url("):
        assert outside not in page
    assert "&lt;script&gt;" in page
    run([data], [], tmp_path / "plain", DuplicateOptions())
    assert "cannot be shown" not in (tmp_path / "plain" / "duplicates.html").read_text(), "broken has no copies"


def test_figures_alone_leave_nothing_behind(data: Path, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    assert run([data], [], "", DuplicateOptions()).found["images"] == len(training())
    assert sorted(tmp_path.rglob("*")) == before


def test_figures_alone_come_with_the_first_pairs(data: Path, val: Path, tmp_path: Path) -> None:
    told = run([data], [val], "", DuplicateOptions()).pairs
    assert run([data], [val], tmp_path / "out", DuplicateOptions()).pairs == ()
    leaks, clusters = lines(tmp_path / "out" / "leaks.jsonl"), lines(tmp_path / "out" / "duplicates.jsonl")
    assert min(len(leaks), len(clusters)) >= 3
    for text, leak in zip(told[:3], leaks, strict=False):
        assert text.startswith(
            f"leak          {leak['dataset']} {leak['image_id']} = {leak['evaluation']} {leak['evaluation_image_id']}, "
        )
        how = "equal files" if leak["kind"] == "exact" else f"{leak['distance']} of 64 bits differ"
        assert text.endswith(how)
    assert len(told) == 6
    for text, cluster in zip(told[3:], clusters, strict=False):
        first, second, *more = cluster["images"]
        assert text.startswith(f"duplicate     {data} {first['image_id']} = {data} {second['image_id']}, ")
        how = "equal files" if first["sha256"] == second["sha256"] else f"{second['distance']} of 64 bits differ"
        assert text.partition(", ")[2] == how + (f"; and {len(more)} more" if more else "")


def test_the_report_may_lie_in_the_dataset_itself(data: Path) -> None:
    from pipelines.row_plane.view_writer import LABELS_NAME

    before = (data / LABELS_NAME).read_bytes()
    run([data], [], data, DuplicateOptions())
    assert (data / "duplicates.jsonl").exists()
    assert (data / LABELS_NAME).read_bytes() == before


def test_what_contradicts_itself_is_refused(data: Path, val: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--policy drop needs --out"):
        run([data], [], "", DROP)
    with pytest.raises(ConfigError, match="is named twice"):
        run([data], [Path(f"{data}/")], tmp_path / "out", DROP)
    with pytest.raises(ConfigError, match="--near is 40; expected 0 to 16"):
        run([data], [], tmp_path / "out", DuplicateOptions(near=40))
    with pytest.raises(ConfigError, match="--cap is 1"):
        run([data], [], tmp_path / "out", DuplicateOptions(cap=1))
    with pytest.raises(ConfigError, match="is read from; give another folder"):
        run([data], [val], val, DROP)
    with pytest.raises(OutputError, match="holds another dataset"):
        run([data], [], val, DuplicateOptions())
    with pytest.raises(InputError, match="no dataset directory"):
        run([tmp_path / "none"], [], tmp_path / "out", DROP)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes").write_text("x")
    with pytest.raises(OutputError, match=r"no dataset \(notes\)"):
        run([data], [], tmp_path / "mine", DROP)
    run([data], [], tmp_path / "out", DROP)
    with pytest.raises(OutputError, match="made differently"):
        run([data], [val], tmp_path / "out", DROP)


def test_clusters_for_a_split(data: Path, tmp_path: Path) -> None:
    keys = cluster_ids(str(data), str(tmp_path / "t.hashes.parquet"), near=4)
    assert keys == {name: min(group) for group in slow_clusters(training()) for name in group}


def files_by_sha(folder: Path) -> dict[str, set[str]]:
    found: dict[str, set[str]] = defaultdict(set)
    for path in folder.iterdir():
        found[hashlib.sha256(path.read_bytes()).hexdigest()].add(path.stem)
    return {sha: names for sha, names in found.items() if len(names) > 1}


def test_real_photos_with_exact_copies(shared: Any, tmp_path: Path) -> None:
    folder = shared("data", "voc", "raccoon") / "images"
    records = [picture(path.stem, path.read_bytes()) for path in sorted(folder.iterdir())]
    data = write_dataset(tmp_path / "data", records)
    done = run([data], [], tmp_path / "out", DROP)
    groups = lines(tmp_path / "out" / "duplicates.jsonl")
    names = {frozenset(member["image_id"] for member in line["images"]) for line in groups}
    assert names == slow_clusters(records)
    copies_found = files_by_sha(folder).values()
    assert len(copies_found) == 3
    assert all(any(copy <= group for group in names) for copy in map(frozenset, copies_found))
    assert done.found["surplus_exact"] == 3


def test_real_photos_of_ten_classes_are_not_taken_for_each_other(shared: Any, tmp_path: Path) -> None:
    root = shared("data", "imagenet", "imagewoof224")
    sets = {
        part: [
            picture(f"{path.parent.name}/{path.name}", path.read_bytes()) for path in sorted((root / part).glob("*/*"))
        ]
        for part in ("train", "val")
    }
    data, val = (write_dataset(tmp_path / part, records, split=part) for part, records in sets.items())
    run([data], [val], tmp_path / "out", DuplicateOptions())
    found = lines(tmp_path / "out" / "duplicates.jsonl")
    assert {frozenset(m["image_id"] for m in line["images"]) for line in found} == slow_clusters(sets["train"])
    leaks = {(line["image_id"], line["evaluation_image_id"]) for line in lines(tmp_path / "out" / "leaks.jsonl")}
    assert leaks == {(a.image_id, b.image_id) for a in sets["train"] for b in sets["val"] if same_picture(a, b)}


def test_a_dataset_without_images_has_no_duplicates(tmp_path: Path, val: Path) -> None:
    empty = write_dataset(tmp_path / "empty", [])
    for policy in (DROP, MERGE):
        done = run([empty], [val], tmp_path / policy.policy, policy)
        assert (done.found["images"], done.found["clusters"], done.found["images_leaking"]) == (0, 0, 0)
        assert rows(tmp_path / policy.policy, "index") == []
    assert run([val], [empty], tmp_path / "against-nothing", DROP).found["images_leaking"] == 0
    assert assemble(make_job(str(tmp_path / "drop"), str(tmp_path / "shards"))).manifest.counts.images_written == 0


def test_a_dataset_is_never_its_own_output_even_with_force(data: Path, val: Path, tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    before = {path: path.read_bytes() for folder in (data, val) for path in folder.iterdir()}
    for out in (data, val, tmp_path / "x" / ".." / "val"):
        with pytest.raises(ConfigError, match="is read from; give another folder"):
            find_duplicates([str(data)], [str(val)], str(out), DROP, force=True)
    with pytest.raises(ConfigError, match="is read from; give another folder"):
        find_duplicates([str(data), str(val)], [], str(tmp_path), DROP, force=True)
    assert {path: path.read_bytes() for folder in (data, val) for path in folder.iterdir()} == before
