"""A list of COCO results as boxes with confidence: what a detector says, `wordtree detect --format coco` or another.

A result has image_id, category_id, bbox and score. Which images and classes there are stands in another file: the COCO
file that was detected on, or a label map for the classes alone. Where no file lists images, they are those of the
folder, under the ids that `wordtree detect` gives them (the number that a file is called by, else its path); where none
names classes, they are called by their ids.
"""

from __future__ import annotations

import posixpath
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import msgspec

from pipelines.coco.entries import UNSET, AnyEntry, Category, ImageEntry, ResultEntry, StrictResult
from pipelines.coco.head import Hashing, categories_of, classes_of, ids_of, read_head
from pipelines.coco.ids import IdSet, SeenIds
from pipelines.coco.reading import ImageFolder, image_rows, statements
from pipelines.files import storage
from pipelines.files.json_forms import Bad
from pipelines.files.json_stream import Batch, read_list, read_object
from pipelines.image_checks import KNOWN_ENDINGS
from pipelines.rows import ImageRow, Row
from pipelines.sources.base import Survey
from schemas.coco import Id, id_text
from schemas.errors import FormatError, InputError
from schemas.label_map import parse_label_map

_NUMBER = re.compile(r"[0-9]{1,18}")
_FIELDS = ResultEntry.__struct_fields__
_encode = msgspec.json.Encoder().encode


class Results(NamedTuple):
    """A list of results, the folder of its images, and the file that names its classes ("" for none)."""

    path: str
    folder: str
    names: str = ""

    def survey(self) -> Survey:
        """Ids and classes.

        Raises:
            InputError: a file cannot be read, or there is no image.
            FormatError: a file is not of its kind, or no entry of the list is a result.
        """
        digest = Hashing()
        ids, images, count, others = self._look(digest)
        if not count and (others or not self.names):
            raise FormatError(
                f"{self.path} is a list without COCO results; expected an object with a list `images`, or entries of "
                "image_id, category_id, bbox and score"
            )
        files = [digest.file(self.path)]
        listed = None
        if self._is_coco:
            head = read_head(self.names, "file of classes")
            listed = head.image_ids
            files.append(head.file)
        elif self.names:
            digest = Hashing()
            digest.update(storage.read_source(self.names, "file of classes"))
            files.append(digest.file(self.names))
        if listed is None:
            listed = IdSet()
            for uri in self._uris():
                listed.add(_id_of(uri))
        if not len(listed):
            raise InputError(f"--images {self.folder!r} holds no image; give the folder that was detected on")
        categories = self._categories(ids)
        if not categories:
            raise FormatError(f"--categories {self.names} names no class; expected a list `categories`, or a label map")
        head = {"categories": [{"id": each.id, "name": each.name} for each in categories]}
        told = f"{count} results on {images} images: boxes of a detector, with its scores as confidence"
        classes = classes_of(categories, self.names or self.path)
        return Survey(len(listed), classes, tuple(files), listed, (told,), _encode(head))

    def read(self) -> Iterator[Row]:
        """The images, and the results on them."""
        where = storage.name_of(self.path)
        names: Mapping[str, Id] = {}
        listed = False
        if self._is_coco:
            for part in read_object(self.names, {"images": (ImageEntry,), "annotations": (AnyEntry,)}):
                if isinstance(part, Batch) and part.name == "images":
                    listed = True
                    yield from image_rows(part, storage.name_of(self.names), ImageFolder(self.folder), has_boxes=True)
        if not listed:
            uris = self._uris()
            names = _names(uris)
            for uri in uris:
                extra = _encode({"file_name": uri}).decode()
                yield ImageRow(image_id=id_text(_id_of(uri)), uri=uri, has_boxes=True, provenance=where, extra=extra)
        known, seen = ids_of(self._categories(self._look()[0])), SeenIds()
        for batch in self._batches():
            for entry in batch.entries:
                if not isinstance(entry, Bad):
                    _complete(entry, names)
            yield from statements(batch, where, known, seen, _FIELDS)

    def _batches(self, digest: Hashing | None = None) -> Iterator[Batch]:
        where, types = storage.name_of(self.path), (StrictResult, ResultEntry)
        return read_list(self.path, "results", types, where=where, role="results file", digest=digest)

    def _look(self, digest: Hashing | None = None) -> tuple[dict[str, Id], int, int, int]:
        """The category ids by their text, and how many images, results and other entries there are."""
        ids: dict[str, Id] = {}
        images, count, others = IdSet(), 0, 0
        for batch in self._batches(digest):
            for entry in batch.entries:
                if isinstance(entry, Bad):
                    others += 1
                    continue
                ids[id_text(entry.category_id)] = entry.category_id
                images.add(entry.image_id)
                count += 1
        return ids, len(images), count, others

    @property
    def _is_coco(self) -> bool:
        return bool(self.names) and not self.names.endswith(".pbtxt")

    def _categories(self, ids: Mapping[str, Id]) -> list[Category]:
        """The classes of the file that names them, or else those that the results name, by their ids."""
        if self._is_coco:
            return categories_of(self.names)
        if self.names:
            items = parse_label_map(storage.text_of(self.names, "file of classes"), self.names)
            return [Category(id=item.id, name=item.name) for item in items]
        order = sorted(ids, key=lambda text: (not text.isdecimal(), int(text) if text.isdecimal() else 0, text))
        return [Category(id=ids[text], name=text) for text in order]

    def _uris(self) -> list[str]:
        """The images of the folder."""
        return [
            path.replace("\\", "/")
            for path in storage.files_below(self.folder)
            if posixpath.splitext(path)[1].lower() in KNOWN_ENDINGS
        ]


def _id_of(uri: str) -> Id:
    """What `wordtree detect` calls an image."""
    stem = posixpath.splitext(posixpath.basename(uri))[0]
    return int(stem) if _NUMBER.fullmatch(stem) else uri


def _names(uris: Sequence[str]) -> dict[str, Id]:
    """What results may call the images of a folder: path, or the file's name where only one image has it."""
    counts = Counter(posixpath.basename(uri) for uri in uris)
    alone = {posixpath.basename(uri): _id_of(uri) for uri in uris if counts[posixpath.basename(uri)] == 1}
    return alone | {uri: _id_of(uri) for uri in uris}


def _complete(entry: ResultEntry, names: Mapping[str, Id]) -> None:
    """The id of the image as the dataset has it; area and crowd as pycocotools takes them for results."""
    text = id_text(entry.image_id)
    parts = text.split("/")
    paths = ("/".join(parts[start:]) for start in range(len(parts)))  # the folder may have been named from elsewhere
    entry.image_id = next((names[path] for path in paths if path in names), entry.image_id)
    entry.iscrowd = 0 if entry.iscrowd is UNSET else entry.iscrowd
    entry.area = entry.bbox[2] * entry.bbox[3] if entry.area is UNSET else entry.area
