"""Segmentations: COCO's polygons and run lengths as pixels, as PNGs, and moved with their image.

A segmentation is the JSON text of COCO's field: polygons `[[x, y, x, y, ...], ...]`, whose union is meant, or run
lengths `{"size": [height, width], "counts": ...}`. Runs go down the columns and begin with the length of zeros; counts
are a list (uncompressed) or a string (compressed: see `decode_counts`). Sizes are (height, width) throughout.

Law: `segmentation_mask` is equal, pixel by pixel, to what COCO's own mask library draws; a test holds it against that.
A polygon is drawn there on a grid five times as fine. Its outline crosses the middle of a column of pixels at some
height; the pixels below that height change between inside and outside.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas.errors import RecordError

Mask = NDArray[np.uint8]
Size = tuple[int, int]

REASON = "box:bad_segmentation"
FINE = 5  # grid lines a pixel, of COCO's way to draw a polygon
DIGITS = 6  # of a moved polygon's numbers, after the point
_QUARTER_TURNED = (5, 6, 7, 8)
_FARTHEST = 2.0**26  # pixels; farther points are no coordinates of an image
_MOST_PIXELS = 2**28  # of run lengths: a mask is held whole
_MOST_BITS = 60  # of a compressed run length
_PNG = b"\x89PNG\r\n\x1a\n"
_NO_MASK = b"noMk"  # an empty chunk behind the header, which readers that do not know it pass over
_SIZE_AT, _MARK_AT = 16, 37  # in a PNG: width and height; the name of the second chunk


def _bad(what: str, found: object) -> RecordError:
    return RecordError(REASON, what, found=f"{found!a}"[:80])


def segmentation_mask(text: str, height: int, width: int) -> Mask:
    """The pixels of a segmentation: u8[height, width], 1 inside.

    Raises:
        RecordError: reason `box:bad_segmentation`, if it is no segmentation, or run lengths of another size.
    """
    value = _parse(text)
    if isinstance(value, list):
        mask = np.zeros((height, width), np.uint8)
        for polygon in value:
            mask |= draw_polygon(_points(polygon), height, width)
        return mask
    size, counts = _runs(value)
    if size != (height, width):
        raise _bad(f"run lengths of {size[1]} x {size[0]} pixels in an image of {width} x {height}", text)
    return decode_runs(counts, height, width)


def polygons_without_area(text: str) -> int:
    """How many polygons of a segmentation have fewer than three points, so that they add no pixel."""
    value = _parse(text)
    return sum(len(polygon) < 6 for polygon in value) if isinstance(value, list) else 0


def mask_png(mask: Mask, *marks: bytes) -> bytes:
    """u8[height, width] as an 8 bit grey PNG; the same mask, the same bytes.

    Args:
        mask: the pixels.
        marks: names of empty chunks that readers pass over.
    """
    height, width = mask.shape
    lines = np.zeros((height, width + 1), np.uint8)  # each line begins with its filter: 0, none
    lines[:, 1:] = mask
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    marked = ((name, b"") for name in marks)
    parts = ((b"IHDR", header), *marked, (b"IDAT", zlib.compress(lines.tobytes(), 6)), (b"IEND", b""))
    chunks = (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in parts
    )
    return _PNG + b"".join(chunks)


def with_blanks(pngs: Sequence[bytes]) -> Sequence[bytes]:
    """The masks of an image as they are written: readers decode one for each box, so a box without a mask has a PNG
    with no pixel set, of the size of the first mask, which says inside that it is none; no PNG where no box has a mask.

    Law: `without_blanks` gives the masks back.
    """
    first = next(filter(None, pngs), b"")
    size = struct.unpack_from(">II", first, _SIZE_AT) if first.startswith(_PNG) and len(first) > _MARK_AT else (1, 1)
    return [png or _blank(*size) for png in pngs] if first else ()


def without_blanks(pngs: Sequence[bytes]) -> list[bytes]:
    """Masks as they were written, b"" for those that are none."""
    return [b"" if png[_MARK_AT : _MARK_AT + 4] == _NO_MASK else png for png in pngs]


@lru_cache(maxsize=64)
def _blank(width: int, height: int) -> bytes:
    return mask_png(np.zeros((height, width), np.uint8), _NO_MASK)


def transform_segmentation(text: str, old_size: Size, new_size: Size, orientation: int = 1) -> str:
    """A segmentation after its picture was turned, then scaled.

    Args:
        text: in pixels of the picture before.
        old_size: of the picture before; a run-length mask has its own size, which counts.
        new_size: of the picture after it was turned and scaled.
        orientation: EXIF 1 to 8: how the picture is turned, as a stored one is to be shown. To go back, give the
            inverse: 8 for 6 and 6 for 8, the others as they are.

    Returns:
        Text of the same kind; the text itself where nothing moves. Polygons have at most `DIGITS` digits after the
        point; scaled run lengths take the nearest pixel.

    Raises:
        RecordError: reason `box:bad_segmentation`.
    """
    turned = (old_size[1], old_size[0]) if orientation in _QUARTER_TURNED else old_size
    if not text or (orientation == 1 and turned == tuple(new_size)):
        return text
    value = _parse(text)
    if isinstance(value, list):
        return _dump([_move_points(_points(polygon), old_size, turned, new_size, orientation) for polygon in value])
    size, counts = _runs(value)
    mask = _scale(turn_mask(decode_runs(counts, *size), orientation), new_size)
    moved = encode_runs(mask)
    packed = encode_counts(moved) if isinstance(value["counts"], str) else moved
    return _dump({**value, "size": list(mask.shape), "counts": packed})


def turn_mask(mask: Mask, orientation: int) -> Mask:
    """The mask turned as viewers turn an image of this EXIF orientation."""
    if orientation in _QUARTER_TURNED:
        mask = mask.T
    if orientation in (3, 4, 7, 8):
        mask = mask[::-1]
    if orientation in (2, 3, 6, 7):
        mask = mask[:, ::-1]
    return mask


def _move_points(points: NDArray[np.float64], old: Size, turned: Size, new: Size, orientation: int) -> list[float]:
    x, y = points[:, 0], points[:, 1]
    if orientation in (3, 4, 6, 7):  # which side of the old picture ends on the far side, see `turn_mask`
        y = old[0] - y
    if orientation in (2, 3, 7, 8):
        x = old[1] - x
    if orientation in _QUARTER_TURNED:
        x, y = y, x
    if turned != tuple(new):
        x, y = x * (new[1] / turned[1]), y * (new[0] / turned[0])
    return np.stack([x, y], axis=1).round(DIGITS).ravel().tolist()


def _scale(mask: Mask, size: Size) -> Mask:
    if mask.shape == tuple(size):
        return mask
    rows, columns = (
        np.minimum(((np.arange(new) + 0.5) * (old / new)).astype(np.intp), old - 1)
        for new, old in zip(size, mask.shape, strict=True)
    )
    return mask[rows][:, columns]


def draw_polygon(points: NDArray[np.float64], height: int, width: int) -> Mask:
    """f64[N, 2] of (x, y), closed by itself, as u8[height, width].

    Law: bit for bit what COCO's mask library draws, also where the outline leaves the image or crosses itself.
    """
    if not len(points) or not height or not width:
        return np.zeros((height, width), np.uint8)
    u, v = _outline(np.trunc(FINE * points + 0.5).astype(np.int64))
    step = np.flatnonzero(u[1:] != u[:-1])  # the outline goes from one fine column to the next
    columns = np.minimum(u[step], u[step + 1])
    x = (columns + 0.5) / FINE - 0.5
    middle = (x == np.floor(x)) & (x >= 0) & (x <= width - 1)  # in the middle of a pixel
    y = (np.minimum(v[step], v[step + 1])[middle] + 0.5) / FINE - 0.5
    crossings = x[middle].astype(np.int64) * height + np.ceil(y.clip(0, height)).astype(np.int64)
    changes = np.bincount(crossings, minlength=height * width + 1)[: height * width]
    inside = np.bitwise_xor.accumulate((changes & 1).astype(np.uint8))
    return np.ascontiguousarray(inside.reshape(width, height).T)


def _outline(corners: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Every point of the fine grid along the outline, corner by corner; each edge with both of its ends."""
    start, end = corners, np.roll(corners, -1, axis=0)
    dx, dy = np.abs(end - start).T
    steep = dx < dy
    long = np.maximum(dx, dy)
    backward = np.where(steep, start[:, 1] > end[:, 1], start[:, 0] > end[:, 0])
    low, high = np.where(backward[:, None], end, start), np.where(backward[:, None], start, end)
    rise = np.where(steep, high[:, 0] - low[:, 0], high[:, 1] - low[:, 1])
    slope = rise / np.maximum(long, 1)
    edge = np.repeat(np.arange(len(corners)), long + 1)
    first = np.cumsum(long + 1) - (long + 1)
    walked = np.arange(len(edge)) - first[edge]
    walked = np.where(backward[edge], long[edge] - walked, walked)  # from `low` on
    along = walked + np.where(steep, low[:, 1], low[:, 0])[edge]
    across = np.trunc(np.where(steep, low[:, 0], low[:, 1])[edge] + slope[edge] * walked + 0.5).astype(np.int64)
    return np.where(steep[edge], across, along), np.where(steep[edge], along, across)


