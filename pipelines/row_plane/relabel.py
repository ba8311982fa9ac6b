"""New concepts, a new tree and new confidences for a finished dataset: rows are rewritten, pixels are not read.

A class keeps its id and the dataset's own string; its wnid, display name, relation and node are found anew. What
becomes of the annotations is what `wordtree convert` would have done with the new map: an annotation of a class that
the map or the tree does not know ends the run, or is rejected; an image that is only labelled and loses all its labels
is rejected as `image:no_label`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pyarrow as pa

from pipelines.labelling import LabelSpace, label_map_items, resolve_classes
from pipelines.row_plane.confidences import Confidences, read_confidences
from pipelines.row_plane.view import VIEW_ANNOTATIONS_SCHEMA, open_rows
from pipelines.row_plane.view_writer import ViewPlan, ViewWriter, finished
from pipelines.sources.base import DatasetClass
from schemas.arrow import INDEX_SCHEMA
from schemas.errors import LabelError
from schemas.label_map import write_label_map
from schemas.manifest import ClassEntry, Manifest


@dataclass(frozen=True, slots=True, kw_only=True)
class RelabelOptions:
    """What the user may choose; see `wordtree relabel --help`.

    Attributes:
        labels: a label map, "none" for classes without concepts, or "" to keep the concepts as they are.
        tree: path of a tree, or "" for no nodes.
        confidences: path of a table, or "".
    """

    labels: str = ""
    tree: str = ""
    confidences: str = ""
    on_unknown_class: Literal["error", "reject"] = "error"


@dataclass(frozen=True, slots=True)
class Relabelled:
    """The view's manifest, whether it was there already, and how many lines of --confidences met no statement."""

    manifest: Manifest
    was_complete: bool = False
    unused_lines: int = 0


def relabel(dataset: str, out: str, options: RelabelOptions, *, force: bool = False) -> Relabelled:
    """Write a view of a dataset with new concepts or confidences.

    Raises:
        InputError, FormatError: the dataset, or the table of confidences, cannot be read.
        LabelError: classes are unknown, see `pipelines.labelling.resolve_classes`.
        OutputError: OUT holds something else, and `force` is not given.
    """
    rows = open_rows(dataset)
    space = new_space(rows.manifest.classes, rows.manifest.source, options)
    confidences = read_confidences(options.confidences) if options.confidences else None
    plan = ViewPlan(
        rows=rows,
        out=out,
        split=rows.manifest.split,
        options={
            "command": "relabel",
            "labels": options.labels,
            "tree": options.tree,
            "confidences": options.confidences,
            "on_unknown_class": options.on_unknown_class,
        },
        inputs=(confidences.file,) if confidences else (),
        classes=tuple(space.classes.values()),
        tree_digest=space.tree_digest,
        label_map=write_label_map(label_map_items(space, options.tree)),
    )
    found = finished(plan, force=force)
    if found is not None:
        return Relabelled(found, was_complete=True)
    return _write(plan, space, confidences)


def new_space(classes: tuple[ClassEntry, ...], source: str, options: RelabelOptions) -> LabelSpace:
    """The classes with their new concepts and nodes, by their id as text.

    Raises:
        LabelError: see `pipelines.labelling.resolve_classes`.
    """
    if options.labels:
        return resolve_classes(
            [DatasetClass(key=str(entry.id), id=entry.id, label=entry.label) for entry in classes],
            options.labels,
            source=source,
            tree_path=options.tree,
            on_unknown=options.on_unknown_class,
        )
    kept = {str(entry.id): replace(entry, node=None) for entry in classes}
    if not options.tree:
        return LabelSpace(source, kept)
    from wordtree.files import read_tree

    tree = read_tree(options.tree)
    missing = [entry for entry in kept.values() if entry.wnid not in tree]
    if missing and (options.on_unknown_class == "error" or len(missing) == len(kept)):
        told = ", ".join(f"{entry.label!r} ({entry.wnid or 'no wnid'})" for entry in missing[:8])
        reject = ", or reject their annotations with --on-unknown-class reject" * (len(missing) < len(kept))
        raise LabelError(
            f"the tree {options.tree!r} has no node for {len(missing)} of {len(kept)} classes: {told}. Give another "
            f"map with --labels, or build the tree with these labels{reject}"
        )
    placed = {key: replace(entry, node=tree.index(entry.wnid)) for key, entry in kept.items() if entry.wnid in tree}
    return LabelSpace(source, placed, tuple(entry.label for entry in missing), tree.digest())


