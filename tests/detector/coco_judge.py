"""pycocotools alone, as its own users call it: the judge of our figures."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

TWELVE = ("AP", "AP50", "AP75", "AP_S", "AP_M", "AP_L", "AR_1", "AR_10", "AR_100", "AR_S", "AR_M", "AR_L")


def stats(truth: Mapping[str, Any], results: Sequence[Mapping[str, Any]]) -> np.ndarray:
    """COCOeval.stats of COCO instances and a results list; -1 where there is no truth."""
    with contextlib.redirect_stdout(io.StringIO()):
        gold, found = COCO(), COCO()
        gold.dataset = {**truth, "annotations": [dict(entry) for entry in truth["annotations"]]}
        gold.createIndex()
        if results:
            found = gold.loadRes([dict(entry) for entry in results])
        else:  # loadRes looks at the first
            found.dataset = {**truth, "annotations": []}
            found.createIndex()
        judge = COCOeval(gold, found, "bbox")
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    return judge.stats


def clean(
    truth: Mapping[str, Any], results: Sequence[Mapping[str, Any]]
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The same with ids from 1 in the order of the old ones, which pycocotools does not take for anything else, and
    with areas and crowds where there are none."""
    ids = [image["id"] for image in truth["images"]]
    ids.sort(key=None if all(isinstance(each, int | float) for each in ids) else str)
    images = {_key(each): number for number, each in enumerate(ids, start=1)}
    categories = {_key(each["id"]): number for number, each in enumerate(truth["categories"], start=1)}

    def renamed(entry: Mapping[str, Any]) -> dict[str, Any]:
        own = {"image_id": images[_key(entry["image_id"])], "category_id": categories[_key(entry["category_id"])]}
        return {**entry, **own}

    annotations = []
    for number, entry in enumerate(truth["annotations"], start=1):
        _, _, width, height = entry["bbox"]
        usual = {"area": width * height, "iscrowd": 0}
        annotations.append({**usual, **renamed(entry), "id": number})
    return {
        "images": [{"id": number} for number in images.values()],
        "categories": [{"id": number} for number in categories.values()],
        "annotations": annotations,
    }, [renamed(entry) for entry in results]


def ours(summary: Mapping[str, Any]) -> list[float]:
    """The twelve numbers of an evaluation's summary in the order of COCOeval.stats."""
    return [-1.0 if summary[name] is None else summary[name] for name in TWELVE]


def _key(number: Any) -> str:
    return str(int(number)) if isinstance(number, float) else str(number)


def shaken(
    truth: Mapping[str, Any], rng: np.random.Generator, *, false: int = 4, digits: int = 1
) -> list[dict[str, Any]]:
    """Results near the truths, some moved, some half as wide, some of another class; and others. Scores are tied."""
    categories = [category["id"] for category in truth["categories"]]
    results: list[dict[str, Any]] = []

    def add(image: Any, category: Any, box: Sequence[float]) -> None:
        score = round(float(rng.random()), digits)
        results.append(
            {"image_id": image, "category_id": category, "bbox": [float(value) for value in box], "score": score}
        )

    for entry in truth["annotations"]:
        x, y, w, h = entry["bbox"]
        dx, dy, dw, dh = rng.normal(0, 0.08, 4)
        near = [x + dx * w, y + dy * h, w * np.exp(dw), h * np.exp(dh)]
        other = categories[int(rng.integers(len(categories)))]
        match int(rng.integers(8)):
            case 0:
                continue
            case 1:
                add(entry["image_id"], other, near)
            case 2:
                add(entry["image_id"], entry["category_id"], [x, y, w / 2, h])  # an overlap of a half, to the bit
            case 3:
                add(entry["image_id"], entry["category_id"], entry["bbox"])
            case _:
                add(entry["image_id"], entry["category_id"], near)
    for image in truth["images"]:
        sides = np.array([image["width"], image["height"]])
        for _ in range(int(rng.integers(false + 1))):
            corner, size = rng.random(2) * sides * 0.7, rng.random(2) * sides * 0.3
            add(image["id"], categories[int(rng.integers(len(categories)))], [*corner, *size])
    return results
