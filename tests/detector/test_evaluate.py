"""Evaluation: pycocotools' published numbers, truths as detections, classes apart."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

from detector import scoring  # noqa: E402
from detector.config import ModelConfig  # noqa: E402
from detector.dataset import open_dataset  # noqa: E402
from detector.evaluate import evaluate  # noqa: E402
from detector.evaluation_table import table  # noqa: E402
from detector.metrics.metric import all_metrics  # noqa: E402
from detector.region.classes import FullClasses  # noqa: E402
from detector.scoring import Scorer  # noqa: E402
from detector.tree_softmax import tree_tables  # noqa: E402
from schemas.boxes import box_to_coco_xywh, pairwise_iou  # noqa: E402
from schemas.errors import ConfigError, FormatError, InputError  # noqa: E402


class Oracle:
    """A detector that reads the answer from the records, in order; `shift` moves each box, `blind` hides a class."""

    overlap = 0.45

    def __init__(self, records, nodes, *, shift=0.0, blind=()):
        self.records, self.nodes, self.shift, self.blind = iter(records), nodes, shift, blind

    def score_nodes(self, images, nodes, content=None):
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
        experiment=SimpleNamespace(model=ModelConfig(input_size=32)),
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
    for name in ("AP", "AP75", "AP_S", "AR_100"):
        assert (summary[f"{name}_boxed"], summary[f"{name}_unboxed"]) == (pytest.approx(1.0), 0.0)
    row = result["classes"][1]
    assert (row["label"], row["path"], row["boxed"], row["training_labels"]) == ("square", "figure > square", False, 7)
    text = table(result)
    assert text.index("boxed in training, 1 classes") < text.index("never boxed, only labelled, 1 classes")
    lines = [line.split() for line in text.splitlines()]
    assert lines[0][:4] == ["class", "AP", "AP50", "AP75"]
    groups = {line[0]: line[-3:] for line in lines if "classes" in line and line[0] in ("boxed", "never")}
    assert groups == {"boxed": ["1.000"] * 3, "never": ["0.000"] * 3}
    for name in ("AP (0.50:0.95)", "AP50", "AP75"):  # all, boxed, unboxed, near, far
        (found,) = (line for line in text.splitlines() if line.startswith(f"  {name} "))
        assert found.split()[-5:] == ["0.500", "1.000", "0.000", "-", "0.000"]


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


def test_the_records_are_the_truth_and_an_official_file_only_where_it_holds_the_same(tmp_path, fine_set, tree):
    dataset = open_dataset(str(fine_set))
    records = [dataset.record(row) for row in range(len(dataset))]
    file = tmp_path / "instances.json"
    instances = {
        "images": [{"id": int(record.image_id)} for record in records],
        "categories": [{"id": 1, "name": "disc"}, {"id": 2, "name": "square"}],
        "annotations": [
            {
                "id": number,
                "image_id": int(record.image_id),
                "category_id": record.boxes[0].class_id,
                "bbox": list(box_to_coco_xywh(record.boxes[0].box, height=record.height, width=record.width)),
                "area": 40.0,
            }
            for number, record in enumerate(records)
        ],
    }
    file.write_text(json.dumps(instances))
    found = evaluate(fake_run(tree, dataset), dataset, log=quiet)
    assert (found["ground_truth"], found["summary"]["AP_S"]) == ("records", pytest.approx(1.0))
    found = evaluate(fake_run(tree, dataset), dataset, log=quiet, official=str(file))
    assert (found["ground_truth"], found["summary"]["AP"]) == (str(file), pytest.approx(1.0))
    instances["annotations"][3]["bbox"][2] *= 0.3
    file.write_text(json.dumps(instances))
    with pytest.raises(
        FormatError, match=r"is not what .*fine holds: box 0 of image '3' is not in the file; annotation 3"
    ):
        evaluate(fake_run(tree, dataset), dataset, log=quiet, official=str(file))


def test_labels_alone_cannot_be_evaluated(label_set, tree):
    dataset = open_dataset(str(label_set))
    with pytest.raises(InputError, match="has image labels alone"):
        evaluate(SimpleNamespace(tree=tree), dataset)


class Seer:
    """A detector with `predict`: the record's box in slot 0, an empty one in slot 1; `names` says what it calls it."""

    overlap = 0.45

    def __init__(self, records, tree, names):
        self.records, self.tables, self.names, self.count = iter(records), tree_tables(tree), names, len(tree)

    def predict(self, images, training, content=None):
        def answers(images):
            boxes = np.zeros((len(images), 2, 4), np.float32)
            objectness = np.full((len(images), 2), -9.0, np.float32)
            logits = np.zeros((len(images), 2, self.count), np.float32)
            for row in range(len(images)):
                box = next(self.records).boxes[0]
                boxes[row, 0], objectness[row, 0] = box.box, 9.0
                for node in self.names[box.class_id]:
                    logits[row, 0, node] = 12.0
            return boxes, objectness, logits

        boxes, objectness, logits = tf.numpy_function(answers, [images], [tf.float32] * 3)
        logits = tf.ensure_shape(logits, [None, None, self.count])
        return SimpleNamespace(boxes=boxes, object_logits=objectness, classes=FullClasses(logits, self.tables))


