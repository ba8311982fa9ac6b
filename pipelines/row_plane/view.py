"""A dataset directory or a view, opened for its rows.

A *view* has rows and no shards (docs/decisions/0011-views.md). Its tables are those of a dataset, with two differences:

    index        `shard` is the path of a file in another dataset directory, from the view's folder
    annotations  `origin` names the record that a row was drawn in, where it is not the image's own (`Origin`);
                 `number` counts the boxes or labels of that record

Law of both tables, for datasets and views: the annotations of an image stand side by side, boxes first, in the order of
the record; images in both in the same order.
"""

from __future__ import annotations

import hashlib
import os
import posixpath
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet as pq

from pipelines.files import storage
from schemas.arrow import ANNOTATIONS_SCHEMA, INDEX_SCHEMA
from schemas.dataset_files import shard_path
from schemas.errors import ConfigError, FormatError, InputError
from schemas.manifest import MANIFEST_NAME, Manifest, SourceFile
from schemas.table_checks import open_checked

pc: Any = pyarrow.compute  # its functions are made as it is imported: no type checker knows them

VIEW_ANNOTATIONS_SCHEMA = ANNOTATIONS_SCHEMA.append(
    pa.field("origin", pa.string(), nullable=False, metadata={"values": "SHARD@OFFSET+LENGTH of a record, or empty"})
)
ROWS_AT_ONCE = 65_536


class Origin(NamedTuple):
    """A record by its place: path of the shard as in the view's index, bytes from its start, bytes with framing."""

    shard: str
    offset: int
    length: int

    def text(self) -> str:
        """As the column `origin` holds it."""
        return f"{self.shard}@{self.offset}+{self.length}"


def parse_origin(text: str) -> Origin:
    """The place that a text of `Origin.text` names.

    Raises:
        FormatError: if it is none.
    """
    shard, _, place = text.rpartition("@")
    offset, _, length = place.partition("+")
    if not shard or not offset.isdigit() or not length.isdigit():
        raise FormatError(f"origin {text[:80]!r} is no place of a record; expected SHARD@OFFSET+LENGTH")
    return Origin(shard, int(offset), int(length))


