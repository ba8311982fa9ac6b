"""One row of a CSV file of Open Images as a box, a label or facts about an image: pure functions.

Confidence     people: 1 present, 0 verified absent. Machines: a probability; nobody verified it
flags          1, 0, and -1 for unknown
coordinates    relative to the stored image; the order in the file is XMin, XMax, YMin, YMax
Rotation       degrees counter-clockwise, 0, 90, 180, 270; nan or nothing where it is not known
image id       16 hex digits in lower case
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from pipelines.open_images.columns import Header
from pipelines.rows import BoxRow, ImageRow, LabelRow
from schemas.errors import RecordError
from schemas.numbers import parse_number

is_image_id = re.compile(r"[0-9a-f]{16}").fullmatch
FARTHEST = 2.0  # image sides from the edge: what lies farther out is no relative coordinate
FLAGS = {
    "IsOccluded": "is_occluded",
    "IsTruncated": "is_truncated",
    "IsGroupOf": "is_group_of",
    "IsDepiction": "is_depiction",
    "IsInside": "is_inside",
}
_FLAG_COLUMNS = {field: name for name, field in FLAGS.items()}
_FLAG_VALUES: dict[str, bool | None] = {"1": True, "0": False, "-1": None, "": None}
_BOX_COLUMNS = ("ImageID", "Source", "LabelName", "Confidence", "XMin", "XMax", "YMin", "YMax", *FLAGS)
_MASK_COLUMNS = ("MaskPath", "ImageID", "LabelName", "BoxXMin", "BoxXMax", "BoxYMin", "BoxYMax")
_IMAGE_COLUMNS = ("ImageID", "Rotation")
_ROTATIONS = (0, 90, 180, 270)
_json = msgspec.json.Encoder()

Cells = Sequence[str]
BoxParser = Callable[[Cells, str], BoxRow]
LabelParser = Callable[[Cells, str], LabelRow]
ImageParser = Callable[[Cells, str], ImageRow]


def _number(text: str, name: str, kind: str) -> float:
    try:
        return parse_number(text)
    except ValueError:
        raise RecordError(f"{kind}:bad_number", f"{name} {text[:40]!r}; expected a number") from None


def _corners(cells: Cells, at: Sequence[int]) -> tuple[float, float, float, float]:
    """ymin, xmin, ymax, xmax of cells in the order XMin, XMax, YMin, YMax."""
    xmin, xmax, ymin, ymax = (
        _number(cells[i], name, "box") for i, name in zip(at, ("XMin", "XMax", "YMin", "YMax"), strict=True)
    )
    if max(abs(xmin), abs(xmax), abs(ymin), abs(ymax)) > FARTHEST:  # NaN passes: the checks tell it by its name
        found = f"x {xmin:g} to {xmax:g}, y {ymin:g} to {ymax:g}"
        raise RecordError("box:not_relative", f"{found}; expected numbers from 0 to 1, not pixels")
    return ymin, xmin, ymax, xmax


def _class(text: str, kind: str) -> str:
    if not text.strip():
        raise RecordError(f"{kind}:no_class", "LabelName is empty")
    return text


def _extra(cells: Cells, others: Sequence[tuple[str, int]], empty: Sequence[str]) -> str:
    found = {name: cells[i] for name, i in others if cells[i] not in empty}
    return _json.encode(found).decode() if found else ""


def _others(header: Header, known: Sequence[str]) -> list[tuple[str, int]]:
    return [(name, i) for name, i in header.at.items() if name not in known]


def _flag(text: str) -> bool | None:
    """Raises KeyError for what is no flag."""
    found = _FLAG_VALUES.get(text, text)
    if isinstance(found, str):
        number = float(found) if re.fullmatch(r"-?[01](\.0*)?", found) else math.nan
        return _FLAG_VALUES[f"{number:.0f}" if number else "0"]
    return found


def _flags(cells: Cells, at: Sequence[tuple[str, int]]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, i in at:
        try:
            values[name] = _flag(cells[i])
        except KeyError:
            before = f"{values['flag_unread']}, " if "flag_unread" in values else ""
            values["flag_unread"] = f"{before}{_FLAG_COLUMNS[name]} is {cells[i][:40]!r}"
    return values


def box_parser(header: Header) -> BoxParser:
    """How to read the rows of a boxes file. It raises `RecordError` for a row that is no box.

    Columns that have no place in a record, such as the clicks of V6, go to `extra`; -1 there means that there are none.
    """
    at = header.at
    corners = [at[name] for name in ("XMin", "XMax", "YMin", "YMax")]
    class_at, source_at, confidence_at = at["LabelName"], at.get("Source", -1), at.get("Confidence", -1)
    flags = [(field, at[name]) for name, field in FLAGS.items() if name in at]
    others = _others(header, _BOX_COLUMNS)

    def parse(cells: Cells, where: str) -> BoxRow:
        """A row of boxes."""
        class_key = _class(cells[class_at], "box")
        ymin, xmin, ymax, xmax = _corners(cells, corners)
        confidence = 1.0
        if confidence_at >= 0 and cells[confidence_at] != "1":
            confidence = _number(cells[confidence_at], "Confidence", "box")
            if not 0 <= confidence <= 1:
                raise RecordError("box:bad_confidence", f"Confidence {cells[confidence_at]}; expected 0 to 1")
        return BoxRow(
            ymin=ymin,
            xmin=xmin,
            ymax=ymax,
            xmax=xmax,
            class_key=class_key,
            source=cells[source_at] if source_at >= 0 else "",
            confidence=confidence,
            extra=_extra(cells, others, ("", "-1", "-1.0", "-1.000000")) if others else "",
            where=where,
            **_flags(cells, flags),
        )

    return parse


def mask_parser(header: Header, uri_of: Callable[[str], str]) -> BoxParser:
    """How to read the rows of a masks file: each as the box around its mask."""
    at = header.at
    corners = [at[f"Box{name}"] for name in ("XMin", "XMax", "YMin", "YMax")]
    path_at, class_at = at["MaskPath"], at["LabelName"]
    others = _others(header, _MASK_COLUMNS)

    def parse(cells: Cells, where: str) -> BoxRow:
        """A row of masks, as the box that it belongs to."""
        class_key = _class(cells[class_at], "box")
        ymin, xmin, ymax, xmax = _corners(cells, corners)
        mask_uri = uri_of(cells[path_at]) if cells[path_at] else ""
        if not mask_uri:
            found = f"MaskPath {cells[path_at][:80]!r}; expected the name of a PNG file below the folder of masks"
            raise RecordError("box:bad_mask_path", found)
        extra = _extra(cells, others, ("",))
        return BoxRow(
            ymin=ymin,
            xmin=xmin,
            ymax=ymax,
            xmax=xmax,
            class_key=class_key,
            mask_uri=mask_uri,
            extra=extra,
            where=where,
        )

    return parse


def label_parser(header: Header) -> LabelParser:
    """How to read the rows of an image labels file. Of files without Source people are the source."""
    at = header.at
    class_at, source_at, confidence_at = at["LabelName"], at.get("Source", -1), at["Confidence"]

    def parse(cells: Cells, where: str) -> LabelRow:
        class_key = _class(cells[class_at], "label")
        source = cells[source_at] if source_at >= 0 else ""
        confidence = _number(cells[confidence_at], "Confidence", "label")
        if not 0 <= confidence <= 1:
            raise RecordError("label:bad_confidence", f"Confidence {cells[confidence_at]}; expected 0 to 1")
        return label_row(class_key, source, confidence, where)

    return parse


def label_row(class_key: str, source: str, confidence: float, where: str) -> LabelRow:
    """What a confidence means: of a machine a probability, of people yes or no.

    Raises:
        RecordError: reason `label:bad_confidence`, for a verification that is neither 0 nor 1.
    """
    if source.startswith("machine"):
        return LabelRow(class_key=class_key, verified=False, confidence=confidence, source=source, where=where)
    if confidence in (0, 1):
        return LabelRow(class_key=class_key, present=confidence == 1, verified=True, source=source, where=where)
    if source.endswith("verification"):
        raise RecordError("label:bad_confidence", f"Confidence {confidence:g} of {source}; expected 0 or 1")
    return LabelRow(class_key=class_key, confidence=confidence, source=source, where=where)


def image_parser(header: Header, name: str) -> ImageParser:
    """How to read the rows of a list of images; `filename` holds the place in the list until it is joined."""
    at = header.at
    id_at, rotation_at = at["ImageID"], at.get("Rotation", -1)
    others = _others(header, _IMAGE_COLUMNS)

    def parse(cells: Cells, where: str) -> ImageRow:
        return ImageRow(
            image_id=cells[id_at],
            uri="",
            filename=where,
            has_boxes=False,
            provenance=name,
            rotation=_rotation(cells[rotation_at]) if rotation_at >= 0 else None,
            extra=_extra(cells, others, ("",)),
        )

    return parse


def _rotation(text: str) -> int | None:
    try:
        value = parse_number(text or "nan")
    except ValueError:
        value = math.inf
    if math.isnan(value):
        return None
    if value not in _ROTATIONS:
        raise RecordError("image:bad_rotation", f"Rotation {text[:40]!r}; expected 0, 90, 180, 270 or nan")
    return int(value)


def merged_extra(first: str, second: str) -> str:
    """Two JSON objects as one; the first one's words win."""
    if not first or not second:
        return first or second
    both: Mapping[str, Any] = {**msgspec.json.decode(second), **msgspec.json.decode(first)}
    return _json.encode(both).decode()
