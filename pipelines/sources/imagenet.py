"""Folders of images, one folder a class, as ImageNet's training set: `ROOT/n02084071/n02084071_1034.JPEG`.

The folder's name is the label; for ImageNet it is a wnid. The statement is about the whole image: somebody said that
the class is there, nobody looked for boxes. Images may lie in a folder `images` below the class, as in Tiny ImageNet.

An image's id is FOLDER/STEM, because the same image may lie in several folders.

Files that are surely no images (hidden ones, text, a system's own) are ignored, and so is what else lies beside the
class folders; the plan says how many. Every other file is in a row: images that lie in no class folder or deeper below
one, files with unknown endings in a class folder, and names that are no Unicode text are rejected. Links to folders are
followed for class folders and their `images`, not deeper.
"""

from __future__ import annotations

import argparse
import hashlib
import posixpath
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from pipelines import storage
from pipelines.rows import ImageRow, LabelRow, Rejected, Row
from pipelines.sources.base import DatasetClass, Survey
from schemas.errors import InputError
from schemas.manifest import SourceFile

IGNORED_ENDINGS = (".txt", ".md")
IGNORED_NAMES = ("thumbs.db", "desktop.ini")
IMAGE_ENDINGS = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp")


IGNORED = "ignored"
FOUND = {
    "image:unknown_ending": f"expected an ending of {', '.join(IMAGE_ENDINGS)}",
    "image:not_in_class_folder": "expected images right below their class folder, or in its folder `images`",
    "image:bad_name": "the file's name is no Unicode text",
}


class _File(NamedTuple):
    """A file below the root: its id, its path, and why it is no image of the dataset, "" if it is one."""

    image_id: str
    uri: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Source:
    """A folder of class folders; `wnids` names a file that lists the classes to take."""

    images: str
    wnids: str = ""

    name: ClassVar[str] = "imagenet"
    help: ClassVar[str] = "image labels from class folders (ImageNet)"
    example: ClassVar[str] = "wordtree convert imagenet OUT --images ILSVRC2012/train --wnids wnids.txt"
    default_labels: ClassVar[str] = "imagenet"
    has_boxes: ClassVar[bool] = False

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--images", required=True, metavar="ROOT", help="folder that holds one folder a class")
        parser.add_argument("--wnids", default="", metavar="FILE", help="take only these folders, one name a line")

    @classmethod
    def from_args(cls, args: argparse.Namespace) -> Source:
        return cls(images=args.images, wnids=args.wnids)

    @property
    def image_root(self) -> str:
        return self.images

    def options(self) -> dict[str, str]:
        return {"images": self.images, "wnids": self.wnids}

    def survey(self) -> Survey:
        """Image ids and classes from the folders' names; the digest covers the listing, not the pixels."""
        folders = self._folders()
        listing = hashlib.sha256()
        image_ids: dict[str, None] = {}
        ignored = images = 0
        for folder in ("", *folders):
            for file in self._files(folder):
                if file.reason == IGNORED:
                    ignored += 1
                    continue
                listing.update(f"{storage.plain_text(file.uri)}\n".encode())
                image_ids[file.image_id] = None
                images += not file.reason
        if not images:
            raise InputError(f"found no image in the {len(folders)} class folders of {self.images!r}")
        files = [SourceFile(path=self.images, bytes=0, sha256=listing.hexdigest())]
        if self.wnids:
            data = storage.read_source(self.wnids, "list of classes")
            files.append(SourceFile(path=self.wnids, bytes=len(data), sha256=hashlib.sha256(data).hexdigest()))
        classes = tuple(DatasetClass(folder, number, folder) for number, folder in enumerate(folders, start=1))
        notes = (f"{ignored} other file{'s' * (ignored != 1)} ignored",) if ignored else ()
        return Survey(list(image_ids), classes, tuple(files), notes)

    def read(self) -> Iterator[Row]:
        """One row a file, folder by folder in sorted order, labelled with the folder's name."""
        for folder in ("", *self._folders()):
            seen: set[str] = set()
            for image_id, uri, reason in self._files(folder):
                if reason == IGNORED:
                    continue
                found = FOUND.get(reason, "")
                if not reason and image_id in seen:
                    reason, found = "image:duplicate_id", "another file of this name has a different ending"
                if reason:
                    where = storage.plain_text(uri)
                    yield Rejected(
                        kind="image",
                        record=image_id,
                        reason=reason,
                        found=f"{where}: {found}",
                        where=where,
                        image_id=image_id,
                    )
                    continue
                seen.add(image_id)
                yield ImageRow(
                    image_id=image_id,
                    uri=uri,
                    has_boxes=False,
                    labels=(LabelRow(class_key=folder, source="folder"),),
                    provenance=folder,
                )

    def _folders(self) -> list[str]:
        """Class folders, sorted by name."""
        there = [name for name in storage.list_folder(self.images)[0] if not name.startswith(".")]
        if self.wnids:
            lines = storage.text_of(self.wnids, "list of classes").splitlines()
            wanted = sorted({line.split()[0] for line in lines if line.strip()})
            missing = [name for name in wanted if name not in set(there)]
            if missing:
                raise InputError(
                    f"{self.wnids!r} lists {len(wanted)} classes; {len(missing)} have no folder in {self.images!r}: "
                    f"{', '.join(missing[:5])}"
                )
            there = wanted
        bad = next((name for name in there if storage.plain_text(name) != name), "")
        if bad:
            raise InputError(f"the class folder {storage.plain_text(bad)!r} in {self.images!r} has no Unicode name")
        if not there:
            raise InputError(f"found no class folder in {self.images!r}; expected one a class, such as n02084071")
        return there

    def _files(self, folder: str) -> list[_File]:
        """The files of a class, or beside the class folders for "", sorted."""
        root = storage.join(self.images, folder) if folder else self.images
        folders, names = storage.list_folder(root)
        paths = [storage.join(folder, name) if folder else name for name in names]
        if folder and any(not name.startswith(".") for name in folders):
            paths = [storage.join(folder, name) for name in storage.files_below(root)]
            linked = storage.join(folder, "images")
            if "images" in folders and not any(path.startswith(f"{linked}/") for path in paths):
                paths += [storage.join(linked, name) for name in storage.files_below(storage.join(root, "images"))]
        return [_judge(folder, uri) for uri in sorted(paths)]


def _judge(folder: str, uri: str) -> _File:
    """What a file is, by its path."""
    inner = uri[len(folder) + 1 :].split("/") if folder else [uri]
    name = inner[-1].lower()
    stem, ending = posixpath.splitext(name)
    if any(part.startswith(".") for part in inner) or ending in IGNORED_ENDINGS or name in IGNORED_NAMES:
        return _File("", uri, IGNORED)
    if stem == "readme" or (not folder and ending not in IMAGE_ENDINGS):
        return _File("", uri, IGNORED)
    plain = storage.plain_text(uri)
    if ending not in IMAGE_ENDINGS:
        return _File(plain, uri, "image:unknown_ending")
    if not folder or inner[:-1] not in ([], ["images"]):
        return _File(plain, uri, "image:not_in_class_folder")
    if plain != uri:
        return _File(plain, uri, "image:bad_name")
    return _File(f"{folder}/{posixpath.splitext(inner[-1])[0]}", uri)
