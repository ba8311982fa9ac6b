"""A dataset directory, opened for random access: the manifest, the index, and the bytes of one record.

The index gives (shard, offset, length) of every record, so the joint stream can ask for record i of an epoch's order
and a resumed run reads on from any position. Every record's CRC is checked as it is read. A record costs one read by
its range; on local disks the shards stay open, the last `OPEN_SHARDS` of them. Several threads may read at a time.
"""

from __future__ import annotations

import json
import os
import posixpath
import re
import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import fsspec
import numpy as np
import pyarrow.parquet as pq
from fsspec.implementations.local import LocalFileSystem

from detector.training_row import TrainingRow, read_training_row
from schemas.coco import class_ids, id_text
from schemas.dataset_files import open_dataset_files, shard_path
from schemas.errors import FormatError, InputError, TreeError
from schemas.manifest import Manifest
from schemas.record import ImageRecord
from schemas.tfexample import decode_record
from schemas.tfrecord import unframe
from wordtree.tree import WordTree

OPEN_SHARDS = 256  # a process may often have 1,024 files open
_LISTS_OF_CLASSES = re.compile(r'"(neg|not_exhaustive)_category_ids":')


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
    _files: OrderedDict[str, int] = field(default_factory=OrderedDict, repr=False)
    _lock: Any = field(default_factory=threading.Lock, repr=False)

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

    @cached_property
    def source_ids(self) -> dict[str, int]:
        """What the COCO file that it was made from calls the classes: category id as text to class id."""
        if self.manifest.source != "coco":
            return {}
        fs, root = self._storage
        try:
            listed = json.loads(fs.cat_file(posixpath.join(root, "source.json")))["categories"]
            names = {id_text(entry["id"]): entry["name"] for entry in listed}
        except (OSError, ValueError, KeyError, TypeError):
            return {}
        labels = {entry.id: entry.label for entry in self.manifest.classes}
        ids = zip(names, class_ids(list(names)), strict=True)
        return {text: klass for text, klass in ids if labels.get(klass) == names[text]}

    @cached_property
    def is_federated(self) -> bool:
        """Whether only some classes were looked for in each image, as in LVIS: its images list such classes."""
        if self.manifest.source != "coco":
            return False
        lists = any(self._distinct("index", "not_exhaustive"))
        lists = lists or any(map(_LISTS_OF_CLASSES.search, self._distinct("index", "extra")))
        return lists or "lvis" in self._distinct("annotations", "source")

    def _distinct(self, kind: str, column: str) -> list[str]:
        """The values of a column of the index or the annotations; none where a dataset of version 1 lacks it."""
        fs, root = self._storage
        path = posixpath.join(root, f"{self.manifest.split}.{kind}.parquet")
        try:
            with fs.open(path, "rb") as file:
                table = pq.ParquetFile(file)
                return table.read([column])[column].unique().to_pylist() if column in table.schema_arrow.names else []
        except (OSError, ValueError) as error:
            raise FormatError(f"{path}: cannot be read ({error}); convert the dataset again") from error

    def read(self, row: int) -> bytes:
        """The serialised tf.train.Example in index row `row`.

        Raises:
            FormatError: if the record is damaged.
        """
        path = posixpath.join(self.path, self.shards[row])
        offset, length = int(self.offsets[row]), int(self.lengths[row])
        fs, root = self._storage
        try:
            if self.is_local:
                framed = self._pread(posixpath.join(root, self.shards[row]), offset, length)
            else:
                framed = fs.cat_file(posixpath.join(root, self.shards[row]), start=offset, end=offset + length)
        except OSError as error:
            raise InputError(f"{path}: the shard cannot be read ({error.strerror or error}); convert again") from error
        return unframe(framed, f"{path}, record {self.image_ids[row]!r}")

    def _pread(self, name: str, offset: int, length: int) -> bytes:
        """A range of a local file, which stays open."""
        with self._lock:
            file = self._files.pop(name, None)
            if file is None:
                if len(self._files) >= OPEN_SHARDS:
                    os.close(self._files.popitem(last=False)[1])
                file = os.open(name, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
            self._files[name] = file
            return os.pread(file, length, offset)

    def __del__(self) -> None:
        for file in self.__dict__.get("_files", {}).values():
            os.close(file)

    @cached_property
    def _storage(self) -> tuple[Any, str]:
        """The file system and the directory's name in it."""
        return fsspec.core.url_to_fs(self.path)

    @cached_property
    def is_local(self) -> bool:
        """Whether its files can be opened by the operating system."""
        return isinstance(self._storage[0], LocalFileSystem)

    def training_row(self, row: int) -> TrainingRow:
        """What training takes from the record in index row `row`.

        Raises:
            FormatError: if the record is damaged or has no image.
        """
        return read_training_row(self.read(row))

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
