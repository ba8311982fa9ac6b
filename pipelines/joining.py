"""All that the files say about one image, put together: the join of the row plane, inside a shard.

Rows arrive sorted by the hash of their image and then by their place in the source, so those of one image stand side
by side, whatever files and workers they come from. One `ImageRow` says that the image exists; `Statements` add to it.

    a second ImageRow of an image     reject `image:duplicate_id`, with its annotations
    statements about a rejected one   reject `box:image_rejected`, `label:image_rejected`, `caption:image_rejected`
    statements without an ImageRow    reject `box:unknown_image`, `label:unknown_image`, `caption:unknown_image`;
                                      `image:not_listed` where they say nothing else
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby

import msgspec

from pipelines.rows import ImageRow, Rejected, Row, Statements, rejected_annotations, rejected_image


def join(rows: Iterable[Row]) -> Iterator[ImageRow | Rejected]:
    """One `ImageRow` an image, with all its statements in the order of their places; and what is rejected.

    Law: every box and label of the rows is in exactly one image or rejected.

    Args:
        rows: with those of an image side by side.
    """
    for image_id, group in groupby(rows, key=lambda row: row.image_id):
        first: ImageRow | None = None
        refused = ""  # why the image itself is not written
        said: list[Statements] = []
        for row in group:
            if isinstance(row, Statements):
                said.append(row)
            elif isinstance(row, Rejected):
                refused = refused or (row.reason if row.kind == "image" else "")
                yield row
            elif first is None:
                first = row
            else:
                found = f"image id {image_id} a second time, file {row.filename or row.uri!r}"
                yield rejected_image(row, "image:duplicate_id", found)
                yield from rejected_annotations(row, "image_rejected", "image:duplicate_id")
        if first is not None:
            yield _with(first, said) if said else first
            continue
        found = f"image {image_id} is in no list of images"
        for row in said:
            if refused:
                yield from rejected_annotations(row, "image_rejected", refused)
                continue
            yield from rejected_annotations(row, "unknown_image", found)
            if not (row.boxes or row.labels or row.captions):  # a map, or that boxes were sought: still not lost
                where = row.map_uris[0][1] if row.map_uris else row.provenance
                reason = "image:not_listed"
                yield Rejected(
                    kind="image", record=image_id, reason=reason, found=found, where=where, image_id=image_id
                )


def _with(image: ImageRow, said: list[Statements]) -> ImageRow:
    return msgspec.structs.replace(
        image,
        boxes=(*image.boxes, *(box for row in said for box in row.boxes)),
        labels=(*image.labels, *(label for row in said for label in row.labels)),
        captions=(*image.captions, *(caption for row in said for caption in row.captions)),
        map_uris=(*image.map_uris, *(found for row in said for found in row.map_uris)),
        has_boxes=image.has_boxes or any(row.boxes_sought for row in said),
    )
