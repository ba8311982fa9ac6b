"""Captions files: sentences about images."""

from __future__ import annotations

from collections.abc import Iterator

from pipelines.coco.entries import AnyEntry, CaptionEntry, ImageEntry, StrictCaption
from pipelines.coco.ids import SeenIds
from pipelines.coco.reading import ImageFolder, image_rows, malformed
from pipelines.files import storage
from pipelines.files.json_forms import Bad
from pipelines.files.json_stream import Batch, Value, read_object
from pipelines.rows import Rejected, Row, Statements
from schemas.coco import id_text


def read_captions(path: str, images: ImageFolder | None) -> Iterator[Row]:
    """The rows of a captions file; its images too where no other file describes them."""
    where = storage.name_of(path)
    seen = SeenIds()
    lists = {"images": (ImageEntry if images else AnyEntry,), "annotations": (StrictCaption, CaptionEntry)}
    for part in read_object(path, lists, where=where, role="captions file"):
        if isinstance(part, Value):
            continue
        if part.name == "annotations":
            yield from _statements(part, where, seen)
        elif images:
            yield from image_rows(part, where, images, has_boxes=False)


def _statements(batch: Batch, where: str, seen: SeenIds) -> Iterator[Row]:
    again = seen.repeated([None if isinstance(entry, Bad) else entry.id for entry in batch.entries])
    captions: dict[str, list[tuple[str, str]]] = {}
    for at, entry in enumerate(batch.entries):
        if isinstance(entry, Bad):
            yield malformed(batch, at, where, "caption", "image_id")
            continue
        image_id = id_text(entry.image_id)
        caption_id = "" if entry.id is None else id_text(entry.id)
        if at in again:
            yield Rejected(
                kind="caption",
                record=caption_id,
                reason="caption:duplicate_id",
                found=f"caption id {caption_id} a second time",
                where=f"{where} annotations[{batch.first + at}]",
                image_id=image_id,
            )
        else:
            captions.setdefault(image_id, []).append((entry.caption, caption_id))
    for image_id, found in captions.items():
        yield Statements(image_id=image_id, captions=tuple(found), provenance=where)
