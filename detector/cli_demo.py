"""`wordtree demo`.

Parsers only: the work, and TensorFlow, are imported when the subcommand runs.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

from detector.cli_parts import log_line, subcommand


def add_demo(subparsers: Any) -> None:
    """`wordtree demo`."""
    parser = subcommand(
        subparsers,
        "demo",
        "the main job, end to end, on data made on the spot; ends with an HTML report",
        "wordtree demo --out demo",
        _run_demo,
        resumes=True,
    )
    parser.add_argument("--out", default="demo", help="directory to work in (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the drawn figures (default: %(default)s)")
    parser.add_argument("--quick", action="store_true", help="a short look at every step; the detector learns little")


def _run_demo(args: argparse.Namespace) -> int:
    from detector.demo.run import run_demo

    began = time.monotonic()
    run_demo(Path(args.out), seed=args.seed, quick=args.quick, log=log_line)
    print(f"the whole demo took {(time.monotonic() - began) / 60:.1f} minutes")
    return 0
