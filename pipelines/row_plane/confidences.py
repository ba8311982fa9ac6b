"""New confidences for statements: a table with a header, tab-separated, that says which statements it means.

    label   source   factor           each statement of this class and source: its confidence times the factor
    image_id   label   confidence     each statement of this class about this image: this confidence

In the first form `*` stands for any class or any source, and the most exact line holds: class and source, then class,
then source, then `*` twice. Both may have a column `kind`: `box`, `label`, or `*` for both, which it is where left out.
A product above 1 is cut to 1 and counted. Confidence is the probability that a statement is true, so a factor on a
verified absence makes the absence less certain.
"""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.csv

from pipelines.files import storage
from schemas.errors import FormatError
from schemas.manifest import SourceFile

pc: Any = pyarrow.compute  # its functions are made as it is imported: no type checker knows them

ANY = "*"
KINDS = ("box", "label", ANY)
FACTOR_COLUMNS = ("label", "source", "factor")
VALUE_COLUMNS = ("image_id", "label", "confidence")


@dataclass(frozen=True)
class Confidences:
    """A table of confidences.

    Attributes:
        file: what it was read from.
        keys: by line, the text that statements are looked up by, see `_key`.
        values: by line, the factor or the confidence.
        factors: whether values are factors.
    """

    file: SourceFile
    keys: pa.Array
    values: np.ndarray
    factors: bool

    def apply(self, batch: pa.RecordBatch) -> tuple[np.ndarray, np.ndarray, int]:
        """New confidences of a batch of annotations, the lines that were used, and how many products were cut."""
        old = batch["confidence"].to_numpy(zero_copy_only=False).astype(np.float64)
        line = self._lines(batch)
        met = line >= 0
        value = self.values[np.where(met, line, 0)] if len(self.values) else np.zeros(len(line))
        new = old * value if self.factors else value
        cut = int((met & (new > 1)).sum())
        return np.where(met, np.minimum(new, 1), old).astype(np.float32), np.unique(line[met]), cut

    def _lines(self, batch: pa.RecordBatch) -> np.ndarray:
        """The line of each annotation, -1 for none."""
        kinds = batch["kind"]
        anything = pa.repeat(pa.scalar(ANY), batch.num_rows)
        if self.factors:
            labels, sources = batch["label"], batch["source"]
            pairs = [(labels, sources), (labels, anything), (anything, sources), (anything, anything)]
        else:
            pairs = [(batch["image_id"], batch["label"])]
        found = np.full(batch.num_rows, -1, np.int64)
        for first, second in pairs:
            for kind in (kinds, anything):
                at = pc.fill_null(pc.index_in(_key(first, second, kind), value_set=self.keys), -1)
                found = np.where(found >= 0, found, at.to_numpy(zero_copy_only=False))
        return found


def _key(first: Any, second: Any, kind: Any) -> Any:
    """One text of three: tabs cannot stand in the cells of a tab-separated file."""
    return pc.binary_join_element_wise(first, second, kind, "\t")


def read_confidences(path: str) -> Confidences:
    """Read a table; see the head of this module.

    Raises:
        InputError: it cannot be read.
        FormatError: its columns are others, a number is none or out of range, or two lines say the same.
    """
    data = storage.read_source(path, "table of confidences")
    file = SourceFile(path=path, bytes=len(data), sha256=hashlib.sha256(data).hexdigest())
    try:
        table = pyarrow.csv.read_csv(
            io.BytesIO(data),
            parse_options=pyarrow.csv.ParseOptions(delimiter="\t", quote_char=False),
            convert_options=pyarrow.csv.ConvertOptions(
                column_types={name: pa.string() for name in ("label", "source", "image_id", "kind")}
                | {"factor": pa.float64(), "confidence": pa.float64()},
                strings_can_be_null=False,
                null_values=[],
            ),
        )
    except pa.ArrowInvalid as error:
        raise FormatError(f"{path}: {str(error).splitlines()[0]}; expected tabs between cells and a header") from error
    names = [name for name in table.column_names if name != "kind"]
    factors = sorted(names) == sorted(FACTOR_COLUMNS)
    if not factors and sorted(names) != sorted(VALUE_COLUMNS):
        raise FormatError(
            f"{path}: found columns {', '.join(table.column_names)}; expected {', '.join(FACTOR_COLUMNS)} or "
            f"{', '.join(VALUE_COLUMNS)}, with tabs between them, and perhaps kind"
        )
    numbers = table["factor" if factors else "confidence"].to_numpy().astype(np.float64)
    wrong = ~(np.isfinite(numbers) & (numbers >= 0) & (factors | (numbers <= 1)))
    if wrong.any():
        line = int(np.flatnonzero(wrong)[0])
        wanted = "a factor of 0 or more" if factors else "a confidence in 0 to 1"
        raise FormatError(f"{path} line {line + 2}: found {numbers[line]:g}; expected {wanted}")
    kinds = table["kind"] if "kind" in table.column_names else pa.chunked_array([[ANY] * table.num_rows], pa.string())
    for line, kind in enumerate(kinds.to_pylist()):
        if kind not in KINDS:
            raise FormatError(f"{path} line {line + 2}: kind is {kind!r}; expected one of {', '.join(KINDS)}")
    first, second = ("label", "source") if factors else ("image_id", "label")
    keys = _key(table[first], table[second], kinds).combine_chunks()
    places = pc.index_in(keys, value_set=keys).to_numpy(zero_copy_only=False)
    again = np.flatnonzero(places != np.arange(len(places)))
    if len(again):
        line = int(again[0])
        raise FormatError(f"{path} line {line + 2}: says the same as line {int(places[line]) + 2}; one must go")
    return Confidences(file, keys, numbers, factors)
