"""TFRecord framing: length, masked CRC of the length, data, masked CRC of the data.

16 bytes a record beside the data. The CRC is checked where a record is read: corruption is found here and named.
"""

from __future__ import annotations

import struct
from base64 import b64encode
from collections.abc import Iterator, Sequence
from typing import BinaryIO

import google_crc32c

from schemas.errors import FormatError

HEADER_BYTES = 12
FOOTER_BYTES = 4
_HEADER = struct.Struct("<QI")
_FOOTER = struct.Struct("<I")


def masked_crc(data: bytes) -> int:
    """CRC-32C of the data, rotated and shifted as TFRecord wants it."""
    return _mask(google_crc32c.value(data))


def _mask(crc: int) -> int:
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def frame(data: bytes) -> bytes:
    """One record with its header and footer."""
    return b"".join(frame_chunks((data,)))


def frame_chunks(chunks: Sequence[bytes]) -> list[bytes]:
    """One record with its header and footer, from data in chunks and in chunks."""
    length = struct.pack("<Q", sum(map(len, chunks)))
    crc = 0
    for chunk in chunks:
        crc = google_crc32c.extend(crc, chunk)
    return [length + _FOOTER.pack(masked_crc(length)), *chunks, _FOOTER.pack(_mask(crc))]


class FileCrc:
    """CRC-32C of a file as it grows, in the form in which object stores keep it: base64, the highest byte first."""

    def __init__(self) -> None:
        self._crc = 0

    def update(self, data: bytes) -> None:
        """Append bytes."""
        self._crc = google_crc32c.extend(self._crc, data)

    def text(self) -> str:
        """The value so far."""
        return b64encode(self._crc.to_bytes(4, "big")).decode()


def unframe(framed: bytes, where: str = "record") -> bytes:
    """The data of one framed record.

    Raises:
        FormatError: if a CRC or the length does not fit.
    """
    if len(framed) < HEADER_BYTES + FOOTER_BYTES:
        raise FormatError(f"{where}: {len(framed)} bytes are too few for a TFRecord; is the file cut short?")
    length, length_crc = _HEADER.unpack_from(framed)
    if masked_crc(framed[:8]) != length_crc:
        raise FormatError(f"{where}: the CRC of the record's length is wrong; the file is damaged or no TFRecord")
    data = framed[HEADER_BYTES : HEADER_BYTES + length]
    if len(framed) != HEADER_BYTES + length + FOOTER_BYTES:
        raise FormatError(f"{where}: the record has {len(framed)} bytes, its header says {length} + 16")
    if masked_crc(data) != _FOOTER.unpack_from(framed, HEADER_BYTES + length)[0]:
        raise FormatError(f"{where}: the CRC of the record's data is wrong; the file is damaged")
    return data


def read_records(stream: BinaryIO, where: str = "TFRecord file") -> Iterator[bytes]:
    """The records of a file in order.

    Raises:
        FormatError: naming the record's number, if it is damaged or cut short.
    """
    number = 0
    while header := stream.read(HEADER_BYTES):
        if len(header) < HEADER_BYTES:
            raise FormatError(f"{where}, record {number}: the file ends inside a header; it is cut short")
        length, length_crc = _HEADER.unpack(header)
        if masked_crc(header[:8]) != length_crc:
            raise FormatError(f"{where}, record {number}: the CRC of the length is wrong; damaged, or no TFRecord")
        body = stream.read(length + FOOTER_BYTES)
        yield unframe(header + body, f"{where}, record {number}")
        number += 1
