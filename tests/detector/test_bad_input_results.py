"""Files of detections and of splits, and records, that do not say what they must."""

from __future__ import annotations

import json

import pytest

from detector.config import DataConfig
from detector.dataset import open_dataset
from detector.evaluate import evaluate_results, read_results
from detector.input import JointStream
from detector.metrics.groups import read_split
from schemas.errors import FormatError, InputError
from wordtree.command import main

GOOD = {"image_id": "1", "category_id": 1, "bbox": [1, 2, 3, 4], "score": 0.5}
WRONG = {
    '{"category_id": 1e999}': "category_id inf, ",
    '{"category_id": %s}' % ("9" * 30): "category_id 999",
    '{"category_id": 1.7}': "category_id 1.7",
    '{"category_id": "x"}': "category_id 'x', ",
    '{"bbox": [1, 2, 3, %s]}' % ("9" * 400): "bbox [1, 2, 3, 9999",
    '{"bbox": "1234"}': "bbox '1234'",
    '{"bbox": [1, 2, -3, 4]}': "width and height of at least 0",
    '{"bbox": [1, 2, NaN, 4]}': "expected four numbers",
    '{"bbox": [1, 2, 3, 4, 5]}': "expected four numbers",
    '{"bbox": ["1_0", 2, 3, 4]}': "bbox ['1_0', 2, 3, 4]",
    '{"score": "\u0663"}': "score",
    '{"bbox": null}': "bbox None",
    '{"score": Infinity}': "expected four numbers",
}


@pytest.mark.parametrize("change", WRONG)
def test_an_entry_that_is_wrong_is_named(change, tmp_path):
    path = tmp_path / "r.json"
    wrong = json.dumps(GOOD)[:-1] + ", " + change[1:]  # of two equal keys the last holds
    path.write_text(f"[{json.dumps(GOOD)}, {wrong}]")
    with pytest.raises(FormatError) as caught:
        read_results(path, {"1": 0})
    assert str(caught.value).startswith(f"--detections {path}, entry 1: ")
    assert WRONG[change] in str(caught.value)
    assert len(str(caught.value)) < 400 + len(str(path))


@pytest.mark.parametrize("text", ["", "[" * 100_000, "[%s]" % ("9" * 5000), "{}", "[1]"])
def test_what_is_no_list_of_results_is_refused(text, tmp_path):
    (tmp_path / "r.json").write_text(text)
    with pytest.raises(FormatError, match=r"^--detections .*r\.json"):
        read_results(tmp_path / "r.json", {"1": 0})


def test_results_of_other_categories_are_refused_and_not_scored_as_zero(fine_set, tmp_path, tree):
    (tmp_path / "r.json").write_text(json.dumps([GOOD | {"category_id": 77}]))
    for categories in ("class", "node"):
        with pytest.raises(FormatError, match=rf"no category_id is known, the first is 77.*{categories} right"):
            evaluate_results(tmp_path / "r.json", open_dataset(str(fine_set)), tree=tree, categories=categories)


@pytest.mark.parametrize("text", ['wnid,group\n"' + "x" * 200_000 + '",seen\n', "wnid,group\nn1\n", "", "x"])
def test_a_split_that_is_no_table_is_refused(text, tmp_path):
    (tmp_path / "s.csv").write_text(text)
    with pytest.raises(InputError, match=r"^--split .*s\.csv"):
        read_split(tmp_path / "s.csv")


@pytest.mark.parametrize("name", ["no/such.csv", "."])
def test_a_table_that_cannot_be_written_is_refused_before_the_evaluation(fine_set, tmp_path, capsys, name):
    (tmp_path / "r.json").write_text("[]")
    words = ["evaluate", str(fine_set), "--detections", str(tmp_path / "r.json"), "--csv", str(tmp_path / name)]
    assert main(words) == 2
    assert "expected a file in a directory that exists" in capsys.readouterr().err


def test_a_class_that_the_manifest_does_not_know_names_the_record(make_dataset, fine_set, tmp_path, tree):
    good = open_dataset(str(fine_set))
    record = good.record(0)
    bad = record._replace(boxes=tuple(box._replace(class_id=99) for box in record.boxes))
    path = make_dataset(tmp_path / "d", [bad], good.manifest.classes, has_boxes=True)
    stream = JointStream(
        [open_dataset(str(path))], tree, data=DataConfig(), augment=None, size=32, seed=0, log=lambda line: None
    )
    with pytest.raises(FormatError, match=r"record '.*': class id 99 is none of the manifest's classes; convert"):
        stream.example(0)
