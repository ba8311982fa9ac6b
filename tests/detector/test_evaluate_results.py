"""Files of detections, whole-image classes, and the command."""

from __future__ import annotations

import csv
import json
import os
import re
from types import SimpleNamespace

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

from detector import cli_evaluate  # noqa: E402
from detector.config import ModelConfig  # noqa: E402
from detector.dataset import open_dataset  # noqa: E402
from detector.evaluate import evaluate_results, image_names, read_results  # noqa: E402
from detector.evaluate_classes import evaluate_classes  # noqa: E402
from detector.evaluation_table import csv_text, notes, table  # noqa: E402
from detector.measure import Training  # noqa: E402
from schemas.boxes import box_to_coco_xywh  # noqa: E402
from schemas.errors import FormatError, InputError, OutputError  # noqa: E402
from schemas.manifest import ClassEntry  # noqa: E402
from tests.detector.coco_judge import TWELVE  # noqa: E402
from wordtree.command import main  # noqa: E402
from wordtree.tree_formats import names_text, tree_text  # noqa: E402


def results_of(dataset, category=lambda box: box.class_id, score=0.9):
    rows = []
    for number in range(len(dataset)):
        record = dataset.record(number)
        for box in record.boxes:
            xywh = box_to_coco_xywh(box.box, height=record.height, width=record.width)
            rows.append(
                {"image_id": int(record.image_id), "category_id": category(box), "bbox": list(xywh), "score": score}
            )
    return rows


@pytest.fixture
def results(fine_set, tmp_path):
    """The truths of the fine set as detections, as a file."""
    path = tmp_path / "results.json"
    path.write_text(json.dumps(results_of(open_dataset(str(fine_set)))))
    return path


def test_truths_as_detections_are_perfect_with_and_without_a_tree(results, fine_set, tree):
    dataset = open_dataset(str(fine_set))
    found = evaluate_results(results, dataset, tree=tree, training=Training({"n00000003": 1}, {"n00000004": 1}))
    for name in ("AP", "VOC07", "recall1", "corloc", "AP50_boxed", "AP50_unboxed", "hF", "node_AP50"):
        assert found["summary"][name] == pytest.approx(1.0), name
    assert found["tree"]["precision"]["nodes"]["n00000001"] == pytest.approx(1.0)  # "figure", from its kinds
    assert found["tree"]["names"]["all"].keys() == {"walk"}
    flat = evaluate_results(results, dataset)
    assert flat["summary"]["AP"] == pytest.approx(1.0)
    assert [row["path"] for row in flat["classes"]] == ["disc", "square"]
    assert {row["group"] for row in flat["classes"]} == {"untrained"}


def test_categories_may_be_nodes(fine_set, tree, tmp_path):
    dataset = open_dataset(str(fine_set))
    path = tmp_path / "nodes.json"
    rows = results_of(dataset, lambda box: {1: 2, 2: 3}[box.class_id])
    rows.append({**rows[0], "category_id": 0})  # "figure" is no class of this dataset
    path.write_text(json.dumps(rows))
    found = evaluate_results(path, dataset, tree=tree, categories="node")
    assert found["summary"]["AP"] == pytest.approx(1.0)
    assert evaluate_results(path, dataset, tree=tree)["summary"]["AP"] < 0.5


def test_images_are_known_by_their_id_or_by_a_file_name_that_only_one_has(fine_set):
    record = open_dataset(str(fine_set)).record(0)
    records = [
        record._replace(image_id=str(k), filename=name) for k, name in enumerate(("a/x.png", "b/x.png", "7.png"))
    ]
    assert image_names(records) == {"0": 0, "1": 1, "2": 2, "7.png": 2}


def test_results_may_name_files(fine_set, tmp_path):
    dataset = open_dataset(str(fine_set))
    rows = results_of(dataset)
    path = tmp_path / "results.json"
    path.write_text(json.dumps([row | {"image_id": f"photos/{row['image_id']}.png"} for row in rows]))
    assert evaluate_results(path, dataset)["summary"]["AP"] == pytest.approx(1.0)


