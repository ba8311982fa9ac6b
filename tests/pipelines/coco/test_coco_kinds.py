"""Captions, keypoints beside instances, panoptic, LVIS, images without annotations: rows and rejects item by item."""

from __future__ import annotations

import argparse
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipelines.joining import join
from pipelines.rows import ImageRow, LabelRow, Rejected
from pipelines.sources.base import Packing
from pipelines.sources.coco import Source
from schemas.errors import ConfigError, FormatError

Coco = Any


def joined(source: Source) -> tuple[dict[str, ImageRow], list[tuple[str, str, str]]]:
    """What reaches a shard: images by id, and (kind, reason, record) of the rejects."""
    packing = Packing(shards=1, seed=0)
    payloads = [payload for n, piece in enumerate(source.pieces()) for _, payload in source.pack(n, piece, packing)]
    read = list(join(source.unpack(reversed(payloads))))
    images = [row for row in read if isinstance(row, ImageRow)]
    rejects = [(row.kind, row.reason, row.record) for row in read if isinstance(row, Rejected)]
    return {row.image_id: row for row in images}, sorted(rejects)


def write(folder: Path, name: str, **parts: Any) -> str:
    path = folder / name
    path.write_text(json.dumps(parts))
    return str(path)


def caption(number: object, image: object, text: object = "a dog", **more: Any) -> dict[str, Any]:
    return {"id": number, "image_id": image, "caption": text, **more}


def test_captions_alone_have_images_of_their_own_and_no_boxes(tmp_path: Path) -> None:
    images = [{"id": n, "file_name": f"{n}.jpg", "width": 8, "height": 6} for n in (1, 2)]
    found = [
        caption(10, 1),
        caption(11, 2, "two"),
        caption(12, 1, "é"),
        caption(10, 1),
        caption(13, 9),
        caption(14, 1, 5),
    ]
    source = Source(captions=write(tmp_path, "captions.json", images=images, annotations=found), images="x")
    survey = source.survey()
    assert (survey.images, survey.classes, survey.notes) == (2, (), ())
    rows, rejects = joined(source)
    assert rows["1"].captions == (("a dog", "10"), ("é", "12"))
    assert rows["2"].captions == (("two", "11"),)
    assert not rows["1"].has_boxes
    assert rejects == [
        ("caption", "caption:duplicate_id", "10"),
        ("caption", "caption:malformed", "14"),
        ("caption", "caption:unknown_image", "13"),
    ]


def test_captions_beside_instances_are_added_to_their_images(coco: Coco) -> None:
    coco.image(1)
    coco.box(1)
    words = coco.write()
    more = {"images": [{"id": 1}, {"id": 77}], "annotations": [caption(5, 1), caption(6, 77, score=2)]}
    source = Source(words[1], words[3], captions=write(coco.folder, "captions.json", **more, info={"year": 1}))
    survey = source.survey()
    assert survey.images == 1
    assert [file.path for file in survey.files] == [words[1], source.captions]
    assert "lists 1 images that" in survey.notes[0]
    assert survey.notes[1].endswith(
        "captions.json: annotations have fields that captions files do not; they are left out"
    )
    assert json.loads(survey.head)["other_files"] == {"captions": {"info": {"year": 1}}}
    rows, rejects = joined(source)
    assert (rows["1"].captions, rows["1"].has_boxes, len(rows["1"].boxes)) == ((("a dog", "5"),), True, 1)
    assert rejects == [("caption", "caption:unknown_image", "6")]


