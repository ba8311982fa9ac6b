"""COCO's twelve numbers: those that were published, and COCOeval.stats of random sets."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.metrics import coco
from detector.metrics.columns import Found, Truths
from detector.metrics.precision import mean_or_none
from tests.detector.coco_judge import TWELVE, ours, stats


def figures(truth, results):
    """The twelve numbers of COCO instances and results whose ids are clean."""
    number = {image["id"]: place for place, image in enumerate(truth["images"])}
    rows, found = truth["annotations"], results
    truths = Truths(
        np.array([number[row["image_id"]] for row in rows], np.int64),
        np.array([row["category_id"] for row in rows], np.int64),
        np.array([row["bbox"] for row in rows], np.float64).reshape(-1, 4),
        np.array([row["area"] for row in rows], np.float64),
        np.array([row["iscrowd"] for row in rows], bool),
        np.zeros(len(rows), bool),
    )
    detections = Found(
        np.array([number[row["image_id"]] for row in found], np.int64),
        np.array([row["category_id"] for row in found], np.int64),
        np.array([row["bbox"] for row in found], np.float64).reshape(-1, 4),
        np.array([row["score"] for row in found], np.float64),
    )
    classes = [category["id"] for category in truth["categories"]]
    order = np.argsort(np.argsort(list(number))).astype(np.int64)
    each = coco.class_figures(truths, detections, classes, order)
    return ours({name: mean_or_none([row[name] for row in each]) for name in TWELVE})


def test_numbers_equal_pycocotools_own_summary(shared):
    folder = shared("data", "eval_reference")
    truth = json.loads((folder / "test_coco_eval/gts/sampled_gts_bbox_area.json").read_text())
    results = json.loads((folder / "test_coco_eval/cocoapi_results.json").read_text())
    published = json.loads((folder / "expected_pycocotools.json").read_text())["stats"]
    found = figures(truth, results)
    np.testing.assert_allclose(found, list(published.values()), atol=1e-6)
    np.testing.assert_allclose(found, stats(truth, results), rtol=0, atol=1e-12)


small = st.integers(0, 3)
box = st.tuples(st.integers(0, 60), st.integers(0, 60), st.integers(1, 140), st.integers(1, 140)).map(list)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(small, small, box, st.booleans()), max_size=12),
    st.lists(st.tuples(small, small, box, st.integers(0, 4)), max_size=30),
)
def test_figures_equal_cocoeval_stats(truths, found):
    truth = {
        "images": [{"id": 9 - number} for number in range(4)],
        "categories": [{"id": number} for number in range(1, 5)],
        "annotations": [
            {"id": n, "image_id": 9 - i, "category_id": k + 1, "bbox": b, "area": b[2] * b[3], "iscrowd": int(crowd)}
            for n, (i, k, b, crowd) in enumerate(truths, start=1)
        ],
    }
    results = [{"image_id": 9 - i, "category_id": k + 1, "bbox": b, "score": s / 4} for i, k, b, s in found]
    np.testing.assert_allclose(figures(truth, results), stats(truth, results), rtol=0, atol=1e-12)


@pytest.mark.parametrize("count", [9, 10, 11, 99, 100, 101])
def test_the_best_detections_of_an_image_count_up_to_each_limit(count):
    truth = {
        "images": [{"id": 1}],
        "categories": [{"id": 1}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [0, 0, 9, 9], "area": 81, "iscrowd": 0}],
    }
    results = [{"image_id": 1, "category_id": 1, "bbox": [50, 50, 9, 9], "score": 0.9} for _ in range(count - 1)]
    results.append({"image_id": 1, "category_id": 1, "bbox": [0, 0, 9, 9], "score": 0.1})
    found = dict(zip(TWELVE, figures(truth, results), strict=True))
    assert (found["AR_10"], found["AR_100"], found["AR_S"], found["AR_M"]) == (
        count <= 10,
        count <= 100,
        count <= 100,
        -1,
    )
    np.testing.assert_allclose(list(found.values()), stats(truth, results), rtol=0, atol=1e-12)
