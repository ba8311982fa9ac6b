"""Many small files: where they lie, and their contents in order; what is wrong with one comes in its place."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

from pipelines.files import storage
from schemas.errors import RecordError

NO_ANNOTATION = "image:no_annotation"
_OF_A_SYSTEM = "__MACOSX"


def files_below(folder: str) -> list[str]:
    """Sorted paths of all files below a folder, relative to it; hidden folders are passed over, links are followed."""
    found: list[str] = []
    seen: set[str] = set()
    waiting = [""]
    while waiting:
        below = waiting.pop()
        path = storage.join(folder, below) if below else folder
        real = path if storage.is_remote(path) else os.path.realpath(path)
        if real not in seen:  # a link may lead above itself
            seen.add(real)
            folders, names = storage.list_folder(path)
            found += (f"{below}/{name}" if below else name for name in names)
            waiting += (
                f"{below}/{name}" if below else name
                for name in reversed(folders)
                if not name.startswith(".") and name != _OF_A_SYSTEM
            )
    return sorted(found)


def read_files(paths: Iterable[str], folder: str) -> Iterator[bytes | RecordError]:
    """The contents of annotation files, a few fetched ahead where each takes a round trip.

    Args:
        paths: of the files.
        folder: in which they lie.

    Raises:
        StorageError: trouble of the file system itself.
    """

    def one(path: str) -> bytes | RecordError:
        try:
            return storage.read_item(path, NO_ANNOTATION)
        except RecordError as error:
            return error

    for _, found in storage.fetched_ahead(paths, one, remote=storage.is_remote(folder)):
        yield found
