"""Every real dataset at hand, converted and compared item by item with an independent reading of its files.

The readings here are short loops over json, csv and ElementTree, which know nothing of the project. Each says which
images there are, with which boxes (relative, not clipped) and labels. Law: an expected image is written with the bytes
of its file, or rejected; an expected box is written, clipped, or rejected; nothing else is written.

docs/real-data.md holds the same counts; the last test compares the two.
"""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

DOC = Path(__file__).resolve().parents[2] / "docs" / "real-data.md"
Corners = tuple[float, float, float, float]


@dataclass
class Picture:
    """What the files say about one image: where it lies, its boxes as (label, ymin, xmin, ymax, xmax), its labels."""

    path: Path | None
    boxes: list[tuple[str, Corners]] = field(default_factory=list)
    labels: list[tuple[str, bool]] = field(default_factory=list)


Reading = dict[str, Picture]


def table(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file with a header."""
    with path.open() as stream:
        return list(csv.DictReader(stream))


def size_of(path: Path) -> tuple[int, int]:
    """Height and width from the file; cut files have a sound header."""
    with Image.open(path) as image:
        return image.height, image.width


def coco(annotations: Path, images: Path) -> Reading:
    source = json.loads(annotations.read_text())
    names = {c["id"]: c["name"] for c in source.get("categories", [])}
    found = {i["id"]: Picture(images / i["file_name"]) for i in source["images"]}
    sizes = {i["id"]: (i["height"], i["width"]) for i in source["images"]}
    for a in source["annotations"]:
        if "bbox" in a:
            (height, width), (x, y, w, h) = sizes[a["image_id"]], a["bbox"]
            box = (y / height, x / width, (y + h) / height, (x + w) / width)
            found[a["image_id"]].boxes.append((names[a["category_id"]], box))
    return {str(number): picture for number, picture in found.items()}


def voc(annotations: Path, images: Path, names: list[str] | None = None, shift: int = 1) -> Reading:
    found: Reading = {}
    for path in sorted(annotations.glob("*.xml")):
        if names is not None and path.stem not in names:
            continue
        (image,) = images.glob(f"{path.stem}.*")
        height, width = size_of(image)
        picture = found[path.stem] = Picture(image)
        for item in ElementTree.parse(path).getroot().findall("object"):
            x0, y0, x1, y1 = (float(item.findtext(f"bndbox/{s}") or "") for s in ("xmin", "ymin", "xmax", "ymax"))
            box = ((y0 - shift) / height, (x0 - shift) / width, y1 / height, x1 / width)
            picture.boxes.append((item.findtext("name") or "", box))
    return found


def listed(path: Path) -> list[str]:
    return path.read_text().split()


def class_folders(root: Path) -> Reading:
    return {
        f"{path.parent.name}/{path.stem}": Picture(path, labels=[(path.parent.name, True)])
        for path in sorted(root.glob("n*/*.*"))
    }


def flat_names(root: Path) -> Reading:
    files = [(path.name.split("_")[0], path) for path in sorted(root.iterdir())]
    return {f"{wnid}/{path.stem}": Picture(path, labels=[(wnid, True)]) for wnid, path in files}


def kaggle(solution: Path, images: Path) -> Reading:
    found: Reading = {}
    for row in table(solution):
        path = images / f"{row['ImageId']}.JPEG"
        height, width = size_of(path)
        words = row["PredictionString"].split()
        picture = found[row["ImageId"]] = Picture(path)
        for start in range(0, len(words), 5):
            x0, y0, x1, y1 = map(float, words[start + 1 : start + 5])
            box = (y0 / height, x0 / width, (y1 + 1) / height, (x1 + 1) / width)
            picture.boxes.append((words[start], box))
            if (words[start], True) not in picture.labels:
                picture.labels.append((words[start], True))
    return found


def tiny_train(root: Path) -> Reading:
    found: Reading = {}
    for path in sorted(root.glob("*/*_boxes.txt")):
        wnid = path.parent.name
        for line in path.read_text().splitlines():
            name, *numbers = line.split()
            x0, y0, x1, y1 = map(int, numbers)
            picture = Picture(path.parent / "images" / name, labels=[(wnid, True)])
            if picture.path and picture.path.exists():
                picture.boxes.append((wnid, (y0 / 64, x0 / 64, (y1 + 1) / 64, (x1 + 1) / 64)))
                found[f"{wnid}/{Path(name).stem}"] = picture
    return found


def tiny_val(root: Path) -> Reading:
    found: Reading = {}
    for line in (root / "val_annotations.txt").read_text().splitlines():
        name, wnid, *numbers = line.split()
        x0, y0, x1, y1 = map(int, numbers)
        if (root / "images" / name).exists():
            box = (y0 / 64, x0 / 64, (y1 + 1) / 64, (x1 + 1) / 64)
            found[Path(name).stem] = Picture(root / "images" / name, [(wnid, box)], [(wnid, True)])
    return found


def open_images(boxes: Path, images: Path, labels: Path | None = None) -> Reading:
    found: Reading = {}

    def at(number: str) -> Picture:
        path = images / f"{number}.jpg"
        return found.setdefault(number, Picture(path if path.exists() else None))

    for row in table(boxes):
        ymin, xmin, ymax, xmax = (float(row[side]) for side in ("YMin", "XMin", "YMax", "XMax"))
        at(row["ImageID"]).boxes.append((row["LabelName"], (ymin, xmin, ymax, xmax)))
    for row in table(labels) if labels else ():
        at(row["ImageID"]).labels.append((row["LabelName"], float(row["Confidence"]) > 0))
    return found


@dataclass
class Set:
    """One dataset: its folder below the shared data, the command's words, and the independent reading."""

    folder: str
    words: Callable[[Path], list[Any]]
    read: Callable[[Path], Reading]


def coco_set(folder: str, annotations: str, images: str, *more: str) -> Set:
    return Set(
        folder,
        lambda root: ["coco", "--annotations", root / annotations, "--images", root / images, *more],
        lambda root: coco(root / annotations, root / images),
    )


def voc_set(folder: str, name: str = "", *more: str) -> Set:
    def read(root: Path) -> Reading:
        names = listed(root / "ImageSets" / "Main" / f"{name}.txt") if name else None
        return voc(root / "Annotations", root / "JPEGImages", names)

    chosen = ["--set", name] if name else []
    return Set(folder, lambda root: ["voc", "--devkit", root, *chosen, *more], read)


def oi_words(root: Path) -> list[Any]:
    tables = root / "annotations"
    return [
        *("openimages", "--images", root / "validation", "--boxes", tables / "validation-annotations-bbox.csv"),
        *("--image-labels", tables / "validation-annotations-human-imagelabels-boxable.csv", "--background"),
    ]


def oi_read(root: Path) -> Reading:
    tables = root / "annotations"
    labels = tables / "validation-annotations-human-imagelabels-boxable.csv"
    return open_images(tables / "validation-annotations-bbox.csv", root / "validation", labels)


def folders_set(folder: str) -> Set:
    return Set(folder, lambda root: ["imagenet", "--images", root], class_folders)


TINY = "coco/tiny_coco"
SETS: dict[str, Set] = {
    "COCO train2017, 50 images": coco_set(TINY, "annotations/instances_train2017.json", "train2017"),
    "COCO val2017, 50 images": coco_set(TINY, "annotations/instances_val2017.json", "val2017"),
    "COCO train2017, keypoints": coco_set(TINY, "annotations/person_keypoints_train2017.json", "train2017"),
    "COCO val2017, keypoints": coco_set(TINY, "annotations/person_keypoints_val2017.json", "val2017"),
    "VOC 2007, official sample": voc_set("voc/VOCdevkit_official10/VOC2007"),
    "VOC 2012, official sample": voc_set("voc/VOCdevkit_official10/VOC2012"),
    "VOC 2012, 60 images": voc_set("voc/voc2012_100/VOCdevkit/VOC2012"),
    "VOC 2012 as COCO": Set(
        "voc/voc2012_100",
        lambda root: [
            *("coco", "--annotations", root / "same_boxes_other_formats/coco_format_v2.json"),
            *("--images", root / "VOCdevkit/VOC2012/JPEGImages", "--labels", "none"),
        ],
        lambda root: coco(root / "same_boxes_other_formats/coco_format_v2.json", root / "VOCdevkit/VOC2012/JPEGImages"),
    ),
    "BCCD train": voc_set("voc/BCCD", "train", "--labels", "none"),
    "BCCD val": voc_set("voc/BCCD", "val", "--labels", "none"),
    "BCCD test": voc_set("voc/BCCD", "test", "--labels", "none"),
    "raccoon (labelImg)": Set(
        "voc/raccoon",
        lambda root: ["voc", "--annotations", root / "annotations", "--images", root / "images", "--labels", "none"],
        lambda root: voc(root / "annotations", root / "images"),
    ),
    "ImageNet, flat sample": Set("imagenet/sample_images", lambda root: ["imagenet", "--images", root], flat_names),
    "Imagewoof train": folders_set("imagenet/imagewoof224/train"),
    "Imagewoof val": folders_set("imagenet/imagewoof224/val"),
    "ImageNet val with boxes": Set(
        "imagenet/val_loc",
        lambda root: ["imagenet", "--images", root / "images", "--ground-truth", root / "LOC_val_solution.csv"],
        lambda root: kaggle(root / "LOC_val_solution.csv", root / "images"),
    ),
    "Tiny ImageNet train": Set(
        "imagenet/tiny-imagenet-subset/train",
        lambda root: ["imagenet", "--images", root, "--boxes", root],
        tiny_train,
    ),
    "Tiny ImageNet val": Set(
        "imagenet/tiny-imagenet-subset/val",
        lambda root: ["imagenet", "--images", root / "images", "--ground-truth", root / "val_annotations.txt"],
        tiny_val,
    ),
    "Open Images, from COCO": Set("openimages/converted_from_coco", oi_words, oi_read),
    "Open Images, CSV without images": Set(
        "openimages",
        lambda root: [
            *("openimages", "--images", root / "real_images_no_boxes", "--labels", "none"),
            *("--boxes", root / "real_csv_no_images/test-annotations-bbox.csv"),
        ],
        lambda root: {
            **open_images(root / "real_csv_no_images/test-annotations-bbox.csv", root / "real_images_no_boxes"),
            "00a0c5ea5b4f3989": Picture(root / "real_images_no_boxes/00a0c5ea5b4f3989.jpg"),
        },
    ),
    "tiny64 det_train": coco_set("joint/tiny64/det_train", "instances.json", "images", "--labels", "none"),
    "tiny64 det_extra": coco_set("joint/tiny64/det_extra", "instances.json", "images", "--labels", "none"),
    "tiny64 eval_fine": coco_set("joint/tiny64/eval_fine", "instances.json", "images", "--labels", "none"),
    "tiny64 eval_coarse": coco_set("joint/tiny64/eval_coarse", "instances.json", "images", "--labels", "none"),
    "tiny64 cls_train": folders_set("joint/tiny64/cls_train"),
    "dogs320 det_voc": voc_set("joint/dogs320/det_voc/VOCdevkit/VOC2012", "train", "--labels", "none"),
    "dogs320 eval_fine": coco_set("joint/dogs320/eval_fine", "instances.json", "images", "--labels", "none"),
    "dogs320 cls_train": folders_set("joint/dogs320/cls_train"),
}


def rounded(label: str, box: Any) -> tuple[str, tuple[float, ...]]:
    return label, tuple(round(float(value), 4) for value in np.clip(np.asarray(box, np.float64), 0, 1))


def close(a: list[Any], b: list[Any]) -> bool:
    """Whether two lists hold the same (label, box), in any order; rounding may split neighbours."""
    left, right = sorted(a), sorted(b)
    return [x[0] for x in left] == [x[0] for x in right] and all(
        np.allclose(x[1], y[1], atol=2e-4) for x, y in zip(left, right, strict=True)
    )


@pytest.mark.parametrize("name", SETS)
def test_a_set_equals_an_independent_reading(
    name: str, shared: Callable[..., Path], convert: Callable[..., Any]
) -> None:
    found = SETS[name]
    root = shared("data", *found.folder.split("/"))
    expected = found.read(root)
    done = convert(*found.words(root))
    records = done.records
    gone = {r["image_id"] for r in done.rejects if r["kind"] == "image"}
    assert set(records) | gone == set(expected)
    assert not set(records) & gone
    lost = Counter((r["image_id"], r["kind"]) for r in done.rejects)
    for image_id, record in records.items():
        picture = expected[image_id]
        assert picture.path is not None
        assert record.encoded == picture.path.read_bytes(), image_id
        assert (record.height, record.width) == size_of(picture.path)
        ours = [rounded(b.label, b.box) for b in record.boxes]
        theirs = [rounded(label, box) for label, box in picture.boxes]
        whole = [x for x in theirs if x[1][0] < x[1][2] and x[1][1] < x[1][3]]
        assert lost[image_id, "box"] == len(theirs) - len(whole), image_id
        assert close(ours, whole), image_id
        assert sorted((a.label, a.present) for a in record.labels) == sorted(picture.labels), image_id
    for image_id in gone:
        assert lost[image_id, "box"] == len(expected[image_id].boxes)
        assert lost[image_id, "label"] == len(expected[image_id].labels)
    row = counts_of(done)
    assert documented()[name] == row, f"docs/real-data.md should say: | {name} | {' | '.join(row)} |"


def counts_of(done: Any) -> list[str]:
    """The cells of a row of the table."""
    counts = done.counts
    images = f"{counts['images_in']:,} = {counts['images_written']:,} + {counts['images_rejected']:,}"
    rows = f"{counts['annotations_in']:,} = {counts['annotations_written']:,} + {counts['annotations_rejected']:,}"
    told = []
    for word in ("rejected", "fixed", "kept"):
        told += [f"{word} {number:,} `{reason}`" for reason, number in counts[f"{word}_by_reason"].items()]
    return [images, rows, ", ".join(told) or "–"]


def documented() -> dict[str, list[str]]:
    """The rows of the table in docs/real-data.md."""
    lines = re.findall(r"^\| (.+) \|$", DOC.read_text(), re.MULTILINE)
    rows = [[cell.strip() for cell in line.split(" | ")] for line in lines]
    return {row[0]: row[1:] for row in rows[1:]}


def test_the_documentation_names_every_set_and_no_other() -> None:
    assert list(documented()) == list(SETS)
