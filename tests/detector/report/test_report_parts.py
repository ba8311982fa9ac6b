"""Parts of the report: figures of several evaluations, hits and misses, plots."""

from __future__ import annotations

import json
import re
from types import SimpleNamespace

import numpy as np
import pytest

from detector.report import write_report
from detector.report.inputs import read_inputs
from detector.report.plots import line_plot, nice_ticks, smoothed, tail_bars, tail_curve
from detector.report.sections import configuration_html, script_json
from detector.report.truths import Truth, judge
from schemas.boxes import Box
from wordtree.tree import WordTree
from wordtree.tree_formats import names_text, tree_text

# figure > triangle > right triangle; star
TREE = WordTree(
    ["n1", "n2", "n3", "n4", "n5"], [-1, 0, 0, 1, 1], ["figure", "triangle", "star", "right one", "flat one"]
)


@pytest.fixture
def run(tmp_path):
    """A run of a tree alone."""
    folder = tmp_path / "run <1>"
    (folder / "tree").mkdir(parents=True)
    (folder / "evaluation").mkdir()
    (folder / "tree" / "wordtree.tree").write_text(tree_text(TREE))
    (folder / "tree" / "wordtree.names").write_text(names_text(TREE))
    return folder


def evaluation_at(run, name, step, groups, *, with_group=True):
    """Write an evaluation: `groups` are (group, AP50) of its classes; returns it."""
    rows = [
        {"label": f"{name}-{k}", "wnid": f"n{k + 1}", "boxed": group == "boxed", "truths": 3, "AP50": ap, "AP": ap}
        | ({"group": group} if with_group else {})
        for k, (group, ap) in enumerate(groups)
    ]
    means = {}
    for group in ("boxed", "unboxed"):
        values = [ap for found, ap in groups if found == group and ap is not None]
        means[f"AP50_{group}"] = sum(values) / len(values) if values else None
    evaluation = {"dataset": name, "step": step, "images": 1200, "summary": means, "classes": rows}
    (run / "evaluation" / f"{name}.json").write_text(json.dumps(evaluation))
    return evaluation


def checkpoint_at(run, step):
    folder = run / "checkpoints" / f"step-{step:08d}"
    folder.mkdir(parents=True)
    (folder / "checkpoint.json").write_text("{}")


def section(path, key):
    """The text of one section, without markup."""
    found = re.search(f'<section id="{key}".*?</section>', path.read_text(), re.S)
    return re.sub(r"\s+", " ", re.sub("<[^>]*>", " ", found[0]))


def test_each_evaluation_has_its_own_figures_and_one_of_another_step_has_none(run, tmp_path):
    checkpoint_at(run, 50)
    checkpoint_at(run, 150)
    evaluation_at(run, "eval-coarse", 50, [("boxed", 0.9)])
    evaluation_at(run, "eval-fine", 150, [("boxed", 0.25), ("boxed", 0.5), ("unboxed", 0.125)])
    evaluation_at(run, "eval-other", 150, [("boxed", 0.75)])
    out = write_report(run, tmp_path / "report.html")
    summary, precision = section(out, "summary"), section(out, "precision")
    assert "37.5 % AP50, boxed classes — eval-fine mean of 2 classes" in summary
    assert "12.5 % AP50, never boxed classes — eval-fine mean of 1 class" in summary
    assert "75.0 % AP50, boxed classes — eval-other" in summary
    assert "90.0 %" not in summary
    assert "eval-coarse was evaluated at step 50, the run is at 150; run wordtree evaluate run <1> eval-coarse" in (
        summary.replace("&lt;", "<").replace("&gt;", ">")
    )
    assert "eval-fine 1,200 images, step 150" in precision
    assert "eval-coarse 1,200 images, step 50" in precision
    tree = json.loads(re.search(r'id="tree-data">(.*?)</script>', out.read_text())[1])
    assert tree["ap"] == {"0": 0.25, "1": 0.5, "2": 0.125}


