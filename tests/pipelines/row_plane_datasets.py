"""Dataset directories written by hand, shard by shard, without the pipelines: what row plane tests read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from schemas.arrow import annotations_table, index_row, index_table
from schemas.boxes import Box
from schemas.manifest import ClassEntry, Counts, Manifest, ShardEntry
from schemas.record import (
    BoxAnnotation,
    Caption,
    ImageLabel,
    ImageRecord,
    Keypoint,
    Part,
    SegmentationMap,
)
from schemas.tfexample import decode_record, encode_record
from schemas.tfrecord import frame, read_records

CLASSES = (
    ClassEntry(id=1, label="dog", wnid="n02084071", display_name="dog", relation="exact"),
    ClassEntry(id=2, label="cat", wnid="n02121620", display_name="cat", relation="exact"),
    ClassEntry(id=7, label="Spätzle", wnid="n07803545", display_name="noodle", relation="close"),
)
BY_ID = {entry.id: entry for entry in CLASSES}


def box(class_id: int, *sides: float, **fields: Any) -> BoxAnnotation:
    entry = BY_ID[class_id]
    return BoxAnnotation(
        box=Box(*(sides or (0.1, 0.2, 0.7, 0.9))), label=entry.label, class_id=class_id, wnid=entry.wnid, **fields
    )


def label(class_id: int, **fields: Any) -> ImageLabel:
    entry = BY_ID[class_id]
    return ImageLabel(label=entry.label, class_id=class_id, wnid=entry.wnid, **fields)


def image(
    name: str, *, data: bytes = b"", boxes: Any = (), labels: Any = (), size: tuple[int, int] = (40, 60), **fields: Any
) -> ImageRecord:
    """A record of `size` height and width; its bytes are no image unless given."""
    data = data or f"bytes of {name}".encode()
    return ImageRecord(
        image_id=name,
        source="coco",
        uri=f"{name}.jpg",
        filename=f"{name}.jpg",
        has_boxes=fields.pop("has_boxes", bool(boxes)),
        format="jpeg",
        height=size[0],
        width=size[1],
        boxes=tuple(boxes),
        labels=tuple(labels),
        encoded=data,
        sha256=hashlib.sha256(data).hexdigest(),
        provenance="instances.json",
        **fields,
    )


def rich_records() -> list[ImageRecord]:
    """Records with everything that a record can hold, background, labels alone, and many plain ones."""
    everything = image(
        "everything",
        boxes=[
            box(1, 0.1, 0.2, 1 / 3, 0.9, annotation_id="a1", area=17.1, is_crowd=True, is_occluded=False, view="Left"),
            box(
                2,
                annotation_id="a2",
                confidence=0.3,
                source="machine",
                keypoints=(Keypoint(0.1, 0.7, 2), Keypoint(0.0, 0.0, 0)),
                parts=(Part("head", Box(0.1, 0.1, 0.15, 0.2)),),
                segmentation="[[1, 2, 3.5, 4]]",
                mask=b"PNG of a mask",
                extra='{"k": "ü"}',
            ),
            box(7, is_truncated=None, mask=b"another mask"),
        ],
        labels=[label(1, verified=True, confidence=0.9, source="people"), label(2, present=False, verified=False)],
        orientation=6,
        rotation=90,
        captions=(Caption('a dog, "Ü"', "c1"), Caption("again")),
        maps=(SegmentationMap("panoptic", b"map"),),
        not_exhaustive=(2, 7),
        extra='{"license": 3}',
    )
    background = image("background", has_boxes=True)
    labelled = image("labelled", labels=[label(7, confidence=0.25, source="machine"), label(7, source="people")])
    plain = [
        image(f"plain{n:03d}", boxes=[box(1 + n % 2, 0.0, n / 100, 0.5, 0.6, annotation_id=str(n))] * (n % 3))
        for n in range(40)
    ]
    return [everything, background, labelled, *plain]


def write_dataset(
    folder: Path, records: Sequence[ImageRecord], *, split: str = "train", shards: int = 3, has_boxes: bool = True
) -> Path:
    """A dataset directory, images in turn to the shards."""
    folder.mkdir(parents=True)
    entries, index, ordered = [], [], []
    for number in range(shards):
        name, data, count = f"{split}-{number:05d}-of-{shards:05d}.tfrecord", b"", 0
        for record in records[number::shards]:
            framed = frame(encode_record(record))
            index.append(index_row(record, name, len(data), len(framed)))
            ordered.append(record)
            data, count = data + framed, count + 1
        (folder / name).write_bytes(data)
        entries.append(ShardEntry(name=name, records=count, bytes=len(data), sha256=hashlib.sha256(data).hexdigest()))
    pq.write_table(index_table(index), folder / f"{split}.index.parquet")
    annotations = annotations_table(ordered)
    pq.write_table(annotations, folder / f"{split}.annotations.parquet")
    captions = sum(len(record.captions) for record in records)
    manifest = Manifest(
        source="coco",
        split=split,
        has_boxes=has_boxes,
        options={"seed": 0},
        versions={"wordtree": "0.1.0"},
        source_files=(),
        counts=Counts(
            images_in=len(records),
            images_written=len(records),
            annotations_in=annotations.num_rows,
            annotations_written=annotations.num_rows,
            captions_in=captions,
            captions_written=captions,
        ),
        shards=tuple(entries),
        classes=CLASSES,
    )
    (folder / "labels.pbtxt").write_text("".join(f'item {{\n  name: "{e.wnid}"\n  id: {e.id}\n}}\n' for e in CLASSES))
    (folder / "rejects.jsonl").write_text("")
    (folder / "source.json").write_text('{"info": 1}')
    (folder / "manifest.json").write_text(manifest.to_json())
    return folder


def raw_records(folder: Path) -> dict[str, bytes]:
    """The serialised Examples of a dataset directory by image id."""
    found: dict[str, bytes] = {}
    for shard in sorted(folder.glob("*.tfrecord")):
        with shard.open("rb") as stream:
            for data in read_records(stream, shard.name):
                name = decode_record(data).image_id
                assert name not in found
                found[name] = data
    return found


def rejects(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "rejects.jsonl").read_text().splitlines()]


def rows(folder: Path, kind: str) -> list[dict[str, Any]]:
    """The rows of the only table of this kind."""
    (path,) = folder.glob(f"*.{kind}.parquet")
    return pq.read_table(path).to_pylist()
