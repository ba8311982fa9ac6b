"""The files of one image: its pixels, and the masks and maps that belong to it.

Names come from datasets and are not trusted: unless the source may name any place, they must stay below its folder.
What is wrong with one file costs this file alone; trouble of the file system itself is raised.
"""

from __future__ import annotations

from pipelines.files import storage
from pipelines.images.header import read_header
from pipelines.rows import ImageRow, Member
from pipelines.sources.base import DatasetSource
from schemas.errors import RecordError


def read_image(source: DatasetSource, row: ImageRow) -> bytes | RecordError:
    """The bytes of an image, or the reason why there are none."""
    if not row.uri:
        return RecordError("image:missing", "the annotation names no file")
    return _read(source, source.image_root, row.uri, row.member)


def read_assets(source: DatasetSource, row: ImageRow) -> dict[str, bytes | RecordError]:
    """The bytes of the image's masks and maps by their uri, or the reasons why there are none."""
    uris = {uri for _, uri in row.map_uris} | {box.mask_uri for box in row.boxes if box.mask_uri}
    return {uri: _png(_read(source, source.asset_root, uri, None)) for uri in sorted(uris)}


def _png(data: bytes | RecordError) -> bytes | RecordError:
    """Masks and maps are PNGs; what is none is no mask."""
    if isinstance(data, RecordError):
        return data
    try:
        found = read_header(data).format
    except RecordError as error:
        return error
    return data if found == "png" else RecordError("image:unknown_format", "no PNG", found=found)


def _read(source: DatasetSource, root: str, uri: str, member: Member | None) -> bytes | RecordError:
    elsewhere = uri.startswith("/") or storage.is_remote(uri)
    if source.free_uris and elsewhere:
        path = uri
    elif elsewhere or "\\" in uri or ".." in uri.split("/"):
        return RecordError("image:bad_path", "the name leads out of the image folder", found=repr(uri))
    else:
        path = storage.join(root, uri) if root else uri
    try:
        if member is None:
            return storage.read_item(path)
        from pipelines.files import archives

        return archives.read_member(path, member)
    except RecordError as error:
        return error
