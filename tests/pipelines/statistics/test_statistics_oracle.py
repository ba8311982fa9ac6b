"""The oracle of the statistics: plain loops over rows, one figure after another; and a maker of random datasets.

Other tests compare the combiners and the job with `slow_statistics`; the test here holds the oracle itself to numbers
counted by hand.
"""

from __future__ import annotations

import hashlib
import json
import math
import random
from collections import Counter
from itertools import combinations
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from schemas.arrow import ANNOTATIONS_SCHEMA, INDEX_SCHEMA
from schemas.features import FLAGS
from schemas.manifest import ClassEntry, Counts, Manifest, ShardEntry


def index_row(image_id, **fields):
    """A row of an index as a dictionary."""
    row = dict.fromkeys(INDEX_SCHEMA.names, "")
    row |= {"image_id": image_id, "shard": "train-00000-of-00001.tfrecord", "offset": 0, "length": 1}
    row |= {"width": 640, "height": 480}
    row |= {"format": "jpeg", "has_boxes": True, "orientation": 1, "rotation": None}
    return row | {"sha256": hashlib.sha256(image_id.encode()).hexdigest()} | fields


def annotation_row(image_id, kind="box", box=(0.1, 0.2, 0.5, 0.4), **fields):
    """A row of an annotations table as a dictionary."""
    row = dict.fromkeys(ANNOTATIONS_SCHEMA.names, None)
    row |= dict.fromkeys(("label", "wnid", "source", "annotation_id", "view", "segmentation"), "")
    row |= {"keypoints": "", "parts": "", "extra": "", "has_mask": False, "number": 0, "confidence": 1.0}
    row |= {"image_id": image_id, "kind": kind, "class_id": 1, "presence": 1}
    if kind == "box":
        row |= dict(zip(("ymin", "xmin", "ymax", "xmax"), box, strict=True))
    return row | fields


