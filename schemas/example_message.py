"""tf.train.Example on the wire, with neither TensorFlow nor generated code.

The message is small: a map from keys to lists of bytes, floats or int64. Writing it by hand costs a third of what a
protobuf library costs, and the bytes are those that TensorFlow's deterministic serialisation gives: keys in order,
numbers packed, an empty list declared. Reading goes through protobuf, whose parser is fast, by a descriptor under a
package name of our own, which the wire format does not carry; so both can live in one process.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from schemas.errors import FormatError

LARGE = 4096  # bytes; what is larger is not copied
Parts = list[bytes]
_LIST_TAGS = {"bytes": b"\x0a", "float": b"\x12", "int64": b"\x1a"}


def _varint_of_any(number: int) -> bytes:
    """An unsigned or, as 64-bit two's complement, a negative number, seven bits a byte."""
    if number < 0:
        number += 1 << 64
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


_COMMON = {number: _varint_of_any(number) for number in range(-1, 16384)}  # two bytes and less, and "unknown"


class _Varints(dict[int, bytes]):
    """Varints by number: the common ones at hand, others made when they are asked for and not kept."""

    def __missing__(self, number: int) -> bytes:
        return _varint_of_any(number)


_VARINTS = _Varints(_COMMON)


def _texts(values: Sequence[str]) -> bytes:
    return b"".join([b"\x0a%b%b" % (_VARINTS[len(data)], data) for data in map(str.encode, values)])


def _floats(values: Sequence[float]) -> bytes:
    try:
        packed = struct.pack(f"<{len(values)}f", *values)
    except OverflowError:  # beyond float32: infinite, as protobuf has it
        with np.errstate(over="ignore"):
            packed = np.asarray(values, "<f8").astype("<f4").tobytes()
    return b"\x0a" + _VARINTS[len(packed)] + packed


def _numbers(values: Sequence[int]) -> bytes:
    packed = b"".join([_VARINTS[value] for value in values])
    return b"\x0a" + _VARINTS[len(packed)] + packed


_LISTS = {"bytes": _texts, "float": _floats, "int64": _numbers}


def key_field(key: str) -> bytes:
    """A key as its entry holds it: with tag and length."""
    data = key.encode()
    return b"\x0a" + _VARINTS[len(data)] + data


def add_entry(parts: Parts, key: bytes, kind: str, values: Sequence[Any]) -> None:
    """Append one entry of the map; `key` is a `key_field`. Bytes are not copied, however large they are."""
    if not values:
        parts.append(_head(key, kind, 0))
    elif kind == "bytes" and not isinstance(values[0], str):
        pieces = [piece for value in values for piece in (b"\x0a", _VARINTS[len(value)], value)]
        parts.append(_head(key, kind, sum(map(len, pieces))))
        parts += pieces
    else:
        data = _LISTS[kind](values)
        parts.append(_head(key, kind, len(data)) + data)


def _head(key: bytes, kind: str, size: int) -> bytes:
    """What stands before the list of an entry."""
    length = _VARINTS[size]
    inner = 1 + len(length) + size
    inner_length = _VARINTS[inner]
    whole = _VARINTS[len(key) + 1 + len(inner_length) + inner]
    return b"\x0a%b%b\x12%b%b%b" % (whole, key, inner_length, _LIST_TAGS[kind], length)


def join_entries(parts: Parts) -> Parts:
    """A whole Example, from entries that stand in the order of their keys, as few chunks: an encoded image is one."""
    small: Parts = [b"\x0a" + _VARINTS[sum(map(len, parts))]]
    chunks: Parts = []
    for part in parts:
        if len(part) > LARGE:
            chunks += (b"".join(small), part)
            small = []
        else:
            small.append(part)
    return [*chunks, b"".join(small)] if small else chunks


def encode_features(features: Mapping[str, tuple[str, Sequence[Any]]]) -> bytes:
    """Serialise {key: (kind, values)} deterministically: the same features, the same bytes, in any process."""
    parts: Parts = []
    for key, (kind, values) in sorted(features.items(), key=lambda item: item[0].encode()):
        add_entry(parts, key_field(key), kind, values)
    return b"".join(join_entries(parts))


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
