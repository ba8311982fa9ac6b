"""`manifest.json`: written last, so a directory with a manifest is complete (rule R11).

It holds what made the dataset and what came out, and no clock: the same input and options give the same bytes (R5).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from schemas.errors import FormatError

_KEY = re.compile(r"n\d{8}|/[a-z]/\w+")
MANIFEST_NAME = "manifest.json"
WORK_FOLDER = ".work"  # in a dataset directory that is not complete
FORMAT_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassEntry:
    """One class of the dataset's label space.

    Attributes:
        id: 1-based, as in labels.pbtxt and in the records.
        label: the dataset's own string.
        wnid: the concept, "" when unmapped.
        display_name: what people read.
        relation: of the wnid to the label: exact, broader, narrower or close; "" when unmapped.
        node: index in the tree, None when no tree was given.
    """

    id: int
    label: str
    wnid: str = ""
    display_name: str = ""
    relation: str = ""
    node: int | None = None

    @property
    def name(self) -> str:
        """What people call the class: its label, or the concept's name where the label is a mere key."""
        return self.display_name or self.label if is_key(self.label) else self.label


def is_key(label: str) -> bool:
    """Whether a label is a wnid (n02084071) or an Open Images machine id (/m/0bt9lr), which say nothing to people."""
    return _KEY.fullmatch(label) is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardEntry:
    """One TFRecord file.

    Attributes:
        name: inside the directory.
        records, bytes: how many.
        crc32c: of the file, as object stores state it; "" where it was not taken.
        sha256: of the file; "" where it was not taken (each image has its own in the index).
    """

    name: str
    records: int
    bytes: int
    crc32c: str = ""
    sha256: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFile:
    """One annotation file that was read, with its sha256."""

    path: str
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """What came in and what became of it. Law: images_in = written + rejected, for images and for annotations.

    `rejected_by_reason` counts images and annotations together: keys such as `image:truncated`, `box:zero_area`.
    `fixed_by_reason` counts what was written after a repair, such as `box:clipped`; `kept_by_reason` what was written
    as it is though it is not as it should be, such as `image:cmyk`. Captions obey the same law as annotations.
    """

    images_in: int = 0
    images_written: int = 0
    images_rejected: int = 0
    annotations_in: int = 0
    annotations_written: int = 0
    annotations_rejected: int = 0
    rejected_by_reason: Mapping[str, int] = field(default_factory=dict)
    fixed_by_reason: Mapping[str, int] = field(default_factory=dict)
    kept_by_reason: Mapping[str, int] = field(default_factory=dict)
    captions_in: int = 0
    captions_written: int = 0
    captions_rejected: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """Everything that a reader must know about a dataset directory.

    Attributes:
        source: name of the dataset format it was made from.
        split: prefix of the shards, index and annotations.
        has_boxes: whether the records carry boxes (detection) or image labels alone (classification).
        options: the options that decided the contents, by name.
        versions: of wordtree and of the file format.
        source_files: annotation files read.
        counts: see `Counts`.
        shards: in order. Of a view: the files of other datasets that it refers to, with the number of records that
            it takes of each.
        classes: the label space, in id order.
        tree_digest: digest of the tree given at conversion, "" when none was.
        wordnet: version of WordNet behind the wnids.
        base: of a view, the dataset directories that hold its records: relative to the view, or absolute; () for a
            dataset with shards of its own (docs/decisions/0011-views.md).
    """

    source: str
    split: str
    has_boxes: bool
    options: Mapping[str, Any]
    versions: Mapping[str, str]
    source_files: tuple[SourceFile, ...]
    counts: Counts
    shards: tuple[ShardEntry, ...]
    classes: tuple[ClassEntry, ...]
    tree_digest: str = ""
    wordnet: str = "3.0"
    format_version: int = FORMAT_VERSION
    base: tuple[str, ...] = ()

    @property
    def is_view(self) -> bool:
        """Whether the records lie in other dataset directories, and rows here say what holds of them."""
        return bool(self.base)

    def to_json(self) -> str:
        """JSON text, sorted keys: the same manifest, the same bytes. `base` stands there for views alone."""
        data = asdict(self)
        if not self.base:
            del data["base"]
        return json.dumps(data, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def manifest_from_json(text: str, where: str = MANIFEST_NAME) -> Manifest:
    """Read a manifest back.

    Raises:
        FormatError: if it is no JSON, of a newer version, or a field is missing or unknown.
    """
    try:
        data = json.loads(text)
    except ValueError as error:
        raise FormatError(f"{where}: not JSON ({error}); was the file edited or cut short?") from error
    if not isinstance(data, dict) or "format_version" not in data:
        raise FormatError(f"{where}: no manifest of a WordTree dataset (it has no format_version)")
    if data["format_version"] != FORMAT_VERSION:
        raise FormatError(
            f"{where}: format version {data['format_version']!r}; this version reads {FORMAT_VERSION}. Convert again."
        )
    try:
        data["counts"] = Counts(**data["counts"])
        data["shards"] = tuple(ShardEntry(**entry) for entry in data["shards"])
        data["classes"] = tuple(ClassEntry(**entry) for entry in data["classes"])
        data["source_files"] = tuple(SourceFile(**entry) for entry in data["source_files"])
        data["base"] = tuple(data.get("base", ()))
        return Manifest(**data)
    except (KeyError, TypeError) as error:
        raise FormatError(f"{where}: a field is missing or unknown ({error}); convert the dataset again") from error
