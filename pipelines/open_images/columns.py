"""The CSV files of Open Images by their headers: which kind a file is, and where its columns stand.

The years differ in columns and order, so all go by name. What is known of the published files:

    boxes   8    ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax                         V2, V3
            13   + IsOccluded,IsTruncated,IsGroupOf,IsDepiction,IsInside                         V4 on
            21   + XClick1X..XClick4X,XClick1Y..XClick4Y                                         V6 train
            7    ImageID,LabelName,XMin,XMax,YMin,YMax,IsGroupOf                                 challenge validation
    labels       ImageID,Source,LabelName,Confidence, or without Source
    masks        MaskPath,ImageID,LabelName,BoxID,BoxXMin,BoxXMax,BoxYMin,BoxYMax,PredictedIoU,Clicks
    images       ImageID,Subset,OriginalURL,...,Thumbnail300KURL,Rotation

`Condidence` is how some copies spell Confidence.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from pipelines.files import storage
from pipelines.files.csv_ranges import first_line
from schemas.errors import FormatError
from wordtree.csv_lines import is_record

Kind = Literal["boxes", "labels", "masks", "images"]
SPELLINGS = {"Condidence": "Confidence", "ImageId": "ImageID"}
NEEDED: dict[Kind, tuple[str, ...]] = {
    "boxes": ("ImageID", "LabelName", "XMin", "XMax", "YMin", "YMax"),
    "labels": ("ImageID", "LabelName", "Confidence"),
    "masks": ("MaskPath", "ImageID", "LabelName", "BoxXMin", "BoxXMax", "BoxYMin", "BoxYMax"),
    "images": ("ImageID",),
}
OPTIONS: dict[Kind, str] = {
    "boxes": "--boxes",
    "labels": "--image-labels",
    "masks": "--mask-list",
    "images": "--image-list",
}
_REFUSED = {
    "relationships": "pairs of boxes that stand in a relation, which no record here can hold",
    "points": "yes and no for single points, which no record here can hold",
}


@dataclass(frozen=True, slots=True)
class Header:
    """The first line of a CSV file.

    Attributes:
        at: position of each column.
        cells: number of columns.
        line: the line itself, for those who read pieces of the file.
    """

    at: Mapping[str, int]
    cells: int
    line: bytes

    @property
    def unused(self) -> tuple[str, ...]:
        """The columns of a file of labels that nothing is taken from; other files' go to `extra`."""
        return tuple(name for name in self.at if name not in (*NEEDED["labels"], "Source"))

    def is_record(self, line: bytes) -> bool:
        """Whether a line is a record whatever stands around it."""
        return is_record(line, self.cells)


def kind_of(names: list[str]) -> str:
    """What a file with these columns is: a `Kind`, "relationships", "points", or "" for none that is known."""
    found = set(names)
    if "RelationshipLabel" in found or "RelationLabel" in found:
        return "relationships"
    if "EstimatedYesNo" in found:
        return "points"
    if "MaskPath" in found:
        return "masks"
    if {"ImageID", "XMin"} <= found:
        return "boxes"
    if {"ImageID", "LabelName"} <= found:
        return "labels"
    return "images" if "ImageID" in found else ""


def read_header(path: str, kind: Kind) -> Header:
    """The header of a file that the user gave as this kind.

    Raises:
        InputError: if the file cannot be read.
        FormatError: if it is of another kind, or a column is missing.
    """
    line = first_line(path, f"{kind} file")
    where = f"{path} line 1"
    try:
        names = [name.strip() for name in next(csv.reader([line.decode("utf-8", "replace")]), [])]
    except csv.Error as error:
        told = "lines that end in CR alone" if b"\r" in line else str(error)
        raise FormatError(f"{where}: {told}; expected CSV with lines that end in LF or CRLF; write it again") from error
    names = [SPELLINGS.get(name, name) for name in names]
    is_kind = kind_of(names)
    if is_kind in _REFUSED:
        raise FormatError(f"{where}: a file of {is_kind}: {_REFUSED[is_kind]}; leave it out")
    missing = [name for name in NEEDED[kind] if name not in names]
    if missing:
        other = next((OPTIONS[found] for found in OPTIONS if found == is_kind and found != kind), "")
        told = f"; this is a file for {other}" if other else ""
        shown = ", ".join(names)[:120] or "nothing"
        raise FormatError(f"{where}: column {missing[0]} is missing; found {shown}{told}")
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise FormatError(f"{where}: column {twice!r} stands there twice")
    return Header({name: number for number, name in enumerate(names)}, len(names), line)


def file_name(path: str) -> str:
    """A file as rejects name it."""
    return storage.name_of(path)
