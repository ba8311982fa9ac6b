"""Rows between reader and shard in files, for runners that hold a GroupByKey in memory.

A reader appends payloads to one file, many of a shard side by side in a block, and hands on where the blocks lie:
(shard, reference). So a conversion's memory does not grow with the rows (docs/decisions/0010-spooled-rows.md). A reader
that fails leaves a file that nobody refers to; all go with the other work files.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import msgspec

from pipelines.files import storage

SPOOL_FOLDER = "spool"
BYTES_HELD = 2 << 20  # of payloads before they are written out
_COUNTED_PER_PAYLOAD = 100  # what Python needs for one, beside its bytes


class Block(NamedTuple):
    """Where payloads of one shard lie: name of the file in the spool folder, bytes from its start, bytes."""

    name: str
    offset: int
    length: int


_encoder = msgspec.msgpack.Encoder()
_block = msgspec.msgpack.Decoder(Block)
_payloads = msgspec.msgpack.Decoder(list[bytes])


def spool(payloads: Iterable[tuple[int, bytes]], folder: str) -> Iterator[tuple[int, bytes]]:
    """Write payloads to a new file; gives (shard, reference), each to one block, after the file is complete."""
    storage.make_folder(folder)
    name = f"{uuid.uuid4().hex}.rows"
    references: list[tuple[int, bytes]] = []
    held: dict[int, list[bytes]] = {}
    size = offset = 0
    with storage.writing(storage.join(folder, name), folder) as stream:

        def flush() -> int:
            end = offset
            for shard, found in sorted(held.items()):
                data = _encoder.encode(found)
                stream.write(data)
                references.append((shard, _encoder.encode(Block(name, end, len(data)))))
                end += len(data)
            held.clear()
            return end

        for shard, payload in payloads:
            held.setdefault(shard, []).append(payload)
            size += len(payload) + _COUNTED_PER_PAYLOAD
            if size > BYTES_HELD:
                offset, size = flush(), 0
        flush()
    yield from references


def read_spool(references: Iterable[bytes], folder: str) -> Iterator[bytes]:
    """The payloads of references, in any order."""
    blocks = sorted(_block.decode(reference) for reference in references)
    for block in blocks:
        with storage.opened(storage.join(folder, block.name)) as stream:
            stream.seek(block.offset)
            yield from _payloads.decode(stream.read(block.length))
