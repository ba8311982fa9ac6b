"""The row plane: what is known about an image before its bytes are read, small enough to be shuffled at will.

A row holds boxes as the annotation file states them: continuous corners in pixels of the annotation's own frame, so
that pixel i covers [i, i + 1]. Only the step that reads the image knows its true size; there `pipelines.checks` turns
rows into `schemas.record.ImageRecord` with relative boxes (docs/decisions/0005-box-conventions.md).

An *element* is what is shuffled: 16 bytes of hash, eight of the row's place in the source, then the row as msgpack. Its
first eight bytes give the shard and elements sort by all of it, so a shard's contents and order depend on ids, seed and
the source's own order alone (rule R5).
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b

import msgspec

KEY_BYTES = 16
PLACE_BYTES = 8


class BoxRow(msgspec.Struct, frozen=True, array_like=True, gc=False, kw_only=True):
    """One box in pixels: corners in continuous 0-based coordinates, in any state of repair.

    Attributes:
        class_key: key of the class in the source, see `DatasetClass.key`.
        flag_unread: name and words of the flags that could not be read, "" for none; they are None here, and counted.
        keypoints: (y, x, visibility) in pixels, as the box.
        parts: (name, ymin, xmin, ymax, xmax) in pixels, as the box.
        mask_uri: path of the PNG of its mask below the source's asset root; "" when there is none.
        where: file and position of this annotation, for rejects; "" for the image's provenance.
        The others are those of `schemas.record.BoxAnnotation`; `segmentation` in pixels of the annotation's frame.
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
    flag_unread: str = ""
    keypoints: tuple[tuple[float, float, int], ...] = ()
    parts: tuple[tuple[str, float, float, float, float], ...] = ()
    segmentation: str = ""
    mask_uri: str = ""
    extra: str = ""
    where: str = ""


class LabelRow(msgspec.Struct, frozen=True, array_like=True, gc=False, kw_only=True):
    """One statement about the whole image; attributes as in `schemas.record.ImageLabel`, `where` as in `BoxRow`."""

    class_key: str
    present: bool = True
    verified: bool | None = None
    confidence: float = 1.0
    source: str = ""
    where: str = ""


