"""Boxes that lie in files beside the images: ImageNet's XML, and Tiny ImageNet's lists.

    DIR/n01440764/n01440764_18.xml         CLS-LOC and the boxes of single synsets; `filename` has no ending there
    DIR/ILSVRC2012_val_00000001.xml        validation sets, of CLS-LOC and of DET
    DIR/n01440764/n01440764_boxes.txt      Tiny ImageNet: NAME x1 y1 x2 y2

The XML is Pascal VOC's with wnids for names, and counts pixels from 0.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from typing import NamedTuple

from pipelines.files import storage
from pipelines.imagenet.naming import File
from pipelines.rows import BoxRow, ImageRow, Rejected
from pipelines.voc.annotation import parse_annotation
from pipelines.voc.corners import continuous
from schemas.errors import RecordError
from schemas.numbers import parse_number


class Boxes(NamedTuple):
    """What a box file says of one image: a row to take boxes, size and the rest from, and what is rejected."""

    row: ImageRow | None
    rejected: tuple[Rejected, ...] = ()


class BoxFiles:
    """The box files of one piece, found by class and name; remembers which nobody asked for."""

    def __init__(self, folder: str, corners: str, *, flat: bool = False, listed: bool = False) -> None:
        """Args:
        folder: the root.
        corners: what the numbers of a box mean.
        flat: whether this piece is the only one, so that all files right below the root are its own.
        listed: whether images are named by a list, whose paths the XML files follow.
        """
        self.corners = corners
        self.folder, self._flat, self._listed = folder, flat, listed
        self._left: dict[str, dict[str, str]] = {}
        self._tables: dict[str, dict[str, list[BoxRow]]] = {}
        self._there: set[str] = set()
        self._faults: list[Rejected] = []

    def path_of(self, file: File) -> str:
        """Where the XML file of an image is, if there is one; "" for surely none."""
        if self._listed:
            return storage.join(self.folder, f"{posixpath.splitext(file.uri)[0]}.xml")
        found = self._class(file.label).pop(file.stem, "") if file.label or self._flat else ""
        if found or not file.label:
            return found
        if self._flat:
            return self._class("").pop(file.stem, "")
        # a validation set sorted into class folders, whose XML files were not
        return "" if file.label in self._there else storage.join(self.folder, f"{file.stem}.xml")

    def table_of(self, file: File) -> list[BoxRow] | None:
        """The boxes that a class's list has for an image, None for no line."""
        if self._listed or not file.label:
            return None
        self._class(file.label)
        return self._tables.get(file.label, {}).pop(file.stem, None)

    def faults(self) -> Iterator[Rejected]:
        """Lines of lists that could not be read, since the last call."""
        yield from self._faults
        self._faults = []

    def left(self) -> Iterator[tuple[str, str, list[BoxRow] | str]]:
        """What no image asked for: class, name, and path of the XML file or boxes of the list."""
        for label, names in self._left.items():
            yield from ((label, stem, path) for stem, path in sorted(names.items()))
        for label, table in self._tables.items():
            yield from ((label, stem, boxes) for stem, boxes in sorted(table.items()))

    def _class(self, label: str) -> dict[str, str]:
        if label not in self._left:
            folder = storage.join(self.folder, label) if label else self.folder
            names = storage.list_folder(folder)[1]
            if names:
                self._there.add(label)
            self._left[label] = {n[:-4]: storage.join(folder, n) for n in names if n.lower().endswith(".xml")}
            if label and f"{label}_boxes.txt" in names:
                self._tables[label] = self._read_table(storage.join(folder, f"{label}_boxes.txt"), label)
        return self._left[label]

    def _read_table(self, path: str, label: str) -> dict[str, list[BoxRow]]:
        table: dict[str, list[BoxRow]] = {}
        for number, line in enumerate(storage.text_of(path, "list of boxes").splitlines(), start=1):
            name, *words = line.rsplit(None, 4) or [""]
            if not name:
                continue
            where = f"{storage.name_of(path)}:{number}"
            stem = posixpath.splitext(name.strip())[0]
            try:
                xmin, ymin, xmax, ymax = map(parse_number, words)
            except ValueError:
                self._faults.append(
                    Rejected(
                        kind="box",
                        record=where,
                        reason="box:malformed",
                        found=f"{line[:100]!r}; expected a name and four numbers",
                        where=where,
                        image_id=f"{label}/{storage.plain_text(stem)}",
                    )
                )
                continue
            sides = continuous(self.corners, xmin=xmin, ymin=ymin, xmax=xmax, ymax=ymax)
            table.setdefault(stem, []).append(BoxRow(**sides._asdict(), class_key=label, where=where))
        return table


def parse_boxes(data: bytes | RecordError, path: str, image_id: str, corners: str) -> Boxes:
    """The boxes of an XML file; one that cannot be read costs the boxes and not the image."""
    stem = storage.plain_text(storage.name_of(path)[:-4])
    try:
        if isinstance(data, RecordError):
            raise data
        row, rejected = parse_annotation(data, stem, corners=corners, image_id=image_id)
    except RecordError as error:
        reason = f"box:{error.reason.partition(':')[2]}"
        found = f"{error}: {error.found}" if error.found else str(error)
        name = f"{stem}.xml"
        return Boxes(
            None, (Rejected(kind="box", record=name, reason=reason, found=found, where=name, image_id=image_id),)
        )
    return Boxes(row, tuple(rejected))
