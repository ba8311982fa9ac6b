"""What a COCO file says beside images and annotations, and the classes, for the export."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import msgspec

from pipelines.coco.entries import MADE_FROM, OTHER_FILES, UNSET
from pipelines.coco.head import classes_of, ids_of, parse_categories
from pipelines.files import storage
from schemas.coco import Id, id_text
from schemas.errors import FormatError
from schemas.manifest import ClassEntry

HEAD_NAME = "source.json"
Fields = dict[str, Any]
_Value = TypeVar("_Value")
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])
_entries = msgspec.json.Decoder(list[dict[str, msgspec.Raw]])


def read_source_head(dataset: str) -> Mapping[str, msgspec.Raw]:
    """source.json of a dataset directory by its keys, as JSON text; empty if there is none.

    Raises:
        FormatError: if it is no JSON object.
    """
    path = storage.join(dataset.rstrip("/"), HEAD_NAME)
    if not storage.exists(path):
        return {}
    try:
        return _fields.decode(storage.read_bytes(path))
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{path}: no JSON object ({error}); convert the dataset again") from error


def main_file(head: Mapping[str, msgspec.Raw]) -> str:
    """The kind of the main file that a dataset was made from.

    Raises:
        FormatError: if the head is damaged.
    """
    return _read(head, MADE_FROM, str) if MADE_FROM in head else "annotations"


def other_heads(head: Mapping[str, msgspec.Raw]) -> Mapping[str, dict[str, msgspec.Raw]]:
    """What further files of the source say beside images and annotations, by kind.

    Raises:
        FormatError: if the head is damaged.
    """
    return _read(head, OTHER_FILES, dict[str, dict[str, msgspec.Raw]]) if OTHER_FILES in head else {}


def _read(head: Mapping[str, msgspec.Raw], name: str, kind: type[_Value]) -> _Value:
    try:
        return msgspec.json.decode(head[name], type=kind)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{HEAD_NAME}: `{name}` is damaged ({error}); convert the dataset again") from error


class Categories:
    """The classes as COCO's `categories`: the source's own where they are still the dataset's.

    Attributes:
        entries: for the file.
        own: whether they are the source's.
        things: `isthing` by id as text.
    """

    def __init__(self, classes: Sequence[ClassEntry], head: Mapping[str, msgspec.Raw]) -> None:
        listed = parse_categories(head["categories"], HEAD_NAME) if "categories" in head else []
        self._ids: dict[int, Id] = {}
        self.things = {id_text(category.id): category.isthing for category in listed if category.isthing is not UNSET}
        self.entries: list[Any] = []
        self.own = False
        found = classes_of(listed, HEAD_NAME)
        names = {entry.id: entry.label for entry in found}
        if listed and all(names.get(entry.id) == entry.label for entry in classes):
            raw = ids_of(listed)
            self.own = True
            self._ids = {entry.id: raw[entry.key] for entry in found}
            self.entries = _with_skeletons(_entries.decode(head["categories"]), head)
        else:
            self.entries = [_entry_of(entry) for entry in classes]

    def id_of(self, class_id: int) -> Id:
        """The id of a class in the file."""
        return self._ids.get(class_id, class_id)


def _entry_of(entry: ClassEntry) -> Fields:
    more = {"wnid": entry.wnid} if entry.wnid else {}
    if entry.name != entry.label:
        more["label"] = entry.label
    return {"id": entry.id, "name": entry.name, "supercategory": "none", **more}


def _with_skeletons(entries: list[dict[str, msgspec.Raw]], head: Mapping[str, msgspec.Raw]) -> list[Any]:
    """The classes with what the keypoints file says about them beside."""
    keypoints = other_heads(head).get("keypoints", {})
    points = _read(keypoints, "categories", list[Any]) if "categories" in keypoints else []
    more = {id_text(entry["id"]): entry for entry in points if isinstance(entry, dict) and "id" in entry}
    return [{**more.get(id_text(msgspec.json.decode(entry["id"])), {}), **entry} for entry in entries]
