"""Which columns of a table mean what, and the one form that all tables are brought into.

A *batch* has one row for each row of the file, good or bad, in the file's order: `BATCH_SCHEMA`. What is wrong with a
row is a number, so that millions are judged at once; `FAULTS` says what it means.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import pyarrow as pa

from schemas.errors import FormatError

BATCH_SCHEMA = pa.schema(
    [
        pa.field("image_id", pa.string(), nullable=False),
        pa.field("uri", pa.string()),  # null where it is the id itself
        pa.field("label", pa.string(), nullable=False),
        pa.field("confidence", pa.float64(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("line", pa.int64(), nullable=False),
        pa.field("fault", pa.uint8(), nullable=False),
        pa.field("found", pa.string()),
    ]
)
GOOD, BAD_ROW, NO_IMAGE, NO_LABEL, BAD_CONFIDENCE, LOW_CONFIDENCE, DUPLICATE, UNKNOWN_CLASS = range(8)
NOT_UTF8, OTHER_IMAGE = 8, 9
FAULTS = {
    BAD_ROW: "label:bad_row",
    NO_IMAGE: "label:no_image",
    NO_LABEL: "label:no_label",
    BAD_CONFIDENCE: "label:bad_confidence",
    LOW_CONFIDENCE: "label:low_confidence",
    DUPLICATE: "label:duplicate",
    UNKNOWN_CLASS: "label:unknown_class",
    NOT_UTF8: "label:not_utf8",
    OTHER_IMAGE: "label:other_image",
}
FORMATS = ("parquet", "csv", "tsv", "tencent")
_BY_ENDING = {".parquet": "parquet", ".pq": "parquet", ".csv": "csv", ".tsv": "tsv", ".txt": "tencent"}

USUAL_IMAGE = (
    *("image", "image_path", "path", "uri", "url", "file_name", "filename", "image_url", "image_id", "ImageID", "img"),
    *("image_name", "img_path", "file_path", "filepath", "ImageId"),
)
_USUAL = {
    "image": USUAL_IMAGE,
    "label": ("label", "LabelName", "class", "wnid", "category", "labels", "class_name", "label_name"),
    "confidence": ("confidence", "Confidence", "Condidence", "score", "probability"),
    "source": ("source", "Source"),
}
_BOXES = (
    *({"xmin", "ymin", "xmax", "ymax"}, {"x1", "y1", "x2", "y2"}, {"left", "top", "right", "bottom"}),
    *({"left", "top", "width", "height"}, {"x", "y", "width", "height"}, {"x", "y", "w", "h"}),
    *({"xcenter", "ycenter"}, {"bbox"}, {"bboxes"}, {"boxes"}, {"boundingbox"}, {"bndbox"}),
)
OPEN_IMAGES = ("ImageID", "LabelName")
OPEN_IMAGES_PEOPLE = ("verification", "crowdsource-verification")


@dataclass(frozen=True, slots=True)
class Layout:
    """What the user said about the columns; "" for the usual names, or for none.

    Attributes:
        source: of all rows, where no column tells it.
        uri_pattern: path of an image, with {id} for its id; "" where the id is the path.
        people: sources whose rows were verified by people: confidence 1 is present, 0 is verified absent.
        min_confidence: rows below are rejected.
        columns: names of the columns of text tables without header, in their order.
        separator: of several labels in a cell of text; "" where each holds one.
        ignore_boxes: whether tables of boxes are taken, each row's label for its whole image.
        numbers: whether labels are numbers that a list of classes names.
    """

    format: str = ""
    image: str = ""
    id: str = ""
    label: str = ""
    confidence: str = ""
    source_column: str = ""
    bytes: str = ""
    source: str = ""
    uri_pattern: str = ""
    people: tuple[str, ...] = ()
    min_confidence: float = 0.0
    columns: tuple[str, ...] = ()
    separator: str = ""
    ignore_boxes: bool = False
    numbers: bool = False


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns of one file by what they mean; "" for what is not there.

    Attributes:
        id: of the images; the same as `image` where no other was named.
        people: sources that are people.
        unused: those that nothing is taken from.
    """

    image: str
    id: str
    label: str
    confidence: str = ""
    source: str = ""
    uri_pattern: str = ""
    people: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()

    def names(self) -> list[str]:
        """Each column once."""
        return list(dict.fromkeys(filter(None, (self.image, self.id, self.label, self.confidence, self.source))))