def decode_runs(counts: Sequence[int], height: int, width: int) -> Mask:
    """Run lengths down the columns, zeros first, as u8[height, width].

    Raises:
        RecordError: if they do not add up to the size.
    """
    if min(counts, default=0) < 0 or sum(counts) != height * width:
        raise _bad(f"run lengths add up to {sum(counts)}, not {height} x {width}", counts)
    values = (np.arange(len(counts)) & 1).astype(np.uint8)
    return np.ascontiguousarray(np.repeat(values, counts).reshape(width, height).T)


def encode_runs(mask: Mask) -> list[int]:
    """The inverse of `decode_runs`, in the shortest form."""
    flat = np.concatenate([[0], mask.T.ravel() != 0])
    ends = np.flatnonzero(flat[1:] != flat[:-1])
    return np.diff(ends, prepend=0, append=mask.size).tolist()


def decode_counts(text: str) -> list[int]:
    """Compressed run lengths as numbers.

    A character holds five bits of a number, lowest first, above 48; its sixth bit says that more follow, and the
    highest of the five of the last one is the sign. From the fourth number on it is the difference to the one before
    the last.

    Raises:
        RecordError: for other characters, or a number cut short.
    """
    counts: list[int] = []
    value = shift = 0
    for sign in text:
        bits = ord(sign) - 48
        if not 0 <= bits < 64:
            raise _bad("compressed run lengths have no such character", sign)
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            if shift > _MOST_BITS:
                raise _bad("a compressed run length is too large", text)
            continue
        if bits & 16:
            value -= 1 << shift
        counts.append(value + (counts[-2] if len(counts) > 2 else 0))
        value = shift = 0
    if shift:
        raise _bad("compressed run lengths are cut short", text)
    return counts


