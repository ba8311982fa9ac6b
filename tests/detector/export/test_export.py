"""Exports, loaded again: the same boxes, names and scores as the run's detector on the same images."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import runpy
import subprocess
import sys
import textwrap
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

tf = pytest.importorskip("tensorflow")

import keras  # noqa: E402

from detector.architectures import build_detector  # noqa: E402
from detector.augment import letterbox, place_image, unplace_boxes  # noqa: E402
from detector.checkpoint import CheckpointInfo, save_checkpoint  # noqa: E402
from detector.cli_export import add_export  # noqa: E402
from detector.config import DecodeConfig, Experiment, ModelConfig  # noqa: E402
from detector.export import write  # noqa: E402
from detector.export.lite import LiteNetwork, open_lite  # noqa: E402
from detector.export.plan import FORMATS, ExportPlan  # noqa: E402
from detector.infer import detect  # noqa: E402
from detector.run import open_run, write_tree  # noqa: E402
from schemas.errors import ConfigError, FormatError, InputError, OutputError, TreeError  # noqa: E402
from tests.detector.architectures.test_another_architecture import Ssd, small  # noqa: E402
from wordtree.files import read_tree  # noqa: E402

pytestmark = pytest.mark.xdist_group("export")  # one worker, so that its run is exported once

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"
PRIORS = ((0.4, 0.4), (0.2, 0.3))
MODEL = ModelConfig(input_size=32, width=0.25, stages=3, output_stride=4, anchors=PRIORS)
OPTIONS = DecodeConfig(threshold=0.1, limit=40)
LITE = [name for name in FORMATS if name.startswith("tflite")]
# How far boxes (relative) and scores may be from the run's; integers are checked by what they find.
TOLERANCE = {"tflite": 1e-4, "tflite-float16": 5e-3}


def quiet(_line):
    pass


def write_run(path, tree, model=MODEL):
    """A run directory of a network with random weights that finds a lot."""
    keras.utils.set_random_seed(3)
    experiment = Experiment(name="test", model=model)
    detector = build_detector(experiment, tree)
    rng = np.random.default_rng(0)
    detector.head.class_bias.assign(rng.normal(size=(2, len(tree))) * 2)
    detector.head.box_bias.assign(np.tile([0, 0, 0, 0, -1.0], (2, 1)))
    for weight in detector.model.weights:
        if "moving_mean" in weight.path or weight.path.endswith("beta"):
            weight.assign(rng.normal(size=weight.shape) * 0.1)
    path.mkdir()
    (path / "config.json").write_text(experiment.to_json())
    (path / "training_nodes.json").write_text(json.dumps({"boxes": {"n00000001": 5}, "labels": {"n00000004": 7}}))
    write_tree(tree, path / "tree")
    named = {f"model/{weight.path}": weight for weight in detector.model.weights}
    save_checkpoint(path / "checkpoints", CheckpointInfo(3, 12, tree.digest(), len(tree)), named)
    return path


def photo(height, width, mode, kind, seed):
    """Noise with structure, encoded."""
    small = np.random.default_rng(seed).integers(0, 256, (6, 5, 3), np.uint8)
    buffer = BytesIO()
    Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC).convert(mode).save(buffer, kind)
    return buffer.getvalue()


PHOTOS = [
    photo(40, 40, "RGB", "PNG", 1),
    photo(90, 30, "RGB", "PNG", 2),
    photo(25, 120, "RGB", "JPEG", 3),
    photo(64, 48, "L", "PNG", 4),
]


@pytest.fixture(scope="module")
def run(tree, tmp_path_factory):
    return open_run(write_run(tmp_path_factory.mktemp("export") / "run", tree))


@pytest.fixture(scope="module")
def exported(run, fine_set, tmp_path_factory):
    """Everything at once, checked on the evaluation set."""
    out = tmp_path_factory.mktemp("exported") / "model"
    plan = ExportPlan(
        formats=tuple(FORMATS), options=OPTIONS, calibration=str(fine_set), check=(str(fine_set),), check_images=4
    )
    write.export(run, out, plan, log=quiet)
    return out


def slow_detections(run, encoded, options=OPTIONS):
    """`wordtree detect` step by step in NumPy: Pillow, letterbox, network, back on the image, cut to it."""
    image = Image.open(BytesIO(encoded)).convert("RGB")
    place = letterbox(image.height, image.width)
    size = run.experiment.model.input_size
    canvas = place_image(tf.constant(np.asarray(image)), tf.constant(np.array(place, np.float32)), size)
    found = run.detector.detect(canvas[None], options)
    keep = found.mask[0].numpy()
    boxes = np.clip(unplace_boxes(found.boxes[0].numpy()[keep], place), 0, 1)
    nodes, scores = found.nodes[0].numpy()[keep], found.scores[0].numpy()[keep]
    rest = (boxes[:, 2:] - boxes[:, :2] > 1e-6).all(axis=1)
    return boxes[rest], nodes[rest], scores[rest]


def test_directory_says_what_it_holds(exported, run, tree):
    about = json.loads((exported / "export.json").read_text())
    assert {entry["format"]: entry["path"] for entry in about["files"]} == FORMATS
    for entry in about["files"]:
        path = exported / entry["path"]
        if path.is_file():
            assert entry["bytes"] == path.stat().st_size
            assert entry["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert about["tree_digest"] == tree.digest() == read_tree(exported / "tree").digest()
    assert about["decode"]["threshold"] == OPTIONS.threshold
    assert about["step"] == 3
    assert about["experiment"]["model"]["input_size"] == 32
    np.testing.assert_allclose(about["priors"], np.array(PRIORS) * 8, atol=1e-6)
    assert {path.name for path in exported.iterdir()} == {"export.json", "tree", *FORMATS.values()}
    sizes = {entry["format"]: entry["bytes"] for entry in about["files"]}
    assert sizes["tflite"] > sizes["tflite-float16"] > sizes["tflite-int8"]


def test_check_measures_every_export_that_detects(exported):
    rows = {row["format"]: row for row in json.loads((exported / "export.json").read_text())["check"]}
    assert list(rows) == ["the run", "saved-model", *LITE]
    base = rows["the run"]
    assert base["images"] == 4
    assert base["exported"] > 10
    for name in ("saved-model", "tflite"):
        row = rows[name]
        assert row["detections"] == row["exported"] == row["matched"] == row["same_node"] == base["exported"]
        assert row["max_score_difference"] < 1e-5
        assert row["AP50"] == pytest.approx(base["AP50"], abs=1e-6)
    assert 1e-6 < rows["tflite-float16"]["mean_score_difference"] < 2e-3
    assert rows["tflite-float16"]["mean_score_difference"] < rows["tflite-int8"]["mean_score_difference"] < 0.05
    assert rows["tflite-int8"]["matched"] > 0.8 * base["exported"]


ALONE = textwrap.dedent(
    """
    import runpy
    import sys

    class Blocked:
        def find_spec(self, name, *rest):
            if name.split(".")[0] in ("wordtree", "detector", "schemas", "pipelines"):
                raise ImportError(name + " is not installed here")

    sys.meta_path.insert(0, Blocked())
    sys.argv = sys.argv[1:]
    runpy.run_path(sys.argv[0], run_name="__main__")
    assert not {"wordtree", "detector", "schemas"} & set(sys.modules)
    """
)


def test_plain_tensorflow_finds_from_encoded_images_what_the_run_finds(exported, run, tree, tmp_path):
    """The example of docs/export.md where WordTree is not installed."""
    names = []
    for number, encoded in enumerate(PHOTOS):
        names.append(str(tmp_path / f"{number}.image"))
        (tmp_path / f"{number}.image").write_bytes(encoded)
    command = [sys.executable, "-c", ALONE, str(EXAMPLES / "find_objects.py"), str(exported / "saved_model"), *names]
    environment = {**os.environ, "PYTHONPATH": ""}
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(rows) > 20
    for name, encoded in zip(names, PHOTOS, strict=True):
        boxes, nodes, scores = slow_detections(run, encoded)
        found = [row for row in rows if row["image"] == name]
        assert [row["wnid"] for row in found] == [tree.names[node] for node in nodes]
        assert [row["name"] for row in found] == [tree.display_names[node] for node in nodes]
        assert [row["path"] for row in found] == [tree.describe_path(int(node)) for node in nodes]
        np.testing.assert_allclose([row["box"] for row in found], boxes, atol=1.1e-5)
        np.testing.assert_allclose([row["score"] for row in found], scores, atol=1.1e-5)


@pytest.mark.filterwarnings("ignore::UserWarning")  # TensorFlow's own interpreter says that it will go
def test_the_lite_example_decodes_as_the_run_does(exported, run, tree, tmp_path, capsys):
    data = photo(32, 32, "RGB", "PNG", 9)
    (tmp_path / "photo.png").write_bytes(data)
    example = runpy.run_path(str(EXAMPLES / "find_objects_lite.py"))
    example["main"](str(exported), "model.tflite", [str(tmp_path / "photo.png")])
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    boxes, nodes, scores = slow_detections(run, data)
    assert len(rows) > 3
    assert [row["wnid"] for row in rows] == [tree.names[node] for node in nodes]
    np.testing.assert_allclose([row["box"] for row in rows], boxes, atol=1e-4)
    np.testing.assert_allclose([row["score"] for row in rows], scores, atol=1e-4)


def test_the_saved_model_finds_what_wordtree_detect_writes(exported, run, tmp_path):
    for number, encoded in enumerate(PHOTOS):
        (tmp_path / f"{number}.png").write_bytes(encoded)
    paths = [str(tmp_path / f"{number}.png") for number in range(len(PHOTOS))]
    written = detect(run, paths, tmp_path / "found", OPTIONS, formats=("json",), log=quiet)
    loaded = tf.saved_model.load(str(exported / "saved_model"))
    found = loaded.signatures["serving_default"](images=tf.constant(PHOTOS))
    for row, entry in enumerate(written["images"]):
        expected = entry["detections"]
        count = int(found["count"][row])
        assert count == len(expected) > 0
        assert not found["boxes"][row, count:].numpy().any()
        assert not found["scores"][row, count:].numpy().any()
        assert set(found["nodes"][row, count:].numpy()) <= {-1}
        assert set(found["wnids"][row, count:].numpy()) | set(found["paths"][row, count:].numpy()) <= {b""}
        assert [word.decode() for word in found["wnids"][row, :count].numpy()] == [one["wnid"] for one in expected]
        np.testing.assert_allclose(found["boxes"][row, :count], [one["box"] for one in expected], atol=1.1e-5)
        np.testing.assert_allclose(found["scores"][row, :count], [one["score"] for one in expected], atol=1.1e-6)


def test_the_other_signatures_take_letterboxed_pixels(exported, run):
    loaded = tf.saved_model.load(str(exported / "saved_model"))
    pixels = np.random.default_rng(5).random((3, 32, 32, 3)).astype(np.float32)
    expected = run.detector.detect(tf.constant(pixels), OPTIONS)
    found = loaded.signatures["pixels"](pixels=tf.constant(pixels))
    mask = expected.mask.numpy()
    np.testing.assert_array_equal(found["count"], mask.sum(axis=1))
    np.testing.assert_allclose(found["boxes"].numpy()[mask], expected.boxes.numpy()[mask], atol=1e-5)
    np.testing.assert_allclose(found["scores"], expected.scores, atol=1e-6)
    np.testing.assert_array_equal(found["nodes"].numpy()[mask], expected.nodes.numpy()[mask])

    boxes, scores = run.detector.score_nodes(tf.constant(pixels), np.array([3, 0]))
    given = loaded.signatures["scores"](pixels=tf.constant(pixels), nodes=tf.constant([3, 0]))
    np.testing.assert_allclose(given["boxes"], boxes, atol=1e-5)
    np.testing.assert_allclose(given["scores"], scores, atol=1e-6)


def test_the_tree_and_the_origin_travel_inside_the_saved_model(exported, tree):
    assets = exported / "saved_model/assets"
    assert {path.name for path in assets.iterdir()} == {"wordtree.tree", "wordtree.names", "metadata.json"}
    assert read_tree(assets / "wordtree.tree").digest() == tree.digest()
    about = json.loads((assets / "metadata.json").read_text())
    assert about["tree_digest"] == tree.digest()
    assert about["experiment"]["name"] == "test"
    assert about["decode"]["iou_threshold"] == OPTIONS.iou_threshold


@pytest.mark.parametrize("name", LITE)
def test_the_raw_head_of_a_tflite_file_is_the_networks(exported, run, name):
    """Features from Keras, the head from its weights by NumPy."""
    pixels = np.random.default_rng(6).random((2, 32, 32, 3)).astype(np.float32)
    features = np.asarray(run.detector.model(pixels, training=False)[1])
    head = run.detector.head
    box = np.einsum("bhwf,fae->bhwae", features, np.asarray(head.box_kernel)) + np.asarray(head.box_bias)
    classes = np.einsum("bhwf,anf->bhwan", features, np.asarray(head.class_kernel)) + np.asarray(head.class_bias)
    expected = {"xy": box[..., 0:2], "wh": box[..., 2:4], "object": box[..., 4], "classes": classes}
    network = LiteNetwork(exported / FORMATS[name])
    assert network.canvas == (32, 32)
    found = network.run(pixels)
    assert {key: value.shape for key, value in found.items()} == {key: v.shape for key, v in expected.items()}
    for key, value in expected.items():
        error = np.abs(found[key] - value)
        if name == "tflite-int8":  # of noise, which the calibration has not seen: the mean, as a share of the range
            assert error.mean() < 0.02 * np.ptp(value)
            if key == "object":  # a scale of its own: boxes beside it must not drown what is there
                probability = [1 / (1 + np.exp(-each)) for each in (found[key], value)]
                assert np.abs(probability[0] - probability[1]).mean() < 0.03
        else:
            assert error.max() < {"tflite": 1e-4, "tflite-float16": 1e-2}[name]
    assert network.run(pixels[:0])["classes"].shape == (0, *classes.shape[1:])


@pytest.mark.parametrize("name", list(TOLERANCE))
def test_a_tflite_file_is_decoded_as_the_run_is(exported, run, tree, name):
    detector = open_lite(exported, FORMATS[name])
    assert detector.tree == tree
    pixels = tf.constant(np.random.default_rng(7).random((2, 32, 32, 3)), tf.float32)
    expected, found = run.detector.predict(pixels, training=False), detector.predict(pixels)
    np.testing.assert_allclose(found.boxes, expected.boxes, atol=TOLERANCE[name])
    np.testing.assert_allclose(
        tf.sigmoid(found.object_logits), tf.sigmoid(expected.object_logits), atol=TOLERANCE[name]
    )
    for one, two in zip(detector.score_nodes(pixels, [1, 3]), run.detector.score_nodes(pixels, [1, 3]), strict=True):
        np.testing.assert_allclose(one, two, atol=TOLERANCE[name])
    if name == "tflite":
        for one, two in zip(detector.detect(pixels, OPTIONS), run.detector.detect(pixels, OPTIONS), strict=True):
            np.testing.assert_allclose(one, two, atol=1e-4)
    assert not hasattr(detector, "losses")  # a file cannot be trained


def test_the_integer_file_holds_integers_with_a_scale_for_each_channel(exported):
    from detector.export.lite_file import interpreter_of
    from detector.export.lite_model import quiet as no_chatter

    with no_chatter():
        details = interpreter_of(exported / FORMATS["tflite-int8"], 1).get_tensor_details()
    kinds = {detail["dtype"] for detail in details}
    assert np.float32 not in kinds
    assert np.int8 in kinds
    assert max(len(detail["quantization_parameters"]["scales"]) for detail in details) > 8


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_the_keras_file_gives_the_same_features(exported, run):
    loaded = keras.saving.load_model(exported / "model.keras")
    pixels = np.random.default_rng(8).random((1, 32, 32, 3)).astype(np.float32)
    for one, two in zip(loaded(pixels, training=False), run.detector.model(pixels, training=False), strict=True):
        np.testing.assert_array_equal(one, two)


def test_a_failure_leaves_nothing_behind_and_the_old_export_alone(run, tmp_path, monkeypatch):
    out = tmp_path / "model"
    plan = ExportPlan(formats=("keras",))
    write.export(run, out, plan, log=quiet)
    before = (out / "export.json").read_text()
    with pytest.raises(OutputError, match="exists already"):
        write.export(run, out, plan, log=quiet)

    def broken(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(write, "write_format", broken)
    with pytest.raises(KeyboardInterrupt):
        write.export(run, out, plan, force=True, log=quiet)
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    assert (out / "export.json").read_text() == before


def test_an_architecture_of_ones_own_is_saved_as_tensorflow_has_it_and_no_tflite(run, tree, tmp_path):
    experiment = small()
    own = replace(run, experiment=experiment, detector=Ssd(experiment, tree))
    with pytest.raises(ConfigError, match=r"--format tflite: .* TFLite is for YOLO9000 and Faster R-CNN"):
        write.export(own, tmp_path / "lite", ExportPlan(formats=("tflite",)), log=quiet)
    assert not list(tmp_path.iterdir())
    write.export(own, tmp_path / "model", ExportPlan(formats=("saved-model",)), log=quiet)
    images = tf.random.stateless_uniform([1, 64, 64, 3], [1, 2])
    found = tf.saved_model.load(str(tmp_path / "model" / "saved_model")).signatures["scores"]
    found = found(pixels=images, nodes=tf.range(len(tree)))
    boxes, scores = own.localizer.score_nodes(images, np.arange(len(tree)))
    np.testing.assert_allclose(found["boxes"], boxes, atol=1e-5)
    np.testing.assert_allclose(found["scores"], scores, atol=1e-6)


def test_reader_refuses_what_is_no_export(exported, tmp_path):
    with pytest.raises(InputError, match=r"no export\.json"):
        open_lite(tmp_path)
    with pytest.raises(InputError, match="no such file"):
        LiteNetwork(tmp_path / "model.tflite")
    (tmp_path / "model.tflite").write_bytes(b"no flatbuffer at all" * 10)
    with pytest.raises(FormatError, match="no readable TFLite file"):
        LiteNetwork(tmp_path / "model.tflite")
    about = json.loads((exported / "export.json").read_text())
    (tmp_path / "tree").symlink_to(exported / "tree")
    (tmp_path / "export.json").write_text(json.dumps(about | {"tree_digest": "0" * 64}))
    with pytest.raises(TreeError, match="exported with 000000000000"):
        open_lite(tmp_path)
    (tmp_path / "export.json").write_text("{}")
    with pytest.raises(FormatError, match="cannot be read"):
        open_lite(tmp_path)


def test_check_on_files_leaves_out_what_cannot_be_decoded(run, tmp_path):
    for number, encoded in enumerate([*PHOTOS[:2], b"plan: train"]):
        (tmp_path / f"{number}.png").write_bytes(encoded)
    said = []
    plan = ExportPlan(formats=("keras",), options=OPTIONS, check=(str(tmp_path / "*.png"),))
    about = write.export(run, tmp_path / "model", plan, log=said.append)
    found = [slow_detections(run, encoded) for encoded in PHOTOS[:2]]
    assert about["check"] == [{"format": "the run", "images": 2, "exported": sum(len(rows[2]) for rows in found)}]
    assert any(line.startswith("image 3 of --check cannot be decoded") for line in said)


def test_command_says_what_it_wrote(run, tmp_path, capsys):
    parser = argparse.ArgumentParser()
    add_export(parser.add_subparsers())
    words = ["export", str(run.path), "--out", str(tmp_path / "m"), "--format", "keras", "--threshold", "0.4"]
    args = parser.parse_args([*words, "--walk-rule", "map", "--nodes", "n00000003,n00000004", "--json"])
    assert args.run(args) == 0
    about = json.loads(capsys.readouterr().out)
    assert about["decode"] | {"walk": "map", "nodes": [2, 3], "threshold": 0.4} == about["decode"]
    assert json.loads((tmp_path / "m/export.json").read_text()) == about
    with pytest.raises(OutputError, match="exists already"):
        args.run(args)
    args = parser.parse_args(["export", str(run.path), "--out", str(tmp_path / "n"), "--threshold", "2"])
    with pytest.raises(ConfigError, match="threshold"):
        args.run(args)
