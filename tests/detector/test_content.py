"""Where the picture lies on its canvas: sizes of the 600/1024 rule, content, anchors and proposals in the padding."""

from __future__ import annotations

from io import BytesIO
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

tf = pytest.importorskip("tensorflow")

from detector.api import Detections  # noqa: E402
from detector.augment import HashDraws, content_box, letterbox, place_image, sample_placement  # noqa: E402
from detector.augment.placement import Placement  # noqa: E402
from detector.config import AugmentConfig, DecodeConfig, ModelConfig, load_config  # noqa: E402
from detector.content import clip_to_content, content_of, trainable_anchors  # noqa: E402
from detector.export import images  # noqa: E402
from detector.export.loaded import finder_of  # noqa: E402
from detector.export.serving import ServedDetector  # noqa: E402
from detector.infer.canvas import draw, fit_of, placement  # noqa: E402
from detector.infer.predictor import Predictor  # noqa: E402
from detector.infer.reading import Sight  # noqa: E402
from detector.scoring import Scorer, _Rows, canvas  # noqa: E402
from detector.two_stage.grid_anchors import grid_anchors  # noqa: E402
from detector.two_stage.proposals import LEAST_SIDE, propose  # noqa: E402
from schemas.boxes import pairwise_iou  # noqa: E402
from schemas.errors import ConfigError  # noqa: E402
from tests.detector.conftest import TREE, detection_record  # noqa: E402

# (width, height) of a picture, and as it is drawn: shorter side 600, longer at most 1024.
SIZES = [
    ((640, 480), (800, 600)),
    ((480, 640), (600, 800)),
    ((500, 375), (800, 600)),
    ((375, 500), (600, 800)),
    ((1000, 300), (1024, 307)),
    ((300, 1000), (307, 1024)),
    ((333, 500), (600, 901)),
    ((2000, 500), (1024, 256)),
    ((1024, 768), (800, 600)),
    ((4000, 3000), (800, 600)),
    ((50, 40), (750, 600)),
    ((600, 600), (600, 600)),
    ((1, 1), (600, 600)),
    ((1024, 600), (1024, 600)),
    ((1025, 600), (1024, 599)),
]


def sizes_by_rule(width, height, shorter=600, longer=1024):
    """Enlarge to the shorter side; where the longer side gets too long, to the longer side instead."""
    ratio = shorter / min(width, height)
    if round(max(width, height) * ratio) > longer:
        ratio = longer / max(width, height)
    return round(width * ratio), round(height * ratio)


@pytest.mark.parametrize(("size", "drawn"), SIZES)
def test_sizes_are_those_of_the_rule(size, drawn):
    width, height = size
    assert sizes_by_rule(width, height) == drawn
    place = letterbox(height, width, (1024, 1024), 600)
    assert (round(place.scale_x * 1024), round(place.scale_y * 1024)) == drawn
    assert place.scale_x * 1024 / (place.scale_y * 1024) == pytest.approx(width / height)
    assert (place.shift_y, place.shift_x) == ((1 - place.scale_y) / 2, (1 - place.scale_x) / 2)
    assert placement(height, width, (1024, 1024), 600) == place
    still = sample_placement(height, width, AugmentConfig(flip=0.0), HashDraws(1), (1024, 1024), 600)
    np.testing.assert_allclose(still, place)
    twin = images.letterbox(tf.constant(height), tf.constant(width), (1024, 1024), 600)
    np.testing.assert_allclose(twin, place[:4], rtol=1e-12, atol=1e-12)
    wide = letterbox(height, width, (608, 1024), 600)
    found = (round(wide.scale_x * 1024), round(wide.scale_y * 608))
    if height <= width:
        assert found == drawn
    else:  # does not fit there: as large as it can be
        assert found == (round(608 / height * width), 608)


