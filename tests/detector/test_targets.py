"""The light reading of a record agrees with the whole one; targets follow from it."""

from __future__ import annotations

import numpy as np
import pytest

from detector.augment.placement import Placement, letterbox
from detector.config import AugmentConfig, DataConfig
from detector.targets import Counts, make_targets
from detector.training_row import read_training_row
from schemas.boxes import Box
from schemas.errors import FormatError
from schemas.example_message import decode_features, encode_features
from schemas.record import BoxAnnotation, ImageLabel, ImageRecord
from schemas.tfexample import decode_record, encode_record

WHOLE = Placement(1.0, 1.0, 0.0, 0.0, False)


def record(boxes=(), labels=(), **changes):
    base = ImageRecord(
        "7", "test", "7.png", "7.png", bool(boxes), "png", 40, 60, tuple(boxes), tuple(labels), b"pixels"
    )
    return base._replace(**changes)


def box(k, **flags):
    return BoxAnnotation(Box(0.1 * k, 0.05, 0.1 * k + 0.1, 0.55), label=f"class {k}", class_id=k + 1, **flags)


MANY = [box(k) for k in range(6)]
FLAGGED = [
    box(0, is_crowd=True),
    box(1, is_group_of=True),
    box(2, is_crowd=False, is_group_of=None, is_difficult=True),
    box(3, is_crowd=None),
]
LABELS = [
    ImageLabel(label="a", class_id=1, present=False, confidence=0.25),
    ImageLabel(label="b", class_id=2, present=True, confidence=0.5),
    ImageLabel(label="c", class_id=3, present=False),
    ImageLabel(label="d", class_id=4),
]


@pytest.mark.parametrize(
    "original",
    [record(), record(MANY), record(FLAGGED), record(labels=LABELS), record(MANY, LABELS, captions=(), extra="{}")],
    ids=["bare", "boxes", "flags", "labels", "both"],
)
def test_light_and_whole_reading_agree(original):
    data = encode_record(original)
    light, whole = read_training_row(data), decode_record(data)
    assert (light.encoded, light.height, light.width) == (whole.encoded, whole.height, whole.width)
    assert light.has_boxes == whole.has_boxes
    np.testing.assert_array_equal(light.boxes, np.array([b.box for b in whole.boxes]).reshape(-1, 4))
    assert list(light.class_ids) == [b.class_id for b in whole.boxes]
    assert list(light.ignored) == [bool(b.is_crowd or b.is_group_of) for b in whole.boxes]
    labels = list(zip(light.label_ids, light.present, light.confidence, strict=True))
    assert labels == [(label.class_id, int(label.present), label.confidence) for label in whole.labels]


def changed(data, key, value):
    """The Example with one key changed, or left out for None."""
    kinds = {bytes: "bytes", float: "float", int: "int64"}
    features = decode_features(data)
    features[key] = value
    return encode_features({k: (kinds[type((v or [0])[0])], v) for k, v in features.items() if v is not None})


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("image/encoded", [b""], "record '7' has no encoded image"),
        ("wordtree/object/is_crowd", None, "lacks 'wordtree/object/is_crowd'"),
        ("wordtree/object/is_crowd", [0, 0], "differ in length"),
        ("image/object/bbox/xmax", [0.5], "differ in length"),
        ("wordtree/class/confidence", [1.0], "differ in length"),
    ],
)
def test_a_record_that_is_not_whole_is_refused(key, value, message):
    with pytest.raises(FormatError, match=message):
        read_training_row(changed(encode_record(record(MANY, LABELS)), key, value))


def test_bytes_that_are_no_record_are_refused():
    with pytest.raises(FormatError, match=r"not a tf\.train\.Example"):
        read_training_row(b"\xff\xff\xff")


def targets(original, placement=WHOLE, augment=None, rng=None, **data):
    row = read_training_row(encode_record(original))
    return make_targets(
        row, {k: 10 * k for k in range(1, 9)}, placement, augment, DataConfig(**data), source=3, rng=rng
    )


def test_crowds_and_groups_are_regions_to_ignore_and_the_source_is_named():
    found, counts = targets(record(FLAGGED))
    assert found.nodes[:4].tolist() == [-1, -1, 30, 40]
    assert found.box_mask.tolist() == [True] * 4 + [False] * 26
    assert found.source == 3
    assert found.source.dtype == np.int32
    assert counts == Counts(images=1, boxes=4)


def test_labels_keep_sign_and_confidence_and_present_ones_come_first_when_there_is_no_room():
    found, counts = targets(record(labels=LABELS))
    assert found.image_nodes.tolist() == [10, 20, 30, 40]
    assert found.image_node_sign.tolist() == [-1, 1, -1, 1]
    assert found.image_node_weight.tolist() == [0.25, 0.5, 1, 1]
    assert counts.labels_cut == 0
    found, counts = targets(record(labels=LABELS), max_labels=3)
    assert found.image_nodes.tolist() == [20, 40, 10]
    assert found.image_node_sign.tolist() == [1, 1, -1]
    assert counts.labels_cut == 1


def test_too_many_boxes_are_counted():
    found, counts = targets(record(MANY), max_boxes=4)
    assert found.nodes.tolist() == [10, 20, 30, 40]  # the record's order
    assert counts == Counts(images=1, boxes=6, boxes_cut=2)
    upper_half = Placement(2.0, 1.0, 0.0, 0.0, False)
    found, counts = targets(record(MANY), upper_half, AugmentConfig(), max_boxes=4)
    assert found.nodes.tolist() == [10, 20, 30, 40]
    assert counts == Counts(images=1, boxes=6, boxes_hidden=1, boxes_cut=1)
    assert counts.plus(Counts(1, 2, 3, 4, 5)) == Counts(2, 8, 4, 5, 5)


class Sequence:
    def __init__(self, numbers):
        self.numbers = numbers

    def random(self, count):
        return self.numbers[:count]


@pytest.mark.parametrize("mode", ["darknet", "release2017"])
def test_darknets_modes_shuffle_before_they_cut(mode):
    augment = AugmentConfig(mode=mode)
    rng = Sequence([0.9, 0.1, 0.5, 0.3, 0.2, 0.8])
    found, counts = targets(record(MANY), augment=augment, rng=rng, max_boxes=4)
    assert found.nodes.tolist() == [20, 50, 40, 30]
    np.testing.assert_allclose(found.boxes[1], [0.4, 0.05, 0.5, 0.55], atol=1e-6)
    assert counts.boxes_cut == 2


def test_padding_is_zero_and_boxes_move_with_the_image():
    found, _ = targets(record([box(2)]), letterbox(40, 60))
    np.testing.assert_allclose(found.boxes[0], [1 / 6 + 0.2 * 2 / 3, 0.05, 1 / 6 + 0.3 * 2 / 3, 0.55], atol=1e-6)
    assert not found.boxes[1:].any()
    assert not found.nodes[1:].any()
