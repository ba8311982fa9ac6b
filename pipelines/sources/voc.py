"""Pascal VOC XML: one file an image, in a devkit (2007 to 2012) or in two plain folders as labelImg writes them.

Which picture an XML file is about: `pipelines.voc.pictures`. What the XML says is read by `pipelines.voc.annotation`;
what its numbers mean, `pipelines.voc.corners`. An image's id is the path of its XML without the ending, so its name
where all lie in one folder.

    --set NAME       a list in ImageSets/Main, or with its folder: Segmentation/train (`pipelines.voc.lists`)
    --class-lists    image labels, present and verified absent, from ImageSets/Main/CLASS_NAME.txt
    --maps           SegmentationClass and SegmentationObject where an image has them
    --unlabelled     images without XML are written as images of which nothing is known (VOC2012's test set)
"""

from __future__ import annotations

import argparse
import hashlib
import posixpath
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar

import msgspec

from pipelines.files import storage
from pipelines.rows import ImageRow, Rejected, Row, rejected_annotations
from pipelines.sources.base import DatasetClass, DatasetSource, Survey
from pipelines.voc.annotation import parse_annotation
from pipelines.voc.class_lists import class_lists, read_class_list
from pipelines.voc.corners import CORNERS, STATED
from pipelines.voc.files import NO_ANNOTATION, files_below, read_files
from pipelines.voc.lists import Known, Listed, read_list
from pipelines.voc.pictures import BY, Pictures
from schemas.errors import ConfigError, InputError, LabelError, RecordError
from schemas.manifest import SourceFile

VOC_CLASSES = (
    *("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor"),
)
MAPS = (("class", "SegmentationClass"), ("object", "SegmentationObject"))
LABELS_OF = "labels of "  # begins the pieces that are class lists
LINES = "lines"  # the piece of those lines of the list that name no image
PIECE_IMAGES, MOST_PIECES = 1000, 64


