"""A metric is one file: table, CSV, JSON, report and the choice of the best checkpoint follow from what it declares."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from types import SimpleNamespace

import pytest

import detector.metrics
from detector.evaluate import check_metrics
from detector.evaluation_table import csv_text, table
from detector.measure import Training, measure
from detector.report.evaluation_section import groups_html
from detector.training.evaluation import known_metrics
from schemas.errors import ConfigError
from tests.detector.metrics.test_metrics_measure import CAT, DOG, A, evidence

TOY = '''"""The share of detections that are sure."""

from detector.metrics.metric import Figure, Metric


def measure(evidence, rows):
    for row, klass in zip(rows, evidence.ids, strict=True):
        row["sure"] = float((evidence.found.score[evidence.found.klass == klass] > 0.5).mean())
    return {"limit": 0.5}


METRICS = (Metric("sureness", 9, (Figure("sure", "sure ones", "sure detections"),), measure, in_training=True),)
'''


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """The file among the metrics."""
    (tmp_path / "toy_sureness.py").write_text(TOY)
    monkeypatch.setattr(detector.metrics, "__path__", [*detector.metrics.__path__, str(tmp_path)])


def test_a_file_of_ones_own_is_a_metric_everywhere(toy):
    given = evidence([(0, 1, A), (1, 2, A)], [(0, 1, A, 0.9), (0, 1, A, 0.4), (1, 2, A, 0.8)], nodes={1: DOG, 2: CAT})
    found = measure(given, Training({"n2": 1}, {"n3": 1}), check_metrics("sureness"))
    assert [row["sure"] for row in found["classes"]] == [0.5, 1.0]
    assert (found["summary"]["sure"], found["summary"]["sure_boxed"], found["limit"]) == (0.75, 0.5, 0.5)
    result = {"dataset": "d", "images": 2, "step": 1, **found}
    assert "  sure ones                0.750   0.500   1.000       -   1.000" in table(result)
    assert [row["sure"] for row in csv.DictReader(io.StringIO(csv_text([result])))] == ["0.500000", "1.000000"]
    assert ">sure detections<" in groups_html(SimpleNamespace(evaluations=[result], run=Path("run")))
    assert {"sure", "sure_unboxed"} <= set(known_metrics("yolo9000"))


def test_without_the_file_nobody_knows_it():
    assert "sure" not in known_metrics("yolo9000")
    with pytest.raises(ConfigError, match="--metrics sureness: expected some of coco, voc07, "):
        check_metrics("sureness")
