"""TFDS reads our directories: its own words as the oracle, and TFDS itself where it is installed."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from schemas.boxes import Box
from schemas.example_message import decode_features
from schemas.features import FEATURES
from schemas.manifest import ClassEntry, Counts, Manifest, ShardEntry
from schemas.record import BoxAnnotation, Caption, ImageLabel, ImageRecord, Keypoint
from schemas.tfds import FILE_NAMES, class_names, tfds_files
from schemas.tfexample import encode_record
from schemas.tfrecord import frame

# Written by TFDS 4.9.10: FeaturesDict({...}).save_config(folder), one connector of each kind that we use.
WRITTEN_BY_TFDS = json.loads("""{
 "image/encoded": {"image": {"dtype": "uint8", "shape": {"dimensions": ["-1", "-1", "3"]}},
  "pythonClassName": "tensorflow_datasets.core.features.image_feature.Image"},
 "image/format": {"pythonClassName": "tensorflow_datasets.core.features.text_feature.Text", "text": {}},
 "image/height": {"pythonClassName": "tensorflow_datasets.core.features.scalar.Scalar",
  "tensor": {"dtype": "int64", "encoding": "none", "shape": {}}},
 "image/object/bbox/ymin": {"pythonClassName": "tensorflow_datasets.core.features.sequence_feature.Sequence",
  "sequence": {"feature": {"pythonClassName": "tensorflow_datasets.core.features.scalar.Scalar",
   "tensor": {"dtype": "float32", "encoding": "none", "shape": {}}}, "length": "-1"}},
 "image/object/class/label": {"pythonClassName": "tensorflow_datasets.core.features.sequence_feature.Sequence",
  "sequence": {"feature": {"classLabel": {"numClasses": "4"},
   "pythonClassName": "tensorflow_datasets.core.features.class_label_feature.ClassLabel"}, "length": "-1"}},
 "image/object/class/text": {"pythonClassName": "tensorflow_datasets.core.features.sequence_feature.Sequence",
  "sequence": {"feature": {"pythonClassName": "tensorflow_datasets.core.features.text_feature.Text", "text": {}},
   "length": "-1"}},
 "image/object/mask": {"pythonClassName": "tensorflow_datasets.core.features.tensor_feature.Tensor",
  "tensor": {"dtype": "string", "encoding": "none", "shape": {"dimensions": ["-1"]}}}
}""")
CLASSES = (ClassEntry(id=1, label="person"), ClassEntry(id=3, label="Spätzle, \n'fried'", wnid="n07712382"))


def manifest(*records: int, split: str = "train", classes: tuple[ClassEntry, ...] = CLASSES) -> Manifest:
    """A manifest with shards of so many records."""
    shards = [
        ShardEntry(name=f"{split}-{i:05d}-of-{len(records):05d}.tfrecord", records=n, bytes=100 * n, sha256="")
        for i, n in enumerate(records)
    ]
    return Manifest(
        source="coco",
        split=split,
        has_boxes=True,
        options={},
        versions={},
        source_files=(),
        counts=Counts(),
        shards=tuple(shards),
        classes=classes,
    )


def test_every_key_of_the_schema_has_a_connector_as_tfds_writes_it() -> None:
    files = tfds_files(manifest(2, 1))
    features = json.loads(files["features.json"])
    assert features["pythonClassName"] == "tensorflow_datasets.core.features.features_dict.FeaturesDict"
    connectors = features["featuresDict"]["features"]
    assert set(connectors) == {feature.key for feature in FEATURES}
    assert {key: connectors[key] for key in WRITTEN_BY_TFDS} == WRITTEN_BY_TFDS
    for feature in FEATURES:
        kind = connectors[feature.key]["pythonClassName"].rsplit(".", 1)[-1]
        assert not feature.rare or kind in ("Sequence", "Tensor"), f"TFDS refuses records without {feature.key}"


def test_the_info_names_shards_and_their_lengths() -> None:
    info = json.loads(tfds_files(manifest(2, 0, 1, split="val2017"))["dataset_info.json"])
    assert (info["name"], info["version"], info["fileFormat"]) == ("coco", "1.0.0", "tfrecord")
    assert info["splits"] == [
        {
            "name": "val2017",
            "filepathTemplate": "{SPLIT}-{SHARD_X_OF_Y}.{FILEFORMAT}",
            "shardLengths": ["2", "0", "1"],
            "numBytes": "300",
        }
    ]


def test_names_of_classes_stand_on_the_line_of_their_id() -> None:
    files = tfds_files(manifest(1))
    assert set(files) == set(FILE_NAMES)
    for name in ("image.object.class.label.labels.txt", "image.class.label.labels.txt"):
        assert files[name].decode().split("\n") == ["background", "person", "unused 2", "Spätzle, 'fried'", ""]


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ([(1, "crane", "n02012849"), (2, "crane", "n03126707")], ["crane (n02012849)", "crane (n03126707)"]),
        ([(1, "a", ""), (2, "a", "")], ["a (1)", "a (2)"]),
        ([(1, "a", "n1"), (2, "a", "n1")], ["a (n1)", "a (n1) (2)"]),
        ([(1, "a", "n1"), (2, "a", "n2"), (3, "a (n2)", "")], ["a (n1)", "a (n2)", "a (n2) (3)"]),
        ([(1, "background", "")], ["background (1)"]),
        ([(1, "", ""), (2, " \n", "")], ["class 1", "class 2"]),
        ([(1, "unused 3", ""), (4, "b", "")], ["class unused 3", "unused 2", "unused 3", "b"]),
        ([], []),
    ],
)
def test_names_differ_and_have_no_breaks(labels: list[tuple[int, str, str]], expected: list[str]) -> None:
    found = class_names([ClassEntry(id=number, label=label, wnid=wnid) for number, label, wnid in labels])
    assert list(found) == ["background", *expected]
    assert len(set(found)) == len(found)


def test_a_label_space_with_huge_gaps_has_numbers_and_no_names() -> None:
    files = tfds_files(manifest(1, classes=(ClassEntry(id=74_673_216, label="a"),)))
    assert set(files) == {"features.json", "dataset_info.json"}
    connector = json.loads(files["features.json"])["featuresDict"]["features"]["image/object/class/label"]
    assert connector["sequence"]["feature"]["pythonClassName"].endswith(".Scalar")


def test_the_same_manifest_gives_the_same_bytes() -> None:
    assert tfds_files(manifest(2, 1)) == tfds_files(manifest(2, 1))


def picture(number: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("L" if number == 1 else "RGB", (4 + number, 3), 40 * number).save(buffer, "PNG")
    return buffer.getvalue()


def records() -> list[ImageRecord]:
    """Rich, poor and labels-only."""
    box = BoxAnnotation(
        box=Box(0.1, 0.2, 0.5, 0.75),
        label="Spätzle, \n'fried'",
        class_id=3,
        is_crowd=True,
        keypoints=(Keypoint(0.5, 0.25, 2),),
        mask=picture(0),
        segmentation="[[1,2,3]]",
    )
    plain = BoxAnnotation(box=Box(0.0, 0.0, 1.0, 1.0), label="person", class_id=1, area=12.5)
    known = {"source": "coco", "filename": "x.png", "format": "png", "height": 3}
    return [
        ImageRecord(
            image_id="7",
            uri="a/x.png",
            has_boxes=True,
            width=4,
            encoded=picture(0),
            boxes=(box, plain),
            captions=(Caption("Grüße", "1"),),
            orientation=6,
            not_exhaustive=(3,),
            extra='{"a": 1}',
            **known,
        ),
        ImageRecord(image_id="8", uri="b/x.png", has_boxes=True, width=5, encoded=picture(1), **known),
        ImageRecord(
            image_id="9",
            uri="c/x.png",
            has_boxes=False,
            width=6,
            encoded=picture(2),
            labels=(ImageLabel(label="person", class_id=1, present=False, verified=True, confidence=0.75),),
            **known,
        ),
    ]


@pytest.mark.filterwarnings("ignore")
def test_tfds_reads_every_key_of_every_record(tmp_path: Path) -> None:
    pytest.importorskip("tensorflow")
    tfds = pytest.importorskip("tensorflow_datasets", exc_type=ImportError)
    shards = [records()[:2], [], records()[2:]]
    for number, found in enumerate(shards):
        data = b"".join(frame(encode_record(record)) for record in found)
        (tmp_path / f"train-{number:05d}-of-00003.tfrecord").write_bytes(data)
    for name, data in tfds_files(manifest(2, 0, 1)).items():
        (tmp_path / name).write_bytes(data)
    builder = tfds.builder_from_directory(tmp_path)
    assert builder.info.splits["train"].num_examples == 3
    labels = builder.info.features["image/object/class/label"].feature
    assert labels.names == ["background", "person", "unused 2", "Spätzle, 'fried'"]
    read = sorted(builder.as_dataset(split="train").as_numpy_iterator(), key=lambda e: e["image/source_id"])
    assert len(read) == 3
    for example, record in zip(read, records(), strict=True):
        with Image.open(io.BytesIO(record.encoded or b"")) as image:
            np.testing.assert_array_equal(example.pop("image/encoded"), np.asarray(image.convert("RGB")))
        stored = decode_features(encode_record(record))
        for feature in FEATURES[1:]:
            wanted = stored.get(feature.key, [])
            value = np.atleast_1d(example.pop(feature.key))
            assert len(value) == len(wanted), feature.key
            if feature.kind == "float":
                np.testing.assert_array_equal(value, np.array(wanted, np.float32))
            else:
                assert value.tolist() == wanted, feature.key
        assert not example
    assert len(list(builder.as_dataset(split="train[1:]"))) == 2
