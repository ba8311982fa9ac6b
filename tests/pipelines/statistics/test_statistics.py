"""The job gives what plain loops over the rows count, in any cut of the files and with any number of workers."""

from __future__ import annotations

import json
import math
import random

import apache_beam as beam
import msgspec
import pytest

from pipelines.planes import pixel_steps, shuffled_pixels
from pipelines.statistics import batches, joined
from pipelines.statistics.image_figures import SHARES
from pipelines.statistics.job import build, count, make_task
from pipelines.statistics.results import decode, encode
from schemas.dataset_files import open_dataset_files
from schemas.errors import FormatError, WordTreeError
from schemas.features import FLAGS
from tests.pipelines.statistics.test_statistics_oracle import (
    class_entries,
    random_rows,
    slow_same_bytes,
    slow_statistics,
    write_rows,
)

EDGES = [2 ** (n / 4) for n in range(53)]


def agree(found, slow):
    """Every exact figure of the job is the oracle's."""
    of_rows, of_index, of_images = found.annotations, found.index, found.images
    assert {key: list(row) for key, row in of_rows.classes.items()} == slow["classes"]
    assert {(row.source, row.what, row.verified): list(row.bins) for row in of_rows.sources} == slow["sources"]
    assert all(row.count == sum(row.bins) for row in of_rows.sources)
    said = [slow["flags"].get((flag, value), 0) for flag in FLAGS for value in (None, False, True)]
    assert list(of_rows.flags[: len(said)]) == said
    assert {cell: n for cell, n in enumerate(of_rows.centres) if n} == slow["centres"]
    assert {cell: n for cell, n in enumerate(of_rows.shares) if n} == slow["shares"]
    assert {key: len(sketch) // 8 for key, sketch in of_rows.class_images.items()} == slow["images_said"]
    assert msgspec.structs.astuple(of_index.images) == slow["images"]
    assert of_index.formats == slow["formats"]
    assert {(width, height): n for width, height, n in of_index.sizes} == slow["sizes"]
    assert {(turn, rotation): n for turn, rotation, n in of_index.turns} == slow["turns"]
    assert (of_index.contents.distinct, of_index.contents.exact) == (slow["contents"], True)
    assert of_images.load.boxes == slow["boxes_per_image"]
    assert of_images.load.labels == slow["labels_per_image"]
    assert of_images.load.classes == slow["classes_per_image"]
    assert of_images.images_of_class == slow["images_of_class"]
    assert of_images.orphans == slow["orphans"]
    sizes = of_images.box_sizes
    assert (sizes.coco, sizes.stated, sizes.flat) == (slow["coco"], slow["stated"], slow["flat"])
    for n, number in enumerate(sizes.sides):
        low, high = ([0, *EDGES][n], [*EDGES, math.inf][n])
        assert number == sum(low <= side < high for side in slow["side_values"])
    assert sum(sizes.aspects) == len(slow["aspect_values"])
    for share, value in zip(SHARES, sizes.quantiles, strict=True):
        assert value == slow["side_values"][max(math.ceil(share * len(slow["side_values"])) - 1, 0)]
    top = sorted(slow["pairs"].items(), key=lambda item: (-item[1], item[0]))[:60]
    assert [((p.first, p.second), p.images) for p in of_images.together.pairs] == top
    assert (of_images.together.share, of_images.together.different) == (1, len(slow["pairs"]))


@pytest.fixture(scope="module")
def rows():
    """Two datasets that share some contents; the second has annotations without image."""
    first, second = random_rows(1, 150, contents=90), random_rows(2, 90, prefix="v", contents=90)
    second[0].pop()
    return first, second


@pytest.fixture(scope="module")
def datasets(rows, tmp_path_factory):
    folder = tmp_path_factory.mktemp("statistics")
    rejects = [{"reason": f"box:{n % 3}", "record": str(n), "kind": "box", "found": "ü" * n} for n in range(30)]
    return [
        write_rows(folder / "train", *rows[0], classes=class_entries(9), rejects=rejects, rows_per_group=64),
        write_rows(folder / "val", *rows[1], classes=class_entries(9), rows_per_group=7),
    ]


def opened(folders):
    return [open_dataset_files(str(folder)) for folder in folders]


def test_the_job_counts_what_loops_count(datasets, rows):
    found = count(opened(datasets))
    for statistics, one in zip(found.datasets, rows, strict=True):
        agree(statistics, slow_statistics(*one))
    inside, between = slow_same_bytes([index for index, _ in rows])
    assert [msgspec.structs.astuple(one) for one in found.same_bytes.inside] == inside
    assert {
        (one.first, one.second): (one.contents, one.images_first, one.images_second) for one in found.same_bytes.between
    } == between
    assert between
    assert {reason.reason: reason.count for reason in found.datasets[0].rejects} == dict.fromkeys(
        ("box:0", "box:1", "box:2"), 10
    )
    assert found.datasets[1].rejects == ()


def test_examples_of_equal_files_are_images_with_equal_sha256(datasets, rows):
    examples = count(opened(datasets)).same_bytes.examples
    assert examples
    for images, places in examples:
        contents = {rows[p.dataset][0][p.row]["sha256"] for p in places}
        assert len(contents) == 1 != images
        assert sum(row["sha256"] in contents for index, _ in rows for row in index) == images


def test_the_cut_of_the_files_does_not_show(datasets, rows, tmp_path, monkeypatch):
    """Other row groups, batches and parts, rows of the annotations in any order: the same bytes."""
    expected = encode(count(opened(datasets)))
    rng = random.Random(5)
    shuffled = [(index, rng.sample(annotations, len(annotations))) for index, annotations in rows]
    rejects = [json.loads(line) for line in (datasets[0] / "rejects.jsonl").read_text().splitlines()]
    others = [
        write_rows(tmp_path / "a", *shuffled[0], classes=class_entries(9), rejects=rejects[::-1], rows_per_group=33),
        write_rows(tmp_path / "b", *shuffled[1], classes=class_entries(9), rows_per_group=1000),
    ]
    monkeypatch.setattr(batches, "ROWS", 25)
    monkeypatch.setattr(joined, "IMAGES_PER_PART", 16)
    monkeypatch.setattr(batches.read_annotations, "__defaults__", (10,))
    monkeypatch.setattr(batches.read_index, "__defaults__", (11,))
    found = count(opened(others))
    assert joined.part_bits(150) == 4
    assert encode(found) == expected


def test_two_workers_count_the_same(datasets):
    assert encode(count(opened(datasets), workers=2)) == encode(count(opened(datasets)))


def test_results_pass_through_bytes(datasets):
    found = count(opened(datasets))
    assert decode(encode(found)) == found


def test_no_pixel_is_read_or_shuffled(datasets, tmp_path):
    pipeline = beam.Pipeline(runner="FnApiRunner")
    build(pipeline, make_task(opened(datasets), str(tmp_path)))
    assert pixel_steps(pipeline) == []
    assert shuffled_pixels(pipeline) == []


def test_a_dataset_without_rows_has_zeroes(tmp_path):
    found = count(opened([write_rows(tmp_path / "empty", [], [])])).datasets[0]
    assert found.annotations.classes == {}
    assert found.index.images.images == 0
    assert found.images.box_sizes.quantiles == ()
    assert found.images.together.pairs == ()


def test_an_older_dataset_lacks_columns(tmp_path):
    """Tables as the first version wrote them: what they do not say is unknown."""
    import pyarrow.parquet as pq

    index, annotations = random_rows(3, 40)
    folder = write_rows(tmp_path / "old", index, annotations)
    for kind, gone in (
        ("index", ["format", "has_boxes", "orientation", "rotation", "captions", "uri"]),
        ("annotations", ["segmentation", "keypoints", "parts", "has_mask"]),
    ):
        path = folder / f"train.{kind}.parquet"
        pq.write_table(pq.read_table(path).drop_columns(gone), path)
    found = count(opened([folder])).datasets[0]
    slow = slow_statistics(index, annotations)
    assert found.index.formats == {"": 40}
    assert found.index.turns == ((1, -1, 40),)
    assert found.images.images_of_class == slow["images_of_class"]
    assert found.images.box_sizes.coco == slow["coco"]


@pytest.mark.parametrize("damage", ["missing", "cut", "body"])
def test_a_damaged_table_is_one_line_that_names_it(tmp_path, damage):
    folder = write_rows(tmp_path / "bad", *random_rows(4, 60))
    path = folder / "train.annotations.parquet"
    data = path.read_bytes()
    if damage == "missing":
        path.unlink()
    elif damage == "cut":
        path.write_bytes(data[: len(data) // 2])
    else:
        path.write_bytes(data[:4] + b"\xff" * 600 + data[604:])
    with pytest.raises(FormatError if damage != "missing" else WordTreeError, match=r"train\.annotations\.parquet"):
        count(opened([folder]))


def test_real_photos_are_counted_as_their_own_annotation_file_says(shared, convert):
    source = shared("data", "coco", "tiny_coco")
    data = json.loads((source / "annotations" / "instances_val2017.json").read_text())
    run = convert(
        "coco", "--annotations", source / "annotations" / "instances_val2017.json", "--images", source / "val2017"
    )
    assert run.code == 0
    (files,) = opened([run.out])
    found = count([files]).datasets[0]
    names = {row["id"]: row["name"] for row in data["categories"]}
    labels = {entry.id: entry.label for entry in files.manifest.classes}
    boxes, images, per_image = {}, {}, {row["id"]: 0 for row in data["images"]}
    for row in data["annotations"]:
        name = names[row["category_id"]]
        boxes[name] = boxes.get(name, 0) + 1
        images.setdefault(name, set()).add(row["image_id"])
        per_image[row["image_id"]] += 1
    assert {labels[key]: row[0] for key, row in found.annotations.classes.items()} == boxes
    assert {labels[key]: n for key, n in found.images.images_of_class.items()} == {k: len(v) for k, v in images.items()}
    assert found.images.load.boxes == {n: list(per_image.values()).count(n) for n in sorted({*per_image.values()})}
    areas = [row["area"] for row in data["annotations"]]
    small, large = sum(area < 1024 for area in areas), sum(area >= 9216 for area in areas)
    assert found.images.box_sizes.coco == (small, len(areas) - small - large, large)
    sizes = [(row["width"], row["height"]) for row in data["images"]]
    assert {(w, h): n for w, h, n in found.index.sizes} == {size: sizes.count(size) for size in sizes}