def write_rows(folder, index, annotations, *, classes=(), rejects=(), rows_per_group=1000, **manifest):
    """A dataset directory without shards: tables, manifest and rejects."""
    folder = Path(folder)
    folder.mkdir(parents=True)
    for kind, rows, schema in (("index", index, INDEX_SCHEMA), ("annotations", annotations, ANNOTATIONS_SCHEMA)):
        table = pa.Table.from_pylist(rows, schema)
        pq.write_table(table, folder / f"train.{kind}.parquet", row_group_size=rows_per_group)
    (folder / "rejects.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rejects))
    known = {
        "source": "test",
        "split": "train",
        "has_boxes": True,
        "options": {},
        "versions": {},
        "source_files": (),
        "counts": Counts(images_in=len(index), images_written=len(index), annotations_written=len(annotations)),
        "shards": (ShardEntry(name="train-00000-of-00001.tfrecord", records=len(index), bytes=1, sha256=""),),
        "classes": tuple(classes),
    }
    (folder / "manifest.json").write_text(Manifest(**known | manifest).to_json())
    return folder


def random_rows(seed, images=120, *, prefix="", classes=9, contents=10**6):
    """(index rows, annotation rows): every kind of row and of missing value, images of none to many rows."""
    rng = random.Random(seed)
    index, annotations = [], []
    for number in range(images):
        name = f"{prefix}image/{number * rng.choice((1, 1000))}-{number}"
        content = hashlib.sha256(b"%d" % rng.randrange(contents)).hexdigest()
        index.append(
            index_row(
                name,
                width=rng.choice((640, 480, 33)),
                height=rng.choice((480, 640, 17)),
                format=rng.choice(("jpeg", "png", "")),
                has_boxes=rng.random() < 0.7,
                orientation=rng.choice((1, 1, 6)),
                rotation=rng.choice((None, 0, 90)),
                captions=rng.choice(("", '[["a dog", "1"]]')),
                sha256=rng.choice((content, content, content, "")),
            )
        )
        for _ in range(rng.choice((0, 1, 2, 7))):
            said = {
                "class_id": int(rng.paretovariate(0.8)) % classes + 1,
                "confidence": rng.choice((1.0, 0.0, 0.5, rng.random())),
                "source": rng.choice(("", "verification", "machine")),
                "verified": rng.choice((None, True, False)),
            }
            if rng.random() < 0.5:
                y, x = rng.random(), rng.random()
                box = (y, x, y + (1 - y) * rng.random() ** 3, x + (1 - x) * rng.random() ** 3)
                flags = {flag: rng.choice((None, True, False)) for flag in FLAGS}
                more = {"area": rng.choice((None, 0.0, rng.random() * 2e4)), "has_mask": rng.random() < 0.2}
                more |= {
                    "segmentation": rng.choice(("", "[[1,2,3,4,5,6]]")),
                    "keypoints": rng.choice(("", "[[0,0,1]]")),
                }
                annotations.append(annotation_row(name, box=box, **said, **flags, **more))
            else:
                annotations.append(annotation_row(name, "label", presence=rng.choice((1, 1, 0)), **said))
    return index, annotations


def single(value):
    """The value as float32 keeps it."""
    return pa.scalar(value, pa.float32()).as_py()


def kind_of(row):
    return "box" if row["kind"] == "box" else "label" if row["presence"] > 0 else "absent"


def slow_statistics(index, annotations):
    """All exact figures of one dataset as plain dictionaries, by loops over rows."""
    by_image = {row["image_id"]: [] for row in index}
    orphans = [row for row in annotations if row["image_id"] not in by_image]
    for row in annotations:
        by_image.get(row["image_id"], []).append(row)
    of_images = _of_images({row["image_id"]: row for row in index}, by_image)
    of_images["flat"] += sum(kind_of(row) == "box" for row in orphans)
    return {**_of_rows(annotations), **_of_index(index), **of_images, "orphans": len(orphans)}


def _of_rows(annotations):
    classes, sources, flags, centres, shares = {}, {}, {}, Counter(), Counter()
    for row in annotations:
        kind = kind_of(row)
        place = ("box", "label", "absent").index(kind)
        classes.setdefault(row["class_id"], [0, 0, 0])[place] += 1
        verified = -1 if row["verified"] is None else int(row["verified"])
        bins = sources.setdefault((row["source"], kind, verified), [0] * 21)
        confidence = single(row["confidence"])
        if math.isnan(confidence) or not 0 <= confidence <= 1:
            bins[20] += 1
        else:
            bins[min(int(single(confidence * 20)), 19)] += 1
        if kind != "box":
            continue
        for flag in FLAGS:
            flags[flag, row[flag]] = flags.get((flag, row[flag]), 0) + 1
        ymin, xmin, ymax, xmax = (single(row[side]) for side in ("ymin", "xmin", "ymax", "xmax"))
        y, x = single(single(ymin + ymax) * 16), single(single(xmin + xmax) * 16)
        centres[min(int(y), 31) * 32 + min(int(x), 31)] += 1
        shares[min(int(math.sqrt((ymax - ymin) * (xmax - xmin)) * 20), 19)] += 1
    said = {(row["class_id"], row["image_id"]) for row in annotations if kind_of(row) != "absent"}
    figures = {"classes": classes, "sources": sources, "flags": flags, "centres": centres, "shares": shares}
    return figures | {"images_said": Counter(class_id for class_id, _ in said)}


def _of_index(index):
    return {
        "images": (
            len(index),
            sum(row["has_boxes"] for row in index),
            sum(bool(row["captions"]) for row in index),
            sum(not row["sha256"] for row in index),
        ),
        "formats": Counter(row["format"] for row in index),
        "sizes": Counter((row["width"], row["height"]) for row in index),
        "turns": Counter((row["orientation"], -1 if row["rotation"] is None else row["rotation"]) for row in index),
        "contents": len({row["sha256"] for row in index if row["sha256"]}),
    }


def _of_images(images, by_image):
    boxes, labels, classes, images_of_class, pairs = Counter(), Counter(), Counter(), Counter(), Counter()
    coco, sides, flat, stated, aspects = [0, 0, 0], [], 0, 0, []
    for image_id, rows in by_image.items():
        kinds = Counter(kind_of(row) for row in rows)
        if images[image_id]["has_boxes"] or kinds["box"]:
            boxes[kinds["box"]] += 1
        labels[kinds["label"]] += 1
        present = sorted({row["class_id"] for row in rows if kind_of(row) != "absent"})
        classes[len(present)] += 1
        images_of_class.update(present)
        pairs.update(combinations(present, 2))
        for row in rows:
            if kind_of(row) != "box":
                continue
            height = single(single(row["ymax"]) - single(row["ymin"])) * images[image_id]["height"]
            width = single(single(row["xmax"]) - single(row["xmin"])) * images[image_id]["width"]
            if not (height > 0 and width > 0):
                flat += 1
                continue
            area = height * width
            sides.append(math.sqrt(area))
            aspects.append(width / height)
            if row["area"]:
                stated, area = stated + 1, single(row["area"])
            coco[0 if area < 32**2 else 1 if area < 96**2 else 2] += 1
    return {
        "boxes_per_image": boxes,
        "labels_per_image": labels,
        "classes_per_image": classes,
        "images_of_class": images_of_class,
        "pairs": pairs,
        "coco": tuple(coco),
        "stated": stated,
        "flat": flat,
        "side_values": sorted(sides),
        "aspect_values": sorted(aspects),
    }


def slow_same_bytes(datasets):
    """(inside, between) over the index rows of several datasets, as `SameBytes` tells them."""
    inside, between = [], {}
    counted = [Counter(row["sha256"] for row in index if row["sha256"]) for index in datasets]
    for contents in counted:
        repeated = [number for number in contents.values() if number > 1]
        inside.append((len(repeated), sum(repeated) - len(repeated)))
    for first, second in combinations(range(len(datasets)), 2):
        both = counted[first].keys() & counted[second].keys()
        if both:
            numbers = (sum(counted[one][key] for key in both) for one in (first, second))
            between[first, second] = (len(both), *numbers)
    return inside, between


def test_the_oracle_counts_what_a_person_counts():
    index = [
        index_row("a", width=100, height=200),
        index_row("b", sha256=index_row("a")["sha256"]),
        index_row("c", has_boxes=False),
    ]
    annotations = [
        annotation_row("a", box=(0.0, 0.0, 0.5, 0.5), area=900.0, is_crowd=True),  # 100 x 50 pixels, area stated
        annotation_row("a", "label", class_id=2, confidence=0.5, verified=True, source="people"),
        annotation_row("b", box=(0.25, 0.25, 0.75, 0.75)),  # 240 x 320 pixels
        annotation_row("b", "label", class_id=2, presence=0),
        annotation_row("z", "label"),
    ]
    found = slow_statistics(index, annotations)
    assert found["classes"] == {1: [2, 1, 0], 2: [0, 1, 1]}
    assert found["orphans"] == 1
    assert found["boxes_per_image"] == {1: 2}
    assert found["labels_per_image"] == {1: 1, 0: 2}
    assert found["images_of_class"] == {1: 2, 2: 1}
    assert found["pairs"] == {(1, 2): 1}
    assert (found["coco"], found["stated"], found["flat"]) == ((1, 0, 1), 1, 0)
    assert found["side_values"] == [math.sqrt(5000), math.sqrt(76800)]
    assert found["aspect_values"] == [0.5, 320 / 240]
    assert found["sources"]["people", "label", 1][10] == 1
    assert found["centres"] == {8 * 32 + 8: 1, 16 * 32 + 16: 1}
    assert (found["images"], found["contents"]) == ((3, 2, 0, 0), 2)
    assert slow_same_bytes([index, index]) == ([(1, 1), (1, 1)], {(0, 1): (2, 3, 3)})


def class_entries(count):
    """Classes 1..count without concepts."""
    return [ClassEntry(id=k, label=f"class {k}", wnid="", display_name=f"class {k}") for k in range(1, count + 1)]
