"""`ImageRecord` as a tf.train.Example, with neither TensorFlow nor generated code.

A `tf.train.Example` is a small protobuf message. It is declared here under a package name of its own, which the wire
format does not carry, so the bytes equal TensorFlow's and both can live in one process.

Keys are those of the TensorFlow Object Detection API, so its decoder and others read the shards; what has no key there
has one under `wordtree/`. Per-object lists are parallel. `image/object/class/label` is 1-based. Flags there are cast to
bool by readers, so an unknown flag is written as 0, and the exact three values (-1 unknown) under `wordtree/object/`.

FEATURES is the schema: encoding and decoding both follow it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from schemas.boxes import Box
from schemas.errors import FormatError
from schemas.record import BoxAnnotation, ImageLabel, ImageRecord

FLAGS = ("is_crowd", "is_difficult", "is_truncated", "is_occluded", "is_group_of", "is_depiction", "is_inside")
API_FLAG_KEYS = {
    "is_crowd": "image/object/is_crowd",
    "is_difficult": "image/object/difficult",
    "is_truncated": "image/object/truncated",
    "is_occluded": "image/object/occluded",
    "is_group_of": "image/object/group_of",
    "is_depiction": "image/object/depiction",
    "is_inside": "image/object/inside",
}


class Feature(NamedTuple):
    """One key of the Example: the list it stores ("bytes", "float" or "int64") and how to take it from a record."""

    key: str
    kind: str
    values: Callable[[ImageRecord], Sequence[Any]]


def _of_boxes(get: Callable[[BoxAnnotation], Any]) -> Callable[[ImageRecord], Sequence[Any]]:
    return lambda record: [get(box) for box in record.boxes]


def _of_labels(get: Callable[[ImageLabel], Any]) -> Callable[[ImageRecord], Sequence[Any]]:
    return lambda record: [get(label) for label in record.labels]


def _tristate(flag: bool | None) -> int:
    return -1 if flag is None else int(flag)


def _flag_features() -> list[Feature]:
    features: list[Feature] = []
    for name in FLAGS:
        features.append(
            Feature(API_FLAG_KEYS[name], "int64", _of_boxes(lambda box, n=name: int(bool(getattr(box, n)))))
        )
        features.append(
            Feature(f"wordtree/object/{name}", "int64", _of_boxes(lambda box, n=name: _tristate(getattr(box, n))))
        )
    return features


FEATURES: tuple[Feature, ...] = (
    Feature("image/encoded", "bytes", lambda r: [r.encoded or b""]),
    Feature("image/format", "bytes", lambda r: [r.format]),
    Feature("image/filename", "bytes", lambda r: [r.filename]),
    Feature("image/source_id", "bytes", lambda r: [r.image_id]),
    Feature("image/key/sha256", "bytes", lambda r: [r.sha256]),
    Feature("image/height", "int64", lambda r: [r.height]),
    Feature("image/width", "int64", lambda r: [r.width]),
    Feature("image/object/bbox/ymin", "float", _of_boxes(lambda b: b.box.ymin)),
    Feature("image/object/bbox/xmin", "float", _of_boxes(lambda b: b.box.xmin)),
    Feature("image/object/bbox/ymax", "float", _of_boxes(lambda b: b.box.ymax)),
    Feature("image/object/bbox/xmax", "float", _of_boxes(lambda b: b.box.xmax)),
    Feature("image/object/class/label", "int64", _of_boxes(lambda b: b.class_id)),
    Feature("image/object/class/text", "bytes", _of_boxes(lambda b: b.label)),
    Feature("image/object/area", "float", _of_boxes(lambda b: -1.0 if b.area is None else b.area)),
    Feature("image/object/view", "bytes", _of_boxes(lambda b: b.view)),
    *_flag_features(),
    Feature("wordtree/object/wnid", "bytes", _of_boxes(lambda b: b.wnid)),
    Feature("wordtree/object/id", "bytes", _of_boxes(lambda b: b.annotation_id)),
    Feature("wordtree/object/source", "bytes", _of_boxes(lambda b: b.source)),
    Feature("wordtree/object/confidence", "float", _of_boxes(lambda b: b.confidence)),
    Feature("image/class/label", "int64", _of_labels(lambda a: a.class_id)),
    Feature("image/class/text", "bytes", _of_labels(lambda a: a.label)),
    Feature("image/class/confidence", "float", _of_labels(lambda a: a.confidence if a.present else 0.0)),
    Feature("wordtree/class/wnid", "bytes", _of_labels(lambda a: a.wnid)),
    Feature("wordtree/class/present", "int64", _of_labels(lambda a: int(a.present))),
    Feature("wordtree/class/verified", "int64", _of_labels(lambda a: _tristate(a.verified))),
    Feature("wordtree/class/confidence", "float", _of_labels(lambda a: a.confidence)),
    Feature("wordtree/class/source", "bytes", _of_labels(lambda a: a.source)),
    Feature("wordtree/has_boxes", "int64", lambda r: [int(r.has_boxes)]),
    Feature("wordtree/source", "bytes", lambda r: [r.source]),
    Feature("wordtree/uri", "bytes", lambda r: [r.uri]),
    Feature("wordtree/provenance", "bytes", lambda r: [r.provenance]),
)
_KINDS = {feature.key: feature.kind for feature in FEATURES}


def _declare_example() -> Any:
    """The message class: Feature{oneof bytes_list=1, float_list=2, int64_list=3}, Features{map}, Example{features}."""
    proto = descriptor_pb2.FileDescriptorProto(name="wordtree/example.proto", package="wordtree", syntax="proto3")
    field = descriptor_pb2.FieldDescriptorProto

    def add(message: Any, name: str, number: int, kind: int, *, label: int, type_name: str = "", oneof: bool = False):
        added = message.field.add(name=name, number=number, type=kind, label=label)
        if type_name:
            added.type_name = type_name
        if oneof:
            added.oneof_index = 0

    lists = {"BytesList": field.TYPE_BYTES, "FloatList": field.TYPE_FLOAT, "Int64List": field.TYPE_INT64}
    for name, kind in lists.items():
        add(proto.message_type.add(name=name), "value", 1, kind, label=field.LABEL_REPEATED)
    feature = proto.message_type.add(name="Feature")
    feature.oneof_decl.add(name="kind")
    for number, name in enumerate(("bytes_list", "float_list", "int64_list"), start=1):
        list_type = ".wordtree." + "".join(part.capitalize() for part in name.split("_"))
        add(feature, name, number, field.TYPE_MESSAGE, label=field.LABEL_OPTIONAL, type_name=list_type, oneof=True)
    features = proto.message_type.add(name="Features")
    entry = features.nested_type.add(name="FeatureEntry")
    entry.options.map_entry = True
    add(entry, "key", 1, field.TYPE_STRING, label=field.LABEL_OPTIONAL)
    add(entry, "value", 2, field.TYPE_MESSAGE, label=field.LABEL_OPTIONAL, type_name=".wordtree.Feature")
    entry_type = ".wordtree.Features.FeatureEntry"
    add(features, "feature", 1, field.TYPE_MESSAGE, label=field.LABEL_REPEATED, type_name=entry_type)
    example = proto.message_type.add(name="Example")
    add(example, "features", 1, field.TYPE_MESSAGE, label=field.LABEL_OPTIONAL, type_name=".wordtree.Features")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(proto)  # a pool of our own: no clash with TensorFlow's
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("wordtree.Example"))


Example = _declare_example()


def encode_features(features: Mapping[str, tuple[str, Sequence[Any]]]) -> bytes:
    """Serialise {key: (kind, values)} deterministically: the same features, the same bytes, in any process."""
    example = Example()
    table = example.features.feature
    for key, (kind, values) in features.items():
        slot = table[key]
        if kind == "bytes":
            slot.bytes_list.value.extend([v.encode() if isinstance(v, str) else v for v in values])
        elif kind == "float":
            slot.float_list.value.extend(values)
        else:
            slot.int64_list.value.extend(values)
        if not values:  # declare the empty list: readers that check the kind accept it
            getattr(slot, f"{kind}_list").SetInParent()
    return example.SerializeToString(deterministic=True)


def encode_record(record: ImageRecord) -> bytes:
    """The record as a serialised tf.train.Example; `decode_record` gives it back (coordinates as float32)."""
    return encode_features({feature.key: (feature.kind, feature.values(record)) for feature in FEATURES})


def decode_features(data: bytes) -> dict[str, list[Any]]:
    """Serialised Example to {key: values}; bytes stay bytes.

    Raises:
        FormatError: if the bytes are no tf.train.Example.
    """
    example = Example()
    try:
        example.ParseFromString(data)
    except Exception as error:  # DecodeError lives in a private module in some protobuf versions
        raise FormatError(f"{len(data)} bytes are not a tf.train.Example ({error})") from error
    out: dict[str, list[Any]] = {}
    for key, slot in example.features.feature.items():
        kind = slot.WhichOneof("kind")
        out[key] = list(getattr(slot, kind).value) if kind else []
    return out


def decode_record(data: bytes) -> ImageRecord:
    """A serialised Example to the record it was made of.

    Raises:
        FormatError: if the bytes are no Example, or keys are missing or of unequal length.
    """
    table = decode_features(data)
    missing = [key for key in _KINDS if key not in table]
    if missing:
        raise FormatError(
            f"the record lacks {missing[0]!r} and {len(missing) - 1} more keys; written by `wordtree convert`?"
        )

    def text(key: str) -> list[str]:
        return [value.decode() for value in table[key]]

    def tristate(value: int) -> bool | None:
        return None if value < 0 else bool(value)

    sides = [table[f"image/object/bbox/{side}"] for side in ("ymin", "xmin", "ymax", "xmax")]
    flags: dict[str, list[Any]] = {name: [tristate(v) for v in table[f"wordtree/object/{name}"]] for name in FLAGS}
    object_texts: dict[str, list[Any]] = {
        name: text(key)
        for name, key in {
            "label": "image/object/class/text",
            "wnid": "wordtree/object/wnid",
            "annotation_id": "wordtree/object/id",
            "view": "image/object/view",
            "source": "wordtree/object/source",
        }.items()
    }
    label_texts: dict[str, list[Any]] = {
        name: text(key)
        for name, key in {
            "label": "image/class/text",
            "wnid": "wordtree/class/wnid",
            "source": "wordtree/class/source",
        }.items()
    }
    try:
        boxes = tuple(
            BoxAnnotation(
                box=Box(*corner),
                class_id=class_id,
                area=None if area < 0 else area,
                confidence=confidence,
                **{name: values[i] for name, values in object_texts.items()},
                **{name: values[i] for name, values in flags.items()},
            )
            for i, (corner, class_id, area, confidence) in enumerate(
                zip(
                    zip(*sides, strict=True),
                    table["image/object/class/label"],
                    table["image/object/area"],
                    table["wordtree/object/confidence"],
                    strict=True,
                )
            )
        )
        labels = tuple(
            ImageLabel(
                class_id=class_id,
                present=bool(present),
                verified=tristate(verified),
                confidence=confidence,
                **{name: values[i] for name, values in label_texts.items()},
            )
            for i, (class_id, present, verified, confidence) in enumerate(
                zip(
                    table["image/class/label"],
                    table["wordtree/class/present"],
                    table["wordtree/class/verified"],
                    table["wordtree/class/confidence"],
                    strict=True,
                )
            )
        )
    except (ValueError, IndexError) as error:
        raise FormatError(f"the per-object lists of {text('image/source_id')} differ in length ({error})") from error
    return ImageRecord(
        image_id=text("image/source_id")[0],
        source=text("wordtree/source")[0],
        uri=text("wordtree/uri")[0],
        filename=text("image/filename")[0],
        has_boxes=bool(table["wordtree/has_boxes"][0]),
        format=text("image/format")[0],  # type: ignore[arg-type]
        height=table["image/height"][0],
        width=table["image/width"][0],
        boxes=boxes,
        labels=labels,
        encoded=table["image/encoded"][0] or None,
        sha256=text("image/key/sha256")[0],
        provenance=text("wordtree/provenance")[0],
    )
