"""Records to tf.train.Example and back; bytes equal to TensorFlow's."""

from __future__ import annotations

import struct
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.boxes import Box
from schemas.errors import FormatError
from schemas.example_message import decode_features, encode_features
from schemas.features import FEATURES, Columns
from schemas.record import BoxAnnotation, Caption, ImageLabel, ImageRecord, Keypoint, Part, SegmentationMap
from schemas.tfexample import decode_record, encode_record

FLOAT32 = st.floats(0, 1, width=32)
TEXT = st.text(st.characters(codec="utf-8"), max_size=12)
FLAG = st.sampled_from([None, False, True])
ANNOTATIONS = st.builds(
    BoxAnnotation,
    box=st.builds(Box, FLOAT32, FLOAT32, FLOAT32, FLOAT32),
    label=TEXT,
    class_id=st.integers(1, 100_000),
    wnid=TEXT,
    annotation_id=TEXT,
    area=st.none() | st.floats(0, 1e6, width=32),
    is_crowd=FLAG,
    is_difficult=FLAG,
    is_truncated=FLAG,
    is_occluded=FLAG,
    is_group_of=FLAG,
    is_depiction=FLAG,
    is_inside=FLAG,
    view=TEXT,
    source=TEXT,
    confidence=FLOAT32,
    keypoints=st.lists(st.builds(Keypoint, FLOAT32, FLOAT32, st.integers(0, 2)), max_size=3).map(tuple),
    parts=st.lists(st.builds(Part, TEXT, st.builds(Box, FLOAT32, FLOAT32, FLOAT32, FLOAT32)), max_size=2).map(tuple),
    segmentation=TEXT,
    mask=st.binary(max_size=5),
    extra=TEXT,
)
LABELS = st.builds(
    ImageLabel,
    label=TEXT,
    class_id=st.integers(1, 100_000),
    wnid=TEXT,
    present=st.booleans(),
    verified=FLAG,
    confidence=FLOAT32,
    source=TEXT,
)
RECORDS = st.builds(
    ImageRecord,
    image_id=TEXT,
    source=TEXT,
    uri=TEXT,
    filename=TEXT,
    has_boxes=st.booleans(),
    format=st.sampled_from(["jpeg", "png", "gif", "bmp", ""]),
    height=st.integers(1, 100_000),
    width=st.integers(1, 100_000),
    boxes=st.lists(ANNOTATIONS, max_size=3).map(tuple),
    labels=st.lists(LABELS, max_size=3).map(tuple),
    encoded=st.binary(min_size=1, max_size=50),
    sha256=TEXT,
    provenance=TEXT,
    orientation=st.integers(1, 8),
    rotation=st.sampled_from([None, 0, 90, 180, 270]),
    captions=st.lists(st.builds(Caption, TEXT, TEXT), max_size=2).map(tuple),
    maps=st.sampled_from([(), (SegmentationMap("panoptic", b"p"), SegmentationMap("object", b"o"))]),
    not_exhaustive=st.lists(st.integers(1, 2000), max_size=3).map(tuple),
    extra=TEXT,
)


@given(RECORDS)
def test_decode_after_encode_is_the_identity(record):
    assert decode_record(encode_record(record)) == record


@given(RECORDS)
def test_bytes_equal_tensorflows(record):
    tf = pytest.importorskip("tensorflow")
    ours = encode_record(record)
    theirs = tf.train.Example()
    for feature in FEATURES:
        values = feature.values(Columns(record))
        if feature.rare and not values:
            continue
        slot = theirs.features.feature[feature.key]
        kind = getattr(slot, f"{feature.kind}_list")
        kind.value.extend([v.encode() if isinstance(v, str) else v for v in values])
        kind.SetInParent()
    assert theirs.SerializeToString(deterministic=True) == ours


def test_the_same_record_has_the_same_bytes_in_another_process():
    program = (
        "from schemas.record import ImageRecord; from schemas.tfexample import encode_record; import sys;"
        "r = ImageRecord(image_id='1', source='coco', uri='u', filename='f', has_boxes=True, encoded=b'x');"
        "sys.stdout.write(encode_record(r).hex())"
    )
    runs = {
        subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout for _ in "ab"
    }
    assert len(runs) == 1


def test_an_image_without_boxes_has_every_key_with_an_empty_list():
    record = ImageRecord(image_id="1", source="coco", uri="u", filename="f", has_boxes=True, encoded=b"x")
    table = decode_features(encode_record(record))
    assert table["image/object/bbox/ymin"] == []
    assert table["image/object/class/label"] == []
    assert set(table) == {feature.key for feature in FEATURES if not feature.rare}


def test_a_float_beyond_float32_is_infinite_as_tensorflow_has_it():
    assert decode_features(encode_features({"a": ("float", [1e300, -1e300])})) == {"a": [float("inf"), -float("inf")]}


def test_large_and_negative_numbers_keep_their_64_bits():
    numbers = [0, 127, 128, 255, 256, -1, 2**63 - 1, -(2**63)]
    assert decode_features(encode_features({"a": ("int64", numbers)})) == {"a": numbers}


def test_an_unknown_flag_is_never_minus_one_under_the_keys_of_the_object_detection_api():
    box = BoxAnnotation(box=Box(0, 0, 1, 1), label="cat", is_crowd=None, is_group_of=None)
    record = ImageRecord(image_id="1", source="x", uri="", filename="", has_boxes=True, boxes=(box,), encoded=b"x")
    table = decode_features(encode_record(record))
    assert table["image/object/is_crowd"] == [0]
    assert table["image/object/group_of"] == [0]
    assert table["wordtree/object/is_group_of"] == [-1]


def test_wire_format_by_hand():
    # Example{features=1{feature=1{key=1 "a", value=2{int64_list=3{value=1 packed [5]}}}}}
    value = bytes([0x1A, 0x03, 0x0A, 0x01, 0x05])
    entry = b"\x0a\x01a" + b"\x12" + struct.pack("B", len(value)) + value
    features = b"\x0a" + struct.pack("B", len(entry)) + entry
    assert encode_features({"a": ("int64", [5])}) == b"\x0a" + struct.pack("B", len(features)) + features


def test_bytes_that_are_no_example_are_refused():
    with pytest.raises(FormatError, match=r"4 bytes are not a tf.train.Example"):
        decode_features(b"\xff\xff\xff\xff")


def test_an_example_of_another_writer_is_refused_with_the_missing_key():
    with pytest.raises(FormatError, match=r"the record lacks 'image/encoded' and \d+ more keys"):
        decode_record(encode_features({"a": ("int64", [5])}))


def test_lists_of_unequal_length_are_refused():
    record = ImageRecord(image_id="7", source="x", uri="", filename="", has_boxes=True, encoded=b"x")
    features = {f.key: (f.kind, f.values(Columns(record))) for f in FEATURES}
    features["image/object/bbox/ymin"] = ("float", [0.5])
    with pytest.raises(FormatError, match=r"lists of \['7'\] differ in length"):
        decode_record(encode_features(features))
