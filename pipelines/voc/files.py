"""Many small files, in order; what is wrong with one comes in its place."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pipelines.files import storage
from schemas.errors import RecordError

NO_ANNOTATION = "image:no_annotation"


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