def test_without_a_limit_nothing_changes():
    for height, width, shape in ((40, 60, (32, 64)), (60, 40, (32, 64)), (7, 300, (64, 64))):
        assert letterbox(height, width, shape, 0) == letterbox(height, width, shape)
        assert letterbox(height, width, shape, 1000) == letterbox(height, width, shape)
    assert fit_of(ModelConfig()) == "plain"
    assert fit_of(ModelConfig(shorter_side=600)) == 600
    assert fit_of(ModelConfig(cfg="[net]")) == "darknet"
    assert fit_of(ModelConfig(cfg="[net]", stretched=True)) == "stretched"


def test_drawn_pixels_have_that_size_wherever_they_are_drawn():
    for (width, height), _ in SIZES[:8]:
        picture = Image.new("RGB", (width, height), (255, 255, 255))
        shown = draw(np.asarray(picture), (64, 64), 38)
        wanted = sizes_by_rule(width, height, 38, 64)
        rows, columns = np.nonzero((shown != 0.5).any(axis=2))
        assert abs(len(set(columns.tolist())) - wanted[0]) <= 1
        assert abs(len(set(rows.tolist())) - wanted[1]) <= 1
        buffer = BytesIO()
        picture.save(buffer, "PNG")
        served, place = images.draw(tf.constant(buffer.getvalue()), (64, 64), 38)
        np.testing.assert_allclose(served, shown, atol=1e-6)
        np.testing.assert_allclose(place, placement(height, width, (64, 64), 38)[:4])
        record = detection_record(0, "disc")._replace(height=height, width=width, encoded=buffer.getvalue())
        np.testing.assert_allclose(canvas(record, (64, 64), 38), shown, atol=1e-6)


@pytest.mark.parametrize("fit", ["plain", "darknet", "stretched"])
def test_evaluation_lays_an_image_on_the_canvas_as_detection_does(fit):
    pixels = np.random.default_rng(0).integers(0, 256, (37, 61, 3), np.uint8)
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    record = detection_record(0, "disc")._replace(height=37, width=61, encoded=buffer.getvalue())
    np.testing.assert_array_equal(canvas(record, (64, 96), fit), draw(pixels, (64, 96), fit))


@pytest.mark.parametrize("mode", ["zoom", "darknet"])
def test_content_is_what_is_not_grey(mode):
    config = AugmentConfig(mode=mode, scale=2.0, aspect=1.4, shift=1.0, jitter=0.3)
    size, seen = np.array([48, 80, 48, 80]), set()
    white = tf.ones([30, 41, 3])
    pixels = 1.01 if mode == "zoom" else 2.01  # darknet rounds the corner and the size down
    for seed in range(20):
        place = sample_placement(30, 41, config, HashDraws(seed), (48, 80), 33)
        shown = place_image(white, tf.constant(np.array(place, np.float32)), (48, 80), mode).numpy()
        rows, columns = np.nonzero((shown != 0.5).any(axis=2))
        content = content_box(place)
        assert content.dtype == np.float32
        np.testing.assert_allclose(
            content * size, [rows.min(), columns.min(), rows.max() + 1, columns.max() + 1], atol=pixels
        )
        seen |= {("mirrored", place.flip), ("cut", bool(content[3] == 1))}
    assert len(seen) == (4 if mode == "zoom" else 3)


def test_content_by_hand():
    assert content_box(Placement(0.5, 1.0, 0.25, 0.0, False)).tolist() == [0.25, 0, 0.75, 1]
    assert content_box(Placement(2.0, 0.5, -0.5, 0.25, False)).tolist() == [0, 0.25, 1, 0.75]
    assert content_box(Placement(0.5, 0.5, 0.5, 0.125, True)).tolist() == [0.5, 0.375, 1, 0.875]
    places = [Placement(2.0, 0.5, -0.5, 0.25, False), letterbox(30, 41, (48, 80), 33)]
    found = content_of(tf.constant([place[:4] for place in places], tf.float64))
    np.testing.assert_allclose(found, [content_box(place) for place in places], atol=1e-7)


CONTENT = np.array([[0.2, 0.0, 0.7, 1.0], [0.0, 0.0, 1.0, 1.0], [0.3, 0.4, 0.6, 0.7]], np.float32)


