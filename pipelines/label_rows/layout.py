"""Which columns of a table mean what, and the one form that all tables are brought into.

A *batch* has one row for each row of the file, good or bad, in the file's order: `BATCH_SCHEMA`. What is wrong with a
row is a number, so that millions are judged at once; `FAULTS` says what it means.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

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

_USUAL = {
    "image": ("image", "image_path", "path", "uri", "url", "file_name", "filename", "image_url", "image_id", "ImageID"),
    "label": ("label", "LabelName", "class", "wnid", "category", "labels"),
    "confidence": ("confidence", "Confidence", "Condidence", "score", "probability"),
    "source": ("source", "Source"),
}
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


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns of one file by what they mean; "" for what is not there.

    Attributes:
        id: of the images; the same as `image` where no other was named.
        people: sources that are people.
    """

    image: str
    id: str
    label: str
    confidence: str = ""
    source: str = ""
    uri_pattern: str = ""
    people: tuple[str, ...] = ()

    def names(self) -> list[str]:
        """Each column once."""
        return list(dict.fromkeys(filter(None, (self.image, self.id, self.label, self.confidence, self.source))))


def format_of(path: str, layout: Layout) -> str:
    """The format of a file, by option or by its ending.

    Raises:
        FormatError: if neither tells it.
    """
    found = layout.format or next((f for ending, f in _BY_ENDING.items() if path.lower().endswith(ending)), "")
    if not found:
        raise FormatError(f"{path}: no ending of {', '.join(_BY_ENDING)}; say what it is with --table-format")
    return found


def find_columns(path: str, names: Sequence[str], layout: Layout) -> Columns:
    """The columns of a file whose header is `names`.

    Raises:
        FormatError: if one that was asked for, or is needed, is missing or stands there twice; with those that are
            there.
    """

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
    for name in (*found.names(), layout.bytes.partition(".")[0]):
        if name and list(names).count(name) > 1:
            raise FormatError(f"{path}: column {name!r} stands there twice; rename one. Found {', '.join(names)[:200]}")
    return found
