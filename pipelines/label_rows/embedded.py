"""Tables as Hugging Face writes them: images in a column, and the names of numbered labels in the file's metadata.

image   struct<bytes, path>, or the bytes alone
label   an integer, or a list of them; `ClassLabel` in the metadata holds their names; -1 stands for none
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet as pq

from pipelines.label_rows.layout import USUAL_IMAGE
from wordtree.text_files import is_utf8

pc: Any = pyarrow.compute
_METADATA = b"huggingface"
_OF_BYTES = (*USUAL_IMAGE, "image_bytes", "img_bytes", "bytes", "jpg", "png", "webp")


def image_column(file: pq.ParquetFile) -> str:
    """The column of a table that holds its images, as `--bytes-column` names it; "" for none, or for several."""
    schema = file.schema_arrow
    structs = [f"{field.name}.bytes" for field in schema if is_image_struct(field.type)]
    if structs:
        return structs[0] if len(structs) == 1 else ""
    binary = [f.name for f in schema if f.name in _OF_BYTES and is_binary(f.type)]
    return next((name for name in binary if not is_utf8(_first(file, name))), "")


def is_image_struct(kind: pa.DataType) -> bool:
    """Whether a column of this type holds images with their paths."""
    return pa.types.is_struct(kind) and any(field.name == "bytes" and is_binary(field.type) for field in kind)


def is_binary(kind: pa.DataType) -> bool:
    """Whether a column of this type holds bytes."""
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind)


def _first(file: pq.ParquetFile, name: str) -> bytes:
    for batch in file.iter_batches(1, columns=[name], use_threads=False):
        return batch.column(0)[0].as_py() or b""
    return b""


def label_names(schema: pa.Schema, column: str) -> tuple[str, ...]:
    """What the numbers of a column of labels are called; () where nobody says it. Names that repeat have their numbers
    behind them: they are different classes."""
    try:
        features = msgspec.json.decode((schema.metadata or {}).get(_METADATA, b"{}"))["info"]["features"]
        names = _names_in(features.get(column))
    except (KeyError, TypeError, AttributeError, msgspec.DecodeError):
        return ()
    return tuple(f"{name} ({at})" if names.count(name) > 1 else name for at, name in enumerate(names))


def _names_in(feature: Any) -> tuple[str, ...]:
    """A ClassLabel, or a list of them in any of the forms that there were."""
    if isinstance(feature, list) and len(feature) == 1:
        return _names_in(feature[0])
    if not isinstance(feature, Mapping):
        return ()
    names = feature.get("names")
    if isinstance(names, Sequence) and not isinstance(names, str):
        return tuple(map(str, names))
    return _names_in(feature.get("feature"))


def named(numbers: pa.Array, names: Sequence[str]) -> tuple[pa.Array, dict[int, str]]:
    """Numbered labels by their names; and what those rows hold whose number has none."""
    if not pa.types.is_integer(numbers.type):
        return numbers, {}
    given = numbers.fill_null(0).to_numpy(zero_copy_only=False)
    odd = np.flatnonzero((given < 0) | (given >= len(names))).tolist()
    told = {
        at: "label -1, which stands for none" if given[at] == -1 else f"label {given[at]}; the table names {len(names)}"
        for at in odd
    }
    inside = pc.if_else(pa.array(np.isin(np.arange(len(given)), odd)), pa.scalar(None, numbers.type), numbers)
    return pa.array(names, pa.string()).take(inside.cast(pa.int64())), told
