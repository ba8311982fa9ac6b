"""What does the tree softmax cost beside a flat softmax over as many classes?

NumPy, float32, rows of N logits: a flat log-softmax is the bound; the tree takes one softmax per sibling group, then
the sums down the paths. --tree reads a tree (the published 9k.tree, say); without it one of every ninth noun is built.
Prints one line of JSON: microseconds a row (the best of --repeats), the ratio to the flat softmax, and peak memory.

    python benchmarks/tree_softmax.py --tree 9k.tree --rows 256
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from wordtree.build import build_tree
from wordtree.build_options import BuildOptions
from wordtree.files import read_tree
from wordtree.metrics import hierarchical_precision_recall, lca_height
from wordtree.probability import group_log_softmax, path_log_probs, walk
from wordtree.wordnet import load_wordnet


def flat_log_softmax(logits: np.ndarray) -> np.ndarray:
    """The bound."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tree", help="a tree file or directory")
    parser.add_argument("--rows", type=int, default=256)
    parser.add_argument("--repeats", type=int, default=7, help="the best counts")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    if args.tree:
        tree = read_tree(args.tree)
    else:
        wordnet = load_wordnet()
        tree = build_tree(wordnet, wordnet.wnids[::9], BuildOptions(exclude=())).tree
    rng = np.random.default_rng(args.seed)
    logits = rng.normal(size=(args.rows, len(tree))).astype(np.float32)
    log_probs = group_log_softmax(logits, tree)
    probs = np.exp(path_log_probs(log_probs, tree))
    truth, predicted = rng.integers(0, len(tree), (2, args.rows))
    lca_height(truth, predicted, tree)  # tables are made once for a tree

    def micros(work: Callable[[], object]) -> float:
        best = float("inf")
        for _ in range(args.repeats):
            begin = time.process_time()
            work()
            best = min(best, time.process_time() - begin)
        return round(best / args.rows * 1e6, 2)

    flat = micros(lambda: flat_log_softmax(logits))
    group = micros(lambda: group_log_softmax(logits, tree))
    path = micros(lambda: path_log_probs(log_probs, tree))
    print(
        json.dumps(
            {
                "benchmark": "tree_softmax",
                "nodes": len(tree),
                "groups": tree.num_groups,
                "rows": args.rows,
                "flat_us_per_row": flat,
                "group_softmax_us_per_row": group,
                "path_sums_us_per_row": path,
                "ratio": round((group + path) / flat, 2),
                "walk_us_per_row": micros(lambda: walk(probs, tree, 0.5)),
                "lca_height_us_per_row": micros(lambda: lca_height(truth, predicted, tree)),
                "precision_recall_us_per_row": micros(lambda: hierarchical_precision_recall(truth, predicted, tree)),
                "peak_rss_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
            }
        )
    )


if __name__ == "__main__":
    main()
