"""What becomes of the rows of a shard: their order, their images, and which of them are duplicates. Pure, all at once.

Images stand in the order of their shards and keys, the rows of an image in the order of the files. Of several rows with
the same image, label and source (and the same verdict of people) the one with the highest confidence stays, the first
of equals. Where images have ids of their own, the first row that names the image's file says which it is: what others
say of another file is not said of this image, and they are rejected.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute
from numpy.typing import NDArray

from pipelines.label_rows.blocks import column
from pipelines.label_rows.layout import BAD_ROW, DUPLICATE, GOOD, NO_IMAGE, NOT_UTF8, OTHER_IMAGE

pc: Any = pyarrow.compute
Numbers = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Decided:
    """Rows in their final order; but for `rows`, everything has one value a row in that order.

    Attributes:
        rows: of `BLOCK_SCHEMA`, as they came: strings are moved once, when it is known which stay.
        order: the row in `rows` at each position.
        image: number of each row's image, from 0, ascending.
        fault: duplicates and rows of other images among them.
        confidence: as in the file.
        people: whether the row's source are people.
        first: the first row of each image.
        named: the row of each image that says where its file is: the first that can, else the first.
    """

    rows: pa.Table
    order: NDArray[np.int64]
    image: NDArray[np.int64]
    fault: NDArray[np.uint8]
    confidence: NDArray[np.float64]
    people: NDArray[np.bool_]
    first: NDArray[np.int64]
    named: NDArray[np.int64]

    def take(self, positions: NDArray[np.int64], *names: str) -> pa.Table:
        """Columns of some rows."""
        return self.rows.select(list(names)).take(pa.array(self.order[positions]))


def decide(rows: pa.Table, shards: int, people: tuple[str, ...] = ()) -> Decided:
    """Sort rows and find the duplicates.

    Args:
        rows: of `BLOCK_SCHEMA`, in the order of the files.
        shards: of the whole conversion.
        people: sources whose confidences are yes and no.
    """
    high, low = column(rows, "high"), column(rows, "low")
    order = np.argsort(high, kind="stable")
    again = np.flatnonzero(high[order][1:] == high[order][:-1])
    if (low[order][again] != low[order][again + 1]).any():
        order = np.lexsort((low, high))
    shard = (high[order] % np.uint64(shards)).astype(np.int64)
    if len(shard) and (shard != shard[0]).any():
        shard -= shard.min()
        order = order[np.argsort(shard.astype(np.uint16) if shard.max() < 2**16 else shard, kind="stable")]
    high, low = high[order], low[order]
    new = np.ones(len(high), bool)
    new[1:] = (high[1:] != high[:-1]) | (low[1:] != low[:-1])
    by_people = np.zeros(len(high), bool)
    if people:
        by_people = pc.is_in(rows["source"], value_set=pa.array(people)).to_numpy()[order]
    fault = column(rows, "fault")[order].copy()
    image, first = np.cumsum(new) - 1, np.flatnonzero(new)
    named = _name(rows, order, image, first, fault)
    decided = Decided(
        rows=rows,
        order=order,
        image=image,
        fault=fault,
        confidence=column(rows, "confidence")[order],
        people=by_people,
        first=first,
        named=named,
    )
    fault[duplicates(decided)] = DUPLICATE
    return decided


def _name(rows: pa.Table, order: Numbers, image: Numbers, first: Numbers, fault: Numbers) -> NDArray[np.int64]:
    """The rows that name the images' files; good rows that name another file get the fault `OTHER_IMAGE`."""
    if rows["uri"].null_count == len(rows):
        return first
    uri = pc.coalesce(rows["uri"], rows["image_id"])
    again = np.flatnonzero(image[1:] == image[:-1])
    before, behind = (uri.take(pa.array(order[at])) for at in (again, again + 1))
    if pc.all(pc.equal(before, behind), min_count=0).as_py():
        return first
    code = _codes(uri)[0][order]
    says = np.flatnonzero(~np.isin(fault, (NO_IMAGE, NOT_UTF8, BAD_ROW)))
    images, at = np.unique(image[says], return_index=True)
    named = first.copy()
    named[images] = says[at]
    fault[(fault == GOOD) & (code != code[named[image]])] = OTHER_IMAGE
    return named


def duplicates(decided: Decided) -> NDArray[np.int64]:
    """Positions of the rows that repeat a better one."""
    good = np.flatnonzero(decided.fault == GOOD)
    label, _ = _codes(decided.rows["label"])
    source, sources = _codes(decided.rows["source"])
    said = (decided.image * (int(label.max(initial=0)) + 1) + label[decided.order]) * sources
    said = (said + source[decided.order]) * 2 + (decided.people & (decided.confidence == 0))
    said = said[good]
    ordered = np.sort(said)
    repeated = ordered[1:][ordered[1:] == ordered[:-1]]
    if not len(repeated):
        return np.empty(0, np.int64)
    candidates = np.isin(said, repeated)
    good, said = good[candidates], said[candidates]
    best_first = np.lexsort((good, -decided.confidence[good], said))
    said = said[best_first]
    return good[best_first][1:][said[1:] == said[:-1]]


def _codes(strings: pa.ChunkedArray) -> tuple[NDArray[np.int64], int]:
    coded = strings.combine_chunks().dictionary_encode()
    if isinstance(coded, pa.ChunkedArray):
        coded = coded.combine_chunks()
    return coded.indices.to_numpy(zero_copy_only=False).astype(np.int64), max(len(coded.dictionary), 1)
