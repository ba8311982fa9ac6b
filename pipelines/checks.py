"""From a row and the image's bytes to a record: what is kept, repaired and rejected, as pure functions (rule R10).

The default policy, in the order in which it applies:

    image  no file, no bytes, web page, unknown format, broken header, end missing,
           too many pixels, a BMP that TensorFlow cannot decode                      reject, with its annotations
           size differs from the annotation's           the file's header is the truth; fixed `image:size_mismatch`
    box    NaN or infinite                              reject `box:not_finite`
           corners the wrong way round                  reject `box:reversed`
           no area                                      reject `box:zero_area`
           nothing of it inside the image               reject `box:outside`
           past the edge                                clip, fixed `box:clipped`
           a flag that is neither 0 nor 1               unknown, fixed `box:flag_unread`

An image whose boxes are all rejected stays, as background. An image that is only labelled and loses all its labels
says nothing any more and is rejected as `image:no_label`.

Boxes and stored pixels go together. EXIF orientation is not applied to the pixels, which are copied as they are. Where
the annotation's size is the stored size with its sides swapped and EXIF says that viewers turn the image by a quarter,
the annotator saw it turned, so the boxes are turned back: fixed `box:turned`.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, field
from typing import Literal

from pipelines.image_header import ImageHeader, read_header
from pipelines.labelling import LabelSpace
from pipelines.rows import BoxRow, ImageRow, Rejected
from schemas.boxes import Box, rotate_box
from schemas.errors import RecordError
from schemas.record import BoxAnnotation, ImageLabel, ImageRecord

ROUNDING = 1e-6  # of a side: what arithmetic in floats may add to a box, and less than any box's own size


@dataclass(frozen=True, slots=True)
class Policy:
    """What to do where data can be read in two ways.

    Attributes:
        on_bad_box: past the edge: "clip" it, or "reject" it as `box:past_edge`.
        on_size_mismatch: the annotation states another size than the file has: "file" takes pixel boxes as pixels of
            the file (the stated size is wrong), "scale" as pixels of the stated size (the image was resized later),
            "reject" rejects the image.
    """

    on_bad_box: Literal["clip", "reject"] = "clip"
    on_size_mismatch: Literal["file", "scale", "reject"] = "file"


@dataclass(frozen=True, slots=True)
class Examined:
    """What became of one row. Law: its annotations = those of the record + those rejected.

    Attributes:
        record: to be written; None if the image itself is among `rejected`.
        rejected: what is not written.
        fixed: repairs by reason; of boxes that were written, and of the image.
    """

    record: ImageRecord | None
    rejected: tuple[Rejected, ...] = ()
    fixed: Counter[str] = field(default_factory=Counter)


def examine(row: ImageRow, data: bytes | RecordError, space: LabelSpace, policy: Policy) -> Examined:
    """Apply the policy to one image.

    Args:
        row: the image as annotated.
        data: the bytes of its file, or why there are none.
        space: the classes that are kept.
        policy: what to do where data can be read in two ways.
    """
    try:
        if isinstance(data, RecordError):
            raise data
        header = read_header(data)
        fixed: Counter[str] = Counter()
        frame = _frame_of(row, header, policy, fixed)
    except RecordError as error:
        return Examined(None, reject_image(row, error))
    rejected: list[Rejected] = []
    boxes: list[BoxAnnotation] = []
    for number, box in enumerate(row.boxes, start=1):
        try:
            boxes.append(_annotation(box, frame, header, space, policy, fixed))
        except RecordError as error:
            rejected.append(_rejected_box(row, box, number, error.reason, str(error)))
    labels: list[ImageLabel] = []
    for number, label in enumerate(row.labels, start=1):
        entry = space.classes.get(label.class_key)
        if entry is None:
            rejected.append(_rejected_label(row, number, "label:unknown_class", f"class {label.class_key!r}"))
            continue
        labels.append(
            ImageLabel(
                label=entry.label,
                class_id=entry.id,
                wnid=entry.wnid,
                present=label.present,
                verified=label.verified,
                confidence=label.confidence,
                source=label.source,
            )
        )
    if row.labels and not labels and not row.has_boxes:
        why = _rejected_image(row, "image:no_label", "none of its labels is kept")
        return Examined(None, (why, *rejected))
    record = ImageRecord(
        image_id=row.image_id,
        source=space.source,
        uri=row.uri,
        filename=row.uri.rsplit("/", 1)[-1],
        has_boxes=row.has_boxes,
        format=header.format,
        height=header.height,
        width=header.width,
        boxes=tuple(boxes),
        labels=tuple(labels),
        encoded=data,
        sha256=hashlib.sha256(data).hexdigest(),
        provenance=row.provenance,
    )
    return Examined(record, tuple(rejected), fixed)


def check_box(box: Box, policy: Policy) -> tuple[Box, bool]:
    """The box inside the image, and whether it had to be clipped.

    Raises:
        RecordError: for a box that the policy rejects.
    """
    if not box.is_finite():
        raise RecordError("box:not_finite", "a corner is NaN or infinite")
    if box.height < 0 or box.width < 0:
        raise RecordError("box:reversed", "its corners stand the wrong way round")
    if box.height < ROUNDING or box.width < ROUNDING:
        raise RecordError("box:zero_area", "it has no area")
    if min(box) >= 0 and max(box) <= 1:
        return box, False
    inside = box.clip()
    if inside.height < ROUNDING or inside.width < ROUNDING:
        raise RecordError("box:outside", "it lies outside the image")
    beyond = max(-box.ymin, -box.xmin, box.ymax - 1, box.xmax - 1)
    if beyond <= ROUNDING:
        return inside, False
    if policy.on_bad_box == "reject":
        raise RecordError("box:past_edge", "it reaches past the image's edge")
    return inside, True


@dataclass(frozen=True, slots=True)
class _Frame:
    """The picture that the annotator saw: its size in the row's pixels, and the EXIF turn that showed it so."""

    height: int
    width: int
    orientation: int = 1


