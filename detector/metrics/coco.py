"""COCO's twelve numbers, class by class.

Nothing here computes AP: pycocotools does, and this file only feeds it and reads its arrays. Ids are ours, from 1 (an
annotation of id 0 is pycocotools' "no match"). Every class is judged by itself, over the images that have a truth or a
detection of it: pycocotools looks at every pair of image and class, which a thousand classes make a hundred million.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from detector.metrics.columns import Found, Ints, Truths

LIMITS = (1, 10, 100)  # detections of a class in an image: the best ones
SIZES = ("_S", "_M", "_L")  # areas to 32 x 32 pixels of the original image, to 96 x 96, and beyond
Figures = dict[str, float | None]


def names(limits: Sequence[int] = LIMITS) -> tuple[str, ...]:
    """Of the figures: AP over overlaps 0.50:0.95, at 0.5 and 0.75, by size; AR by limit, by size at the last one."""
    return (
        *("AP", "AP50", "AP75", *(f"AP{size}" for size in SIZES)),
        *(*(f"AR_{limit}" for limit in limits), *(f"AR{size}" for size in SIZES)),
    )


def class_figures(
    truths: Truths,
    found: Found,
    classes: Sequence[int],
    order: Ints,
    *,
    limits: Sequence[int] = LIMITS,
    open_ended: Collection[tuple[int, int]] = (),
) -> list[Figures]:
    """The figures of each class, in the order of `classes`; None where it has no truth that counts.

    Args:
        truths, found: of all images and classes; of equal scores in an image the first is the better.
        classes: those that count.
        order: i64[I] place of each image; of equal scores that of an earlier one is the better.
        limits: detections of a class in an image that are looked at, ascending; AP is at the last.
        open_ended: (image, class) in which a detection without a truth is neither hit nor miss.
    """
    images: dict[int, set[int]] = {klass: set() for klass in classes}
    for image, klass in open_ended:
        images.setdefault(klass, set()).add(int(order[image]) + 1)
    with contextlib.redirect_stdout(io.StringIO()):
        return [
            _figures_of(
                truths.take(truths.klass == klass), found.take(found.klass == klass), order, limits, images[klass]
            )
            for klass in classes
        ]


class _Judge(COCOeval):
    """pycocotools, with images in which a detection without a truth is neither hit nor miss."""

    open_ended: Collection[int] = ()

    def evaluateImg(self, imgId: int, catId: int, aRng: Any, maxDet: int) -> Any:
        seen: Any = super().evaluateImg(imgId, catId, aRng, maxDet)
        if seen is not None and imgId in self.open_ended:
            seen["dtIgnore"] = seen["dtIgnore"] | (seen["dtMatches"] == 0)
        return seen


def _figures_of(
    truths: Truths, found: Found, order: Ints, limits: Sequence[int], open_ended: Collection[int]
) -> Figures:
    """The figures of one class."""
    if truths.ignored.all():
        return dict.fromkeys(names(limits))
    gold = _api(order[truths.image] + 1, truths.xywh, area=truths.area, iscrowd=truths.ignored.astype(int))
    ours = _api(order[found.image] + 1, found.xywh, area=found.xywh[:, 2] * found.xywh[:, 3], score=found.score)
    judge = _Judge(gold, ours, "bbox")
    judge.open_ended = open_ended
    judge.params.imgIds = sorted({*gold.imgs, *ours.imgs})
    judge.params.maxDets = list(limits)
    judge.evaluate()
    judge.accumulate()
    precision = judge.eval["precision"][:, :, 0, :, -1]  # overlap, recall, size
    recall = judge.eval["recall"][:, 0]  # overlap, size, limit
    fifty, seventy_five = (np.isclose(judge.params.iouThrs, at) for at in (0.5, 0.75))
    values = [precision[..., 0], precision[fifty][..., 0], precision[seventy_five][..., 0]]
    values += [precision[..., size] for size in (1, 2, 3)]
    values += [recall[:, 0, place] for place in range(len(limits))]
    values += [recall[:, size, -1] for size in (1, 2, 3)]
    told = zip(names(limits), values, strict=True)
    return {name: float(some.mean()) if some.min() > -1 else None for name, some in told}


def _api(images: Ints, xywh: Any, **more: Any) -> Any:
    """Boxes of one class as pycocotools holds them; ids from 1, in their order."""
    lists = {"image_id": images.tolist(), "bbox": xywh.tolist(), **{name: of.tolist() for name, of in more.items()}}
    rows = zip(*lists.values(), strict=True)
    api: Any = COCO()
    api.dataset = {
        "images": [{"id": image} for image in sorted(set(lists["image_id"]))],
        "annotations": [
            {"id": number, "category_id": 1, "iscrowd": 0, **dict(zip(lists, row, strict=True))}
            for number, row in enumerate(rows, start=1)
        ],
        "categories": [{"id": 1}],
    }
    api.createIndex()
    return api
