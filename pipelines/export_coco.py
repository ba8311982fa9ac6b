"""A dataset directory as COCO JSON, from its tables alone: no pixel is read.

A dataset made from COCO gives its source's fields back: images and annotations keep them in columns and in `extra`, and
source.json holds the rest (`pipelines.coco.boxes`, `pipelines.coco.reading`). The exact numbers of a box hold as long
as the written box is theirs. Where the conversion changed more than the edge (the image was turned, or its boxes were
scaled), the file says what was written, and the export counts it.

Other datasets give a COCO file of their own: ids are numbered where they are no whole numbers, boxes are pixels of the
stored image, and what COCO has no field for stands in `attributes`.

Images and annotations stand in the dataset's order. Memory does not grow with the dataset.
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.coco.entries import MADE_FROM, OTHER_FILES
from pipelines.coco.export_entries import (
    BoxMaker,
    CocoBoxMaker,
    caption_entries,
    image_entry,
    panoptic_entry,
)
from pipelines.coco.export_head import Categories, Fields, main_file, other_heads, read_source_head
from pipelines.files import storage
from schemas.arrow import ANNOTATIONS_SCHEMA, INDEX_SCHEMA
from schemas.coco import are_numbered, usual_id
from schemas.dataset_files import DatasetFiles, shard_path
from schemas.errors import ConfigError, FormatError, InputError, OutputError
from schemas.table_checks import open_checked

ROWS_AT_ONCE = 4096
_LABEL_COLUMNS = ("image_id", "kind", "class_id", "presence", "verified", "confidence", "source")
_encode = msgspec.json.Encoder().encode
Row = dict[str, Any]


@dataclass(slots=True)
class Exported:
    """What became of the dataset.

    Attributes:
        files: paths that were written.
        images, annotations, captions: entries that were written.
        left_out: captions that the files have no place for.
        changed: annotations of a dataset made from COCO whose numbers are those of the written box, since the
            conversion changed it.
        sizes: images whose size is that of the file, since the source states another or none.
        masks: boxes with a mask as a picture, which the file does not hold.
    """

    files: list[str] = field(default_factory=list)
    images: int = 0
    annotations: int = 0
    captions: int = 0
    left_out: int = 0
    changed: int = 0
    sizes: int = 0
    masks: int = 0


def export_coco(dataset: str, out: str, *, captions: str = "", prefix: str = "", force: bool = False) -> Exported:
    """Write a dataset as COCO JSON.

    Args:
        dataset: a dataset directory or a view.
        out: the file to write: instances, or panoptic where the dataset was made from a panoptic file, or captions
            where it was made from a captions file alone.
        captions: a second file for captions.
        prefix: put before every file name, "" for none.
        force: whether files may be replaced.

    Raises:
        InputError, FormatError: the dataset is not there, not complete, or damaged.
        OutputError: a file exists, cannot be written, or lies in the dataset itself.
    """
    tables = _Tables(open_checked(dataset, every_column=True))
    from_coco = tables.files.manifest.source == "coco"
    head = read_source_head(dataset) if from_coco else {}
    main = main_file(head)
    if captions and main == "captions":
        raise ConfigError("--captions: the dataset was made from captions alone; --out is already their file")
    if captions and _true_path(captions) == _true_path(out):
        raise ConfigError(f"--out and --captions both name {out!r}; give two files")
    for path in filter(None, (out, captions)):
        _check_outside(path, tables.files)
        if storage.exists(path) and not force:
            raise OutputError(f"{path!r} exists; give another name, or --force to replace it")
    categories = Categories(tables.files.manifest.classes, head)
    top = {name: value for name, value in head.items() if name not in (MADE_FROM, OTHER_FILES)}
    done = Exported()
    ids = _Ids(tables, from_coco)
    if main == "captions":
        _write(out, top, None, _images(tables, ids, categories, prefix, done), _captions(tables, ids, done))
        done.files.append(out)
        return done
    annotations = (
        _panoptic(tables, categories, done) if main == "panoptic" else _boxes(tables, ids, categories, from_coco, done)
    )
    _write(out, top, categories.entries, _images(tables, ids, categories, prefix, done), annotations)
    done.files.append(out)
    if captions:
        again = Exported()
        top = _caption_head(head)
        _write(captions, top, None, _images(tables, ids, categories, prefix, again), _captions(tables, ids, done))
        done.files.append(captions)
    else:
        done.left_out = sum(1 for row in tables.index(("image_id", "captions")) for _ in caption_entries(row))
    return done


def _check_outside(path: str, files: DatasetFiles) -> None:
    """Refuse to write into the dataset, or into those that a view refers to.

    Raises:
        OutputError: if the path lies there.
    """
    for folder in (files.path, *(shard_path(files.path, base) for base in files.manifest.base)):
        if f"{_true_path(path)}/".startswith(_true_path(folder).rstrip("/") + "/"):
            raise OutputError(f"{path!r} lies in the dataset {folder!r} itself; give a name outside of it")


def _true_path(path: str) -> str:
    """The path without links and detours, so that two paths of one file are equal."""
    path = path.removeprefix("file://").removeprefix("local://")
    scheme, sign, rest = path.rpartition("://")
    return f"{scheme}://{posixpath.normpath('/' + rest)[1:].lstrip('/')}" if sign else os.path.realpath(path)


def _check_nulls(batch: pa.RecordBatch, schema: pa.Schema, path: str) -> None:
    for name in batch.schema.names:
        if not schema.field(name).nullable and batch.column(name).null_count:
            raise FormatError(f"{path}: column {name!r} has rows without a value; convert the dataset again")


class _Tables:
    """The rows of both tables, image by image."""

    def __init__(self, files: DatasetFiles) -> None:
        self.files = files

    def _rows(self, kind: str, schema: pa.Schema, columns: Iterable[str]) -> Iterator[Row]:
        path = storage.join(self.files.path, f"{self.files.manifest.split}.{kind}.parquet")
        try:
            with storage.opened(path) as stream:
                for batch in pq.ParquetFile(stream).iter_batches(ROWS_AT_ONCE, columns=list(columns)):
                    _check_nulls(batch, schema, path)
                    yield from batch.to_pylist()
        except FileNotFoundError:
            raise InputError(f"{path} is missing; convert the dataset again") from None
        except (OSError, ValueError, pa.ArrowException) as error:
            raise FormatError(f"{path} cannot be read ({error}); convert the dataset again") from error

    def index(self, columns: Iterable[str]) -> Iterator[Row]:
        """Rows of images."""
        return self._rows("index", INDEX_SCHEMA, columns)

    def annotations(self, columns: Iterable[str] | None = None) -> Iterator[Row]:
        """Rows of boxes and labels."""
        return self._rows("annotations", ANNOTATIONS_SCHEMA, columns or ANNOTATIONS_SCHEMA.names)

    def joined(self, columns: Iterable[str], said: Iterable[str] | None = None) -> Iterator[tuple[Row, list[Row]]]:
        """Images with their annotations.

        Law: both tables name images in the same order, and the annotations of an image stand side by side.
        """
        rows = self.annotations(said)
        waiting = next(rows, None)
        for image in self.index(("image_id", *columns)):
            found: list[Row] = []
            while waiting is not None and waiting["image_id"] == image["image_id"]:
                found.append(waiting)
                waiting = next(rows, None)
            yield image, found
        if waiting is not None:
            raise FormatError(
                f"{self.files.path}: annotations of image {waiting['image_id']!r} stand where the index does not name "
                "it; the tables do not belong together. Convert the dataset again"
            )


class _Ids:
    """The images' ids in the file: as they are, or their numbers from 1 where ids of other formats are no numbers."""

    def __init__(self, tables: _Tables, from_coco: bool) -> None:
        texts = (row["image_id"] for row in tables.index(("image_id",)))
        self.numbered = are_numbered(texts, from_coco=from_coco)

    def of(self, image_id: str, place: int) -> int | str:
        """The id of the image that stands in this place of the index, from 1."""
        return place if self.numbered else usual_id(image_id)


