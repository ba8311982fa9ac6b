"""Many rows of one shard as one payload: a record batch of Arrow without its schema.

Beside the columns of a batch a block has the images' sort keys and the number of their file. A key is computed once for
each image of a batch. Blocks of a shard, sorted by the place of their first row, hold its rows in the order of the
files, since a batch is dealt out without changing the order.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from hashlib import blake2b
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipelines.label_rows.layout import BATCH_SCHEMA
from pipelines.rows import KEY_BYTES, sort_key
from pipelines.sources.base import Packing

BLOCK_SCHEMA = pa.schema(
    [
        *BATCH_SCHEMA,
        pa.field("high", pa.uint64(), nullable=False),
        pa.field("low", pa.uint64(), nullable=False),
        pa.field("file", pa.int32(), nullable=False),
    ]
)
U64 = NDArray[np.uint64]


def sort_keys(image_ids: pa.Array, seed: int) -> tuple[U64, U64]:
    """`pipelines.rows.sort_key` of every id, as its first and its last eight bytes; computed once for each id."""
    coded = image_ids.dictionary_encode()
    keyed = blake2b(key=b"wordtree shard %d" % seed, digest_size=KEY_BYTES)
    digests: list[bytes] = []
    for image_id in coded.dictionary.cast(pa.binary()).to_pylist():
        state = keyed.copy()  # a quarter quicker than to begin with the key each time
        state.update(image_id)
        digests.append(state.digest())
    if digests and digests[0] != sort_key(coded.dictionary[0].as_py(), seed):
        raise AssertionError("the keys of blocks differ from those of rows")
    keys = np.frombuffer(b"".join(digests), ">u8").astype(np.uint64).reshape(-1, 2)
    codes = coded.indices.to_numpy(zero_copy_only=False)
    return keys[codes, 0], keys[codes, 1]


def deal(batch: pa.RecordBatch, file: int, packing: Packing, groups: int) -> Iterator[tuple[int, bytes]]:
    """The rows of a batch as blocks: (group, block).

    Args:
        batch: of `BATCH_SCHEMA`.
        file: number of its file.
        packing: how rows are dealt out to shards.
        groups: of shards that stand side by side; equal to the shards for one each.
    """
    high, low = sort_keys(batch["image_id"], packing.seed)
    group = (high % np.uint64(packing.shards)).astype(np.int64) * groups // packing.shards
    if packing.limit_key:
        last = packing.limit_key.ljust(KEY_BYTES, b"\xff")
        top, rest = np.uint64(int.from_bytes(last[:8], "big")), np.uint64(int.from_bytes(last[8:], "big"))
        group[~((high < top) | ((high == top) & (low <= rest)))] = groups
    order = np.argsort(group.astype(np.uint16) if groups < 2**16 else group, kind="stable")
    columns = [*batch.columns, pa.array(high), pa.array(low), pa.array(np.full(len(batch), file, np.int32))]
    block = pa.RecordBatch.from_arrays(columns, schema=BLOCK_SCHEMA).take(pa.array(order))
    counts = np.bincount(group, minlength=groups)[:groups]
    start = 0
    for number in np.flatnonzero(counts).tolist():
        rows = int(counts[number])
        yield number, block.slice(start, rows).serialize().to_pybytes()
        start += rows


def collect(payloads: Iterable[bytes]) -> pa.Table:
    """The rows of blocks in the order of the files."""
    blocks = [pa.ipc.read_record_batch(pa.py_buffer(data), BLOCK_SCHEMA) for data in payloads]
    blocks.sort(key=lambda block: (block["file"][0].as_py(), block["line"][0].as_py()))
    return pa.Table.from_batches(blocks, BLOCK_SCHEMA).combine_chunks()


def column(table: pa.Table, name: str) -> NDArray[Any]:
    """A column of numbers."""
    return table[name].to_numpy()
