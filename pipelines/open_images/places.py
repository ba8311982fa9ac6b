"""Where the images and masks of Open Images lie: folders and archives, in whatever layout they were downloaded.

    ROOT/<id>.jpg, ROOT/train_0/<id>.jpg, ROOT/train/train_0/<id>.jpg, ROOT/<any folder>/<id>.jpg
    ROOT/train_0.tar with train_0/<id>.jpg inside

Folders are looked into to a depth of two; their files are told as a stream, in no order. Names that are no image ids
are passed over.
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Callable, Iterator

from pipelines.files import storage
from pipelines.files.stated_names import read_name
from pipelines.rows import ImageRow

IMAGE_ENDINGS = (".jpg", ".jpeg", ".png")
DEEPEST = 2
FOLDER, ARCHIVE = "folder", "archive"

IsId = Callable[[str], object]


def image_places(root: str) -> list[tuple[str, str]]:
    """(kind, path below the root) of each folder and archive to look into; the root is the folder ""."""
    from pipelines.files.archives import is_archive

    found: list[tuple[str, str]] = []
    level = [""]
    for depth in range(DEEPEST + 1):
        found += [(FOLDER, folder) for folder in level]
        below: list[str] = []
        for folder in level:
            for name, is_folder in _entries(storage.join(root, folder) if folder else root):
                path = storage.join(folder, name) if folder else name
                if is_folder and not name.startswith("."):
                    below.append(path)
                elif not is_folder and is_archive(name):
                    found.append((ARCHIVE, path))
        level = sorted(below) if depth < DEEPEST else []
    return sorted(found)


def images_at(root: str, kind: str, place: str, is_id: IsId) -> Iterator[ImageRow]:
    """Where each image of a folder or archive lies; in no order, which joining does not need."""
    if kind == ARCHIVE:
        from pipelines.files.archives import members

        for name, member in members(storage.join(root, place)):
            image_id = _image_id(name, is_id)
            if image_id:
                base = posixpath.basename(name)
                yield ImageRow(image_id=image_id, uri=place, member=member, filename=base, has_boxes=False)
        return
    for name, is_folder in _entries(storage.join(root, place) if place else root):
        image_id = "" if is_folder else _image_id(name, is_id)
        if image_id:
            yield ImageRow(image_id=image_id, uri=f"{place}/{name}" if place else name, has_boxes=False)


def mask_uris(folder: str) -> Callable[[str], str]:
    """From MaskPath to the path below the folder of masks, "" for one that leads out of it.

    Masks are published as archives by the first digit of the image id; unpacked, each may have a folder of its own,
    whose name ends in that digit. Otherwise they lie side by side, or as MaskPath says.
    """
    folders = sorted(name for name, is_folder in _entries(folder) if is_folder and name[-1:] in "0123456789abcdef")
    by_digit = {name[-1]: name for name in reversed(folders) if name[:-1] == "" or name[-2] in "-_"}

    def uri(mask_path: str) -> str:
        if "/" in mask_path or "\\" in mask_path:
            readings = read_name(folder, mask_path)
            return mask_path if readings.inside or readings.by_folder else ""
        below = by_digit.get(mask_path[:1].lower(), "")
        return f"{below}/{mask_path}" if below else mask_path

    return uri


def stated_id(text: str, is_id: IsId, *, any_id: bool = False) -> str:
    """The image id that a cell states: an id, or the name or path of the image's file."""
    stem, ending = posixpath.splitext(text)
    if any_id:
        return stem if ending.lower() in IMAGE_ENDINGS else text
    name = posixpath.basename(text.replace("\\", "/"))
    return name if is_id(name) else _image_id(name, is_id) or text


def _image_id(name: str, is_id: IsId) -> str:
    stem, ending = posixpath.splitext(posixpath.basename(name))
    return stem if ending.lower() in IMAGE_ENDINGS and is_id(stem) else ""


def _entries(folder: str) -> Iterator[tuple[str, bool]]:
    """Name and whether it is a folder, of everything right below; local folders are not held in memory."""
    if storage.is_remote(folder):
        folders, names = storage.list_folder(folder)
        yield from ((name, True) for name in folders)
        yield from ((name, False) for name in names)
        return
    with os.scandir(folder) as entries:
        for entry in entries:
            try:
                is_folder = entry.is_dir()
            except OSError:
                is_folder = False
            yield entry.name, is_folder
