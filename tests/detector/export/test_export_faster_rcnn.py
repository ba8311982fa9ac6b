"""Exports of Faster R-CNN, loaded again: the same boxes, names and scores as the run's on the same images."""

from __future__ import annotations

import json
from dataclasses import replace

import keras
import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

from detector.architectures import build_detector  # noqa: E402
from detector.checkpoint import CheckpointInfo, save_checkpoint  # noqa: E402
from detector.config import DecodeConfig, Experiment, ModelConfig, TwoStageConfig  # noqa: E402
from detector.export import write  # noqa: E402
from detector.export.lite import open_lite  # noqa: E402
from detector.export.lite_two_stage import OUTPUTS, LiteTwoStage  # noqa: E402
from detector.export.loaded import LoadedModel  # noqa: E402
from detector.export.plan import FORMATS, ExportPlan  # noqa: E402
from detector.infer import detect  # noqa: E402
from detector.run import open_run, with_proposals, write_tree  # noqa: E402
from detector.scoring import Scorer  # noqa: E402
from schemas.boxes import pairwise_iou  # noqa: E402
from schemas.errors import FormatError, InputError  # noqa: E402
from tests.detector.export.test_export import PHOTOS, quiet  # noqa: E402

MODEL = ModelConfig(
    architecture="faster_rcnn",
    input_size=48,
    input_height=32,
    width=0.125,
    stages=5,
    output_stride=8,
    anchors=((0.3, 0.4), (0.2, 0.3)),
    num_anchors=2,
)
pytestmark = pytest.mark.xdist_group("export of faster_rcnn")  # one worker, so that its run is exported once

SETTINGS = TwoStageConfig(cut=8, rpn_width=16, proposals=12, candidates=48, crop=4)
OPTIONS = DecodeConfig(threshold=0.1, limit=10, iou_threshold=0.6)
LITE = [name for name in FORMATS if name.startswith("tflite")]


def write_run(path, tree, two_stage=SETTINGS):
    """A run of a network with random weights that finds a lot, also beside the picture."""
    keras.utils.set_random_seed(5)
    experiment = Experiment(name="test", model=MODEL, two_stage=two_stage)
    detector = build_detector(experiment, tree)
    rng = np.random.default_rng(0)
    for weight in detector.model.weights:
        if "moving_mean" in weight.path or weight.path.endswith("beta"):
            weight.assign(rng.normal(size=weight.shape) * 0.1)
        elif weight.path in ("rpn/kernel", "rpn/conv/kernel"):
            weight.assign(rng.normal(size=weight.shape) * 0.15)
    detector.head.class_bias.assign(rng.normal(size=(1, len(tree))) * 2)
    path.mkdir()
    (path / "config.json").write_text(experiment.to_json())
    (path / "training_nodes.json").write_text(json.dumps({"boxes": {"n00000001": 5}, "labels": {}}))
    write_tree(tree, path / "tree")
    named = {f"model/{weight.path}": weight for weight in detector.model.weights}
    save_checkpoint(path / "checkpoints", CheckpointInfo(3, 12, tree.digest(), len(tree)), named)
    return path


@pytest.fixture(scope="module")
def run(tree, tmp_path_factory):
    return open_run(write_run(tmp_path_factory.mktemp("two") / "run", tree))


@pytest.fixture(scope="module")
def exported(run, fine_set, tmp_path_factory):
    out = tmp_path_factory.mktemp("exported") / "model"
    plan = ExportPlan(
        formats=tuple(FORMATS), options=OPTIONS, calibration=str(fine_set), check=(str(fine_set),), check_images=4
    )
    write.export(run, out, plan, log=quiet)
    return out


def canvases(count=2, seed=5):
    """Pictures in the middle of their canvas, and where they lie."""
    images = np.full((count, 32, 48, 3), 0.5, np.float32)
    images[:, :, 8:40] = np.random.default_rng(seed).random((count, 32, 32, 3))
    return tf.constant(images), tf.constant([[0.0, 8 / 48, 1.0, 40 / 48]] * count, tf.float32)


