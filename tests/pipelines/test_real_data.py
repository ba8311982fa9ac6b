"""Real datasets, item by item: what is read back equals the source's own files."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

Convert = Callable[..., Any]
Shared = Callable[..., Path]

# Reads a dataset directory with TensorFlow alone and prints what it saw. A process of its own: TensorFlow is slow to
# import, and nothing here may need it.
READ_WITH_TENSORFLOW = """
import hashlib, json, sys
import tensorflow as tf
floats, ints, texts = (tf.io.VarLenFeature(kind) for kind in (tf.float32, tf.int64, tf.string))
one = lambda kind: tf.io.FixedLenFeature([], kind)
spec = {"image/encoded": one(tf.string), "image/source_id": one(tf.string), "image/format": one(tf.string),
        "image/height": one(tf.int64), "image/width": one(tf.int64), "image/object/class/text": texts,
        "image/object/class/label": ints, "image/object/is_crowd": ints}
spec.update({f"image/object/bbox/{side}": floats for side in ("ymin", "xmin", "ymax", "xmax")})
seen = {}
for data in tf.data.TFRecordDataset(sorted(tf.io.gfile.glob(sys.argv[1] + "/*.tfrecord"))):
    row = tf.io.parse_single_example(data, spec)
    dense = {key: tf.sparse.to_dense(value).numpy().tolist() for key, value in row.items()
             if isinstance(value, tf.SparseTensor)}
    image = tf.io.decode_image(row["image/encoded"])
    seen[row["image/source_id"].numpy().decode()] = {
        "sha256": hashlib.sha256(row["image/encoded"].numpy()).hexdigest(),
        "shape": image.shape.as_list()[:2], "stated": [int(row["image/height"]), int(row["image/width"])],
        "classes": dense["image/object/class/label"], "crowd": dense["image/object/is_crowd"],
        "labels": [text.decode() for text in dense["image/object/class/text"]],
        "boxes": list(zip(*(dense[f"image/object/bbox/{side}"] for side in ("ymin", "xmin", "ymax", "xmax")))),
    }
print(json.dumps(seen))
"""


def tiny_coco(shared: Shared, split: str) -> tuple[list[str], dict[str, Any], Path]:
    """Words for the command line, the source's JSON, and its images."""
    folder = shared("data", "coco", "tiny_coco")
    path = folder / "annotations" / f"instances_{split}.json"
    return ["--annotations", str(path), "--images", str(folder / split)], json.loads(path.read_text()), folder / split


def expected_boxes(source: dict[str, Any]) -> dict[str, list[tuple[Any, ...]]]:
    """(annotation id, category id, name, crowd, area, float32 box) by image, in the JSON's order."""
    names = {c["id"]: c["name"] for c in source["categories"]}
    sizes = {image["id"]: (image["height"], image["width"]) for image in source["images"]}
    boxes: dict[str, list[tuple[Any, ...]]] = {str(image["id"]): [] for image in source["images"]}
    for a in source["annotations"]:
        (height, width), (x, y, w, h) = sizes[a["image_id"]], a["bbox"]
        box = tuple(
            np.array([y / height, x / width, (y + h) / height, (x + w) / width], np.float32).clip(0, 1).tolist()
        )
        fields = (str(a["id"]), a["category_id"], names[a["category_id"]], bool(a["iscrowd"]))
        boxes[str(a["image_id"])].append((*fields, float(np.float32(a["area"])), box))
    return boxes


@pytest.mark.parametrize("split", ["train2017", "val2017"])
def test_coco_equals_its_source_item_by_item(shared: Shared, convert: Convert, split: str) -> None:
    words, source, images = tiny_coco(shared, split)
    done = convert("coco", *words, "--shards", 3, "--split", split)
    expected = expected_boxes(source)
    records = done.records
    assert set(records) == set(expected)
    for image in source["images"]:
        record = records[str(image["id"])]
        assert record.encoded == (images / image["file_name"]).read_bytes()
        assert (record.height, record.width, record.filename) == (image["height"], image["width"], image["file_name"])
        assert [
            (b.annotation_id, b.class_id, b.label, b.is_crowd, b.area, tuple(b.box)) for b in record.boxes
        ] == expected[record.image_id]
    assert done.counts["annotations_written"] == len(source["annotations"])
    assert done.counts["rejected_by_reason"] == {}
    assert {c["id"]: c["label"] for c in done.manifest["classes"]} == {c["id"]: c["name"] for c in source["categories"]}
    assert all(c["wnid"] for c in done.manifest["classes"])


