"""Write a view: tables, label map and rejects under temporary names, the manifest last (rule R11).

A view is made of the rows of one dataset or view; of rows without records (`Rows.rows_only`) it is another such set,
whose tables are those of a dataset without shards. Everything that was there is written or rejected (rule R4):
`ViewWriter` counts both and refuses to end where they do not add up.
"""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet as pq

from pipelines.files import storage
from pipelines.plan import versions
from pipelines.row_plane.view import VIEW_ANNOTATIONS_SCHEMA, Rows, parse_origin, path_from, refuse_inputs_as_output
from schemas.arrow import ANNOTATIONS_SCHEMA, INDEX_SCHEMA
from schemas.errors import OutputError
from schemas.manifest import (
    MANIFEST_NAME,
    WORK_FOLDER,
    ClassEntry,
    Counts,
    Manifest,
    ShardEntry,
    SourceFile,
    manifest_from_json,
)

pc: Any = pyarrow.compute  # its functions are made as it is imported: no type checker knows them

LABELS_NAME = "labels.pbtxt"
REJECTS_NAME = "rejects.jsonl"
HEAD_NAME = "source.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewPlan:
    """What a view will be.

    Attributes:
        rows: what it is made of.
        out: the folder to make.
        split: its name, which begins the names of its files.
        options: what the command was told, by name.
        inputs: files beside the rows that decide the contents.
        same_truth: whether boxes are those of the dataset's annotation files, of the images that are left.
        classes, tree_digest: the label space.
        label_map: text of labels.pbtxt.
        also_owned: names of further files that the command writes into `out` before the view; without them it is not
            complete.
        may_hold: names of what else the command may leave there.
    """

    rows: Rows
    out: str
    split: str
    options: Mapping[str, Any]
    inputs: tuple[SourceFile, ...] = ()
    same_truth: bool = True
    classes: tuple[ClassEntry, ...]
    tree_digest: str
    label_map: str
    also_owned: tuple[str, ...] = ()
    may_hold: tuple[str, ...] = ()

    @property
    def source_files(self) -> tuple[SourceFile, ...]:
        """The annotation files of the dataset; with the rows themselves where those say more than the files."""
        files = self.rows.manifest.source_files
        return files if self.same_truth else (*files, self.rows.manifest_file)

    @property
    def told(self) -> dict[str, Any]:
        """The options as the manifest has them: all that the contents follow from."""
        found = {"tree": self.rows.tree, **self.options, "of": self.rows.described}
        return found | ({"inputs": {file.path: file.sha256 for file in self.inputs}} if self.inputs else {})


def finished(plan: ViewPlan, *, force: bool = False) -> Manifest | None:
    """The manifest of OUT if it holds this view already; None if it is to be written.

    Raises:
        ConfigError: if OUT is where the rows are read from.
        OutputError: if OUT holds something else, and `force` is not given.
    """
    refuse_inputs_as_output(plan.out, [plan.rows])
    names = claim(plan.out, force=force, owned=(*plan.also_owned, *plan.may_hold))
    if force or MANIFEST_NAME not in names:
        return None
    path = storage.join(plan.out, MANIFEST_NAME)
    found = manifest_from_json(storage.read_bytes(path).decode(errors="replace"), path)
    same = (
        found.is_view != plan.rows.rows_only
        and found.split == plan.split
        and storage.same_options(found.options, json.loads(json.dumps(plan.told)))
        and found.classes == plan.classes
        and found.tree_digest == plan.tree_digest
    )
    if not same:
        raise OutputError(
            f"{plan.out!r} holds a dataset that was made differently; choose another folder, or replace it with --force"
        )
    tables = (f"{plan.split}.index.parquet", f"{plan.split}.annotations.parquet")
    return found if {*tables, LABELS_NAME, REJECTS_NAME, *plan.also_owned} <= {*names} else None


def claim(out: str, *, force: bool, owned: Sequence[str] = ()) -> list[str]:
    """The names of the files in OUT, which may be ours to write; with `force` after those of a dataset are removed.

    Args:
        owned: names of further files and folders that may be there before there is a manifest, and go with `force`.

    Raises:
        OutputError: if OUT holds files that are no dataset's, or can be no folder.
    """
    from pipelines.assembling import clear, list_output

    folders, names = list_output(out)
    if force:
        clear(out)
        for name in (*folders, *names):
            if name in owned:
                storage.remove(storage.join(out, name))
        return []
    strange = [name for name in (*folders, *names) if name not in owned]
    if strange and MANIFEST_NAME not in names and WORK_FOLDER not in folders:
        raise OutputError(
            f"{out!r} holds files that are no dataset ({', '.join(strange[:3])}); give a new or empty folder, or "
            "--force to write beside them"
        )
    return names