def test_the_saved_model_finds_what_wordtree_detect_writes(exported, run, tmp_path):
    for number, encoded in enumerate(PHOTOS):
        (tmp_path / f"{number}.png").write_bytes(encoded)
    paths = [str(tmp_path / f"{number}.png") for number in range(len(PHOTOS))]
    written = detect(run, paths, tmp_path / "found", OPTIONS, formats=("json",), log=quiet)
    loaded = tf.saved_model.load(str(exported / "saved_model"))
    found = loaded.signatures["serving_default"](images=tf.constant(PHOTOS))
    for row, entry in enumerate(written["images"]):
        expected, count = entry["detections"], int(found["count"][row])
        assert count == len(expected) > 0
        assert [word.decode() for word in found["wnids"][row, :count].numpy()] == [one["wnid"] for one in expected]
        np.testing.assert_allclose(found["boxes"][row, :count], [one["box"] for one in expected], atol=2e-5)
        np.testing.assert_allclose(found["scores"][row, :count], [one["score"] for one in expected], atol=1e-4)


def test_its_other_signatures_are_told_where_the_picture_lies(exported, run):
    loaded, (pixels, content) = tf.saved_model.load(str(exported / "saved_model")), canvases()
    everywhere = tf.constant([[0.0, 0.0, 1.0, 1.0]] * 2)
    differ = []
    for where in (content, everywhere):
        expected = run.detector.detect(pixels, OPTIONS, where)
        found = loaded.signatures["pixels"](pixels=pixels, content=where)
        mask = expected.mask.numpy()
        np.testing.assert_array_equal(found["count"], mask.sum(axis=1))
        np.testing.assert_allclose(found["boxes"].numpy()[mask], expected.boxes.numpy()[mask], atol=1e-5)
        np.testing.assert_array_equal(found["nodes"].numpy()[mask], expected.nodes.numpy()[mask])
        boxes, scores = run.detector.score_nodes(pixels, np.array([3, 0]), where)
        given = loaded.signatures["scores"](pixels=pixels, nodes=tf.constant([3, 0]), content=where)
        np.testing.assert_allclose(given["boxes"], boxes, atol=1e-5)
        np.testing.assert_allclose(given["scores"], scores, atol=1e-5)
        differ.append(boxes.numpy())
    assert np.abs(differ[0] - differ[1]).max() > 0.01


@pytest.mark.parametrize("name", LITE)
def test_a_tflite_file_is_decoded_as_the_run_is(exported, run, tree, name):
    detector, (pixels, content) = open_lite(exported, FORMATS[name]), canvases()
    assert detector.tree == tree
    assert detector.canvas == (32, 48)
    expected = run.detector.predict(pixels, training=False, content=content)
    found = detector.predict(pixels, content=content)
    if name == "tflite-int8":  # other proposals may come first: most of the boxes are there
        for one, two in zip(found.boxes.numpy(), expected.boxes.numpy(), strict=True):
            assert np.mean(pairwise_iou(two, one).max(axis=1) > 0.8) > 0.7
    else:
        close = {"tflite": 1e-4, "tflite-float16": 1e-2}[name]
        np.testing.assert_allclose(found.boxes, expected.boxes, atol=close)
        np.testing.assert_allclose(tf.sigmoid(found.object_logits), tf.sigmoid(expected.object_logits), atol=close)
        for one, two in zip(
            detector.score_nodes(pixels, [1, 3], content),
            run.detector.score_nodes(pixels, [1, 3], content),
            strict=True,
        ):
            np.testing.assert_allclose(one, two, atol=close)
    if name == "tflite":
        for one, two in zip(
            detector.detect(pixels, OPTIONS, content), run.detector.detect(pixels, OPTIONS, content), strict=True
        ):
            np.testing.assert_allclose(one, two, atol=1e-4)
    assert not hasattr(detector, "losses")  # a file cannot be trained


@pytest.mark.parametrize("name", LITE)
def test_the_first_stage_of_a_tflite_file_is_the_networks(exported, run, name):
    pixels, _ = canvases()
    entries, features = (value.numpy() for value in run.detector.first(pixels, training=False))
    expected = {"xy": entries[..., 0:2], "wh": entries[..., 2:4], "object": entries[..., 4], "features": features}
    network = open_lite(exported, FORMATS[name]).first
    found = network.run(pixels.numpy())
    assert set(found) == set(OUTPUTS["first_stage"])
    for key, value in expected.items():
        assert found[key].shape == value.shape
        error = np.abs(found[key] - value)
        if name == "tflite-int8":
            assert error.mean() < 0.04 * np.ptp(value), key  # of noise, which the calibration has not seen
        else:
            assert error.max() < {"tflite": 1e-4, "tflite-float16": 2e-2}[name], key
    assert network.run(pixels.numpy()[:0])["object"].shape == (0, 4, 6, 2)


