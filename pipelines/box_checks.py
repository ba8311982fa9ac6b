"""One box from the annotator's pixels to the written image, with all that hangs on it; or the reason why not."""

from __future__ import annotations

import math
from collections.abc import Sequence

from pipelines.image_checks import Frame
from pipelines.images.header import ImageHeader
from pipelines.images.orientation import QUARTER_TURNED, inverse, turn_box, turn_point
from pipelines.policy import Policy
from pipelines.rows import BoxRow
from schemas.boxes import Box
from schemas.errors import RecordError
from schemas.manifest import ClassEntry
from schemas.record import BoxAnnotation, Keypoint, Part

ROUNDING = 1e-6  # of a side: what arithmetic in floats may add to a box, and less than any box's own size
Note = tuple[str, str, str]  # reason, action ("fixed" or "kept"), what was found


def check_box(box: Box, policy: Policy) -> tuple[Box, str]:
    """The box as it is written, and what was done about it: "", or the reason under which it is noted.

    Raises:
        RecordError: for a box that the policy rejects.
    """
    ymin, xmin, ymax, xmax = box
    if ymin >= 0 and xmin >= 0 and ymax <= 1 and xmax <= 1 and ymax - ymin >= ROUNDING and xmax - xmin >= ROUNDING:
        return box, ""
    if not all(map(math.isfinite, box)):
        raise RecordError("box:not_finite", "a corner is NaN or infinite")
    done = ""
    if ymax < ymin or xmax < xmin:
        if policy.action("box:reversed") == "reject":
            raise RecordError("box:reversed", "its corners stand the wrong way round")
        box, done = Box(min(ymin, ymax), min(xmin, xmax), max(ymin, ymax), max(xmin, xmax)), "box:reversed"
    if box.height < ROUNDING or box.width < ROUNDING:
        if policy.action("box:zero_area") == "reject" or min(box) < 0 or max(box) > 1:
            raise RecordError("box:zero_area", "it has no area")
        return box, "box:zero_area"
    if min(box) >= 0 and max(box) <= 1:
        return box, done
    inside = box.clip()
    if inside.height < ROUNDING or inside.width < ROUNDING:
        raise RecordError("box:outside", "it lies outside the image")
    if max(-box.ymin, -box.xmin, box.ymax - 1, box.xmax - 1) <= ROUNDING:
        return inside, done
    action = policy.action("box:past_edge")
    if action == "reject":
        raise RecordError("box:past_edge", "it reaches past the image's edge")
    return (box, "box:past_edge") if action == "keep" else (inside, "box:clipped")


