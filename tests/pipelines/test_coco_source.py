"""COCO instances: every odd input has a result or a message of its own."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipelines.rows import BoxRow, ImageRow, Rejected
from pipelines.sources.coco import Source
from schemas.errors import FormatError, InputError

Coco = Any


def rows(coco: Coco) -> tuple[dict[str, ImageRow], list[Rejected]]:
    """What the source yields: images by id, and the rejects."""
    _, annotations, _, images = coco.write()
    read = list(Source(annotations, images).read())
    return {r.image_id: r for r in read if isinstance(r, ImageRow)}, [r for r in read if isinstance(r, Rejected)]


def survey(coco: Coco) -> Any:
    _, annotations, _, images = coco.write()
    return Source(annotations, images).survey()


def reasons(rejected: list[Rejected]) -> list[tuple[str, str, str]]:
    return [(r.kind, r.reason, r.record) for r in rejected]


def test_an_annotation_becomes_a_box_in_pixels(coco: Coco) -> None:
    coco.image(7)
    coco.box(7, [1.5, 2, 3, 2.25], iscrowd=1, area=4.5, id=31)
    images, rejected = rows(coco)
    assert images["7"].boxes == (
        BoxRow(ymin=2, xmin=1.5, ymax=4.25, xmax=4.5, class_key="18", annotation_id="31", area=4.5, is_crowd=True),
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
    assert reasons(rejected) == [("box", "box:unknown_image", "1"), ("box", "box:unknown_category", "2")]
    assert rejected[0].where == "instances.json annotations[0]"
    assert rejected[1].found == "category_id 99"
    assert images["7"].boxes == ()


def test_repeated_ids_are_rejected_after_the_first(coco: Coco) -> None:
    coco.image(7)
    coco.image(7, file_name="other.jpg")
    coco.box(7, id=1)
    coco.box(7, id=1)
    images, rejected = rows(coco)
    assert reasons(rejected) == [("box", "box:duplicate_id", "1"), ("image", "image:duplicate_id", "7")]
    assert "other.jpg" in rejected[1].found
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
    assert survey(coco).image_ids == ["7"]


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
    assert reasons(rejected) == [("image", "image:malformed", "8"), ("box", "box:unknown_image", "1")]


def test_extra_fields_and_polygons_are_passed_over(coco: Coco) -> None:
    coco.image(7, license=3, flickr_url="x")
    coco.box(7, segmentation=[[1.0, 2.0, 3.0]], keypoints=[0, 0, 0])
    assert len(rows(coco)[0]["7"].boxes) == 1


def test_broken_json_is_named_with_file_and_position(tmp_path: Path) -> None:
    path = tmp_path / "instances.json"
    path.write_text('{"images": [{"id": 1}],\n "annotations": [{]}')
    with pytest.raises(FormatError, match=r"instances\.json line 2 column 19 \(byte 42\).*cut short"):
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
