"""Lists of COCO results become boxes with confidence."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipelines.export_coco import export_coco
from pipelines.sources.coco import Source
from schemas.errors import ConfigError, FormatError, InputError
from schemas.label_map import LabelMapItem, write_label_map

NONE = ("--labels", "none")
Convert = Callable[..., Any]


def results_file(folder: Path, rows: list[Any]) -> Path:
    path = folder / "results.json"
    path.write_text(json.dumps(rows))
    return path


def row(image: Any, category: Any = 18, score: Any = 0.5, bbox: Any = (1, 2, 3, 2), **more: Any) -> dict[str, Any]:
    return {"image_id": image, "category_id": category, "bbox": list(bbox), "score": score, **more}


def boxes_of(records: Any) -> dict[str, list[tuple[str, float]]]:
    return {key: [(box.label, box.confidence) for box in record.boxes] for key, record in sorted(records.items())}


def test_results_on_a_coco_file_have_its_images_and_classes(coco: Any, convert: Convert, tmp_path: Path) -> None:
    for number in (1, 2, 3):
        coco.image(number)
    coco.box(1, (0, 0, 8, 6))  # people's own: it is not read
    names, images = (Path(word) for word in coco.write()[1::2])
    rows = [row(1, 1, 0.25), row(2.0), row(1, 18, 1), row(1, 18, 0.75, mine="x")]
    rows += [row(9), row(1, 77), row(1, score=1.5), row(1, score=None), {"image_id": 1}, 3, row(1, bbox=(1, 2, 3))]
    words = ["--annotations", results_file(tmp_path, rows), "--images", images, "--categories", names]
    done = convert("coco", *words, *NONE)
    found = {"1": [("person", 0.25), ("dog", 1.0), ("dog", 0.75)], "2": [("dog", 0.5)], "3": []}
    assert boxes_of(done.records) == found
    assert all(record.has_boxes for record in done.records.values())
    assert "7 results on 3 images" in done.stdout
    counts = done.counts
    assert (counts["annotations_in"], counts["annotations_written"], counts["annotations_rejected"]) == (11, 4, 7)
    assert sorted((reject["record"], reject["reason"]) for reject in done.rejects) == [
        ("9#1", "box:unknown_image"),
        ("results[10]", "box:malformed"),
        ("results[5]", "box:unknown_category"),
        ("results[6]", "box:bad_confidence"),
        ("results[7]", "box:malformed"),
        ("results[8]", "box:malformed"),
        ("results[9]", "box:malformed"),
    ]
    export_coco(str(done.out), str(tmp_path / "back.json"))
    back = {entry.pop("id"): entry for entry in json.loads((tmp_path / "back.json").read_text())["annotations"]}
    by_score = lambda entry: entry["score"]  # noqa: E731
    wanted = [{**entry, "iscrowd": 0, "area": 6} for entry in rows[:4]]
    assert sorted(back.values(), key=by_score) == sorted(wanted, key=by_score)


def test_results_alone_have_the_images_of_the_folder_as_detect_calls_them(
    convert: Convert, tmp_path: Path, jpeg: Any
) -> None:
    for number, name in enumerate(("0007.jpg", "dog.jpg", "a/cat.png", "b/cat.png", "no.txt")):
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(jpeg(seed=number, kind="PNG" if name.endswith("png") else "JPEG"))
    rows = [row(7, 3), row("photos/dog.jpg", 12), row("/mnt/sets/photos/b/cat.png", 3), row("cat.png", 3)]
    done = convert("coco", "--annotations", results_file(tmp_path, rows), "--images", tmp_path / "photos", *NONE)
    found = {"7": [("3", 0.5)], "a/cat.png": [], "b/cat.png": [("3", 0.5)], "dog.jpg": [("12", 0.5)]}
    assert boxes_of(done.records) == found
    assert [(entry["id"], entry["label"]) for entry in done.manifest["classes"]] == [(3, "3"), (12, "12")]
    assert [reject["reason"] for reject in done.rejects] == ["box:unknown_image"]  # two pictures are called so
    export_coco(str(done.out), str(tmp_path / "back.json"))
    back = json.loads((tmp_path / "back.json").read_text())
    names = {image["id"]: image["file_name"] for image in back["images"]}
    assert names == {7: "0007.jpg", "dog.jpg": "dog.jpg", "a/cat.png": "a/cat.png", "b/cat.png": "b/cat.png"}
    assert {entry["image_id"] for entry in back["annotations"]} <= names.keys()


def test_a_label_map_names_the_classes_of_results(convert: Convert, tmp_path: Path, jpeg: Any) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "1.jpg").write_bytes(jpeg())
    items = [LabelMapItem(name="n02084071", id=1, display_name="dog"), LabelMapItem(name="n02121808", id=2)]
    (tmp_path / "labels.pbtxt").write_text(write_label_map(items))
    words = ["--annotations", results_file(tmp_path, [row(1, 2)]), "--images", tmp_path / "photos"]
    done = convert("coco", *words, "--categories", tmp_path / "labels.pbtxt", "--labels", "imagenet")
    assert [(box.wnid, box.confidence) for box in done.records["1"].boxes] == [("n02121808", 0.5)]
    assert [entry["wnid"] for entry in done.manifest["classes"]] == ["n02084071", "n02121808"]


@pytest.mark.parametrize("text", ["[]", "[1, 2]", '[{"images": [], "annotations": []}]', '[{"image_id": 1}]'])
def test_a_list_without_results_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(FormatError, match=r"x\.json is a list without COCO results; expected an object with a list"):
        Source(str(tmp_path / "x.json"), str(tmp_path)).survey()


def test_an_empty_list_of_results_leaves_the_images_of_its_file_as_background(coco: Any, convert: Convert) -> None:
    coco.image(1)
    names, images = coco.write()[1::2]
    words = ["--annotations", results_file(coco.folder, []), "--images", images, "--categories", names]
    assert boxes_of(convert("coco", *words, *NONE).records) == {"1": []}


def test_what_does_not_go_with_results_is_refused(tmp_path: Path, coco: Any) -> None:
    path = str(results_file(tmp_path, [row(1)]))
    with pytest.raises(InputError, match="holds no image"):
        Source(path, str(tmp_path)).survey()
    with pytest.raises(ConfigError, match=r"results\.json is a list; --captions, --keypoints and --unlabelled go with"):
        Source(path, str(tmp_path), unlabelled=True).survey()
    (tmp_path / "empty.pbtxt").write_text("")
    (tmp_path / "1.jpg").write_bytes(b"")
    with pytest.raises(FormatError, match=r"empty\.pbtxt names no class"):
        Source(path, str(tmp_path), categories=str(tmp_path / "empty.pbtxt")).survey()
    coco.image(1)
    with pytest.raises(ConfigError, match="--categories is for a list of results"):
        Source(coco.write()[1], str(tmp_path), categories=path).survey()
    (tmp_path / "cut.json").write_text('[{"image_id": 1,')
    with pytest.raises(FormatError, match=r"cut\.json line 1 column 17"):
        Source(str(tmp_path / "cut.json"), str(tmp_path)).survey()
    (tmp_path / "more.json").write_text(f"{json.dumps([row(1)])} 3")
    with pytest.raises(FormatError, match=r"more\.json line 1 .*Extra data"):
        Source(str(tmp_path / "more.json"), str(tmp_path)).survey()
