"""How rows get from readers to shards: the middle of every job that writes shards.

    pieces ─► deal ─► (shard, payload) ─► GroupByKey ─► write

Payloads are rows as bytes, never pixels (rule R3). Every shard gets an empty payload, so that one without rows is
written too. With a folder, payloads lie in files on the way and references to them are grouped (`pipelines.spool`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import apache_beam as beam
from apache_beam.pvalue import PCollection

from pipelines.spool import read_spool, spool

Read = Callable[[int, str], Iterator[tuple[int, bytes]]]


class Deal(beam.DoFn):
    """All payloads of a piece, each with its shard; or, with a folder, where they lie."""

    def __init__(self, read: Read, folder: str) -> None:
        self._read, self._folder = read, folder

    def process(self, element: tuple[int, str]) -> Iterator[tuple[int, bytes]]:
        payloads = self._read(*element)
        yield from spool(payloads, self._folder) if self._folder else payloads


def received(payloads: Iterable[bytes], folder: str) -> Iterable[bytes]:
    """The payloads of a shard, from what reached the step that writes it; without the empty one."""
    there = filter(None, payloads)
    return read_spool(there, folder) if folder else there


def exchange(
    pipeline: beam.Pipeline, pieces: Sequence[str], read: Read, write: beam.DoFn, *, shards: int, folder: str = ""
) -> PCollection[int]:
    """The steps of a job, from nothing to the numbers of the shards that are written.

    Args:
        pipeline: an empty one.
        pieces: names of what can be read apart.
        read: gives the payloads of a piece, by its number and name, each with its shard.
        write: takes (shard, what reached it), see `received`, and puts out the shard's number.
        shards: how many there are.
        folder: where payloads lie on the way, "" for in the runner.
    """
    empty = (
        pipeline
        | "number the shards" >> beam.Create(list(range(shards)), reshuffle=False)
        | "give each an empty row" >> beam.Map(lambda number: (number, b"")).with_output_types(tuple[int, bytes])
    )
    rows = (
        pipeline
        | "name the pieces" >> beam.Create(list(enumerate(pieces)), reshuffle=len(pieces) > 1)
        | "read rows" >> beam.ParDo(Deal(read, folder)).with_output_types(tuple[int, bytes])
    )
    return (
        (empty, rows)
        | "join both" >> beam.Flatten()
        | "group rows by shard" >> beam.GroupByKey()
        | "write shards" >> beam.ParDo(write).with_output_types(int)
    )
