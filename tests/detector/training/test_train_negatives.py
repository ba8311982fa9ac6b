"""Images that hold no object, nothing but crowds, or both beside others: losses and gradients stay numbers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

from detector.architectures import build_detector  # noqa: E402
from detector.config import DataConfig, Experiment, ModelConfig, TwoStageConfig  # noqa: E402
from detector.dataset import open_dataset  # noqa: E402
from detector.input import JointStream  # noqa: E402

YOLO = ModelConfig(input_size=32, width=0.125, stages=4, output_stride=8, anchors=((0.4, 0.4),))
TWO_STAGE = replace(YOLO, architecture="faster_rcnn", anchors=((0.3, 0.3), (0.5, 0.5)), num_anchors=2, output_stride=8)
DENSE = TwoStageConfig(
    cut=8, second_stage="dense", head_width=16, rpn_width=8, proposals=8, anchor_batch=8, roi_batch=8, crop=4
)


@pytest.mark.parametrize("model", [YOLO, TWO_STAGE], ids=["yolo", "faster_rcnn"])
def test_losses_of_images_without_objects_are_numbers(make_dataset, detection_set, tree, tmp_path, model):
    dataset = open_dataset(str(detection_set))
    records = [dataset.record(row) for row in range(4)]
    bare = [record._replace(boxes=()) for record in records]
    crowds = [record._replace(boxes=tuple(b._replace(is_crowd=True) for b in record.boxes)) for record in records]
    detector = build_detector(Experiment(name="t", model=model, two_stage=DENSE), tree)
    found = {}
    for name, rows in {"none": bare, "crowds": crowds, "some": [*records[:2], *bare[2:]]}.items():
        path = make_dataset(tmp_path / name, rows, dataset.manifest.classes, has_boxes=True)
        stream = JointStream([open_dataset(str(path))], tree, data=DataConfig(), augment=None, size=32, seed=0)
        batch = next(iter(stream.batches(4, stop=1)))
        with tf.GradientTape() as tape:
            terms = detector.losses(batch, training=True, images_seen=tf.constant(0))
            total = tf.add_n([tf.reduce_sum(term) for term in terms.values()])
        gradients = tape.gradient(total, [weight.value for weight in detector.model.trainable_weights])
        assert all(np.isfinite(term).all() for term in terms.values()), name
        assert all(np.isfinite(tf.convert_to_tensor(g)).all() for g in gradients if g is not None), name
        assert float(total) > 0, "that nothing is there is taught too"
        found[name] = {key: float(tf.reduce_sum(term)) for key, term in terms.items()}
    for term in ("class", "coordinates", "box"):
        assert not found["none"].get(term), "no object has a class or a place"
        assert not found["crowds"].get(term), "a crowd is a region to ignore"
    assert found["some"]["class"] > 0
