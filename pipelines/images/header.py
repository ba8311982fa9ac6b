"""What the first bytes of an image say: format, size, orientation, and whether the end is there.

Works on the encoded bytes, decodes no pixels, believes neither names nor annotations (rule R8). An image whose header
and end are sound can still hold damaged pixels; finding those takes a full decode.
"""

from __future__ import annotations

import struct
from collections.abc import Collection
from typing import NamedTuple

from schemas.errors import RecordError
from schemas.record import ImageFormat
from wordtree.text_files import LFS_POINTER

MAX_PIXELS = 178_956_970  # where Pillow, too, takes an image for a decompression bomb: 0.5 GB as RGB
_SOF = frozenset((*range(0xC0, 0xC4), *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0)))
_STANDALONE = frozenset((0x01, *range(0xD0, 0xD9)))
_PNG_CHANNELS = {0: 1, 2: 3, 3: 3, 4: 2, 6: 4}  # by colour type


class ImageHeader(NamedTuple):
    """What the first bytes say.

    Attributes:
        format: by magic bytes.
        height, width: of the stored pixels.
        orientation: EXIF, 1 to 8; 1 where none is stated.
        channels: 1 grey, 2 grey with alpha, 3 colour (a palette too), 4 CMYK for JPEG and alpha for others.
        bits: of a channel.
        animated: whether there are several frames.
        fault: what is wrong with the file though its header can be read; None for nothing.
    """

    format: ImageFormat
    height: int
    width: int
    orientation: int = 1
    channels: int = 3
    bits: int = 8
    animated: bool = False
    fault: RecordError | None = None


def read_header(data: bytes, *, max_pixels: int = MAX_PIXELS, allowed: Collection[str] = ()) -> ImageHeader:
    """The header of an encoded image.

    Args:
        data: the whole file.
        max_pixels: largest height times width.
        allowed: reasons of faults that stay in the header and are not raised: `image:truncated` for a missing end,
            `image:too_many_pixels`, `image:unsupported`.

    Raises:
        RecordError: with reason `image:empty`, `image:html`, `image:lfs_pointer`, `image:unknown_format`,
            `image:bad_header`, `image:truncated`, `image:too_many_pixels` or `image:unsupported`.
    """
    if not data:
        raise RecordError("image:empty", "the file has no bytes", found="0 bytes")
    reader = next((read for magic, read in _READERS if data.startswith(magic)), None)
    if reader is None:
        if data.startswith(LFS_POINTER):
            raise RecordError(
                "image:lfs_pointer", "a Git LFS pointer in place of an image; fetch it with `git lfs pull`"
            )
        start = data[:512].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
        if start.startswith((b"<!doctype", b"<html", b"<?xml", b"<head", b"<body")):
            raise RecordError("image:html", "a web page in place of an image", found=repr(data[:40]))
        raise RecordError("image:unknown_format", "no JPEG, PNG, GIF, BMP or WebP", found=repr(data[:16]))
    try:
        header = reader(data)
    except (struct.error, IndexError):
        raise RecordError("image:truncated", "the file ends inside its header", found=f"{len(data)} bytes") from None
    if header.height <= 0 or header.width <= 0:
        size = f"{header.width} x {header.height}"
        raise RecordError("image:bad_header", f"the header gives a size of {size}", found=size)
    if header.height * header.width > max_pixels:
        size = f"{header.width} x {header.height}"
        header = header._replace(
            fault=RecordError("image:too_many_pixels", f"more than {max_pixels} pixels", found=size)
        )
    if header.fault is not None and header.fault.reason not in allowed:
        raise header.fault
    return header


def _truncated(data: bytes, what: str) -> RecordError:
    return RecordError("image:truncated", f"the file ends before {what}", found=f"{len(data)} bytes")


def _read_jpeg(data: bytes) -> ImageHeader:
    """Walk the segments to the first scan; behind it an end marker must stand, padding after it is fine."""
    at, height, width, orientation, bits, channels = 2, 0, 0, 1, 8, 3
    while True:
        if data[at] != 0xFF:
            raise RecordError("image:bad_header", "broken chain of JPEG segments", found=f"byte {at}: {data[at]:#x}")
        while data[at] == 0xFF:  # any number of fill bytes
            at += 1
        marker = data[at]
        at += 1
        if marker in _STANDALONE:
            continue
        if marker == 0xD9:
            raise RecordError("image:bad_header", "the JPEG ends before its first scan", found=f"{len(data)} bytes")
        (length,) = struct.unpack_from(">H", data, at)
        if marker in _SOF:
            bits, height, width, channels = struct.unpack_from(">BHHB", data, at + 2)
        elif marker == 0xE1 and data[at + 2 : at + 8] == b"Exif\0\0":
            orientation = _exif_orientation(data[at + 8 : at + length])
        elif marker == 0xDA:
            # Inside a scan 0xFF is followed by 0, so this is a true end marker.
            ended = data.endswith(b"\xff\xd9") or data.rfind(b"\xff\xd9", at + length) >= 0
            fault = None if ended else _truncated(data, "the JPEG's end marker")
            return ImageHeader("jpeg", height, width, orientation, channels, bits, fault=fault)
        at += length