class Member(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Where an image lies inside a larger file: bytes from its start, and how they are packed ("" or "deflate")."""

    offset: int
    length: int
    packing: str = ""


class ImageRow(msgspec.Struct, frozen=True, array_like=True, gc=False, kw_only=True, tag="image"):
    """One image without its pixels.

    Attributes:
        image_id: the dataset's own id as text.
        uri: path of the image below the source's image root.
        member: place of the image in the file `uri`, where that is an archive.
        filename: the image's own name where `uri` names an archive; "" for the last part of `uri`.
        height, width: as the annotation states them; 0 when it does not.
        has_boxes: whether people looked for boxes in this image.
        provenance: name of the annotation file, without its folder.
        captions: (text, id).
        map_uris: (kind, path below the source's asset root) of pictures of numbers per pixel.
        not_exhaustive: keys of classes of which not every object has a box.
        rotation, extra: as in `schemas.record.ImageRecord`.
    """

    image_id: str
    uri: str
    member: Member | None = None
    filename: str = ""
    height: int = 0
    width: int = 0
    has_boxes: bool
    boxes: tuple[BoxRow, ...] = ()
    labels: tuple[LabelRow, ...] = ()
    provenance: str = ""
    rotation: int | None = None
    captions: tuple[tuple[str, str], ...] = ()
    map_uris: tuple[tuple[str, str], ...] = ()
    not_exhaustive: tuple[str, ...] = ()
    extra: str = ""


class Statements(msgspec.Struct, frozen=True, array_like=True, gc=False, kw_only=True, tag="statements"):
    """What one file says about an image that another row describes; `pipelines.joining` puts them together.

    Attributes:
        boxes_sought: whether people looked for boxes in this image, as this file says; None when it does not.
        provenance: name of the file, without its folder.
    """

    image_id: str
    boxes: tuple[BoxRow, ...] = ()
    labels: tuple[LabelRow, ...] = ()
    captions: tuple[tuple[str, str], ...] = ()
    map_uris: tuple[tuple[str, str], ...] = ()
    boxes_sought: bool | None = None
    provenance: str = ""


class Rejected(msgspec.Struct, frozen=True, array_like=True, gc=False, kw_only=True, tag="rejected"):
    """One record that is not written, as it will stand in rejects.jsonl.

    Attributes:
        kind: "image", "box", "label" or "caption".
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


class Noted(msgspec.Struct, frozen=True, array_like=True, gc=False, kw_only=True):
    """Something that is written though it is not as it should be, as it will stand in repairs.jsonl.

    Attributes:
        action: "fixed" or "kept".
        found: what stood there and, where it was fixed, what stands there now.
        The others are those of `Rejected`.
    """

    kind: str
    record: str
    reason: str
    action: str
    found: str = ""
    where: str = ""
    image_id: str = ""


Row = ImageRow | Statements | Rejected

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Row)


def rejected_image(row: ImageRow, reason: str, found: str) -> Rejected:
    """The image of a row, not written."""
    where = row.uri or row.provenance
    return Rejected(kind="image", record=row.image_id, reason=reason, found=found, where=where, image_id=row.image_id)


def rejected_box(row: ImageRow | Statements, box: BoxRow, number: int, reason: str, found: str) -> Rejected:
    """One box, not written; `number` counts the boxes of the row from 1."""
    record = box.annotation_id or f"{row.image_id}#{number}"
    where = box.where or f"{row.provenance}, image {row.image_id}, box {number}"
    return Rejected(kind="box", record=record, reason=reason, found=found, where=where, image_id=row.image_id)


def rejected_label(row: ImageRow | Statements, label: LabelRow, number: int, reason: str, found: str) -> Rejected:
    """One image label, not written; `number` counts the labels of the row from 1."""
    record = f"{row.image_id}#label{number}"
    where = label.where or f"{row.provenance}, image {row.image_id}, label {number}"
    return Rejected(kind="label", record=record, reason=reason, found=found, where=where, image_id=row.image_id)


def rejected_annotations(row: ImageRow | Statements, word: str, found: str) -> Iterator[Rejected]:
    """All boxes, labels and captions of a row, not written, for reasons such as `box:WORD`."""
    for number, box in enumerate(row.boxes, start=1):
        yield rejected_box(row, box, number, f"box:{word}", found)
    for number, label in enumerate(row.labels, start=1):
        yield rejected_label(row, label, number, f"label:{word}", found)
    for text, caption_id in row.captions:
        yield Rejected(
            kind="caption",
            record=caption_id or f"{row.image_id}#caption",
            reason=f"caption:{word}",
            found=f"{found}: {text[:80]!r}",
            where=f"{row.provenance}, image {row.image_id}",
            image_id=row.image_id,
        )


def sort_key(image_id: str, seed: int) -> bytes:
    """16 bytes that look random and depend on (image_id, seed) alone."""
    return blake2b(image_id.encode(), key=b"wordtree shard %d" % seed, digest_size=KEY_BYTES).digest()


def shard_of(key: bytes, shards: int) -> int:
    """The shard of a key, in 0..shards-1."""
    return int.from_bytes(key[:8], "big") % shards


def encode_row(row: Row, seed: int, place: int) -> bytes:
    """The element of a row; `decode_row` gives the row back.

    Args:
        place: of the row in the source, in 0..2**64-1; rows of one image keep this order.
    """
    return sort_key(row.image_id, seed) + place.to_bytes(PLACE_BYTES, "big") + _encoder.encode(row)


def decode_row(element: bytes) -> Row:
    """The row of an element."""
    return _decoder.decode(memoryview(element)[KEY_BYTES + PLACE_BYTES :])
