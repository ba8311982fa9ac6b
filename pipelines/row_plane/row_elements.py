"""The rows of an image as one small payload: what passes the GroupByKey of an assembly.

An element is 16 bytes of hash, then the image's row of the index and its annotations as msgpack. It begins as elements
of a conversion do (`pipelines.rows`): its first eight bytes give the shard, and elements sort by id and seed alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from pipelines.row_plane.view import VIEW_ANNOTATIONS_SCHEMA, Rows
from pipelines.rows import KEY_BYTES, shard_of, sort_key
from schemas.arrow import INDEX_SCHEMA
from schemas.errors import FormatError

IMAGES_AT_ONCE = 4096
_INDEX_NAMES = tuple(INDEX_SCHEMA.names)
_ANNOTATION_NAMES = tuple(VIEW_ANNOTATIONS_SCHEMA.names)
_IMAGE_ID = _ANNOTATION_NAMES.index("image_id")

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(tuple[list[Any], list[list[Any]]])


def row_elements(rows: Rows, *, shards: int, seed: int) -> Iterator[tuple[int, bytes]]:
    """All images of a dataset or view as (shard, element), in the order of the index.

    Law: every row of both tables is in exactly one element.

    Raises:
        FormatError: the two tables do not go together, see `pipelines.row_plane.view`.
    """
    said = _annotations_by_image(rows)
    ahead = next(said, None)
    for start in range(0, rows.index.num_rows, IMAGES_AT_ONCE):
        columns = rows.index.slice(start, IMAGES_AT_ONCE).to_pydict()
        for image in zip(*(columns[name] for name in _INDEX_NAMES), strict=True):
            annotations: list[tuple[Any, ...]] = []
            while ahead is not None and ahead[0] == image[0]:  # one image's rows may come in two groups
                annotations += ahead[1]
                ahead = next(said, None)
            element = sort_key(image[0], seed) + _encoder.encode((image, annotations))
            yield shard_of(element, shards), element
    if ahead is not None:
        raise FormatError(
            f"{rows.path}: the annotations of image {ahead[0]!r} do not stand in the order of the index; make the "
            "dataset again"
        )


def _annotations_by_image(rows: Rows) -> Iterator[tuple[str, list[tuple[Any, ...]]]]:
    """Annotations that stand side by side and are of one image; an image may come again at the start of a batch."""
    for batch in rows.annotations():
        columns = [column.to_pylist() for column in batch.columns]
        ids: list[str] = columns[_IMAGE_ID]
        start = 0
        for end in range(1, len(ids) + 1):
            if end == len(ids) or ids[end] != ids[start]:
                yield ids[start], list(zip(*(column[start:end] for column in columns), strict=True))
                start = end


def read_element(element: bytes) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The row of the index and the annotations of an element, by the names of their columns."""
    image, annotations = _decoder.decode(memoryview(element)[KEY_BYTES:])
    return (
        dict(zip(_INDEX_NAMES, image, strict=True)),
        [dict(zip(_ANNOTATION_NAMES, row, strict=True)) for row in annotations],
    )
