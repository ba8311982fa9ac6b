"""Folders of images, one folder a class, as ImageNet's training set: `ROOT/n02084071/n02084071_1034.JPEG`.

The folder's name is the label; for ImageNet it is a wnid. The statement is about the whole image: somebody said that
the class is there, nobody looked for boxes. Images may lie in a folder `images` below the class, as in Tiny ImageNet.

An image's id is FOLDER/STEM, because the same image may lie in several folders. Files with other endings than an
image's are not part of the dataset.
"""

from __future__ import annotations

import argparse
import hashlib
import posixpath
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from pipelines import storage
from pipelines.rows import ImageRow, LabelRow, Rejected, Row
from pipelines.sources.base import DatasetClass, Survey
from schemas.errors import InputError
from schemas.manifest import SourceFile

IMAGE_ENDINGS = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp")


@dataclass(frozen=True, slots=True)
class Source:
    """A folder of class folders; `wnids` names a file that lists the classes to take."""

    images: str
    wnids: str = ""

    name: ClassVar[str] = "imagenet"
    help: ClassVar[str] = "image labels from class folders, such as ImageNet's"
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
        for folder in folders:
            for uri in self._files(folder):
                listing.update(f"{uri}\n".encode())
                image_ids[_image_id(folder, uri)] = None
        if not image_ids:
            raise InputError(f"found no image in the {len(folders)} class folders of {self.images!r}")
        files = [SourceFile(path=self.images, bytes=0, sha256=listing.hexdigest())]
        if self.wnids:
            data = storage.read_source(self.wnids, "list of classes")
            files.append(SourceFile(path=self.wnids, bytes=len(data), sha256=hashlib.sha256(data).hexdigest()))
        classes = tuple(DatasetClass(folder, number, folder) for number, folder in enumerate(folders, start=1))
        return Survey(list(image_ids), classes, tuple(files))

    def read(self) -> Iterator[Row]:
        """One row a file, folder by folder in sorted order, labelled with the folder's name."""
        for folder in self._folders():
            seen: set[str] = set()
            for uri in self._files(folder):
                image_id = _image_id(folder, uri)
                if image_id in seen:
                    yield Rejected(
                        kind="image",
                        record=image_id,
                        reason="image:duplicate_id",
                        found=f"{uri}: another file of this name has a different ending",
                        where=uri,
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
        if not there:
            raise InputError(f"found no class folder in {self.images!r}; expected one a class, such as n02084071")
        return there

    def _files(self, folder: str) -> list[str]:
        """Paths of a class's images below the root, sorted."""
        folders, names = storage.list_folder(storage.join(self.images, folder))
        paths = [storage.join(folder, name) for name in names]
        if "images" in folders:
            inner = storage.list_folder(storage.join(self.images, folder, "images"))[1]
            paths += [storage.join(folder, "images", name) for name in inner]
        return sorted(path for path in paths if posixpath.splitext(path)[1].lower() in IMAGE_ENDINGS)


def _image_id(folder: str, uri: str) -> str:
    return f"{folder}/{posixpath.splitext(posixpath.basename(uri))[0]}"
