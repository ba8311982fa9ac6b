"""The members of a tar file by their positions: headers are read, bodies are passed over.

    header     512 bytes: name, size (octal, or base 256 where the first bit is set), checksum, type, prefix of the name
    body       as stated, filled up to 512 bytes
    end        two blocks of zeros; an archive without them was cut short, perhaps between two members

Long names come in a member of their own before the one they belong to: GNU's type `L`, or a PAX header `x` with `path`
and `size`. Names are told as they stand, but for a `/` or `./` in front. Links and sparse files have no bytes that
could be copied: they are told as refused members, so that each becomes a reject with a reason.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from pipelines.files.archives_ranges import Ranges
from pipelines.rows import Member
from schemas.errors import FormatError

BLOCK = 512
END_MARK = 2 * BLOCK
REFUSED = "refused "
LONGEST_SIZE = 20  # digits of a size in a PAX header
LONGEST_NAME = 1 << 20  # bytes of a name or a PAX header
LOOKED_BEHIND_END = 20 * BLOCK  # writers fill up to 10,240 bytes
NO_SIZE = -2  # stated, and impossible; -1 is not stated
_LINKS = b"12"
_WITHOUT_BODY = b"123456"  # links, devices, folders
_PASSED_OVER = b"3456DV"  # devices, folders, labels of volumes
_HEADERS = b"xgXLK"


class _Header(NamedTuple):
    name: bytes
    size: int
    kind: bytes
    target: bytes
    extended: bool


class _Said(NamedTuple):
    """What PAX headers and GNU's long names say about the next member."""

    name: bytes = b""
    size: int = -1
    sparse: bool = False