def write(path, rows):
    path.write_text(json.dumps(rows))
    return path


def test_detections_that_the_dataset_cannot_know_are_counted_and_told(fine_set, tmp_path):
    dataset = open_dataset(str(fine_set))
    rows = results_of(dataset)
    rows += [{**rows[0], "image_id": name} for name in (77, "photos/none.png")] + [{**rows[0], "category_id": 8}]
    found = evaluate_results(write(tmp_path / "r.json", rows), dataset)
    assert found["summary"]["AP"] == pytest.approx(1.0)
    assert found["left_out"] == {"not_looked_for": 0, "unknown_images": 2, "unknown_classes": 1}
    assert notes(found) == [
        "2 detections on images that the dataset does not have are left out",
        "1 detections of classes that the dataset does not have are left out",
    ]
    assert main(["evaluate", str(fine_set), "--detections", str(tmp_path / "r.json"), "--metrics", "coco"]) == 0


def test_image_ids_may_be_written_as_floats_and_as_text(fine_set, tmp_path):
    dataset = open_dataset(str(fine_set))
    rows = [{**row, "image_id": (float, str)[n % 2](row["image_id"])} for n, row in enumerate(results_of(dataset))]
    assert evaluate_results(write(tmp_path / "r.json", rows), dataset)["summary"]["AP"] == pytest.approx(1.0)


def test_cocos_twelve_numbers_stand_in_summary_rows_table_and_csv(results, fine_set):
    found = evaluate_results(results, open_dataset(str(fine_set)), training=Training({"n00000003": 1}, {}))
    for name in TWELVE:
        assert found["summary"][name] == (None if name[3:] in "ML" and "_" in name else pytest.approx(1.0)), name
        assert name in found["classes"][0]
        assert f"{name}_boxed" in found["summary"]
    means = table(found).partition("means over classes")[2]
    for name in (*TWELVE[1:6], "AR@1 ", "AR@10 ", "AR@100 ", "AR_S"):
        assert f"  {name}" in means, name
    (first, _) = csv.DictReader(csv_text([found]).splitlines())
    assert [first[name] for name in ("AP_S", "AP_M", "AR_1", "AR_100", "AR_300")] == [
        "1.000000", "", "1.000000", "1.000000", "",
    ]  # fmt: skip


@pytest.fixture
def sources_own(make_dataset, fine_set, tmp_path):
    """The fine set as one whose source calls discs "d0" and squares "s0"; or 0 and 1; or whatever is given."""

    def made(ids):
        dataset = open_dataset(str(fine_set))
        records = [dataset.record(row) for row in range(len(dataset))]
        path = make_dataset(tmp_path / "own", records, dataset.manifest.classes, has_boxes=True, source="coco")
        names = zip(ids, ("disc", "square"), strict=True)
        (path / "source.json").write_text(json.dumps({"categories": [{"id": i, "name": name} for i, name in names]}))
        return open_dataset(str(path))

    return made


@pytest.mark.parametrize(("ids", "used"), [((0, 1), "source"), (("d0", "s0"), "source"), ((1, 2), "class")])
def test_categories_are_read_in_the_way_that_knows_more_of_them(sources_own, tmp_path, ids, used):
    dataset = sources_own(ids)
    rows = results_of(dataset, lambda box: ids[box.class_id - 1])
    found = evaluate_results(write(tmp_path / "r.json", rows), dataset)
    assert (found["categories"], found["summary"]["AP"]) == (used, pytest.approx(1.0))
    assert any("say which one it is" in line for line in notes(found)) == (ids != (1, 2))
    rows = [row for row in rows if row["category_id"] == ids[1]]
    found = evaluate_results(write(tmp_path / "r.json", rows), dataset, categories="source")
    assert [row["AP"] for row in found["classes"]] == [0.0, pytest.approx(1.0)]
    assert not notes(found)


