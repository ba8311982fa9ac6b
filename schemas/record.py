"""`ImageRecord`: one image with all that is known about it, from a reader to the shard.

Tuples all the way down: records cannot change, compare, hash and pickle the same way each time, cost little where there
are millions of them, and show a readable difference in a failing test. `record._replace(...)` makes a changed copy.
A flag that a dataset may not state is `bool | None`; None is "not said".

Image labels have three values (rule R6): present, verified absent, and unknown, which is no row at all.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from schemas.boxes import Box

ImageFormat = Literal["jpeg", "png", "gif", "bmp", "webp", ""]


class Keypoint(NamedTuple):
    """One named point of an object: relative to the image, in [0, 1] where it lies inside.

    `visibility` is COCO's: 0 not labelled (y = x = 0), 1 labelled but hidden, 2 visible.
    """

    y: float
    x: float
    visibility: int


class Part(NamedTuple):
    """A part of an object with a box of its own, as Pascal VOC's head, hand and foot."""

    name: str
    box: Box


class Caption(NamedTuple):
    """A sentence about the image, with the dataset's own id of it."""

    text: str
    caption_id: str = ""


class SegmentationMap(NamedTuple):
    """A picture of the image's size that holds a number per pixel, as the dataset stores it.

    Attributes:
        kind: "panoptic" (COCO: segment id = R + 256 G + 65536 B), "class" or "object" (VOC's palette PNGs).
        encoded: the bytes of its PNG file.
    """

    kind: str
    encoded: bytes


class BoxAnnotation(NamedTuple):
    """One box drawn by somebody. A tuple, since there are millions and columns of many are taken from them by zip.

    Attributes:
        box: `rel_yxyx`.
        label: the dataset's own string for the class.
        class_id: 1-based id in the dataset's labels.pbtxt; 0 until the label is mapped.
        wnid: the concept, "" when the label space has none.
        annotation_id: the dataset's own id of this annotation, as text.
        area: pixels squared as the dataset states it (COCO: of the mask), None when it does not.
        is_crowd, is_difficult, is_truncated, is_occluded, is_group_of, is_depiction, is_inside: flags.
        view: VOC's pose.
        source: who drew it; "" when the dataset does not say.
        confidence: in [0, 1]; 1 for people.
        keypoints: in the order that the class's category names them.
        parts: parts with boxes of their own.
        segmentation: the mask as JSON text of COCO's field: polygons [[x, y, ...], ...] or run lengths
            {"size": [h, w], "counts": ...}, in pixels of the stored image; "" when there is none.
        mask: a PNG of the mask, 0 outside; it may be smaller or larger than the image. b"" when there is none.
        extra: JSON text of an object with the fields of the dataset that have no place here; "" for none.
    """

    box: Box
    label: str
    class_id: int = 0
    wnid: str = ""
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
    keypoints: tuple[Keypoint, ...] = ()
    parts: tuple[Part, ...] = ()
    segmentation: str = ""
    mask: bytes = b""
    extra: str = ""


class ImageLabel(NamedTuple):
    """One statement about the whole image.

    Attributes:
        label, class_id, wnid: as in `BoxAnnotation`.
        present: False for "verified absent".
        verified: whether a person said so; None when the dataset does not say.
        confidence: probability that the statement is true, in [0, 1].
        source: who said so.
    """

    label: str
    class_id: int = 0
    wnid: str = ""
    present: bool = True
    verified: bool | None = None
    confidence: float = 1.0
    source: str = ""


class ImageRecord(NamedTuple):
    """One image.

    Attributes:
        image_id: the dataset's own id as text, unique in the dataset.
        source: the name of the dataset format it was read from ("coco", "voc", ...).
        uri: where the bytes were read.
        filename: the name of the image file.
        format: what the bytes are, whatever the name says; "" until they were read.
        height, width: pixels, from the image's own header; 0 until it was read.
        has_boxes: whether people looked for boxes in this image. True with no boxes is background;
            False says that only image labels are known.
        boxes, labels: in the dataset's order.
        encoded: the bytes of the file as they are; None until they were read.
        sha256: of `encoded`, in hex.
        provenance: the annotation file that named the image.
        orientation: EXIF orientation 1 to 8 of the stored pixels; 1 where none is stated.
        rotation: degrees counter-clockwise by which the dataset says that stored pixels and boxes should be turned to
            look upright (Open Images: 0, 90, 180, 270); None when it does not say.
        captions: sentences about the image.
        maps: pictures of numbers per pixel.
        not_exhaustive: class ids of which not every object has a box (LVIS).
        extra: JSON text of an object with the fields of the dataset that have no place here; "" for none.
    """

    image_id: str
    source: str
    uri: str
    filename: str
    has_boxes: bool
    format: ImageFormat = ""
    height: int = 0
    width: int = 0
    boxes: tuple[BoxAnnotation, ...] = ()
    labels: tuple[ImageLabel, ...] = ()
    encoded: bytes | None = None
    sha256: str = ""
    provenance: str = ""
    orientation: int = 1
    rotation: int | None = None
    captions: tuple[Caption, ...] = ()
    maps: tuple[SegmentationMap, ...] = ()
    not_exhaustive: tuple[int, ...] = ()
    extra: str = ""
