"""A dataset directory, opened for random access: the manifest, the index, and the bytes of one record.

The index gives (shard, offset, length) of every record, so the joint stream can ask for record i of an epoch's order
and a resumed run reads on from any position. Every record's CRC is checked as it is read.
"""

from __future__ import annotations

import os
import posixpath
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import fsspec
import numpy as np
import pyarrow.parquet as pq

from schemas.dataset_files import open_dataset_files, shard_path
from schemas.errors import FormatError, InputError, TreeError
from schemas.manifest import Manifest
from schemas.record import ImageRecord
from schemas.tfexample import decode_record
from schemas.tfrecord import unframe
from wordtree.tree import WordTree


@dataclass
class Dataset:
    """One split on disk.

    Attributes:
        path: the directory.
        manifest: what it holds.
        image_ids, shards, offsets, lengths: the index, row by row.
    """

    path: str
    manifest: Manifest
    image_ids: list[str]
    shards: list[str]
    offsets: np.ndarray
    lengths: np.ndarray
    _files: dict[str, Any] = field(default_factory=dict, repr=False)

    def __len__(self) -> int:
        return len(self.image_ids)

    @property
    def has_boxes(self) -> bool:
        """Whether it is a detection set."""
        return self.manifest.has_boxes

    @cached_property
    def wnids(self) -> dict[int, str]:
        """Class id to wnid."""
        return {entry.id: entry.wnid for entry in self.manifest.classes}

    def read(self, row: int) -> bytes:
        """The serialised tf.train.Example in index row `row`.

        Raises:
            FormatError: if the record is damaged.
        """
        shard = self.shards[row]
        file = self._files.get(shard)
        if file is None:
            file = self._files[shard] = _open_shard(posixpath.join(self.path, shard))
        file.seek(int(self.offsets[row]))
        where = f"{posixpath.join(self.path, shard)}, record {self.image_ids[row]!r}"
        return unframe(file.read(int(self.lengths[row])), where)

    def record(self, row: int) -> ImageRecord:
        """The decoded record in index row `row`."""
        return decode_record(self.read(row))

    def nodes(self, tree: WordTree) -> dict[int, int]:
        """Class id to tree node.

        Raises:
            TreeError: if the dataset was converted for another tree, or a class has no node in this one.
        """
        digest = self.manifest.tree_digest
        if digest and digest != tree.digest():
            raise TreeError(
                f"{self.path} was converted for the tree {digest[:12]}, but this tree is {tree.digest()[:12]}; "
                "give the tree it was converted with, or convert it again with --tree"
            )
        missing = [entry.label for entry in self.manifest.classes if entry.wnid not in tree]
        if missing:
            shown = ", ".join(repr(label) for label in missing[:5])
            raise TreeError(
                f"{self.path}: {len(missing)} of its {len(self.manifest.classes)} classes are not in the tree "
                f"({shown}); build the tree with this dataset's labels"
            )
        return {entry.id: tree.index(entry.wnid) for entry in self.manifest.classes}


def open_dataset(path: str) -> Dataset:
    """Open a dataset directory written by `wordtree convert`.

    Raises:
        InputError: if it is missing, or has no manifest, which means that it is not complete.
        FormatError: if the manifest or index is damaged, or they disagree.
    """
    files = open_dataset_files(path)
    path, manifest = files.path, files.manifest
    if manifest.is_view:
        bases = ", ".join(_from_here(path, base) for base in manifest.base)
        raise InputError(
            f"{path} is a view: its records lie in {bases} and do not hold its changes yet; make "
            f"shards of it with `wordtree assemble {path} OUT`"
        )
    if not manifest.shards:
        raise InputError(
            f"{path} holds rows and no pixels (`wordtree convert labels --rows-only`); convert it without that option"
        )
    fs, root = fsspec.core.url_to_fs(path)
    index_path = posixpath.join(root, f"{manifest.split}.index.parquet")
    try:
        with fs.open(index_path, "rb") as file:
            table = pq.read_table(file)
    except (OSError, ValueError) as error:
        raise FormatError(f"{index_path}: cannot be read ({error}); convert the dataset again") from error
    expected = sum(shard.records for shard in manifest.shards)
    if table.num_rows != expected:
        raise FormatError(f"{index_path}: {table.num_rows} rows, but the manifest counts {expected}; convert again")
    return Dataset(
        path=path,
        manifest=manifest,
        image_ids=table["image_id"].to_pylist(),
        shards=table["shard"].to_pylist(),
        offsets=table["offset"].to_numpy(),
        lengths=table["length"].to_numpy(),
    )


def _from_here(path: str, base: str) -> str:
    """A directory that a view names, which is a path from the view's, as one from the working directory or a URL."""
    found = shard_path(path, base)
    return found if "://" in found else os.path.relpath(os.path.realpath(found))


def _open_shard(path: str) -> Any:
    """A file that can be read at any offset and stays open."""
    fs, name = fsspec.core.url_to_fs(path)
    try:
        return fs.open(name, "rb", cache_type="none")  # each record by its own range; s3fs would read 50 MiB ahead
    except OSError as error:
        raise InputError(f"{path}: the shard cannot be read ({error.strerror or error}); convert again") from error