def test_a_category_that_no_text_of_the_source_names_is_counted(sources_own, tmp_path):
    dataset = sources_own(("d0", "s0"))
    rows = results_of(dataset, lambda box: ("d0", "wolf")[box.class_id - 1])
    found = evaluate_results(write(tmp_path / "r.json", rows), dataset)
    assert [row["AP"] for row in found["classes"]] == [pytest.approx(1.0), 0.0]
    assert found["left_out"]["unknown_classes"] == 4


def instances_of(dataset):
    """The dataset as COCO instances with the ids that its source has."""
    rows = [{"id": n, "area": 9.0, **row} for n, row in enumerate(results_of(dataset))]
    categories = [{"id": entry.id, "name": entry.label} for entry in dataset.manifest.classes]
    return {"images": [{"id": int(i)} for i in dataset.image_ids], "annotations": rows, "categories": categories}


CHANGES = {
    "a box": (lambda c: c["annotations"][2]["bbox"].__setitem__(2, 3.0), "box 0 of image '2' is not in the file"),
    "a class": (lambda c: c["annotations"][2].update(category_id=1), "box 0 of image '2'"),
    "a class's name": (lambda c: c["categories"][0].update(name="ball"), "box 0 of image '1'"),
    "a crowd": (lambda c: c["annotations"][2].update(iscrowd=1), "annotation 2 of image '2' is not in the dataset"),
    "no box": (lambda c: c["annotations"].pop(2), "box 0 of image '2' is not in the file"),
    "a box more": (lambda c: c["annotations"].append({**c["annotations"][2], "id": 99}), "annotation 99 of image '2'"),
    "a box without numbers": (lambda c: c["annotations"][2].pop("bbox"), "annotation 2 of image '2'"),
    "an image less": (lambda c: c["images"].pop(2), "image '2' is not in the file"),
    "an image more": (lambda c: c["images"].append({"id": 50}), "image '50' is not in the dataset"),
    "an image twice": (lambda c: c["images"].append({"id": 2}), "image '2' stands twice"),
    "another image": (lambda c: c["annotations"][2].update(image_id=60), "annotation 2 is of image '60'"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_an_official_file_that_differs_is_refused_with_the_difference(name, results, fine_set, tmp_path):
    dataset, path = open_dataset(str(fine_set)), tmp_path / "official.json"
    content = instances_of(dataset)
    write(path, content)
    found = evaluate_results(results, dataset, official=str(path))
    assert (found["ground_truth"], found["summary"]["AP"]) == (str(path), pytest.approx(1.0))
    change, message = CHANGES[name]
    change(content)
    write(path, content)
    with pytest.raises(FormatError, match=f"^--official .* is not what .*fine holds: .*{message}"):
        evaluate_results(results, dataset, official=str(path))


def test_a_refusal_names_the_first_differences_and_counts_the_rest(results, fine_set, tmp_path):
    dataset, path = open_dataset(str(fine_set)), tmp_path / "official.json"
    content = instances_of(dataset)
    for entry in content["annotations"]:
        entry["bbox"][0] += 2
    with pytest.raises(FormatError) as caught:
        evaluate_results(results, dataset, official=str(write(path, content)))
    assert str(caught.value).count("is not in the") == 3
    assert "; and 13 more. Without --official" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [("{", "is no JSON"), ("[]", "has no list `images`"), ('{"images": [], "annotations": [3]}', "list `annotations`")],
)
def test_an_official_file_of_another_kind_is_refused(results, fine_set, tmp_path, text, message):
    path = tmp_path / "official.json"
    path.write_text(text)
    with pytest.raises(FormatError, match=message):
        evaluate_results(results, open_dataset(str(fine_set)), official=str(path))
    with pytest.raises(InputError, match="cannot be read"):
        evaluate_results(results, open_dataset(str(fine_set)), official=str(tmp_path / "none.json"))


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("{", FormatError, "is not JSON"),
        ('{"annotations": []}', FormatError, "holds no list"),
        ('[{"image_id": 0}]', FormatError, "entry 0: no category_id, bbox, score in {'image_id': 0}"),
        ("[3]", FormatError, "entry 0: found 3; expected"),
        ("[null]", FormatError, "entry 0: found None; expected"),
        (
            '[{"image_id": 0, "category_id": 1, "bbox": [1, 2, null, 4], "score": 1}]',
            FormatError,
            r"entry 0: image_id 0, category_id 1, bbox \[1, 2, None, 4\], score 1; expected",
        ),
        ('[{"image_id": 0, "category_id": 1, "bbox": [1, 2, 3], "score": 1}]', FormatError, "entry 0: bbox"),
        ('[{"image_id": 0, "category_id": 1, "bbox": [1, 2, 3, NaN], "score": 1}]', FormatError, "entry 0: bbox"),
        ('[{"image_id": 99, "category_id": 1, "bbox": [1, 2, 3, 4], "score": 1}]', FormatError, "image_id '99' is not"),
    ],
)
def test_damaged_results_are_refused_with_their_place(tmp_path, text, error, message):
    path = tmp_path / "results.json"
    path.write_text(text)
    with pytest.raises(error, match=message):
        read_results(path, {"0": 0, "1": 1})
    with pytest.raises(InputError, match="cannot be read"):
        read_results(tmp_path / "nowhere.json", {})