def test_summary_shows_at_most_four_means(run, tmp_path):
    for number in range(4):
        evaluation_at(run, f"set{number}", 50, [("boxed", 0.5), ("unboxed", 0.5)])
    summary = section(write_report(run, tmp_path / "report.html"), "summary")
    assert summary.count(" classes — ") == 4
    assert "Only 4 of 8 means are shown" in summary


def test_classes_that_are_not_in_the_training_data_are_folded_and_in_no_mean(run, tmp_path):
    evaluation_at(run, "eval", 50, [("boxed", 0.5), ("untrained", 0.001), ("unboxed", 0.25), ("unboxed", None)])
    out = write_report(run, tmp_path / "report.html")
    precision, page = section(out, "precision"), out.read_text()
    assert "boxed in training: 1 class 50.0" in precision
    assert "never boxed, only labelled: 2 classes, 1 with truths here 25.0" in precision
    folded = page.index("<details><summary>not in the training data: 1 class</summary>")
    assert page.index("eval-2") < folded < page.index("eval-1")


def test_evaluation_without_groups_falls_back_to_boxed(run):
    evaluation_at(run, "eval", 50, [("boxed", 0.5), ("unboxed", 0.25)], with_group=False)
    (evaluation,) = read_inputs(run, [], None).evaluations
    assert [row["group"] for row in evaluation["classes"]] == ["boxed", "unboxed"]


def test_training_sets_count_as_such_even_when_they_were_evaluated(run, tmp_path):
    nodes = {"boxes": {"n2": 40}, "labels": {"n4": 7}}
    nodes["datasets"] = [{"path": "data/det", "images": 700, "has_boxes": True}, {"path": "cls/", "images": 300}]
    (run / "training_nodes.json").write_text(json.dumps(nodes))
    evaluation_at(run, "det", 50, [("boxed", 0.5)])
    evaluation_at(run, "eval", 50, [("boxed", 0.5)])
    summary = section(write_report(run, tmp_path / "report.html"), "summary")
    assert "1,000 training images in 2 datasets" in summary
    assert "det was trained on: its figures say nothing about new images." in summary
    assert summary.index("— eval ") < summary.index("— det ")


def test_a_cfg_with_bytes_that_are_no_utf8_is_shown():
    inputs = SimpleNamespace(config={"model": {"cfg": "# r\udce9seau, größe\n[net]\n"}})
    page = configuration_html(inputs)
    assert page.encode()
    assert "r\\udce9seau, größe" in page


@pytest.mark.parametrize(("steps", "short"), [(120, True), (300, False), (None, False), ("many", False)])
def test_short_run_is_said_to_be_one(run, tmp_path, steps, short):
    (run / "config.json").write_text(json.dumps({"name": "x", "train": {"steps": steps}}))
    summary = section(write_report(run, tmp_path / "report.html"), "summary")
    assert ("A short run of 120 steps: the figures mean little." in summary) == short


def test_story_calls_a_class_boxed_if_anything_below_it_had_boxes(run, tmp_path):
    nodes = {"boxes": {"n4": 40}, "labels": {"n2": 7, "n4": 5, "n3": 3}}
    (run / "training_nodes.json").write_text(json.dumps(nodes))
    summary = section(write_report(run, tmp_path / "report.html"), "summary")
    assert "1 class had boxes (40 of them) and 1 class had image labels alone (3 of them)" in summary


# Hits and misses, on the tree n1 > (n2 > (n4, n5), n3).

LEFT, RIGHT = Box(0.0, 0.0, 0.4, 0.4), Box(0.5, 0.5, 0.9, 0.9)


def said(wnid, box):
    return {"wnid": wnid, "box": list(box), "score": 0.5}


@pytest.mark.parametrize(
    ("wnid", "word"), [("n2", "right"), ("n4", "finer"), ("n1", "coarser"), ("n3", "wrong"), ("n99", "wrong")]
)
def test_detection_is_judged_by_its_place_in_the_tree(wnid, word):
    verdict = judge([said(wnid, LEFT)], [Truth(LEFT, "n2", "triangle", False)], TREE)
    assert verdict.counts() == {word: 1}


