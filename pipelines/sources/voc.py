"""Pascal VOC XML: one file an image, in a devkit or in two plain folders as labelImg writes them.

Corners are 1-based and both lie inside the box; here they become continuous, [xmin - 1, ymin - 1, xmax, ymax]. The
file's own name finds the image, since `filename` and `folder` are unreliable outside the official sets. An object's
<part>s have boxes of their own, which are not read.

XML with a document type or entities is refused unread: expanding entities can take any amount of memory.
"""

from __future__ import annotations

import argparse
import hashlib
import posixpath
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from pipelines import storage
from pipelines.rows import BoxRow, ImageRow, Rejected, Row
from pipelines.sources.base import DatasetClass, Survey
from schemas.boxes import box_from_voc_xyxy
from schemas.errors import ConfigError, InputError, RecordError
from schemas.manifest import SourceFile

VOC_CLASSES = (
    *("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor"),
)
FLAGS = {"0": False, "0.0": False, "false": False, "1": True, "1.0": True, "true": True, "": None, "unspecified": None}
SIDES = ("xmin", "ymin", "xmax", "ymax")
IMAGE_ENDINGS = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp")


@dataclass(frozen=True, slots=True)
class Source:
    """A folder of XML files, a folder of images, and a list of names; no list means all XML files."""

    annotations: str
    images: str
    image_set: str = ""

    name: ClassVar[str] = "voc"
    help: ClassVar[str] = "boxes from Pascal VOC XML (a devkit, or labelImg folders)"
    example: ClassVar[str] = "wordtree convert voc OUT --devkit VOCdevkit/VOC2012 --set trainval"
    default_labels: ClassVar[str] = "voc"
    has_boxes: ClassVar[bool] = True

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--devkit", metavar="DIR", help="a year's folder, with Annotations, JPEGImages, ImageSets")
        parser.add_argument("--set", dest="image_set", metavar="NAME", help="a list in ImageSets/Main (trainval)")
        parser.add_argument("--annotations", metavar="DIR", help="folder of XML files, without a devkit")
        parser.add_argument("--images", metavar="DIR", help="folder of images, without a devkit")

    @classmethod
    def from_args(cls, args: argparse.Namespace) -> Source:
        if args.devkit and not (args.annotations or args.images):
            _check_devkit(args.devkit)
            folders = (storage.join(args.devkit, name) for name in ("Annotations", "JPEGImages"))
            list_file = storage.join(args.devkit, "ImageSets", "Main", f"{args.image_set or 'trainval'}.txt")
            return cls(*folders, image_set=list_file)
        if args.annotations and args.images and not (args.devkit or args.image_set):
            return cls(args.annotations, args.images)
        raise ConfigError("give either --devkit DIR [--set NAME], or --annotations DIR and --images DIR")

    @property
    def image_root(self) -> str:
        return self.images

    def options(self) -> dict[str, str]:
        return {"annotations": self.annotations, "images": self.images, "image_set": self.image_set}

    def survey(self) -> Survey:
        """Image ids from the image set or the folder; classes are those of VOC first, then others as found."""
        names = self._names()
        there = set(storage.list_folder(self.annotations)[1])
        xml_names = [f"{name}.xml" for name in names if f"{name}.xml" in there]
        if not xml_names:
            raise InputError(
                f"none of the {len(names)} images of {self.image_set or self.annotations!r} has an XML file in "
                f"{self.annotations!r}; is it the right folder? (VOC2012 test has no annotations)"
            )
        labels: set[str] = set()
        size, digest = 0, hashlib.sha256()
        for name in xml_names:
            data = b""
            try:
                data = storage.read_item(storage.join(self.annotations, name))
                row, _ = parse_annotation(data, name[:-4])
                labels.update(box.class_key for box in row.boxes)
            except RecordError:
                pass  # `read` rejects the image
            size += len(data)
            digest.update(f"{storage.plain_text(name)}\0{hashlib.sha256(data).hexdigest()}\n".encode())
        files = [SourceFile(path=self.annotations, bytes=size, sha256=digest.hexdigest())]
        if self.image_set:
            data = storage.read_source(self.image_set, "image list")
            files.append(SourceFile(path=self.image_set, bytes=len(data), sha256=hashlib.sha256(data).hexdigest()))
        return Survey([storage.plain_text(name) for name in names], _classes(labels), tuple(files))

    def read(self) -> Iterator[Row]:
        """One row an XML file, its image found by the XML's own name; broken XML rejects its image."""
        images: dict[str, str] = {}
        for name in reversed(storage.list_folder(self.images)[1]):
            stem, ending = posixpath.splitext(name)
            if ending.lower() in IMAGE_ENDINGS:
                images[stem] = name  # of several the first in the alphabet: .jpg before .png
        for stem in self._names():
            uri, xml, name = images.get(stem, f"{stem}.jpg"), f"{stem}.xml", storage.plain_text(stem)
            try:
                if name != stem:
                    raise RecordError("image:bad_name", "the file's name is no Unicode text")
                data = storage.read_item(storage.join(self.annotations, xml), missing="image:no_annotation")
                row, rejected = parse_annotation(data, stem, uri=uri)
            except RecordError as error:
                yield Rejected(
                    kind="image",
                    record=name,
                    reason=error.reason,
                    found=f"{error}: {error.found}" if error.found else str(error),
                    where=f"{name}.xml",
                    image_id=name,
                )
                continue
            yield from rejected
            yield row

    def _names(self) -> list[str]:
        """Names of the images without ending, sorted, each once."""
        if not self.image_set:
            names = [name[:-4] for name in storage.list_folder(self.annotations)[1] if name.lower().endswith(".xml")]
            if not names:
                raise InputError(f"found no XML file in {self.annotations!r}; expected one for each image")
            return names
        if not storage.exists(self.image_set):
            there = [n[:-4] for n in storage.list_folder(posixpath.dirname(self.image_set))[1] if "_" not in n]
            raise InputError(f"image list {self.image_set!r} does not exist; there are {', '.join(there) or 'none'}")
        lines = storage.text_of(self.image_set, "image list").splitlines()
        names = sorted({line.split()[0] for line in lines if line.strip()})
        if not names:
            raise InputError(f"image list {self.image_set!r} is empty; expected one image name a line")
        return names