def _images(tables: _Tables, ids: _Ids, categories: Categories, prefix: str, done: Exported) -> Iterator[Fields]:
    from_coco = tables.files.manifest.source == "coco"
    columns = ("width", "height", "uri", "not_exhaustive", "extra")
    for place, (row, said) in enumerate(tables.joined(columns, _LABEL_COLUMNS), start=1):
        labels = [one for one in said if one["kind"] == "label"]
        entry, own_size = image_entry(row, labels, categories, from_coco=from_coco, prefix=prefix)
        if ids.numbered:
            entry |= {"id": place, "source_id": row["image_id"]}
        done.images += 1
        done.sizes += own_size
        yield entry


def _boxes(tables: _Tables, ids: _Ids, categories: Categories, from_coco: bool, done: Exported) -> Iterator[Fields]:
    """One entry a box."""
    make = CocoBoxMaker(categories) if from_coco else BoxMaker(categories)
    number = 0
    if from_coco and any(not r["annotation_id"] for r in tables.annotations(("annotation_id", "kind")) if _is_box(r)):
        texts = (usual_id(row["annotation_id"]) for row in tables.annotations(("annotation_id",)))
        number = max((text for text in texts if isinstance(text, int)), default=0)
    for place, (image, said) in enumerate(tables.joined(("width", "height")), start=1):
        image_id = ids.of(image["image_id"], place)
        for row in filter(_is_box, said):
            if not from_coco or not row["annotation_id"]:
                number += 1
            entry, changed = make(row, image, image_id, number)
            done.annotations += 1
            done.changed += changed
            done.masks += bool(row["has_mask"]) and not row["segmentation"]
            yield entry


