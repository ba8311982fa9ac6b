"""The check of an export: the run and each of its files on the same images, as a user will load them.

Detections are compared image by image, after everything: decoded, suppressed, back on the stored image. Average
precision is that of `wordtree evaluate`, with the export in the place of the run's detector.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import fsspec
import numpy as np
import tensorflow as tf

from detector.dataset import Dataset, open_dataset
from detector.evaluate import evaluate
from detector.export.compare import Finder, Found, compare
from detector.export.images import fit_of
from detector.export.lite import open_lite
from detector.export.loaded import LoadedModel, finder_of
from detector.export.plan import CHECKED, ExportPlan, spread
from detector.infer.sources import find_inputs, is_film
from detector.input import first_line
from detector.run import Run
from schemas.errors import InputError

Log = Callable[[str], None]


class CheckImages(NamedTuple):
    """What the check looks at: encoded images, and their dataset where they have truths."""

    images: Callable[[], Iterator[bytes]]
    dataset: Dataset | None


def open_check(plan: ExportPlan) -> CheckImages:
    """The images of --check: a dataset directory, or files, folders and globs.

    Raises:
        InputError: there is nothing.
    """
    if len(plan.check) == 1 and not Path(plan.check[0]).is_file():
        try:
            dataset = open_dataset(plan.check[0])
        except InputError:
            dataset = None
        if dataset is not None:
            part = part_of(dataset, plan.check_images)
            return CheckImages(lambda: (part.record(row).encoded or b"" for row in range(len(part))), part)
    paths = [path for path in find_inputs(plan.check) if not is_film(path)]
    chosen = [paths[row] for row in spread(len(paths), plan.check_images)]
    return CheckImages(lambda: map(read_bytes, chosen), None)


def part_of(dataset: Dataset, wanted: int) -> Dataset:
    """The dataset with some of its images, evenly spread."""
    rows = spread(len(dataset), wanted)
    return dataclasses.replace(
        dataset,
        image_ids=[dataset.image_ids[row] for row in rows],
        shards=[dataset.shards[row] for row in rows],
        offsets=np.asarray(dataset.offsets)[rows],
        lengths=np.asarray(dataset.lengths)[rows],
        _files={},
    )


def read_bytes(path: str) -> bytes:
    """A file on any file system.

    Raises:
        InputError: it cannot be read.
    """
    try:
        fs, name = fsspec.core.url_to_fs(path)
        return fs.cat_file(name)
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read ({error})") from error


def check(
    run: Run, folder: Path, plan: ExportPlan, subject: CheckImages, files: Sequence[dict[str, Any]], log: Log
) -> list[dict[str, Any]]:
    """The run and each export on the same images: one row each, the run's first; see docs/export.md for the keys."""
    model = run.experiment.model
    canvas, fit = model.canvas, fit_of(model)
    log("checking the run itself")
    reference = found_in(finder_of(run.detector, canvas, fit, plan.options), subject, log)
    readable = [number for number, found in enumerate(reference) if found is not None]
    base = [found for found in reference if found is not None]
    if not base:
        raise InputError("--check: none of the images can be decoded")
    rows: list[dict[str, Any]] = [
        {"format": "the run", "images": len(base), "exported": sum(len(found.scores) for found in base)}
        | precision(run, run.detector, subject, log)
    ]
    for file in files:
        if file["format"] not in CHECKED:
            continue
        log(f"checking {file['path']}")
        if file["format"] == "saved-model":
            other: Any = LoadedModel(folder / file["path"], run.localizer.overlap)
            finder: Finder = other.find
        else:
            other = open_lite(folder, file["path"])
            finder = finder_of(other, canvas, fit, plan.options)
        wanted = set(readable)
        images = (encoded for number, encoded in enumerate(subject.images()) if number in wanted)
        difference = compare(base, [finder(encoded) for encoded in images])
        rows.append(
            {"format": file["format"], "bytes": file["bytes"]}
            | difference._asdict()
            | precision(run, other, subject, log)
        )
    return rows


def found_in(finder: Finder, subject: CheckImages, log: Log) -> list[Found | None]:
    """The detections of every image; None where it cannot be decoded."""
    found: list[Found | None] = []
    for number, encoded in enumerate(subject.images(), start=1):
        try:
            found.append(finder(encoded))
        except tf.errors.InvalidArgumentError as error:
            log(f"image {number} of --check cannot be decoded and is left out: {first_line(error)}")
            found.append(None)
    return found


def precision(run: Run, detector: Any, subject: CheckImages, log: Log) -> dict[str, float | None]:
    """AP50 as `wordtree evaluate` measures it, where the images have boxes."""
    if subject.dataset is None or not subject.dataset.has_boxes:
        return {}
    logger, level = tf.get_logger(), tf.get_logger().level
    logger.setLevel("ERROR")  # each export is compiled once, which TensorFlow takes for a loop
    try:
        result = evaluate(
            dataclasses.replace(run, detector=detector), subject.dataset, batch_size=8, log=log, metrics=("coco",)
        )
    finally:
        logger.setLevel(level)
    return {key: result["summary"][key] for key in ("AP50", "AP50_boxed", "AP50_unboxed")}
