"""From COCO to shards and back: every field of every image and annotation equals the source's."""

from __future__ import annotations

import argparse
import contextlib
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipelines.cli_export import add_to_coco
from pipelines.export_coco import export_coco
from schemas.errors import ConfigError, InputError, OutputError

Convert = Callable[..., Any]
Shared = Callable[..., Path]
Coco = Any
NONE = ("--labels", "none")


def by_id(entries: list[dict[str, Any]], *keys: str) -> dict[Any, dict[str, Any]]:
    found = {tuple(entry[key] for key in keys or ("id",)): entry for entry in entries}
    assert len(found) == len(entries)
    return found


def assert_same(found: dict[str, Any], source: dict[str, Any], *keys: str) -> None:
    """Every top-level value and every field of every entry; only the order of entries may differ."""
    assert found.keys() == source.keys()
    for name, value in source.items():
        if name == "images":
            assert by_id(found[name]) == by_id(value)
        elif name == "annotations":
            assert by_id(found[name], *keys) == by_id(value, *keys)
        else:
            assert found[name] == value


def official(path: Path) -> Any:
    """The file as COCO's own API reads it."""
    coco = pytest.importorskip("pycocotools.coco")
    with contextlib.redirect_stdout(io.StringIO()):
        return coco.COCO(str(path))


def average_precision(api: Any) -> float:
    """COCO's own score of the boxes as detections of themselves."""
    evaluation = pytest.importorskip("pycocotools.cocoeval")
    entries = [{**entry, "score": 1.0} for entry in api.anns.values()]
    with contextlib.redirect_stdout(io.StringIO()):
        judge = evaluation.COCOeval(api, api.loadRes(entries), "bbox")
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    return judge.stats[0]


@pytest.mark.parametrize("split", ["train2017", "val2017"])
@pytest.mark.parametrize("kind", ["instances", "person_keypoints", "captions"])
def test_real_files_come_back_field_by_field(
    shared: Shared, convert: Convert, tmp_path: Path, split: str, kind: str
) -> None:
    folder = shared("data", "coco", "tiny_coco")
    path = folder / "annotations" / f"{kind}_{split}.json"
    option = "--captions" if kind == "captions" else "--annotations"
    done = convert("coco", option, path, "--images", folder / split, "--shards", 3, *NONE)
    result = export_coco(str(done.out), str(tmp_path / "back.json"))
    source = json.loads(path.read_text())
    assert_same(json.loads((tmp_path / "back.json").read_text()), source)
    assert result.images == len(source["images"])
    assert result.annotations + result.captions == len(source["annotations"])
    assert (result.changed, result.sizes, result.left_out) == (0, 0, 0)


def test_three_files_in_one_dataset_come_back(shared: Shared, convert: Convert, tmp_path: Path) -> None:
    folder = shared("data", "coco", "tiny_coco")
    names = ("instances", "person_keypoints", "captions")
    paths = [folder / "annotations" / f"{name}_val2017.json" for name in names]
    instances, keypoints, captions = (json.loads(path.read_text()) for path in paths)
    words = ["--annotations", paths[0], "--keypoints", paths[1], "--captions", paths[2]]
    done = convert("coco", *words, "--images", folder / "val2017")
    assert done.counts["annotations_written"] == len(instances["annotations"])
    assert done.counts["captions_written"] == len(captions["annotations"])
    assert done.counts["rejected_by_reason"] == {}
    out, sentences = tmp_path / "a.json", tmp_path / "b.json"
    export_coco(str(done.out), str(out), captions=str(sentences))
    found = json.loads(out.read_text())
    points = {entry["id"]: entry for entry in keypoints["annotations"]}
    expected = [
        {**entry, **{k: points[entry["id"]][k] for k in ("keypoints", "num_keypoints") if entry["id"] in points}}
        for entry in instances["annotations"]
    ]
    assert sum("keypoints" in entry for entry in expected) == len(points)
    assert by_id(found["annotations"]) == by_id(expected)
    person = keypoints["categories"][0]
    assert [entry for entry in found["categories"] if entry["id"] == person["id"]] == [person]
    assert_same(json.loads(sentences.read_text()), captions)
    assert export_coco(str(done.out), str(tmp_path / "c.json")).left_out == len(captions["annotations"])
    record = done.records["17627"]
    written = {c.text for c in record.captions}
    assert written == {a["caption"] for a in captions["annotations"] if a["image_id"] == 17627}


