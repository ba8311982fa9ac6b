"""A dataset directory of a few drawn images, written through the schemas alone."""

from __future__ import annotations

import hashlib
from io import BytesIO

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image, ImageDraw

from schemas.arrow import annotations_table, index_row, index_table
from schemas.boxes import Box
from schemas.manifest import ClassEntry, Counts, Manifest, ShardEntry
from schemas.record import BoxAnnotation, ImageLabel, ImageRecord
from schemas.tfexample import encode_record
from schemas.tfrecord import frame
from wordtree.tree import WordTree

# figure > (disc, square); a third root without images
TREE = WordTree(
    ["n00000001", "n00000002", "n00000003", "n00000004"], [-1, -1, 0, 0], ["figure", "thing", "disc", "square"]
)


def draw(kind, seed, size=32):
    """One figure on a plain ground: the image, and the box of the figure."""
    rng = np.random.default_rng(seed)
    image = Image.new("RGB", (size, size), tuple(int(v) for v in rng.integers(0, 90, 3)))
    side = int(rng.integers(size // 3, size // 2))
    left, top = (int(v) for v in rng.integers(1, size - side - 1, 2))
    pen = ImageDraw.Draw(image)
    shape = pen.ellipse if kind == "disc" else pen.rectangle
    shape([left, top, left + side - 1, top + side - 1], fill=tuple(int(v) for v in rng.integers(150, 255, 3)))
    return image, Box(top / size, left / size, (top + side) / size, (left + side) / size)


def png(image):
    buffer = BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def detection_record(number, kind, *, label="figure", class_id=1):
    image, box = draw(kind, number)
    annotation = BoxAnnotation(box=box, label=label, class_id=class_id, is_crowd=False)
    return ImageRecord(
        image_id=str(number),
        source="test",
        uri=f"{number}.png",
        filename=f"{number}.png",
        has_boxes=True,
        format="png",
        height=image.height,
        width=image.width,
        boxes=(annotation,),
        encoded=png(image),
    )


def label_record(number, kind, class_id):
    image, _ = draw(kind, 1000 + number)
    return ImageRecord(
        image_id=f"{kind}/{number}",
        source="test",
        uri=f"{number}.png",
        filename=f"{number}.png",
        has_boxes=False,
        format="png",
        height=image.height,
        width=image.width,
        labels=(ImageLabel(label=kind, class_id=class_id),),
        encoded=png(image),
    )


def write_dataset(path, records, classes, *, has_boxes, tree_digest="", source="test", source_files=()):
    """`wordtree convert` in a few lines, for tests of what reads its output."""
    path.mkdir(parents=True)
    name, offset, rows, data = "train-00000-of-00001.tfrecord", 0, [], b""
    for record in records:
        framed = frame(encode_record(record))
        rows.append(index_row(record, name, offset, len(framed)))
        data += framed
        offset += len(framed)
    (path / name).write_bytes(data)
    pq.write_table(index_table(rows), path / "train.index.parquet")
    pq.write_table(annotations_table(records), path / "train.annotations.parquet")
    manifest = Manifest(
        source=source,
        split="train",
        has_boxes=has_boxes,
        options={},
        versions={},
        source_files=tuple(source_files),
        counts=Counts(images_in=len(records), images_written=len(records)),
        shards=(ShardEntry(name=name, records=len(records), bytes=offset, sha256=hashlib.sha256(data).hexdigest()),),
        classes=tuple(classes),
        tree_digest=tree_digest,
    )
    (path / "manifest.json").write_text(manifest.to_json())
    return path


COARSE = (ClassEntry(id=1, label="figure", wnid="n00000001", display_name="figure"),)
FINE = (
    ClassEntry(id=1, label="disc", wnid="n00000003", display_name="disc"),
    ClassEntry(id=2, label="square", wnid="n00000004", display_name="square"),
)


@pytest.fixture(scope="session")
def tree():
    return TREE


@pytest.fixture(scope="session")
def detection_set(tmp_path_factory):
    """12 boxed images, labelled at the coarse level."""
    records = [detection_record(k, "disc" if k % 2 else "square") for k in range(12)]
    return write_dataset(tmp_path_factory.mktemp("data") / "det", records, COARSE, has_boxes=True)


@pytest.fixture(scope="session")
def label_set(tmp_path_factory):
    """20 labelled images."""
    records = [label_record(k, "disc" if k % 2 else "square", 1 if k % 2 else 2) for k in range(20)]
    return write_dataset(tmp_path_factory.mktemp("data") / "cls", records, FINE, has_boxes=False)


@pytest.fixture(scope="session")
def fine_set(tmp_path_factory):
    """8 images of the detection set, boxed at the fine level, for evaluation."""
    records = [
        detection_record(k, kind, label=kind, class_id=class_id)
        for k, (kind, class_id) in enumerate([("square", 2), ("disc", 1)] * 4)
    ]
    return write_dataset(tmp_path_factory.mktemp("data") / "fine", records, FINE, has_boxes=True)


@pytest.fixture
def make_dataset():
    """The function `write_dataset` and its makers of records."""
    return write_dataset