def test_command_on_a_file_of_detections(results, fine_set, tree, tmp_path, capsys):
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "wordtree.tree").write_text(tree_text(tree))
    (tmp_path / "tree" / "wordtree.names").write_text(names_text(tree))
    out, table = tmp_path / "out", tmp_path / "classes.csv"
    words = ["evaluate", str(fine_set), "--detections", str(results), "--tree", str(tmp_path / "tree")]
    assert main([*words, "--out", str(out), "--csv", str(table), "--metrics", "voc10,errors,recall"]) == 0
    shown = capsys.readouterr().out
    assert "correct 100 %" in shown
    assert f"written to {out / 'fine.json'}" in shown
    with open(table, newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["label"], float(row["VOC10"]), row["AP50"], row["correct"]) for row in rows] == [
        ("disc", 1.0, "", "4"), ("square", 1.0, "", "4"),
    ]  # fmt: skip
    assert json.loads((out / "fine.json").read_text())["summary"]["recall1"] == 1.0
    split = out / "fine.split.csv"
    assert split.read_text() == "wnid,group\nn00000003,unseen_far\nn00000004,unseen_far\n"
    split.write_text(split.read_text().replace("3,unseen_far", "3,seen"))
    assert main([*words, "--split", str(split), "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert [row["group"] for row in found["classes"]] == ["boxed", "unboxed"]
    assert sorted(path.name for path in out.iterdir()) == ["fine.json", "fine.split.csv"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["run"], "no DATASET given"),
        (["run", "a", "--tree", "t"], "--tree is for --detections without a RUN"),
        (["run", "a", "--metrics", "coco,nosuch"], "expected some of coco, voc07"),
        (["run", "a", "--metrics", ","], "expected some of coco, voc07"),
        (["a", "b", "--detections", "x.json"], "--detections belongs to one dataset; found 2"),
        (["a", "--detections", "x.json", "--categories", "node"], "--categories node needs a tree"),
        (["run", "x/a", "y/a"], "two datasets are called 'a'"),
        (["run", "a", "b", "--official", "f.json"], "--official belongs to one dataset; found 2"),
        (["run", "a", "--batch-size", "0"], "expected at least 1"),
        (["run", "a", "--split", "none.csv"], r"none\.csv cannot be read"),
    ],
)
def test_wrong_words_are_refused_in_one_line(words, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["evaluate", *words]) == 2
    error = capsys.readouterr().err
    assert len(error.strip().splitlines()) == 1
    assert re.search(message, error)