def odd_coco(coco: Coco) -> dict[str, Any]:
    """A set with fields, ids and numbers of every kind; returns it as written."""
    coco.categories = [{"id": 0, "name": "a", "x": [1]}, {"id": 7, "name": "b"}, {"id": 90, "name": "é"}]
    coco.image(3, license=1, flickr_url="http://x", mine={"deep": [1, None, 2.50]})
    coco.image("four", date_captured="2013")
    coco.image(5.0)
    coco.image("6", height=None, width=None)
    coco.box(3, [0.1, 0.2, 3.3, 1.7], 7, area=5.123456789012345, score=0.1234567890123)
    coco.box(3, [-1, -2, 30, 20], 0, id=900100184613)  # past the edge: clipped in the shards
    coco.box("four", [1, 1, 2, 2], 90, id="12", iscrowd=1, segmentation={"size": [6, 8], "counts": [10, 4, 34]})
    coco.box("four", [1, 1, 2, 2], 90, id=2.5, iscrowd=True, area=None, attributes={"iscrowd": 3})
    coco.box(5, [1, 1, 2, 2.25], 90.0, segmentation=[[1.10, 1, 3, 1, 3, 3.25]], area=None, iscrowd=None)
    coco.box("6", [0, 0, 8, 6], 7, keypoints=[1, 2, 2, 0, 0, 0, 7, 5, 1], num_keypoints=2)
    coco.annotations[-1]["area"] = None
    coco.write()
    path = coco.folder / "instances.json"
    data = json.loads(path.read_text())
    data = {"info": {"a": "é"}, "licenses": [{"id": 1}], "new": [1.0, {"b": None}], **data}
    path.write_text(json.dumps(data))
    return data


def test_odd_fields_ids_and_numbers_come_back(coco: Coco, convert: Convert, tmp_path: Path) -> None:
    source = odd_coco(coco)
    path = coco.folder / "instances.json"
    done = convert("coco", "--annotations", path, "--images", coco.folder / "images", *NONE)
    assert done.counts["rejected_by_reason"] == {}
    result = export_coco(str(done.out), str(tmp_path / "back.json"))
    found = json.loads((tmp_path / "back.json").read_text())
    source["images"][3] |= {"width": 8, "height": 6}  # which the source does not state
    assert_same(found, source)
    assert (result.changed, result.sizes) == (0, 1)
    kinds = {type(entry["id"]) for entry in found["images"]} | {type(entry["id"]) for entry in found["annotations"]}
    assert kinds == {int, float, str}


def test_a_turned_image_is_exported_as_it_was_written(coco: Coco, convert: Convert, tmp_path: Path, jpeg: Any) -> None:
    """The annotator saw 6 x 8 upright, the file is 8 x 6: the shards hold boxes of the file."""
    coco.image(1, jpeg(orientation=6), width=6, height=8)
    coco.box(1, [0, 1, 2, 3], segmentation=[[0, 1, 2, 1, 2, 4, 0, 4]], keypoints=[1, 2, 2], num_keypoints=1)
    done = convert("coco", *coco.write(), *NONE)
    result = export_coco(str(done.out), str(tmp_path / "x.json"))
    found = json.loads((tmp_path / "x.json").read_text())
    assert (result.changed, result.sizes) == (1, 1)
    (image,), (box,) = found["images"], found["annotations"]
    assert (image["width"], image["height"]) == (8, 6)
    assert box["bbox"] == [1, 4, 3, 2]
    assert box["keypoints"] == [2, 5, 2]
    mask = official(tmp_path / "x.json").anns[1]["segmentation"][0]
    assert (min(mask[::2]), min(mask[1::2]), max(mask[::2]), max(mask[1::2])) == (1, 4, 4, 6)


