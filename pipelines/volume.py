"""How much a conversion would move, from its plan and a sample of its rows and images: what `pipelines.cost` needs.

Nothing is written and no image is opened; of a few images the size is asked for. All rows are looked at where they are
not too many; otherwise the first of each piece of the source, so that billions take no longer.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from pipelines.cost import Volume
from pipelines.fetching import locate, path_of
from pipelines.files import storage
from pipelines.plan import Plan
from pipelines.rows import ImageRow, Row, encode_row
from schemas.errors import RecordError

ROWS_SAMPLED = 300_000
IMAGES_SAMPLED = 200


def _first_rows(plan: Plan) -> Iterator[Row]:
    """The first rows of every piece, a share of the sample from each."""
    pieces = list(plan.job.source.pieces())
    for piece in pieces[:ROWS_SAMPLED]:
        yield from islice(plan.job.source.read(piece), max(1, ROWS_SAMPLED // len(pieces)))


def measure(plan: Plan, *, decode: bool = False) -> Volume:
    """The volume of a plan.

    Args:
        plan: of the conversion.
        decode: whether every image will be decoded.
    """
    rows = row_bytes = sized = image_bytes = 0
    images: set[str] = set()
    for row in _first_rows(plan):
        rows += 1
        row_bytes += len(encode_row(row, plan.job.seed, 0))
        images.add(row.image_id)
        if isinstance(row, ImageRow) and sized < IMAGES_SAMPLED:
            size = _image_bytes(plan, row)
            if size >= 0:
                sized += 1
                image_bytes += size
    return Volume(
        images=plan.images,
        image_bytes=image_bytes / max(sized, 1),
        rows=round(plan.images * rows / max(len(images), 1)),
        row_bytes=row_bytes / max(rows, 1),
        shards=plan.job.shards,
        decode=decode,
        sampled=sized,
        pixels=plan.job.source.wants_pixels(),
    )


def _image_bytes(plan: Plan, row: ImageRow) -> int:
    """Size of an image; -1 if nobody can tell."""
    if row.member is not None:
        return row.member.length or -1
    if not row.uri or not plan.job.source.wants_pixels():
        return -1
    source, root = plan.job.source, plan.job.source.image_root
    try:
        size = storage.size_of(path_of(source, root, row.uri))
        return size if size >= 0 else storage.size_of(storage.join(root, locate(root, row.uri)))
    except (OSError, ValueError, RecordError):
        return -1