class Classifier:
    """Says what the record's label says, by `probs`: class id to absolute probabilities of the nodes."""

    def __init__(self, records, probs):
        self.records, self.probs = iter(records), probs

    def classify(self, images):
        def answers(images):
            return np.array([self.probs[next(self.records).labels[0].class_id] for _ in images], np.float32)

        return tf.ensure_shape(tf.numpy_function(answers, [images], tf.float32), [None, 4])


def test_whole_images_are_scored_over_the_classes_of_the_dataset(label_set, tree):
    dataset = open_dataset(str(label_set))
    records = [dataset.record(row) for row in range(len(dataset))]
    # figure, thing, disc, square: discs are named, squares are called discs, and both are figures for sure
    probs = {1: [0.9, 0.1, 0.8, 0.1], 2: [0.9, 0.1, 0.7, 0.2]}
    run = SimpleNamespace(
        path="run",
        tree=tree,
        detector=Classifier(records, probs),
        checkpoint=SimpleNamespace(step=3),
        experiment=SimpleNamespace(model=ModelConfig(input_size=32)),
        training_boxes={},
        training_labels={"n00000003": 5},
    )
    result = evaluate_classes(run, dataset, batch_size=7, log=lambda line: None)
    assert result["summary"]["top1"] == 0.5
    assert result["summary"]["top5"] == 1.0  # there are two classes
    assert [(row["top1"], row["truths"], row["group"]) for row in result["classes"]] == [
        (1.0, 10, "unboxed"), (0.0, 10, "untrained"),
    ]  # fmt: skip
    names = result["tree"]["names"]["all"]["walk"]
    assert (names["rows"], names["exact"]) == (20, 0.5)
    assert [row["correct"] for row in names["by_depth"]] == [1.0, 0.5]


def test_a_class_counts_as_boxed_for_classifiers_as_for_detectors(make_dataset, label_set, tree, tmp_path):
    coarse = (ClassEntry(id=1, label="figure", wnid="n00000001"), ClassEntry(id=2, label="thing", wnid="n00000002"))
    path = make_dataset(tmp_path / "coarse", [open_dataset(str(label_set)).record(0)], coarse, has_boxes=False)
    run = SimpleNamespace(
        path="run",
        tree=tree,
        detector=SimpleNamespace(classify=lambda images: tf.zeros([tf.shape(images)[0], 4]) + 0.25),
        checkpoint=SimpleNamespace(step=3),
        experiment=SimpleNamespace(model=ModelConfig(input_size=32)),
        training_boxes={"n00000003": 2},  # discs, which are figures
        training_labels={},
    )
    result = evaluate_classes(run, open_dataset(str(path)), log=lambda line: None)
    assert [(row["group"], row["boxed"]) for row in result["classes"]] == [("boxed", True), ("untrained", False)]


def test_images_without_a_present_label_have_no_classes(make_dataset, label_set, tree, tmp_path):
    dataset = open_dataset(str(label_set))
    record = dataset.record(0)._replace(labels=())
    path = make_dataset(tmp_path / "bare", [record], dataset.manifest.classes, has_boxes=False)
    run = SimpleNamespace(
        tree=tree,
        detector=SimpleNamespace(classify=lambda images: tf.zeros([tf.shape(images)[0], 4]) + 0.25),
        experiment=SimpleNamespace(model=ModelConfig(input_size=32)),
    )
    with pytest.raises(InputError, match="no image has a present label"):
        evaluate_classes(run, open_dataset(str(path)), log=lambda line: None)


def test_what_the_command_writes_is_whole(tmp_path):
    cli_evaluate._write_whole(tmp_path / "a.json", "text")
    assert os.listdir(tmp_path) == ["a.json"]
    with pytest.raises(OutputError, match="cannot be written"):
        cli_evaluate._write_whole(tmp_path / "none" / "a.json", "text")
