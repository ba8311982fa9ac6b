"""LVIS's rules: by hand, and equal to the published program."""

from __future__ import annotations

import importlib.util
import json
import sys
import types

import numpy as np
import pytest

from detector.metrics import lvis
from detector.metrics.columns import Found
from detector.metrics.precision import mean_or_none
from detector.truth import columns
from tests.detector.metrics.columns_of import found_of, truths_of

A, B, FAR = (0, 0, 10, 10), (50, 50, 70, 70), (200, 200, 220, 240)
CAT, DOG, HORSE = 1, 2, 3
NAMES = ("AP", "AP50", "AP75", "AP_S", "AP_M", "AP_L", "AR_300", "AR_S", "AR_M", "AR_L")


def ap50(truths, found, absent=(), partial=()):
    """AP50 of cats, dogs and horses on four images."""
    federated = lvis.Federated(set(absent), set(partial))
    each = lvis.class_figures(truths_of(truths), found_of(found), [CAT, DOG, HORSE], np.arange(4), federated)
    return [None if row["AP50"] is None else round(row["AP50"], 6) for row in each]


def test_what_nobody_looked_for_is_no_error_and_what_is_verified_to_be_absent_is_one():
    truths = [(0, HORSE, A, False, False), (1, CAT, A, False, False)]
    found = [(0, HORSE, A, 0.5), (1, HORSE, B, 0.9), (1, CAT, A, 0.5)]
    assert ap50(truths, found) == [1.0, None, 1.0]
    assert ap50(truths, found, absent=[(1, HORSE)]) == [1.0, None, 0.5]
    assert ap50(truths, found, absent=[(2, HORSE), (1, DOG)]) == [1.0, None, 1.0]


def test_where_not_every_object_has_a_box_a_detection_without_one_is_no_error():
    truths = [(0, CAT, A, False, False), (1, CAT, A, False, False)]
    found = [(0, CAT, B, 0.9), (0, CAT, A, 0.8), (1, CAT, A, 0.7)]
    assert ap50(truths, found)[0] == round(2 / 3, 6)
    assert ap50(truths, found, partial=[(0, CAT)])[0] == 1.0
    assert ap50(truths, found, partial=[(1, CAT), (0, DOG)])[0] == round(2 / 3, 6)
    assert ap50(truths, found[:2], partial=[(0, CAT), (1, CAT)])[0] == round(51 / 101, 6)  # the second is still missed


def test_the_best_three_hundred_detections_of_an_image_count_whatever_their_class():
    truths = [(0, CAT, A, False, False), (1, CAT, A, False, False)]
    others = [(0, DOG, FAR, 0.9)] * 299  # nobody looked for dogs, but they take places
    assert ap50(truths, [*others, (0, CAT, A, 0.5), (1, CAT, A, 0.4)])[0] == 1.0
    assert ap50(truths, [*others, (0, DOG, FAR, 0.5), (0, CAT, A, 0.5), (1, CAT, A, 0.4)])[0] == round(51 / 101, 6)


@pytest.fixture
def program(monkeypatch):
    """LVIS's own evaluation, without its pictures, which want OpenCV; and with the name that NumPy 2 no longer has."""
    found = importlib.util.find_spec("lvis")
    if found is None:
        pytest.skip("lvis is not installed; `make test` installs it")
    package = types.ModuleType("lvis")
    package.__path__ = list(found.submodule_search_locations)
    for name in [name for name in sys.modules if name.partition(".")[0] == "lvis"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "lvis", package)
    monkeypatch.setattr(np, "float", float, raising=False)
    from lvis.eval import LVISEval

    yield LVISEval
    for name in [name for name in sys.modules if name.startswith("lvis.")]:
        del sys.modules[name]


def random_set(rng):
    """LVIS instances and results: few classes looked for, small and large boxes, up to 400 detections an image."""
    images = [
        {
            "id": 40 - number,
            "neg_category_ids": np.flatnonzero(rng.random(6) < 0.3).tolist(),
            "not_exhaustive_category_ids": np.flatnonzero(rng.random(6) < 0.3).tolist(),
        }
        for number in range(int(rng.integers(1, 7)))
    ]

    def box():
        low, side = rng.integers(0, 30, 2), rng.integers(5, 150, 2)
        return [float(value) for value in (*low, *side)]

    annotations = [
        {"image_id": images[int(rng.integers(len(images)))]["id"], "category_id": int(rng.integers(6)), "bbox": box()}
        for _ in range(int(rng.integers(1, 30)))
    ]
    for number, entry in enumerate(annotations, start=1):
        entry |= {"id": number, "area": entry["bbox"][2] * entry["bbox"][3] * 0.8}
    results = []
    for image in images:
        near = [entry for entry in annotations if entry["image_id"] == image["id"]]
        for _ in range(400 if rng.random() < 0.1 else int(rng.integers(1, 30))):
            entry = near[int(rng.integers(len(near)))] if near and rng.random() < 0.5 else None
            row = {"category_id": int(rng.integers(6)), "bbox": box()}
            if entry:
                moved = (np.array(entry["bbox"]) + rng.integers(0, 4, 4)).tolist()
                row = {"category_id": entry["category_id"], "bbox": moved}
            results.append({"image_id": image["id"], **row, "score": round(float(rng.random()), 2)})
    categories = [{"id": number, "frequency": "rcf"[number % 3]} for number in range(6)]
    return {"images": images, "annotations": annotations, "categories": categories}, results


def test_figures_equal_those_of_the_published_program(program, tmp_path):
    for seed in range(40):
        truth, results = random_set(np.random.default_rng(seed))
        (tmp_path / "truth.json").write_text(json.dumps(truth))
        (tmp_path / "results.json").write_text(json.dumps(results))
        judge = program(str(tmp_path / "truth.json"), str(tmp_path / "results.json"), "bbox")
        judge.run()
        wanted = [value for name, value in judge.results.items() if name not in ("APr", "APc", "APf")]
        number = {image["id"]: place for place, image in enumerate(truth["images"])}
        truths = columns(
            [
                (number[row["image_id"]], row["category_id"], row["bbox"], row["area"], False, False)
                for row in truth["annotations"]
            ]
        )
        found = Found(
            np.array([number[row["image_id"]] for row in results]),
            np.array([row["category_id"] for row in results]),
            np.array([row["bbox"] for row in results]),
            np.array([row["score"] for row in results]),
        )
        pairs = [
            {(place, klass) for place, image in enumerate(truth["images"]) for klass in image[name]}
            for name in ("neg_category_ids", "not_exhaustive_category_ids")
        ]
        order = np.argsort(np.argsort(list(number)))
        each = lvis.class_figures(truths, found, range(6), order, lvis.Federated(*pairs))
        means = [mean_or_none([row[name] for row in each]) for name in NAMES]
        ours = [-1 if value is None else value for value in means]
        np.testing.assert_allclose(ours, wanted, rtol=0, atol=1e-12, err_msg=f"seed {seed}")
