"""From a row and the image's bytes to a record: what is kept, repaired and rejected, as pure functions (rule R10).

What a run may choose stands in `pipelines.policy`. These faults leave no choice:

    image  no file, no bytes, web page, unknown format, broken header, pixels that `--verify=decode` cannot decode
                                                        reject, with its annotations
    box    NaN or infinite                              reject `box:not_finite`
           nothing of it inside the image               reject `box:outside`
           a flag that is neither 0 nor 1               unknown, fixed `box:flag_unread`
           its mask's file cannot be read               kept without it, `box:mask_missing`

An image whose boxes are all rejected stays, as background. An image that is only labelled and loses all its labels
says nothing any more and is rejected as `image:no_label`.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from typing import NamedTuple

from pipelines.box_checks import annotate
from pipelines.image_checks import Prepared, frame_of, prepare
from pipelines.labelling import LabelSpace
from pipelines.policy import Policy
from pipelines.rows import (
    ImageRow,
    LabelRow,
    Noted,
    Rejected,
    rejected_annotations,
    rejected_box,
    rejected_image,
    rejected_label,
)
from schemas.errors import RecordError
from schemas.record import BoxAnnotation, Caption, ImageLabel, ImageRecord, SegmentationMap

Assets = Mapping[str, "bytes | RecordError"]
NO_ASSETS: Assets = {}


class Examined(NamedTuple):
    """What became of one row. Law: its annotations = those of the record + those rejected.

    Attributes:
        record: to be written; None if the image itself is among `rejected`.
        rejected: what is not written.
        notes: what is written though it is not as it should be; of boxes that were written, and of the image.
    """

    record: ImageRecord | None
    rejected: tuple[Rejected, ...] = ()
    notes: tuple[Noted, ...] = ()


def examine(
    row: ImageRow,
    data: bytes | RecordError,
    space: LabelSpace,
    policy: Policy,
    *,
    assets: Assets = NO_ASSETS,
    relative: bool = False,
    stated: tuple[float, float] = (0, 0),
    digest: str = "",
) -> Examined:
    """Apply the policy to one image.

    Args:
        row: the image as annotated.
        data: the bytes of its file, or why there are none.
        space: the classes that are kept.
        policy: what to do where data can be read in two ways.
        assets: the bytes of masks and maps by their uri, or why there are none.
        relative: whether the row's coordinates are relative to the image and not in pixels.
        stated: as `pipelines.sources.base.DatasetSource.stated_corners`, so that rejects quote the file's numbers.
        digest: sha256 of the data in hex, if it is known already.
    """
    try:
        if isinstance(data, RecordError):
            raise data
        image = prepare(row, data, policy)
        frame, size_notes = frame_of(row, image.stored, policy, relative)
    except RecordError as error:
        return Examined(None, reject_image(row, error))
    rejected: list[Rejected] = []
    notes = [*image.notes, *size_notes]
    boxes: list[BoxAnnotation] = []
    for number, box in enumerate(row.boxes, start=1):
        try:
            mask = assets.get(box.mask_uri, b"") if box.mask_uri else b""
            entry = space.classes.get(box.class_key)
            annotation, told = annotate(box, entry, frame, image.stored, image.turned, mask, policy, stated)
        except RecordError as error:
            rejected.append(rejected_box(row, box, number, error.reason, str(error)))
            continue
        boxes.append(annotation)
        if told:
            at = rejected_box(row, box, number, "", "")
            notes += [
                Noted(
                    kind="box",
                    record=at.record,
                    reason=reason,
                    action=action,
                    found=found,
                    where=at.where,
                    image_id=row.image_id,
                )
                for reason, action, found in told
            ]
    labels = _labels(row, space, rejected)
    if row.labels and not labels and not row.has_boxes:
        why = rejected_image(row, "image:no_label", "none of its labels is kept")
        return Examined(None, (why, *rejected))
    maps = _maps(row, image, assets, notes)
    if image.data is not data or not digest:
        digest = hashlib.sha256(image.data).hexdigest()
    return Examined(_record(row, image, space, boxes, labels, maps, digest), tuple(rejected), tuple(notes))


def _record(
    row: ImageRow,
    image: Prepared,
    space: LabelSpace,
    boxes: list[BoxAnnotation],
    labels: list[ImageLabel],
    maps: tuple[SegmentationMap, ...],
    digest: str,
) -> ImageRecord:
    not_exhaustive = (space.classes.get(key) for key in row.not_exhaustive)
    return ImageRecord(
        image_id=row.image_id,
        source=space.source,
        uri=row.uri,
        filename=row.filename or row.uri.rsplit("/", 1)[-1],
        has_boxes=row.has_boxes,
        format=image.header.format,
        height=image.header.height,
        width=image.header.width,
        boxes=tuple(boxes),
        labels=tuple(labels),
        encoded=image.data,
        sha256=digest,
        provenance=row.provenance,
        orientation=image.header.orientation,
        rotation=row.rotation if image.turned == 1 or row.rotation is None else 0,
        captions=tuple(Caption(*caption) for caption in row.captions),
        maps=maps,
        not_exhaustive=tuple(entry.id for entry in not_exhaustive if entry is not None),
        extra=row.extra,
    )


def _labels(row: ImageRow, space: LabelSpace, rejected: list[Rejected]) -> list[ImageLabel]:
    """The labels that are kept; the others go to `rejected`."""
    labels: list[ImageLabel] = []
    for number, label in enumerate(row.labels, start=1):
        entry = space.classes.get(label.class_key)
        fault = _fault(label) if entry else ("label:unknown_class", f"class {label.class_key!r}")
        if entry is None or fault is not None:
            rejected.append(rejected_label(row, label, number, *(fault or ("", ""))))
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
    return labels


def _fault(label: LabelRow) -> tuple[str, str] | None:
    if math.isfinite(label.confidence) and 0 <= label.confidence <= 1:
        return None
    return "label:bad_confidence", f"confidence {label.confidence}; expected 0 to 1"


def _maps(row: ImageRow, image: Prepared, assets: Assets, notes: list[Noted]) -> tuple[SegmentationMap, ...]:
    """The maps whose files can be read; a note for each other, and for each where the pixels were turned."""
    maps: list[SegmentationMap] = []
    for kind, uri in row.map_uris:
        data = assets.get(uri, b"")
        why = ""
        if isinstance(data, RecordError):
            why = str(data)
        elif image.turned != 1:
            why = "the image's pixels were turned and the map's were not"
        else:
            maps.append(SegmentationMap(kind, data))
            continue
        notes.append(
            Noted(
                kind="image",
                record=row.image_id,
                reason="image:map_missing",
                action="kept",
                found=f"{uri}: {why}",
                where=uri,
                image_id=row.image_id,
            )
        )
    return tuple(maps)


def reject_image(row: ImageRow, error: RecordError) -> tuple[Rejected, ...]:
    """The image and, since nobody will see them, all its annotations."""
    found = f"{error}: {error.found}" if error.found else str(error)
    return (rejected_image(row, error.reason, found), *rejected_annotations(row, "image_rejected", error.reason))
