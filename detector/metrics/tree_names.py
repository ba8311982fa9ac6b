"""How right names are in the tree: scores of the names of boxes that lie on truths, and AP at every node."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from detector.metrics.columns import Found, Ints, Truths
from detector.metrics.evidence import Evidence
from detector.metrics.groups import GROUPS
from detector.metrics.matching import match_any_class
from detector.metrics.metric import Figure, Metric, Rows
from detector.metrics.node_precision import expand_found, node_precision
from detector.metrics.tree_scores import chain_scores, name_scores


def measure(evidence: Evidence, rows: Rows) -> dict[str, Any]:
    """See `Metric.measure`."""
    truths, found = evidence.truths_at_nodes, evidence.found_at_nodes
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


METRICS = (Metric("tree", 6, (Figure("node_AP50", "AP50 at the node", has_mean=False, bars=False),), measure),)
