"""`wordtree anchors`.

Parsers only: the work, and TensorFlow, are imported when the subcommand runs.
"""

from __future__ import annotations

import argparse
import json
import re
from typing import Any

from detector.cli_parts import start_tensorflow, subcommand
from schemas.errors import ConfigError


def add_anchors(subparsers: Any) -> None:
    """`wordtree anchors`."""
    parser = subcommand(
        subparsers,
        "anchors",
        "priors by k-means on the box shapes, with 1 - IoU as the distance",
        "wordtree anchors coco-train --count 5",
        _run_anchors,
    )
    parser.add_argument(
        "datasets", nargs="+", metavar="DATASET", help="dataset directories; sets without boxes are skipped"
    )
    parser.add_argument("--count", type=int, default=5, help="how many priors (default: %(default)s)")
    parser.add_argument(
        "--canvas",
        metavar="WIDTHxHEIGHT",
        default="1x1",
        help="of the network's input, such as 320x240; only the proportion counts (default: a square)",
    )
    parser.add_argument("--curve", action="store_true", help="also the fit of 1 to COUNT priors, to choose by")
    parser.add_argument("--seed", type=int, default=0, help="of the starting points (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="machine-readable output")


def _run_anchors(args: argparse.Namespace) -> int:
    start_tensorflow()
    from detector.anchors import box_shapes, check_count, kmeans_anchors
    from detector.dataset import open_dataset

    if args.count < 1:
        raise ConfigError(f"--count {args.count}: expected at least 1")
    if args.seed < 0:
        raise ConfigError(f"--seed {args.seed}: expected 0 or more")
    sides = re.fullmatch(r"([1-9][0-9]{0,4})x([1-9][0-9]{0,4})", args.canvas)
    if not sides:
        raise ConfigError(f"--canvas {args.canvas!r}: expected WIDTHxHEIGHT in pixels, such as 320x240")
    canvas = (int(sides[2]), int(sides[1]))
    shapes = box_shapes([open_dataset(path) for path in args.datasets], canvas)
    check_count(shapes, args.count)
    counts = range(1, args.count + 1) if args.curve else [args.count]
    rows = []
    for count in counts:
        anchors, fit = kmeans_anchors(shapes, count, seed=args.seed)
        rounded = [[round(float(v), 5) for v in anchor] for anchor in anchors]
        rows.append({"count": count, "mean_iou": round(fit, 4), "anchors": rounded})
    if args.json:
        print(json.dumps({"boxes": len(shapes), "priors": rows}))
        return 0
    print(f"{len(shapes)} boxes; width and height relative to the canvas")
    for row in rows:
        pairs = "  ".join(f"{w:.3f} x {h:.3f}" for w, h in row["anchors"])
        print(f"{row['count']} priors, mean IoU {row['mean_iou']:.3f}: {pairs}")
    print(f"--set 'model.anchors={json.dumps(rows[-1]['anchors'])}'")
    return 0