def test_keypoints_of_a_second_file_stand_at_the_boxes_with_their_ids(coco: Coco) -> None:
    coco.image(1)
    coco.image(2)
    coco.box(1, id=10, category=1)
    coco.box(1, id=11, category=18, area=7.5)
    coco.box(2, id=12, category=1)
    words = coco.write()
    points = {"image_id": 1, "category_id": 1, "bbox": [1, 1, 1, 1], "area": 9.0, "iscrowd": 0}
    found = [
        {**points, "id": 10, "keypoints": [4, 5, 2, 0, 0, 0], "num_keypoints": 1},
        {**points, "id": 99, "keypoints": [1, 1, 1], "num_keypoints": 1},  # a box that the instances do not have
        {**points, "id": 98, "image_id": 5},
        {**points, "id": 97, "bbox": None},
    ]
    skeleton = [{"id": 1, "name": "person", "keypoints": ["nose", "eye"], "skeleton": [[1, 2]]}]
    path = write(coco.folder, "keypoints.json", images=coco.images, annotations=found, categories=skeleton)
    source = Source(words[1], words[3], keypoints=path)
    assert json.loads(source.survey().head)["other_files"]["keypoints"]["categories"] == skeleton
    rows, rejects = joined(source)
    first, second, third = rows["1"].boxes
    assert (first.annotation_id, first.keypoints, first.area) == ("10", ((5, 4, 2), (0, 0, 0)), 6.0)
    assert json.loads(first.extra) == {
        "bbox": [1, 2, 3, 2],
        "area": 6.0,
        "keypoints": [4, 5, 2, 0, 0, 0],
        "num_keypoints": 1,
    }
    assert (second.annotation_id, second.keypoints, second.area) == ("11", (), 7.5)
    assert (third.annotation_id, third.keypoints, third.where) == ("99", ((1, 1, 1),), "keypoints.json annotations[1]")
    assert [box.annotation_id for box in rows["2"].boxes] == ["12"]
    assert rejects == [("box", "box:malformed", "97"), ("box", "box:unknown_image", "98")]


def test_panoptic_segments_are_boxes_and_odd_ones_cost_only_themselves(tmp_path: Path) -> None:
    good = {"id": 5, "category_id": 1, "bbox": [0, 0, 2, 2], "area": 4, "iscrowd": 0}
    images = [{"id": 1, "file_name": "1.jpg", "width": 8, "height": 6}, {"id": 2, "file_name": "2.jpg"}]
    entries = [
        {"image_id": 1, "file_name": "1.png", "segments_info": [good, good, {**good, "id": 6, "bbox": [1]}, None]},
        {
            "image_id": 2,
            "file_name": "2.png",
            "segments_info": [{**good, "category_id": 9}, {**good, "id": 7, "x": [1.50]}],
        },
        {"image_id": 2, "segments_info": 5},
    ]
    classes = [{"id": 1, "name": "sky", "isthing": 0}]
    path = write(tmp_path, "panoptic.json", images=images, annotations=entries, categories=classes)
    source = Source(panoptic=path, panoptic_maps="maps", images="x")
    assert (source.image_root, source.asset_root) == ("x", "maps")
    assert source.survey().notes == ()
    rows, rejects = joined(source)
    assert rows["1"].map_uris == (("panoptic", "1.png"),)
    assert [(box.annotation_id, box.area, box.is_crowd) for box in rows["1"].boxes] == [("5", 4.0, False)]
    (box,) = rows["2"].boxes
    assert box.where == "panoptic.json annotations[1] segments_info[1]"
    extra = {"bbox": [0, 0, 2, 2], "area": 4, "panoptic_file_name": "2.png", "isthing": 0, "x": [1.5]}
    assert json.loads(box.extra) == extra
    assert rejects == [
        ("box", "box:duplicate_id", "1/5"),
        ("box", "box:malformed", "1/3"),
        ("box", "box:malformed", "1/6"),
        ("box", "box:malformed", "annotations[2]"),
        ("box", "box:unknown_category", "2/5"),
    ]


def test_lvis_states_what_is_absent_and_what_is_not_exhaustive(coco: Coco) -> None:
    coco.image(1, neg_category_ids=[18, 1], not_exhaustive_category_ids=[18])
    coco.image(2, neg_category_ids=["18"], not_exhaustive_category_ids=[])
    rows, _ = joined(Source(*coco.write()[1::2]))
    absent = {"present": False, "verified": True, "source": "lvis"}
    assert rows["1"].labels == (LabelRow(class_key="18", **absent), LabelRow(class_key="1", **absent))
    assert rows["1"].not_exhaustive == ("18",)
    assert "neg_category_ids" not in json.loads(rows["1"].extra)
    extra = json.loads(rows["2"].extra)
    assert (extra["neg_category_ids"], extra["not_exhaustive_category_ids"]) == (["18"], [])


