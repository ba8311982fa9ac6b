"""What an export lost: its detections beside those of the run.

A detection of the run has a match if the export has a box that overlaps it by half; each box matches once, and the best
detections choose first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from schemas.boxes import pairwise_iou

MATCH_IOU = 0.5


class Found(NamedTuple):
    """The detections of one image, best first: boxes f32[K, 4] `rel_yxyx`, nodes i32[K], scores f32[K]."""

    boxes: np.ndarray
    nodes: np.ndarray
    scores: np.ndarray


Finder = Callable[[bytes], Found]


class Difference(NamedTuple):
    """How the detections of an export differ from those of the run.

    Attributes:
        images: compared.
        detections: of the run.
        exported: of the export.
        matched: detections of the run that the export has too.
        same_node: matched ones with the same name.
        mean_iou: of the matched boxes; None if there are none, as below.
        mean_score_difference, max_score_difference: absolute, of those with the same name; another name stands at
            another level of the tree, and its score is another quantity.
    """

    images: int
    detections: int
    exported: int
    matched: int
    same_node: int
    mean_iou: float | None
    mean_score_difference: float | None
    max_score_difference: float | None


def match(reference: Found, other: Found) -> list[tuple[int, int, float]]:
    """(row of the reference, row of the other, IoU): each reference box, best first, takes the nearest free box."""
    overlap = pairwise_iou(reference.boxes, other.boxes)
    free = np.ones(len(other.boxes), bool)
    pairs: list[tuple[int, int, float]] = []
    for row in np.argsort(-reference.scores, kind="stable"):
        # With equal overlap, as of several names of one box, the same name first.
        worth = np.where(free, overlap[row] + 1e-6 * (other.nodes == reference.nodes[row]), -1.0)
        if len(worth) and overlap[row, best := int(worth.argmax())] >= MATCH_IOU and free[best]:
            free[best] = False
            pairs.append((int(row), best, float(overlap[row, best])))
    return pairs


def compare(reference: Sequence[Found], other: Sequence[Found]) -> Difference:
    """Compare the detections of the same images, in the same order."""
    scores: list[float] = []
    overlaps: list[float] = []
    for one, two in zip(reference, other, strict=True):
        for row, column, overlap in match(one, two):
            overlaps.append(overlap)
            if one.nodes[row] == two.nodes[column]:
                scores.append(abs(float(one.scores[row]) - float(two.scores[column])))
    return Difference(
        images=len(reference),
        detections=sum(len(found.scores) for found in reference),
        exported=sum(len(found.scores) for found in other),
        matched=len(overlaps),
        same_node=len(scores),
        mean_iou=float(np.mean(overlaps)) if overlaps else None,
        mean_score_difference=float(np.mean(scores)) if scores else None,
        max_score_difference=max(scores) if scores else None,
    )


def check_table(rows: Sequence[dict[str, Any]]) -> str:
    """The check for people: one line a format, the run itself first."""

    def show(value: float | None, digits: int = 3) -> str:
        return "-" if value is None else f"{value:.{digits}f}"

    head = ("format", "MB", "AP50", "never boxed", "found", "matched", "same name", "mean IoU", "mean |score|", "max")
    lines: list[tuple[str, ...]] = [head]
    for row in rows:
        base = row.get("detections") or 0
        lines.append(
            (
                row["format"],
                show(row["bytes"] / 1e6, 2) if row.get("bytes") else "-",
                show(row.get("AP50")),
                show(row.get("AP50_unboxed")),
                str(row.get("exported", "-")),
                f"{row['matched']}/{base}" if "matched" in row else "-",
                f"{row['same_node']}/{row['matched']}" if "matched" in row else "-",
                show(row.get("mean_iou")),
                show(row.get("mean_score_difference"), 5),
                show(row.get("max_score_difference"), 5),
            )
        )
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in lines
    )
