"""COCO instances JSON: `images`, `annotations`, `categories` (cocodataset.org/#format-data).

Boxes are [x, y, width, height] in pixels, floats, 0-based from the top left corner. Category ids are sparse and are
kept. Only the fields that are needed are decoded, typed, with msgspec: 448 MB of instances_train2017.json take
two seconds. If the strict way fails, a slower one finds the position of a syntax error, accepts NaN, and rejects
malformed entries one by one.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import posixpath
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import msgspec

from pipelines import storage
from pipelines.rows import BoxRow, ImageRow, Rejected, Row
from pipelines.sources.base import DatasetClass, Survey
from schemas.boxes import box_from_coco_xywh
from schemas.errors import FormatError
from schemas.manifest import SourceFile

Id = int | float | str
LARGEST_CLASS = 2**31 - 1  # labels.pbtxt has int32 ids
_JSON_NAMES = {type(None): "null", dict: "an object", str: "a string", bool: "a truth value"}


class _Image(msgspec.Struct, gc=False):
    id: Id
    file_name: str | None = None
    coco_url: str | None = None
    height: int | float | None = None
    width: int | float | None = None


class _Annotation(msgspec.Struct, gc=False):
    image_id: Id
    category_id: Id
    bbox: tuple[float, float, float, float]
    id: Id | None = None
    area: float | None = None
    iscrowd: int | float | bool | None = None


class _Category(msgspec.Struct, gc=False):
    id: Id
    name: str


class _ImageId(msgspec.Struct, gc=False):
    id: Id


class _Head(msgspec.Struct):
    """What the plan needs; annotations are skipped over."""

    images: list[_ImageId]
    annotations: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    categories: list[_Category] | msgspec.UnsetType = msgspec.UNSET


class _Instances(msgspec.Struct):
    images: list[_Image]
    annotations: list[_Annotation]
    categories: list[_Category]


@dataclass(frozen=True, slots=True)
class Source:
    """One instances file and the folder of its images."""

    annotations: str
    images: str

    name: ClassVar[str] = "coco"
    help: ClassVar[str] = "boxes from a COCO instances JSON"
    example: ClassVar[str] = "wordtree convert coco OUT --annotations instances_val2017.json --images val2017"
    default_labels: ClassVar[str] = "coco"
    has_boxes: ClassVar[bool] = True

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--annotations", required=True, metavar="FILE", help="instances JSON")
        parser.add_argument("--images", required=True, metavar="DIR", help="folder that `file_name` is relative to")

    @classmethod
    def from_args(cls, args: argparse.Namespace) -> Source:
        return cls(annotations=args.annotations, images=args.images)

    @property
    def image_root(self) -> str:
        return self.images

    def options(self) -> dict[str, str]:
        return {"annotations": self.annotations, "images": self.images}

    def survey(self) -> Survey:
        data = storage.read_source(self.annotations, "annotation file")
        head = _read_head(data, self.annotations)
        file = SourceFile(path=self.annotations, bytes=len(data), sha256=hashlib.sha256(data).hexdigest())
        classes = _classes(head.categories, self.annotations)
        return Survey(list(dict.fromkeys(_text(image.id) for image in head.images)), classes, (file,))

    def read(self) -> Iterator[Row]:
        """Images in the file's order, each with its annotations; what cannot be an annotation, rejected."""
        where = storage.name_of(self.annotations)
        data = storage.read_source(self.annotations, "annotation file")
        instances, rejected = _read_instances(data, where)
        yield from rejected
        known = {item.key for item in _classes(instances.categories, where)}
        names = {_text(image.id) for image in instances.images}
        boxes: dict[str, list[BoxRow]] = {}
        seen: set[str] = set()
        for number, annotation in enumerate(instances.annotations):
            image_id, box = _text(annotation.image_id), _box_row(annotation)
            reason, found = "", ""
            if box.annotation_id and box.annotation_id in seen:
                reason, found = "box:duplicate_id", f"annotation id {box.annotation_id} a second time"
            elif image_id not in names:
                reason, found = "box:unknown_image", f"image_id {image_id}"
            elif box.class_key not in known:
                reason, found = "box:unknown_category", f"category_id {box.class_key}"
            seen.add(box.annotation_id)
            if reason:
                record = box.annotation_id or f"annotations[{number}]"
                position = f"{where} annotations[{number}]"
                yield Rejected(kind="box", record=record, reason=reason, found=found, where=position, image_id=image_id)
            else:
                boxes.setdefault(image_id, []).append(box)
        yield from self._images(instances.images, boxes, where)

    def _images(self, images: list[_Image], boxes: dict[str, list[BoxRow]], where: str) -> Iterator[Row]:
        seen: set[str] = set()
        folders: dict[str, bool] = {}
        for number, image in enumerate(images):
            image_id = _text(image.id)
            if image_id in seen:
                yield Rejected(
                    kind="image",
                    record=image_id,
                    reason="image:duplicate_id",
                    found=f"image id {image_id} a second time, file {image.file_name!r}",
                    where=f"{where} images[{number}]",
                    image_id=image_id,
                )
                continue
            seen.add(image_id)
            yield ImageRow(
                image_id=image_id,
                uri=image.file_name or self._name_from_url(image.coco_url or "", folders),
                height=_size(image.height),
                width=_size(image.width),
                has_boxes=True,
                boxes=tuple(boxes.get(image_id, ())),
                provenance=where,
            )

    def _name_from_url(self, url: str, folders: dict[str, bool]) -> str:
        """LVIS gives no file_name: the last part of coco_url, below its split folder if the images have one."""
        folder, name = posixpath.split(url)
        split = posixpath.basename(folder)
        if split not in folders:
            folders[split] = bool(split) and storage.is_folder(storage.join(self.images, split))
        return posixpath.join(split, name) if folders[split] else name


