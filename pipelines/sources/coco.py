"""COCO's JSON files: instances, keypoints, captions, panoptic, LVIS, and lists of images without annotations.

Boxes are [x, y, width, height] in pixels, floats, 0-based from the top left corner (cocodataset.org/#format-data).
Category ids are sparse and are kept. Files are streamed (`pipelines.files.json_stream`), so memory does not grow with
them: images become rows without boxes, annotations become statements about them, and all meet in their shard. Every
field is kept, as itself or in `extra`; docs/coco.md says what becomes of each.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import msgspec

from pipelines.coco.captions import read_captions
from pipelines.coco.entries import MADE_FROM, OTHER_FILES
from pipelines.coco.head import (
    Head,
    categories_of,
    classes_of,
    ids_of,
    parse_categories,
    read_head,
    readable_values,
    repeated_names,
)
from pipelines.coco.merging import merge_keypoints
from pipelines.coco.panoptic import read_panoptic
from pipelines.coco.reading import ImageFolder, read_instances
from pipelines.coco.results import Results
from pipelines.files.json_stream import begins_list
from pipelines.rows import KEY_BYTES, PLACE_BYTES, Row, decode_row
from pipelines.sources.base import PIECE_SHIFT, DatasetSource, Survey
from schemas.errors import ConfigError, FormatError

ROLES = ("annotations", "panoptic", "captions", "keypoints")


@dataclass(frozen=True, slots=True)
class Source(DatasetSource):
    """A file that lists images, files that say more about them, and the folder of the images.

    The main file is `annotations` (instances, keypoints, LVIS), `panoptic`, or `captions` alone; it lists the images.
    `captions` and `keypoints` may be given beside it. Where `annotations` is a list of results, `categories` names
    their classes.
    """

    annotations: str = ""
    images: str = ""
    captions: str = ""
    keypoints: str = ""
    panoptic: str = ""
    panoptic_maps: str = ""
    unlabelled: bool = False
    categories: str = ""

    name: ClassVar[str] = "coco"
    help: ClassVar[str] = "boxes, masks, keypoints or captions from COCO's or LVIS's JSON files"
    example: ClassVar[str] = "wordtree convert coco OUT --annotations instances_val2017.json --images val2017"
    default_labels: ClassVar[str] = "coco"
    has_boxes: ClassVar[bool] = True
    paths: ClassVar[tuple[str, ...]] = ("annotations", "panoptic", "captions", "keypoints", "panoptic_maps", "images")

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "--annotations",
            default="",
            metavar="FILE",
            help="instances, keypoints or LVIS JSON, or a list of results of a detector",
        )
        parser.add_argument("--images", required=True, metavar="DIR", help="folder that `file_name` is relative to")
        parser.add_argument(
            "--captions", default="", metavar="FILE", help="captions JSON, alone or beside one of the other files"
        )
        parser.add_argument(
            "--keypoints", default="", metavar="FILE", help="keypoints JSON for the annotation ids of --annotations"
        )
        parser.add_argument("--panoptic", default="", metavar="FILE", help="panoptic JSON, instead of --annotations")
        parser.add_argument("--panoptic-maps", default="", metavar="DIR", help="folder of its PNGs")
        parser.add_argument(
            "--categories",
            default="",
            metavar="FILE",
            help="of a list of results: the COCO JSON that was detected on, or a label map (.pbtxt), for the classes",
        )
        parser.add_argument(
            "--unlabelled",
            action="store_true",
            help="--annotations is a list of images without annotations, such as image_info_test2017.json",
        )

    @classmethod
    def from_args(cls, args: argparse.Namespace) -> Source:
        source = cls(
            annotations=args.annotations,
            images=args.images,
            captions=args.captions,
            keypoints=args.keypoints,
            panoptic=args.panoptic,
            panoptic_maps=args.panoptic_maps,
            unlabelled=args.unlabelled,
            categories=args.categories,
        )
        if not (source.annotations or source.panoptic or source.captions):
            raise ConfigError("no file is given; expected --annotations, --panoptic or --captions FILE")
        if source.annotations and source.panoptic:
            raise ConfigError(
                "--annotations and --panoptic both give boxes of the same objects; convert them to two datasets"
            )
        if bool(source.panoptic) != bool(source.panoptic_maps):
            raise ConfigError("--panoptic and --panoptic-maps go together; give both or none")
        for option, given in (("--keypoints", source.keypoints), ("--unlabelled", source.unlabelled)):
            if given and not source.annotations:
                raise ConfigError(f"{option} needs --annotations")
        if source.unlabelled and source.keypoints:
            raise ConfigError("--keypoints are annotations; leave out --unlabelled")
        return source

    @property
    def image_root(self) -> str:
        return self.images

    @property
    def asset_root(self) -> str:
        return self.panoptic_maps or self.images

    def options(self) -> dict[str, str]:
        given = {role: self._path(role) for role in ROLES}
        given |= {
            "categories": self.categories,
            "panoptic_maps": self.panoptic_maps,
            "unlabelled": "yes" if self.unlabelled else "",
        }
        return {name: value for name, value in given.items() if value} | {"images": self.images}

    def pieces(self) -> Sequence[str]:
        return tuple(role for role in ROLES if self._path(role))

    def _path(self, role: str) -> str:
        return {
            "annotations": self.annotations,
            "panoptic": self.panoptic,
            "captions": self.captions,
            "keypoints": self.keypoints,
        }[role]

    def survey(self) -> Survey:
        """Ids and classes of the main file; what the others name beside it is told in notes."""
        if results := self._results():
            return results.survey()
        main, *others = self.pieces()
        path, head = self._path(main), read_head(self._path(main), _role(main))
        _check(head, path, main, self.unlabelled)
        assert head.image_ids is not None
        categories = parse_categories(head.values.get("categories", b"[]"), path)
        classes = classes_of(categories, path)
        if not classes and main != "captions" and not self.unlabelled:
            raise FormatError(
                f"{path} has no `categories`: found a file without classes; expected a COCO instances file. "
                "Captions are given with --captions FILE"
            )
        notes = repeated_names(classes)
        heads = {role: read_head(self._path(role), _role(role)) for role in others}
        for role, other in heads.items():
            if other.image_ids is not None and (left := other.image_ids.missing_from(head.image_ids)):
                notes.append(f"{self._path(role)} lists {left} images that {path} does not; they are left out")
        for role, found in {main: head, **heads}.items():
            if found.more_fields:
                notes.append(f"{self._path(role)}: annotations have fields that {role} files do not; they are left out")
        told, changed = readable_values(head.values, path)
        notes += changed
        if main != "annotations":
            told[MADE_FROM] = msgspec.Raw(msgspec.json.encode(main))
        if heads:
            values = {role: readable_values(other.values, self._path(role)) for role, other in heads.items()}
            notes += [note for _, found in values.values() for note in found]
            told[OTHER_FILES] = msgspec.Raw(msgspec.json.encode({role: found for role, (found, _) in values.items()}))
        files = (head.file, *(other.file for other in heads.values()))
        return Survey(len(head.image_ids), classes, files, head.image_ids, tuple(notes), msgspec.json.encode(told))

    def read(self, piece: str = "") -> Iterator[Row]:
        """Images in the file's order, and what is said about them; what cannot be an annotation, rejected."""
        for number, role in enumerate(self.pieces()):
            if piece in ("", role):
                yield from self._read(role, ImageFolder(self.images) if number == 0 else None)

    def _results(self) -> Results | None:
        """The main file as a list of results, if it is one.

        Raises:
            ConfigError: other files do not go with it.
        """
        if not (self.annotations and begins_list(self.annotations)):
            if self.categories:
                raise ConfigError(f"--categories is for a list of results, and {self.annotations or 'nothing'} is none")
            return None
        if self.captions or self.keypoints or self.unlabelled:
            raise ConfigError(
                f"{self.annotations} is a list; --captions, --keypoints and --unlabelled go with an object of images"
            )
        return Results(self.annotations, self.images, self.categories)

    def _read(self, role: str, images: ImageFolder | None) -> Iterator[Row]:
        path = self._path(role)
        if results := self._results():
            yield from results.read()
        elif role == "captions":
            yield from read_captions(path, images)
        elif role == "panoptic":
            yield from read_panoptic(path, images or ImageFolder(self.images), categories_of(path))
        else:
            yield from read_instances(path, images, ids_of(categories_of(path)), has_boxes=not self.unlabelled)

    def unpack(self, payloads: Iterable[bytes]) -> Iterator[Row]:
        """The rows of a shard; keypoints of the second file stand at the boxes that they belong to."""
        ordered = sorted(payloads)
        if not self.keypoints:
            return map(decode_row, ordered)
        end = KEY_BYTES + PLACE_BYTES
        rows = ((int.from_bytes(e[KEY_BYTES:end], "big") >> PIECE_SHIFT, decode_row(e)) for e in ordered)
        return merge_keypoints(rows, self.pieces().index("keypoints"))


def _role(role: str) -> str:
    return "annotation file" if role == "annotations" else f"{role} file"


def _check(head: Head, path: str, main: str, unlabelled: bool) -> None:
    if head.image_ids is None:
        found = ", ".join(list(head.values)[:9]) or "nothing"
        raise FormatError(
            f"{path} is no COCO {_kind(main)} file: found an object of {found}; "
            "expected one with a list `images`, a list `annotations` and a list `categories`"
        )
    if head.annotations < 0 and not unlabelled:
        raise FormatError(
            f"{path} has no `annotations`: its images are not annotated (an image_info file?), and without them "
            "every image would count as background. Give an instances file, or --unlabelled to convert the images alone"
        )
    if head.annotations > 0 and unlabelled:
        raise FormatError(f"{path} has {head.annotations} annotations; leave out --unlabelled")
    if not len(head.image_ids):
        raise FormatError(f"{path} names no images; expected at least one entry in `images`")


def _kind(main: str) -> str:
    return "instances" if main == "annotations" else main
