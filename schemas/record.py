"""`ImageRecord`: one image with all that is known about it, from a reader to the shard.

Frozen, slotted, built of tuples and plain values: records compare, hash, pickle the same way each time and show a
readable difference in a failing test. A flag that a dataset may not state is `bool | None`; None is "not said".

Image labels have three values (rule R6): present, verified absent, and unknown, which is no row at all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from schemas.boxes import Box

ImageFormat = Literal["jpeg", "png", "gif", "bmp", "webp", ""]


@dataclass(frozen=True, slots=True, kw_only=True)
class BoxAnnotation:
    """One box drawn by somebody.

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


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageLabel:
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


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageRecord:
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
