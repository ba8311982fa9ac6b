"""`wordtree bench`.

Parsers only: the work, and TensorFlow, are imported when the subcommand runs; each arm has a process of its own.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any

from detector.cli_parts import subcommand
from schemas.errors import ConfigError

PROPOSALS = "10,50,100,300"


def add_bench(subparsers: Any) -> None:
    """`wordtree bench`."""
    parser = subcommand(
        subparsers,
        "bench",
        "AP against milliseconds, memory, parameters and FLOPs, over image sizes and numbers of proposals: one page",
        "wordtree bench yolo=run1 rcnn=run2@best --eval coco-val --sizes 320,416 --out bench\n"
        "  wordtree bench tiny64 faster_rcnn_tiny64 --eval eval-fine --data det-train --tree tree --out bench",
        _run_bench,
        resumes=True,
    )
    parser.add_argument(
        "words",
        nargs="+",
        metavar="RUN_OR_CONFIG",
        help="run directory (or RUN@best), or an experiment's name or config.json, which is trained first; NAME=... "
        "gives it a name",
    )
    parser.add_argument("--eval", required=True, metavar="DATASET", help="dataset directory with boxes, for AP")
    parser.add_argument("--out", default="bench", help="directory to write or to go on with (default: %(default)s)")
    sweep = parser.add_argument_group("what is swept")
    sweep.add_argument(
        "--proposals",
        default=PROPOSALS,
        metavar="LIST",
        help="boxes an image in the second stage of two-stage detectors; `own`: as in training (default: %(default)s)",
    )
    sweep.add_argument(
        "--sizes",
        default="",
        metavar="LIST",
        help="of images in pixels: 320 is the width, 240x320 height and width (default: each run's own)",
    )
    train = parser.add_argument_group("of configurations, which become runs in OUT/runs")
    train.add_argument("--data", nargs="+", default=[], metavar="DATASET", help="dataset directories to train on")
    train.add_argument("--tree", default="", help="tree directory or .tree file")
    train.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="SECTION.KEY=VALUE",
        help="override in all of them, may be repeated",
    )
    watch = parser.add_argument_group("how it is measured")
    watch.add_argument(
        "--threshold", type=float, default=0.2, help="least score of a detection that is timed (default: %(default)s)"
    )
    watch.add_argument("--images", type=int, default=8, help="images that are timed in turns (default: %(default)s)")
    watch.add_argument("--repeats", type=int, default=20, help="measurements of each time (default: %(default)s)")
    watch.add_argument("--batch-size", type=int, default=8, help="images at a time, for AP (default: %(default)s)")
    parser.add_argument("--force", action="store_true", help="measure arms anew that are measured already")
    parser.add_argument("--dry-run", action="store_true", help="check everything, print the plan and stop")
    parser.add_argument("--json", action="store_true", help="machine-readable output")


def _run_bench(args: argparse.Namespace) -> int:
    from detector.bench.job import BenchOptions, bench, make_plan, plan_lines
    from detector.bench.table import table

    out = Path(args.out)
    options = BenchOptions(
        words=tuple(args.words),
        dataset=args.eval,
        sizes=_parts(args.sizes),
        proposals=_counts(args.proposals),
        data=tuple(args.data),
        tree=args.tree,
        overrides=tuple(args.set),
        threshold=args.threshold,
        images=args.images,
        repeats=args.repeats,
        batch_size=args.batch_size,
    )
    plan = make_plan(options, out)
    if not args.json:
        print("\n".join(plan_lines(plan, anew=args.force)), flush=True)
    if args.dry_run:
        if args.json:
            print(json.dumps([{"title": arm.title, "run": arm.subject.run} for arm in plan.arms]))
        return 0
    result = bench(plan, force=args.force, log=lambda line: print(line, file=sys.stderr, flush=True))
    if args.json:
        print(json.dumps(result))
        return 0
    print(table(result["arms"]))
    print(f"written to {out}/bench.html, {out}/bench.csv and {out}/bench.json")
    return 0


def _parts(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _counts(text: str) -> tuple[int, ...]:
    """The numbers in a list, () for `own`.

    Raises:
        ConfigError: one is no number of 1 or more.
    """
    if text.strip() == "own":
        return ()
    parts = _parts(text)
    for part in parts:
        if not re.fullmatch("[0-9]{1,6}", part) or int(part) < 1:
            raise ConfigError(f"--proposals {text[:40]}: found {part[:20]!r}; expected numbers from 1 on, or `own`")
    if not parts:
        raise ConfigError(f"--proposals {text!r}: expected numbers from 1 on, such as {PROPOSALS}, or `own`")
    return tuple(map(int, parts))
