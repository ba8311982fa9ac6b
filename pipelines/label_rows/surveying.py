"""A first look at the files: digests, labels, confidences of 0, and about how many images there are."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute

from pipelines.files import storage
from pipelines.label_rows.classes import MOST
from pipelines.label_rows.headers import file_columns
from pipelines.label_rows.layout import GOOD, Layout
from pipelines.label_rows.tables import table_batches, table_pieces
from pipelines.statistics.sketches import distinct, smallest
from pipelines.statistics.string_hash import hash_strings
from schemas.errors import FormatError, InputError
from schemas.manifest import SourceFile

pc: Any = pyarrow.compute
SEPARATORS = ("|", ";", ",", " ")
SKETCH = 1 << 14  # hashes: exact up to as many images, and within 1 % or so beyond


class Look(NamedTuple):
    """What was seen.

    Attributes:
        rows: how many.
        images: how many; an estimate where there are many.
        labels: all that stand there.
        zeros: by source, good rows with confidence 0.
    """

    rows: int
    images: int
    labels: set[str]
    zeros: Mapping[str, int]


def look(paths: Sequence[str], layout: Layout, *, labels: bool) -> Look:
    """Run through all files once.

    Args:
        paths: the files.
        layout: what the user said about them.
        labels: whether to collect the labels.

    Raises:
        FormatError: if there are too many different labels.
    """
    sketch = np.empty(0, np.uint64)
    found: set[str] = set()
    zeros: Counter[str] = Counter()
    rows = 0
    for path in paths:
        doubtful = bool(file_columns(path, layout).confidence) and not layout.min_confidence
        roles = ("id", "label", "confidence") if doubtful else ("id", "label") if labels else ("id",)
        for piece in table_pieces(path, layout):
            for batch in table_batches(path, piece, layout, roles):
                rows += len(batch)
                hashes = hash_strings(_once_a_run(batch["image_id"]))
                if len(sketch) == SKETCH:
                    hashes = hashes[hashes < sketch[-1]]
                sketch = smallest(np.concatenate([sketch, hashes]), SKETCH)
                if labels:
                    new = pc.unique(batch["label"]).to_pylist()
                    _check_plain(new, path)
                    found.update(new)
                if doubtful:
                    zero = pc.and_(pc.equal(batch["confidence"], 0), pc.equal(batch["fault"], GOOD))
                    zeros.update(batch["source"].filter(zero).to_pylist())
                if len(found) > MOST:
                    raise FormatError(f"{path}: more than {MOST} labels; is --label-column the column of labels?")
    found = {label for label in found if label.strip()}
    return Look(rows, distinct(sketch, SKETCH)[0], found, dict(sorted(zeros.items())))


def _check_plain(labels: Sequence[str], path: str) -> None:
    """See that labels are no structures written as text.

    Raises:
        FormatError: if one is.
    """
    json = next((label for label in labels if label.startswith(("[{", '{"'))), "")
    if json:
        raise FormatError(
            f"{path}: the label {json[:80]!r} is JSON, such as Label Studio's boxes; convert its COCO export, or name "
            "a column of plain labels with --label-column"
        )


def zero_notes(zeros: Mapping[str, int], people: Sequence[str]) -> Iterator[str]:
    """What the plan says of confidences of 0 that no people gave: they may be meant as absence."""
    for source, rows in zeros.items():
        if source in people:
            continue
        told = "1 row" if rows == 1 else f"{rows:,} rows"
        whose, name = (f" of {source!r}", source) if source else (" without a source", "NAME")
        named = f"--people {name}" if source else f"--source {name} --people {name}"
        yield f"{told}{whose} with confidence 0 will say present, with confidence 0; if 0 means absent, give {named}"


def label_notes(labels: set[str], separator: str) -> Iterator[str]:
    """What the plan says of labels that may be meant otherwise than they are taken."""
    if labels and all(label.isdecimal() for label in labels):
        yield "all labels are numbers, and nothing says what they are called; --classes FILE names them"
    if listed := min((label for label in labels if label.startswith("[")), key=len, default=""):
        yield f"labels such as {listed[:40]!r} are lists written as text, and taken as they are"
    if separator:
        return
    for sign in SEPARATORS:
        parted = [label for label in labels if sign in label]
        parts = {part.strip() for label in parted for part in label.split(sign)}
        if len(parted) > 1 and len(parts & labels) > 1:  # what stands together stands alone too
            shown = min(parted, key=lambda label: (len(label), label))
            yield f"labels such as {shown!r} hold {sign!r}; if a cell holds several, give --label-separator {sign!r}"


def _once_a_run(column: pa.Array) -> pa.Array:
    """Values that differ from the one before."""
    differs = pc.not_equal(column[1:], column[:-1])
    return column.filter(pa.concat_arrays([pa.array([True]), differs]))


def image_ids(paths: Sequence[str], layout: Layout) -> Iterator[str]:
    """The images, each at least once."""
    for path in paths:
        for piece in table_pieces(path, layout):
            for batch in table_batches(path, piece, layout, ("id",)):
                yield from filter(None, pc.unique(batch["image_id"]).to_pylist())


def digest_file(path: str) -> SourceFile:
    """Size and sha256 of a file, read in parts.

    Raises:
        InputError: if it cannot be read.
    """
    digest, size = hashlib.sha256(), 0
    try:
        with storage.opened(path) as stream:
            while data := stream.read(1 << 22):
                digest.update(data)
                size += len(data)
    except FileNotFoundError:
        raise InputError(f"label rows {path!r} do not exist") from None
    except (OSError, ValueError) as error:
        raise InputError(f"label rows {path!r} cannot be read ({error})") from error
    return SourceFile(path=path, bytes=size, sha256=digest.hexdigest())