def _frame_of(row: ImageRow, header: ImageHeader, policy: Policy, fixed: Counter[str]) -> _Frame:
    stated = (row.height, row.width)
    if 0 in stated or stated == (header.height, header.width):
        return _Frame(header.height, header.width)
    if stated == (header.width, header.height) and header.orientation in _QUARTER_TURNED:
        return _Frame(row.height, row.width, header.orientation)
    if policy.on_size_mismatch == "reject":
        raise RecordError("image:size_mismatch", _mismatch(row, header))
    fixed["image:size_mismatch"] += 1
    return _Frame(*stated) if policy.on_size_mismatch == "scale" else _Frame(header.height, header.width)


def _mismatch(row: ImageRow, header: ImageHeader) -> str:
    return f"the annotation says {row.width} x {row.height}, the file {header.width} x {header.height}"


_QUARTER_TURNED = (5, 6, 7, 8)


def turn_to_stored(box: Box, orientation: int) -> Box:
    """A box on the picture as viewers show it, to the same box on the stored pixels.

    Args:
        box: relative to the shown picture.
        orientation: EXIF 5 to 8: shown is stored transposed (5), turned clockwise (6), transposed along the other
            diagonal (7), turned counter-clockwise (8).
    """
    if orientation == 6:
        return rotate_box(box, 1)
    if orientation == 8:
        return rotate_box(box, 3)
    transposed = Box(box.xmin, box.ymin, box.xmax, box.ymax)
    return transposed if orientation == 5 else rotate_box(transposed, 2)


def _annotation(
    row: BoxRow, frame: _Frame, header: ImageHeader, space: LabelSpace, policy: Policy, fixed: Counter[str]
) -> BoxAnnotation:
    entry = space.classes.get(row.class_key)
    if entry is None:
        raise RecordError("box:unknown_class", f"class {row.class_key!r}")
    box = Box(row.ymin / frame.height, row.xmin / frame.width, row.ymax / frame.height, row.xmax / frame.width)
    try:
        box, clipped = check_box(box, policy)
    except RecordError as error:
        corners = f"(x {row.xmin:g} to {row.xmax:g}, y {row.ymin:g} to {row.ymax:g})"
        size = f"{header.width} x {header.height}"
        raise RecordError(error.reason, f"{corners} in an image of {size}: {error}") from error
    if frame.orientation != 1:
        box = turn_to_stored(box, frame.orientation)
        fixed["box:turned"] += 1
    if clipped:
        fixed["box:clipped"] += 1
    if row.flag_unread:
        fixed["box:flag_unread"] += 1
    return BoxAnnotation(
        box=box,
        label=entry.label,
        class_id=entry.id,
        wnid=entry.wnid,
        annotation_id=row.annotation_id,
        area=row.area,
        is_crowd=row.is_crowd,
        is_difficult=row.is_difficult,
        is_truncated=row.is_truncated,
        is_occluded=row.is_occluded,
        is_group_of=row.is_group_of,
        is_depiction=row.is_depiction,
        is_inside=row.is_inside,
        view=row.view,
        source=row.source,
        confidence=row.confidence,
    )


def reject_image(row: ImageRow, error: RecordError) -> tuple[Rejected, ...]:
    """The image and, since nobody will see them, all its annotations."""
    found = f"{error}: {error.found}" if error.found else str(error)
    return (
        _rejected_image(row, error.reason, found),
        *(_rejected_box(row, box, n, "box:image_rejected", error.reason) for n, box in enumerate(row.boxes, start=1)),
        *(_rejected_label(row, n, "label:image_rejected", error.reason) for n in range(1, 1 + len(row.labels))),
    )


def _rejected_image(row: ImageRow, reason: str, found: str) -> Rejected:
    return Rejected(kind="image", record=row.image_id, reason=reason, found=found, where=row.uri, image_id=row.image_id)


def _rejected_box(row: ImageRow, box: BoxRow, number: int, reason: str, found: str) -> Rejected:
    record = box.annotation_id or f"{row.image_id}#{number}"
    where = f"{row.provenance}, image {row.image_id}, box {number}"
    return Rejected(kind="box", record=record, reason=reason, found=found, where=where, image_id=row.image_id)


def _rejected_label(row: ImageRow, number: int, reason: str, found: str) -> Rejected:
    record = f"{row.image_id}#label{number}"
    where = f"{row.provenance}, image {row.image_id}, label {number}"
    return Rejected(kind="label", record=record, reason=reason, found=found, where=where, image_id=row.image_id)
