"""k-means priors: hand values, order-free, better than a worse start."""

from __future__ import annotations

import json

import numpy as np
import pytest

pytest.importorskip("tensorflow")

from detector.anchors import box_shapes, kmeans_anchors, shape_iou
from detector.dataset import open_dataset
from schemas.errors import InputError


def test_shape_iou_by_hand():
    # 2x2 and 4x1 share 2x1 = 2 of 4 + 4 - 2 = 6
    assert shape_iou(np.array([[2.0, 2.0]]), np.array([[4.0, 1.0]]))[0, 0] == pytest.approx(2 / 6)


def test_two_clear_heaps_are_found():
    rng = np.random.default_rng(0)
    small = 0.1 + 0.005 * rng.standard_normal((50, 2))
    large = np.array([0.6, 0.3]) + 0.005 * rng.standard_normal((50, 2))
    anchors, fit = kmeans_anchors(np.concatenate([small, large]), 2)
    np.testing.assert_allclose(anchors, [small.mean(0), large.mean(0)], atol=1e-9)
    assert fit > 0.9


def test_more_priors_fit_better_and_the_order_of_boxes_does_not_matter():
    rng = np.random.default_rng(1)
    shapes = rng.random((200, 2)) * 0.8 + 0.1
    fits = [kmeans_anchors(shapes, count)[1] for count in (1, 2, 4, 8)]
    assert fits == sorted(fits)
    shuffled = shapes[rng.permutation(200)]
    np.testing.assert_allclose(kmeans_anchors(shuffled, 4)[0], kmeans_anchors(shapes, 4)[0], atol=1e-9)


def test_too_few_shapes_are_refused():
    with pytest.raises(InputError, match="1 different box shapes are too few for 2 anchors"):
        kmeans_anchors(np.ones((5, 2)), 2)


def test_shapes_come_from_boxed_sets_alone(detection_set, label_set):
    shapes = box_shapes([open_dataset(str(label_set)), open_dataset(str(detection_set))])
    assert shapes.shape == (12, 2)
    with pytest.raises(InputError, match="anchors need a detection dataset"):
        box_shapes([open_dataset(str(label_set))])


def test_shapes_are_those_on_the_canvas(detection_set):
    dataset = open_dataset(str(detection_set))
    for canvas, shorter in (((240, 320), 0), ((64, 32), 0), ((512, 512), 100)):
        expected = []
        for row in range(len(dataset)):
            record = dataset.record(row)
            scale = min(canvas[0] / record.height, canvas[1] / record.width)  # canvas pixels a pixel
            if shorter:
                scale = min(scale, shorter / min(record.height, record.width))
            for annotation in record.boxes:
                pixels = annotation.box.width * record.width * scale, annotation.box.height * record.height * scale
                if not annotation.is_crowd:
                    expected.append((pixels[0] / canvas[1], pixels[1] / canvas[0]))
        np.testing.assert_allclose(box_shapes([dataset], canvas, shorter), expected, rtol=1e-9)


@pytest.mark.parametrize("canvas", ["320", "0x4", "320x-1", "axb", "320x240x3"])
def test_a_canvas_has_two_sides(detection_set, canvas, capsys):
    from wordtree.command import main

    assert main(["anchors", str(detection_set), "--canvas", canvas]) == 2
    assert "expected WIDTHxHEIGHT" in capsys.readouterr().err


def test_command_prints_priors_as_json(detection_set, capsys):
    from wordtree.command import main

    assert main(["anchors", str(detection_set), "--count", "2", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["boxes"] == 12
    assert len(found["priors"][0]["anchors"]) == 2
    assert 0 < found["priors"][0]["mean_iou"] <= 1
