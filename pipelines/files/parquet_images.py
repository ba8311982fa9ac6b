"""Images that lie in a column of a Parquet file, read row by row.

Parquet gives no part of a column smaller than a row group, so an image costs the reading of all images of its row
group; the last few that were read are kept. Shards are in the order of hashes, so next to no two images of a shard
share one: files with images should have row groups of a few images (`row_group_size=16`). Bytes stay out of every
shuffle (rule R3): rows name the file and the row, and the step that writes the shard reads here.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict
from functools import lru_cache
from threading import Lock
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.files import storage
from schemas.errors import RecordError

PACKING = "parquet:"
BYTES_KEPT = 128 << 20
_kept: OrderedDict[tuple[str, int, str], Any] = OrderedDict()
_one_at_a_time = Lock()  # images are fetched ahead by several threads, and an open file has one position


def read_row(path: str, row: int, column: str) -> bytes:
    """The bytes in a column of one row.

    Args:
        path: of the Parquet file.
        row: its number, from 0.
        column: name; `image.bytes` for the field `bytes` of the column `image`.

    Raises:
        RecordError: `image:missing` for no such file, `image:bad_member` for no such row or column, or a damaged file,
            `image:empty` for a cell without bytes.
    """
    with _one_at_a_time:
        return _read_row(path, row, column)


def _read_row(path: str, row: int, column: str) -> bytes:
    try:
        file, starts = _opened(path)
    except FileNotFoundError:
        raise RecordError("image:missing", "there is no such file", found=storage.name_of(path)) from None
    except pa.ArrowException as error:
        raise RecordError("image:bad_member", "this is no Parquet file", found=str(error)[:80]) from None
    if not 0 <= row < starts[-1]:
        raise RecordError("image:bad_member", f"there is no row {row + 1}", found=storage.name_of(path))
    group = bisect_right(starts, row) - 1
    value = _column(file, path, group, column)[row - starts[group]].as_py()
    if not value:
        raise RecordError(
            "image:empty",
            "the cell has no bytes; if the table holds paths alone, name them with --image-column",
            found=f"row {row + 1}",
        )
    return value


@lru_cache(maxsize=8)
def _opened(path: str) -> tuple[pq.ParquetFile, list[int]]:
    file = pq.ParquetFile(storage.opened(path).__enter__())
    starts = [0]
    for group in range(file.num_row_groups):
        starts.append(starts[-1] + file.metadata.row_group(group).num_rows)
    return file, starts


def _column(file: pq.ParquetFile, path: str, group: int, column: str) -> pa.ChunkedArray:
    key = (path, group, column)
    found = _kept.pop(key, None)
    if found is None:
        try:
            found = file.read_row_group(group, columns=[column], use_threads=False).column(0)
            for name in column.split(".")[1:]:
                found = pa.chunked_array([chunk.field(name) for chunk in found.chunks])
        except (KeyError, IndexError, pa.ArrowException) as error:
            raise RecordError("image:bad_member", f"cannot read column {column!r}", found=str(error)[:80]) from None
        if not (pa.types.is_binary(found.type) or pa.types.is_large_binary(found.type)):
            raise RecordError("image:bad_member", f"column {column!r} holds no bytes", found=str(found.type))
    _kept[key] = found
    while len(_kept) > 1 and sum(kept.nbytes for kept in _kept.values()) > BYTES_KEPT:
        _kept.popitem(last=False)
    return found
