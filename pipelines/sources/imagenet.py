"""ImageNet in the forms in which it is passed around, read where it lies.

    images     class folders, a folder of <wnid>.tar, the tar of tars, an archive or a folder of images, a list
               (`pipelines.imagenet.layouts`); nothing is unpacked
    classes    by folder, tar or file name, or by a ground truth (`pipelines.imagenet.truth`)
    boxes      XML of CLS-LOC and DET, Tiny ImageNet's lists, LOC_*_solution.csv (`pipelines.imagenet.boxes`)

Boxes of an image that has a label are of the label's class: every object of it has one, and other classes were not
looked for. Boxes of an image without label (DET) are of all classes of the set.

Large sets are not held: rows stream piece by piece, and of large tars the survey estimates the number of images.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from pipelines.files import storage
from pipelines.files.archives import is_archive
from pipelines.imagenet import layouts
from pipelines.imagenet.boxes import BoxFiles
from pipelines.imagenet.naming import WNID
from pipelines.imagenet.reading import rows_of, statements_of
from pipelines.imagenet.truth import Said, by_stem, is_by_order, read_truth, states_boxes
from pipelines.rows import ImageRow, Rejected, Row, Statements, encode_row
from pipelines.sources.base import DatasetClass, DatasetSource, Survey
from pipelines.voc.corners import CORNERS, STATED
from schemas.errors import ConfigError, InputError
from schemas.manifest import SourceFile

TRUTH = "truth"
COUNTED = 20_000  # images in tars are counted up to here, then estimated by bytes


@dataclass(frozen=True, slots=True)
class Source(DatasetSource):
    """Images with labels; the attributes are the options of the command line."""

    images: str
    wnids: str = ""
    ground_truth: str = ""
    synsets: str = ""
    boxes: str = ""
    corners: str = "0-inclusive"
    listing: str = ""
    inside: str = ""
    unlabelled: bool = False

    name: ClassVar[str] = "imagenet"
    help: ClassVar[str] = "image labels (and boxes) of ImageNet: class folders, tars, validation sets"
    example: ClassVar[str] = "wordtree convert imagenet OUT --images ILSVRC2012_img_train.tar"
    default_labels: ClassVar[str] = "imagenet"
    has_boxes: ClassVar[bool] = False
    paths: ClassVar[tuple[str, ...]] = ("images", "wnids", "ground_truth", "synsets", "boxes", "list")

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "--images",
            required=True,
            metavar="PATH",
            help="folder of class folders, of CLASS.tar files or of images; or a tar of tars, a tar or a zip",
        )
        parser.add_argument("--inside", default="", metavar="FOLDER", help="take only this folder of the archive")
        parser.add_argument(
            "--list", dest="listing", default="", metavar="FILE", help="take only these images (a file of ImageSets)"
        )
        parser.add_argument("--wnids", default="", metavar="FILE", help="take only these classes, one name a line")
        parser.add_argument(
            "--ground-truth",
            default="",
            metavar="FILE",
            help="classes of images whose place does not say them: a wnid or an id a line, LOC_*_solution.csv, or "
            "names and wnids",
        )
        parser.add_argument(
            "--synsets", default="", metavar="FILE", help="id and wnid, one a line, for a ground truth of ids"
        )
        parser.add_argument(
            "--boxes", default="", metavar="DIR", help="XML files (CLS-LOC, DET), or Tiny ImageNet's class folders"
        )
        parser.add_argument(
            "--corners",
            choices=CORNERS,
            default="0-inclusive",
            help="what the corners of boxes count: pixels from 1 or 0 with both inside, or edges (0-inclusive)",
        )
        parser.add_argument("--unlabelled", action="store_true", help="take images without class too (test sets)")

    @classmethod
    def from_args(cls, args: argparse.Namespace) -> Source:
        if args.synsets and not args.ground_truth:
            raise ConfigError("--synsets explains the ids of a --ground-truth; give both")
        if args.listing and is_archive(args.images):
            raise ConfigError("--list names files below a folder; unpack the archive, or take a part with --inside")
        if args.inside and not is_archive(args.images):
            raise ConfigError("--inside names a folder of an archive; give that folder itself to --images")
        boxed = bool(args.boxes) or bool(args.ground_truth and states_boxes(args.ground_truth))
        return (BoxedSource if boxed else Source)(
            images=args.images.rstrip("/") or args.images,
            wnids=args.wnids,
            ground_truth=args.ground_truth,
            synsets=args.synsets,
            boxes=args.boxes,
            corners=args.corners,
            listing=args.listing,
            inside=args.inside,
            unlabelled=args.unlabelled,
        )

    @property
    def image_root(self) -> str:
        return layouts.root_of(self.images)

    @property
    def stated_corners(self) -> tuple[float, float]:
        return STATED[self.corners]

    def options(self) -> dict[str, str]:
        return {
            "images": self.images,
            "wnids": self.wnids,
            "ground_truth": self.ground_truth,
            "synsets": self.synsets,
            "boxes": self.boxes,
            "corners": self.corners if self.has_boxes else "",
            "list": self.listing,
            "inside": self.inside,
            "unlabelled": "yes" if self.unlabelled else "",
        }

    def survey(self) -> Survey:
        """Classes, and the number of images; the digest covers names, places and annotations, not the pixels."""
        pieces, flat = self._find()
        labels = {label for piece in pieces if (label := layouts.label_of_piece(piece))}
        listing, counts, passed = hashlib.sha256(), Counter[str](), Counter[str]()
        sizes = {piece: layouts.bytes_of_piece(self.images, piece) for piece in pieces}
        looked_at, first = 0, dict[str, str]()
        held: dict[str, None] | None = {}
        for piece in pieces:
            if sizes[piece] and counts["rows"] >= COUNTED and not self.has_boxes:
                listing.update(f"{piece} {sizes[piece]}\n".encode())
                continue
            looked_at += sizes[piece]
            for row in self._read(piece, flat, passed):
                if isinstance(row, (ImageRow, Statements)):
                    counts["images"] += isinstance(row, ImageRow)
                    labels.update(label.class_key for label in row.labels)
                    labels.update(box.class_key for box in row.boxes)
                if _is_image(row):
                    counts["rows"] += 1
                    held = None if counts["rows"] > COUNTED else held
                    if held is not None:
                        held[row.image_id] = None
                if isinstance(row, Rejected):
                    counts[row.reason] += 1
                    if row.reason == "image:no_label":
                        first.setdefault("image", row.record)
                elif isinstance(row, Statements):
                    first.setdefault("named", row.image_id)
                listing.update(encode_row(row, 0, 0))
        if not counts["images"]:
            raise InputError(self._nothing_found(pieces, counts, first))
        all_bytes = sum(sizes.values())
        if looked_at < all_bytes:
            counts["rows"] = counts["rows"] * all_bytes // looked_at
            held = None
        images = counts["rows"] if held is None else len(held)
        files = [SourceFile(path=self.images, bytes=0, sha256=listing.hexdigest())]
        for path in (self.wnids, self.ground_truth, self.synsets, self.listing):
            if path:
                data = storage.read_source(path, "file")
                files.append(SourceFile(path=path, bytes=len(data), sha256=hashlib.sha256(data).hexdigest()))
        order = sorted(self._wnids() or labels)
        classes = tuple(DatasetClass(label, number, label) for number, label in enumerate(order, start=1))
        notes = [f"{passed['ignored']} other file{'s' * (passed['ignored'] != 1)} ignored"] if passed["ignored"] else []
        if passed["of other classes"]:
            notes.append(f"{passed['of other classes']} images of other classes left out")
        head = {"boxes_of": "the image's labels; all classes where it has none"} if self.has_boxes else {}
        return Survey(images, classes, tuple(files), held, tuple(notes), json.dumps(head).encode() if head else b"")

    def image_ids(self) -> Iterator[str]:
        for piece in self.pieces():
            if piece != TRUTH:
                for row in self.read(piece):
                    if _is_image(row):
                        yield row.image_id

    def pieces(self) -> Sequence[str]:
        """A piece each class folder or tar; see `pipelines.imagenet.layouts`."""
        return self._find()[0]

    def read(self, piece: str = "") -> Iterator[Row]:
        """The rows of a piece; of all pieces for ""."""
        if piece:
            yield from self._read(piece, self._is_flat(piece), Counter())
            return
        pieces, flat = self._find()
        for name in pieces:
            yield from self._read(name, flat, Counter())

    def _read(self, piece: str, flat: bool, passed: Counter[str]) -> Iterator[Row]:
        if piece == TRUTH:
            yield from statements_of(read_truth(self.ground_truth, self.corners, self.synsets), self._wnids())
            return
        one_class = bool(layouts.label_of_piece(piece))
        truth, faults = self._truth(piece) if flat and self.ground_truth else (None, [])
        yield from faults
        listed = piece == "list"
        yield from rows_of(
            self._files(piece),
            boxes=BoxFiles(self.boxes, self.corners, flat=flat, listed=listed) if self.boxes else None,
            truth=truth,
            wnids=frozenset() if one_class else self._wnids(),
            unlabelled=self.unlabelled,
            one_class=one_class,
            passed=passed,
        )

    def _files(self, piece: str) -> Iterator[layouts.File]:
        return layouts.files_of_piece(
            self.images,
            piece,
            listing=self.listing,
            inside=self.inside,
            folders_are_classes=not (self.ground_truth or self.boxes or self.unlabelled),
        )

    def _find(self) -> layouts.Pieces:
        pieces, flat = layouts.find_pieces(
            self.images, listing=self.listing, inside=self.inside, wnids=sorted(self._wnids())
        )
        if self.ground_truth and not flat:
            if is_by_order(self.ground_truth):
                raise InputError(
                    f"ground truth {self.ground_truth!r} says by its order which image is whose, but {self.images!r} "
                    "has class folders; give the folder or archive of a flat validation set"
                )
            pieces.append(TRUTH)
        return pieces, flat

    def _is_flat(self, piece: str) -> bool:
        return self._find()[1] if piece == "archive" else piece == "list" or piece.startswith("flat ")

    def _truth(self, piece: str) -> tuple[dict[str, Said], list[Rejected]]:
        found = list(read_truth(self.ground_truth, self.corners, self.synsets))
        stems: list[str] = []
        if found and is_by_order(self.ground_truth):
            stems = [file.stem for file in self._files(piece) if not file.reason]
        return by_stem(found, stems, self.ground_truth)

    def _wnids(self) -> frozenset[str]:
        if not self.wnids:
            return frozenset()
        lines = storage.text_of(self.wnids, "list of classes").splitlines()
        return frozenset(_class_of_line(line.strip()) for line in lines if line.strip())

    def _nothing_found(self, pieces: Sequence[str], counts: Counter[str], first: Mapping[str, str]) -> str:
        """Why there is nothing to convert, and what to do.

        Args:
            pieces: of the dataset.
            counts: of rejects by reason.
            first: an image without class, and an image that the ground truth or a box file names, if there is one.
        """
        folders = sum(piece.startswith(("folder ", "tar ", "inner ")) for piece in pieces)
        if folders or not counts["image:no_label"]:
            return f"found no image in the {folders} class folders of {self.images!r}"
        found = (
            f"found no class folder in {self.images!r}, and none of its {counts['image:no_label']} images has a class "
            "by its name"
        )
        given = {"--ground-truth": self.ground_truth, "--boxes": self.boxes}
        files = " and ".join(f"{option} {path!r}" for option, path in given.items() if path)
        if not files:
            return f"{found}; give --ground-truth FILE, --boxes DIR for images of DET, or --unlabelled for a test set"
        named = f"names others, such as {first['named']!r}" if "named" in first else "says nothing about them"
        return f"{found} or in {files}, which {named}; the images are called as {first['image']!r}"


def _class_of_line(line: str) -> str:
    """A class of a list: the wnid that the line begins with; or the name up to a tab, blanks included."""
    word = line.split()[0]
    return word if WNID.fullmatch(word) else line.partition("\t")[0].strip()


def _is_image(row: Row) -> bool:
    return isinstance(row, ImageRow) or (isinstance(row, Rejected) and row.kind == "image")


class BoxedSource(Source):
    """The same with boxes."""

    __slots__ = ()
    has_boxes: ClassVar[bool] = True