def _exif_orientation(tiff: bytes) -> int:
    """Tag 0x0112 of the first directory; 1 where it is missing or broken (EXIF is often broken)."""
    order = {b"II": "<", b"MM": ">"}.get(tiff[:2])
    if order is None:
        return 1
    try:
        (start,) = struct.unpack_from(order + "I", tiff, 4)
        (count,) = struct.unpack_from(order + "H", tiff, start)
        for entry in range(start + 2, start + 2 + 12 * count, 12):
            tag, kind = struct.unpack_from(order + "HH", tiff, entry)
            if tag == 0x0112 and kind == 3:
                (value,) = struct.unpack_from(order + "H", tiff, entry + 8)
                return value if 1 <= value <= 8 else 1
    except struct.error:
        pass
    return 1


def _read_png(data: bytes) -> ImageHeader:
    width, height = struct.unpack_from(">II", data, 16)
    if data[12:16] != b"IHDR":
        raise RecordError("image:bad_header", "the PNG does not begin with IHDR", found=repr(data[8:16]))
    fault = _truncated(data, "the PNG's IEND") if data.rfind(b"IEND", 24) < 0 else None
    bits, kind = data[24], data[25]
    animated = data.find(b"acTL", 33, 4096) >= 0  # before the first IDAT
    orientation = _exif_orientation(_chunk(data, 8, b"eXIf", ">I4s", 4)) if b"eXIf" in data else 1
    return ImageHeader("png", height, width, orientation, _PNG_CHANNELS.get(kind, 3), bits, animated, fault)


def _chunk(data: bytes, at: int, wanted: bytes, head: str, behind: int) -> bytes:
    """What the first chunk of a name holds, of chunks side by side; b"" where there is none.

    Args:
        data: the file.
        at: where the first chunk begins.
        wanted: its name.
        head: of a chunk, as `struct` has it: length and name, or name and length.
        behind: bytes behind the data of a chunk; -1 for as many as make its length even.
    """
    while at + 8 <= len(data):
        first, second = struct.unpack_from(head, data, at)
        name, length = (second, first) if isinstance(second, bytes) else (first, second)
        if name == wanted:
            return data[at + 8 : at + 8 + length]
        at += 8 + length + (length % 2 if behind < 0 else behind)
    return b""


def _read_gif(data: bytes) -> ImageHeader:
    width, height = struct.unpack_from("<HH", data, 6)
    fault = None if data.rstrip(b"\0").endswith(b";") else _truncated(data, "the GIF's trailer")
    return ImageHeader("gif", height, width, animated=_gif_frames(data) > 1, fault=fault)


def _gif_frames(data: bytes) -> int:
    """Image descriptors, counted to two by walking the blocks."""

    def table(flags: int) -> int:
        return 3 << (flags & 7) + 1 if flags & 0x80 else 0

    try:
        at, frames = 13 + table(data[10]), 0
        while frames < 2 and data[at] != 0x3B:
            if data[at] == 0x2C:
                frames += 1
                at += 11 + table(data[at + 9])
            else:
                at += 2
            while data[at]:  # sub-blocks, each with its length
                at += 1 + data[at]
            at += 1
    except IndexError:
        pass  # cut short
    return frames


def _read_bmp(data: bytes) -> ImageHeader:
    """TensorFlow reads neither palettes nor OS/2 headers, and bytes are copied as they are, so these are refused."""
    size, _, _, _, header_size = struct.unpack_from("<IHHII", data, 2)
    width, height = struct.unpack_from("<HH" if header_size == 12 else "<ii", data, 18)
    fault = _truncated(data, f"the {size} bytes that the BMP's header promises") if len(data) < size else None
    (bits,) = struct.unpack_from("<H", data, 24 if header_size == 12 else 28)
    if header_size == 12 or bits < 24:
        found = f"{bits} bits per pixel" + (", an OS/2 header" if header_size == 12 else "")
        told = "TensorFlow decodes BMPs of 24 or 32 bits per pixel only"
        fault = fault or RecordError("image:unsupported", told, found=found)
    return ImageHeader("bmp", abs(height), width, fault=fault)  # a negative height means top row first


def _read_webp(data: bytes) -> ImageHeader:
    (size,) = struct.unpack_from("<I", data, 4)
    kind = data[12:16]
    if data[8:12] != b"WEBP":
        raise RecordError("image:unknown_format", "a RIFF file that is no WebP", found=repr(data[:16]))
    if kind == b"VP8X":
        width, height = (1 + int.from_bytes(data[start : start + 3], "little") for start in (24, 27))
    elif kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        width, height = 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    else:
        width, height = (side & 0x3FFF for side in struct.unpack_from("<HH", data, 26))
    fault = None
    if len(data) < size + 8:
        fault = _truncated(data, f"the {size + 8} bytes that the WebP's header promises")
    animated = kind == b"VP8X" and bool(data[20] & 2)
    exif = _chunk(data, 12, b"EXIF", "<4sI", -1) if kind == b"VP8X" and data[20] & 8 else b""
    orientation = _exif_orientation(exif.removeprefix(b"Exif\0\0"))
    return ImageHeader("webp", height, width, orientation, animated=animated, fault=fault)


_READERS = (
    (b"\xff\xd8", _read_jpeg),
    (b"\x89PNG\r\n\x1a\n", _read_png),
    (b"GIF87a", _read_gif),
    (b"GIF89a", _read_gif),
    (b"BM", _read_bmp),
    (b"RIFF", _read_webp),
)
