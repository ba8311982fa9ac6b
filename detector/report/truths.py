"""Which detections are hits: the boxes of dataset directories, found again by the bytes of the image.

An image is known by the sha256 of its file, which the dataset's index holds: names and folders do not matter. A
detection is matched, best first, with the truth that it overlaps most (IoU >= 0.5). What it says is then

    right      the truth's node
    finer      a node below it: the truth does not say whether that is right
    coarser    a node above it: right, but not all the way down
    wrong      any other node
    false      it overlaps no truth that is still free

and a truth without a detection is `missed`. A crowd, a group and a difficult object are neither missed nor do they make
a detection false, as in evaluation.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from detector.report.inputs import DatasetFacts
from schemas.boxes import Box, pairwise_iou
from schemas.coco import IGNORED
from wordtree.tree import WordTree

MATCH_IOU = 0.5
SAME_BOX_IOU = 0.9
VERDICTS = ("right", "finer", "coarser", "wrong", "false", "missed")


@dataclass(frozen=True, slots=True)
class Truth:
    """A box that people drew; `crowd` where it is neither hit nor miss."""

    box: Box
    wnid: str
    label: str
    crowd: bool


@dataclass(frozen=True)
class Verdict:
    """What became of the detections and truths of one image.

    Attributes:
        of_detections: one word of VERDICTS for each detection.
        found: for each truth, whether a detection took it.
        truths: as given.
    """

    of_detections: tuple[str, ...]
    found: tuple[bool, ...]
    truths: tuple[Truth, ...]

    def counts(self) -> dict[str, int]:
        """How many of each of VERDICTS, those with none left out."""
        missed = sum(not found and not truth.crowd for found, truth in zip(self.found, self.truths, strict=True))
        numbers = {word: self.of_detections.count(word) for word in VERDICTS} | {"missed": missed}
        return {word: number for word, number in numbers.items() if number}


def truths_of_images(
    paths: Iterable[Path], datasets: Sequence[DatasetFacts], tree: WordTree
) -> dict[Path, list[Truth]]:
    """The truths of those images that some boxed dataset holds; an image without an entry is unknown.

    Two datasets may hold one image, with coarse and with fine boxes: of two boxes that agree the deeper class stays.
    """
    images = {_sha256(path): path for path in paths if path.is_file()}
    found: dict[Path, list[Truth]] = {}
    for dataset in datasets:
        if not dataset.manifest.has_boxes or not images:
            continue
        split = dataset.manifest.split
        index = pq.read_table(dataset.path / f"{split}.index.parquet", columns=["image_id", "sha256"]).to_pylist()
        ids = {row["image_id"]: images[row["sha256"]] for row in index if row["sha256"] in images}
        if not ids:
            continue
        for path in ids.values():
            found.setdefault(path, [])
        columns = ["image_id", "kind", "label", "wnid", "ymin", "xmin", "ymax", "xmax", *IGNORED]
        rows = pq.read_table(
            dataset.path / f"{split}.annotations.parquet", columns=columns, filters=[("image_id", "in", list(ids))]
        )
        for row in rows.to_pylist():
            if row["kind"] == "box":
                box = Box(row["ymin"], row["xmin"], row["ymax"], row["xmax"])
                crowd = any(row[flag] for flag in IGNORED)
                _add(found[ids[row["image_id"]]], Truth(box, row["wnid"], row["label"], crowd), tree)
    return found


def judge(detections: Sequence[Mapping[str, Any]], truths: Sequence[Truth], tree: WordTree) -> Verdict:
    """Match the detections of one image, which stand best first, with its truths."""
    words: list[str] = []
    taken = [False] * len(truths)
    overlaps = _overlaps([row["box"] for row in detections], truths)
    for row, iou in zip(detections, overlaps, strict=True):
        free = np.array([0.0 if done and not truth.crowd else 1.0 for done, truth in zip(taken, truths, strict=True)])
        best = int(np.argmax(iou * free)) if truths else -1
        if best < 0 or iou[best] * free[best] < MATCH_IOU:
            words.append("false")
            continue
        taken[best] = True
        words.append(_relation(str(row["wnid"]), truths[best].wnid, tree))
    return Verdict(tuple(words), tuple(taken), tuple(truths))


def _relation(said: str, truth: str, tree: WordTree) -> str:
    if said == truth:
        return "right"
    if said not in tree or truth not in tree:
        return "wrong"
    if tree.index(truth) in tree.ancestors(tree.index(said)):
        return "finer"
    return "coarser" if tree.index(said) in tree.ancestors(tree.index(truth)) else "wrong"


def _add(truths: list[Truth], new: Truth, tree: WordTree) -> None:
    for place, old in enumerate(truths):
        same = old.crowd == new.crowd and _overlaps([old.box], [new])[0, 0] >= SAME_BOX_IOU
        if same and _relation(old.wnid, new.wnid, tree) in ("right", "finer", "coarser"):
            if _relation(old.wnid, new.wnid, tree) == "coarser":
                truths[place] = new
            return
    truths.append(new)


def _overlaps(boxes: Sequence[Sequence[float]], truths: Sequence[Truth]) -> np.ndarray:
    """IoU, f64[detections, truths]."""
    left = np.array(boxes, float).reshape(-1, 4)
    return pairwise_iou(left, np.array([truth.box for truth in truths], float).reshape(-1, 4))


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
