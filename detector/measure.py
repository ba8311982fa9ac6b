"""From what is true and what was found on one dataset to figures: a row for each class, a summary, further tables.

Every metric is a function of `detector.metrics`; here they are asked, and their answers put side by side. Means over
classes are over those with a truth that counts.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from detector.metrics import coco, lvis, open_images, voc
from detector.metrics.chains import Chains
from detector.metrics.columns import Found, Ints, Truths, was_looked_for
from detector.metrics.errors import KINDS, counts_by_class, kinds, similar_nodes
from detector.metrics.groups import GROUPS, SPLITS, check_split, group_of, split_of
from detector.metrics.matching import match_any_class
from detector.metrics.node_precision import expand_found, node_precision
from detector.metrics.precision import mean_or_none
from detector.metrics.recall import LIMITS, best_boxes, correct_localisation, first_hit_rank, recall_per_class
from detector.metrics.tree_scores import chain_scores, name_scores
from detector.truth import Truth
from schemas.manifest import ClassEntry
from wordtree.tree import WordTree

METRICS = ("coco", "voc07", "voc10", "openimages", "tree", "errors", "recall")
USUAL = ("AP", "AP50", "AP75")
OTHERS = ("VOC07", "VOC10", "OpenImages", *(f"recall{n}" for n in LIMITS), "CorLoc")
MORE = tuple(name for name in dict.fromkeys((*coco.names(), *coco.names((lvis.LIMIT,)))) if name not in USUAL)
ROW_FIGURES = (*USUAL, *OTHERS, *MORE)


@dataclass(frozen=True)
class Evidence:
    """What is true and what was found; classes are the dataset's class ids, images are numbers from 0.

    Attributes:
        tree: the classes.
        classes: of the dataset.
        nodes: class id to node, in the order of `classes`.
        truth: the boxes of the dataset, and what was looked for.
        labels: verified image labels (image number, node, present).
        found: detections, suppressed within each class.
        above: detections at nodes above the classes (their `klass` is a node); None where no detector can be asked.
        best: the best box of each class in images that hold it; None to take it from `found`.
        proposals: boxes whatever their class; None to take `found`.
        chains: names of proposals that lie on truths, whose classes are nodes; None where no detector can be asked.
    """

    tree: WordTree
    classes: Sequence[ClassEntry]
    nodes: Mapping[int, int]
    truth: Truth
    labels: list[tuple[int, int, bool]]
    found: Found
    above: Found | None = None
    best: Found | None = None
    proposals: Found | None = None
    chains: Chains | None = None

    @property
    def truths(self) -> Truths:
        """The boxes."""
        return self.truth.truths

    @cached_property
    def judged(self) -> Found:
        """Detections that can be right or wrong: in a federated dataset those of classes that were looked for."""
        if self.truth.federated is None:
            return self.found
        return self.found.take(was_looked_for(self.truths, self.found, self.truth.federated.absent))


@dataclass(frozen=True)
class Training:
    """How many boxes and image labels of each wnid the training data had, and a split that overrides both."""

    boxes: Mapping[str, int]
    labels: Mapping[str, int]
    split: Mapping[str, str] | None = None


def measure(evidence: Evidence, training: Training, metrics: Collection[str]) -> dict[str, Any]:
    """`summary`, `classes`, and for some metrics `tree`, `errors`.

    Raises:
        ConfigError: the split does not name every class.
    """
    rows = class_rows(evidence, training)
    ids = list(evidence.nodes)
    tables: dict[str, Any] = {}
    for name, add in _METRICS.items():
        if name in metrics:
            tables |= add(evidence, ids, rows)
    return {"summary": summary(rows, tables), "classes": rows, **tables}


def class_rows(evidence: Evidence, training: Training) -> list[dict[str, Any]]:
    """One row for each class: what it is, what training had of it, and how many truths count."""
    if training.split is not None:
        check_split(training.split, [entry.wnid for entry in evidence.classes], "the dataset's classes")
    numbers, counts = np.unique(evidence.truths.klass[~evidence.truths.ignored], return_counts=True)
    truths = dict(zip(numbers.tolist(), counts.tolist(), strict=True))
    rows = []
    for entry in evidence.classes:
        node = evidence.nodes[entry.id]
        if training.split is None:
            split = split_of(node, training.boxes, evidence.tree)
            group = group_of(node, training.boxes, training.labels, evidence.tree)
        else:
            split = training.split[entry.wnid]
            group = "boxed" if split == "seen" else "unboxed"
        rows.append(
            {
                "label": entry.label,
                "wnid": entry.wnid,
                "node": node,
                "path": evidence.tree.describe_path(node),
                "group": group,
                "split": split,
                "boxed": group == "boxed",
                "training_boxes": training.boxes.get(entry.wnid, 0),
                "training_labels": training.labels.get(entry.wnid, 0),
                "truths": truths.get(entry.id, 0),
                **dict.fromkeys(USUAL),
            }
        )
    return rows


def summary(rows: Sequence[Mapping[str, Any]], tables: Mapping[str, Any]) -> dict[str, Any]:
    """Means over classes: of all, of boxed and unboxed ones, and of unboxed ones near to and far from a boxed one."""
    scored = [row for row in rows if row["truths"]]
    parts = {
        **{group: [row for row in scored if row["group"] == group] for group in GROUPS},
        **{
            split.replace("unseen", "unboxed"): [r for r in scored if (r["group"], r["split"]) == ("unboxed", split)]
            for split in SPLITS[1:]
        },
    }
    told = [name for name in ROW_FIGURES if name in USUAL or any(name in row for row in rows)]
    found: dict[str, Any] = {_key(name): mean_or_none([row.get(name) for row in scored]) for name in told}
    for name in told:
        for part, members in parts.items():
            if part != "untrained":
                found[f"{_key(name)}_{part}"] = mean_or_none([row.get(name) for row in members])
    found |= {f"classes_{part}": len(members) for part, members in parts.items()}
    return found | _tree_summary(tables.get("tree"))


def _key(figure: str) -> str:
    return "corloc" if figure == "CorLoc" else figure


def _tree_summary(tree: Mapping[str, Any] | None) -> dict[str, Any]:
    if tree is None:
        return {}
    names = tree["names"].get("all")
    curve = None if names is None else names.get("curve")
    return {
        "node_AP50": tree["precision"]["AP50"],
        "hF": None if names is None else names["walk"]["hF"],
        "specificity_area": None if curve is None else curve["area"],
        "information_at_95": None if curve is None else curve["information_at_95"],
    }


def _coco(evidence: Evidence, ids: list[int], rows: list[dict[str, Any]]) -> dict[str, Any]:
    truth, found = evidence.truth, evidence.found
    if truth.federated is None:
        figures = coco.class_figures(truth.truths, found, ids, truth.order)
    else:
        figures = lvis.class_figures(truth.truths, found, ids, truth.order, truth.federated)
    for row, own in zip(rows, figures, strict=True):
        row |= own
    return {"rules": "COCO" if truth.federated is None else "LVIS"}


def _voc07(evidence: Evidence, ids: list[int], rows: list[dict[str, Any]]) -> dict[str, Any]:
    curves = voc.class_curves(evidence.truths, evidence.judged, ids)
    for row, klass in zip(rows, ids, strict=True):
        curve = curves[klass]
        row["VOC07"] = None if curve is None else curve.eleven_points()
    return {}


def _voc10(evidence: Evidence, ids: list[int], rows: list[dict[str, Any]]) -> dict[str, Any]:
    curves = voc.class_curves(evidence.truths, evidence.judged, ids)
    for row, klass in zip(rows, ids, strict=True):
        curve = curves[klass]
        row["VOC10"] = None if curve is None else curve.area()
    return {}


def _open_images(evidence: Evidence, ids: list[int], rows: list[dict[str, Any]]) -> dict[str, Any]:
    nodes = list(evidence.nodes.values())
    truths = open_images.expand_truths(_truths_at_nodes(evidence), evidence.tree)
    truths = truths.take(np.isin(truths.klass, nodes))
    verified = open_images.expand_labels(evidence.labels, evidence.tree)
    found = _found_at_nodes(evidence)
    curves = open_images.class_curves(truths, found, verified, sorted(set(nodes)))
    for row in rows:
        curve = curves[row["node"]]
        row["OpenImages"] = None if curve is None else curve.area()
    return {}


def _recall(evidence: Evidence, ids: list[int], rows: list[dict[str, Any]]) -> dict[str, Any]:
    proposals = evidence.found if evidence.proposals is None else evidence.proposals
    best = best_boxes(evidence.found) if evidence.best is None else evidence.best
    recall = recall_per_class(evidence.truths, first_hit_rank(evidence.truths, proposals), ids)
    localised = correct_localisation(evidence.truths, best, ids)
    for row, klass in zip(rows, ids, strict=True):
        row |= {f"recall{limit}": share for limit, share in recall[klass].items()}
        hits, images = localised[klass]
        row["CorLoc"] = hits / images if images else None
    return {}


def _errors(evidence: Evidence, ids: list[int], rows: list[dict[str, Any]]) -> dict[str, Any]:
    similar = similar_nodes(list(evidence.nodes.values()), evidence.tree)
    looked, kind = kinds(evidence.truths, evidence.judged, similar, ids)
    counts = counts_by_class(looked, kind, evidence.judged, ids)
    totals: dict[str, dict[str, int]] = {group: {word: 0 for word in KINDS} for group in ("all", *GROUPS)}
    for row, klass in zip(rows, ids, strict=True):
        row["errors"] = counts[klass]
        for group in ("all", row["group"]):
            for word, number in counts[klass].items():
                totals[group][word] += number
    return {"errors": {group: words for group, words in totals.items() if any(words.values())}}


def _tree(evidence: Evidence, ids: list[int], rows: list[dict[str, Any]]) -> dict[str, Any]:
    truths = _truths_at_nodes(evidence)
    found = _found_at_nodes(evidence)
    spread = expand_found(found, evidence.tree) if evidence.above is None else Found.join([found, evidence.above])
    precision = node_precision(truths, spread, evidence.tree)
    for row in rows:
        row["node_AP50"] = precision["nodes"].get(row["node"])
    precision["nodes"] = {evidence.tree.names[node]: value for node, value in precision["nodes"].items()}
    group = {row["node"]: row["group"] for row in rows}
    if evidence.chains is None:
        true, said = _matched_names(truths, found)
        scores = _by_group(true, group, lambda mask: {"walk": name_scores(true[mask], said[mask], evidence.tree)})
    else:
        chains = evidence.chains
        scores = _by_group(chains.truth, group, lambda mask: chain_scores(chains.take(mask), evidence.tree))
    return {"tree": {"names": scores, "precision": precision}}


def _by_group(
    truth: Ints, group: Mapping[int, str], score: Callable[[Any], dict[str, Any] | None]
) -> dict[str, dict[str, Any]]:
    """Scores of all rows, and of those whose true node is in each group."""
    words = np.array([group.get(int(node), "") for node in truth], dtype=object)
    masks = {"all": np.ones(len(truth), bool), **{name: words == name for name in GROUPS}}
    found = {name: score(mask) for name, mask in masks.items() if mask.any()}
    return {name: value for name, value in found.items() if value is not None}


def _matched_names(truths: Truths, found: Found) -> tuple[Ints, Ints]:
    """True and said nodes of truths that some detection lies on; one detection for each, best first."""
    truths, ranked = truths.take(~truths.ignored), found.best_first()
    true, said = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for image in np.unique(truths.image).tolist():
        here, there = truths.take(truths.image == image), ranked.take(ranked.image == image)
        taken = match_any_class(here.box, there.box)
        true.append(here.klass[taken >= 0])
        said.append(there.klass[taken[taken >= 0]])
    return np.concatenate(true), np.concatenate(said)


def _truths_at_nodes(evidence: Evidence) -> Truths:
    truths = evidence.truths.take(np.isin(evidence.truths.klass, list(evidence.nodes)))
    return replace(truths, klass=np.array([evidence.nodes[klass] for klass in truths.klass.tolist()], np.int64))


def _found_at_nodes(evidence: Evidence) -> Found:
    """Of classes that share a node only the first keeps its detections; they are the same."""
    first: dict[int, int] = {}
    for klass, node in evidence.nodes.items():
        first.setdefault(node, klass)
    found = evidence.found.take(np.isin(evidence.found.klass, list(first.values())))
    return replace(found, klass=np.array([evidence.nodes[klass] for klass in found.klass.tolist()], np.int64))


_METRICS = {
    "coco": _coco,
    "voc07": _voc07,
    "voc10": _voc10,
    "openimages": _open_images,
    "recall": _recall,
    "errors": _errors,
    "tree": _tree,
}
