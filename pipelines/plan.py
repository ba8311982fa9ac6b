"""What a conversion will do, decided before anything is written.

`make_plan` looks at the annotations, resolves the classes and fixes the shards. The `Job` in a plan is all that a
worker needs; it is small, frozen and picklable. Its fingerprint names inputs and options: equal fingerprints, equal
bytes.
"""

from __future__ import annotations

import hashlib
import heapq
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from importlib import metadata
from typing import Any, Literal

from pipelines.files import storage
from pipelines.labelling import LabelSpace, resolve_classes
from pipelines.policy import Policy
from pipelines.rows import KEY_BYTES, sort_key
from pipelines.sources.base import DatasetSource, Packing
from schemas.errors import ConfigError, InputError
from schemas.manifest import SourceFile

IMAGES_PER_SHARD = 2000  # COCO's train2017 in 60 files of 330 MB; a few files for each reader and worker
DEFAULT_POLICY = Policy()
LONGEST_SPLIT = 100  # bytes; file systems take names of 255, and temporary ones are longer
RECORDS_VERSION = "3"  # raise it when the same input begins to give other bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the user may choose about a conversion; see `wordtree convert coco --help`.

    Attributes:
        labels: a label map, "none", or "" for the format's own.
        tree: path of a tree, or "".
        shards: 0 for one shard per IMAGES_PER_SHARD images.
        limit: only so many images, those with the smallest hashes; 0 for all.
    """

    labels: str = ""
    tree: str = ""
    split: str = "train"
    shards: int = 0
    seed: int = 0
    limit: int = 0
    policy: Policy = DEFAULT_POLICY
    on_unknown_class: Literal["error", "reject"] = "error"


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What every worker knows.

    Attributes:
        limit_key: rows with a greater sort key are left out; b"" for no limit.
        fingerprint: hex digest of all that decides the contents.
    """

    source: DatasetSource
    space: LabelSpace
    policy: Policy
    out: str
    split: str
    shards: int
    seed: int
    limit_key: bytes
    fingerprint: str

    @property
    def packing(self) -> Packing:
        """How rows are dealt out to the shards."""
        return Packing(self.shards, self.seed, self.limit_key)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A job and what is known about it beforehand.

    Attributes:
        images: distinct images to convert, after the limit.
        exact: whether that is their number; an estimate otherwise.
        options: as the manifest will state them.
        source_files: annotation files.
        tree: path of the tree, or "".
        notes: what else people should know about the source.
        head: JSON that describes the dataset, for source.json; b"" for none.
    """

    job: Job
    images: int
    options: Mapping[str, Any]
    source_files: tuple[SourceFile, ...]
    tree: str
    notes: tuple[str, ...] = ()
    exact: bool = True
    head: bytes = b""

    def lines(self) -> list[str]:
        """The plan for people."""
        job = self.job
        size = sum(file.bytes for file in self.source_files)
        paths = ", ".join(file.path for file in self.source_files)
        mapped = f" mapped by {self.options['labels']!r}" if self.options["labels"] != "none" else " without concepts"
        dropped = f", {len(job.space.dropped)} unknown (their annotations are rejected)" if job.space.dropped else ""
        return [
            f"source   {job.source.name}: {paths}" + (f" ({_size(size)} of annotations)" if size else ""),
            f"images   {'' if self.exact else 'about '}{self.images} below {job.source.image_root}"
            + (f" (--limit {self.options['limit']})" if self.options["limit"] else "")
            + "".join(f"; {note}" for note in self.notes),
            f"classes  {len(job.space.classes)}{mapped}{dropped}",
            f"tree     {self.tree or 'none'}",
            f"output   {job.out}: {job.shards} shard{'s' * (job.shards != 1)} of split {job.split!r}",
        ]


def _size(size: int) -> str:
    return f"{size / 1e6:,.1f} MB" if size >= 1e6 else f"{max(size / 1e3, 0.1):,.1f} KB"


def make_plan(source: DatasetSource, out: str, options: Options) -> Plan:
    """Look at the dataset and decide everything.

    Raises:
        ConfigError: if an option is out of range.
        InputError, FormatError, LabelError: see `DatasetSource.survey` and `resolve_classes`.
    """
    _check(options)
    for role, path in (("OUT", out), *source.options().items()):
        if "\0" in path or storage.plain_text(path) != path:
            raise ConfigError(f"{role} is {path!r}; expected a path of Unicode characters without NUL")
    if not out:
        raise ConfigError("OUT is empty; expected the folder to make")
    if not storage.is_folder(source.image_root):
        raise InputError(f"image folder {source.image_root!r} does not exist; expected the folder of the images")
    try:
        survey = source.survey()
    except OSError as error:
        raise InputError(f"cannot read {error.filename or source.image_root!r}: {error.strerror or error}") from error
    labels = options.labels or source.default_labels
    space = resolve_classes(
        survey.classes, labels, source=source.name, tree_path=options.tree, on_unknown=options.on_unknown_class
    )
    images, exact, limit_key = survey.images, survey.image_ids is not None, b""
    if options.limit:
        keys = _smallest_keys(survey.image_ids or source.image_ids(), options.limit, options.seed)
        if len(keys) == options.limit:
            limit_key = keys[-1]
        images, exact = len(keys), True
    shards = options.shards or max(1, -(-images // IMAGES_PER_SHARD))
    chosen = {
        **source.options(),
        "labels": labels,
        "tree": options.tree,
        "split": options.split,
        "shards": shards,
        "seed": options.seed,
        "limit": options.limit,
        **options.policy.options(),
        "on_unknown_class": options.on_unknown_class,
    }
    if any(survey.unused_columns.values()):
        chosen["unused_columns"] = {name: list(unused) for name, unused in sorted(survey.unused_columns.items())}
    paths = (*source.paths, "labels", "tree")  # what lies there counts, not how the path is spelt
    decides = {
        "records_version": RECORDS_VERSION,
        "source": source.name,
        "options": {name: value for name, value in chosen.items() if name not in paths},
        "files": [(storage.name_of(file.path), file.bytes, file.sha256) for file in survey.files],
        "head": hashlib.sha256(survey.head).hexdigest(),
        "classes": {key: asdict(entry) for key, entry in space.classes.items()},
        "tree_digest": space.tree_digest,
    }
    job = Job(
        source=source,
        space=space,
        policy=options.policy,
        out=out,
        split=options.split,
        shards=shards,
        seed=options.seed,
        limit_key=limit_key,
        fingerprint=hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest(),
    )
    return Plan(
        job=job,
        images=images,
        options=chosen,
        source_files=survey.files,
        tree=options.tree,
        notes=survey.notes,
        exact=exact,
        head=survey.head,
    )


def _smallest_keys(image_ids: Iterable[str], most: int, seed: int) -> list[bytes]:
    """The smallest sort keys, each once, in order; memory for twice as many as are wanted."""
    kept: set[bytes] = set()
    bound = b"\xff" * KEY_BYTES
    for image_id in image_ids:
        key = sort_key(image_id, seed)
        if key <= bound:
            kept.add(key)
            if len(kept) > 2 * most:
                kept = set(heapq.nsmallest(most, kept))
                bound = max(kept)
    return heapq.nsmallest(most, kept)


def _check(options: Options) -> None:
    if not 0 <= options.shards <= 99_999:
        raise ConfigError(
            f"--shards is {options.shards}; expected 1 to 99999, or 0 for one per {IMAGES_PER_SHARD} images"
        )
    if options.limit < 0:
        raise ConfigError(f"--limit is {options.limit}; expected a number of images, or 0 for all")
    if not options.split or not options.split.replace("_", "").replace("-", "").isalnum():
        raise ConfigError(
            f"--split is {options.split!r}; expected letters, digits, - and _, since it begins file names"
        )
    if len(options.split.encode()) > LONGEST_SPLIT:
        raise ConfigError(f"--split has {len(options.split)} characters; expected at most {LONGEST_SPLIT}")


def versions() -> dict[str, str]:
    """What the manifest says about the software."""
    try:
        wordtree = metadata.version("wordtree")
    except metadata.PackageNotFoundError:  # run from a source tree
        wordtree = "unreleased"
    return {"wordtree": wordtree, "records": RECORDS_VERSION}
