"""What was found, as files: leaks.jsonl, duplicates.jsonl and duplicates.json.

leaks.jsonl        one line for each image that stands in an evaluation dataset too, and each such dataset
duplicates.jsonl   one line for each cluster, the image that stays first
duplicates.json    the figures
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from pipelines.duplicates.find import NO_DISTANCE, Images, Leak, distance_between
from pipelines.duplicates.near import Skipped
from pipelines.duplicates.policy import Cluster, Dropped

LEAKS_NAME = "leaks.jsonl"
DUPLICATES_NAME = "duplicates.jsonl"
SUMMARY_NAME = "duplicates.json"
PAGE_NAME = "duplicates.html"
SHOWN = 3  # leaks, and clusters, that are told where no report is written


def leak_lines(images: Images, evaluation: Images, leaks: Sequence[Leak]) -> Iterator[dict[str, Any]]:
    """The lines of leaks.jsonl."""
    for leak in leaks:
        yield {
            "dataset": images.rows[int(images.dataset[leak.image])].path,
            "image_id": images.ids[leak.image],
            "kind": "exact" if leak.exact else "near",
            "distance": leak.distance,
            "evaluation": evaluation.rows[int(evaluation.dataset[leak.evaluation])].path,
            "evaluation_image_id": evaluation.ids[leak.evaluation],
        }


def cluster_lines(images: Images, clusters: Sequence[Cluster], leaks: Iterable[Leak]) -> Iterator[dict[str, Any]]:
    """The lines of duplicates.jsonl; distances are from the first image."""
    leaked = {leak.image for leak in leaks}
    for cluster in clusters:
        members = (cluster.first, *cluster.others)
        exact = len({images.sha[number] for number in members}) == 1
        yield {
            "cluster": min(images.ids[number] for number in members),
            "kind": "exact" if exact else "near",
            "images": [_member(images, number, cluster.first, number in leaked) for number in members],
        }


def _member(images: Images, number: int, first: int, leaks: bool) -> dict[str, Any]:
    distance = distance_between(images, number, first)
    rows, position = images.rows[int(images.dataset[number])], int(images.position[number])
    return {
        "dataset": rows.path,
        "image_id": images.ids[number],
        "sha256": images.sha[number],
        "height": rows.index["height"][position].as_py(),
        "width": rows.index["width"][position].as_py(),
        "distance": None if distance == NO_DISTANCE else distance,
        **({"leaks": True} if leaks else {}),
    }


def summary(
    images: Images,
    evaluation: Images | None,
    clusters: Sequence[Cluster],
    leaks: Sequence[Leak],
    dropped: Mapping[int, Dropped],
    skipped: Skipped,
    options: Mapping[str, Any],
) -> dict[str, Any]:
    """The figures. Law: of every dataset, images = kept + dropped."""
    exact = [cluster for cluster in clusters if len({images.sha[k] for k in (cluster.first, *cluster.others)}) == 1]
    sha = Counter(images.sha)
    flat = sum(why == "flat" for why in images.why)
    return {
        "options": dict(options),
        "datasets": [_dataset(images, number, dropped) for number in range(len(images.rows))],
        "images": len(images),
        "flat": flat,
        "undecodable": int((~images.hashed).sum()) - flat,
        "clusters": len(clusters),
        "clusters_exact": len(exact),
        "images_in_clusters": sum(1 + len(cluster.others) for cluster in clusters),
        "surplus_exact": sum(count - 1 for count in sha.values()),
        "surplus": sum(len(cluster.others) for cluster in clusters),
        "against": [_against(evaluation, number, leaks) for number in range(len(evaluation.rows))]
        if evaluation
        else [],
        "images_leaking": len({leak.image for leak in leaks}),
        "buckets_cut": skipped.buckets,
        "comparisons_left_out": skipped.comparisons,
    }


def _dataset(images: Images, number: int, dropped: Mapping[int, Dropped]) -> dict[str, Any]:
    total = int((images.dataset == number).sum())
    reasons = Counter(found.reason for k, found in dropped.items() if images.dataset[k] == number)
    kept = int(np.sum([k not in dropped for k in np.flatnonzero(images.dataset == number).tolist()]))
    if total != kept + sum(reasons.values()):
        raise RuntimeError(f"{images.rows[number].path}: {total} images, {kept} kept, {reasons} dropped do not add up")
    return {
        "path": images.rows[number].path,
        "images": total,
        "kept": kept,
        "dropped": dict(sorted(reasons.items())),
    }


def _against(evaluation: Images, number: int, leaks: Sequence[Leak]) -> dict[str, Any]:
    here = [leak for leak in leaks if evaluation.dataset[leak.evaluation] == number]
    return {
        "path": evaluation.rows[number].path,
        "images": int((evaluation.dataset == number).sum()),
        "leaks_exact": sum(leak.exact for leak in here),
        "leaks_near": sum(not leak.exact for leak in here),
        "images_met": len({leak.evaluation for leak in here}),
    }


def pair_lines(
    images: Images, evaluation: Images | None, clusters: Sequence[Cluster], leaks: Sequence[Leak], most: int = SHOWN
) -> list[str]:
    """The first few leaks and duplicates for people, each as two images and how far they are apart."""
    told: list[str] = []
    for line in leak_lines(images, evaluation, leaks[:most]) if evaluation else ():
        here = f"{line['dataset']} {line['image_id']}"
        told.append(f"leak          {here} = {line['evaluation']} {line['evaluation_image_id']}, {_apart(line)}")
    for line in cluster_lines(images, clusters[:most], ()):
        first, second, *others = line["images"]
        both = f"{first['dataset']} {first['image_id']} = {second['dataset']} {second['image_id']}"
        kind = "exact" if first["sha256"] == second["sha256"] else "near"
        apart = _apart({"kind": kind, "distance": second["distance"]})
        told.append(f"duplicate     {both}, {apart}{f'; and {len(others):,} more' if others else ''}")
    return told


def _apart(line: Mapping[str, Any]) -> str:
    return "equal files" if line["kind"] == "exact" else f"{line['distance']} of 64 bits differ"


def json_lines(lines: Iterable[Mapping[str, Any]]) -> bytes:
    """One line each."""
    return "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines).encode()


def text_lines(found: Mapping[str, Any]) -> list[str]:
    """The figures for people."""
    lines = [
        f"images        {found['images']:>10,}"
        + (f"  ({found['flat']:,} of one colour: only equal bytes are looked for)" if found["flat"] else ""),
        f"clusters      {found['clusters']:>10,}  of {found['images_in_clusters']:,} images; "
        f"{found['clusters_exact']:,} of equal files alone",
        f"surplus       {found['surplus']:>10,}  images, {found['surplus_exact']:,} of them equal files",
    ]
    for split in found["against"]:
        lines.append(
            f"leaks         {split['leaks_exact'] + split['leaks_near']:>10,}  into {split['path']}: "
            f"{split['leaks_exact']:,} equal files, {split['leaks_near']:,} near; they meet {split['images_met']:,} "
            f"of its {split['images']:,} images"
        )
    if found["undecodable"]:
        lines.append(f"not decoded   {found['undecodable']:>10,}  only equal bytes are looked for; the hashes say why")
    if found["buckets_cut"]:
        lines.append(
            f"cut           {found['buckets_cut']:>10,}  groups of look-alikes were too large; "
            f"{found['comparisons_left_out']:,} comparisons were left out"
        )
    for dataset in found["datasets"]:
        if dataset["dropped"]:
            told = ", ".join(f"{count:,} {reason}" for reason, count in dataset["dropped"].items())
            lines.append(f"kept          {dataset['kept']:>10,}  of {dataset['images']:,} in {dataset['path']}; {told}")
    return lines