def test_lvis_comes_back_without_file_names(coco: Coco, convert: Convert, tmp_path: Path) -> None:
    url = "http://images.cocodataset.org/val2017/{}.jpg"
    for number in (1, 2):
        coco.image(number)
        coco.images[-1] |= {
            "coco_url": url.format(number),
            "neg_category_ids": [18] if number == 1 else [],
            "not_exhaustive_category_ids": [] if number == 1 else [1, 18],
        }
        del coco.images[-1]["file_name"]
    coco.categories = [
        {"id": 1, "name": "person", "synset": "person.n.01", "frequency": "f", "def": "a human", "image_count": 1},
        {"id": 18, "name": "dog", "synset": "dog.n.01", "frequency": "r", "def": "a pet", "image_count": 2},
    ]
    coco.box(1, category=1, iscrowd=None, segmentation=[[1, 1, 3, 1, 3, 3]])
    done = convert("coco", *coco.write())
    export_coco(str(done.out), str(tmp_path / "back.json"))
    assert_same(
        json.loads((tmp_path / "back.json").read_text()), json.loads((coco.folder / "instances.json").read_text())
    )
    records = done.records
    assert [(x.class_id, x.present, x.verified, x.source) for x in records["1"].labels] == [(18, False, True, "lvis")]
    assert records["2"].not_exhaustive == (1, 18)
    assert records["1"].boxes[0].is_crowd is None


def panoptic_set(folder: Path, jpeg: Any) -> dict[str, Any]:
    """Two images; the second has its PNG under a name of its own."""
    (folder / "images").mkdir(parents=True)
    (folder / "maps").mkdir()
    data: dict[str, Any] = {"info": {}, "licenses": [], "images": [], "annotations": []}
    data["categories"] = [{"id": 1, "name": "person", "isthing": 1}, {"id": 93, "name": "banner", "isthing": 0}]
    for number, name in ((1, "1.png"), (2, "other.png")):
        (folder / "images" / f"{number}.jpg").write_bytes(jpeg(seed=number))
        Image.fromarray(np.full((6, 8, 3), number, np.uint8)).save(folder / "maps" / name)
        data["images"].append({"id": number, "file_name": f"{number}.jpg", "width": 8, "height": 6})
        segments = [
            {"id": 65793 * number, "category_id": 1, "bbox": [0, 0, 8, 3], "area": 24, "iscrowd": 0},
            {"id": 5, "category_id": 93, "bbox": [0, 3, 8, 3], "area": 24, "iscrowd": 1, "more": [number]},
        ]
        data["annotations"].append({"image_id": number, "file_name": name, "segments_info": segments})
    (folder / "panoptic.json").write_text(json.dumps(data))
    return data


def test_panoptic_files_come_back(convert: Convert, tmp_path: Path, jpeg: Any) -> None:
    folder = tmp_path / "set"
    source = panoptic_set(folder, jpeg)
    words = ["--panoptic", folder / "panoptic.json", "--panoptic-maps", folder / "maps", "--images", folder / "images"]
    done = convert("coco", *words, *NONE)
    assert done.counts["annotations_written"] == 4
    for number, name in ((1, "1.png"), (2, "other.png")):
        record = done.records[str(number)]
        assert [(m.kind, m.encoded) for m in record.maps] == [("panoptic", (folder / "maps" / name).read_bytes())]
        assert [box.annotation_id for box in record.boxes] == [str(65793 * number), "5"]
        assert [json.loads(box.extra)["isthing"] for box in record.boxes] == [1, 0]
    export_coco(str(done.out), str(tmp_path / "back.json"))
    assert_same(json.loads((tmp_path / "back.json").read_text()), source, "image_id")


