"""`wordtree export`.

Parsers only: the work, and TensorFlow, are imported when the subcommand runs.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from detector.cli_detect import add_decode_options, check_decode_flags, decode_options, open_source
from detector.cli_parts import start_tensorflow, subcommand
from detector.export.plan import FORMATS, ExportPlan, check_plan, refuse_existing
from schemas.errors import ConfigError


def add_export(subparsers: Any) -> None:
    """`wordtree export`."""
    parser = subcommand(
        subparsers,
        "export",
        "a run as SavedModel with everything inside, as TFLite in three precisions, or for Keras",
        "wordtree export run --out model --format saved-model,tflite-float16 --check eval-fine\n"
        "  wordtree export --darknet yolo9000.cfg yolo9000.weights --tree 9k.tree --out model",
        _run_export,
    )
    parser.add_argument(
        "run_directory", nargs="?", metavar="RUN", help="run directory of `wordtree train`, not with --darknet"
    )
    parser.add_argument("--out", default="model", help="directory to write (default: %(default)s)")
    parser.add_argument(
        "--format",
        default="saved-model",
        metavar="LIST",
        help=f"of {', '.join(FORMATS)} (default: %(default)s)",
    )
    source = parser.add_argument_group("a published network instead of a run")
    source.add_argument("--darknet", nargs=2, metavar=("CFG", "WEIGHTS"), help="darknet's files")
    source.add_argument("--tree", help="its tree: a tree directory or a .tree (default: as the .cfg says, else none)")
    source.add_argument("--names", help="its words for people, one class a line")
    add_decode_options(parser)
    lite = parser.add_argument_group("of tflite-int8")
    lite.add_argument("--calibration", default="", metavar="DATASET", help="images that show what it will see")
    lite.add_argument(
        "--calibration-images", type=int, default=100, metavar="N", help="how many of them (default: %(default)s)"
    )
    check = parser.add_argument_group("every export loaded again and compared with the run")
    check.add_argument("--check", nargs="+", default=[], metavar="WHAT", help="on a dataset directory or image files")
    check.add_argument(
        "--check-images", type=int, default=200, metavar="N", help="how many of them, 0 for all (default: %(default)s)"
    )
    parser.add_argument("--force", action="store_true", help="replace --out if it holds an export")
    parser.add_argument("--json", action="store_true", help="print export.json")


def _run_export(args: argparse.Namespace) -> int:
    check_decode_flags(args)
    if args.darknet is None and (args.tree or args.names):
        raise ConfigError("--tree and --names go with --darknet; a run directory has its own tree")
    if (args.run_directory is None) == (args.darknet is None):
        raise ConfigError("expected a run directory, or --darknet CFG WEIGHTS, and not both")
    plan = ExportPlan(
        formats=tuple(name.strip() for name in args.format.split(",") if name.strip()),
        calibration=args.calibration,
        calibration_images=args.calibration_images,
        check=tuple(args.check),
        check_images=args.check_images,
    )
    check_plan(plan)
    out = Path(args.out)
    refuse_existing(out, args.force)
    start_tensorflow()
    from detector.export.compare import check_table
    from detector.export.write import export

    run = open_source(args, args.run_directory)
    plan = replace(plan, options=decode_options(args, run.tree, run.detector))
    about = export(run, out, plan, force=args.force, log=lambda line: print(line, file=sys.stderr, flush=True))
    if args.json:
        print(json.dumps(about))
        return 0
    for file in about["files"]:
        print(f"{out}/{file['path']}: {file['bytes'] / 1e6:.2f} MB")
    if "check" in about:
        print(f"\n{about['check'][0]['images']} images, threshold {plan.options.threshold}")
        print(check_table(about["check"]))
    print(f"written to {out}/export.json")
    return 0
