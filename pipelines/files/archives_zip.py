"""The members of a zip file by their positions, from the list at its end; and the bytes of one.

    member     local header (30 bytes, name, extra), then the bytes, as they are (method 0) or deflated (8)
    list       46 bytes, name, extra and comment for each member: sizes, CRC-32, position of the local header
    end        22 bytes and a comment; before it, in large files, the two records of zip64

A local header's length is stated in itself alone, so a member's place is that of its local header and its bytes are
found when they are read, with the same request. Length, method, size and CRC-32 travel in `Member`: every read is
checked.
"""

from __future__ import annotations

import stat
import struct
import zlib
from collections.abc import Iterator

from pipelines.files.archives_ranges import Ranges
from pipelines.files.archives_tar import REFUSED, plain_name
from pipelines.rows import Member
from schemas.errors import FormatError, RecordError

PACKING = "zip "
LARGEST_MEMBER = 1 << 30  # bytes of one image or mask, unpacked
LIST_AT_ONCE = 1 << 20
_END, _END64, _LOCATOR = b"PK\5\6", b"PK\6\6", b"PK\6\7"
_ENTRY = struct.Struct("<4s6H3L5H2L")
_LOCAL = struct.Struct("<4s5H3L2H")
_LONGEST_END = 22 + (1 << 16)
_EXTRA_AT_ONCE = 256  # of a local header beyond its fixed part: names and times are short


def zip_members(ranges: Ranges) -> Iterator[tuple[str, Member]]:
    """Name and place of every file in a zip, in the order of its list.

    Raises:
        FormatError: if the list is not whole.
    """
    count, position, end, shift = _list_place(ranges)
    buffer = b""
    for number in range(1, count + 1):
        while len(buffer) < _ENTRY.size or len(buffer) < _entry_length(buffer):
            more = ranges.fetch(position, min(LIST_AT_ONCE, end - position))
            if not more:
                raise _damaged(ranges, position, f"nothing more; expected entry {number:,} of {count:,} of its list")
            buffer += more
            position += len(more)
        if buffer[:4] != b"PK\1\2":
            at = position - len(buffer)
            raise _damaged(ranges, at, f"{buffer[:4]!r}; expected entry {number:,} of {count:,} of its list")
        length = _entry_length(buffer)
        name, member = _entry(buffer[:length], shift)
        buffer = buffer[length:]
        if not name.endswith("/"):
            yield name, member
    buffer += ranges.fetch(position, min(_ENTRY.size, end - position)) if len(buffer) < 4 else b""
    if buffer[:4] == b"PK\1\2":
        raise _damaged(ranges, position - len(buffer), f"one more member in its list; its end counts {count:,}")


def _entry_length(buffer: bytes) -> int:
    return _ENTRY.size + sum(struct.unpack_from("<3H", buffer, 28))


def _entry(data: bytes, shift: int) -> tuple[str, Member]:
    fields = _ENTRY.unpack_from(data)
    flags, method, crc, packed, size = fields[3], fields[4], fields[7], fields[8], fields[9]
    name_length, extra_length, mode, offset = fields[10], fields[11], fields[15] >> 16, fields[16]
    raw = data[_ENTRY.size : _ENTRY.size + name_length]
    extra = data[_ENTRY.size + name_length :][:extra_length]
    wide = iter(_wide_numbers(extra))
    size = next(wide, size) if size == 0xFFFFFFFF else size
    packed = next(wide, packed) if packed == 0xFFFFFFFF else packed
    offset = next(wide, offset) if offset == 0xFFFFFFFF else offset
    try:
        name = raw.decode() if flags & 0x800 else raw.decode("ascii")
    except UnicodeDecodeError:
        name = raw.decode("utf-8", "surrogateescape") if flags & 0x800 else raw.decode("cp437")
    packing = f"{PACKING}{method} {size} {crc:08x}"
    if flags & 1:
        packing = f"{REFUSED}encrypted"
    elif method not in (0, 8):
        packing = f"{REFUSED}packed by method {method}; expected stored or deflated"
    elif stat.S_ISLNK(mode):
        packing = f"{REFUSED}a link"
    return plain_name(name.encode("utf-8", "surrogateescape")), Member(offset + shift, packed, packing)


def _wide_numbers(extra: bytes) -> tuple[int, ...]:
    """The 8-byte numbers of the zip64 field."""
    while len(extra) >= 4:
        kind, length = struct.unpack_from("<2H", extra)
        if kind == 1:
            return struct.unpack_from(f"<{min(length, len(extra) - 4) // 8}Q", extra, 4)
        extra = extra[4 + length :]
    return ()


