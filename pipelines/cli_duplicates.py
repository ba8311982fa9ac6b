"""`wordtree duplicates`: the same picture twice, and pictures of an evaluation split among those for training."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from pipelines.cli_rows import quiet_beam
from pipelines.files import storage

EPILOG = """\
examples:
  wordtree duplicates coco-train --against coco-val
  wordtree duplicates coco-train --against coco-val voc-val --policy drop --out coco-clean

what is a duplicate: files with equal bytes, or perceptual hashes (64 bits of a DCT) with at most --near different bits.
That finds pictures that were resized, recompressed, made brighter or grey, or cropped by a percent; not those that were
cropped by a tenth, mirrored or turned. Pictures of one colour are compared by their bytes alone.

policies:
  report   say what there is, change nothing
  drop     a view without leaks, and with one image of each cluster: the largest, then the one with the smallest id
  merge    the same, and the labels of a cluster are united on the image that stays; boxes of equal files too

what OUT holds afterwards:
  duplicates.html          the report, with pictures
  leaks.jsonl              images that stand in an evaluation split too, with the image there
  duplicates.jsonl         clusters, the image that stays first
  duplicates.json          the figures
  SPLIT.hashes.parquet     the hashes, used again by a second run
  and with drop or merge a view, as `wordtree relabel` makes it; rejects.jsonl names every image that was dropped. For
  several datasets each has a folder of its own in OUT.
"""


def add_duplicates(subparsers: Any) -> None:
    """Add `duplicates` to the command line."""
    parser = subparsers.add_parser(
        "duplicates",
        help="exact and near duplicates, and leaks into evaluation splits",
        description="Find pictures that are there twice, within datasets and against evaluation splits.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("datasets", nargs="+", metavar="DATASET", help="dataset directories or views")
    parser.add_argument("--against", nargs="+", default=[], metavar="EVAL", help="dataset directories to keep apart")
    parser.add_argument(
        "--near",
        type=int,
        default=4,
        metavar="N",
        help="most different bits of 64; -1 for equal bytes alone (default: 4)",
    )
    parser.add_argument(
        "--policy", choices=("report", "drop", "merge"), default="report", help="see below (default: report)"
    )
    parser.add_argument("--out", default="", metavar="OUT", help="folder for the report and the view")
    parser.add_argument(
        "--cap",
        type=int,
        default=10_000,
        metavar="N",
        help="most look-alikes that are all compared with each other; what this leaves out is told (default: 10000)",
    )
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="processes on this machine (default: 1)")
    parser.add_argument("--force", action="store_true", help="replace what OUT holds")
    parser.add_argument("--json", action="store_true", help="the figures as one line of JSON on stdout")
    parser.set_defaults(run=run_duplicates, takes_beam_args=True, writes="out")


def run_duplicates(args: argparse.Namespace) -> int:
    """Find, report, and say what there is."""
    quiet_beam()
    from pipelines.duplicates.report import PAGE_NAME, text_lines
    from pipelines.duplicates.run import DuplicateOptions, find_duplicates

    out = args.out.rstrip("/") or args.out
    args.resumes = bool(out)  # the hashes of the images are kept there
    done = find_duplicates(
        args.datasets,
        args.against,
        out,
        DuplicateOptions(near=args.near, policy=args.policy, cap=args.cap),
        beam_args=args.beam_args,
        workers=args.workers,
        force=args.force,
    )
    talk = sys.stderr if args.json else sys.stdout
    if done.was_complete:
        print(f"{out} is complete already; nothing to do", file=talk)
    print("\n".join([*text_lines(done.found), *done.pairs]), file=talk)
    if done.pairs:
        print("              --out FOLDER writes all of them, with pictures", file=talk)
    if out:
        print(f"report        {storage.join(out, PAGE_NAME)}", file=talk)
    for view in done.views:
        print(f"view          {view}; `wordtree assemble {view} OUT` makes shards of it", file=talk)
    if args.json:
        print(json.dumps({"out": out, "was_complete": done.was_complete, **done.found}))
    return 0
