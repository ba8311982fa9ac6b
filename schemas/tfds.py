"""A dataset directory as TensorFlow Datasets (TFDS) wants it: `tfds.builder_from_directory(OUT)` reads the shards.

TFDS looks for two files beside the shards. `dataset_info.json` gives name, version and, for each split, the number of
records of every shard and the template of their file names. `features.json` gives the features as a tree of connectors;
a key may hold slashes, so a flat dictionary of our own keys describes our tf.train.Examples as they are. The names of a
ClassLabel stand in `KEY.labels.txt`, slashes as dots, one name a line; line 0 is class 0.

Both files follow from the manifest and from `schemas.features.FEATURES`, so the same manifest gives the same bytes,
and TensorFlow is not needed to write them. What TFDS requires of them:

- A key that an Example may lack must be a sequence: TFDS reads a missing sequence as an empty one, but refuses an
  Example without a scalar. So rare keys are sequences, also those with one value.
- Label names are unique, without line breaks or outer blanks, and not empty. Ids of our classes start at 1, so class 0
  is "background", and ids that no class has are called "unused 12".
- `image/encoded` is decoded to RGB by tf.image.decode_image: JPEG, PNG and BMP. For GIF and WebP read the bytes with
  `decoders={"image/encoded": tfds.decode.SkipDecoding()}`.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from schemas.example_message import decode_features
from schemas.features import FEATURES, Feature
from schemas.manifest import ClassEntry, Manifest
from schemas.record import ImageRecord
from schemas.tfexample import encode_record

DATASET_INFO_NAME = "dataset_info.json"
FEATURES_NAME = "features.json"
CLASS_KEYS = ("image/object/class/label", "image/class/label")
FILE_NAMES = (DATASET_INFO_NAME, FEATURES_NAME, *(f"{key.replace('/', '.')}.labels.txt" for key in CLASS_KEYS))
VERSION = "1.0.0"  # of the records; TFDS wants three numbers
MOST_UNUSED = 100_000  # a label space with more gaps has numbers and no names

_PACKAGE = "tensorflow_datasets.core.features"
_DTYPES = {"int64": "int64", "float": "float32"}
_NOTHING = ImageRecord(image_id="", source="", uri="", filename="", has_boxes=False)
_SINGLE = {key for key, values in decode_features(encode_record(_NOTHING)).items() if len(values) == 1}


def tfds_files(manifest: Manifest) -> dict[str, bytes]:
    """What to write beside the shards, by file name. Pure.

    Args:
        manifest: of the dataset directory.
    """
    names = class_names(manifest.classes)
    files = {
        DATASET_INFO_NAME: _json(_dataset_info(manifest)),
        FEATURES_NAME: _json(_features(len(names))),
    }
    if names:
        text = "".join(f"{name}\n" for name in names).encode()
        files |= {name: text for name in FILE_NAMES if name.endswith(".labels.txt")}
    return files


def class_names(classes: Iterable[ClassEntry]) -> tuple[str, ...]:
    """The name of each class id from 0 on, all different; () for a label space with too many gaps.

    A class is called by its label. Where labels repeat, as ImageNet's two cranes do, the wnid or the id follows.
    """
    entries = sorted(classes, key=lambda entry: entry.id)
    size = entries[-1].id + 1 if entries else 1
    if size - len(entries) > MOST_UNUSED:
        return ()
    names = [f"unused {number}" for number in range(size)]
    names[0] = "background"
    plain = {entry.id: " ".join(entry.label.split()) or f"class {entry.id}" for entry in entries}
    repeated = {name for name, count in Counter([*plain.values(), "background"]).items() if count > 1}
    taken: set[str] = set()
    for entry in entries:
        name = plain[entry.id]
        if name in repeated and entry.wnid:
            name = f"{name} ({entry.wnid})"
        while name in repeated or name in taken or name.startswith("unused "):
            name = f"{name} ({entry.id})" if not name.startswith("unused ") else f"class {name}"
        taken.add(name)
        names[entry.id] = name
    return tuple(names)


def _dataset_info(manifest: Manifest) -> dict[str, Any]:
    return {
        "name": manifest.source,
        "version": VERSION,
        "description": f"Converted from {manifest.source} by wordtree; manifest.json says how and from which files.",
        "fileFormat": "tfrecord",
        "splits": [
            {
                "name": manifest.split,
                "filepathTemplate": "{SPLIT}-{SHARD_X_OF_Y}.{FILEFORMAT}",
                "shardLengths": [str(shard.records) for shard in manifest.shards],
                "numBytes": str(sum(shard.bytes for shard in manifest.shards)),
            }
        ],
    }


def _features(classes: int) -> dict[str, Any]:
    connectors = {feature.key: _connector(feature, classes) for feature in FEATURES}
    return _of_class("features_dict.FeaturesDict", featuresDict={"features": connectors})


def _connector(feature: Feature, classes: int) -> dict[str, Any]:
    """The connector of one key: a scalar where every record has exactly one value, otherwise a sequence."""
    single = feature.key in _SINGLE
    if feature.key == "image/encoded":
        image = {"dtype": "uint8", "shape": {"dimensions": ["-1", "-1", "3"]}}
        return _of_class("image_feature.Image", image=image)
    if feature.key.endswith(("/encoded", "/mask")):  # pictures that may be empty: their bytes as they are
        tensor = {"dtype": "string", "encoding": "none", "shape": {"dimensions": ["-1"]}}
        return _of_class("tensor_feature.Tensor", tensor=tensor)
    if feature.key in CLASS_KEYS and classes:
        value = _of_class("class_label_feature.ClassLabel", classLabel={"numClasses": str(classes)})
    elif feature.kind == "bytes":
        value = _of_class("text_feature.Text", text={})
    else:
        tensor = {"dtype": _DTYPES[feature.kind], "encoding": "none", "shape": {}}
        value = _of_class("scalar.Scalar", tensor=tensor)
    if single:
        return value
    return _of_class("sequence_feature.Sequence", sequence={"feature": value, "length": "-1"})


def _of_class(name: str, **content: Any) -> dict[str, Any]:
    return {"pythonClassName": f"{_PACKAGE}.{name}", **content}


def _json(value: Mapping[str, Any]) -> bytes:
    return (json.dumps(value, indent=4, sort_keys=True, ensure_ascii=False) + "\n").encode()