def seen_by(tree, dataset, names, **options):
    run = fake_run(tree, dataset)
    run.detector = Seer([dataset.record(row) for row in range(len(dataset))], tree, names)
    return evaluate(run, dataset, log=quiet, batch_size=3, **options)


FIGURE, DISC, SQUARE = 0, 2, 3


def test_perfect_detector_is_perfect_by_every_metric(fine_set, tree):
    dataset = open_dataset(str(fine_set))
    result = seen_by(tree, dataset, {1: (FIGURE, DISC), 2: (FIGURE, SQUARE)}, metrics=tuple(all_metrics()))
    summary = result["summary"]
    for name in ("AP", "VOC07", "VOC10", "OpenImages", "recall1", "corloc", "recall100_unboxed", "corloc_unboxed"):
        assert summary[name] == pytest.approx(1.0), name
    assert (summary["hF"], summary["node_AP50"]) == (1.0, pytest.approx(1.0))
    assert summary["specificity_area"] == pytest.approx(1.0)
    assert result["errors"]["all"] == {"correct": 8, "localisation": 0, "similar": 0, "other": 0, "background": 0}
    assert result["ranked_by"] == "objectness"
    assert result["tree"]["names"]["unboxed"]["walk"]["rows"] == 4
    assert set(result["tree"]["precision"]["nodes"]) == {"n00000001", "n00000003", "n00000004"}


def test_right_box_with_a_wrong_name_is_found_and_half_right_in_the_tree(fine_set, tree):
    dataset = open_dataset(str(fine_set))
    result = seen_by(tree, dataset, {1: (FIGURE, SQUARE), 2: (FIGURE, SQUARE)})
    summary, disc = result["summary"], result["classes"][0]
    assert (disc["AP50"], disc["recall1"]) == (pytest.approx(0.0, abs=0.02), 1.0)
    assert disc["CorLoc"] == 0.0  # the empty box beside it is likelier a disc
    names = result["tree"]["names"]["all"]["walk"]
    assert (names["exact"], names["hP"], names["distance"]) == (0.5, 0.75, 1.0)
    assert [row["correct"] for row in names["by_depth"]] == [1.0, 0.5]
    assert result["tree"]["names"]["boxed"]["walk"]["exact"] == 0.0
    assert result["tree"]["precision"]["nodes"]["n00000001"] == pytest.approx(1.0)
    assert summary["recall100"] == 1.0
    assert "boxed" in table(result)


def test_only_the_metrics_that_were_asked_for_are_there(fine_set, tree):
    dataset = open_dataset(str(fine_set))
    result = seen_by(tree, dataset, {1: (FIGURE, DISC), 2: (FIGURE, SQUARE)}, metrics=("voc07",))
    assert result["metrics"] == ["voc07"]
    assert result["summary"]["VOC07_unboxed"] == pytest.approx(1.0)
    assert result["summary"]["AP50"] is None
    assert not {"recall1", "VOC10", "errors"} & set(result["classes"][0])
    assert "VOC07" in table(result)


def test_a_split_decides_the_groups(fine_set, tree):
    dataset = open_dataset(str(fine_set))
    run = fake_run(tree, dataset, blind=(2,))
    result = evaluate(
        run, dataset, log=quiet, split={"n00000003": "unseen_near", "n00000004": "unseen_far", "n9": "seen"}
    )
    assert [(row["group"], row["split"]) for row in result["classes"]] == [
        ("unboxed", "unseen_near"), ("unboxed", "unseen_far"),
    ]  # fmt: skip
    summary = result["summary"]
    assert (summary["AP50_unboxed_near"], summary["AP50_unboxed_far"], summary["AP50_boxed"]) == (
        pytest.approx(1.0), 0.0, None,
    )  # fmt: skip
    with pytest.raises(ConfigError, match=r"not 1 of the dataset's classes \(n00000004\)"):
        evaluate(fake_run(tree, dataset), dataset, log=quiet, split={"n00000003": "seen"})


