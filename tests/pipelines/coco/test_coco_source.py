"""COCO instances: every odd input has a result or a message of its own."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipelines.joining import join
from pipelines.rows import BoxRow, ImageRow, Rejected
from pipelines.sources.base import Packing
from pipelines.sources.coco import Source
from schemas.errors import FormatError, InputError

Coco = Any


def joined(source: Source) -> tuple[dict[str, ImageRow], list[Rejected]]:
    """What reaches a shard: images by id, each with all that is said about it, and the rejects."""
    packing = Packing(shards=1, seed=0)
    payloads = [payload for n, piece in enumerate(source.pieces()) for _, payload in source.pack(n, piece, packing)]
    read = list(join(source.unpack(reversed(payloads))))
    images = [row for row in read if isinstance(row, ImageRow)]
    assert len({row.image_id for row in images}) == len(images)
    return {row.image_id: row for row in images}, [row for row in read if isinstance(row, Rejected)]


def rows(coco: Coco) -> tuple[dict[str, ImageRow], list[Rejected]]:
    """What becomes of an instances file."""
    _, annotations, _, images = coco.write()
    return joined(Source(annotations, images))


def survey(coco: Coco) -> Any:
    _, annotations, _, images = coco.write()
    return Source(annotations, images).survey()


def reasons(rejected: list[Rejected]) -> list[tuple[str, str, str]]:
    return sorted((r.kind, r.reason, r.record) for r in rejected)


def test_an_annotation_becomes_a_box_in_pixels(coco: Coco) -> None:
    coco.image(7)
    coco.box(7, [1.5, 2, 3, 2.25], iscrowd=1, area=4.5, id=31)
    images, rejected = rows(coco)
    assert images["7"].boxes == (
        BoxRow(
            ymin=2,
            xmin=1.5,
            ymax=4.25,
            xmax=4.5,
            class_key="18",
            annotation_id="31",
            area=4.5,
            is_crowd=True,
            extra='{"bbox":[1.5,2,3,2.25],"area":4.5}',
            where="instances.json annotations[0]",
        ),
    )
    assert (images["7"].uri, images["7"].height, images["7"].width) == ("7.jpg", 6, 8)
    assert (images["7"].has_boxes, images["7"].provenance) == (True, "instances.json")
    assert not rejected


def test_images_without_annotations_are_background(coco: Coco) -> None:
    coco.image(7)
    coco.image(8)
    coco.box(7)
    images, _ = rows(coco)
    assert images["8"].boxes == ()
    assert images["8"].has_boxes


def test_category_ids_are_sparse_and_kept_in_order(coco: Coco) -> None:
    coco.image(7)
    coco.categories = [{"id": 90, "name": "toothbrush"}, {"id": 1, "name": "person"}, {"id": 13, "name": "stop sign"}]
    found = survey(coco).classes
    assert [(c.key, c.id, c.label) for c in found] == [
        ("1", 1, "person"),
        ("13", 13, "stop sign"),
        ("90", 90, "toothbrush"),
    ]


def test_category_ids_from_zero_are_numbered_from_one_instead(coco: Coco) -> None:
    coco.image(7)
    coco.categories = [{"id": 0, "name": "a"}, {"id": 1, "name": "b"}]
    assert [(c.key, c.id) for c in survey(coco).classes] == [("0", 1), ("1", 2)]


@pytest.mark.parametrize(
    ("given", "text"), [(900100184613, "900100184613"), (900100184613.0, "900100184613"), ("a-1", "a-1"), (1.5, "1.5")]
)
def test_annotation_ids_are_text_of_any_size_and_type(coco: Coco, given: object, text: str) -> None:
    coco.image(7)
    coco.box(7, id=given)
    assert rows(coco)[0]["7"].boxes[0].annotation_id == text


def test_image_ids_match_whether_they_are_numbers_or_text(coco: Coco) -> None:
    coco.image(20180000001)
    coco.box("20180000001")
    coco.box(20180000001.0)
    assert len(rows(coco)[0]["20180000001"].boxes) == 2


def test_missing_flags_are_unknown_not_false(coco: Coco) -> None:
    coco.image(7)
    coco.box(7, iscrowd=None, area=None, id=None)
    box = rows(coco)[0]["7"].boxes[0]
    assert (box.is_crowd, box.area, box.annotation_id) == (None, None, "")


def test_a_missing_size_is_zero(coco: Coco) -> None:
    coco.image(7, width=None, height=None)
    assert (rows(coco)[0]["7"].width, rows(coco)[0]["7"].height) == (0, 0)


def test_without_a_file_name_the_url_gives_it(coco: Coco) -> None:
    coco.image(7, file_name=None, coco_url="http://images.cocodataset.org/val2017/000000000007.jpg")
    assert rows(coco)[0]["7"].uri == "000000000007.jpg"
    (coco.folder / "images" / "val2017").mkdir()
    assert rows(coco)[0]["7"].uri == "val2017/000000000007.jpg"


def test_annotations_of_unknown_images_and_categories_are_rejected(coco: Coco) -> None:
    coco.image(7)
    coco.box(8)
    coco.box(7, category=99)
    images, rejected = rows(coco)
    assert reasons(rejected) == [("box", "box:unknown_category", "2"), ("box", "box:unknown_image", "1")]
    assert {(r.where, r.found) for r in rejected} == {
        ("instances.json annotations[0]", "image 8 is in no list of images"),
        ("instances.json annotations[1]", "category_id 99"),
    }
    assert images["7"].boxes == ()


def test_repeated_ids_are_rejected_after_the_first(coco: Coco) -> None:
    coco.image(7)
    coco.image(7, file_name="other.jpg")
    coco.box(7, id=1)
    coco.box(7, id=1)
    images, rejected = rows(coco)
    assert reasons(rejected) == [("box", "box:duplicate_id", "1"), ("image", "image:duplicate_id", "7")]
    assert any("other.jpg" in r.found for r in rejected)
    assert images["7"].uri == "7.jpg"
    assert len(images["7"].boxes) == 1


@pytest.mark.parametrize("bbox", [None, [], [1, 2, 3], [1, 2, 3, "4"], {"x": 1}, [1, 2, 3, None]])
def test_a_malformed_annotation_costs_only_itself(coco: Coco, bbox: object) -> None:
    coco.image(7)
    coco.box(7)
    coco.box(7, bbox)
    images, rejected = rows(coco)
    assert reasons(rejected) == [("box", "box:malformed", "2")]
    assert len(images["7"].boxes) == 1
    assert list(survey(coco).image_ids) == ["7"]


def test_nan_in_json_reaches_the_checks(coco: Coco) -> None:
    coco.image(7)
    coco.box(7, [float("nan"), 1, 2, 3])
    coco.box(7)
    images, rejected = rows(coco)
    assert images["7"].boxes[0].xmin != images["7"].boxes[0].xmin
    assert len(images["7"].boxes) == 2
    assert not rejected


def test_a_malformed_image_is_rejected_with_its_annotations(coco: Coco) -> None:
    coco.image(7)
    coco.image(8)
    coco.images[1]["file_name"] = 5
    coco.box(8)
    images, rejected = rows(coco)
    assert list(images) == ["7"]
    assert reasons(rejected) == [("box", "box:image_rejected", "1"), ("image", "image:malformed", "8")]
    assert sorted(row.found for row in rejected) == ["file_name is 5; expected text", "image:malformed"]


def test_every_other_field_is_kept(coco: Coco) -> None:
    coco.image(7, license=3, flickr_url="x", mine={"a": [1, None, "é"]})
    coco.box(
        7, [0.1, 1, 2, 3], segmentation=[[1.0, 2.0, 3.5, 4, 5, 6]], iscrowd=True, id="x1", area=0.123456789012, w=[]
    )
    coco.box(7, keypoints=[4, 5, 2, 0, 0, 0], num_keypoints=1, segmentation=None, area=None)
    image = rows(coco)[0]["7"]
    assert json.loads(image.extra) == {
        "file_name": "7.jpg", "width": 8, "height": 6, "license": 3, "flickr_url": "x", "mine": {"a": [1, None, "é"]},
    }  # fmt: skip
    first, second = image.boxes
    assert first.segmentation == "[[1.0, 2.0, 3.5, 4, 5, 6]]"
    assert (first.annotation_id, first.is_crowd) == ("x1", True)
    assert json.loads(first.extra) == {"bbox": [0.1, 1, 2, 3], "area": 0.123456789012, "iscrowd": True, "w": []}
    assert second.keypoints == ((5, 4, 2), (0, 0, 0))
    assert json.loads(second.extra) == {"bbox": [1, 2, 3, 2], "keypoints": [4, 5, 2, 0, 0, 0], "num_keypoints": 1}


@pytest.mark.parametrize("keypoints", [None, [1, 2], ["a", 1, 2], {"x": 1}])
def test_keypoints_that_are_none_stay_in_extra_and_cost_no_box(coco: Coco, keypoints: object) -> None:
    coco.image(7)
    coco.box(7)
    coco.annotations[0]["keypoints"] = keypoints
    (box,) = rows(coco)[0]["7"].boxes
    assert box.keypoints == ()
    assert json.loads(box.extra)["keypoints"] == keypoints


@pytest.mark.parametrize("segmentation", [None, "x", 5])
def test_a_segmentation_of_another_kind_stays_in_extra(coco: Coco, segmentation: object) -> None:
    coco.image(7)
    coco.box(7)
    coco.annotations[0]["segmentation"] = segmentation
    (box,) = rows(coco)[0]["7"].boxes
    assert box.segmentation == ""
    assert json.loads(box.extra)["segmentation"] == segmentation


def test_classes_of_one_name_are_both_kept_and_told(coco: Coco) -> None:
    coco.image(7)
    coco.categories = [{"id": 1, "name": "crane"}, {"id": 5, "name": "crane"}]
    found = survey(coco)
    assert [(c.key, c.label) for c in found.classes] == [("1", "crane"), ("5", "crane")]
    assert found.notes == ("class name 'crane' stands for ids 1, 5; all are kept",)


def test_the_head_holds_all_that_is_neither_image_nor_annotation(coco: Coco) -> None:
    coco.image(7)
    _, annotations, _, images = coco.write()
    data = json.loads(Path(annotations).read_text())
    more = {"info": {"year": 2017}, "licenses": [{"id": 1, "url": "u"}], "type": "instances", "π": [1.5, None]}
    Path(annotations).write_text(json.dumps({**data, **more}))
    assert json.loads(Source(annotations, images).survey().head) == {**more, "categories": coco.categories}


def test_keys_stand_in_any_order(coco: Coco) -> None:
    coco.image(7)
    coco.box(7)
    _, annotations, _, images = coco.write()
    data = json.loads(Path(annotations).read_text())
    Path(annotations).write_text(json.dumps({key: data[key] for key in ("categories", "annotations", "images")}))
    found, rejected = joined(Source(annotations, images))
    assert len(found["7"].boxes) == 1
    assert not rejected


def test_broken_json_is_named_with_file_and_position(tmp_path: Path) -> None:
    path = tmp_path / "instances.json"
    path.write_text('{"images": [{"id": 1}],\n "annotations": [{]}')
    with pytest.raises(FormatError, match=r"instances\.json line 2 column 19 \(byte 42\).*expected JSON$"):
        Source(str(path), str(tmp_path)).survey()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"images": [{"id": 1}], "categories": [{"id": 1, "name": "a"}]}, "no `annotations`"),
        ({"images": [{"id": 1}], "annotations": [{"caption": "a dog"}]}, "no `categories`"),
        ({"images": [], "annotations": [], "categories": [{"id": 1, "name": "a"}]}, "names no images"),
        ([1, 2], "expected an object with a list `images`"),
        ({"images": [{"id": 1}], "annotations": [], "categories": [{"id": 1}]}, "no COCO instances file"),
    ],
)
def test_other_json_files_are_refused_with_the_reason(tmp_path: Path, content: object, message: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(json.dumps(content))
    with pytest.raises(FormatError, match=message):
        Source(str(path), str(tmp_path)).survey()


def test_a_missing_file_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        Source(str(tmp_path / "no.json"), str(tmp_path)).survey()


def test_a_path_that_leads_out_of_the_images_is_refused(coco: Coco, convert: Callable[..., Any]) -> None:
    coco.image(1)
    coco.image(2, file_name="../instances.json")
    done = convert("coco", *coco.write())
    assert [(r["record"], r["reason"]) for r in done.rejects] == [("2", "image:bad_path")]