def test_images_without_annotations_need_a_flag(coco: Coco) -> None:
    coco.image(1)
    _, annotations, _, images = coco.write()
    path = write(coco.folder, "info.json", images=coco.images, info={})
    with pytest.raises(FormatError, match=r"no `annotations`.*--unlabelled"):
        Source(path, images).survey()
    source = Source(path, images, unlabelled=True)
    assert (source.survey().images, source.survey().classes) == (1, ())
    rows, rejects = joined(source)
    assert (rows["1"].has_boxes, rows["1"].boxes, rejects) == (False, (), [])
    coco.box(1)
    coco.write()
    with pytest.raises(FormatError, match="1 annotations; leave out --unlabelled"):
        Source(annotations, images, unlabelled=True).survey()


def test_duplicates_far_apart_are_found_and_the_first_stays(coco: Coco, monkeypatch: pytest.MonkeyPatch) -> None:
    import pipelines.files.json_stream

    monkeypatch.setattr(pipelines.files.json_stream.read_object, "__kwdefaults__", {
        **(pipelines.files.json_stream.read_object.__kwdefaults__ or {}), "window": 512,
    })  # fmt: skip
    for number in range(60):
        coco.image(number)
    for number in range(600):
        coco.box(number % 60, id=900_100_000_000 + number % 550)
    rows, rejects = joined(Source(*coco.write()[1::2]))
    found = {box.annotation_id: box.where for row in rows.values() for box in row.boxes}
    expected = {str(900_100_000_000 + n): f"instances.json annotations[{n}]" for n in range(550)}
    assert found == expected
    assert rejects == sorted(("box", "box:duplicate_id", str(900_100_000_000 + n)) for n in range(50))
    order = [int(box.annotation_id) for box in rows["7"].boxes]
    assert order == sorted(order)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "no file is given"),
        (["--annotations", "a", "--panoptic", "b", "--panoptic-maps", "c"], "two datasets"),
        (["--panoptic", "b"], "go together"),
        (["--annotations", "a", "--panoptic-maps", "b"], "go together"),
        (["--captions", "a", "--keypoints", "b"], "--keypoints needs --annotations"),
        (["--captions", "a", "--unlabelled"], "--unlabelled needs --annotations"),
        (["--annotations", "a", "--keypoints", "b", "--unlabelled"], "leave out --unlabelled"),
    ],
)
def test_options_that_contradict_each_other_are_refused(words: list[str], message: str) -> None:
    parser = argparse.ArgumentParser()
    Source.add_arguments(parser)
    with pytest.raises(ConfigError, match=message):
        Source.from_args(parser.parse_args(["--images", "x", *words]))


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools' own
def test_masks_are_drawn_as_cocos_library_draws_them(shared: Callable[..., Path], convert: Callable[..., Any]) -> None:
    mask = pytest.importorskip("pycocotools.mask")
    folder = shared("data", "coco", "tiny_coco")
    path = folder / "annotations" / "instances_val2017.json"
    done = convert("coco", "--annotations", path, "--images", folder / "val2017", "--draw-masks")
    segmentations = {str(a["id"]): a["segmentation"] for a in json.loads(path.read_text())["annotations"]}
    drawn = 0
    for record in done.records.values():
        for box in record.boxes:
            given = segmentations[box.annotation_id]
            assert json.loads(box.segmentation) == given
            runs = mask.frPyObjects(given, record.height, record.width)
            text = mask.merge(runs)["counts"] if isinstance(given, list) else runs["counts"]
            pixels = np.asfortranarray(np.array(Image.open(io.BytesIO(box.mask))))
            assert mask.encode(pixels)["counts"] == text
            drawn += 1
    assert drawn == len(segmentations)


def test_fields_of_panoptic_annotations_that_have_no_place_are_told(tmp_path: Path) -> None:
    entry = {"image_id": 1, "file_name": "1.png", "segments_info": [], "reviewed": True}
    classes = [{"id": 1, "name": "sky"}]
    path = write(tmp_path, "p.json", images=[{"id": 1}], annotations=[entry], categories=classes)
    (note,) = Source(panoptic=path, panoptic_maps="maps", images="x").survey().notes
    assert "fields that panoptic files do not" in note
