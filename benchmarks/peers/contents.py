"""What TFRecord files hold, image by image, compared with the dataset that they were made of.

Images are known by the sha256 of their bytes, boxes by their relative corners to the precision of float32; the order of
records and boxes and the names of classes differ among converters and are not compared.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from schemas.example_message import decode_features
from schemas.tfrecord import read_records

TOLERANCE = 1e-6  # of an image's side
SIDES = ("ymin", "xmin", "ymax", "xmax")

Boxes = list[tuple[float, ...]]


def of_dataset(folder: Path) -> Iterator[tuple[str, Boxes]]:
    """Digest and boxes of every image of a COCO dataset."""
    instances = json.loads((folder / "instances.json").read_text())
    boxes: dict[int, Boxes] = defaultdict(list)
    sizes = {image["id"]: (image["width"], image["height"]) for image in instances["images"]}
    for annotation in instances["annotations"]:
        x, y, w, h = annotation["bbox"]
        width, height = sizes[annotation["image_id"]]
        boxes[annotation["image_id"]].append((y / height, x / width, (y + h) / height, (x + w) / width))
    for image in instances["images"]:
        data = (folder / "images" / image["file_name"]).read_bytes()
        yield hashlib.sha256(data).hexdigest(), boxes[image["id"]]


def of_records(folder: Path) -> Iterator[tuple[str, Boxes]]:
    """Digest and boxes of every record below a folder; keys as in the Object Detection API or in TFDS's `coco`."""
    for path in sorted(folder.rglob("*")):
        if not path.is_file() or not (path.suffix == ".tfrecord" or "record-" in path.name):
            continue
        with open(path, "rb") as stream:
            for data in read_records(stream, path.name):
                table = decode_features(data)
                image = table.get("image/encoded") or table["image"]
                flat = table.get("objects/bbox")
                sides = zip(*[iter(flat)] * 4, strict=True) if flat is not None else _sides(table)
                yield hashlib.sha256(image[0]).hexdigest(), list(sides)


def _sides(table: dict[str, list[float]]) -> Iterator[tuple[float, ...]]:
    return zip(*(table[f"image/object/bbox/{side}"] for side in SIDES), strict=True)


def same(boxes: Boxes, others: Boxes) -> bool:
    """Whether two images have the same boxes in any order."""
    pairs = zip(sorted(boxes), sorted(others), strict=False)
    return len(boxes) == len(others) and all(
        abs(side - other) <= TOLERANCE for box, other_box in pairs for side, other in zip(box, other_box, strict=True)
    )


def compare(dataset: Path, out: Path) -> dict[str, int]:
    """Records and boxes found, and images that are missing, stand twice, or have other boxes than they should."""
    wanted = dict(of_dataset(dataset))
    left, records, boxes, wrong = set(wanted), 0, 0, 0
    for digest, found in of_records(out):
        records, boxes = records + 1, boxes + len(found)
        wrong += digest not in left or not same(wanted[digest], found)
        left.discard(digest)
    return {"records": records, "boxes": boxes, "wrong": wrong + len(left)}
