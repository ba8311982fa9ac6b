"""Entries of COCO's JSON files as typed structs.

Strict types know every usual field and refuse others, so that whoever reads with them misses nothing; entries with more
fields are read a second time for what is not known (`other_fields`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from pipelines.files import storage
from pipelines.files.json_forms import Bad, raw_json
from pipelines.files.json_stream import Batch
from schemas.coco import Id, id_text, usual_id

Number = int | float
BBox = tuple[Number, Number, Number, Number]
Raw = msgspec.Raw
Unset = msgspec.UnsetType
UNSET = msgspec.UNSET

MADE_FROM = "made_from"  # key of the head: the kind of the main file, where it is not "annotations"
OTHER_FILES = "other_files"  # key of the head: what further files say beside images and annotations, by kind

_SHORT = 10**18
_fields = msgspec.json.Decoder(list[dict[str, Raw]])


class AnyEntry(msgspec.Struct, gc=False):
    """Any object; for counting."""


class IdEntry(msgspec.Struct, gc=False):
    """An entry of which only the id matters."""

    id: Id


class ImageEntry(msgspec.Struct, gc=False):
    """An image; the last two fields are LVIS's."""

    id: Id
    file_name: str | None = None
    coco_url: str | None = None
    height: Number | None = None
    width: Number | None = None
    neg_category_ids: list[Id] | None = None
    not_exhaustive_category_ids: list[Id] | None = None


class AnnotationEntry(msgspec.Struct, gc=False):
    """An annotation of an instances or keypoints file."""

    image_id: Id
    category_id: Id
    bbox: BBox
    id: Id | Unset | None = UNSET
    area: Number | Unset | None = UNSET
    iscrowd: Number | bool | Unset | None = UNSET
    segmentation: Raw | Unset = UNSET
    keypoints: Raw | Unset = UNSET
    num_keypoints: Raw | Unset = UNSET


class StrictAnnotation(AnnotationEntry, gc=False, forbid_unknown_fields=True):
    """An annotation without fields of its own."""


class ResultEntry(AnnotationEntry, gc=False, kw_only=True):
    """A detection in a list of results."""

    score: Number


class StrictResult(ResultEntry, gc=False, forbid_unknown_fields=True):
    """A detection without fields of its own."""


class CaptionEntry(msgspec.Struct, gc=False):
    """A sentence about an image."""

    image_id: Id
    caption: str
    id: Id | None = None


class StrictCaption(CaptionEntry, gc=False, forbid_unknown_fields=True):
    """A caption without fields of its own."""


class PanopticFields(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    """The usual fields of a panoptic annotation, whatever they hold."""

    image_id: Raw | Unset = UNSET
    file_name: Raw | Unset = UNSET
    segments_info: Raw | Unset = UNSET


class Segment(msgspec.Struct, gc=False):
    """A segment of a panoptic annotation."""

    id: Id
    category_id: Id
    bbox: BBox
    area: Number | Unset | None = UNSET
    iscrowd: Number | bool | Unset | None = UNSET


class StrictSegment(Segment, gc=False, forbid_unknown_fields=True):
    """A segment without fields of its own."""


class StrictPanoptic(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    """All segments of an image, and the PNG that holds their ids."""

    image_id: Id
    segments_info: list[StrictSegment]
    file_name: str | None = None


class PanopticEntry(msgspec.Struct, gc=False):
    """The same, whatever the segments are."""

    image_id: Id
    segments_info: list[Any]
    file_name: str | None = None


class Category(msgspec.Struct, gc=False):
    """A class; `isthing` is panoptic."""

    id: Id
    name: str
    isthing: Any = UNSET


def is_usual_id(number: object, text: str) -> bool:
    """Whether an id with this text was stated in the usual way, so that the text is enough to know it."""
    if type(number) is int and -_SHORT < number < _SHORT:
        return True
    usual = usual_id(text)
    return type(number) is type(usual) and number == usual


def is_text(value: object) -> bool:
    """False for a string with half a surrogate pair, which JSON can state and UTF-8 cannot."""
    return not isinstance(value, str) or storage.plain_text(value) == value


def loose_id(value: object) -> str:
    """The id of an entry that may be malformed; "" if that is what is wrong with it."""
    return id_text(value) if isinstance(value, int | float | str) and is_text(value) else ""


def all_fields(batch: Batch) -> Sequence[Mapping[str, Raw]]:
    """The fields of each entry as JSON text."""
    if batch.form >= 0:
        return _fields.decode(batch.text)
    return [
        {storage.plain_text(name): raw_json(value) for name, value in entry.items()}
        if isinstance(entry, dict) and not isinstance(typed, Bad)
        else {}
        for entry, typed in zip(batch.loose, batch.entries, strict=True)
    ]


def other_fields(batch: Batch, known: Sequence[str]) -> Sequence[Mapping[str, Raw]]:
    """Of each entry the fields that are not among the known ones; () if there are none, as the strict type says."""
    if batch.form == 0:
        return ()
    names = frozenset(known)
    return [{name: raw for name, raw in entry.items() if name not in names} for entry in all_fields(batch)]