def test_unlabelled_images_come_back(coco: Coco, convert: Convert, tmp_path: Path) -> None:
    coco.image(1, license=4)
    words = coco.write()
    path = coco.folder / "instances.json"
    source = json.loads(path.read_text())
    del source["annotations"]
    path.write_text(json.dumps(source))
    done = convert("coco", *words, "--unlabelled")
    assert not done.records["1"].has_boxes
    export_coco(str(done.out), str(tmp_path / "back.json"))
    assert_same(json.loads((tmp_path / "back.json").read_text()), {**source, "annotations": []})


def test_voc_gives_a_valid_file(shared: Shared, convert: Convert, tmp_path: Path) -> None:
    folder = shared("data", "voc", "VOCdevkit_official10", "VOC2007")
    done = convert("voc", "--annotations", folder / "Annotations", "--images", folder / "JPEGImages")
    out = tmp_path / "voc.json"
    export_coco(str(done.out), str(out), prefix="VOC2007/JPEGImages")
    api = official(out)
    records = {record.uri: record for record in done.records.values()}
    assert sorted(api.imgs) == list(range(1, len(records) + 1))
    for number, image in api.imgs.items():
        record = records[image["file_name"].removeprefix("VOC2007/JPEGImages/")]
        assert image["source_id"] == record.image_id
        assert (image["width"], image["height"]) == (record.width, record.height)
        found = api.loadAnns(api.getAnnIds(imgIds=[number]))
        assert len(found) == len(record.boxes)
        for entry, box in zip(found, record.boxes, strict=True):
            x, y, w, h = entry["bbox"]
            expected = (box.box.xmin * record.width, box.box.ymin * record.height)
            np.testing.assert_allclose((x, y), expected, atol=1e-3)
            np.testing.assert_allclose(entry["area"], w * h, atol=1e-2)
            assert api.cats[entry["category_id"]]["name"] == box.label
            assert entry["attributes"]["is_difficult"] == box.is_difficult
            assert entry["iscrowd"] == int(bool(box.is_difficult))  # neither a hit nor a miss, as in `evaluate`
    assert average_precision(api) == 1


def test_image_labels_stand_at_their_images(convert: Convert, tmp_path: Path, jpeg: Any) -> None:
    folder = tmp_path / "classes" / "n02084071"
    folder.mkdir(parents=True)
    (folder / "x.jpg").write_bytes(jpeg())
    done = convert("imagenet", "--images", folder.parent)
    export_coco(str(done.out), str(tmp_path / "x.json"))
    (image,) = official(tmp_path / "x.json").imgs.values()
    assert image["file_name"] == "n02084071/x.jpg"
    assert [(one["category_id"], one["present"]) for one in image["image_labels"]] == [(1, True)]


def run(*words: object) -> int:
    parser = argparse.ArgumentParser()
    add_to_coco(parser.add_subparsers())
    args = parser.parse_args(["to-coco", *map(str, words)])
    return args.run(args)


