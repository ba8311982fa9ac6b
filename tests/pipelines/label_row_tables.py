"""Random label rows, tables of them, and what a slow loop makes of them."""

from __future__ import annotations

import csv
import math
import random
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.rows import ImageRow, Rejected, sort_key
from pipelines.sources.labels import Source

Table = list[dict[str, Any]]
COLUMNS: list[str] = ["image", "label", "confidence", "source"]


def source(*words: object) -> Source:
    parser = ArgumentParser()
    Source.add_arguments(parser)
    return Source.from_args(parser.parse_args([str(word) for word in words]))


def random_rows(count: int, seed: int) -> Table:
    """Few images and labels, so that duplicates come; and some rows of every fault."""
    draw = random.Random(seed)
    rows: Table = []
    for _ in range(count):
        rows.append(
            {
                "image": draw.choice(["", *(f"dir/é{i}.jpg" for i in range(25))]),
                "label": draw.choice(["", "dog", "cat", "n02084071", "a, b"]),
                "confidence": draw.choice([0.0, 0.25, 0.5, 0.5, 1.0, 1.5, -0.1, math.nan, None]),
                "source": draw.choice(["web", "clicks", ""]),
            }
        )
    return rows


def expected(rows: Table, name: str, unit: str, first: int = 1, seed: int = 0) -> tuple[list[Any], list[Any]]:
    """(image, [labels]) in order, and (reason, image, where): one row after the other."""
    rejects: list[Any] = []
    good: dict[str, dict[tuple[str, str], tuple[float, int]]] = {}
    for line, row in enumerate(rows, start=first):
        confidence = math.nan if row["confidence"] is None else row["confidence"]
        reason = ""
        if not row["image"]:
            reason = "label:no_image"
        elif not row["label"]:
            reason = "label:no_label"
        elif not 0 <= confidence <= 1:
            reason = "label:bad_confidence"
        if row["image"]:
            good.setdefault(row["image"], {})
        if reason:
            rejects.append((reason, row["image"], f"{name} {unit} {line}"))
            continue
        said, key = good[row["image"]], (row["label"], row["source"])
        other = said.get(key)
        if other is None:
            said[key] = confidence, line
        else:
            better, worse = ((confidence, line), other) if confidence > other[0] else (other, (confidence, line))
            said[key] = better
            rejects.append(("label:duplicate", row["image"], f"{name} {unit} {worse[1]}"))
    images: list[Any] = []
    for image in sorted(good, key=lambda image: sort_key(image, seed)):
        labels = sorted((line, label, who, c) for (label, who), (c, line) in good[image].items())
        if labels:
            images.append((image, [(label, c, who, f"{name} {unit} {line}") for line, label, who, c in labels]))
        else:
            rejects.append(("image:no_label", image, image))
    return images, sorted(rejects)


def read(found: Source) -> tuple[list[Any], list[Any]]:
    """What a source reads, in the form of `expected`."""
    images: list[Any] = []
    rejects: list[Any] = []
    for row in found.read():
        if isinstance(row, Rejected):
            rejects.append((row.reason, row.image_id, row.where))
        else:
            assert isinstance(row, ImageRow)
            labels = [(label.class_key, label.confidence, label.source, label.where) for label in row.labels]
            images.append((row.image_id, labels))
            assert row.uri == row.image_id
    return images, sorted(rejects)


def write_parquet(rows: Table, path: Path, **options: Any) -> Path:
    pq.write_table(pa.Table.from_pylist(rows), path, **options)
    return path


def write_text(rows: Table, path: Path) -> Path:
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, COLUMNS, delimiter="\t" if path.suffix == ".tsv" else ",")
        writer.writeheader()
        writer.writerows(rows)
    return path
