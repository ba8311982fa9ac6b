"""What an export lost, counted by hand."""

from __future__ import annotations

import numpy as np
import pytest

from detector.export.compare import Found, check_table, compare, match
from detector.export.plan import ExportPlan, check_plan, refuse_existing, spread
from schemas.errors import ConfigError, OutputError


def found(*rows):
    """(ymin, xmin, ymax, xmax, node, score) each."""
    table = np.array(rows, np.float64).reshape(-1, 6)
    return Found(table[:, :4].astype(np.float32), table[:, 4].astype(np.int32), table[:, 5].astype(np.float32))


LEFT, RIGHT = (0, 0, 1, 0.5), (0, 0.5, 1, 1)


def test_each_box_takes_the_nearest_free_one_and_the_best_score_chooses_first():
    reference = found((*LEFT, 1, 0.5), (0, 0, 1, 0.4, 1, 0.9))
    other = found((0, 0, 1, 0.42, 1, 0.8), (0, 0, 1, 0.3, 1, 0.7))
    # the second of the reference chooses first; what is left overlaps the first by 0.3 / 0.5
    assert [(row, column) for row, column, _ in match(reference, other)] == [(1, 0), (0, 1)]
    assert [overlap for *_, overlap in match(reference, other)] == pytest.approx([0.4 / 0.42, 0.3 / 0.5])


def test_less_than_half_is_no_match_and_one_box_matches_once():
    assert match(found((*LEFT, 1, 0.5)), found((0, 0, 1, 0.24, 1, 0.5))) == []
    twice = found((*LEFT, 1, 0.5), (*LEFT, 1, 0.4))
    assert [(row, column) for row, column, _ in match(twice, found((*LEFT, 1, 0.5)))] == [(0, 0)]
    assert match(found(), found()) == match(twice, found()) == match(found(), twice) == []


def test_of_several_names_of_one_box_the_same_name_is_taken():
    assert [pair[:2] for pair in match(found((*LEFT, 2, 0.5)), found((*LEFT, 1, 0.6), (*LEFT, 2, 0.4)))] == [(0, 1)]


def test_compare_counts_names_and_scores_over_all_images():
    reference = [found((*LEFT, 1, 0.5), (*RIGHT, 2, 0.4)), found(), found((*LEFT, 3, 0.3))]
    other = [found((*LEFT, 1, 0.4), (*RIGHT, 3, 0.1)), found((*LEFT, 1, 0.2)), found((*RIGHT, 3, 0.3))]
    difference = compare(reference, other)
    assert difference[:5] == (3, 3, 4, 2, 1)
    assert difference.mean_iou == pytest.approx(1)
    assert difference.mean_score_difference == difference.max_score_difference == pytest.approx(0.1)


def test_nothing_found_has_no_means():
    assert compare([found()], [found()]) == (1, 0, 0, 0, 0, None, None, None)
    assert compare([], []).images == 0


def test_table_shows_what_is_there():
    rows = [
        {"format": "the run", "images": 3, "exported": 3, "AP50": 0.5, "AP50_unboxed": None},
        {
            "format": "tflite",
            "bytes": 1_230_000,
            **compare([found((*LEFT, 1, 0.5))], [found((*LEFT, 1, 0.25))])._asdict(),
        },
    ]
    lines = [line.split() for line in check_table(rows).splitlines()]
    assert lines[1] == ["the", "run", "-", "0.500", "-", "3", "-", "-", "-", "-", "-"]
    assert lines[2] == ["tflite", "1.23", "-", "-", "1", "1/1", "1/1", "1.000", "0.25000", "0.25000"]


@pytest.mark.parametrize(
    ("count", "wanted", "rows"), [(5, 0, [0, 1, 2, 3, 4]), (3, 9, [0, 1, 2]), (10, 4, [0, 2, 5, 7])]
)
def test_spread_is_even_and_without_repeats(count, wanted, rows):
    assert spread(count, wanted) == rows


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"formats": ("onnx",)}, "no format 'onnx'; there are saved-model, tflite"),
        ({"formats": ("tflite", "tflite")}, "each format once"),
        ({"formats": ()}, "each format once"),
        ({"formats": ("tflite-int8",)}, "--calibration"),
        ({"formats": ("tflite-int8",), "calibration": "d", "calibration_images": 0}, "at least 1"),
        ({"check_images": -1}, "at least 0"),
    ],
)
def test_a_plan_that_cannot_be_is_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        check_plan(ExportPlan(**options))


def test_only_an_export_is_replaced_and_only_when_asked(tmp_path):
    refuse_existing(tmp_path / "new", force=False)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.tex").write_text("")
    with pytest.raises(OutputError, match="exists already"):
        refuse_existing(tmp_path / "mine", force=False)
    with pytest.raises(OutputError, match="holds no export"):
        refuse_existing(tmp_path / "mine", force=True)
    with pytest.raises(OutputError, match="holds no export"):
        refuse_existing(tmp_path / "mine/thesis.tex", force=True)
    (tmp_path / "mine/export.json").write_text("{}")
    refuse_existing(tmp_path / "mine", force=True)