def _check_devkit(devkit: str) -> None:
    """Tell the folder above the years' folders from a year's folder.

    Raises:
        InputError: if the years lie one folder deeper.
    """
    if storage.is_folder(storage.join(devkit, "Annotations")):
        return
    deeper = [storage.join(devkit, name) for name in storage.list_folder(devkit)[0]]
    years = [year for year in deeper if storage.is_folder(storage.join(year, "Annotations"))]
    if years:
        raise InputError(f"{devkit!r} has no folder Annotations; did you mean --devkit {' or '.join(years[:5])}?")


def _classes(labels: set[str]) -> tuple[DatasetClass, ...]:
    """The classes found. VOC's twenty have fixed ids, 1 to 20 in alphabetical order; others are numbered alike."""
    order = VOC_CLASSES if labels <= set(VOC_CLASSES) else sorted(labels)
    return tuple(DatasetClass(label, n, label) for n, label in enumerate(order, start=1) if label in labels)


def parse_annotation(data: bytes, stem: str, *, uri: str = "") -> tuple[ImageRow, list[Rejected]]:
    """One XML file as a row, and its objects that cannot be read.

    Raises:
        RecordError: `image:broken_xml`, `image:not_voc` for XML of another kind, or `image:xml_entities` for a
            document type, which is refused.
    """
    root = _parse_xml(data)
    if root.tag != "annotation":
        raise RecordError("image:not_voc", f"the XML's root is <{root.tag}>; expected <annotation>")
    where = f"{stem}.xml"
    boxes: list[BoxRow] = []
    rejected: list[Rejected] = []
    for number, item in enumerate(root.findall("object"), start=1):
        try:
            boxes.append(_box_row(item))
        except RecordError as error:
            rejected.append(
                Rejected(
                    kind="box",
                    record=f"{stem}#{number}",
                    reason=error.reason,
                    found=str(error),
                    where=f"{where} object {number}",
                    image_id=stem,
                )
            )
    row = ImageRow(
        image_id=stem,
        uri=uri,
        height=_size(root.findtext("size/height")),
        width=_size(root.findtext("size/width")),
        has_boxes=True,
        boxes=tuple(boxes),
        provenance=where,
    )
    return row, rejected


def _parse_xml(data: bytes) -> ElementTree.Element:
    plain = data.replace(b"\0", b"").upper()  # UTF-16 too
    if b"<!DOCTYPE" in plain or b"<!ENTITY" in plain:
        raise RecordError("image:xml_entities", "the XML declares a document type or entities, which is refused")
    try:
        return ElementTree.fromstring(data)
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        try:
            data.decode("utf-8")
        except UnicodeDecodeError:  # written in a Windows code page without saying so
            try:
                return ElementTree.fromstring(data.decode("cp1252", errors="replace"))
            except (ElementTree.ParseError, ValueError):
                pass
        raise RecordError("image:broken_xml", f"not well-formed XML: {error}") from error


def _box_row(item: ElementTree.Element) -> BoxRow:
    """One <object>.

    Raises:
        RecordError: `box:malformed`, if name or corners are missing, stand twice or are no numbers.
    """
    for tag in ("name", "bndbox", *(f"bndbox/{side}" for side in SIDES)):
        if len(item.findall(tag)) > 1:
            raise RecordError("box:malformed", f"the object has several <{tag}>; expected one")
    label = (item.findtext("name") or "").strip()
    if not label:
        raise RecordError("box:malformed", "the object has no <name>")
    corners = item.find("bndbox")
    if corners is None:
        raise RecordError("box:malformed", f"object {label!r} has no <bndbox>")
    texts = {side: corners.findtext(side) for side in SIDES}
    try:
        sides = {side: float(text or "") for side, text in texts.items()}  # 2011_003353 has 45.70000076293945
    except ValueError:
        raise RecordError("box:malformed", f"object {label!r} has <bndbox> {texts}; expected four numbers") from None
    box = box_from_voc_xyxy(**sides, height=1, width=1)  # height and width 1: stays in pixels
    flags = [_flag(item.findtext(name)) for name in ("difficult", "truncated", "occluded")]
    difficult, truncated, occluded = (flag for flag, _ in flags)
    return BoxRow(
        ymin=box.ymin,
        xmin=box.xmin,
        ymax=box.ymax,
        xmax=box.xmax,
        class_key=label,
        is_difficult=difficult,
        is_truncated=truncated,
        is_occluded=occluded,
        view=(item.findtext("pose") or "").strip(),
        flag_unread=not all(readable for _, readable in flags),
    )


def _flag(text: str | None) -> tuple[bool | None, bool]:
    """A truth value, None where nothing or the format's own "Unspecified" stands; and whether it could be read."""
    word = (text or "").strip().lower()
    return FLAGS.get(word), word in FLAGS


def _size(text: str | None) -> int:
    try:
        return max(0, int(float(text or 0)))
    except (ValueError, OverflowError):
        return 0
