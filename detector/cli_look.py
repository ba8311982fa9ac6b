"""`wordtree inspect` and `wordtree report`.

Parsers only: the work, and TensorFlow, are imported when the subcommand runs.
"""

from __future__ import annotations

import argparse
from io import BytesIO
from pathlib import Path
from typing import Any

from detector.cli_parts import subcommand
from schemas.errors import ConfigError, InputError, OutputError

PICTURES = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}


def add_inspect(subparsers: Any) -> None:
    """`wordtree inspect`."""
    parser = subcommand(
        subparsers,
        "inspect",
        "a contact sheet of a dataset: pictures with their boxes and labels",
        "wordtree inspect coco-train --out sheet.png",
        _run_inspect,
        writes="out",
        writes_a_file=True,
    )
    parser.add_argument("dataset", metavar="DATASET", help="dataset directory")
    parser.add_argument("--out", default="contact-sheet.png", help="picture to write (default: %(default)s)")
    parser.add_argument("--count", type=int, default=16, help="images shown (default: %(default)s)")
    parser.add_argument("--class", dest="wanted", help="only images with this label or wnid")
    parser.add_argument("--force", action="store_true", help="replace --out if it exists")


def _run_inspect(args: argparse.Namespace) -> int:
    if Path(args.out).exists() and not args.force:
        raise OutputError(f"{args.out} exists already; choose another --out or replace it with --force")
    if args.count < 1:
        raise ConfigError(f"--count {args.count}: expected at least 1")
    if Path(args.out).suffix.lower() not in PICTURES:
        raise ConfigError(f"--out {args.out}: expected a name that ends in {', '.join(PICTURES)}")
    from detector.dataset import open_dataset
    from detector.inspect import dataset_sheet
    from wordtree.files import write_file

    sheet, shown = dataset_sheet(open_dataset(args.dataset), count=args.count, wanted=args.wanted)
    buffer = BytesIO()
    sheet.save(buffer, PICTURES[Path(args.out).suffix.lower()])
    write_file(args.out, buffer.getvalue(), force=True)
    print(f"{shown} {'image' if shown == 1 else 'images'} of {args.dataset} in {args.out}")
    return 0


def add_report(subparsers: Any) -> None:
    """`wordtree report`."""
    parser = subcommand(
        subparsers,
        "report",
        "one HTML file: the tree, the long tail, loss curves, AP tables, pictures",
        "wordtree report run --data det-train cls-train --detections found --out report.html",
        _run_report,
        writes="out",
        writes_a_file=True,
    )
    parser.add_argument("run_directory", metavar="RUN", help="run directory of `wordtree train`")
    parser.add_argument(
        "--data", nargs="*", default=[], metavar="DATASET", help="dataset directories whose counts are shown"
    )
    parser.add_argument("--detections", help="directory of `wordtree detect`")
    parser.add_argument("--out", default="report.html", help="file to write (default: %(default)s)")
    parser.add_argument("--force", action="store_true", help="replace --out if it exists")


def _run_report(args: argparse.Namespace) -> int:
    from detector.report import check_inputs, write_report

    detections = Path(args.detections) if args.detections else None
    check_inputs(Path(args.run_directory), detections)
    if not Path(args.run_directory, "config.json").exists():
        raise InputError(f"{args.run_directory!r} is no run directory; `wordtree train` writes one")
    if Path(args.out).exists() and not args.force:
        raise OutputError(f"{args.out} exists already; choose another --out or replace it with --force")
    path = write_report(Path(args.run_directory), Path(args.out), datasets=args.data, detections=detections)
    print(f"report in {path}")
    return 0
