"""`wordtree detect`.

Parsers only: the work, and TensorFlow, are imported when the subcommand runs.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from detector.cli_parts import start_tensorflow, subcommand
from schemas.errors import ConfigError, OutputError


def add_detect(subparsers: Any) -> None:
    """`wordtree detect`."""
    parser = subcommand(
        subparsers,
        "detect",
        "find objects in photos: JSON, and pictures with boxes and the path down the tree",
        "wordtree detect run 'photos/*.jpg' --out found",
        _run_detect,
    )
    parser.add_argument("run_directory", metavar="RUN", help="run directory of `wordtree train`")
    parser.add_argument("images", nargs="+", metavar="IMAGE", help="files, folders or quoted globs, on any file system")
    parser.add_argument("--out", default="detections", help="directory to write (default: %(default)s)")
    parser.add_argument("--threshold", type=float, default=0.2, help="least score shown (default: %(default)s)")
    parser.add_argument(
        "--walk",
        type=float,
        default=0.5,
        metavar="P",
        help="go down the tree while the best child has at least this probability (default: %(default)s)",
    )
    parser.add_argument(
        "--iou", type=float, default=0.45, help="overlap above which two boxes are one (default: %(default)s)"
    )
    parser.add_argument("--no-pictures", action="store_true", help="JSON only")
    parser.add_argument("--force", action="store_true", help="replace --out if it exists")
    parser.add_argument("--json", action="store_true", help="print the detections as JSON")


def _run_detect(args: argparse.Namespace) -> int:
    for flag, value in (("--threshold", args.threshold), ("--walk", args.walk), ("--iou", args.iou)):
        if not 0 <= value <= 1:
            raise ConfigError(f"{flag} {value}: expected a number from 0 to 1")
    out = Path(args.out)
    if out.exists() and not args.force:
        raise OutputError(f"{out} exists already; choose another --out or replace it with --force")
    start_tensorflow()
    from detector.infer import detect, find_images, lines_for_people
    from detector.run import open_run

    paths = find_images(args.images)
    run = open_run(args.run_directory)
    result = detect(
        run,
        paths,
        out,
        threshold=args.threshold,
        walk_threshold=args.walk,
        iou_threshold=args.iou,
        pictures=not args.no_pictures,
        force=args.force,
        log=lambda line: print(line, file=sys.stderr, flush=True),
    )
    if args.json:
        print(json.dumps(result, ensure_ascii=False))
        return 0
    *lines, total = lines_for_people(result, out)
    for line in lines:
        print(line)
    if result["unreadable"]:
        print(f"{len(result['unreadable'])} of {len(paths)} images could not be read; see {out}/detections.json")
    print(f"written to {out}/detections.json" + ("" if args.no_pictures else f" and {out}/pictures"))
    print(total)
    return 0
