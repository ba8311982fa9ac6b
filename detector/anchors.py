"""Priors by k-means on the shapes of boxes, with 1 - IoU as the distance (thesis section 2.2).

Shape shorthand: N boxes, K priors.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from detector.augment import letterbox
from detector.dataset import Dataset
from schemas.errors import InputError


def shape_iou(shapes: np.ndarray, anchors: np.ndarray) -> np.ndarray:
    """IoU of boxes that share their centre: f[N, 2] (width, height) and f[K, 2] to f[N, K]."""
    inter = np.prod(np.minimum(shapes[:, None], anchors[None]), axis=-1)
    return inter / (np.prod(shapes, axis=-1)[:, None] + np.prod(anchors, axis=-1)[None] - inter)


def kmeans_anchors(shapes: np.ndarray, count: int, *, seed: int = 0, restarts: int = 10) -> tuple[np.ndarray, float]:
    """The best of several k-means runs.

    Args:
        shapes: f[N, 2] widths and heights, all positive.
        count: K, at most the number of different shapes.
        seed: of the starting points.
        restarts: runs tried; the one with the best mean IoU wins.

    Returns:
        f[K, 2] priors by rising area, and the mean over boxes of the IoU with their best prior.

    Raises:
        InputError: if there are fewer different shapes than priors.
    """
    shapes = np.asarray(shapes, np.float64)
    distinct = check_count(shapes, count)
    rng = np.random.default_rng(seed)
    runs = [_kmeans(shapes, _spread_start(distinct, count, rng)) for _ in range(restarts)]
    anchors, fit = max(runs, key=lambda run: run[1])
    return anchors[np.argsort(np.prod(anchors, axis=1), kind="stable")], fit


def check_count(shapes: np.ndarray, count: int) -> np.ndarray:
    """The different shapes f[N, 2], of which there must be `count`.

    Raises:
        InputError: if there are fewer.
    """
    distinct = np.unique(shapes, axis=0)
    if len(distinct) < count:
        raise InputError(f"{len(distinct)} different box shapes are too few for {count} anchors")
    return distinct


def _spread_start(distinct: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """k-means++: each further start is drawn in proportion to its distance from the nearest so far."""
    chosen = [int(rng.integers(len(distinct)))]
    while len(chosen) < count:
        distance = 1 - shape_iou(distinct, distinct[chosen]).max(axis=1)
        distance[chosen] = 0
        chosen.append(int(rng.choice(len(distinct), p=distance / distance.sum())))
    return distinct[chosen].copy()


def _kmeans(shapes: np.ndarray, anchors: np.ndarray) -> tuple[np.ndarray, float]:
    owner = np.full(len(shapes), -1)
    for _ in range(300):
        nearest = shape_iou(shapes, anchors).argmax(axis=1)
        if np.array_equal(nearest, owner):
            break
        owner = nearest
        for k in range(len(anchors)):
            if np.any(owner == k):
                anchors[k] = shapes[owner == k].mean(axis=0)
    return anchors, float(shape_iou(shapes, anchors).max(axis=1).mean())


def box_shapes(datasets: Iterable[Dataset], canvas: tuple[int, int] = (1, 1), shorter: float = 0) -> np.ndarray:
    """f[N, 2] width and height of every box, relative to the canvas on which its image is drawn; crowds are left out.

    Args:
        datasets: those without boxes are skipped.
        canvas: (height, width), see `letterbox`.
        shorter: see `letterbox`.

    Raises:
        InputError: if there is no box at all.
    """
    shapes: list[tuple[float, float]] = []
    names: list[str] = []
    for dataset in datasets:
        names.append(dataset.path)
        if not dataset.has_boxes:
            continue
        for row in range(len(dataset)):
            record = dataset.record(row)
            place = letterbox(record.height, record.width, canvas, shorter)
            shapes.extend(
                (b.box.width * place.scale_x, b.box.height * place.scale_y) for b in record.boxes if not b.is_crowd
            )
    if not shapes:
        raise InputError(f"no boxes in {', '.join(names) or 'no dataset'}; anchors need a detection dataset")
    return np.array(shapes)