def test_the_integer_file_holds_integers(exported):
    from detector.export.lite_file import open_interpreter

    details = open_interpreter(exported / FORMATS["tflite-int8"], 1).get_tensor_details()
    kinds = {detail["dtype"] for detail in details}
    assert np.float32 not in kinds
    assert np.int8 in kinds


def test_exports_are_evaluated_at_the_overlap_of_the_run(exported, run):
    """What the evaluator keeps of crowded boxes is the same: it suppresses at two_stage.final_iou for all of them."""
    others = [LoadedModel(exported / FORMATS["saved-model"], run.detector.overlap), open_lite(exported)]
    pixels, _ = canvases()
    places = np.array([[1, 1, 0, 0]] * len(pixels), np.float32)
    truths, counts = np.zeros((len(pixels), 1, 4), np.float32), np.zeros(len(pixels), np.int32)
    rows = [Scorer(detector, (0, 1), (), False)(pixels, places, truths, counts) for detector in (run.detector, *others)]
    for found in rows[1:]:
        np.testing.assert_array_equal(found["valid"], rows[0]["valid"])
        np.testing.assert_allclose(found["boxes"], rows[0]["boxes"], atol=1e-4)
    looser = Scorer(run.detector, (0, 1), (), False)
    looser.overlap = 0.3
    assert (looser(pixels, places, truths, counts)["valid"] < rows[0]["valid"]).any()  # so the overlap matters here


def test_the_check_says_what_was_lost(exported):
    rows = {row["format"]: row for row in json.loads((exported / "export.json").read_text())["check"]}
    assert set(rows) == {"the run", "saved-model", *LITE}
    for name in ("saved-model", "tflite"):
        row = rows[name]
        assert row["matched"] == row["same_node"] == row["exported"] == rows["the run"]["exported"] > 0
        assert row["mean_iou"] > 0.999
        assert row["AP50"] == pytest.approx(rows["the run"]["AP50"], abs=1e-6)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_the_keras_file_is_the_same_network(exported, run):
    loaded = keras.saving.load_model(exported / "model.keras")
    pixels, _ = canvases()
    expected = run.detector.model(pixels, training=False)
    for one, two in zip(loaded(pixels, training=False), expected, strict=True):
        np.testing.assert_allclose(one, two, atol=1e-5)


def test_proposals_are_fixed_at_export_and_dense_layers_are_exported_too(tree, fine_set, tmp_path):
    settings = replace(SETTINGS, second_stage="dense", head_width=16, classes="sigmoid", crop_method="matmul")
    run = with_proposals(open_run(write_run(tmp_path / "run", tree, settings)), 5)
    about = write.export(run, tmp_path / "model", ExportPlan(formats=("tflite", "keras")), log=quiet)
    assert about["experiment"]["two_stage"]["proposals"] == 5
    detector, (pixels, content) = open_lite(tmp_path / "model"), canvases()
    assert isinstance(detector, LiteTwoStage)
    assert detector.second.shape[0] == 5
    found, expected = (one.predict(pixels, training=False, content=content) for one in (detector, run.detector))
    assert found.boxes.shape == (2, 5, 4)
    np.testing.assert_allclose(found.boxes, expected.boxes, atol=1e-4)
    nodes = tf.constant([[0, 3]] * 2)
    np.testing.assert_allclose(found.classes.path_log_probs(nodes), expected.classes.path_log_probs(nodes), atol=1e-4)


def test_the_reader_refuses_what_is_of_another_kind(exported, run, tmp_path):
    with pytest.raises(InputError, match="no such file"):
        open_lite(exported, "other.tflite")
    about = json.loads((exported / "export.json").read_text())
    about["experiment"]["model"]["architecture"] = "yolo9000"
    for name in ("tree", "model.tflite"):
        (tmp_path / name).symlink_to(exported / name)
    (tmp_path / "export.json").write_text(json.dumps(about))
    with pytest.raises(FormatError, match=r"found first_stage with outputs .*; second_stage .*; expected serving_defa"):
        open_lite(tmp_path)
