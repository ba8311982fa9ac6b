"""Images inside archives, read in place: nothing is unpacked, and nothing is fetched but headers and the images.

    .tar             headers are walked, bodies passed over (`pipelines.files.archives_tar`)
    .tar of .tars    the same inside each member, as ImageNet comes: a member of a member is a stretch of the file
    .zip             the list at its end is read (`pipelines.files.archives_zip`), stored and deflated members
    .tar.gz          refused: to reach a byte, all before it must be unpacked. Images do not shrink, so `gunzip` costs
                     little more than the time; an index of places to begin at would be 32 KiB for each few MB, and
                     every worker would need it

Works on every file system that can give a range of bytes. What an archive is, its first bytes say and not its name.
"""

from __future__ import annotations

from collections.abc import Iterator

from pipelines.files.archives_ranges import Ranges, opened_archive
from pipelines.files.archives_tar import BLOCK, REFUSED, is_tar_header, tar_members
from pipelines.files.archives_zip import LARGEST_MEMBER, PACKING, bad_member, inflate, read_zip_member, zip_members
from pipelines.files.parquet_images import PACKING as COLUMN
from pipelines.files.parquet_images import read_row
from pipelines.rows import Member
from schemas.errors import FormatError, RecordError
from wordtree.text_files import LFS_POINTER, what_it_is

ENDINGS = (".tar", ".zip")
COMPRESSED_ENDINGS = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")
DEEPEST = 4  # tars in tars
_COMPRESSED = {b"\x1f\x8b": "gunzip", b"BZh": "bunzip2", b"\xfd7zXZ\0": "unxz", b"\x28\xb5\x2f\xfd": "unzstd"}


def is_archive(path: str) -> bool:
    """Whether the name says that this is an archive; compressed ones are, to be refused by `members` with advice."""
    return path.lower().endswith((*ENDINGS, *COMPRESSED_ENDINGS))


def members(path: str, within: Member | None = None, *, nested: bool = True) -> Iterator[tuple[str, Member]]:
    """Name and place of every file in an archive, in the order in which they lie there; folders are passed over.

    Links, sparse, encrypted and strangely packed files are told too: `read_member` refuses each with its reason. A name
    may stand twice, and may hold `..`: it is the caller's to judge.

    Args:
        path: of a tar or zip, on any file system.
        within: a tar inside it; its own members are told alone.
        nested: whether members named *.tar are told by their own members, as `n01440764.tar/n01440764_18.JPEG`.

    Raises:
        InputError: if there is no such file.
        FormatError: if it is no archive, compressed as a whole, damaged or cut short; with the position.
    """
    with opened_archive(path) as ranges:
        if within is not None:
            yield from _tar(ranges, within.offset, within.offset + within.length, "", nested, 1)
            return
        begin = ranges.near(0, BLOCK)
        tool = next((tool for magic, tool in _COMPRESSED.items() if begin.startswith(magic)), "")
        if tool:
            raise FormatError(
                f"archive {path!r} is compressed as a whole, so its members cannot be reached by position; "
                f"uncompress it first: {tool} {path.rsplit('/', 1)[-1]}"
            )
        size = ranges.size()
        if begin.startswith(LFS_POINTER):
            raise FormatError(f"archive {path!r} is {what_it_is(begin)}")
        if is_tar_header(begin) or (not size and not path.lower().endswith(".zip")):
            yield from _tar(ranges, 0, size, "", nested, 1)
        elif begin[:2] == b"PK" or path.lower().endswith(".zip"):
            yield from zip_members(ranges)
        else:
            raise FormatError(
                f"archive {path!r} begins with {begin[:16]!r}; expected a tar or zip file. "
                "Is it damaged, or a page of an error instead of a download?"
            )


def _tar(ranges: Ranges, start: int, end: int, inside: str, nested: bool, depth: int) -> Iterator[tuple[str, Member]]:
    for name, member in tar_members(ranges, start, end, inside):
        if nested and depth < DEEPEST and name.lower().endswith(".tar") and not member.packing:
            inner = f"{inside}/{name}" if inside else name
            for below, place in _tar(ranges, member.offset, member.offset + member.length, inner, nested, depth + 1):
                yield f"{name}/{below}", place
        else:
            yield name, member


def read_member(path: str, member: Member) -> bytes:
    """The bytes of one member, in one request, or two where a zip's header is unusually long.

    Raises:
        RecordError: `image:missing` if there is no such archive, `image:unreadable` if it cannot be opened,
            `image:bad_member` if the bytes are not those that the archive states, or `image:refused_member` for what
            has no bytes to copy: links, sparse and encrypted files.
        StorageError: trouble of the file system itself.
    """
    if member.packing.startswith(COLUMN):
        return read_row(path, member.offset, member.packing.removeprefix(COLUMN))
    if member.packing.startswith(REFUSED):
        raise RecordError("image:refused_member", "cannot be read", found=member.packing.removeprefix(REFUSED))
    if member.length > LARGEST_MEMBER:
        raise bad_member(member, f"{member.length:,} bytes; no image has more than {LARGEST_MEMBER:,}")
    try:
        ranges = Ranges(path)
    except (FileNotFoundError, NotADirectoryError):
        raise RecordError("image:missing", "there is no such archive", found=path.rsplit("/", 1)[-1]) from None
    except (IsADirectoryError, PermissionError, ValueError) as error:
        raise RecordError("image:unreadable", "the archive cannot be read", found=type(error).__name__) from None
    with ranges:
        try:
            if member.packing.startswith(PACKING):
                return read_zip_member(ranges, member)
            data = ranges.fetch(member.offset, member.length)
        except FileNotFoundError:
            raise RecordError("image:missing", "there is no such archive", found=path.rsplit("/", 1)[-1]) from None
    if len(data) < member.length:
        raise bad_member(member, f"{len(data)} of {member.length} bytes: the archive is cut short")
    return inflate(data, member) if member.packing == "deflate" else data
