"""The files of one image: its pixels, and the masks and maps that belong to it.

Names come from datasets and are not trusted: unless the source may name any place, they must lead below its folder.
Names of other systems and full paths are understood where they can mean one file only (`pipelines.files.stated_names`).
What is wrong with one file costs this file alone; trouble of the file system itself is raised.
"""

from __future__ import annotations

from typing import NamedTuple

from pipelines.files import stated_names, storage
from pipelines.images.header import read_header
from pipelines.rows import ImageRow, Member
from pipelines.sources.base import DatasetSource
from schemas.errors import RecordError


class Fetched(NamedTuple):
    """A file's bytes, or the reason why there are none; and its name below the folder, which may be another than was
    stated."""

    uri: str
    data: bytes | RecordError


def read_image(source: DatasetSource, row: ImageRow) -> Fetched:
    """The bytes of an image."""
    if not row.uri:
        return Fetched("", RecordError("image:missing", "the annotation names no file; expected the name of one"))
    return _read(source, source.image_root, row.uri, row.member)


def read_assets(source: DatasetSource, row: ImageRow) -> dict[str, bytes | RecordError]:
    """The bytes of the image's masks and maps by their uri, or the reasons why there are none."""
    uris = {uri for _, uri in row.map_uris} | {box.mask_uri for box in row.boxes if box.mask_uri}
    return {uri: _png(_read(source, source.asset_root, uri, None).data) for uri in sorted(uris)}


def _png(data: bytes | RecordError) -> bytes | RecordError:
    """Masks and maps are PNGs; what is none is no mask."""
    if isinstance(data, RecordError):
        return data
    try:
        found = read_header(data).format
    except RecordError as error:
        return error
    return data if found == "png" else RecordError("image:unknown_format", "no PNG", found=found)


def _read(source: DatasetSource, root: str, uri: str, member: Member | None) -> Fetched:
    try:
        if member is not None:
            from pipelines.files import archives

            return Fetched(uri, archives.read_member(path_of(source, root, uri), member))
        if source.free_uris or not (_is_whole(uri) or ".." in uri.split("/")):
            try:
                return Fetched(uri, storage.read_item(path_of(source, root, uri)))
            except RecordError as error:
                if error.reason != "image:missing" or storage.is_remote(uri):
                    raise
        found = locate(root, uri)
        return Fetched(found, storage.read_item(storage.join(root, found)))
    except RecordError as error:
        return Fetched(uri, error)


def path_of(source: DatasetSource, root: str, uri: str) -> str:
    """Where a file lies whose name is taken as it stands."""
    return uri if not root or (source.free_uris and _is_whole(uri)) else storage.join(root, uri)


def locate(root: str, uri: str) -> str:
    """Name below the folder of the file that a stated name means, where none has the name as it stands.

    Raises:
        RecordError: see `stated_names.find`.
    """
    return stated_names.find(root, uri, lambda path: path != uri and storage.size_of(storage.join(root, path)) >= 0)


def _is_whole(uri: str) -> bool:
    return uri.startswith("/") or storage.is_remote(uri)