def test_the_command_says_what_became_of_everything(
    coco: Coco, convert: Convert, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    coco.image(1)
    coco.box(1)
    done = convert("coco", *coco.write())
    out = tmp_path / "new" / "x.json"
    assert run(done.out, "--out", out, "--images", "gs://bucket/images") == 0
    assert "1 images, 1 annotations" in capsys.readouterr().out
    assert json.loads(out.read_text())["images"][0]["file_name"] == "gs://bucket/images/1.jpg"
    with pytest.raises(OutputError, match="exists"):
        run(done.out, "--out", out)
    assert run(done.out, "--out", out, "--force", "--json") == 0
    assert json.loads(capsys.readouterr().out)["annotations"] == 1
    assert [path.name for path in out.parent.iterdir()] == ["x.json"]


def test_wrong_uses_are_told(coco: Coco, convert: Convert, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no dataset directory"):
        export_coco(str(tmp_path / "no"), str(tmp_path / "x.json"))
    coco.image(1)
    words = coco.write()
    path = coco.folder / "instances.json"
    path.write_text(json.dumps({"images": coco.images, "annotations": [{"image_id": 1, "id": 1, "caption": "a"}]}))
    done = convert("coco", "--captions", path, *words[2:])
    assert [tuple(c) for c in done.records["1"].captions] == [("a", "1")]
    with pytest.raises(ConfigError, match="captions alone"):
        export_coco(str(done.out), str(tmp_path / "x.json"), captions=str(tmp_path / "y.json"))


def test_a_relabelled_dataset_keeps_its_boxes(coco: Coco, convert: Convert, tmp_path: Path) -> None:
    """Row-plane commands rewrite rows and copy source.json; the export follows the rows."""
    relabel = pytest.importorskip("pipelines.row_plane.relabel")
    coco.image(1)
    coco.box(1, [1.5, 2, 3, 2.25], area=6.7)
    done = convert("coco", *coco.write())
    view = tmp_path / "view"
    relabel.relabel(str(done.out), str(view), relabel.RelabelOptions(labels="none"))
    export_coco(str(view), str(tmp_path / "back.json"))
    assert_same(
        json.loads((tmp_path / "back.json").read_text()), json.loads((coco.folder / "instances.json").read_text())
    )


def test_a_view_of_a_panoptic_dataset_gives_a_panoptic_file(convert: Convert, tmp_path: Path, jpeg: Any) -> None:
    relabel = pytest.importorskip("pipelines.row_plane.relabel")
    folder = tmp_path / "set"
    source = panoptic_set(folder, jpeg)
    words = ["--panoptic", folder / "panoptic.json", "--panoptic-maps", folder / "maps", "--images", folder / "images"]
    done = convert("coco", *words, *NONE)
    relabel.relabel(str(done.out), str(tmp_path / "view"), relabel.RelabelOptions(labels="none"))
    export_coco(str(tmp_path / "view"), str(tmp_path / "back.json"))
    assert_same(json.loads((tmp_path / "back.json").read_text()), source, "image_id")


def test_generated_sets_come_back_field_by_field(coco: Coco, convert: Convert, tmp_path: Path) -> None:
    """Boxes of any numbers inside the image, with fields of any name and kind."""
    rng = np.random.default_rng(5)
    kinds: list[Callable[[], Any]] = [
        lambda: float(rng.normal() * 10.0 ** rng.integers(-20, 20)),
        lambda: int(rng.integers(-(2**62), 2**62)),
        lambda: [[1, 2.50], {"é": None, "]},{": '"\\ \n'}],
        lambda: "".join(map(chr, rng.integers(32, 1000, 8))),
        lambda: bool(rng.integers(2)),
        lambda: None,
    ]
    names = ["score", "area2", "caption", "segmentation_id", "0", "", "é", "box", "image", "source"]

    def more() -> dict[str, Any]:
        chosen = rng.choice(len(names), rng.integers(0, 4), replace=False)
        return {names[n]: kinds[rng.integers(len(kinds))]() for n in chosen}

    for number in range(30):
        coco.image(number * 7)
        coco.images[-1] |= more()
    for number in range(400):
        x0, x1 = np.sort(rng.uniform(0, 8, 2)).tolist()
        y0, y1 = np.sort(rng.uniform(0, 6, 2)).tolist()
        digits = int(rng.integers(1, 17))
        bbox = [round(n, digits) for n in (x0, y0, x1 - x0 + 0.05, y1 - y0 + 0.05)]
        coco.box(int(rng.integers(30)) * 7, bbox, int(rng.choice([1, 18])), id=number * 10**9, area=rng.random() * 48)
        coco.annotations[-1] |= more()
    done = convert("coco", *coco.write(), "--shards", 3)
    assert done.counts["rejected_by_reason"] == {}
    assert done.counts["fixed_by_reason"]["box:clipped"] > 5
    result = export_coco(str(done.out), str(tmp_path / "back.json"))
    source = json.loads((coco.folder / "instances.json").read_text())
    assert_same(json.loads((tmp_path / "back.json").read_text()), source)
    assert result.changed == 0