def test_second_detection_of_one_truth_is_false_and_a_free_truth_is_missed():
    truths = [Truth(LEFT, "n2", "triangle", False), Truth(RIGHT, "n3", "star", False)]
    verdict = judge([said("n2", LEFT), said("n2", LEFT)], truths, TREE)
    assert verdict.of_detections == ("right", "false")
    assert verdict.counts() == {"right": 1, "false": 1, "missed": 1}


def test_crowd_takes_many_detections_and_is_never_missed():
    truths = [Truth(LEFT, "n2", "triangle", True), Truth(RIGHT, "n3", "star", True)]
    assert judge([said("n2", LEFT), said("n2", LEFT)], truths, TREE).counts() == {"right": 2}


def test_half_overlap_counts_and_less_does_not():
    truth = [Truth(Box(0, 0, 0.4, 0.4), "n2", "triangle", False)]
    assert judge([said("n2", Box(0, 0, 0.4, 0.2001))], truth, TREE).counts() == {"right": 1}  # IoU 0.50025
    assert judge([said("n2", Box(0, 0, 0.4, 0.19))], truth, TREE).counts() == {"false": 1, "missed": 1}


def test_nothing_found_where_nothing_is_counts_nothing():
    assert judge([], [], TREE).counts() == {}
    assert judge([said("n2", LEFT)], [], TREE).counts() == {"false": 1}


# Plots.


def test_smoothing_keeps_constants_and_stays_within_the_values():
    assert smoothed([3.0] * 9, window=4) == pytest.approx([3] * 9)
    assert smoothed([4.0, 2.0], window=2) == pytest.approx([4, (0.5 * 4 + 2) / 1.5])
    noise = np.random.default_rng(0).normal(size=50).tolist()
    assert all(min(noise) <= value <= max(noise) for value in smoothed(noise, window=5))
    assert smoothed(noise, window=1) == pytest.approx(noise)


def test_ticks_are_round_numbers_inside_the_range():
    assert nice_ticks(0, 900, count=8) == [0, 200, 400, 600, 800]
    assert nice_ticks(0, 1) == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1])
    assert nice_ticks(0.02, 3, log=True) == pytest.approx([0.02, 0.05, 0.1, 0.2, 0.5, 1, 2])
    assert nice_ticks(5, 5) == [5]


@pytest.mark.parametrize(
    "values", [[], [0.0], [1.0], [1.0, 1.0], [0.0, 0.0, 3.0], [float("nan"), 2.0], [1e-9, 1e9], [-1.0, 2.0]]
)
@pytest.mark.parametrize("log", [True, False])
def test_any_numbers_can_be_plotted(values, log):
    svg = line_plot("p", {"a<b": list(enumerate(values))}, about="<x>", log=log)
    assert "nan" not in svg.replace("transparent", "")
    assert "a<b" not in svg
    assert "Nothing to plot" in svg or svg.count("<svg") == 1


def test_long_tails_of_any_length_can_be_plotted():
    for boxes, labels in (([], []), ([1], [0]), ([5, 1], [9]), (list(range(9000)), [3] * 9000)):
        assert tail_curve(boxes, labels, about="x").endswith("</svg>")
    assert "&lt;b&gt;" in tail_bars([("<b>", 3, 0), ("y", 0, 1)], about="x")


def test_json_in_a_script_cannot_end_it():
    assert "<" not in script_json({"a": "</script><!--"})
    assert json.loads(script_json({"a": "</script>\u2028"})) == {"a": "</script>\u2028"}


def test_a_single_logged_value_is_a_dot():
    svg = line_plot("p", {"one": [(30.0, 2.0)], "two": [(10.0, 1.0), (30.0, 4.0)]}, about="losses")
    assert svg.count("<circle") == 1
    assert 'cx="848.0"' in svg  # step 30 of 30, at the right edge
