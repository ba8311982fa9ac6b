"""What `wordtree detect` writes, whole or not at all.

OUT/detections.json    one entry per image; boxes are `rel_yxyx` of the stored pixels; `classes` of whole images
OUT/results.json       the same as COCO results: a list of image_id, category_id, bbox [x, y, w, h] in pixels, score
OUT/pictures/*.png     the images with boxes and paths drawn
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from detector.draw import LEAST_SIDE, DrawnBox, draw_detections
from detector.infer.categories import categories_of_nodes, image_id
from detector.infer.predictor import Found
from detector.infer.reading import Sight
from detector.infer.sources import stem
from schemas.boxes import Box, box_to_coco_xywh
from schemas.errors import OutputError
from wordtree.tree import WordTree

FORMATS = ("json", "coco", "pictures")
DETECTIONS, RESULTS, PICTURES = "detections.json", "results.json", "pictures"
LONGEST_SIDE = 4096  # up to which a picture is enlarged


def check_out(out: Path, *, force: bool) -> None:
    """Refuse to replace what is there.

    Raises:
        OutputError: if `out` exists and `force` is not set, or holds something else than detections.
    """
    if not (out.exists() or out.is_symlink()):
        return
    if not force:
        raise OutputError(f"{out} exists already; choose another --out or replace it with --force")
    ours = (
        out.is_dir()
        and not out.is_symlink()
        and (not any(out.iterdir()) or any((out / name).exists() for name in (DETECTIONS, RESULTS)))
    )
    if not ours:
        raise OutputError(f"{out} holds no detections, so --force does not replace it; choose another --out")


class Writer:
    """Collects entries and draws pictures in a folder beside `out`, which takes its name at the end."""

    def __init__(
        self, out: Path, tree: WordTree, formats: Sequence[str], *, categories: dict[int, int] | None, force: bool
    ) -> None:
        """See `check_out` for what is refused."""
        check_out(out, force=force)
        self.out, self.tree, self.formats, self.force = out, tree, formats, force
        self.category = categories_of_nodes(tree, categories)
        whole = out.resolve()
        self.partial = whole.with_name(f".{whole.name}.partial-{os.getpid()}")
        shutil.rmtree(self.partial, ignore_errors=True)
        with self._writing():
            self.partial.mkdir(parents=True)
            if "pictures" in formats:
                (self.partial / PICTURES).mkdir()
        self.entries: list[dict[str, Any]] = []
        self.results: list[dict[str, Any]] = []
        self.without_category = 0
        self.names: dict[str, int] = {}

    def add(self, sight: Sight, found: Found) -> None:
        """One image, or one frame."""
        image = sight.image
        names = [self._name(node, score) for node, score in zip(found.nodes, found.scores, strict=True)]
        whole = found.boxes is None
        boxes = [] if found.boxes is None else [[round(float(v), 6) for v in box] for box in found.boxes]
        rows = [] if whole else [{"box": box, **name} for box, name in zip(boxes, names, strict=True)]
        entry: dict[str, Any] = {"image": sight.path}
        if sight.frame is not None:
            entry |= {"frame": sight.frame, "seconds": None if sight.seconds is None else round(sight.seconds, 3)}
        entry |= {"height": image.height, "width": image.width, "detections": rows}
        if whole:
            entry["classes"] = names
        if "pictures" in self.formats:
            name = stem(sight.path) if sight.frame is None else f"{stem(sight.path)}-{sight.frame:06d}"
            entry["picture"] = f"{PICTURES}/{_unique(name, self.names)}.png"
            shown = [{"box": (0, 0, 1, 1), **names[0]}] if whole and names else rows
            frames = [
                DrawnBox(box=Box(*row["box"]), caption=f"{row['path']} {row['score']:.2f}", colour_key=row["wnid"])
                for row in shown
            ]
            least_side = min(LEAST_SIDE, min(image.size) * max(1, LONGEST_SIDE // max(image.size)))
            with self._writing():
                drawn = draw_detections(image, frames, least_side=least_side)
                drawn.save(self.partial / entry["picture"], compress_level=1)  # a third of the time, 1/8 larger
        self.entries.append(entry)
        if "coco" in self.formats:
            self._add_results(sight, found)

    def _name(self, node: Any, score: Any) -> dict[str, Any]:
        return {
            "wnid": self.tree.names[node],
            "label": self.tree.display_names[node],
            "path": self.tree.describe_path(int(node)),
            "score": round(float(score), 6),
        }

    def _add_results(self, sight: Sight, found: Found) -> None:
        number = image_id(stem(sight.path), sight.path, sight.frame)
        assert found.boxes is not None  # a classifier has no COCO results
        for box, node, score in zip(found.boxes, found.nodes, found.scores, strict=True):
            category = self.category[node]
            if category is None:
                self.without_category += 1
                continue
            xywh = box_to_coco_xywh(Box(*map(float, box)), height=sight.image.height, width=sight.image.width)
            self.results.append(
                {
                    "image_id": number,
                    "category_id": category,
                    "bbox": [round(v, 3) for v in xywh],
                    "score": round(float(score), 6),
                }
            )

    def finish(self, head: dict[str, Any], tail: dict[str, Any]) -> dict[str, Any]:
        """Write the JSON files and give the folder its name; returns what detections.json holds."""
        result = {**head, "images": self.entries, **tail}
        if "coco" in self.formats:
            result["without_category"] = self.without_category
            with self._writing():
                (self.partial / RESULTS).write_text(json.dumps(self.results) + "\n")
        if "json" in self.formats:
            text = json.dumps(result, indent=1, ensure_ascii=False) + "\n"
            with self._writing():
                (self.partial / DETECTIONS).write_text(text, encoding="utf-8", errors="backslashreplace")
        check_out(self.out, force=self.force)  # another process may have been faster
        with self._writing():
            if self.out.exists():
                shutil.rmtree(self.out)
            self.partial.rename(self.out)
        return result

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise OutputError(f"--out {self.out}: cannot write it ({error.strerror or error})") from error

    def abandon(self) -> None:
        """Leave nothing behind."""
        shutil.rmtree(self.partial, ignore_errors=True)


def _unique(name: str, names: dict[str, int]) -> str:
    """Two images of one name, from two folders, get two pictures."""
    count = names[name] = names.get(name, 0) + 1
    return name if count == 1 else f"{name}-{count}"
