"""The report's sections on groups, errors and names: their numbers, old evaluations, damaged ones, and the plots."""

from __future__ import annotations

import copy
import json
import re

import pytest

from detector.report import write_report
from detector.report.evaluation_plots import group_bars, stacked_bars, unit_plot

EVIL = "<script>x</script>"
KINDS = ("correct", "localisation", "similar", "other", "background")


def scores(rows, exact):
    walk = {"rows": rows, "exact": exact, "correct": 0.75, "information": 0.5, "hP": 0.8, "hR": 0.7, "hF": 0.746}
    walk |= {"distance": 1.25, "severity": 2.5, "by_depth": [{"depth": 0, "rows": rows, "correct": 0.9}]}
    part = {"rows": rows, "confidence": 0.61, "correct": 0.52, "error": 0.0987}
    return {
        "walk": walk,
        "curve": {"information": [1.0, 0.4, 0.0], "correct": [0.3, 0.8, 1.0], "area": 0.613, "information_at_95": 0.21},
        "calibration": [{"depth": 0, "conditional": part, "product": part}],
    }


def evaluation():
    words = dict(zip(KINDS, (5, 2, 1, 1, 1), strict=True))
    classes = [
        {"label": f"disc {EVIL}", "wnid": "n1", "boxed": True, "group": "boxed", "AP50": 0.5, "recall100": 0.875},
        {"label": "square", "wnid": "n2", "boxed": False, "group": "unboxed", "AP50": 0.25, "recall100": 0.625},
    ]
    for row in classes:
        row |= {"truths": 10, "CorLoc": 0.4321, "errors": words}
    return {
        "dataset": "eval",
        "images": 3,
        "step": 5,
        "ranked_by": "objectness",
        "summary": {
            "AP50_boxed": 0.5, "AP50_unboxed": 0.25, "recall100_boxed": 0.875, "recall100_unboxed": 0.625,
            "classes_boxed": 1, "classes_unboxed": 1,
        },
        "classes": classes,
        "errors": {"all": {k: 2 * v for k, v in words.items()}, "boxed": words, "unboxed": words},
        "tree": {
            "names": {"all": scores(20, 0.55), "unboxed": scores(10, 0.45)},
            "precision": {"AP50": 0.3, "by_depth": [{"depth": 0, "nodes": 2, "AP50": 0.3333}], "nodes": {}},
        },
    }  # fmt: skip


@pytest.fixture
def shown(tmp_path):
    """Write the evaluation and return the page and the text of one section."""
    (tmp_path / "run" / "evaluation").mkdir(parents=True)

    def show(content, key):
        (tmp_path / "run" / "evaluation" / "eval.json").write_text(json.dumps(content))
        page = write_report(tmp_path / "run", tmp_path / "report.html").read_text()
        found = re.search(f'<section id="{key}".*?</section>', page, re.S)
        return page, re.sub(r"\s+", " ", re.sub("<[^>]*>", " ", found[0]))

    return show


def test_groups_errors_and_classes_are_told(shown):
    page, text = shown(evaluation(), "groups")
    for number in ("87.5", "62.5", "boxed (1)", "never boxed (1)", "50 %", "43.2", "by objectness", "2 classes"):
        assert number in text, number
    assert "disc <script>" not in page
    assert "correct 10 of 20" in text  # said by the mark itself
    ids = re.findall(r' id="([^"]*)"', page)
    assert len(ids) == len(set(ids))


def test_cocos_numbers_are_told_of_all_classes_and_of_each_group(shown):
    content = evaluation()
    numbers = {"AP": 0.111, "AP75": 0.222, "AP_S": 0.333, "AR_1": 0.444, "AR_100": 0.555, "AR_L": None}
    content["summary"] |= {**numbers, "AP_S_unboxed": 0.666}
    _, text = shown(content, "groups")
    for number in ("11.1", "22.2", "33.3", "44.4", "55.5", "66.6", "AP small", "AR@100"):
        assert number in text, number
    assert "LVIS" not in text
    _, text = shown({**content, "rules": "LVIS"}, "groups")
    assert "only some classes were looked for" in text


def test_names_are_told_with_curve_and_calibration(shown):
    _, text = shown(evaluation(), "names")
    for number in ("20", "55.0", "45.0", "74.6", "1.25", "2.50", "61.3", "21.0", "33.3", "9.9"):
        assert number in text, number


def test_an_old_evaluation_says_how_to_make_the_rest(shown):
    old = evaluation()
    del old["errors"], old["tree"], old["ranked_by"]
    for row in old["classes"]:
        del row["errors"], row["recall100"], row["CorLoc"]
    old["summary"] = {"AP50_boxed": 0.5, "AP50_unboxed": 0.25}
    _, text = shown(old, "groups")
    assert "The evaluation of eval has no figures by group. Make it with wordtree evaluate run eval" in text
    _, text = shown(old, "names")
    assert "has no names in the tree" in text
    _, text = shown(old, "precision")
    assert "50.0" in text


@pytest.mark.parametrize("damage", [None, 3, "x", [], {}, {"all": 3}, {"names": {"all": {}}}, {"names": {"all": 1}}])
@pytest.mark.parametrize("part", ["errors", "tree"])
def test_damaged_parts_leave_the_others(shown, part, damage):
    content = copy.deepcopy(evaluation())
    content[part] = damage
    _, text = shown(content, "groups" if part == "tree" else "names")
    assert ("62.5" if part == "tree" else "74.6") in text


def test_names_without_a_model_have_no_curve(shown):
    content = evaluation()
    for part in content["tree"]["names"].values():
        del part["curve"], part["calibration"]
    _, text = shown(content, "names")
    assert "74.6" in text
    assert "dashed" not in text


def test_a_classifier_has_shares_of_images_and_no_precision(shown):
    content = evaluation()
    content["summary"] = {"top1": 0.615, "top5": 0.905}
    for row in content["classes"]:
        row |= {"AP50": None, "top1": 0.5, "top5": 0.75}
        del row["errors"]
    del content["errors"]
    _, text = shown(content, "precision")
    assert "whole images, no boxes: top 1 61.5, top 5 90.5" in text
    _, text = shown(content, "summary")
    assert "61.5 %" in text
    _, text = shown(content, "groups")
    assert "75.0" in text


def test_bars_fill_the_room_by_their_shares():
    svg = stacked_bars([("a<b", {"x": 3, "y": 1}), ("none", {"x": 0})], ("x", "y"), about="<t>")
    wide = [float(v) for v in re.findall(r'<rect[^>]*width="([\d.]+)"', svg)]
    assert wide[0] == pytest.approx(3 * wide[1], rel=1e-3)
    assert "a<b" not in svg
    assert "75 %" in svg
    bars = group_bars([("recall", [0.5, None, 2.0])], ("a", "b", "c"), about="t")
    wide = [float(v) for v in re.findall(r'<rect[^>]*width="([\d.]+)"', bars)]
    assert wide[1] == pytest.approx(2 * wide[0])  # what is above 1 is drawn as 1


@pytest.mark.parametrize("points", [[], [(0.5, 0.5)], [(0, 1), (1, 0)], [(-3, 9), (2, -1)]])
def test_curves_of_any_points_stay_in_their_square(points):
    svg = unit_plot("p", {"a": points}, x="x", y="y", about="t", level=0.95)
    assert svg.count("<svg") == 1
    assert svg.endswith("</svg>")
    numbers = [float(v) for path in re.findall(r'd="M([^"]*)"', svg) for v in re.findall(r"-?[\d.]+", path)]
    assert all(0 <= value <= 860 for value in numbers)