def _list_place(ranges: Ranges) -> tuple[int, int, int, int]:
    """Number of entries, begin and end of the list, and the number of bytes before the zip."""
    size = ranges.size()
    tail_at = max(0, size - _LONGEST_END)
    tail = ranges.fetch(tail_at, size - tail_at)
    found = tail.rfind(_END)
    if found < 0 or len(tail) < found + 22:
        raise FormatError(
            f"archive {ranges.path!r} of {size:,} bytes has no list of members at its end: it is cut short, or no zip "
            "file. Fetch it again"
        )
    disk, _, _, count, length, begin = struct.unpack_from("<4H2L", tail, found + 4)
    end = tail_at + found
    if 0xFFFF in (disk, count) or 0xFFFFFFFF in (length, begin):
        locator = tail[found - 20 : found] if found >= 20 else b""
        if locator[:4] == _LOCATOR:
            # the record lies right before its locator, but for rare extensions
            position = end - 20 - 56
            record = ranges.fetch(position, 56)
            if record[:4] != _END64:
                position = int.from_bytes(locator[8:16], "little")
                record = ranges.fetch(position, 56)
            if record[:4] != _END64 or len(record) < 56:
                raise _damaged(ranges, position, f"{record[:4]!r}; expected the end record of zip64")
            disk, _, _, count, length, begin = struct.unpack_from("<2L4Q", record, 16)
            end = position
    if disk:
        raise FormatError(f"archive {ranges.path!r} is part {disk + 1} of several; join them with zip -s 0")
    shift = end - length - begin
    if shift < 0:
        raise FormatError(
            f"archive {ranges.path!r} has its list of members at byte {end - length:,} where byte {begin:,} is stated: "
            f"{-shift:,} bytes are missing. Fetch it again"
        )
    if shift and count and ranges.fetch(begin, 4) == b"PK\1\2":
        raise _damaged(ranges, begin, f"a list of members that is not the {length:,} bytes long which its end states")
    return count, end - length, end, shift


def _damaged(ranges: Ranges, position: int, found: str) -> FormatError:
    return FormatError(f"archive {ranges.path!r} has at byte {position:,} {found}. Is it damaged? Fetch it again")


def read_zip_member(ranges: Ranges, member: Member) -> bytes:
    """The bytes of a member, unpacked, of the stated size and with the stated CRC-32.

    Raises:
        RecordError: `image:bad_member` if there is something else.
    """
    method, size, crc = member.packing.removeprefix(PACKING).split()
    begin = ranges.fetch(member.offset, _LOCAL.size + _EXTRA_AT_ONCE + member.length)
    if len(begin) < _LOCAL.size or begin[:4] != b"PK\3\4":
        raise bad_member(member, f"{begin[:4]!r}; expected a member's header")
    fields = _LOCAL.unpack_from(begin)
    head = _LOCAL.size + fields[9] + fields[10]
    data = begin[head : head + member.length]
    missing = member.length - len(data)
    if missing and head > _LOCAL.size + _EXTRA_AT_ONCE:
        data += ranges.fetch(member.offset + head + len(data), missing)
    if len(data) < member.length:
        raise bad_member(member, f"{len(data)} of {member.length} bytes: the archive is cut short")
    if method == "8":
        data = inflate(data, member, int(size))
    if len(data) != int(size) or zlib.crc32(data) != int(crc, 16):
        raise bad_member(member, f"{len(data)} bytes that do not match the stated CRC-32 of {size} bytes")
    return data


def inflate(data: bytes, member: Member, size: int = LARGEST_MEMBER) -> bytes:
    """Bytes packed by deflate.

    Raises:
        RecordError: `image:bad_member` if they are broken, not whole, or larger than stated.
    """
    unpacker = zlib.decompressobj(-zlib.MAX_WBITS)
    limit = min(size, LARGEST_MEMBER)
    try:
        found = unpacker.decompress(data, limit + 1)
    except zlib.error as error:
        raise bad_member(member, f"bytes that cannot be unpacked: {error}") from None
    if len(found) > limit:
        raise bad_member(member, f"more than {limit:,} bytes, unpacked")
    if not unpacker.eof and len(found) < limit:
        raise bad_member(member, "packed bytes without their end")
    return found


def bad_member(member: Member, found: str) -> RecordError:
    """What `read_member` says about bytes that are not what the list of members states."""
    return RecordError(
        "image:bad_member", "the archive does not hold what it states", found=f"at byte {member.offset:,} {found}"
    )
