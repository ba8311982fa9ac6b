"""Images on the canvas in the graph: pixel by pixel what is drawn outside of it."""

from __future__ import annotations

import json
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

tf = pytest.importorskip("tensorflow")

import keras  # noqa: E402

from detector.api import Detections  # noqa: E402
from detector.architectures import build_detector  # noqa: E402
from detector.augment import letterbox, unplace_boxes  # noqa: E402
from detector.checkpoint import CheckpointInfo, save_checkpoint  # noqa: E402
from detector.config import DecodeConfig, Experiment, ModelConfig  # noqa: E402
from detector.content import cut_to_picture  # noqa: E402
from detector.export import images  # noqa: E402
from detector.export.lite_file import to_floats, to_integers  # noqa: E402
from detector.export.plan import ExportPlan  # noqa: E402
from detector.export.write import export  # noqa: E402
from detector.infer import canvas as plain  # noqa: E402
from detector.run import open_run, write_tree  # noqa: E402
from schemas.errors import ConfigError  # noqa: E402
from wordtree.probability import group_log_softmax, path_log_probs, walk  # noqa: E402

SIZES = [(40, 40), (90, 30), (25, 120), (7, 300), (64, 65), (1, 9), (333, 100)]
CANVASES = [(32, 32), (64, 96)]


def encoded(height, width, kind="PNG", mode="RGB"):
    pixels = np.random.default_rng(height * width).integers(0, 256, (height, width, 3), np.uint8)
    buffer = BytesIO()
    Image.fromarray(pixels).convert(mode).save(buffer, kind)
    return buffer.getvalue()


@pytest.mark.parametrize("fit", ["plain", "darknet"])
@pytest.mark.parametrize("canvas", CANVASES)
def test_the_canvas_is_that_of_wordtree_detect(canvas, fit):
    draw = tf.function(lambda data: images.draw(data, canvas, fit), input_signature=[tf.TensorSpec([], tf.string)])
    for height, width in SIZES:
        data = encoded(height, width)
        drawn, placement = draw(tf.constant(data))
        expected = plain.draw(np.asarray(Image.open(BytesIO(data))), canvas, fit)
        np.testing.assert_allclose(drawn, expected, atol=2e-6)
        np.testing.assert_allclose(placement, plain.placement(height, width, canvas, fit)[:4], rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("kind", "mode"), [("JPEG", "RGB"), ("JPEG", "L"), ("PNG", "RGBA"), ("BMP", "RGB"), ("GIF", "P")]
)
def test_formats_are_decoded_as_pillow_does(kind, mode):
    data = encoded(37, 53, kind, mode)
    drawn, _ = images.draw(tf.constant(data), (64, 64), "plain")
    expected = plain.draw(np.asarray(Image.open(BytesIO(data)).convert("RGB")), (64, 64), "plain")
    np.testing.assert_allclose(drawn, expected, atol=1e-6)


def test_letterbox_is_that_of_the_input_stream():
    for height, width in SIZES:
        for canvas in CANVASES:
            found = images.letterbox(tf.constant(height), tf.constant(width), canvas).numpy()
            assert found.tolist() == list(letterbox(height, width, canvas)[:4])


def test_boxes_back_on_the_image_are_cut_to_it_and_what_lies_in_the_bands_falls(tree):
    """A wide and a tall image. None falls for another, however near they come when they are cut."""
    rng = np.random.default_rng(11)
    corner, side = rng.random((2, 40, 2)) * 0.9, rng.random((2, 40, 2)) * 0.3
    boxes = np.concatenate([corner, np.minimum(corner + side, 1)], axis=2).astype(np.float32)
    nodes = rng.integers(0, len(tree), (2, 40)).astype(np.int32)
    scores = -np.sort(-rng.random((2, 40))).astype(np.float32)
    mask = np.arange(40) < np.array([[40], [25]])
    places = [letterbox(20, 80), letterbox(90, 45)]
    found = cut_to_picture(
        Detections(*(tf.constant(part) for part in (boxes, nodes, scores, mask))),
        tf.constant(np.array(places)[:, :4], tf.float64),
    )
    for row, place in enumerate(places):
        own = np.clip(unplace_boxes(boxes[row][mask[row]], place), 0, 1)
        rest = np.flatnonzero((own[:, 2:] > own[:, :2]).all(axis=1))
        assert 10 < len(rest) < mask[row].sum()
        np.testing.assert_array_equal(found.mask[row], np.arange(40) < len(rest))
        np.testing.assert_array_equal(found.nodes[row, : len(rest)], nodes[row][rest])
        np.testing.assert_allclose(found.boxes[row, : len(rest)], own[rest], atol=1e-6)
        np.testing.assert_array_equal(found.scores[row, : len(rest)], scores[row][rest])
        assert not found.boxes[row, len(rest) :].numpy().any()