def tar_members(ranges: Ranges, start: int, end: int, inside: str = "") -> Iterator[tuple[str, Member]]:
    """Name and place of every file in a tar that lies in [start, end) of a file.

    Args:
        ranges: the file.
        start, end: of the tar in it.
        inside: name of the tar in an outer archive, for errors.

    Raises:
        FormatError: where a header is damaged or the archive is cut short; with the position.
    """
    position, zeros = start, 0
    said = common = _Said()
    while True:
        block = ranges.near(position, BLOCK) if position + BLOCK <= end else b""
        if len(block) < BLOCK:
            _refuse_end(ranges, position, start, end, zeros, inside)
            return
        if not any(block):
            position += BLOCK
            zeros += 1
            if zeros == 2:
                _refuse_more(ranges, position, end, inside)
                return
            continue
        if zeros:
            raise _damaged(ranges, position - BLOCK, inside, "a block of zeros, and then another member")
        header = _parse(block)
        if header is None:
            raise _damaged(ranges, position, inside, f"{block[:16]!r}, which begins no header of a tar file")
        body = position + BLOCK
        while header.extended:  # old GNU sparse files: more of their map
            block = ranges.near(body, BLOCK)
            body += BLOCK
            header = header._replace(extended=len(block) == BLOCK and block[504] != 0)
        if said.size == NO_SIZE:
            raise _damaged(ranges, position, inside, "a member whose PAX header states no possible size")
        size = header.size if said.size < 0 or header.kind in _HEADERS else said.size
        if header.kind in _WITHOUT_BODY:
            size = 0
        if body + size > end:
            raise _cut(ranges, header.name, body + size, end, inside)
        position = body + -(-size // BLOCK) * BLOCK
        if header.kind in _HEADERS:
            if size > LONGEST_NAME:
                raise _damaged(ranges, body - BLOCK, inside, f"a header of {size} bytes")
            data = ranges.near(body, size)
            if header.kind == b"L":
                said = said._replace(name=data.rstrip(b"\0"))
            elif header.kind == b"g":
                said = common = _pax(data, common)
            elif header.kind != b"K":
                said = _pax(data, said)
            continue
        name = said.name or header.name
        sparse, said = said.sparse or header.kind == b"S", common
        if header.kind == b"M":
            raise _damaged(ranges, body - BLOCK, inside, "the rest of a file from another volume")
        if header.kind in _PASSED_OVER or (not size and name.endswith(b"/")):
            continue
        packing = ""
        if header.kind in _LINKS:
            packing = f"{REFUSED}a link to {header.target.decode('utf-8', 'backslashreplace')}"
        elif sparse:
            packing = f"{REFUSED}a sparse file; pack it again without --sparse"
        yield plain_name(name), Member(body, size, packing)


def is_tar_header(block: bytes) -> bool:
    """Whether a tar file begins like this: a header with the right sum, or an empty archive's zeros."""
    return len(block) == BLOCK and (not any(block) or _parse(block) is not None)


def plain_name(name: bytes) -> str:
    """A member's name: bytes that are no UTF-8 as Python's surrogates, without `/` or `./` in front."""
    text = name.decode("utf-8", "surrogateescape")
    while text.startswith(("/", "./")):
        text = text.lstrip("/").removeprefix("./")
    return text


def _parse(block: bytes) -> _Header | None:
    stated = _number(block[148:156])
    unsigned = sum(block) - sum(block[148:156]) + 8 * 32
    if stated != unsigned:
        signed = unsigned - 256 * sum(byte > 127 for byte in block[:148] + block[156:])  # some old writers
        if stated != signed:
            return None
    size = _number(block[124:136])
    if size is None or size < 0:
        return None
    kind = block[156:157].replace(b"\0", b"0")
    name = block[:100].partition(b"\0")[0]
    if block[257:263] == b"ustar\0":  # POSIX; GNU's `ustar ` has other things there
        prefix = block[345:500].partition(b"\0")[0]
        name = prefix + b"/" + name if prefix else name
    target = block[157:257].partition(b"\0")[0]
    return _Header(name, size, kind, target, kind == b"S" and block[482] != 0)


def _number(field: bytes) -> int | None:
    if field[0] & 0x80:  # GNU: base 256, negative where the second bit is set
        return int.from_bytes(bytes([field[0] & 0x7F]) + field[1:], "big") if field[0] == 0x80 else -1
    digits = field.partition(b"\0")[0].strip()
    try:
        return int(digits, 8) if digits else 0
    except ValueError:
        return None


def _pax(data: bytes, said: _Said) -> _Said:
    """`LENGTH KEY=VALUE\\n`, again and again."""
    while data:
        digits, space, _ = data.partition(b" ")
        if not (space and digits.isdigit() and len(digits) < 8 and int(digits) > len(digits) + 1):
            break
        key, _, value = data[len(digits) + 1 : int(digits) - 1].partition(b"=")
        data = data[int(digits) :]
        if key == b"path" and not said.sparse:
            said = said._replace(name=value)
        elif key == b"size" and value.isdigit():
            said = said._replace(size=int(value) if len(value) <= LONGEST_SIZE else NO_SIZE)
        elif key == b"GNU.sparse.name":
            said = said._replace(name=value, sparse=True)
        elif key.startswith(b"GNU.sparse."):
            said = said._replace(sparse=True)
    return said


def _place(ranges: Ranges, inside: str) -> str:
    return f"{inside!r} in archive {ranges.path!r}" if inside else f"archive {ranges.path!r}"


def _damaged(ranges: Ranges, position: int, inside: str, found: str) -> FormatError:
    return FormatError(
        f"{_place(ranges, inside)} has at byte {position:,} {found}; expected a header of a tar file. "
        "Is it damaged, or no tar file? Fetch it again"
    )


def _cut(ranges: Ranges, name: bytes, reach: int, end: int, inside: str) -> FormatError:
    return FormatError(
        f"{_place(ranges, inside)} ends at byte {end:,}, but its member {plain_name(name)!r} reaches to byte "
        f"{reach:,}: it is cut short. Fetch it again"
    )


def _refuse_end(ranges: Ranges, position: int, start: int, end: int, zeros: int, inside: str) -> None:
    """An end without its mark; a lone block of zeros will do, as for GNU tar."""
    if zeros:
        return
    what = "is empty" if start == end else f"ends at byte {end:,}"
    raise FormatError(
        f"{_place(ranges, inside)} {what} without the two blocks of zeros that end a tar file: is it cut short? "
        "Fetch it again, or if it is whole, append 1024 zero bytes"
    )


def _refuse_more(ranges: Ranges, position: int, end: int, inside: str) -> None:
    """Several archives in one file, of which only the first would be read."""
    for offset in range(position, min(end, position + LOOKED_BEHIND_END) - BLOCK + 1, BLOCK):
        block = ranges.near(offset, BLOCK)
        if any(block) and _parse(block) is not None:
            raise FormatError(
                f"{_place(ranges, inside)} ends at byte {position:,}, and another archive begins at byte {offset:,} of "
                "the same file; expected one. Split it, or unpack it with tar --ignore-zeros"
            )