@dataclass(frozen=True, slots=True)
class Source(DatasetSource):
    """A folder of XML files, a folder of images, and a list of names; no list means all XML files.

    Attributes:
        annotations, images: the two folders.
        image_set: path of the list, or "".
        corners: what the numbers of a box mean.
        devkit: folder of the segmentation maps, "" for none.
        class_lists, unlabelled, classes, picture_by: as on the command line.
    """

    annotations: str
    images: str
    image_set: str = ""
    corners: str = CORNERS[0]
    devkit: str = ""
    class_lists: bool = False
    unlabelled: bool = False
    classes: str = ""
    picture_by: str = BY[0]

    name: ClassVar[str] = "voc"
    help: ClassVar[str] = "boxes from Pascal VOC XML (a devkit, or labelImg folders)"
    example: ClassVar[str] = "wordtree convert voc OUT --devkit VOCdevkit/VOC2012 --set trainval"
    default_labels: ClassVar[str] = "voc"
    has_boxes: ClassVar[bool] = True
    paths: ClassVar[tuple[str, ...]] = ("annotations", "images", "image_set", "maps", "classes")

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--devkit", metavar="DIR", help="a year's folder, with Annotations, JPEGImages, ImageSets")
        parser.add_argument("--set", dest="image_set", metavar="NAME", help="a list in ImageSets/Main (trainval)")
        parser.add_argument("--annotations", metavar="DIR", help="folder of XML files, without a devkit")
        parser.add_argument("--images", metavar="DIR", help="folder of images, without a devkit")
        parser.add_argument(
            "--corners",
            choices=CORNERS,
            default=CORNERS[0],
            help="what the corners count: pixels from 1 or 0 with both inside, or edges as COCO does "
            f"(default: {CORNERS[0]}, as in Pascal VOC)",
        )
        parser.add_argument(
            "--classes", default="", metavar="FILE", help="names of the classes, one a line; their ids are the lines"
        )
        parser.add_argument(
            "--picture-by",
            choices=BY,
            default=BY[0],
            help="what names the picture: <filename> where one is called so, or the XML's own name (default: filename)",
        )
        parser.add_argument(
            "--class-lists", action="store_true", help="image labels too, from ImageSets/Main/CLASS_NAME.txt"
        )
        parser.add_argument("--maps", action="store_true", help="segmentation maps too, where an image has them")
        parser.add_argument(
            "--unlabelled", action="store_true", help="take images without XML: nothing is known of them (test sets)"
        )

    @classmethod
    def from_args(cls, args: argparse.Namespace) -> Source:
        corners, unlabelled = getattr(args, "corners", CORNERS[0]), getattr(args, "unlabelled", False)
        lists, maps = getattr(args, "class_lists", False), getattr(args, "maps", False)
        classes, picture_by = getattr(args, "classes", ""), getattr(args, "picture_by", BY[0])
        if args.devkit and not (args.annotations or args.images):
            _check_devkit(args.devkit)
            folders = (storage.join(args.devkit, name) for name in ("Annotations", "JPEGImages"))
            chosen = args.image_set or "trainval"
            words = chosen.split("/") if "/" in chosen else ["Main", chosen]
            list_file = f"{storage.join(args.devkit, 'ImageSets', *words)}.txt"
            return cls(
                *folders,
                image_set=list_file,
                corners=corners,
                devkit=args.devkit if maps else "",
                class_lists=lists,
                unlabelled=unlabelled,
                classes=classes,
                picture_by=picture_by,
            )
        if args.annotations and args.images and not (args.devkit or args.image_set):
            if lists or maps:
                raise ConfigError("--class-lists and --maps are parts of a devkit; give --devkit DIR")
            return cls(
                args.annotations,
                args.images,
                corners=corners,
                unlabelled=unlabelled,
                classes=classes,
                picture_by=picture_by,
            )
        raise ConfigError("give either --devkit DIR [--set NAME], or --annotations DIR and --images DIR")

    @property
    def image_root(self) -> str:
        return self.images

    @property
    def asset_root(self) -> str:
        return self.devkit or self.images

    @property
    def stated_corners(self) -> tuple[float, float]:
        return STATED[self.corners]

    def options(self) -> dict[str, str]:
        return {
            "annotations": self.annotations,
            "images": self.images,
            "image_set": self.image_set,
            "corners": self.corners,
            "maps": self.devkit,
            "class_lists": "yes" if self.class_lists else "",
            "unlabelled": "yes" if self.unlabelled else "",
            "classes": self.classes,
            "picture_by": self.picture_by,
        }

    def survey(self) -> Survey:
        """Image ids from the image set or the folder; classes are those of VOC first, then others as found."""
        files_of = self._xml_files()
        names, refused = self._listed(files_of, Pictures(self.images, files_below(self.images)))
        xml_names = [files_of[name] for name in names if name in files_of]
        if not xml_names and not self.unlabelled:
            raise InputError(
                f"none of the {len(names) + len(refused)} images of {self.image_set or self.annotations!r} has an XML "
                f"file in {self.annotations!r}; is it the right folder? VOC2012's test set has none: take it with "
                "--unlabelled"
            )
        lists = self._class_lists()
        labels = set(lists)
        size, digest = 0, hashlib.sha256()
        paths = (storage.join(self.annotations, name) for name in xml_names)
        for name, found in zip(xml_names, read_files(paths, self.annotations), strict=True):
            data = b"" if isinstance(found, RecordError) else found
            try:
                row, _ = parse_annotation(data, name[:-4])
                labels.update(box.class_key for box in row.boxes)
            except RecordError:
                pass  # `read` rejects the image
            size += len(data)
            digest.update(f"{storage.plain_text(name)}\0{hashlib.sha256(data).hexdigest()}\n".encode())
        files = [SourceFile(path=self.annotations, bytes=size, sha256=digest.hexdigest())]
        for path in (self.image_set, self.classes, *lists.values()):
            if path:
                data = storage.read_source(path, "list of classes" if path == self.classes else "image list")
                files.append(SourceFile(path=path, bytes=len(data), sha256=hashlib.sha256(data).hexdigest()))
        ids = list(dict.fromkeys(storage.plain_text(name) for name in (*names, *(row.image_id for row in refused))))
        without = len(names) - len(xml_names)
        notes = [f"{without} of them without annotations"] if self.unlabelled and without else []
        xml_files = _xml_names(self.annotations)
        if not self.image_set and len(xml_files) > len(files_of):
            left = storage.plain_text(", ".join(sorted(set(xml_files).difference(files_of.values()))[:5]))
            notes.append(f"{left}: left out, since another XML file has the name and a smaller ending")
        if not self.classes and not labels <= set(VOC_CLASSES):
            notes.append("classes numbered by the names found here; --classes FILE numbers those of several sets alike")
        classes = listed_classes(self.classes, labels) if self.classes else _classes(labels)
        return Survey(len(ids), classes, tuple(files), ids, tuple(notes))

    def pieces(self) -> Sequence[str]:
        """Stretches of the sorted names, the lines of the list that name no image, and the class lists."""
        names, refused = self._listed(self._xml_files(), Pictures(self.images, files_below(self.images)))
        step = max(PIECE_IMAGES, -(-len(names) // MOST_PIECES))
        stretches = [f"{start}:{start + step}" for start in range(0, len(names), step)]
        return (*stretches, *([LINES] * bool(refused)), *(LABELS_OF + label for label in sorted(self._class_lists())))

    def read(self, piece: str = "") -> Iterator[Row]:
        """One row an XML file; broken XML rejects its image."""
        files_of = self._xml_files()
        pictures = Pictures(self.images, files_below(self.images))
        if piece.startswith(LABELS_OF):
            label = piece.removeprefix(LABELS_OF)
            yield from read_class_list(self._class_lists()[label], label, self._known(files_of, pictures))
            return
        names, refused = self._listed(files_of, pictures)
        if piece in ("", LINES):
            yield from refused
        if piece == LINES:
            return
        if piece:
            start, _, end = piece.partition(":")
            names = names[int(start) : int(end)]
        maps = {kind: set(storage.list_folder(storage.join(self.devkit, folder))[1]) for kind, folder in self._maps()}
        paths = (storage.join(self.annotations, files_of.get(stem, f"{stem}.xml")) for stem in names)
        for stem, data in zip(names, read_files(paths, self.annotations), strict=True):
            name, xml = storage.plain_text(stem), storage.plain_text(files_of.get(stem, f"{stem}.xml"))
            row, rejected = ImageRow(image_id=stem, uri="", has_boxes=False), []
            try:
                if name != stem:
                    raise RecordError("image:bad_name", "the file's name is no Unicode text")
                if not isinstance(data, RecordError):
                    row, rejected = parse_annotation(data, stem, corners=self.corners, where=xml)
                elif not (self.unlabelled and data.reason == NO_ANNOTATION):
                    raise data
                uri = self._picture(row, pictures)
            except RecordError as error:
                found = f"{error}: {error.found}" if error.found else str(error)
                yield Rejected(kind="image", record=name, reason=error.reason, found=found, where=xml, image_id=name)
                yield from (*rejected, *rejected_annotations(row, "image_rejected", error.reason))
                continue
            yield from rejected
            base = f"{posixpath.basename(stem)}.png"
            found = tuple((kind, f"{at}/{base}") for kind, at in self._maps() if base in maps[kind])
            yield msgspec.structs.replace(row, uri=uri, map_uris=found)

    def _picture(self, row: ImageRow, pictures: Pictures) -> str:
        """The picture of an image below its folder.

        Raises:
            RecordError: `image:ambiguous`.
        """
        filename, folder = _stated(row)
        found = pictures.named(filename, folder, row.image_id) if self.picture_by == BY[0] else ""
        if not found:
            return pictures.of_xml(folder, row.image_id) or f"{row.image_id}.jpg"
        stem = posixpath.splitext(posixpath.basename(found))[0]
        if stem != posixpath.basename(row.image_id) and _claims(self)[found] > 1:
            raise RecordError(
                "image:ambiguous",
                f"<filename> is {filename!r} here and in another XML file; correct it, or give --picture-by xml-name",
            )
        return found

    def _maps(self) -> tuple[tuple[str, str], ...]:
        return MAPS if self.devkit else ()

    def _class_lists(self) -> dict[str, str]:
        """Path of each class's list, by class.

        Raises:
            InputError: if they are asked for and there are none.
        """
        if not self.class_lists:
            return {}
        found = class_lists(self.image_set)
        if not found:
            raise InputError(
                f"there is no class list CLASS_{storage.name_of(self.image_set)} beside {self.image_set!r}; "
                "leave out --class-lists"
            )
        return found

    def _xml_files(self) -> dict[str, str]:
        """Paths of the XML files by the image's id; the ending may be in capitals, `.xml` comes first."""
        return {name[:-4]: name for name in _xml_names(self.annotations)}  # sorted: capitals first, and the last holds

    def _known(self, files_of: dict[str, str], pictures: Pictures) -> Known:
        """What a list can name."""
        return Known({*files_of, *(pictures.stems() if self.unlabelled else ())})

    def _listed(self, files_of: dict[str, str], pictures: Pictures) -> Listed:
        """The ids of the images, sorted, each once; and the lines of the list that are none."""
        if not self.image_set:
            names = {*files_of, *(pictures.stems() if self.unlabelled else ())}
            if not names:
                raise InputError(f"found no XML file in {self.annotations!r}; expected one for each image")
            return Listed(sorted(names), [])
        if not storage.exists(self.image_set):
            there = [n[:-4] for n in storage.list_folder(posixpath.dirname(self.image_set))[1] if "_" not in n]
            raise InputError(f"image list {self.image_set!r} does not exist; there are {', '.join(there) or 'none'}")
        listed = read_list(self.image_set, self._known(files_of, pictures))
        if not (listed.ids or listed.rejected):
            raise InputError(f"image list {self.image_set!r} is empty; expected one image name a line")
        return listed


def _xml_names(folder: str) -> list[str]:
    return [name for name in files_below(folder) if name.lower().endswith(".xml")]


def _stated(row: ImageRow) -> tuple[str, str]:
    """<filename> and <folder> of an XML file, "" for what is no text."""
    said: dict[str, Any] = msgspec.json.decode(row.extra) if row.extra else {}
    filename, folder = (said.get(name, "") for name in ("filename", "folder"))
    return filename if isinstance(filename, str) else "", folder if isinstance(folder, str) else ""


@lru_cache(maxsize=1)
def _claims(source: Source) -> Counter[str]:
    """How many XML files name each picture as theirs; read only where one has the name of another picture."""
    pictures = Pictures(source.images, files_below(source.images))
    claims: Counter[str] = Counter()
    names = _xml_names(source.annotations)
    paths = (storage.join(source.annotations, name) for name in names)
    for name, data in zip(names, read_files(paths, source.annotations), strict=True):
        try:
            if not isinstance(data, RecordError):
                filename, folder = _stated(parse_annotation(data, name[:-4])[0])
                claims[pictures.named(filename, folder, name[:-4]) or pictures.of_xml(folder, name[:-4])] += 1
        except RecordError:
            continue  # `read` rejects the image
    return claims


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


def listed_classes(path: str, labels: set[str]) -> tuple[DatasetClass, ...]:
    """The classes of a list, whether they occur or not; their ids are the numbers of their lines.

    Raises:
        InputError: if the list cannot be read.
        LabelError: if it is empty, holds a name twice, or lacks one that occurs.
    """
    names = [line.strip() for line in storage.text_of(path, "list of classes").splitlines()]
    while names and not names[-1]:
        names.pop()
    twice = next((name for name, count in Counter(names).items() if count > 1 or not name), None)
    if not names or twice is not None:
        found = f"the line {twice!r} more than once, or empty" if names else "no line"
        raise LabelError(f"{path}: found {found}; expected the names of the classes, one a line")
    missing = sorted(labels.difference(names))
    if missing:
        raise LabelError(f"{path} lacks {', '.join(map(repr, missing[:8]))}, which the annotations name; add them")
    return tuple(DatasetClass(name, number, name) for number, name in enumerate(names, start=1))


def _classes(labels: set[str]) -> tuple[DatasetClass, ...]:
    """The classes found. VOC's twenty have fixed ids, 1 to 20 in alphabetical order; others are numbered alike."""
    order = VOC_CLASSES if labels <= set(VOC_CLASSES) else sorted(labels)
    return tuple(DatasetClass(label, n, label) for n, label in enumerate(order, start=1) if label in labels)