@dataclass
class ViewWriter:
    """A view while it is written: a context that leaves OUT without a manifest if it fails."""

    plan: ViewPlan
    _open: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)
    _reasons: Counter[str] = field(default_factory=Counter)
    _kinds: Counter[str] = field(default_factory=Counter)
    _fixed: Counter[str] = field(default_factory=Counter)
    _written: int = 0
    _read: int = 0

    def __enter__(self) -> ViewWriter:
        plan = self.plan
        self._work = storage.join(plan.out, WORK_FOLDER)
        try:
            storage.remove(storage.join(plan.out, MANIFEST_NAME))
            storage.make_folder(self._work)
        except OSError as error:
            raise OutputError(f"cannot write to {plan.out!r}: {error.strerror or error}") from error
        self._schema = ANNOTATIONS_SCHEMA if plan.rows.rows_only else VIEW_ANNOTATIONS_SCHEMA
        path = storage.join(plan.out, f"{plan.split}.annotations.parquet")
        stream = self._open.enter_context(storage.writing(path, self._work))
        self._table = self._open.enter_context(pq.ParquetWriter(stream, self._schema))
        self._rejects = self._open.enter_context(storage.writing(storage.join(plan.out, REJECTS_NAME), self._work))
        self._moved = self._new_places()
        return self

    def __exit__(self, *error: Any) -> bool | None:
        return self._open.__exit__(*error)

    def read(self, annotations: int) -> None:
        """Count annotations that came in."""
        self._read += annotations

    def write(self, batch: pa.RecordBatch) -> None:
        """Annotations of VIEW_ANNOTATIONS_SCHEMA, `origin` as the rows that the view is made of call it."""
        if not batch.num_rows:
            return
        arrays = {name: batch[name] for name in self._schema.names}
        if "origin" in arrays:
            origins = batch["origin"].dictionary_encode()
            moved = [self._moved_origin(text) for text in origins.dictionary.to_pylist()]
            arrays["origin"] = pa.array(moved, pa.string()).take(origins.indices)
        self._table.write_batch(pa.RecordBatch.from_arrays(list(arrays.values()), schema=self._schema))
        self._written += batch.num_rows

    def fixed(self, reason: str, number: int) -> None:
        """Count what was written after a repair."""
        if number:
            self._fixed[reason] += number

    def reject(self, kind: str, record: str, reason: str, found: str, where: str, image_id: str) -> None:
        """One image, annotation or caption that the view leaves out."""
        line = {
            "source": self.plan.rows.manifest.source,
            "record": record,
            "kind": kind,
            "reason": reason,
            "found": found,
            "where": where,
            "image_id": image_id,
        }
        self._rejects.write(json.dumps(line, ensure_ascii=False).encode() + b"\n")
        self._reasons[reason] += 1
        self._kinds[kind] += 1

    def reject_annotations(self, batch: pa.RecordBatch, word: str, found: str) -> None:
        """Annotations that the view leaves out, for the reasons `box:WORD` and `label:WORD`.

        Args:
            found: what stood there; "{label}" in it is the annotation's class.
        """
        names = ("image_id", "kind", "number", "annotation_id", "label")
        columns = [batch[name].to_pylist() for name in names]
        for image_id, kind, number, annotation_id, label in zip(*columns, strict=True):
            record = annotation_id or f"{image_id}#{'label' if kind == 'label' else ''}{number + 1}"
            where = f"{self.plan.rows.path}, image {image_id}, {kind} {number + 1}"
            self.reject(kind, record, f"{kind}:{word}", found.replace("{label}", repr(label)), where, image_id)

    def reject_images(self, index: pa.Table, reason: str, found: Sequence[str]) -> None:
        """Images of the index that the view leaves out, with their captions; annotations are rejected apart.

        Args:
            found: for each image, what stood there.
        """
        ids, told = index["image_id"].to_pylist(), index["captions"].to_pylist()
        for image_id, captions, why in zip(ids, told, found, strict=True):
            where = f"{self.plan.rows.path}, image {image_id}"
            self.reject("image", image_id, reason, why, where, image_id)
            for number, (_, caption_id) in enumerate(json.loads(captions or "[]"), start=1):
                record = caption_id or f"{image_id}#caption{number}"
                self.reject("caption", record, "caption:image_rejected", reason, where, image_id)

    def finish(self, index: pa.Table, *, came_in: pa.Table | None = None) -> Manifest:
        """Write the rest and, last, the manifest.

        Args:
            index: of the images that stay, `shard` as the rows that the view is made of call it.
            came_in: of the images that came in; None for all of the rows that the view is made of.

        Raises:
            RuntimeError: if what came in is not what was written and rejected: a bug here.
        """
        plan = self.plan
        arrived = plan.rows.index if came_in is None else came_in
        self._open.close()
        shard = self._moved_shards(index)
        index = index.set_column(index.schema.get_field_index("shard"), INDEX_SCHEMA.field("shard"), shard)
        path = storage.join(plan.out, f"{plan.split}.index.parquet")
        with storage.writing(path, self._work) as stream, pq.ParquetWriter(stream, INDEX_SCHEMA) as writer:
            writer.write_table(index.cast(INDEX_SCHEMA))
        taken = Counter(shard.to_pylist())
        manifest = Manifest(
            source=plan.rows.manifest.source,
            split=plan.split,
            has_boxes=plan.rows.manifest.has_boxes,
            options=plan.told,
            versions=versions(),
            source_files=plan.source_files,
            counts=Counts(
                images_in=arrived.num_rows,
                images_written=index.num_rows,
                images_rejected=self._kinds["image"],
                annotations_in=self._read,
                annotations_written=self._written,
                annotations_rejected=self._kinds["box"] + self._kinds["label"],
                captions_in=count_captions(arrived),
                captions_written=count_captions(index),
                captions_rejected=self._kinds["caption"],
                rejected_by_reason=dict(sorted(self._reasons.items())),
                fixed_by_reason=dict(sorted(self._fixed.items())),
            ),
            shards=tuple(
                replace(entry, records=taken[entry.name])
                for entry in sorted(self._moved.values(), key=lambda entry: entry.name)
            ),
            classes=plan.classes,
            tree_digest=plan.tree_digest,
            wordnet=plan.rows.manifest.wordnet,
            base=tuple(path_from(plan.out, base) for base in plan.rows.bases()),
        )
        check_counts(manifest.counts)
        storage.write_bytes(storage.join(plan.out, LABELS_NAME), plan.label_map.encode(), self._work)
        head = storage.join(plan.rows.path, HEAD_NAME)
        if storage.exists(head):
            storage.write_bytes(storage.join(plan.out, HEAD_NAME), storage.read_bytes(head), self._work)
        storage.write_bytes(storage.join(plan.out, MANIFEST_NAME), manifest.to_json().encode(), self._work)
        storage.remove(self._work)
        return manifest

    def _new_places(self) -> dict[str, ShardEntry]:
        """By the name in the rows that the view is made of, each shard as the view calls it."""
        rows = self.plan.rows
        return {
            entry.name: replace(entry, name=path_from(self.plan.out, rows.shard_file(entry.name)), records=0)
            for entry in rows.manifest.shards
        }

    def _moved_shards(self, index: pa.Table) -> pa.ChunkedArray | pa.Array:
        """The column `shard` as the view calls the files."""
        if self.plan.rows.rows_only:
            return index["shard"]
        used = index["shard"].combine_chunks().dictionary_encode()
        names = used.dictionary.to_pylist()
        return pa.array([self._moved[name].name for name in names], pa.string()).take(used.indices)

    def _moved_origin(self, text: str) -> str:
        if not text:
            return ""
        origin = parse_origin(text)
        return origin._replace(shard=self._moved[origin.shard].name).text()


def count_captions(index: pa.Table) -> int:
    """How many sentences about images an index holds."""
    told = index["captions"].filter(pc.not_equal(index["captions"], ""))
    return sum(len(json.loads(text)) for text in told.to_pylist())


def check_counts(counts: Counts) -> None:
    """The law in = written + rejected.

    Raises:
        RuntimeError: if it does not hold: a bug.
    """
    if counts.images_in != counts.images_written + counts.images_rejected:
        raise RuntimeError(f"images do not add up: {counts}")
    if counts.annotations_in != counts.annotations_written + counts.annotations_rejected:
        raise RuntimeError(f"annotations do not add up: {counts}")
    if counts.captions_in != counts.captions_written + counts.captions_rejected:
        raise RuntimeError(f"captions do not add up: {counts}")
