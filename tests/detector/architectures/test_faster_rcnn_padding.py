"""Faster R-CNN on pictures that do not fill their canvas: padding is neither background nor object."""

from __future__ import annotations

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

from detector.config import DecodeConfig  # noqa: E402
from tests.detector.architectures.test_faster_rcnn import build, experiment, make_batch  # noqa: E402

CONTENT = np.array([[0.2, 0.0, 0.8, 1.0], [0.0, 0.2, 1.0, 0.8], [0.2, 0.4, 0.8, 0.8], [0, 0, 1, 1]], np.float32)


@pytest.mark.parametrize("cross_boundary", [False, True])
def test_no_anchor_in_the_padding_is_trained(cross_boundary):
    """Nothing that the first stage says of them changes its losses, nor do the losses change it."""
    detector = build(experiment(two_stage={"cross_boundary": cross_boundary, "anchor_batch": 64}))
    batch = make_batch()._replace(content=tf.constant(CONTENT), has_boxes=tf.ones([4], tf.bool))
    entries, anchors, _ = detector.first_stage(batch.images, training=False)
    outside = np.zeros([4, len(anchors)], bool)
    for b, (top, left, bottom, right) in enumerate(CONTENT):
        for s, (y0, x0, y1, x1) in enumerate(anchors.numpy()):
            if cross_boundary:
                y0, y1, x0, x1 = (y0 + y1) / 2, (y0 + y1) / 2, (x0 + x1) / 2, (x0 + x1) / 2
            outside[b, s] = y0 < top - 1e-5 or x0 < left - 1e-5 or y1 > bottom + 1e-5 or x1 > right + 1e-5
    assert all(outside[b].any() and not outside[b].all() for b in range(3))
    with tf.GradientTape() as tape:
        tape.watch(entries)
        terms = detector._first_losses(entries, anchors, batch, tf.range(4, dtype=tf.int64))
        total = tf.add_n(list(terms.values()))
    gradient = tape.gradient(total, entries).numpy()
    assert not gradient[outside].any()
    assert (np.abs(gradient[..., 4]).sum(axis=1) > 0).all()
    changed = tf.where(outside[..., None], entries + 7.0, entries)
    for name, value in detector._first_losses(changed, anchors, batch, tf.range(4, dtype=tf.int64)).items():
        np.testing.assert_array_equal(value, terms[name])


def test_boxes_stay_in_the_picture():
    detector, batch = build(experiment()), make_batch()
    traces = []

    @tf.function(input_signature=[tf.TensorSpec([None, 32, 32, 3]), tf.TensorSpec([None, 4])])
    def predict(images, content):
        traces.append(1)
        found = detector.predict(images, training=False, content=content)
        return found.boxes, found.object_logits

    plain = detector.predict(batch.images, training=False)
    boxes, logits = (part.numpy() for part in predict(batch.images, tf.constant(CONTENT)))
    here = np.full([4, 12], True)
    for b, (top, left, bottom, right) in enumerate(CONTENT):
        there = logits[b] > -1e3
        assert there.any()
        assert (boxes[b, :, 0] >= top).all()
        assert (boxes[b, :, 1] >= left).all()
        assert (boxes[b, :, 2] <= bottom).all()
        assert (boxes[b, :, 3] <= right).all()
        here[b] = there
        np.testing.assert_array_equal(there, (boxes[b, :, 2:] > boxes[b, :, :2]).all(axis=1))
    assert here[3].all()
    np.testing.assert_allclose(boxes[3], plain.boxes[3], atol=1e-5)
    np.testing.assert_allclose(logits[3], plain.object_logits[3], atol=1e-4)
    predict(batch.images[:2], tf.constant(CONTENT[1:3]))
    predict(batch.images, tf.constant([[0.0, 0.0, 0.5, 1.0]] * 4))
    assert len(traces) == 1
    content = tf.constant(CONTENT)
    named, scores = detector.score_nodes(batch.images, [0, 2], content)
    np.testing.assert_allclose(named, boxes, atol=1e-5)
    assert scores.shape == (4, 12, 2)
    found = detector.detect(batch.images, DecodeConfig(walk="map", nodes=(2, 3), threshold=0.01, limit=5), content)
    for b in range(4):
        kept = found.boxes[b].numpy()[found.mask[b].numpy()]
        assert (kept[:, :2] >= CONTENT[b, :2] - 1e-6).all()
        assert (kept[:, 2:] <= CONTENT[b, 2:] + 1e-6).all()


def test_proposals_that_are_trained_lie_in_the_picture():
    """And a picture that fills its canvas costs what it costs without a word of where it lies."""
    detector, batch = build(experiment(two_stage={"cross_boundary": False})), make_batch()
    looked_at = []
    described = detector.describe
    detector.describe = lambda features, boxes, **more: looked_at.append(boxes) or described(features, boxes, **more)
    terms = detector.losses(batch._replace(content=tf.constant(CONTENT)), training=False, images_seen=tf.constant(4))
    boxes = looked_at[0].numpy()
    truths = [tuple(box) for box in batch.boxes[0].numpy()]
    for b, content in enumerate(CONTENT):
        proposed = [box for box in boxes[b] if box.any() and tuple(box) not in truths]
        assert proposed
        assert all((box[:2] >= content[:2]).all() and (box[2:] <= content[2:]).all() for box in proposed)
    none = detector.losses(batch, training=False, images_seen=tf.constant(4))
    assert set(none) == set(terms)
    everywhere = batch._replace(content=tf.constant([[0.0, 0, 1, 1]] * 4))
    same = detector.losses(everywhere, training=False, images_seen=tf.constant(4))
    for name, value in none.items():
        np.testing.assert_allclose(same[name], value, rtol=1e-5, atol=1e-7)
        assert np.isfinite(terms[name]).all()
        np.testing.assert_allclose(terms[name][3], value[3], rtol=1e-4, atol=1e-6)
