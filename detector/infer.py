"""Detection on photos: boxes with the path down the tree, as JSON and as pictures.

OUT/detections.json    one entry per image; boxes are `rel_yxyx` of the stored pixels
OUT/pictures/*.png     the images with boxes and paths drawn
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import tensorflow as tf
from PIL import Image, UnidentifiedImageError

from detector.augment import letterbox, place_image, unplace_boxes
from detector.draw import DrawnBox, draw_detections
from detector.nms import greedy
from detector.run import Run
from schemas.boxes import Box
from schemas.errors import InputError, OutputError

Log = Callable[[str], None]
IMAGES_PRINTED, BOXES_PRINTED = 10, 5
SUFFIXES = (".jpg", ".jpeg", ".png", ".gif", ".bmp", ".webp")


@dataclass(frozen=True)
class Unreadable:
    """An image that could not be read, and why."""

    path: str
    reason: str


def find_images(patterns: Sequence[str]) -> list[str]:
    """Files, folders and globs, on any file system of fsspec, to a sorted list of image files.

    Raises:
        InputError: if one of them matches nothing.
    """
    found: dict[str, None] = {}
    for pattern in patterns:
        fs, root = fsspec.core.url_to_fs(pattern)
        if fs.isfile(root):
            found[pattern] = None
            continue
        names = fs.find(root, maxdepth=1) if fs.isdir(root) else fs.glob(root)
        names = sorted(name for name in names if name.lower().endswith(SUFFIXES))
        if not names:
            raise InputError(f"{pattern!r} matches no image; expected files ending in {', '.join(SUFFIXES)}")
        local = "file" in fs.protocol if isinstance(fs.protocol, tuple) else fs.protocol == "file"
        found.update(dict.fromkeys(name if local else fs.unstrip_protocol(name) for name in names))
    return list(found)


def load_image(path: str) -> Image.Image | Unreadable:
    """The whole image as RGB, its pixels as they are stored."""
    try:
        fs, name = fsspec.core.url_to_fs(path)
        data = fs.cat_file(name)
    except FileNotFoundError:
        return Unreadable(path, "no such file")
    except (OSError, ValueError) as error:
        return Unreadable(path, " ".join(str(error).split()))
    if not data:
        return Unreadable(path, "empty file")
    try:
        return Image.open(BytesIO(data)).convert("RGB")
    except UnidentifiedImageError:
        return Unreadable(path, f"not an image that can be read (begins with {data[:8]!r})")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        return Unreadable(path, " ".join(str(error).split()))


def detect(
    run: Run,
    paths: Sequence[str],
    out: Path,
    *,
    threshold: float,
    walk_threshold: float,
    iou_threshold: float = 0.45,
    pictures: bool = True,
    force: bool = False,
    batch_size: int = 16,
    log: Log = print,
) -> dict[str, Any]:
    """Detect on `paths` and write `out`; returns what detections.json holds.

    Args:
        run: trained.
        paths: image files.
        out: directory to make; written whole or not at all.
        threshold: least score.
        walk_threshold: how sure the walk down the tree must be to take one more step.
        iou_threshold: of the suppression.
        pictures: whether to draw.
        force: replace `out` if it exists.
        batch_size: images at a time.
        log: takes progress lines.

    Raises:
        OutputError: if `out` exists and `force` is not set.
        InputError: if no image at all could be read.
    """
    if out.exists() and force and not (out.is_dir() and (not any(out.iterdir()) or (out / "detections.json").exists())):
        raise OutputError(f"{out} holds no detections, so --force does not replace it; choose another --out")
    if out.exists() and not force:
        raise OutputError(f"{out} exists already; choose another --out or replace it with --force")
    partial = out.with_name(f".{out.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    (partial / "pictures").mkdir(parents=True)
    entries: list[dict[str, Any]] = []
    unreadable: list[Unreadable] = []
    began = time.monotonic()
    names: dict[str, int] = {}
    for batch, bad in _batches(paths, batch_size):
        unreadable.extend(bad)
        for bad_image in bad:
            log(f"cannot read {bad_image.path}: {bad_image.reason}")
        for (path, image), found in zip(
            batch, _detect_batch(run, batch, threshold, walk_threshold, iou_threshold), strict=True
        ):
            entry: dict[str, Any] = {"image": path, "height": image.height, "width": image.width, "detections": found}
            if pictures:
                entry["picture"] = f"pictures/{_unique(Path(path).stem, names)}.png"
                draw_detections(image, [_drawn(row) for row in found]).save(partial / entry["picture"])
            entries.append(entry)
        seconds = time.monotonic() - began
        log(f"detected on {len(entries)}/{len(paths)} images, {len(entries) / seconds:.1f} images/s")
    if not entries:
        shutil.rmtree(partial)
        raise InputError(
            f"none of the {len(paths)} images could be read; the first: {unreadable[0].path}: {unreadable[0].reason}"
        )
    result = {
        "run": str(run.path),
        "step": run.checkpoint.step,
        "tree_digest": run.tree.digest(),
        "threshold": threshold,
        "walk_threshold": walk_threshold,
        "images": entries,
        "unreadable": [{"image": bad.path, "reason": bad.reason} for bad in unreadable],
    }
    (partial / "detections.json").write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")
    if out.exists():
        shutil.rmtree(out)
    partial.rename(out)
    return result


def lines_for_people(result: dict[str, Any], out: Path | str) -> list[str]:
    """What `wordtree detect` prints: the first images, those with objects before the others, and the totals."""
    entries = result["images"]
    lines = []
    shown = sorted(entries, key=lambda entry: not entry["detections"])[:IMAGES_PRINTED]
    for entry in shown:
        found = sorted(entry["detections"], key=lambda row: -row["score"])
        what = f"{len(found)} found" if found else f"nothing above {result['threshold']}"
        lines.append(f"{entry['image']}: {what}")
        lines.extend(f"  {row['score']:.2f}  {row['path']}" for row in found[:BOXES_PRINTED])
        if len(found) > BOXES_PRINTED:
            lines.append(f"  … and {len(found) - BOXES_PRINTED} more")
    rest = len(entries) - len(shown)
    if rest:
        lines.append(f"… and {rest} more {'image' if rest == 1 else 'images'} in {out}/detections.json")
    objects = sum(len(entry["detections"]) for entry in entries)
    images = sum(bool(entry["detections"]) for entry in entries)
    few = "; lower --threshold to see more" if 2 * images < len(entries) and result["threshold"] > 0 else ""
    of = f"{len(entries)} {'image' if len(entries) == 1 else 'images'}"
    return [*lines, f"{objects} {'object' if objects == 1 else 'objects'} in {images} of {of}{few}"]


def _batches(paths: Sequence[str], size: int) -> Iterator[tuple[list[tuple[str, Image.Image]], list[Unreadable]]]:
    for start in range(0, len(paths), size):
        loaded = [(path, load_image(path)) for path in paths[start : start + size]]
        good = [(path, image) for path, image in loaded if isinstance(image, Image.Image)]
        yield good, [image for _, image in loaded if isinstance(image, Unreadable)]


def _detect_batch(
    run: Run, batch: list[tuple[str, Image.Image]], threshold: float, walk_threshold: float, iou_threshold: float
) -> list[list[dict[str, Any]]]:
    if not batch:
        return []
    size = run.experiment.model.input_size
    places = [letterbox(image.height, image.width) for _, image in batch]
    images = tf.stack(
        [
            place_image(
                tf.constant(np.asarray(image), tf.float32) / 255.0, tf.constant(np.array(place, np.float32)), size
            )
            for (_, image), place in zip(batch, places, strict=True)
        ]
    )
    found = run.detector.detect(images, threshold=threshold, walk_threshold=walk_threshold, iou_threshold=iou_threshold)
    rows: list[list[dict[str, Any]]] = []
    for k, place in enumerate(places):
        keep = found.mask[k].numpy()
        boxes = np.clip(unplace_boxes(found.boxes[k].numpy()[keep], place), 0, 1)
        nodes, scores = found.nodes[k].numpy()[keep], found.scores[k].numpy()[keep]
        rest = greedy(boxes, scores, iou_threshold)  # once more: what lay in the letterbox's bands was clipped just now
        boxes, nodes, scores = boxes[rest], nodes[rest], scores[rest]
        rows.append(
            [
                {
                    "box": [round(float(v), 5) for v in box],
                    "wnid": run.tree.names[node],
                    "label": run.tree.display_names[node],
                    "path": run.tree.describe_path(int(node)),
                    "score": round(float(score), 4),
                }
                for box, node, score in zip(boxes, nodes, scores, strict=True)
            ]
        )
    return rows


def _drawn(row: dict[str, Any]) -> DrawnBox:
    return DrawnBox(box=Box(*row["box"]), caption=f"{row['path']} {row['score']:.2f}", colour_key=row["wnid"])


def _unique(stem: str, names: dict[str, int]) -> str:
    """Two images of one name, from two folders, get two pictures."""
    count = names[stem] = names.get(stem, 0) + 1
    return stem if count == 1 else f"{stem}-{count}"