def test_a_detector_is_compiled_once_however_often_it_is_evaluated(fine_set, tree):
    dataset = open_dataset(str(fine_set))
    run = fake_run(tree, dataset)
    run.detector.records = iter([*run.detector.records] * 2)
    traces = []
    answer = run.detector.score_nodes
    run.detector.score_nodes = lambda images, nodes, content: traces.append(1) or answer(images, nodes)
    first, second = (evaluate(run, dataset, log=quiet)["summary"] for _ in range(2))
    assert first == second
    assert len(traces) == 1


def test_suppression_keeps_what_a_slow_loop_keeps():
    rng = np.random.default_rng(0)
    low = rng.random((1, 40, 2)) * 0.6
    boxes = np.concatenate([low, low + 0.1 + rng.random((1, 40, 2)) * 0.3], axis=-1).astype(np.float32)
    scores = (rng.random((1, 40, 5)) * (rng.random((1, 40, 5)) < 0.5)).astype(np.float32)
    detector = SimpleNamespace(
        overlap=0.45, score_nodes=lambda images, nodes, content: (tf.constant(boxes), tf.constant(scores))
    )
    places = np.array([[1, 1, 0, 0]], np.float32)
    out = Scorer(detector, (0, 1, 2), (3, 4), False)(
        np.zeros((1, 8, 8, 3), np.float32), places, np.zeros((1, 0, 4), np.float32), np.zeros(1, np.int32)
    )

    def kept(values):
        rows = []
        for row in sorted(range(40), key=lambda k: -values[k]):
            if all(pairwise_iou(boxes[0, [row]], boxes[0, [k]])[0, 0] <= 0.45 for k in rows):
                rows.append(row)
        return rows

    for name, columns in (("", (0, 1, 2)), ("above_", (3, 4))):
        expected = [
            (float(scores[0, row, column]), number, tuple(boxes[0, row]))
            for number, column in enumerate(columns)
            for row in kept(scores[0, :, column])
            if scores[0, row, column] > 0.001
        ]
        count = int(out[f"{name}valid"][0])
        found = zip(out[f"{name}scores"][0], out[f"{name}classes"][0], out[f"{name}boxes"][0], strict=True)
        told = [(float(score), int(klass), tuple(box)) for score, klass, box in found][:count]
        assert told == sorted(expected, key=lambda row: -row[0])
    rows = kept(scores[0, :, :].max(axis=1))
    assert int(out["proposals_valid"][0]) == len(rows)
    np.testing.assert_array_equal(out["proposals"][0, : len(rows)], boxes[0, rows])
    np.testing.assert_array_equal(out["best_scores"][0], scores[0, :, :3].max(axis=0))


def test_an_image_has_as_many_detections_as_are_asked_for():
    boxes = np.array([[[0, k / 10, 0.5, k / 10 + 0.05] for k in range(9)]], np.float32)
    scores = np.linspace(0.9, 0.1, 9, dtype=np.float32)[None, :, None]
    detector = SimpleNamespace(
        overlap=0.45, score_nodes=lambda images, nodes, content: (tf.constant(boxes), tf.constant(scores))
    )
    images, places = np.zeros((1, 8, 8, 3), np.float32), np.array([[1, 1, 0, 0]], np.float32)
    out = Scorer(detector, (0,), (), False, 7)(images, places, np.zeros((1, 0, 4), np.float32), np.zeros(1, np.int32))
    assert int(out["valid"][0]) == 7
    np.testing.assert_array_equal(out["scores"][0, :7], scores[0, :7, 0])


def test_a_detector_on_lvis_data_has_three_hundred_places_an_image(make_dataset, tmp_path, fine_set, tree, monkeypatch):
    dataset = open_dataset(str(fine_set))
    records = [dataset.record(row)._replace(not_exhaustive=(1,)) for row in range(len(dataset))]
    path = make_dataset(tmp_path / "lvis", records, dataset.manifest.classes, has_boxes=True, source="coco")
    asked = []
    made = scoring.scorer_of
    monkeypatch.setattr(scoring, "scorer_of", lambda *words: asked.append(words[-1]) or made(*words))
    for folder, rules, most in ((path, "LVIS", 300), (fine_set, "COCO", 100)):
        dataset = open_dataset(str(folder))
        found = evaluate(fake_run(tree, dataset), dataset, log=quiet, metrics=("coco",))
        assert (found["rules"], found["summary"][f"AR_{most}"]) == (rules, pytest.approx(1.0))
    assert asked == [300, 100]


def test_an_empty_dataset_has_no_figures(make_dataset, tmp_path, fine_set, tree):
    path = make_dataset(tmp_path / "empty", [], open_dataset(str(fine_set)).manifest.classes, has_boxes=True)
    dataset = open_dataset(str(path))
    result = evaluate(fake_run(tree, dataset), dataset, log=quiet)
    assert (result["images"], result["summary"]["AP50"], result["summary"]["recall1"]) == (0, None, None)
    assert "without truths" in table(result)