def _text(number: Id) -> str:
    """Ids as text: 900100184613.0 and 900100184613 are the same id."""
    if isinstance(number, float) and number.is_integer():
        number = int(number)
    return str(number)


def _loose_id(value: object) -> str:
    """The id of an entry that may be malformed; "" if that is what is wrong with it."""
    return _text(value) if isinstance(value, (int, float, str)) and _is_text(value) else ""


def _is_text(value: object) -> bool:
    """False for a string with half a surrogate pair, which JSON can state and UTF-8 cannot."""
    return not isinstance(value, str) or storage.plain_text(value) == value


def _size(pixels: int | float | None) -> int:
    """Pixels as the file states them; 0 for what cannot be a size."""
    return int(pixels) if pixels is not None and 0 < pixels < 2**31 else 0


def _area(area: float | None) -> float | None:
    return area if area is not None and math.isfinite(area) and area >= 0 else None


def _box_row(annotation: _Annotation) -> BoxRow:
    box = box_from_coco_xywh(*annotation.bbox, height=1, width=1)  # height and width 1: stays in pixels
    return BoxRow(
        ymin=box.ymin,
        xmin=box.xmin,
        ymax=box.ymax,
        xmax=box.xmax,
        class_key=_text(annotation.category_id),
        annotation_id="" if annotation.id is None else _text(annotation.id),
        area=_area(annotation.area),
        is_crowd=None if annotation.iscrowd is None else bool(annotation.iscrowd),
    )


def _classes(categories: list[_Category] | msgspec.UnsetType, where: str) -> tuple[DatasetClass, ...]:
    """Category ids are kept where they are numbers from 1; otherwise classes are numbered from 1 in their order."""
    found: dict[str, str] = {}
    for category in categories or []:
        key, label = _text(category.id), category.name
        if not (_is_text(key) and _is_text(label)):
            raise FormatError(f"{where}: category {key!a} is named {label!a}, which is no Unicode text")
        if key in found:
            raise FormatError(f"{where}: category id {key} stands twice ({found[key]!r}, {label!r}); expected it once")
        found[key] = label
    numbers = [int(key) if key.isascii() and key.isdecimal() else 0 for key in found]
    if max(numbers, default=0) > LARGEST_CLASS:
        raise FormatError(f"{where}: category id {max(numbers)} is too large; expected at most {LARGEST_CLASS}")
    if min(numbers, default=1) < 1:
        return tuple(DatasetClass(key, n, label) for n, (key, label) in enumerate(found.items(), start=1))
    return tuple(sorted((DatasetClass(key, int(key), label) for key, label in found.items()), key=lambda c: c.id))


