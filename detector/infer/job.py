"""`wordtree detect`: read ahead, detect batch after batch, write at the end."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from detector.api import Classifier
from detector.config import DecodeConfig
from detector.infer.films import require_films
from detector.infer.outputs import Writer
from detector.infer.predictor import ClassPredictor, Predictor
from detector.infer.reading import batches, read_sights
from detector.infer.sources import Unreadable, is_film
from detector.infer.words import progress
from schemas.errors import ConfigError, InputError

Log = Callable[[str], None]
SECONDS_BETWEEN_LINES = 2.0


def detect(
    run: Any,
    paths: Sequence[str],
    out: Path,
    options: DecodeConfig,
    *,
    formats: Sequence[str] = ("json", "pictures"),
    categories: dict[int, int] | None = None,
    force: bool = False,
    batch_size: int = 8,
    every: int = 1,
    log: Log = print,
) -> dict[str, Any]:
    """Detect on `paths` and write `out`; returns what detections.json holds. A classifier names whole images.

    Law: images in = entries written + unreadable; a frame of a film counts as an image.

    Args:
        run: trained, or a published network opened.
        paths: images and films.
        out: directory to make; written whole or not at all.
        options: how predictions become detections.
        formats: of "json", "coco" and "pictures".
        categories: node to category id of the COCO results; None: the node itself.
        force: replace `out` if it exists.
        batch_size: images at a time.
        every: of a film, every so manieth frame.
        log: takes progress lines.

    Raises:
        OutputError: if `out` exists and `force` is not set.
        InputError: if no image at all could be read.
        ConfigError: if the options make no sense, COCO results are asked of a classifier, or there are films and no
            PyAV.
    """
    classifier = isinstance(run.detector, Classifier)
    count = 0 if isinstance(run.detector, Classifier) else run.detector.proposals
    if classifier and "coco" in formats:
        raise ConfigError(
            f"--format coco: {run.path} is a classifier of whole images and finds no boxes; expected json"
        )
    films = any(map(is_film, paths))
    if films:
        require_films()
    total = None if films else len(paths)
    predictor = ClassPredictor(run, options) if classifier else Predictor(run, options)
    writer = Writer(out, run.tree, formats, categories=categories, force=force)
    unreadable: list[Unreadable] = []
    began = last = time.monotonic()
    before = 0
    try:
        sights = read_sights(paths, predictor.canvas, predictor.fit, every=every, ahead=2 * batch_size)
        for good, bad in batches(sights, batch_size):
            unreadable.extend(bad)
            for one in bad:
                log(f"cannot read {one.path}: {one.reason}")
            for sight, found in zip(good, predictor(good), strict=True):
                writer.add(sight, found)
            now, done = time.monotonic(), len(writer.entries) + len(unreadable)
            if now - last > SECONDS_BETWEEN_LINES:
                last = now
                log(progress(done, total, now - began, before))
            if not before and (total is None or done < total):  # the first batch compiles the network: not counted
                began, before = now, done
        if not writer.entries:
            raise InputError(
                f"none of the {len(paths)} images could be read; the first: {unreadable[0].path}: "
                f"{unreadable[0].reason}"
            )
        written = len(writer.entries)
        log(progress(written + len(unreadable), total, time.monotonic() - began, before))
        return writer.finish(
            {
                "run": str(run.path),
                "step": run.checkpoint.step,
                "tree_digest": run.tree.digest(),
                "threshold": options.threshold,
                "walk_threshold": options.walk_threshold,
                "fit": predictor.fit,
                "options": {**dataclasses.asdict(options), "nodes": list(options.nodes)},
                **({"proposals": count} if count else {}),
            },
            {
                "unreadable": [{"image": bad.path, "reason": bad.reason} for bad in unreadable],
                "counts": {"in": written + len(unreadable), "written": written, "unreadable": len(unreadable)},
            },
        )
    finally:
        writer.abandon()
