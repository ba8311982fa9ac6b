"""The first look at a COCO file: its classes, its images' ids, and all that is neither image nor annotation."""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from pipelines.coco.entries import (
    AnyEntry,
    Category,
    IdEntry,
    PanopticFields,
    StrictCaption,
    is_text,
    loose_id,
    other_fields,
)
from pipelines.coco.ids import IdSet
from pipelines.files import storage
from pipelines.files.json_forms import Bad, readable_json
from pipelines.files.json_stream import Batch, Value, last_member, read_object
from pipelines.files.json_window import json_kind
from pipelines.sources.base import DatasetClass
from schemas.coco import Id, class_ids, id_text
from schemas.errors import FormatError
from schemas.manifest import SourceFile

LARGEST_CLASS = 2**31 - 1  # labels.pbtxt has int32 ids


class Hashing:
    """A sha256 that counts its bytes."""

    def __init__(self) -> None:
        self.sha256, self.size = hashlib.sha256(), 0

    def update(self, data: bytes, /) -> None:
        self.sha256.update(data)
        self.size += len(data)

    def file(self, path: str) -> SourceFile:
        """The file that it took in, for the manifest."""
        return SourceFile(path=path, bytes=self.size, sha256=self.sha256.hexdigest())


@dataclass(frozen=True, slots=True)
class Head:
    """A file without its images and annotations.

    Attributes:
        values: JSON text of every other top-level value.
        image_ids: of its images; None if it has no list of them.
        annotations: how many it has; -1 if it has no list of them.
        more_fields: whether captions or panoptic annotations have fields that are not kept.
        file: for the manifest.
    """

    values: Mapping[str, msgspec.Raw]
    image_ids: IdSet | None
    annotations: int
    more_fields: bool
    file: SourceFile


def read_head(path: str, role: str = "annotation file") -> Head:
    """Look at a file once, from its start to its end.

    Raises:
        InputError, FormatError: see `pipelines.files.json_stream.read_object`.
    """
    digest = Hashing()
    values: dict[str, msgspec.Raw] = {}
    image_ids: IdSet | None = None
    annotations, more_fields = -1, False
    usual = {"captions file": StrictCaption, "panoptic file": PanopticFields}.get(role)
    lists: dict[str, Any] = {"images": (IdEntry,), "annotations": (usual, AnyEntry) if usual else (AnyEntry,)}
    for part in read_object(path, lists, role=role, digest=digest):
        if isinstance(part, Value):
            values[part.name] = msgspec.Raw(part.text)
        elif part.name == "annotations":
            annotations = max(annotations, 0) + len(part.entries)
            more_fields |= usual is not None and any(other_fields(part, usual.__struct_fields__))
        else:
            image_ids = IdSet() if image_ids is None else image_ids
            _add_ids(part, image_ids)
    return Head(values, image_ids, annotations, more_fields, digest.file(path))


def _add_ids(batch: Batch, image_ids: IdSet) -> None:
    for number, entry in enumerate(batch.entries):
        if not isinstance(entry, Bad):
            image_ids.add(entry.id)
        elif isinstance(batch.loose[number], dict) and (found := loose_id(batch.loose[number].get("id"))):
            image_ids.add(found)


def categories_of(path: str) -> list[Category]:
    """The classes of a file that was surveyed: from its end, where they usually stand, or else from its start on."""
    text = last_member(path, "categories")
    if text is not None:
        return parse_categories(text, path)
    lists = {"images": (AnyEntry,), "annotations": (AnyEntry,)}
    for part in read_object(path, lists):
        if isinstance(part, Value) and part.name == "categories":
            return parse_categories(part.text, path)
    return []


def parse_categories(text: bytes | msgspec.Raw, where: str) -> list[Category]:
    """The list `categories`.

    Raises:
        FormatError: if it is no list of classes with id and name.
    """
    try:
        return msgspec.json.decode(text, type=list[Category])
    except (ValueError, RecursionError):  # the slower way takes what can be taken, or knows what is wrong
        pass
    value = json.loads(bytes(text))
    if not isinstance(value, list):
        found = value if isinstance(value, int | float) else json_kind(bytes(text))
        raise FormatError(f"{where} is no COCO file: `categories` is {found}; expected a list")
    try:
        return msgspec.convert(value, list[Category])
    except msgspec.ValidationError as error:
        raise FormatError(f"{where} is no COCO instances file: categories: {error}") from error


def ids_of(categories: list[Category]) -> dict[str, Id]:
    """The ids of the classes, as text and as they stand in the file."""
    return {id_text(category.id): category.id for category in categories}


def classes_of(categories: list[Category], where: str) -> tuple[DatasetClass, ...]:
    """Category ids are kept where they are numbers from 1; otherwise classes are numbered from 1 in their order.

    Raises:
        FormatError: for ids that stand twice or are too large, and names that are no text.
    """
    found: dict[str, str] = {}
    for category in categories:
        key, label = id_text(category.id), category.name
        if isinstance(category.id, float) and not math.isfinite(category.id):
            raise FormatError(f"{where}: category {label!a} has the id {key}; expected a number or text")
        if not (is_text(key) and is_text(label)):
            raise FormatError(f"{where}: category {key!a} is named {label!a}, which is no Unicode text")
        if key in found:
            raise FormatError(f"{where}: category id {key} stands twice ({found[key]!r}, {label!r}); expected it once")
        found[key] = label
    largest = max((int(key) for key in found if key.isascii() and key.isdecimal()), default=0)
    if largest > LARGEST_CLASS:
        raise FormatError(f"{where}: category id {largest} is too large; expected at most {LARGEST_CLASS}")
    numbered = zip(class_ids(list(found)), found.items(), strict=True)
    return tuple(sorted((DatasetClass(key, n, label) for n, (key, label) in numbered), key=lambda c: c.id))


def readable_values(values: Mapping[str, msgspec.Raw], path: str) -> tuple[dict[str, msgspec.Raw], list[str]]:
    """A head's values as JSON text that everyone reads, and a sentence for each that was changed for that.

    NaN and infinity, which are no JSON, become null, as in `extra`; half a surrogate pair becomes its escape as text.

    Raises:
        FormatError: if a value is nested too deeply.
    """
    found: dict[str, msgspec.Raw] = {}
    notes: list[str] = []
    for name, value in values.items():
        key = storage.plain_text(name)
        try:
            text, changed = readable_json(bytes(value))
        except RecursionError as error:
            raise FormatError(f"{path}: `{key}`: lists or objects are nested too deeply for a COCO file") from error
        found[key] = msgspec.Raw(text)
        if changed or key != name:
            notes.append(f"{path}: `{key}` holds NaN, or text that is no Unicode; source.json has null, or escapes")
    return found, notes


def repeated_names(classes: tuple[DatasetClass, ...]) -> list[str]:
    """A sentence for each name that several classes have."""
    counts = Counter(entry.label for entry in classes)
    return [
        f"class name {label!r} stands for ids {', '.join(str(c.id) for c in classes if c.label == label)}; all are kept"
        for label, count in counts.items()
        if count > 1
    ]