def test_anchors_in_the_padding_are_not_trained():
    anchors = grid_anchors(tf.constant([[1.0, 2.0], [3.0, 1.5]]), (10, 8)).numpy()
    whole = trainable_anchors(tf.constant(anchors), tf.constant(CONTENT), cross_boundary=False).numpy()
    centres = trainable_anchors(tf.constant(anchors), tf.constant(CONTENT), cross_boundary=True).numpy()
    for b, (top, left, bottom, right) in enumerate(CONTENT.astype(np.float64)):
        for s, (y0, x0, y1, x1) in enumerate(anchors.astype(np.float64)):
            inside = min(y0 - top, x0 - left, bottom - y1, right - x1) > -1e-5
            y, x = (y0 + y1) / 2, (x0 + x1) / 2
            assert whole[b, s] == inside
            assert centres[b, s] == (min(y - top, x - left, bottom - y, right - x) > -1e-5)
    assert 0 < whole[2].sum() < whole[0].sum() < whole[1].sum() < len(anchors)
    everywhere = trainable_anchors(tf.constant(anchors), None, cross_boundary=False).numpy()
    np.testing.assert_array_equal(everywhere, whole[1])
    assert trainable_anchors(tf.constant(anchors), None, cross_boundary=True).numpy().all()


def proposals_by_loop(boxes, scores, content, count, threshold):
    """One image: cut, drop what is empty, then greedy."""
    low, high = np.tile(content[:2], 2), np.tile(content[2:], 2)
    cut = np.minimum(np.maximum(boxes, low), high)
    order = [s for s in np.argsort(-scores, kind="stable") if (cut[s, 2:] - cut[s, :2] >= LEAST_SIDE).all()]
    kept = []
    for s in order:
        if all(pairwise_iou(cut[[s]], cut[[k]])[0, 0] <= threshold for k in kept):
            kept.append(s)
    return cut[kept[:count]], len(order)


def test_proposals_are_cut_to_the_picture():
    rng = np.random.default_rng(4)
    low = rng.random((3, 90, 2)) * 1.1 - 0.2
    boxes = np.concatenate([low, low + 0.05 + rng.random((3, 90, 2)) * 0.3], axis=-1).astype(np.float32)
    logits = rng.normal(size=(3, 90)).astype(np.float32)
    found = propose(tf.constant(boxes), tf.constant(logits), count=25, iou_threshold=0.5, content=tf.constant(CONTENT))
    fewest = []
    for b in range(3):
        expected, left = proposals_by_loop(boxes[b], logits[b], CONTENT[b], 25, 0.5)
        assert int(found.mask[b].numpy().sum()) == len(expected)
        np.testing.assert_allclose(found.boxes[b].numpy()[: len(expected)], expected, atol=1e-6)
        assert not found.boxes[b].numpy()[len(expected) :].any()
        fewest.append(left)
    assert fewest[2] < fewest[0] < fewest[1] <= 90
    plain = propose(tf.constant(boxes), tf.constant(logits), count=25, iou_threshold=0.5)
    np.testing.assert_allclose(plain.boxes[1], found.boxes[1], atol=1e-6)
    np.testing.assert_array_equal(clip_to_content(boxes, None), np.clip(boxes, 0, 1))


PLACES = [(60, 80), (80, 60), (20, 300), (31, 31)]  # (height, width)


def whole_picture(images, options, content):
    """A detector that finds the picture itself, wherever it is told that the picture lies."""
    one = tf.ones([tf.shape(images)[0], 1])
    return Detections(content[:, None], tf.cast(one, tf.int32), 0.75 * one, one > 0)


@pytest.mark.parametrize("shorter", [0, 20])
def test_inference_says_where_the_picture_lies(shorter):
    model = ModelConfig(input_size=64, input_height=32, shorter_side=shorter)
    run = SimpleNamespace(
        tree=TREE, detector=SimpleNamespace(detect=whole_picture), experiment=SimpleNamespace(model=model)
    )
    predictor = Predictor(run, DecodeConfig())
    sights = [
        Sight(str(number), picture, draw(np.asarray(picture), predictor.canvas, predictor.fit))
        for number, picture in enumerate(Image.new("RGB", (width, height)) for height, width in PLACES)
    ]
    for found in predictor(sights):
        np.testing.assert_allclose(found.boxes, [[0, 0, 1, 1]], atol=1e-6)
        assert found.scores.tolist() == [0.75]


