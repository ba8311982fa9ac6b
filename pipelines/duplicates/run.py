"""`wordtree duplicates`: hash, find, decide, report, and write what is left as views."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Literal

from pipelines.duplicates.apply import write_without
from pipelines.duplicates.find import Images, Leak, checked_near, find_clusters, find_leaks, gather
from pipelines.duplicates.hash_job import WORK_FOLDER as HASHING
from pipelines.duplicates.hash_job import hashes_of
from pipelines.duplicates.near import MOST_IN_BUCKET
from pipelines.duplicates.page import page
from pipelines.duplicates.policy import Cluster, Dropped, clusters_of, decide
from pipelines.duplicates.report import (
    DUPLICATES_NAME,
    LEAKS_NAME,
    PAGE_NAME,
    SUMMARY_NAME,
    cluster_lines,
    json_lines,
    leak_lines,
    pair_lines,
    summary,
)
from pipelines.files import storage
from pipelines.row_plane.view import Rows, open_rows, refuse_inputs_as_output
from pipelines.row_plane.view_writer import LABELS_NAME, WORK_FOLDER, ViewPlan, claim, finished
from schemas.errors import ConfigError, OutputError

AGAINST = "against"
REPORT_NAMES = (LEAKS_NAME, DUPLICATES_NAME, PAGE_NAME, SUMMARY_NAME)


@dataclass(frozen=True, slots=True, kw_only=True)
class DuplicateOptions:
    """What the user may choose; see `wordtree duplicates --help`.

    Attributes:
        near: the most bits of two hashes that may differ; -1 for equal bytes alone.
        policy: what becomes of what is found.
        cap: the most hashes that are compared with each other at once.
    """

    near: int = 4
    policy: Literal["report", "drop", "merge"] = "report"
    cap: int = MOST_IN_BUCKET


@dataclass(frozen=True, slots=True)
class Outcome:
    """The figures, the views that were written, whether all was there already, and some pairs where no report was
    written."""

    found: dict[str, Any]
    views: tuple[str, ...] = ()
    was_complete: bool = False
    pairs: tuple[str, ...] = ()


def find_duplicates(
    datasets: Sequence[str],
    against: Sequence[str],
    out: str,
    options: DuplicateOptions,
    *,
    beam_args: Sequence[str] = (),
    workers: int = 1,
    force: bool = False,
) -> Outcome:
    """Find duplicates within datasets and leaks into others, and do what the policy says.

    Args:
        datasets: directories; their images are compared with each other.
        against: directories of evaluation splits.
        out: the folder to make, or "" for figures alone.

    Raises:
        ConfigError: options contradict each other.
        InputError, FormatError: a dataset cannot be read, or its shards are gone or have changed.
        OutputError: OUT holds something else, and `force` is not given.
    """
    checked_near(options.near)
    _check(datasets, against, out, options)
    rows = [open_rows(path) for path in datasets]
    evaluation_rows = [open_rows(path) for path in against]
    for found in (*rows, *evaluation_rows):
        found.check_records()
    names = _names(rows)
    if options.policy != "report":
        for folder in (out, *(storage.join(out, name) for name in names if len(rows) > 1)):
            refuse_inputs_as_output(folder, [*rows, *evaluation_rows])
    folders = [out] if len(rows) == 1 else [storage.join(out, name) for name in names]
    chosen = {
        "command": "duplicates",
        "near": options.near,
        "policy": options.policy,
        "cap": options.cap,
        "against": [found.path for found in evaluation_rows],
    }
    plans: list[ViewPlan] = []
    if options.policy == "report":
        if out and out.rstrip("/") not in [found.path for found in rows]:
            names_there = claim(out, force=False, owned=_owned(rows, names))
            if "manifest.json" in names_there:
                raise OutputError(f"{out!r} holds another dataset; choose another folder for the report")
    else:
        plans = [_plan(found, k, rows, evaluation_rows, folders, chosen) for k, found in enumerate(rows)]
        if len(rows) > 1:
            claim(out, force=False, owned=_owned(rows, names))
        done = [finished(plan, force=force) for plan in plans]
        if all(done) and storage.exists(storage.join(out, SUMMARY_NAME)):
            found = json.loads(storage.read_bytes(storage.join(out, SUMMARY_NAME)))
            return Outcome(found, tuple(folders), was_complete=True)
    with ExitStack() as stack:
        keep = out or stack.enter_context(tempfile.TemporaryDirectory(prefix="wordtree-duplicates-"))
        places = folders if out else [storage.join(keep, name) for name in names]
        paths = [
            storage.join(place, f"{found.manifest.split}.hashes.parquet")
            for place, found in zip(places, rows, strict=True)
        ]
        images = _images(rows, paths, beam_args, workers)
        evaluation = None
        if evaluation_rows:
            paths = [
                storage.join(keep, AGAINST, f"{name}.{found.manifest.split}.hashes.parquet")
                for name, found in zip(_names(evaluation_rows), evaluation_rows, strict=True)
            ]
            evaluation = _images(evaluation_rows, paths, beam_args, workers)
    clusters_found = find_clusters(images, options.near, cap=options.cap)
    leaks = find_leaks(images, evaluation, options.near) if evaluation else []
    clusters = clusters_of(images, clusters_found.cluster)
    dropped: dict[int, Dropped] = {}
    if options.policy != "report":
        left = clusters_of(images, clusters_found.cluster, sorted({leak.image for leak in leaks}))
        dropped = decide(images, left, leaks)
    found = summary(images, evaluation, clusters, leaks, dropped, clusters_found.skipped, chosen)
    if out:
        _write_report(out, images, evaluation, clusters, leaks, found)
    for number, plan in enumerate(plans):
        if plan.out != out:
            _write_report(plan.out, images, evaluation, clusters, leaks, found)
        merge = options.policy == "merge"
        write_without(plan, images, number, dropped, merge=merge, evaluation=evaluation)
    pairs = () if out else tuple(pair_lines(images, evaluation, clusters, leaks))
    return Outcome(found, tuple(folders) if plans else (), pairs=pairs)


def cluster_ids(
    dataset: str, hashes: str, *, near: int, beam_args: Sequence[str] = (), workers: int = 1
) -> dict[str, str]:
    """The smallest image id of its cluster for each image that has duplicates: what `wordtree split` splits by.

    Args:
        hashes: where the table of hashes lies or shall lie.
    """
    rows = open_rows(dataset)
    rows.check_records()
    images = _images([rows], [hashes], beam_args, workers)
    clusters = clusters_of(images, find_clusters(images, checked_near(near)).cluster)
    keys: dict[str, str] = {}
    for cluster in clusters:
        members = [images.ids[number] for number in (cluster.first, *cluster.others)]
        keys |= dict.fromkeys(members, min(members))
    return keys


def _check(datasets: Sequence[str], against: Sequence[str], out: str, options: DuplicateOptions) -> None:
    if options.policy != "report" and not out:
        raise ConfigError(f"--policy {options.policy} needs --out OUT, the folder of the view that it makes")
    if options.policy == "merge" and len(datasets) > 1:
        raise ConfigError("--policy merge unites the labels of one label space; give one dataset, or --policy drop")
    if options.cap < 2:
        raise ConfigError(f"--cap is {options.cap}; expected 2 or more")
    given = [path.rstrip("/") for path in (*datasets, *against)]
    again = sorted({path for path in given if given.count(path) > 1})
    if again:
        raise ConfigError(f"{again[0]} is named twice; every image would be its own duplicate")


def _names(rows: Sequence[Rows]) -> list[str]:
    """A folder name for each dataset: the last part of its path, with a number where that repeats."""
    names: list[str] = []
    for found in rows:
        name = storage.name_of(found.path) or "dataset"
        number = 2
        while name in names:
            name, number = f"{storage.name_of(found.path)}-{number}", number + 1
        names.append(name)
    return names


def _owned(rows: Sequence[Rows], names: Sequence[str]) -> tuple[str, ...]:
    """The names that this command may have written into OUT before the manifest."""
    tables = [f"{found.manifest.split}.hashes.parquet" for found in rows]
    return (*REPORT_NAMES, AGAINST, *tables, *(f"{HASHING}-{table}" for table in tables), *names)


def _plan(
    found: Rows,
    number: int,
    rows: Sequence[Rows],
    evaluation: Sequence[Rows],
    folders: Sequence[str],
    options: dict[str, Any],
) -> ViewPlan:
    others = (*(other for other in rows if other is not found), *evaluation)
    table = f"{found.manifest.split}.hashes.parquet"
    return ViewPlan(
        rows=found,
        out=folders[number],
        split=found.manifest.split,
        options=options,
        inputs=tuple(other.manifest_file for other in others),
        same_truth=options["policy"] != "merge",
        classes=found.manifest.classes,
        tree_digest=found.manifest.tree_digest,
        label_map=storage.read_bytes(storage.join(found.path, LABELS_NAME)).decode(),
        also_owned=(*REPORT_NAMES, table),
        may_hold=(AGAINST, f"{HASHING}-{table}"),
    )


def _images(rows: Sequence[Rows], paths: Sequence[str], beam_args: Sequence[str], workers: int) -> Images:
    tables = []
    for found, path in zip(rows, paths, strict=True):
        storage.make_folder(path.rpartition("/")[0])
        tables.append(hashes_of(found, path, beam_args=beam_args, workers=workers))
    return gather(rows, tables)


def _write_report(
    out: str,
    images: Images,
    evaluation: Images | None,
    clusters: Sequence[Cluster],
    leaks: Sequence[Leak],
    found: dict[str, Any],
) -> None:
    """The files of `pipelines.duplicates.report` and the page, the figures last."""
    work = storage.join(out, WORK_FOLDER)
    storage.make_folder(work)
    told = leak_lines(images, evaluation, leaks) if evaluation else ()
    files = {
        LEAKS_NAME: json_lines(told),
        DUPLICATES_NAME: json_lines(cluster_lines(images, clusters, leaks)),
        PAGE_NAME: page(images, evaluation, clusters, leaks, found).encode(),
        SUMMARY_NAME: (json.dumps(found, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode(),
    }
    for name, data in files.items():
        storage.write_bytes(storage.join(out, name), data, work)
    storage.remove(work)