def format_of(path: str, layout: Layout) -> str:
    """The format of a file, by option or by its ending.

    Raises:
        FormatError: if neither tells it.
    """
    found = layout.format or next((f for ending, f in _BY_ENDING.items() if path.lower().endswith(ending)), "")
    if found == "tencent" and not layout.format and layout.columns:
        return "csv"
    if not found:
        raise FormatError(f"{path}: no ending of {', '.join(_BY_ENDING)}; say what it is with --table-format")
    return found


def find_columns(path: str, names: Sequence[str], layout: Layout) -> Columns:
    """The columns of a file whose header is `names`; the field `b` of a structure `a` is `a.b`.

    Raises:
        FormatError: if one that was asked for, or is needed, is missing or stands there twice, with those that are
            there; or if there are columns of boxes.
    """
    if not layout.ignore_boxes and (boxes := _columns_of_boxes(names)):
        way = (
            "give it to `wordtree convert openimages --boxes`"
            if set(OPEN_IMAGES) <= {*names}
            else ("write them as a COCO, Pascal VOC or Open Images file and convert that")
        )
        raise FormatError(
            f"{path} has columns of boxes ({', '.join(boxes)}), and `convert labels` takes labels of whole images: "
            f"{way}; or take each row's label for its whole image with --ignore-boxes"
        )

    def column(role: str, wanted: str, option: str, needed: bool) -> str:
        if wanted:
            if wanted not in names:
                raise FormatError(f"{path}: no column {wanted!r} ({option}); found {', '.join(names)[:200]}")
            return wanted
        found = next((name for name in _USUAL[role] if name in names), "")
        if needed and not found:
            raise FormatError(
                f"{path}: which column is the {role}? Say it with {option}; found {', '.join(names)[:200]}"
            )
        return found

    is_open_images = all(name in names for name in OPEN_IMAGES) and not (layout.image or layout.label)
    label = column("label", layout.label, "--label-column", True)
    identity = layout.id and column("image", layout.id, "--id-column", True)
    image = column("image", layout.image, "--image-column", not (identity or layout.bytes))
    if layout.bytes and not layout.image:
        image = identity
    found = Columns(
        image=image or identity,
        id=identity or image,
        label=label,
        confidence=column("confidence", layout.confidence, "--confidence-column", False),
        source=column("source", layout.source_column, "--source-column", False),
        uri_pattern=layout.uri_pattern or ("{id}.jpg" if is_open_images else ""),
        people=layout.people or (OPEN_IMAGES_PEOPLE if is_open_images else ()),
    )
    used = {*found.names(), layout.bytes}
    found = replace(found, unused=tuple(name for name in names if not _is_used(name, used)))
    for name in (*found.names(), layout.bytes.partition(".")[0]):
        if name and list(names).count(name) > 1:
            raise FormatError(f"{path}: column {name!r} stands there twice; rename one. Found {', '.join(names)[:200]}")
    return found


def _columns_of_boxes(names: Sequence[str]) -> list[str]:
    """The columns that are sides of boxes, in their order."""
    bare = {name: name.rpartition(".")[2].lower().replace("_", "").replace(" ", "") for name in names}
    sides = next((sides for sides in _BOXES if sides <= {*bare.values()}), frozenset[str]())
    return [name for name in names if bare[name] in sides]


def _is_used(name: str, used: set[str]) -> bool:
    """Whether something is taken from a column: itself, a field of it, or the whole that it is a field of."""
    return any(name == other or other.startswith(f"{name}.") or name.startswith(f"{other}.") for other in used if other)