def test_evaluation_says_where_the_picture_lies():
    detector = SimpleNamespace(
        overlap=0.45,
        score_nodes=lambda images, nodes, content: (content[:, None], tf.fill([tf.shape(images)[0], 1, 2], 0.5)),
    )
    places = np.array([letterbox(height, width, (32, 64), 20)[:4] for height, width in PLACES], np.float32)
    out = Scorer(detector, (1, 2), (), False)(
        np.zeros((4, 32, 64, 3), np.float32), places, np.zeros((4, 0, 4), np.float32), np.zeros(4, np.int32)
    )
    np.testing.assert_allclose(out["best_boxes"], np.tile([0, 0, 1, 1], (4, 2, 1)), atol=1e-6)


def test_evaluation_suppresses_whole_boxes_and_counts_none_in_the_padding():
    """On a canvas of 64 x 64 a photo of 64 x 32: of the boxes the second would be the first, were both cut before."""
    given = [[0.3, 0.0, 0.8, 0.5], [0.3, -2.0, 0.8, 0.5], [0.0, 0.0, 0.2, 1.0], [0.3, 0.02, 0.8, 0.5]]
    scores = tf.constant([[[0.9], [0.8], [0.7], [0.6]]])
    detector = SimpleNamespace(overlap=0.45, score_nodes=lambda *_: (tf.constant([given], tf.float32), scores))
    out = Scorer(detector, (1,), (), False)(
        np.zeros((1, 64, 64, 3), np.float32),
        np.array([letterbox(32, 64, (64, 64))[:4]], np.float32),
        np.zeros((1, 0, 4), np.float32),
        np.zeros(1, np.int32),
    )
    assert out["valid"].tolist() == out["proposals_valid"].tolist() == [3]
    rows = _Rows()
    record = SimpleNamespace(width=64, height=32)
    rows.add(0, record, out["boxes"][0, :3], out["classes"][0, :3], out["scores"][0, :3])
    found = rows.columns()
    np.testing.assert_allclose(found.score, [0.9, 0.8])
    np.testing.assert_allclose(found.box, [[0, 3.2, 32, 32]] * 2, atol=1e-4)


@pytest.mark.parametrize("fit", ["darknet", "stretched", 20])
def test_an_export_says_where_the_picture_lies(fit):
    trained = SimpleNamespace(model=SimpleNamespace(weights=[]), detect=whole_picture)
    served = ServedDetector(trained, TREE, DecodeConfig(limit=3), (32, 64), fit)
    files = []
    for height, width in PLACES:
        buffer = BytesIO()
        Image.new("RGB", (width, height)).save(buffer, "PNG")
        files.append(buffer.getvalue())
    found = served.serve_images(tf.constant(files))
    assert found["count"].numpy().tolist() == [1] * 4
    np.testing.assert_allclose(found["boxes"][:, 0], [[0, 0, 1, 1]] * 4, atol=1e-6)
    finder = finder_of(trained, (32, 64), fit, DecodeConfig())
    np.testing.assert_allclose(finder(files[0]).boxes, [[0, 0, 1, 1]], atol=1e-6)


def test_options_that_contradict_the_rule_are_refused():
    assert load_config("tiny64", ["model.shorter_side=48"]).model.shorter_side == 48
    for bad in (["model.shorter_side=-1"], ["model.shorter_side=48", "augment.mode=release2017"]):
        with pytest.raises(ConfigError, match=r"model\.shorter_side is"):
            load_config("tiny64", bad)
    with pytest.raises(ConfigError, match=r"model\.shorter_side is 48 beside model\.cfg"):
        load_config("tiny64", ["model.shorter_side=48", "model.cfg=[net]"])