@pytest.mark.parametrize(
    ("scale", "zero", "dtype"), [(1 / 255, -128, np.int8), (0.5, 3, np.int8), (0.1, 100, np.uint8)]
)
def test_integers_stand_for_scale_times_distance_from_zero_point(scale, zero, dtype):
    detail = {"dtype": dtype, "quantization": (scale, zero)}
    values = np.linspace(-60, 60, 41, dtype=np.float32)
    expected = [
        min(max(round(float(np.float32(v) / np.float32(scale))) + zero, np.iinfo(dtype).min), np.iinfo(dtype).max)
        for v in values
    ]
    got = to_integers(values, detail)
    assert got.dtype == dtype
    assert got.tolist() == expected
    np.testing.assert_allclose(to_floats(got, detail), (np.array(expected) - zero) * scale, rtol=1e-6)
    plain = {"dtype": np.float32, "quantization": (0.0, 0)}
    assert to_floats(to_integers(values, plain), plain) is values


@pytest.fixture(scope="module")
def classifier(tree, tmp_path_factory):
    """A run of a classifier with random weights."""
    keras.utils.set_random_seed(4)
    path = tmp_path_factory.mktemp("classifier") / "run"
    experiment = Experiment(
        name="c", model=ModelConfig(architecture="classifier", input_size=32, width=0.25, stages=3, output_stride=4)
    )
    network = build_detector(experiment, tree)
    for weight in network.model.weights:
        if weight.path.startswith("classes"):
            weight.assign(np.random.default_rng(1).normal(size=weight.shape) * 3)
    path.mkdir()
    (path / "config.json").write_text(experiment.to_json())
    (path / "training_nodes.json").write_text(json.dumps({"boxes": {}, "labels": {}}))
    write_tree(tree, path / "tree")
    named = {f"model/{weight.path}": weight for weight in network.model.weights}
    save_checkpoint(path / "checkpoints", CheckpointInfo(1, 1, tree.digest(), len(tree)), named)
    return open_run(path)


def test_a_classifier_names_whole_images(classifier, tree, tmp_path):
    options = DecodeConfig(walk_threshold=0.3)
    export(classifier, tmp_path / "model", ExportPlan(options=options), log=lambda line: None)
    loaded = tf.saved_model.load(str(tmp_path / "model/saved_model"))
    photos = [encoded(40, 40), encoded(90, 30), encoded(25, 120)]
    found = loaded.signatures["serving_default"](images=tf.constant(photos))
    canvases = np.stack([plain.draw(np.asarray(Image.open(BytesIO(p))), (32, 32), "plain") for p in photos])
    probabilities = loaded.signatures["pixels"](pixels=tf.constant(canvases))["probabilities"].numpy()
    logits = np.asarray(classifier.detector.model(canvases, training=False), np.float64)
    for row in range(len(photos)):
        expected = np.exp(path_log_probs(group_log_softmax(logits[row], tree), tree))
        np.testing.assert_allclose(probabilities[row], expected, atol=1e-6)
        node = int(walk(expected, tree, 0.3)[0])
        assert found["nodes"].numpy()[row].tolist() == [node]
        assert found["wnids"].numpy()[row, 0].decode() == tree.names[node]
        assert found["paths"].numpy()[row, 0].decode() == tree.describe_path(node)
        np.testing.assert_allclose(found["scores"][row, 0], probabilities[row, node], atol=1e-6)


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        (ExportPlan(formats=("tflite",)), "--format tflite is for detectors"),
        (ExportPlan(check=("x",)), "--check is for"),
    ],
)
def test_what_a_classifier_cannot_be_is_refused(classifier, tmp_path, plan, message):
    with pytest.raises(ConfigError, match=message):
        export(classifier, tmp_path / "model", plan, log=lambda line: None)
    assert not list(tmp_path.iterdir())
