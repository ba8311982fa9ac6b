"""Keypoints of a second file, put onto the boxes that they belong to: inside a shard, image by image."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby

import msgspec

from pipelines.rows import BoxRow, ImageRow, Row, Statements

_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])
_encode = msgspec.json.Encoder().encode


def merge_keypoints(rows: Iterable[tuple[int, Row]], piece: int) -> Iterator[Row]:
    """The rows, with boxes of equal annotation ids made one.

    Law: every box of the other pieces comes out, in its place; a box of the piece comes out as it is if no other box
    of its image has its id.

    Args:
        rows: (number of the piece it comes from, row), those of an image side by side.
        piece: number of the piece that holds keypoints.
    """
    for _, group in groupby(rows, key=lambda pair: pair[1].image_id):
        pairs = list(group)
        points: dict[str, BoxRow] = {}
        for number, row in pairs:
            if number == piece and isinstance(row, Statements):
                points.update((box.annotation_id, box) for box in row.boxes if box.annotation_id)
        used: set[str] = set()
        later: list[Row] = []
        for number, row in pairs:
            if number == piece:
                later.append(row)
            elif points and isinstance(row, ImageRow | Statements) and row.boxes:
                used.update(box.annotation_id for box in row.boxes)
                boxes = tuple(_with_points(box, points.get(box.annotation_id)) for box in row.boxes)
                yield msgspec.structs.replace(row, boxes=boxes)
            else:
                yield row
        for row in later:
            if isinstance(row, Statements):
                left = tuple(box for box in row.boxes if not box.annotation_id or box.annotation_id not in used)
                if left or not row.boxes:
                    yield msgspec.structs.replace(row, boxes=left)
            else:
                yield row


def _with_points(box: BoxRow, other: BoxRow | None) -> BoxRow:
    """A box with another's keypoints, and those of its other fields that the box does not have."""
    if other is None:
        return box
    ours, theirs = (_fields.decode(text) if text else {} for text in (box.extra, other.extra))
    extra = _encode({**theirs, **ours}).decode()
    return msgspec.structs.replace(box, keypoints=box.keypoints or other.keypoints, extra=extra)