def encode_counts(counts: Sequence[int]) -> str:
    """The inverse of `decode_counts`."""
    signs: list[str] = []
    for number, count in enumerate(counts):
        value = count - (counts[number - 2] if number > 2 else 0)
        more = True
        while more:
            bits = value & 31
            value >>= 5
            more = value != (-1 if bits & 16 else 0)
            signs.append(chr((bits | 32 if more else bits) + 48))
    return "".join(signs)


def _parse(text: str) -> list[Any] | dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        raise _bad("it is no JSON", text) from None
    if not isinstance(value, list | dict):
        raise _bad("it is neither polygons nor run lengths", text)
    if isinstance(value, list) and value and not any(isinstance(polygon, list) for polygon in value):
        raise _bad("a flat list; expected a list of polygons, each a list of x, y, x, y, ...", text)
    return value


def _points(polygon: Any) -> NDArray[np.float64]:
    numbers = polygon if isinstance(polygon, list) else [None]
    good = all(
        isinstance(n, int | float) and not isinstance(n, bool) and abs(n) < _FARTHEST  # NaN is not
        for n in numbers
    )
    if len(numbers) % 2 or not good:
        raise _bad("a polygon is no list of x, y, x, y, ...", polygon)
    return np.array(numbers, np.float64).reshape(-1, 2)


def _runs(value: dict[str, Any]) -> tuple[Size, list[int]]:
    size, counts = value.get("size"), value.get("counts")
    if not (isinstance(size, list) and len(size) == 2 and all(type(n) is int and n > 0 for n in size)):
        raise _bad("run lengths have no `size` of [height, width]", size)
    if size[0] * size[1] > _MOST_PIXELS:
        raise _bad(f"run lengths of more than {_MOST_PIXELS} pixels", size)
    if isinstance(counts, str):
        counts = decode_counts(counts)
    if not isinstance(counts, list) or not all(type(n) is int for n in counts):
        raise _bad("run lengths have no `counts` of numbers or of text", counts)
    return (size[0], size[1]), counts


def _dump(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