def annotate(
    row: BoxRow,
    entry: ClassEntry | None,
    frame: Frame,
    stored: ImageHeader,
    turned: int,
    mask: bytes | RecordError,
    policy: Policy,
    stated: tuple[float, float] = (0, 0),
) -> tuple[BoxAnnotation, Sequence[Note]]:
    """The annotation of a row, and what is to be noted about it.

    Args:
        row: as the dataset states it.
        entry: its class, None if that is not kept.
        frame: what the row's numbers are relative to.
        stored: of the file.
        turned: orientation by which the pixels were turned for writing.
        mask: the PNG of `row.mask_uri`, b"" where there is none, or why it cannot be read.
        policy: what to do where data can be read in two ways.
        stated: as in `pipelines.checks.examine`.

    Raises:
        RecordError: for a box that is rejected.
    """
    if entry is None:
        raise RecordError("box:unknown_class", f"class {row.class_key!r}")
    height, width = frame.height, frame.width
    box = Box(row.ymin / height, row.xmin / width, row.ymax / height, row.xmax / width)
    try:
        box, done = check_box(box, policy)
    except RecordError as error:
        corners = f"({_corners(row, stated)})"
        size = f"{stored.width} x {stored.height}"
        raise RecordError(error.reason, f"{corners} in an image of {size}: {error}") from error
    plain = frame.orientation == turned == frame.area == 1 and not done and policy.masks == "keep"
    if plain and not (row.keypoints or row.parts or row.segmentation or row.mask_uri or row.flag_unread):
        # Nearly all boxes: nothing to turn, to draw or to tell.
        flags = (row.is_difficult, row.is_truncated, row.is_occluded, row.is_group_of, row.is_depiction, row.is_inside)
        of_class = (entry.label, entry.id, entry.wnid)
        said = (row.view, row.source, row.confidence)
        return BoxAnnotation(
            box, *of_class, row.annotation_id, row.area, row.is_crowd, *flags, *said, (), (), "", b"", row.extra
        ), ()
    notes: list[Note] = []
    if done:
        action = "kept" if done in ("box:past_edge", "box:zero_area") else "fixed"
        notes.append((done, action, f"{_corners(row, stated)} in {stored.width} x {stored.height}"))
    if frame.orientation != 1:
        box = turn_box(box, inverse(frame.orientation))
        notes.append(("box:turned", "fixed", f"EXIF orientation {frame.orientation}"))
    if turned != 1:
        box = turn_box(box, turned)
    if row.flag_unread:
        notes.append(("box:flag_unread", "fixed", f"{row.flag_unread}; expected 0 or 1"))
    if isinstance(mask, RecordError):
        notes.append(("box:mask_missing", "kept", f"{row.mask_uri}: {mask}"))
        mask = b""
    segmentation = row.segmentation
    if segmentation:
        try:
            segmentation, mask, without_area = _segmentation(row, frame, stored, turned, mask, policy)
            if mask and without_area:
                notes.append(("box:mask_part", "kept", f"{without_area} of its polygons have fewer than three points"))
        except RecordError as error:
            notes.append(("box:mask_unreadable", "kept", f"{error}"))
    if policy.masks == "png" and not mask and not any(reason.startswith("box:mask_") for reason, _, _ in notes):
        told = f"covers no pixel: {segmentation[:60]}" if segmentation else "is missing"
        notes.append(("box:no_mask", "kept", f"its segmentation {told}"))
    annotation = BoxAnnotation(
        box=box,
        label=entry.label,
        class_id=entry.id,
        wnid=entry.wnid,
        annotation_id=row.annotation_id,
        area=None if row.area is None else row.area * frame.area,
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
        keypoints=tuple(_keypoint(point, frame, turned) for point in row.keypoints) if row.keypoints else (),
        parts=tuple(Part(name, _turned(Box(*c), frame, turned)) for name, *c in row.parts) if row.parts else (),
        segmentation=segmentation,
        mask=mask,
        extra=row.extra,
    )
    return annotation, notes


def _corners(row: BoxRow, stated: tuple[float, float]) -> str:
    """The box with the numbers of its file."""
    low, high = stated
    return f"x {row.xmin + low:g} to {row.xmax + high:g}, y {row.ymin + low:g} to {row.ymax + high:g}"


def _turned(box: Box, frame: Frame, turned: int) -> Box:
    """A box in the annotator's pixels, relative to the written image."""
    box = Box(box.ymin / frame.height, box.xmin / frame.width, box.ymax / frame.height, box.xmax / frame.width)
    return turn_box(turn_box(box, inverse(frame.orientation)), turned)


def _keypoint(point: tuple[float, float, int], frame: Frame, turned: int) -> Keypoint:
    y, x, visibility = point
    if not visibility and not y and not x:  # COCO's form of "not labelled"
        return Keypoint(0.0, 0.0, 0)
    y, x = turn_point(y / frame.height, x / frame.width, inverse(frame.orientation))
    return Keypoint(*turn_point(y, x, turned), visibility)


def _segmentation(
    row: BoxRow, frame: Frame, stored: ImageHeader, turned: int, mask: bytes, policy: Policy
) -> tuple[str, bytes, int]:
    """The mask's text in pixels of the written image; and drawn, where the policy asks for it and there is none; and of
    how many polygons nothing is seen then.

    Raises:
        RecordError: for a text that is no mask and would have to be changed or drawn.
    """
    from schemas.masks import mask_png, polygons_without_area, segmentation_mask, transform_segmentation

    text, size = row.segmentation, (round(frame.height), round(frame.width))
    written = kept = (stored.height, stored.width)
    if size != kept or frame.orientation != 1:
        text = transform_segmentation(text, size, kept, inverse(frame.orientation))
    if turned != 1:
        written = (stored.width, stored.height) if turned in QUARTER_TURNED else kept
        text = transform_segmentation(text, kept, written, turned)
    if policy.masks == "png" and not mask:
        pixels = segmentation_mask(text, *written)
        mask = mask_png(pixels) if pixels.any() else b""
        return text, mask, polygons_without_area(text)
    return text, mask, 0
