"""How fast is the input pipeline, and what bounds it? One JSON line.

    python benchmarks/input_speed.py [--images 200] [--batches 6] [--sizes 64,416,544] [--threads 2]

Makes a dataset of JPEGs (500 x 375, photo-like, 60 to 70 kB) with three boxes each, and runs through it, in turn and in
one process, for each size of the canvas:

    decode      TFRecord, parse, decode_jpeg: the bound, nothing is done with the pixels
    plain       what a tf.data pipeline usually does: TFRecord, parse_single_example, decode, resize with pad, flip,
                hue, saturation and brightness by tf.image, boxes flipped with it
    zoom, darknet, release2017    the joint stream in each mode, colours distorted, boxes corrected
    still       the joint stream without augmentation

and `rows`, the stream's stretch in Python alone. Images a second by the clock, and milliseconds of CPU an image, user
and system; on a machine with other work only the latter means something.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import resource
import tempfile
import time
from collections.abc import Callable, Iterable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

BATCH = 16
COLOURS: dict[str, Any] = {"hue": 0.1, "saturation": 1.5, "exposure": 1.5}
MODES: dict[str, dict[str, Any]] = {
    "zoom": {"mode": "zoom", "scale": 1.2, "aspect": 1.2, "shift": 1.0, **COLOURS},
    "darknet": {"mode": "darknet", "jitter": 0.2, **COLOURS},
    "release2017": {"mode": "release2017", "jitter": 0.2, **COLOURS},
}


def make_jpeg(seed: int, height: int = 375, width: int = 500) -> bytes:
    """A picture with broad shapes and grain, as large in bytes as a photo of that size."""
    from PIL import Image

    rng = np.random.default_rng(seed)
    ground = Image.fromarray(rng.integers(0, 255, (12, 16, 3), np.uint8)).resize(
        (width, height), Image.Resampling.BICUBIC
    )
    noisy = np.asarray(ground, np.float32) + rng.normal(0, 12, (height, width, 3))
    buffer = BytesIO()
    Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=88)
    return buffer.getvalue()


def make_dataset(path: Path, images: int) -> None:
    """A dataset directory as `wordtree convert` leaves it."""
    import pyarrow.parquet as pq

    from schemas.arrow import index_row, index_table
    from schemas.boxes import Box
    from schemas.manifest import ClassEntry, Counts, Manifest, ShardEntry
    from schemas.record import BoxAnnotation, ImageRecord
    from schemas.tfexample import encode_record
    from schemas.tfrecord import frame

    path.mkdir(parents=True)
    name, data, rows = "train-00000-of-00001.tfrecord", bytearray(), []
    for number in range(images):
        boxes = tuple(
            BoxAnnotation(Box(0.1 * k, 0.2, 0.1 * k + 0.3, 0.7), label="thing", class_id=1, wnid="n00000001")
            for k in range(1, 4)
        )
        record = ImageRecord(
            image_id=str(number),
            source="made",
            uri=f"{number}.jpg",
            filename=f"{number}.jpg",
            has_boxes=True,
            format="jpeg",
            height=375,
            width=500,
            boxes=boxes,
            encoded=make_jpeg(number),
        )
        framed = frame(encode_record(record))
        rows.append(index_row(record, name, len(data), len(framed)))
        data += framed
    (path / name).write_bytes(data)
    pq.write_table(index_table(rows), path / "train.index.parquet")
    shard = ShardEntry(name=name, records=images, bytes=len(data), sha256=hashlib.sha256(data).hexdigest())
    manifest = Manifest(
        source="made",
        split="train",
        has_boxes=True,
        options={},
        versions={},
        source_files=(),
        counts=Counts(images_in=images, images_written=images),
        shards=(shard,),
        classes=(ClassEntry(id=1, label="thing", wnid="n00000001", display_name="thing"),),
        tree_digest="",
    )
    (path / "manifest.json").write_text(manifest.to_json())


def decode_only(path: Path, threads: int) -> Any:
    """The bound: records, and their pictures decoded and dropped."""
    import tensorflow as tf

    features = {"image/encoded": tf.io.FixedLenFeature([], tf.string)}

    def decoded(data: Any) -> Any:
        encoded = tf.io.parse_single_example(data, features)["image/encoded"]
        return tf.io.decode_jpeg(encoded, 3)[0, 0]

    records = tf.data.TFRecordDataset(sorted(map(str, path.glob("*.tfrecord")))).repeat()
    return records.map(decoded, num_parallel_calls=threads, deterministic=True).batch(BATCH).prefetch(2)


def plain(path: Path, size: int, threads: int) -> Any:
    """A pipeline as tutorials have it."""
    import tensorflow as tf

    sides = [f"image/object/bbox/{side}" for side in ("ymin", "xmin", "ymax", "xmax")]
    features: dict[str, Any] = {"image/encoded": tf.io.FixedLenFeature([], tf.string)}
    features |= {key: tf.io.VarLenFeature(tf.float32) for key in sides}

    def example(data: Any) -> Any:
        row = tf.io.parse_single_example(data, features)
        boxes = tf.stack([tf.sparse.to_dense(row[key]) for key in sides], axis=-1)[:30]
        image = tf.cast(tf.io.decode_jpeg(row["image/encoded"], 3), tf.float32) / 255.0
        image = tf.image.resize_with_pad(image, size, size)
        image = tf.image.random_hue(image, 0.1)
        image = tf.image.random_saturation(image, 1 / 1.5, 1.5)
        image = tf.clip_by_value(tf.image.random_brightness(image, 0.2), 0.0, 1.0)
        flipped = tf.random.uniform([]) < 0.5
        image = tf.cond(flipped, lambda: image[:, ::-1], lambda: image)
        boxes = tf.where(flipped, tf.gather(boxes, [0, 3, 2, 1], axis=1) * [1, -1, 1, -1] + [0, 1, 0, 1], boxes)
        return image, tf.pad(boxes, tf.stack([[0, 30 - tf.shape(boxes)[0]], [0, 0]]))

    records = tf.data.TFRecordDataset(sorted(map(str, path.glob("*.tfrecord")))).repeat().shuffle(128)
    return records.map(example, num_parallel_calls=threads).batch(BATCH).prefetch(2)


def joint(path: Path, size: int, mode: str) -> Any:
    """The joint stream in a mode, or "still"."""
    from detector.config import AugmentConfig, DataConfig
    from detector.dataset import open_dataset
    from detector.input import JointStream
    from wordtree.tree import WordTree

    augment = AugmentConfig(**MODES[mode]) if mode in MODES else None
    tree = WordTree(["n00000001"], [-1], ["thing"])
    return JointStream([open_dataset(str(path))], tree, data=DataConfig(), augment=augment, size=size, seed=0)


def rate(batches: Iterable[Any], count: int) -> dict[str, float]:
    """Images a second and CPU milliseconds an image over `count` batches, after three that warm up."""
    stream = iter(batches)
    for _ in range(3):
        next(stream)
    cpu, clock = _cpu(), time.perf_counter()
    for _ in range(count):
        next(stream)
    images = count * BATCH
    return {
        "images_per_s": round(images / (time.perf_counter() - clock), 1),
        "cpu_ms_per_image": round((_cpu() - cpu) / images * 1e3, 3),
    }


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def main() -> None:
    """Make, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--batches", type=int, default=6)
    parser.add_argument("--sizes", default="64,416,544")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    args = parser.parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "set"
        make_dataset(path, args.images)
        out: dict[str, Any] = {"benchmark": "input_speed", "batch": BATCH, "threads": args.threads, "jpeg": "500x375"}
        out["rows"] = rate(joint(path, 416, "zoom").rows(BATCH, 0, None, None), 4 * args.batches)
        out["decode"] = rate(decode_only(path, args.threads), 2 * args.batches)
        for size in map(int, args.sizes.split(",")):
            ways: dict[str, Callable[[], Any]] = {"plain": lambda side=size: plain(path, side, args.threads)}
            for mode in (*MODES, "still"):
                ways[mode] = lambda side=size, name=mode: joint(path, side, name).batches(BATCH, threads=args.threads)
            out[str(size)] = {name: rate(way(), args.batches) for name, way in ways.items()}
        out["peak_rss_mb"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
        print(json.dumps(out))


if __name__ == "__main__":
    main()
