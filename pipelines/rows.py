"""The row plane: what is known about an image before its bytes are read, small enough to be shuffled at will.

A row holds boxes as the annotation file states them: continuous corners in pixels of the annotation's own frame, so
that pixel i covers [i, i + 1]. Only the step that reads the image knows its true size; there `pipelines.checks` turns
rows into `schemas.record.ImageRecord` with relative boxes (docs/decisions/0005-box-conventions.md).

An *element* is what Beam shuffles: 16 bytes of hash, then the row as msgpack. Its first eight bytes give the shard and
elements sort by all of it, so a shard's contents and order depend on ids and seed alone (rule R5).
"""

from __future__ import annotations

from hashlib import blake2b

import msgspec

KEY_BYTES = 16


class BoxRow(msgspec.Struct, frozen=True, array_like=True, gc=False, kw_only=True):
    """One box in pixels: corners in continuous 0-based coordinates, in any state of repair.

    Attributes:
        class_key: key of the class in the source, see `DatasetClass.key`.
        flag_unread: whether a flag stood there that could not be read; it is None here, and counted.
        The others are those of `schemas.record.BoxAnnotation`.
    """

    ymin: float
    xmin: float
    ymax: float
    xmax: float
    class_key: str
    annotation_id: str = ""
    area: float | None = None
    is_crowd: bool | None = None
    is_difficult: bool | None = None
    is_truncated: bool | None = None
    is_occluded: bool | None = None
    is_group_of: bool | None = None
    is_depiction: bool | None = None
    is_inside: bool | None = None
    view: str = ""
    source: str = ""
    confidence: float = 1.0
    flag_unread: bool = False


class LabelRow(msgspec.Struct, frozen=True, array_like=True, gc=False, kw_only=True):
    """One statement about the whole image; attributes as in `schemas.record.ImageLabel`."""

    class_key: str
    present: bool = True
    verified: bool | None = None
    confidence: float = 1.0
    source: str = ""


class ImageRow(msgspec.Struct, frozen=True, array_like=True, gc=False, kw_only=True, tag="image"):
    """One image without its pixels.

    Attributes:
        image_id: the dataset's own id as text.
        uri: path of the image below the source's image root.
        height, width: as the annotation states them; 0 when it does not.
        has_boxes: whether people looked for boxes in this image.
        provenance: name of the annotation file, without its folder.
    """

    image_id: str
    uri: str
    height: int = 0
    width: int = 0
    has_boxes: bool
    boxes: tuple[BoxRow, ...] = ()
    labels: tuple[LabelRow, ...] = ()
    provenance: str = ""


class Rejected(msgspec.Struct, frozen=True, array_like=True, gc=False, kw_only=True, tag="rejected"):
    """One record that is not written, as it will stand in rejects.jsonl.

    Attributes:
        kind: "image", "box" or "label".
        record: id of the image or annotation.
        reason: `kind:word`; the rejects are counted by it.
        found: what stood there.
        where: annotation file and position, or the image file.
        image_id: the image it belongs to, as far as known.
    """

    kind: str
    record: str
    reason: str
    found: str = ""
    where: str = ""
    image_id: str = ""


Row = ImageRow | Rejected

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Row)


def sort_key(image_id: str, seed: int) -> bytes:
    """16 bytes that look random and depend on (image_id, seed) alone."""
    return blake2b(image_id.encode(), key=b"wordtree shard %d" % seed, digest_size=KEY_BYTES).digest()


def shard_of(key: bytes, shards: int) -> int:
    """The shard of a key, in 0..shards-1."""
    return int.from_bytes(key[:8], "big") % shards


def encode_row(row: Row, seed: int) -> bytes:
    """The element of a row; `decode_row` gives the row back."""
    return sort_key(row.image_id, seed) + _encoder.encode(row)


def decode_row(element: bytes) -> Row:
    """The row of an element."""
    return _decoder.decode(element[KEY_BYTES:])
