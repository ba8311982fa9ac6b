"""Open Images V4 to V7, and data in its form: CSV files of boxes, image labels, masks and images.

Boxes are relative to the stored image, so its size is not needed and EXIF changes nothing. Image labels have three
values: verified present, verified absent, and unknown; machines' labels are unverified and have a confidence. What the
files look like: `pipelines.open_images.columns`; which images there are and what is rejected:
`pipelines.open_images.joined`. Everything streams: a piece is a stretch of a file, a folder or an archive.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from typing import Any, ClassVar

from pipelines.files import storage
from pipelines.files.csv_ranges import parse_range, ranges
from pipelines.open_images import classes, joined, parsing, places
from pipelines.open_images.columns import Header, Kind, file_name, read_header
from pipelines.open_images.csv_rows import read_rows
from pipelines.open_images.scan import Scan, file_image_ids, scan_file
from pipelines.rows import Rejected, Row, Statements, decode_row
from pipelines.sources.base import DatasetSource, Survey
from schemas.errors import ConfigError, InputError, RecordError
from schemas.manifest import SourceFile
from wordtree.expansion import Ancestry, hierarchy_ancestry

Paths = tuple[str, ...]
_NOT_AN_ID = "expected 16 hex digits in lower case; --any-id takes ids as they are"
_RECORD_KIND: dict[Kind, str] = {"boxes": "box", "masks": "box", "labels": "label", "images": "image"}
_SAID_AT_ONCE = 1000  # statements in one row


@dataclass(frozen=True, slots=True)
class Source(DatasetSource):
    """The files of one set, and the folder of its images; attributes as in `add_arguments`."""

    images: str
    boxes: Paths = ()
    image_labels: Paths = ()
    image_list: Paths = ()
    class_descriptions: Paths = ()
    mask_list: Paths = ()
    mask_dir: str = ""
    hierarchy: str = ""
    expand: bool = False
    background: bool = False
    only_found: bool = False
    any_id: bool = False

    name: ClassVar[str] = "openimages"
    help: ClassVar[str] = "boxes, image labels and masks of Open Images"
    example: ClassVar[str] = (
        "wordtree convert openimages OUT --images validation --boxes validation-annotations-bbox.csv "
        "--image-labels validation-annotations-human-imagelabels-boxable.csv"
    )
    default_labels: ClassVar[str] = "openimages"
    has_boxes: ClassVar[bool] = True
    paths: ClassVar[tuple[str, ...]] = (
        *("images", "mask_dir", "hierarchy", "boxes", "image_labels", "image_list"),
        *("class_descriptions", "mask_list"),
    )
    relative_boxes: ClassVar[bool] = True

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        several: dict[str, Any] = {"nargs": "+", "default": [], "metavar": "FILE"}
        parser.add_argument("--images", required=True, metavar="DIR", help="folder of <id>.jpg, of folders or of tars")
        parser.add_argument("--boxes", **several, help="...-annotations-bbox.csv")
        parser.add_argument("--image-labels", **several, help="...-imagelabels.csv, of people and of machines")
        parser.add_argument("--image-list", **several, help="the set's images, with Rotation (default: all that the "
                            "CSV files and the folder name)")  # fmt: skip
        parser.add_argument("--class-descriptions", **several, help="class-descriptions.csv, with or without header")
        parser.add_argument("--mask-list", **several, help="...-annotations-object-segmentation.csv")
        parser.add_argument("--mask-dir", default="", metavar="DIR", help="folder of the masks' PNG files")
        parser.add_argument("--hierarchy", default="", metavar="FILE", help="bbox_labels_600_hierarchy.json")
        parser.add_argument("--expand", action="store_true", help="copy boxes and positive labels to the classes "
                            "above, verified negatives to those below")  # fmt: skip
        parser.add_argument("--background", action="store_true", help="images without a box hold no object: true for "
                            "validation and test, not for train")  # fmt: skip
        parser.add_argument("--only-found", action="store_true", help="take only images whose file is there; leave out "
                            "what the CSV files say about others")  # fmt: skip
        parser.add_argument("--any-id", action="store_true", help="image ids may be any text, as in data of one's own")

    @classmethod
    def from_args(cls, args: argparse.Namespace) -> Source:
        if not (args.boxes or args.image_labels or args.mask_list or args.image_list):
            raise ConfigError("openimages needs --boxes, --image-labels, --mask-list or --image-list; none is given")
        if bool(args.mask_list) != bool(args.mask_dir):
            raise ConfigError("--mask-list and --mask-dir go together: the CSV file, and the folder of its PNG files")
        if args.expand and not args.hierarchy:
            raise ConfigError("--expand needs --hierarchy FILE")
        several = ("boxes", "image_labels", "image_list", "class_descriptions", "mask_list")
        for name in several:
            given = getattr(args, name)
            if len(set(map(file_name, given))) < len(given):
                raise ConfigError(
                    f"--{name.replace('_', '-')} has two files of one name, which rejects could not tell apart"
                )
        return cls(
            images=args.images,
            mask_dir=args.mask_dir,
            hierarchy=args.hierarchy,
            expand=args.expand,
            background=args.background,
            only_found=args.only_found,
            any_id=args.any_id,
            **{name: tuple(getattr(args, name)) for name in several},
        )

    @property
    def image_root(self) -> str:
        return self.images

    @property
    def asset_root(self) -> str:
        return self.mask_dir or self.images

    def options(self) -> dict[str, str]:
        options = {"images": self.images, "mask_dir": self.mask_dir, "hierarchy": self.hierarchy}
        for name in ("boxes", "image_labels", "image_list", "class_descriptions", "mask_list"):
            options[name] = " ".join(getattr(self, name))
        for name in ("expand", "background", "only_found", "any_id"):
            options[name] = "yes" if getattr(self, name) else "no"
        return options

    def survey(self) -> Survey:
        """Classes, digests, and the number of images; each CSV file is read once."""
        headers = {path: read_header(path, kind) for kind, path in self._files()}
        described, again = classes.read_descriptions(self.class_descriptions)
        hierarchy = classes.read_hierarchy(self.hierarchy) if self.hierarchy else None
        scan, listed = Scan(), Scan()
        for kind, path in self._files():
            scan_file(path, headers[path], listed if kind == "images" else scan, self._id_of)
        found = Scan()
        for kind, place in self._places():
            rows = places.images_at(self.images, kind, place, self._is_id)
            found.add_images([row.image_id for row in rows])
        files = [*scan.files, *listed.files]
        files += [_digest(path) for path in (*self.class_descriptions, *((self.hierarchy,) if self.hierarchy else ()))]
        named, there = scan.distinct_images(), found.distinct_images()
        notes = [f"{there} files found", *again]
        if self.only_found:
            images = there
        elif self.image_list:
            images = listed.distinct_images()
        else:
            scan.images += found.images
            images = scan.distinct_images()
            if images > named:
                notes.append(f"{images - named} of them named by no CSV file")
        unused = {file_name(path): headers[path].unused for kind, path in self._files() if kind == "labels"}
        notes += [
            f"{name}: column{'s' * (len(found) > 1)} {', '.join(map(repr, found))} not used"
            for name, found in unused.items()
            if found
        ]
        if not images:
            raise InputError(f"found no image in {self.images!r} and in {', '.join(p for _, p in self._files())}")
        return Survey(
            images=images,
            classes=classes.dataset_classes(described, scan.classes),
            files=tuple(files),
            notes=tuple(notes),
            head=classes.head_json(described, hierarchy),
            unused_columns=unused,
        )

    def image_ids(self) -> Iterable[str]:
        if not self.only_found:
            for kind, path in self._files():
                if kind == "images" or not self.image_list:
                    yield from map(self._id_of, file_image_ids(path, read_header(path, kind)))
        if self.only_found or not self.image_list:
            for kind, place in self._places():
                yield from (row.image_id for row in places.images_at(self.images, kind, place, self._is_id))

    def pieces(self) -> Sequence[str]:
        """`FILE-NUMBER RANGE` for stretches of the CSV files, then `folder PATH` and `archive PATH`."""
        found = [
            f"{number} {part.text()}"
            for number, (kind, path) in enumerate(self._files())
            for part in ranges(path, f"{kind} file", is_cut=read_header(path, kind).is_record)
        ]
        return [*found, *(f"{kind} {place}" for kind, place in self._places())]

    def read(self, piece: str = "") -> Iterator[Row]:
        """The rows of a piece; of all pieces for "". `unpack` puts those of an image together."""
        if not piece:
            for name in self.pieces():
                yield from self.read(name)
            return
        what, _, rest = piece.partition(" ")
        if what in (places.FOLDER, places.ARCHIVE):
            yield from places.images_at(self.images, what, rest, self._is_id)
            return
        kind, path = self._files()[int(what)]
        header = read_header(path, kind)
        name = file_name(path)
        good: Iterable[tuple[str, Any] | Rejected] = _parsed(
            path, kind, header, parse_range(rest), self._parser(kind, header, name), self._is_id, self._id_of
        )
        if kind == "images":
            yield from (row if isinstance(row, Rejected) else row[1] for row in good)
            return
        yield from _statements(good, kind, name)

    def unpack(self, payloads: Iterable[bytes]) -> Iterator[Row]:
        """One `ImageRow` an image, joined from all pieces, and what is rejected."""
        rules = joined.Rules(
            listed=bool(self.image_list),
            only_found=self.only_found,
            background=self.background,
            ancestry=_ancestry(self.hierarchy) if self.expand else None,
        )
        rows = map(decode_row, sorted(payloads))
        for image_id, group in groupby(rows, key=lambda row: row.image_id):
            yield from joined.join_image(image_id, group, rules)

    def _files(self) -> list[tuple[Kind, str]]:
        """The CSV files with rows about images, each with its kind."""
        return [
            *(("images", path) for path in self.image_list),
            *(("boxes", path) for path in self.boxes),
            *(("masks", path) for path in self.mask_list),
            *(("labels", path) for path in self.image_labels),
        ]

    def _places(self) -> list[tuple[str, str]]:
        return places.image_places(self.images)

    def _is_id(self, text: str) -> object:
        return parsing.is_image_id(text) if not self.any_id else text

    def _id_of(self, text: str) -> str:
        return places.stated_id(text, self._is_id, any_id=self.any_id)

    def _parser(self, kind: Kind, header: Header, name: str) -> Callable[[Sequence[str], str], Any]:
        if kind == "boxes":
            return parsing.box_parser(header)
        if kind == "masks":
            return parsing.mask_parser(header, places.mask_uris(self.mask_dir))
        return parsing.label_parser(header) if kind == "labels" else parsing.image_parser(header, name)


def _parsed(
    path: str,
    kind: Kind,
    header: Header,
    found: Any,
    parse: Callable[[Sequence[str], str], Any],
    is_id: Callable[[str], object],
    id_of: Callable[[str], str],
) -> Iterator[tuple[str, Any] | Rejected]:
    """(image id, what stands there) of each record, or why it is none."""
    name, id_at, word = file_name(path), header.at["ImageID"], _RECORD_KIND[kind]
    for line, cells, wrong in read_rows(path, header, found):
        where = f"{name} line {line}"
        if len(cells) > id_at:
            cells[id_at] = id_of(cells[id_at])
        if wrong:
            record = cells[id_at] if len(cells) > id_at and is_id(cells[id_at]) else ""
            yield _rejected(word, record, f"{word}:bad_row", f"{wrong}: {','.join(cells)[:80]}", where)
        elif not is_id(cells[id_at]):
            found_id = f"image id {cells[id_at][:80]!r}; {_NOT_AN_ID}"
            yield _rejected(word, cells[id_at], f"{word}:bad_image_id", found_id, where)
        else:
            try:
                yield cells[id_at], parse(cells, where)
            except RecordError as error:
                yield _rejected(word, cells[id_at], error.reason, str(error), where)


def _rejected(kind: str, image_id: str, reason: str, found: str, where: str) -> Rejected:
    return Rejected(kind=kind, record=image_id, reason=reason, found=found, where=where, image_id=image_id)


def _statements(rows: Iterable[tuple[str, Any] | Rejected], kind: Kind, name: str) -> Iterator[Row]:
    """Rows of one image that stand side by side, as one; an image of which no box can be read is still one that
    people looked at."""
    sought = True if kind in ("boxes", "masks") else None

    def about(image_id: str, said: list[Any]) -> Statements:
        field = "labels" if kind == "labels" else "boxes"
        return Statements(image_id=image_id, boxes_sought=sought, provenance=name, **{field: tuple(said)})

    image_id, said = "", list[Any]()
    for row in rows:
        if isinstance(row, Rejected):
            yield row
            if sought and row.image_id and row.reason != "box:bad_image_id":
                yield about(row.image_id, [])
            continue
        if row[0] != image_id or len(said) == _SAID_AT_ONCE:
            if said:
                yield about(image_id, said)
            image_id, said = row[0], []
        said.append(row[1])
    if said:
        yield about(image_id, said)


def _digest(path: str) -> SourceFile:
    import hashlib

    data = storage.read_source(path, "file")
    return SourceFile(path=path, bytes=len(data), sha256=hashlib.sha256(data).hexdigest())


@cache
def _ancestry(path: str) -> Ancestry:
    return hierarchy_ancestry(classes.read_hierarchy(path))