def _write(plan: ViewPlan, space: LabelSpace, confidences: Confidences | None) -> Relabelled:
    rows = plan.rows
    entries = sorted(space.classes.values(), key=lambda entry: entry.id)
    ids = np.array([entry.id for entry in entries], np.int64)
    wnids = pa.array([*(entry.wnid for entry in entries), ""], pa.string())
    had_label = np.zeros(rows.index.num_rows, bool)
    has_label = np.zeros(rows.index.num_rows, bool)
    used: set[int] = set()
    at = {name: VIEW_ANNOTATIONS_SCHEMA.get_field_index(name) for name in ("wnid", "confidence")}
    with ViewWriter(plan) as writer:
        for batch in rows.annotations():
            writer.read(batch.num_rows)
            class_ids = batch["class_id"].to_numpy(zero_copy_only=False)
            entry = np.minimum(np.searchsorted(ids, class_ids), max(len(ids) - 1, 0))
            known = ids[entry] == class_ids if len(ids) else np.zeros(len(class_ids), bool)
            positions = rows.positions(batch)
            labels = np.array(batch["kind"].to_numpy(zero_copy_only=False) == "label")
            had_label[positions[labels]] = True
            has_label[positions[labels & known]] = True
            columns = list(batch.columns)
            columns[at["wnid"]] = wnids.take(pa.array(np.where(known, entry, len(ids))))
            mask = pa.array(known)
            if confidences:
                kept = pa.RecordBatch.from_arrays(columns, schema=VIEW_ANNOTATIONS_SCHEMA).filter(mask)
                values, lines, cut = confidences.apply(kept)
                used.update(lines.tolist())
                columns = list(kept.columns)
                columns[at["confidence"]] = pa.array(values, pa.float32())
                writer.fixed("annotation:confidence_cut", cut)
                writer.write(pa.RecordBatch.from_arrays(columns, schema=VIEW_ANNOTATIONS_SCHEMA))
            else:
                writer.write(pa.RecordBatch.from_arrays(columns, schema=VIEW_ANNOTATIONS_SCHEMA).filter(mask))
            if not known.all():
                writer.reject_annotations(batch.filter(pa.array(~known)), "unknown_class", "class {label}")
        boxed = rows.index["has_boxes"].to_numpy()
        lost = had_label & ~has_label & ~boxed
        if lost.any():
            gone = rows.index.filter(pa.array(lost))
            writer.reject_images(gone, "image:no_label", ["none of its labels is kept"] * gone.num_rows)
        index = rows.index.filter(pa.array(~lost))
        manifest = writer.finish(_known_classes_only(index, set(ids.tolist())))
    return Relabelled(manifest, unused_lines=len(confidences.values) - len(used) if confidences else 0)


def _known_classes_only(index: pa.Table, ids: set[int]) -> pa.Table:
    """The index without classes that are gone in `not_exhaustive`."""
    column = index["not_exhaustive"].combine_chunks().dictionary_encode()
    told = [json.loads(text) if text else [] for text in column.dictionary.to_pylist()]
    kept = [[number for number in numbers if number in ids] for numbers in told]
    texts = pa.array([json.dumps(numbers) if numbers else "" for numbers in kept], pa.string())
    at = INDEX_SCHEMA.get_field_index("not_exhaustive")
    return index.set_column(at, INDEX_SCHEMA.field(at), texts.take(column.indices))