def _read_head(data: bytes, where: str) -> _Head:
    try:
        head = msgspec.json.decode(data, type=_Head)
        if not data.isascii():
            data.decode()  # msgspec does not look into what it skips
        if isinstance(head.annotations, msgspec.Raw) and memoryview(head.annotations)[:1] != b"[":
            raise ValueError("`annotations` is no list")
    except (ValueError, RecursionError):  # the slower way knows what is wrong
        head = _convert_head(_read_loosely(data, where), where)
    if head.annotations is msgspec.UNSET:
        raise FormatError(
            f"{where} has no `annotations`: its images are not annotated (an image_info file?), and without them "
            "every image would count as background. Give an instances file."
        )
    if not head.categories:
        raise FormatError(
            f"{where} has no `categories`: found a file without classes (captions?); expected a COCO instances file"
        )
    if not head.images:
        raise FormatError(f"{where} names no images; expected at least one entry in `images`")
    return head


def _convert_head(loose: dict[str, Any], where: str) -> _Head:
    try:
        ids = (_loose_id(image.get("id")) for image in loose["images"] if isinstance(image, dict))
        images = [_ImageId(number) for number in ids if number]
        categories = msgspec.convert(loose.get("categories", msgspec.UNSET), list[_Category] | msgspec.UnsetType)
        annotations = msgspec.Raw(b"") if isinstance(loose.get("annotations"), list) else msgspec.UNSET
        return _Head(images=images, annotations=annotations, categories=categories)
    except (msgspec.ValidationError, KeyError, TypeError) as error:
        raise FormatError(f"{where} is no COCO instances file: {error}") from error


def _read_instances(data: bytes, where: str) -> tuple[_Instances, list[Rejected]]:
    """Typed contents, and what is malformed. Entries that do not decode cost only themselves."""
    try:
        return msgspec.json.decode(data, type=_Instances), []
    except (ValueError, RecursionError):
        loose = _read_loosely(data, where)
    rejected: list[Rejected] = []

    def convert(field: str, kind: str, entry_type: type[msgspec.Struct]) -> list[Any]:
        """The entries of one list that have the right types; the others are rejected one by one."""
        good: list[Any] = []
        names = set(entry_type.__struct_fields__)
        for number, entry in enumerate(loose.get(field) or []):
            fields = entry if isinstance(entry, dict) else {}
            try:
                broken = [name for name, value in fields.items() if name in names and not _is_text(value)]
                if broken:
                    raise msgspec.ValidationError(f"{broken[0]} is no Unicode text: {fields[broken[0]]!a}")
                good.append(msgspec.convert(entry, entry_type))
            except msgspec.ValidationError as error:
                rejected.append(
                    Rejected(
                        kind=kind,
                        record=_loose_id(fields.get("id")) or f"{field}[{number}]",
                        reason=f"{kind}:malformed",
                        found=str(error),
                        where=f"{where} {field}[{number}]",
                        image_id=_loose_id(fields.get("image_id" if kind == "box" else "id")),
                    )
                )
        return good

    images = convert("images", "image", _Image)
    annotations = convert("annotations", "box", _Annotation)
    categories = msgspec.convert(loose.get("categories", []), list[_Category])
    return _Instances(images=images, annotations=annotations, categories=categories), rejected


def _read_loosely(data: bytes, where: str) -> dict[str, Any]:
    """The standard library's reading: accepts NaN and knows line and column of an error."""
    try:
        loose = json.loads(data)
    except json.JSONDecodeError as error:
        raise FormatError(
            f"{where} line {error.lineno} column {error.colno} (byte {error.pos}): {error.msg}; expected JSON. "
            "Was the download cut short?"
        ) from error
    except UnicodeDecodeError as error:
        raise FormatError(f"{where} byte {error.start}: not UTF-8 text; expected JSON") from error
    except RecursionError as error:
        raise FormatError(f"{where}: lists or objects are nested too deeply for a COCO instances file") from error
    except ValueError as error:
        reason = str(error).partition(";")[0]
        raise FormatError(f"{where}: a number cannot be read ({reason}); expected COCO's ids and sizes") from error
    if not isinstance(loose, dict) or "images" not in loose:
        raise FormatError(f"{where} is no COCO instances file: expected an object with a list `images`")
    for field in ("images", "annotations", "categories"):
        if not isinstance(loose.get(field, []), list):
            found = _JSON_NAMES.get(type(loose[field]), "a number")
            raise FormatError(f"{where} is no COCO instances file: `{field}` is {found}; expected a list")
    return loose
