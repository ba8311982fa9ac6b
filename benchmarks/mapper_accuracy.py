"""How often is the automatic mapper right? Its first proposal against published and reviewed label maps; one JSON line.

    python benchmarks/mapper_accuracy.py --facts ../shared/facts

`node` is the share of labels whose first proposal is the node (or synset) of the map, `step` the share at most one
is-a edge of WordNet away, `review` the share that is sent to a person at the given confidence, and `accepted` the share
of right ones among the rest. Published maps are compared by node in the published 9k tree, which the mapper is given;
reviewed maps by synset, without a tree. `margin` is the half width of the 95 % interval of `node` (normal
approximation).

Two cautions: the weights were set by hand with COCO, VOC and Open Images in view; and the reviewed map of Open Images
was made by correcting this mapper's proposals, so what it says of Open Images is an upper bound. The words of det200
are WordNet's own, so there only the choice among senses is tested.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from wordtree.files import read_tree
from wordtree.label_files import load_label_map
from wordtree.mapping import nearest_node
from wordtree.matching import ACCEPT, Candidate, Matcher
from wordtree.tree import WordTree
from wordtree.wordnet import WordNet

Labels = Sequence[tuple[str, Sequence[str]]]
Row = dict[str, float | int]


def score(found: Sequence[tuple[str, float]], right: Sequence[str], wordnet: WordNet, accept: float) -> Row:
    """Shares of what was found, as (wnid, confidence), against the right wnids."""
    hits = [wnid == wanted for (wnid, _), wanted in zip(found, right, strict=True)]
    near = [
        bool(wnid) and (wnid == wanted or wanted in wordnet.parents(wnid) or wnid in wordnet.parents(wanted))
        for (wnid, _), wanted in zip(found, right, strict=True)
    ]
    kept = [hit for hit, (wnid, confidence) in zip(hits, found, strict=True) if wnid and confidence >= accept]
    share = sum(hits) / len(hits)
    return {
        "labels": len(hits),
        "node": round(share, 4),
        "margin": round(1.96 * math.sqrt(share * (1 - share) / len(hits)), 4),
        "step": round(sum(near) / len(hits), 4),
        "review": round(1 - len(kept) / len(hits), 4),
        "accepted": round(sum(kept) / len(kept), 4) if kept else 0.0,
    }


def against_space(name: str, labels: Labels, matcher: Matcher, accept: float) -> Row:
    """The mapper against a reviewed map, by synset."""
    space = load_label_map(name)
    found = [_first(candidates) for candidates in matcher.match(labels)]
    return score(found, [row.wnid for row in space.rows], matcher.wordnet, accept)


def against_tree(names: Sequence[str], nodes: Sequence[int], tree: WordTree, accept: float) -> Row:
    """The mapper against a published map, by node of the published tree."""
    matcher = Matcher(tree=frozenset(tree.names))
    placed: list[tuple[str, float]] = []
    for wnid, confidence in (_first(candidates) for candidates in matcher.match([(name, ()) for name in names])):
        inside = wnid and (wnid in tree or any(above in tree for above in matcher.wordnet.closure(wnid)))
        node = tree.names[nearest_node(tree, matcher.wordnet, wnid)[0]] if inside else ""
        placed.append((node, confidence))
    return score(placed, [tree.names[node] for node in nodes], matcher.wordnet, accept)


def _first(candidates: Sequence[Candidate]) -> tuple[str, float]:
    return (candidates[0].wnid, candidates[0].confidence) if candidates else ("", 0.0)


def published(facts: Path, accept: float) -> dict[str, Row]:
    """Against darknet's coco9k.map and inet9k.map."""
    tree = read_tree(facts / "9k.tree")
    rows: dict[str, Row] = {}
    det = [row.display_name for row in load_label_map("det200").rows]
    coco = (facts / "coco.names").read_text().split("\n")[:80]
    for name, labels, file in (("coco9k.map", coco, "coco9k.map"), ("inet9k.map", det, "inet9k.map")):
        nodes = [int(line) for line in (facts / file).read_text().split()]
        rows[name] = against_tree(labels, nodes, tree, accept)
    return rows


def reviewed(accept: float, supercategories: Mapping[str, str]) -> dict[str, Row]:
    """Against the maps that ship, from the labels' English names alone, and for COCO with its supercategories."""
    matcher = Matcher()
    rows: dict[str, Row] = {}
    for name in ("coco", "voc", "openimages"):
        words = [row.display_name if name == "openimages" else row.label for row in load_label_map(name).rows]
        rows[name] = against_space(name, [(word, ()) for word in words], matcher, accept)
        if name == "coco" and supercategories:
            labels = [(word, (supercategories[word],)) for word in words]
            rows["coco with supercategories"] = against_space(name, labels, matcher, accept)
    return rows


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--facts", type=Path, help="folder with 9k.tree, 9k.labels, coco.names and the two .map files")
    parser.add_argument("--instances", type=Path, help="a COCO instances file, for the supercategories")
    parser.add_argument("--accept", type=float, default=ACCEPT, help="confidence that needs no review (%(default)s)")
    args = parser.parse_args()
    categories = json.loads(args.instances.read_text())["categories"] if args.instances else []
    supercategories = {category["name"]: category["supercategory"] for category in categories}
    begin = time.perf_counter()
    rows = {
        **(published(args.facts, args.accept) if args.facts else {}),
        **reviewed(args.accept, supercategories),
    }
    seconds = round(time.perf_counter() - begin, 2)
    print(json.dumps({"benchmark": "mapper_accuracy", "accept": args.accept, "seconds": seconds, "maps": rows}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
