"""The manifest survives a round trip, and damage is named."""

from __future__ import annotations

import json

import pytest

from schemas.errors import FormatError, RecordError
from schemas.manifest import ClassEntry, Counts, Manifest, ShardEntry, SourceFile, manifest_from_json


def example():
    return Manifest(
        source="coco",
        split="train",
        has_boxes=True,
        options={"seed": 0},
        versions={"wordtree": "0.1.0"},
        source_files=(SourceFile(path="a.json", bytes=3, sha256="00"),),
        counts=Counts(images_in=3, images_written=2, images_rejected=1, rejected_by_reason={"image:empty": 1}),
        shards=(ShardEntry(name="train-00000-of-00001.tfrecord", records=2, bytes=10, sha256="11"),),
        classes=(ClassEntry(id=1, label="Spätzle", wnid="n00000001", node=4),),
        tree_digest="abc",
    )


def test_reading_after_writing_gives_the_same_bytes():
    text = example().to_json()
    assert manifest_from_json(text) == example()
    assert manifest_from_json(text).to_json() == text


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: data.pop("shards"), "missing or unknown"),
        (lambda data: data.update(surprise=1), "missing or unknown"),
        (lambda data: data.update(format_version=99), "format version 99"),
        (lambda data: data.pop("format_version"), "no manifest"),
    ],
)
def test_a_damaged_manifest_is_refused(change, message):
    data = json.loads(example().to_json())
    change(data)
    with pytest.raises(FormatError, match=message):
        manifest_from_json(json.dumps(data))


def test_text_that_is_no_json_is_refused():
    with pytest.raises(FormatError, match="not JSON"):
        manifest_from_json('{"shards": [')


def test_a_record_error_survives_pickling():
    import pickle

    error = pickle.loads(pickle.dumps(RecordError("image_empty", "a.jpg is empty", found="0 bytes")))
    assert (error.reason, str(error), error.found) == ("image_empty", "a.jpg is empty", "0 bytes")
