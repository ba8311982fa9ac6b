"""Instances, keypoints and LVIS files as rows: images without boxes, and statements about them batch by batch."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from pipelines.coco.boxes import box_row
from pipelines.coco.entries import (
    UNSET,
    AnnotationEntry,
    AnyEntry,
    ImageEntry,
    Number,
    StrictAnnotation,
    all_fields,
    is_usual_id,
    loose_id,
    other_fields,
)
from pipelines.coco.ids import SeenIds
from pipelines.files import storage
from pipelines.files.json_forms import Bad
from pipelines.files.json_stream import Batch, Value, read_object
from pipelines.rows import BoxRow, ImageRow, LabelRow, Rejected, Row, Statements
from schemas.coco import Id, id_text

_encode = msgspec.json.Encoder().encode
_ANNOTATION_FIELDS = AnnotationEntry.__struct_fields__


def read_instances(
    path: str, images: ImageFolder | None, known: Mapping[str, Id], *, has_boxes: bool = True
) -> Iterator[Row]:
    """The rows of a file with `images` and `annotations`.

    Args:
        path: of the file.
        images: where its images lie; None if another file describes them.
        known: the ids of its categories, as text and as they stand in the file.
        has_boxes: whether people looked for boxes.
    """
    where = storage.name_of(path)
    seen = SeenIds()
    lists = {
        "images": (ImageEntry if images else AnyEntry,),
        "annotations": (StrictAnnotation, AnnotationEntry),
    }
    for part in read_object(path, lists, where=where):
        if isinstance(part, Value):
            continue
        if part.name == "annotations":
            yield from statements(part, where, known, seen, _ANNOTATION_FIELDS)
        elif images:
            yield from image_rows(part, where, images, has_boxes)


def statements(batch: Batch, where: str, known: Mapping[str, Id], seen: SeenIds, usual: Sequence[str]) -> Iterator[Row]:
    """The annotations of a batch, those of an image together.

    Args:
        batch: of annotations or results.
        where: name of the file.
        known: the ids of its categories, as text and as they stand in the file.
        seen: annotation ids that went by.
        usual: the fields that the entries' type knows.
    """
    others = other_fields(batch, usual)
    again = seen.repeated([None if isinstance(e, Bad) or e.id is UNSET else e.id for e in batch.entries])
    boxes: dict[str, list[BoxRow]] = {}
    for at, entry in enumerate(batch.entries):
        number = batch.first + at
        place = f"{where} {batch.name}[{number}]"
        if isinstance(entry, Bad):
            yield malformed(batch, at, where, "box", "image_id")
            continue
        image_id = id_text(entry.image_id)
        box = box_row(entry, place, known, others[at] if others else None)
        reason, found = "", ""
        if at in again:
            reason, found = "box:duplicate_id", f"annotation id {box.annotation_id} a second time"
        elif box.class_key not in known:
            reason, found = "box:unknown_category", f"category_id {box.class_key}"
        elif not 0 <= box.confidence <= 1:
            reason, found = "box:bad_confidence", f"score {box.confidence}; expected 0 to 1"
        if reason:
            record = box.annotation_id or f"{batch.name}[{number}]"
            yield Rejected(kind="box", record=record, reason=reason, found=found, where=place, image_id=image_id)
        else:
            boxes.setdefault(image_id, []).append(box)
    for image_id, found_boxes in boxes.items():
        yield Statements(image_id=image_id, boxes=tuple(found_boxes), provenance=where)


def malformed(batch: Batch, at: int, where: str, kind: str, image_field: str) -> Rejected:
    """An entry that is not of its type."""
    number = batch.first + at
    fields = batch.loose[at] if isinstance(batch.loose[at], dict) else {}
    return Rejected(
        kind=kind,
        record=loose_id(fields.get("id")) or f"{batch.name}[{number}]",
        reason=f"{kind}:malformed",
        found=batch.entries[at].error,
        where=f"{where} {batch.name}[{number}]",
        image_id=loose_id(fields.get(image_field)),
    )


class ImageFolder:
    """The folder that the images of a file lie in."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._folders: dict[str, bool] = {}

    def uri(self, image: ImageEntry) -> str:
        """Path of an image below the folder.

        LVIS gives no file_name: the last part of coco_url, below its split folder if the images have one.
        """
        if image.file_name:
            return image.file_name
        folder, name = posixpath.split(image.coco_url or "")
        split = posixpath.basename(folder)
        if split not in self._folders:
            self._folders[split] = bool(split) and storage.is_folder(storage.join(self._path, split))
        return posixpath.join(split, name) if self._folders[split] else name


def image_rows(batch: Batch, where: str, images: ImageFolder, has_boxes: bool) -> Iterator[Row]:
    """The images of a batch; all their fields but a usual id stand in `extra`."""
    fields = all_fields(batch)
    for at, image in enumerate(batch.entries):
        if isinstance(image, Bad):
            yield malformed(batch, at, where, "image", "id")
            continue
        image_id = id_text(image.id)
        extra = dict(fields[at])
        if is_usual_id(image.id, image_id):
            del extra["id"]
        absent = image.neg_category_ids or []
        partial = image.not_exhaustive_category_ids or []
        for name, ids in (("neg_category_ids", absent), ("not_exhaustive_category_ids", partial)):
            if ids and all(type(number) is int for number in ids):
                del extra[name]  # they have a place of their own
        yield ImageRow(
            image_id=image_id,
            uri=images.uri(image),
            height=_size(image.height),
            width=_size(image.width),
            has_boxes=has_boxes,
            labels=tuple(
                LabelRow(class_key=id_text(number), present=False, verified=True, source="lvis") for number in absent
            ),
            not_exhaustive=tuple(id_text(number) for number in partial),
            provenance=where,
            extra=_encode(extra).decode(),
        )


def _size(pixels: Number | None) -> int:
    """Pixels as the file states them; 0 for what cannot be a size."""
    return int(pixels) if pixels is not None and 0 < pixels < 2**31 else 0
