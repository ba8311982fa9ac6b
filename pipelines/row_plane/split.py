"""A finished dataset in parts: OUT/train, OUT/val, ... are views, and every image is in exactly one of them.

The part of an image depends on its id, the seed and the shares alone (rule R5): images that join a dataset later move
no others. With clusters of duplicates the cluster's smallest id decides, so that copies of a picture never straddle.
Or a list says where each image goes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b, sha256

import numpy as np
import pyarrow as pa

from pipelines.assembling import list_output
from pipelines.files import storage
from pipelines.row_plane.view import Rows, open_rows
from pipelines.row_plane.view_writer import LABELS_NAME, ViewPlan, ViewWriter, finished
from schemas.errors import ConfigError, FormatError, OutputError
from schemas.manifest import WORK_FOLDER, Manifest, SourceFile

LEFT_OUT = "-"  # the part of images that a list wants in no part
SUMMARY_NAME = "split.json"
LEFT_OUT_NAME = "left_out.jsonl"
HASHES_NAME = "duplicates.hashes.parquet"  # of --by duplicates
OWN_NAMES = (SUMMARY_NAME, LEFT_OUT_NAME, HASHES_NAME, f".hashing-{HASHES_NAME}", WORK_FOLDER)


@dataclass(frozen=True, slots=True)
class Part:
    """One part: its name, and which share of the images it takes."""

    name: str
    share: float


def parse_parts(text: str) -> tuple[Part, ...]:
    """`train=0.9,val=0.1` as parts.

    Raises:
        ConfigError: a name is empty, repeated or can be no file name, or the shares do not add up to 1.
    """
    parts: list[Part] = []
    for word in text.split(","):
        name, _, number = word.strip().partition("=")
        try:
            share = float(number)
        except ValueError:
            share = float("nan")
        if not 0 < share <= 1:
            raise ConfigError(f"--parts {text}: found {word.strip()!r}; expected NAME=SHARE with a share in 0 to 1")
        parts.append(Part(_checked_name(name, f"--parts {text}"), share))
    if len({part.name for part in parts}) < len(parts):
        raise ConfigError(f"--parts {text}: a name stands there twice")
    total = sum(part.share for part in parts)
    if abs(total - 1) > 1e-9:
        raise ConfigError(f"--parts {text}: the shares add up to {total:g}; expected 1")
    return tuple(parts)


def _checked_name(name: str, where: str) -> str:
    if not name or not name.replace("_", "").replace("-", "").isalnum() or name.startswith("-") or len(name) > 100:
        raise ConfigError(
            f"{where}: part {name!r}; expected up to 100 letters, digits, - and _, since it begins file names"
        )
    return name


def uniform(key: str, seed: int) -> float:
    """A number in [0, 1) that looks random and depends on (key, seed) alone."""
    digest = blake2b(key.encode(), key=b"wordtree split %d" % seed, digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


def part_of(key: str, parts: Sequence[Part], seed: int) -> str:
    """The part that a key falls into."""
    number = uniform(key, seed)
    reach = 0.0
    for part in parts[:-1]:
        reach += part.share
        if number < reach:
            return part.name
    return parts[-1].name


def parts_by_list(path: str, image_ids: Sequence[str]) -> tuple[list[str], SourceFile]:
    """The part of each image as a list says: lines of image id, tab, part; a part `-` leaves the image out.

    Raises:
        InputError: it cannot be read.
        FormatError: a line is no pair, names an image twice or one that is not there, or an image has no line.
    """
    data = storage.read_source(path, "list of parts")
    named: dict[str, str] = {}
    there = set(image_ids)
    for number, line in enumerate(data.decode("utf-8-sig", errors="replace").splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        image_id, tab, part = line.rpartition("\t")
        if not tab:
            raise FormatError(f"{path} line {number}: found {line[:60]!r}; expected image id, tab, part")
        if image_id in named:
            raise FormatError(f"{path} line {number}: image {image_id!r} stands there a second time")
        if image_id not in there:
            raise FormatError(f"{path} line {number}: there is no image {image_id!r} in the dataset")
        named[image_id] = part if part == LEFT_OUT else _checked_name(part, f"{path} line {number}")
    missing = [image_id for image_id in image_ids if image_id not in named]
    if missing:
        raise FormatError(
            f"{path}: it names no part for {len(missing)} of {len(image_ids)} images, the first is {missing[0]!r}; "
            f"give each a part, or {LEFT_OUT!r} to leave it out"
        )
    file = SourceFile(path=path, bytes=len(data), sha256=sha256(data).hexdigest())
    return [named[image_id] for image_id in image_ids], file


@dataclass(frozen=True, slots=True)
class Split:
    """The manifests of the parts by name, how many images are in none, and whether all was there already."""

    parts: Mapping[str, Manifest]
    left_out: int = 0
    was_complete: bool = False


def split(
    dataset: str,
    out: str,
    *,
    parts: Sequence[Part] = (),
    seed: int = 0,
    keys: Mapping[str, str] | None = None,
    keys_told: str = "image",
    keys_from: Sequence[SourceFile] = (),
    list_path: str = "",
    force: bool = False,
) -> Split:
    """Write a view for each part, and OUT/split.json, which is written last.

    Args:
        parts: shares; not needed where a list is given.
        keys: what decides instead of the image's own id, by image id; images that are not there decide themselves.
        keys_told: what that is, for the manifest.
        keys_from: files that the keys come from.
        list_path: a list that names the part of every image, see `parts_by_list`.

    Raises:
        InputError, FormatError: the dataset or the list cannot be read.
        OutputError: OUT holds something else, and `force` is not given.
    """
    rows = open_rows(dataset)
    ids: list[str] = rows.image_ids.to_pylist()
    options: dict[str, object] = {"command": "split", "by": "list" if list_path else keys_told}
    inputs = tuple(keys_from)
    if list_path:
        chosen, file = parts_by_list(list_path, ids)
        inputs = (file,)
        names = sorted({*chosen} - {LEFT_OUT}) if not parts else [part.name for part in parts]
        strange = sorted({*chosen} - {LEFT_OUT} - {*names})
        if strange:
            raise FormatError(f"{list_path}: it names the part {strange[0]!r}; --parts has {', '.join(names)}")
    else:
        of = keys or {}
        chosen = [part_of(of.get(image_id, image_id), parts, seed) for image_id in ids]
        names = [part.name for part in parts]
        options |= {"parts": {part.name: part.share for part in parts}, "seed": seed}
    part_numbers = {name: number for number, name in enumerate(names)}
    assigned = np.array([part_numbers.get(name, -1) for name in chosen], np.int64)
    label_map = storage.read_bytes(storage.join(rows.path, LABELS_NAME)).decode()
    _check_out(out, names, force)
    plans = [
        ViewPlan(
            rows=rows,
            out=storage.join(out, name),
            split=name,
            options={**options, "part": name},
            inputs=inputs,
            classes=rows.manifest.classes,
            tree_digest=rows.manifest.tree_digest,
            label_map=label_map,
        )
        for name in names
    ]
    manifests = [finished(plan, force=force) for plan in plans]
    complete = all(found is not None for found in manifests) and storage.exists(storage.join(out, SUMMARY_NAME))
    for number, plan in enumerate(plans):
        if manifests[number] is None:
            manifests[number] = _write_part(plan, assigned == number)
    done = {name: found for name, found in zip(names, manifests, strict=True) if found is not None}
    left_out = [image_id for image_id, number in zip(ids, assigned.tolist(), strict=True) if number < 0]
    if not complete:
        _write_summary(out, rows, done, left_out, options)
    return Split(done, len(left_out), complete)


def _check_out(out: str, names: Sequence[str], force: bool) -> None:
    folders, files = list_output(out)
    strange = sorted({*folders, *files} - {*names, *OWN_NAMES})
    if strange and not force:
        raise OutputError(
            f"{out!r} holds other files ({', '.join(strange[:3])}); give a new or empty folder, or --force"
        )


def _write_part(plan: ViewPlan, takes: np.ndarray) -> Manifest:
    with ViewWriter(plan) as writer:
        for batch in plan.rows.annotations():
            kept = batch.filter(pa.array(takes[plan.rows.positions(batch)]))
            writer.read(kept.num_rows)
            writer.write(kept)
        index = plan.rows.index.filter(pa.array(takes))
        return writer.finish(index, came_in=index)


def _write_summary(
    out: str, rows: Rows, done: Mapping[str, Manifest], left_out: Sequence[str], options: Mapping[str, object]
) -> None:
    work = storage.join(out, WORK_FOLDER)
    storage.make_folder(work)
    lines = [
        json.dumps({"record": image_id, "kind": "image", "reason": "image:in_no_part"}, ensure_ascii=False) + "\n"
        for image_id in left_out
    ]
    storage.write_bytes(storage.join(out, LEFT_OUT_NAME), "".join(lines).encode(), work)
    summary = {
        **options,
        "dataset": {"path": rows.path, "manifest_sha256": rows.manifest_file.sha256},
        "images_in": rows.index.num_rows,
        "images_left_out": len(left_out),
        "images": {name: found.counts.images_written for name, found in done.items()},
        "annotations": {name: found.counts.annotations_written for name, found in done.items()},
    }
    if summary["images_in"] != sum(found.counts.images_written for found in done.values()) + len(left_out):
        raise RuntimeError(f"images do not add up: {summary}")
    data = json.dumps(summary, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    storage.write_bytes(storage.join(out, SUMMARY_NAME), data.encode(), work)
    storage.remove(work)