@pytest.mark.skipif(not importlib.util.find_spec("tensorflow"), reason="TensorFlow is not installed")
def test_tensorflow_reads_the_same_from_the_shards(shared: Shared, convert: Convert) -> None:
    words, source, _ = tiny_coco(shared, "val2017")
    done = convert("coco", *words, "--shards", 2)
    command = [sys.executable, "-c", READ_WITH_TENSORFLOW, str(done.out)]
    seen = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    expected = expected_boxes(source)
    assert set(seen) == set(expected)
    for image_id, record in done.records.items():
        found = seen[image_id]
        assert found["sha256"] == record.sha256
        assert found["shape"] == found["stated"] == [record.height, record.width]
        rows = zip(found["classes"], found["labels"], found["crowd"], found["boxes"], strict=True)
        assert [(a, b, bool(c), tuple(d)) for a, b, c, d in rows] == [
            (e[1], e[2], e[3], e[5]) for e in expected[image_id]
        ]


@pytest.mark.parametrize(("year", "cut", "lost"), [("VOC2007", "000001", 2), ("VOC2012", "2007_000027", 1)])
def test_official_voc_equals_its_xml_and_the_cut_images_are_rejected(
    shared: Shared, convert: Convert, year: str, cut: str, lost: int
) -> None:
    folder = shared("data", "voc", "VOCdevkit_official10", year)
    done = convert("voc", "--annotations", folder / "Annotations", "--images", folder / "JPEGImages")
    assert done.counts["rejected_by_reason"] == {"box:image_rejected": lost, "image:truncated": 1}
    assert [r["record"] for r in done.rejects if r["kind"] == "image"] == [cut]
    for path in sorted((folder / "Annotations").glob("*.xml")):
        if path.stem == cut:
            continue
        root, record = ElementTree.parse(path).getroot(), done.records[path.stem]
        height, width = (int(root.findtext(f"size/{side}") or 0) for side in ("height", "width"))
        assert record.encoded == (folder / "JPEGImages" / f"{path.stem}.jpg").read_bytes()
        assert (record.height, record.width) == (height, width)
        expected = []
        for item in root.findall("object"):
            x0, y0, x1, y1 = (float(item.findtext(f"bndbox/{s}") or "") for s in ("xmin", "ymin", "xmax", "ymax"))
            box = np.array([(y0 - 1) / height, (x0 - 1) / width, y1 / height, x1 / width], np.float32).tolist()
            expected.append((item.findtext("name"), item.findtext("pose"), item.findtext("difficult") == "1", box))
        assert [(b.label, b.view, b.is_difficult, list(b.box)) for b in record.boxes] == expected


def test_labelimg_folders_of_raccoons_are_complete(shared: Shared, convert: Convert) -> None:
    folder = shared("data", "voc", "raccoon")
    words = ["--annotations", folder / "annotations", "--images", folder / "images", "--labels", "none"]
    done = convert("voc", *words)
    xmls = list((folder / "annotations").glob("*.xml"))
    assert done.counts["images_written"] == len(xmls)
    assert done.counts["annotations_written"] == sum(path.read_text().count("<bndbox>") for path in xmls)
    assert done.counts["rejected_by_reason"] == {}


def test_the_same_boxes_in_two_coco_files_and_in_voc_are_the_same(shared: Shared, convert: Convert) -> None:
    folder = shared("data", "voc", "voc2012_100")
    kit = folder / "VOCdevkit" / "VOC2012"
    voc = convert("voc", "--devkit", kit, out="voc").records
    other = folder / "same_boxes_other_formats" / "coco_format_v2.json"
    coco = convert(
        "coco", "--annotations", other, "--images", kit / "JPEGImages", "--labels", "none", out="coco"
    ).records
    by_file = {record.filename: record for record in coco.values()}
    assert len(by_file) == len(voc) == 60
    for record in voc.values():
        twin = by_file[record.filename]
        assert record.sha256 == twin.sha256
        # That COCO file keeps VOC's raw numbers: its minima lie one pixel to the right and below.
        shift = np.array([1 / record.height, 1 / record.width, 0, 0])
        ours = sorted((b.label, *(np.array(b.box) + shift).round(5)) for b in record.boxes)
        theirs = sorted((b.label, *np.array(b.box).round(5)) for b in twin.boxes)
        assert [row[0] for row in ours] == [row[0] for row in theirs]
        np.testing.assert_allclose([row[1:] for row in ours], [row[1:] for row in theirs], atol=2e-5)


def test_imagenet_folders_are_complete(shared: Shared, convert: Convert) -> None:
    root = shared("data", "imagenet", "imagewoof224", "train")
    done = convert("imagenet", "--images", root, "--shards", 2)
    files = list(root.glob("*/*.*"))
    assert len(done.records) == len(files)
    for path in files:
        record = done.records[f"{path.parent.name}/{path.stem}"]
        assert record.encoded == path.read_bytes()
        assert [label.wnid for label in record.labels] == [path.parent.name]
    per_class = Counter(record.labels[0].class_id for record in done.records.values())
    assert sorted(per_class) == list(range(1, 11))