def _is_box(row: Row) -> bool:
    """Whether a row is a box.

    Raises:
        FormatError: if it is one without sides.
    """
    if row["kind"] != "box":
        return False
    if None in (row.get("ymin", 0), row.get("xmin", 0), row.get("ymax", 0), row.get("xmax", 0)):
        raise FormatError(f"image {row['image_id']!r}: a box of the tables has no corners; convert the dataset again")
    return True


def _panoptic(tables: _Tables, categories: Categories, done: Exported) -> Iterator[Fields]:
    """One entry an image, with its segments."""
    make = CocoBoxMaker(categories, panoptic=True)
    for image, said in tables.joined(("width", "height", "uri")):
        pairs = [make(row, image, usual_id(image["image_id"]), 0) for row in filter(_is_box, said)]
        done.annotations += len(pairs)
        done.changed += sum(changed for _, changed in pairs)
        yield panoptic_entry(image, [entry for entry, _ in pairs], categories)


def _captions(tables: _Tables, ids: _Ids, done: Exported) -> Iterator[Fields]:
    """One entry a sentence."""
    for place, row in enumerate(tables.index(("image_id", "captions")), start=1):
        image_id = ids.of(row["image_id"], place)
        for text, caption_id in caption_entries(row):
            done.captions += 1
            yield {"image_id": image_id, "id": usual_id(caption_id) if caption_id else done.captions, "caption": text}


def _caption_head(head: Mapping[str, msgspec.Raw]) -> Mapping[str, msgspec.Raw]:
    """What the captions file had beside images and captions; else what the main file says of licenses and so on."""
    others = other_heads(head)
    if "captions" in others:
        return others["captions"]
    return {name: value for name, value in head.items() if name in ("info", "licenses")}


def _write(
    path: str,
    head: Mapping[str, Any],
    categories: list[Any] | None,
    images: Iterable[Fields],
    annotations: Iterable[Fields],
) -> None:
    """One JSON object: the head, images, annotations, and last the classes where they are not the head's own."""
    folder = path.rpartition("/")[0] or "."
    storage.make_folder(folder)
    with storage.writing(path, folder) as stream:
        stream.write(b"{")
        for name, value in head.items():
            if name != "categories" or categories is None:
                stream.write(_encode(name) + b":" + _encode(value) + b",\n")
        _write_list(stream, "images", images)
        stream.write(b",\n")
        _write_list(stream, "annotations", annotations)
        if categories is not None:
            stream.write(b',\n"categories":' + _encode(categories))
        stream.write(b"}\n")


def _write_list(stream: BinaryIO, name: str, entries: Iterable[Fields]) -> None:
    stream.write(_encode(name) + b":[")
    for number, entry in enumerate(entries):
        stream.write((b",\n" if number else b"\n") + _encode(entry))
    stream.write(b"]")