@dataclass(frozen=True)
class Rows:
    """The rows of a finished dataset directory or view.

    Attributes:
        path: the directory as the user named it.
        manifest: what it holds.
        manifest_file: the manifest itself as a source file, for what is made of these rows.
    """

    path: str
    manifest: Manifest
    manifest_file: SourceFile

    def __reduce__(self) -> tuple[Any, ...]:
        return Rows, (self.path, self.manifest, self.manifest_file)  # without tables that were read

    @cached_property
    def index(self) -> pa.Table:
        """The index, `shard` as it is stored.

        Raises:
            FormatError: if it cannot be read, or does not hold the rows that the manifest counts.
        """
        path = storage.join(self.path, f"{self.manifest.split}.index.parquet")
        try:
            with storage.opened(path) as stream:
                table = pq.read_table(stream)
        except (OSError, pa.ArrowException) as error:
            raise FormatError(f"{path}: cannot be read ({error}); make the dataset again") from error
        table = pa.table(_columns(table, INDEX_SCHEMA, path), schema=INDEX_SCHEMA)
        if table.num_rows != self.manifest.counts.images_written:
            raise FormatError(
                f"{path}: {table.num_rows} rows, but the manifest counts {self.manifest.counts.images_written}; "
                "make the dataset again"
            )
        return table

    @cached_property
    def image_ids(self) -> pa.Array:
        """The image ids in the order of the index."""
        return _one_array(self.index["image_id"])

    def annotations(self) -> Iterator[pa.RecordBatch]:
        """The annotations in batches of VIEW_ANNOTATIONS_SCHEMA.

        Raises:
            FormatError: if they cannot be read.
        """
        path = storage.join(self.path, f"{self.manifest.split}.annotations.parquet")
        try:
            with storage.opened(path) as stream:
                for batch in pq.ParquetFile(stream).iter_batches(ROWS_AT_ONCE):
                    if "origin" not in batch.schema.names:
                        empty = pa.repeat(pa.scalar("", pa.string()), batch.num_rows)
                        batch = batch.append_column("origin", empty)
                    columns = _columns(batch, VIEW_ANNOTATIONS_SCHEMA, path)
                    yield pa.RecordBatch.from_arrays(columns, schema=VIEW_ANNOTATIONS_SCHEMA)
        except (OSError, pa.ArrowException) as error:
            raise FormatError(f"{path}: cannot be read ({error}); make the dataset again") from error

    def positions(self, batch: pa.RecordBatch) -> Any:
        """The row in the index of each annotation, as a numpy array.

        Raises:
            FormatError: if the index does not know an image.
        """
        found = pc.index_in(batch["image_id"], value_set=self.image_ids)
        if found.null_count:
            unknown = batch["image_id"].filter(pc.is_null(found))[0].as_py()
            raise FormatError(
                f"{self.path}: the annotations name image {unknown!r}, which the index does not; make the dataset again"
            )
        return found.to_numpy(zero_copy_only=False)

    @property
    def tree(self) -> str:
        """Path of the tree that the nodes belong to, as it was given; "" for none."""
        return str(self.manifest.options.get("tree") or "")

    @property
    def described(self) -> dict[str, Any]:
        """These rows, for the manifest of what is made of them."""
        return {"path": self.path, "manifest_sha256": self.manifest_file.sha256, "options": self.manifest.options}

    @property
    def rows_only(self) -> bool:
        """Whether there are no records anywhere, as `wordtree convert labels --rows-only` leaves it, and what is made
        of that."""
        return not self.manifest.shards and not self.manifest.is_view

    def bases(self) -> tuple[str, ...]:
        """The directories that hold the records, as paths from here."""
        if self.rows_only:
            return ()
        if not self.manifest.is_view:
            return (self.path,)
        return tuple(_resolved(self.path, base) for base in self.manifest.base)

    def shard_file(self, shard: str) -> str:
        """Path of the file that the index calls `shard`."""
        return _resolved(self.path, shard)

    def check_records(self) -> None:
        """See that there are records.

        Raises:
            InputError: if there are rows only.
        """
        if self.rows_only:
            raise InputError(
                f"{self.path} holds rows and no pixels (`wordtree convert labels --rows-only`); convert it without "
                "that option"
            )

    def check_shards(self) -> None:
        """See that the files which hold the records are there and have not changed, as far as sizes tell.

        Raises:
            InputError: naming the first that is missing or has another size, or saying that there are none.
        """
        self.check_records()
        for entry in self.manifest.shards:
            path = self.shard_file(entry.name)
            size = storage.size_of(path)
            if size != entry.bytes:
                found = "is missing" if size < 0 else f"has {size} bytes, not {entry.bytes}"
                advice = "make the view again" if self.manifest.is_view else "convert it again"
                raise InputError(f"{self.path}: {path} {found}; its dataset was changed or moved; {advice}")


def open_rows(path: str) -> Rows:
    """Open a finished dataset directory or view.

    Raises:
        InputError: it is missing, or has no manifest, which means that it is not complete.
        FormatError: the manifest is damaged, or the tables do not hold what it says, see `schemas.table_checks`.
    """
    files = open_checked(path, every_column=True)
    name = storage.join(files.path, MANIFEST_NAME)
    data = storage.read_bytes(name)
    return Rows(
        files.path, files.manifest, SourceFile(path=name, bytes=len(data), sha256=hashlib.sha256(data).hexdigest())
    )


def path_from(folder: str, path: str) -> str:
    """How files in `folder` name a path: relative where both are on this machine, else absolute or a URL."""
    if storage.is_remote(path):
        return path
    if storage.is_remote(folder):
        return os.path.realpath(path)
    return os.path.relpath(os.path.realpath(path), os.path.realpath(folder)).replace(os.sep, "/")


def refuse_inputs_as_output(out: str, rows: Iterable[Rows]) -> None:
    """See that OUT is none of the directories that are read: --force would remove them.

    Raises:
        ConfigError: if it is.
    """
    for found in rows:
        for path in (found.path, *found.bases()):
            if _resolved("", out.rstrip("/") or "/") == _resolved("", path):
                raise ConfigError(f"OUT is {out!r}, where {found.path!r} is read from; give another folder")


def _resolved(folder: str, name: str) -> str:
    path = shard_path(folder, name)
    return path if storage.is_remote(path) else posixpath.normpath(os.path.realpath(path))


def _columns(table: pa.Table | pa.RecordBatch, schema: pa.Schema, path: str) -> list[Any]:
    missing = [name for name in schema.names if name not in table.schema.names]
    if missing:
        raise FormatError(
            f"{path}: it has no column {missing[0]!r}; it was written by an older version, convert the dataset again"
        )
    return [table.column(name).cast(schema.field(name).type) for name in schema.names]


def _one_array(column: pa.ChunkedArray) -> pa.Array:
    found = column.combine_chunks()
    return found if isinstance(found, pa.Array) else pa.chunked_array(found).chunk(0)
