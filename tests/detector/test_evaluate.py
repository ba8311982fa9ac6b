"""Evaluation: pycocotools' published numbers, truths as detections, classes apart."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("tensorflow")

from detector import coco_metrics
from detector.dataset import open_dataset
from detector.evaluate import evaluate, table
from schemas.errors import FormatError, InputError
from schemas.manifest import SourceFile


class Oracle:
    """A detector that reads the answer from the records, in order; `shift` moves each box, `blind` hides a class."""

    def __init__(self, records, nodes, *, shift=0.0, blind=()):
        self.records, self.nodes, self.shift, self.blind = iter(records), nodes, shift, blind

    def score_nodes(self, images, nodes):
        import tensorflow as tf

        def answers(images, nodes):
            boxes, scores = (
                np.zeros((len(images), 2, 4), np.float32),
                np.zeros((len(images), 2, len(nodes)), np.float32),
            )
            for row in range(len(images)):
                box = next(self.records).boxes[0]
                boxes[row, 0] = np.array(box.box) + self.shift
                if box.class_id not in self.blind:
                    scores[row, 0, [int(n) for n in nodes].index(self.nodes[box.class_id])] = 0.9
            return boxes, scores

        return tf.numpy_function(answers, [images, nodes], [tf.float32, tf.float32])


def fake_run(tree, dataset, **options):
    records = [dataset.record(row) for row in range(len(dataset))]
    return SimpleNamespace(
        path="run",
        tree=tree,
        detector=Oracle(records, dataset.nodes(tree), **options),
        checkpoint=SimpleNamespace(step=1),
        experiment=SimpleNamespace(model=SimpleNamespace(input_size=32)),
        training_boxes={"n00000003": 5},
        training_labels={"n00000004": 7},
    )


def quiet(_line):
    pass


def test_truths_as_detections_score_one(fine_set, tree):
    dataset = open_dataset(str(fine_set))
    result = evaluate(fake_run(tree, dataset), dataset, log=quiet)
    assert result["summary"]["AP"] == pytest.approx(1.0)
    assert result["images"] == 8


def test_classes_with_and_without_boxes_are_shown_apart(fine_set, tree):
    dataset = open_dataset(str(fine_set))
    result = evaluate(fake_run(tree, dataset, blind=(2,)), dataset, log=quiet)
    summary = result["summary"]
    assert summary["AP50_boxed"] == pytest.approx(1.0)  # discs
    assert summary["AP50_unboxed"] == 0.0  # squares, never boxed, and never found here
    assert summary["AP50"] == pytest.approx(0.5)
    row = result["classes"][1]
    assert (row["label"], row["path"], row["boxed"], row["training_labels"]) == ("square", "figure > square", False, 7)
    text = table(result)
    assert text.index("boxed in training, 1 classes") < text.index("never boxed, only labelled, 1 classes")


def test_classes_without_any_training_data_are_a_group_of_their_own(fine_set, tree):
    dataset = open_dataset(str(fine_set))
    run = fake_run(tree, dataset)
    run.training_labels = {}
    result = evaluate(run, dataset, log=quiet)
    assert [row["group"] for row in result["classes"]] == ["boxed", "untrained"]
    assert result["summary"]["AP50_unboxed"] is None
    assert result["summary"]["classes_untrained"] == 1
    assert "not in the training data, 1 classes" in table(result)


def test_an_image_that_cannot_be_decoded_is_named(make_dataset, tmp_path, fine_set, tree):

    dataset = open_dataset(str(fine_set))
    bad = dataset.record(0)._replace(encoded=b"no image")
    path = make_dataset(tmp_path / "bad", [bad], dataset.manifest.classes, has_boxes=True)
    opened = open_dataset(str(path))
    with pytest.raises(FormatError, match=r"image '0' \(0.png\) cannot be decoded"):
        evaluate(fake_run(tree, opened), opened, log=quiet)


def test_boxes_half_off_score_nothing(fine_set, tree):
    dataset = open_dataset(str(fine_set))
    result = evaluate(fake_run(tree, dataset, shift=0.3), dataset, log=quiet)
    assert result["summary"]["AP50"] == 0.0


def test_the_official_annotation_file_is_the_truth_where_it_is_still_there(make_dataset, tmp_path, fine_set, tree):
    dataset = open_dataset(str(fine_set))
    records = [dataset.record(row) for row in range(len(dataset))]
    official = coco_metrics.ground_truth_from_records(records, [1, 2])
    for image, record in zip(official["images"], records, strict=True):
        image["id"] = int(record.image_id)
    for annotation in official["annotations"]:
        annotation["image_id"] = int(records[annotation["image_id"] - 1].image_id)
        annotation["bbox"][2] *= 0.3  # differs from the records on purpose
    file = tmp_path / "instances.json"
    file.write_text(json.dumps(official))
    source = SourceFile(path=str(file), bytes=0, sha256=hashlib.sha256(file.read_bytes()).hexdigest())
    path = make_dataset(
        tmp_path / "d", records, dataset.manifest.classes, has_boxes=True, source="coco", source_files=[source]
    )
    opened = open_dataset(str(path))
    found = evaluate(fake_run(tree, opened), opened, log=quiet)
    assert found["ground_truth"] == str(file)
    assert found["summary"]["AP50"] == 0.0
    file.write_text("{}")  # no longer what was converted: the records are the truth
    again = evaluate(fake_run(tree, opened), opened, log=quiet)
    assert again["ground_truth"] == "records"
    assert again["summary"]["AP50"] == pytest.approx(1.0)


def test_labels_alone_cannot_be_evaluated(label_set, tree):
    dataset = open_dataset(str(label_set))
    with pytest.raises(InputError, match="has image labels alone"):
        evaluate(SimpleNamespace(tree=tree), dataset)


def test_numbers_equal_pycocotools_own_summary(shared):
    folder = shared("data", "eval_reference")
    truth = json.loads((folder / "test_coco_eval/gts/sampled_gts_bbox_area.json").read_text())
    results = json.loads((folder / "test_coco_eval/cocoapi_results.json").read_text())
    ids = [image["id"] for image in truth["images"]]
    classes = [category["id"] for category in truth["categories"]]
    with contextlib.redirect_stdout(io.StringIO()):
        rows = coco_metrics.average_precision(truth, results, ids, classes)
    expected = json.loads((folder / "expected_pycocotools.json").read_text())
    found = [coco_metrics.mean_or_none([getattr(row, name) for row in rows]) for name in ("ap", "ap50", "ap75")]
    np.testing.assert_allclose(found, [expected["stats"][name] for name in ("AP", "AP50", "AP75")], atol=1e-6)
