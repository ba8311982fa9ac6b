"""TensorFlow Datasets: a builder for COCO with the features of its own `coco`, plain or, with --beam, on Beam.

The plain builder yields as `tfds.object_detection.coco` does. The Beam builder is what TFDS's guide to large datasets
asks for: `beam.Create` of what is known about each image, `beam.Map` to (key, example); TFDS shuffles and writes. It
runs on Beam's local runner by name, since Beam's default tries to download another one first.
"""

from __future__ import annotations

import collections
import json
import sys
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
import tensorflow_datasets as tfds  # pyright: ignore
from apache_beam.runners.portability.fn_api_runner.fn_runner import FnApiRunner
from measured import measure

CLASSES = 80


def read(dataset: Path) -> tuple[list[dict[str, Any]], list[str]]:
    """What is known about each image, and the names of the classes."""
    instances = json.loads((dataset / "instances.json").read_text())
    names = {category["id"]: category["name"] for category in instances["categories"]}
    of_image: dict[int, list[dict[str, Any]]] = collections.defaultdict(list)
    for annotation in instances["annotations"]:
        of_image[annotation["image_id"]].append({**annotation, "name": names[annotation["category_id"]]})
    images = sorted(instances["images"], key=lambda image: image["id"])
    return [{**image, "objects": of_image[image["id"]]} for image in images], list(names.values())


def example(image: dict[str, Any], folder: str) -> tuple[str, dict[str, Any]]:
    """Key and example of one image."""

    def box(x: float, y: float, width: float, height: float) -> tfds.features.BBox:
        return tfds.features.BBox(
            ymin=y / image["height"],
            xmin=x / image["width"],
            ymax=(y + height) / image["height"],
            xmax=(x + width) / image["width"],
        )

    return image["file_name"], {
        "image": f"{folder}/{image['file_name']}",
        "image/filename": image["file_name"],
        "image/id": image["id"],
        "objects": [
            {
                "id": found["id"],
                "area": found["area"],
                "bbox": box(*found["bbox"]),
                "label": found["name"],
                "is_crowd": bool(found["iscrowd"]),
            }
            for found in image["objects"]
        ],
    }


def info(builder: tfds.core.DatasetBuilder, names: list[str]) -> tfds.core.DatasetInfo:
    """The features of TFDS's own `coco`."""
    objects = {
        "id": np.int64,
        "area": np.int64,
        "bbox": tfds.features.BBoxFeature(),
        "label": tfds.features.ClassLabel(names=names),
        "is_crowd": np.bool_,
    }
    features = {
        "image": tfds.features.Image(encoding_format="jpeg"),
        "image/filename": tfds.features.Text(),
        "image/id": np.int64,
        "objects": tfds.features.Sequence(objects),
    }
    return tfds.core.DatasetInfo(builder=builder, features=tfds.features.FeaturesDict(features))


class PlainSet(tfds.core.GeneratorBasedBuilder):
    """One process, one generator."""

    VERSION = tfds.core.Version("1.0.0")
    dataset = Path()

    def _info(self) -> tfds.core.DatasetInfo:
        return info(self, [f"class {number}" for number in range(1, CLASSES + 1)])

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        return {"train": self._generate_examples(self.dataset)}

    def _generate_examples(self, dataset: Path) -> Any:
        images, _ = read(dataset)
        for image in images:
            yield example(image, str(dataset / "images"))


class BeamSet(tfds.core.BeamBasedBuilder):
    """A Beam pipeline."""

    VERSION = tfds.core.Version("1.0.0")
    dataset = Path()

    def _info(self) -> tfds.core.DatasetInfo:
        return info(self, [f"class {number}" for number in range(1, CLASSES + 1)])

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        return {"train": self._generate_examples(self.dataset)}

    def _generate_examples(self, dataset: Path) -> Any:
        images, _ = read(dataset)
        return beam.Create(images) | beam.Map(example, folder=str(dataset / "images"))


def convert(dataset: Path, out: Path) -> None:
    on_beam = "--beam" in sys.argv
    kind = BeamSet if on_beam else PlainSet
    kind.dataset = dataset
    config = tfds.download.DownloadConfig(beam_runner=FnApiRunner() if on_beam else None)
    kind(data_dir=str(out)).download_and_prepare(download_config=config)


if __name__ == "__main__":
    tfds.disable_progress_bar()
    measure(convert)
